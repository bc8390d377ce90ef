"""
Whole accounts with every kind of resource, under the armed detectors: warned, pressed, acted on, undone.

What was done is read from the account itself, and judged by the claims that the things in it make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from armed import World as Nothing
from conftest import ACCOUNT, NOW, REGION
from janitor.account import opened
from janitor.action import Stage
from janitor.arming import Arming
from janitor.aws import Aws
from janitor.clients import make_client
from janitor.detector import Detector
from janitor.failures import RunFailedError
from janitor.model import Confidence, Mode
from janitor.settings import Settings
from janitor.table import Table
from nights import Nights
from properties.worlds import FAULTS, NEAR_MISSES, Claim, Fault, refusals
from properties.worlds.artifacts import MIN_SIZE, STORES, Artifacts
from properties.worlds.base import UNTAGGED
from sandbox.control import Control
from sandbox.deployment import TABLE, deploy

if TYPE_CHECKING:
    from types_boto3_sagemaker import SageMakerClient

JOBS = "hung-training-jobs"
FILLED = {"team": "unknown", "project": "unknown"}
SETTINGS = Settings.load(overrides=[f"duplicate-artifacts.min_size={MIN_SIZE}"])
ALL = {"idle-endpoints", "idle-notebooks", "idle-studio-apps", JOBS, UNTAGGED}
CHANGES = (
    "sagemaker:StopNotebookInstance",
    "sagemaker:DeleteApp",
    "sagemaker:DeleteEndpoint",
    "sagemaker:AddTags",
)
MISHAPS = ("error", "throttle", "deny", "lost-reply", "drop")

type Place = tuple[str, str]
type State = Mapping[Place, Any]
"""What is there, by the detector that judges it and the ARN in lower case."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_only_waste_is_acted_on_and_all_of_it_comes_back(
    seed: int, box: Control, session: boto3.Session
) -> None:
    random = Random(seed)  # noqa: S311 - it has to come out the same again
    stored = [thing for thing in NEAR_MISSES.things if isinstance(thing, Artifacts)]
    others = [thing for thing in NEAR_MISSES.things if thing not in stored]
    world = replace(NEAR_MISSES, things=[*random.sample(stored, 15), *random.sample(others, 45)])
    box.reset()
    box.set_durations({"*": 0})
    claims = {claim.key: claim for claim in world.build(session, box, NOW)}
    deploy(box.url)
    managed = seed > 1
    faults = [*random.sample(FAULTS, 2), Fault(random.choice(CHANGES), random.choice(MISHAPS), lasting=False)]
    told = f"seed {seed}, faults {faults}"
    before = state(session, claims)
    with opened(session, account=ACCOUNT, regions=[REGION], attempts=1) as (aws,):
        armed = list(deployments(session, aws, managed=managed))

        swept(armed)
        assert changes(before, state(session, claims)) == {}, told
        pressed(armed)
        for fault in faults:
            fault.apply(box)
        swept(armed)
        box.clear_faults()
        amid = changes(before, state(session, claims))
        assert wrong(amid, claims, faults, before, managed=managed) == [], told
        swept(armed)
        after = changes(before, state(session, claims))
        assert wrong(after, claims, (), before, managed=managed) == [], told
        assert {detector for detector, _ in after} >= (ALL if managed else {UNTAGGED}), told

        undone(armed)
    lasting = {place for place in changes(before, state(session, claims)) if place[0] != JOBS}
    assert lasting == set(), told


def deployments(session: boto3.Session, aws: Aws, *, managed: bool) -> Iterator[Nights]:
    """Every detector that can act, armed as far as it can be."""
    table = Table(make_client(session, "dynamodb", REGION, 1), TABLE)
    for detector in map(generous, SETTINGS.enabled()):
        if detector.cleanup is not None and detector.acts and detector.never_acts() is None:
            nights = Nights(table, session, aws, Nothing(), detector)
            nights.arming = Arming(
                mode=Mode.ACT,
                effect=detector.cleanup.effect,
                act_in=(ACCOUNT,),
                act_on=Confidence.LIKELY,
                business_days=False,
                max_actions=100,
                max_share=100,
                act_on_managed=("x",) if managed else (),
            )
            nights.at_most = 1000
            yield nights


def generous(detector: Detector[Any]) -> Detector[Any]:
    """May act wherever it can."""
    if detector.name == UNTAGGED:
        return replace(detector, fill_tags=FILLED)  # type: ignore[call-arg]
    if detector.name == "duplicate-artifacts":
        prefixes = tuple(f"s3://{store}/" for store in STORES)
        return replace(detector, act_on_prefixes=prefixes)  # type: ignore[call-arg]
    return detector


def swept(armed: Sequence[Nights]) -> None:
    """Twice, because a sweep only warns about so many at once."""
    for nights in armed:
        for _ in range(2):
            with suppress(RunFailedError):  # what is not complete says so
                nights.sweep()


def pressed(armed: Sequence[Nights]) -> None:
    """*Do it now* on every warning, so that what was claimed of this moment still holds."""
    for nights in armed:
        for entry in nights.ledger.entries(nights.detector.name, ACCOUNT, REGION):
            if entry.warned is not None:
                nights.ledger.hurry(entry, by="maria", now=nights.clock)


def undone(armed: Sequence[Nights]) -> None:
    """All but jobs: they do not come back, but are submitted anew under other names."""
    for nights in armed:
        if nights.detector.name == JOBS:
            continue
        for action in nights.actions.all(nights.detector.name, ACCOUNT, REGION):
            if action.stage is not Stage.WITHDRAWN:
                undoing = replace(nights.undoing, wait=lambda: None)
                found = undoing.find(nights.detector.name, ACCOUNT, REGION, action.id)
                undoing.undo(nights.detector, nights.aws, found, by="maria")


def state(session: boto3.Session, claims: Mapping[Place, Claim]) -> State:
    """Everything that a detector might change."""
    sagemaker = session.client("sagemaker")
    found: dict[Place, Any] = {}
    for notebook in sagemaker.list_notebook_instances(MaxResults=100)["NotebookInstances"]:
        found["idle-notebooks", notebook["NotebookInstanceArn"]] = notebook["NotebookInstanceStatus"]
    for endpoint in sagemaker.list_endpoints(MaxResults=100)["Endpoints"]:
        found["idle-endpoints", endpoint["EndpointArn"]] = endpoint["EndpointStatus"]
    found |= jobs(sagemaker)
    found |= objects(session)
    for page in sagemaker.get_paginator("list_apps").paginate():
        for app in page["Apps"]:
            owner: Any = {key: app[key] for key in ("UserProfileName", "SpaceName") if app.get(key)}
            named: Any = {key: app[key] for key in ("DomainId", "AppType", "AppName")}
            with suppress(ClientError):
                told = sagemaker.describe_app(**named, **owner)
                if told["Status"] == "InService":
                    found["idle-studio-apps", told["AppArn"]] = told["ResourceSpec"]
    for detector, arn in claims:
        if detector == UNTAGGED and ":sagemaker:" in arn:
            with suppress(ClientError):
                tags = sagemaker.list_tags(ResourceArn=claims[detector, arn].arn, MaxResults=100)["Tags"]
                found[detector, arn] = {tag["Key"]: tag["Value"] for tag in tags}
    return {(detector, arn.lower()): what for (detector, arn), what in found.items()}


def jobs(sagemaker: SageMakerClient) -> State:
    found: dict[Place, Any] = {}
    for one in sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]:
        pool = one.get("WarmPoolStatus", {}).get("Status")
        found[JOBS, one["TrainingJobArn"]] = (one["TrainingJobStatus"], pool)
    for job in sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"]:
        found[JOBS, job["ProcessingJobArn"]] = job["ProcessingJobStatus"]
    for work in sagemaker.list_transform_jobs(MaxResults=100)["TransformJobSummaries"]:
        found[JOBS, work["TransformJobArn"]] = work["TransformJobStatus"]
    return found


def objects(session: boto3.Session) -> State:
    found: dict[Place, Any] = {}
    s3 = session.client("s3")
    for store in STORES:
        for stored in s3.list_objects_v2(Bucket=store).get("Contents", []):
            found["duplicate-artifacts", f"arn:aws:s3:::{store}/{stored['Key']}"] = stored["Size"]
            with suppress(ClientError):  # what is archived cannot be read
                body = s3.get_object(Bucket=store, Key=stored["Key"])["Body"].read()
                found["duplicate-artifacts", f"arn:aws:s3:::{store}/{stored['Key']}"] = sha256(body).digest()
    return found


def changes(before: State, after: State) -> dict[Place, tuple[Any, Any]]:
    places = {*before, *after}
    return {at: (before.get(at), after.get(at)) for at in places if before.get(at) != after.get(at)}


def wrong(
    changed: Mapping[Place, tuple[Any, Any]],
    claims: Mapping[Place, Claim],
    faults: Sequence[Fault],
    before: State,
    *,
    managed: bool,
) -> list[str]:
    """Whatever was changed that is not waste, or cannot have been seen to be, or is only to be reported."""
    said = []
    for place, (was, became) in changed.items():
        detector, arn = place
        claim, tags = claims.get(place), before.get((UNTAGGED, arn), {})
        tool = next((value for key, value in tags.items() if key.strip().lower() == "managed-by"), "").strip()
        if detector == UNTAGGED and became is None:
            continue  # it went with its resource
        if claim is None or not claim.may:
            said.append(f"{place} was {was} and became {became}")
        elif claim.needs & refusals(faults):
            said.append(f"{place} became {became} although {claim.needs & refusals(faults)} was refused")
        elif tool and not managed:
            said.append(f"{place} became {became} although {tool} manages it")
        elif detector == UNTAGGED and not filled(was, became):
            said.append(f"{place} had the tags {was} and has {became}")
    return said


def filled(was: Mapping[str, str], became: Mapping[str, str]) -> bool:
    """Whether tags were only added, and only those that may be."""
    return became.items() >= was.items() and became.keys() - was.keys() <= {*FILLED, "owner"}
