"""What holds for every detector of the registry, and for the shape of the house."""

import ast
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import boto3
import pytest
from policy_sentry.querying.actions import get_actions_with_access_level
from policy_sentry.querying.all import get_all_actions

import one_of_each
from conftest import ACCOUNT, NOW, REGION, seed_demo
from fakes import candidates
from ml_janitor.aws.client import open_regions
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.engine.detector import Detector
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.server import Sandbox
from properties.worlds import build_rare
from recorded_acts import IAM_NAMES
from sagemaker_requests import pipeline_request
from samples import SEED, share
from tables import cases

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "functions" / "ml_janitor"

ACTORS = [detector for detector in DETECTORS if detector.cleanup is not None]
every_actor = pytest.mark.parametrize("detector", ACTORS, ids=lambda detector: detector.name)
every_detector = pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)

READS_ALL_THE_SAME = {"kms:Decrypt"}
"""Listed as writing in the Service Authorization Reference, but it only reads encrypted bytes."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@cache
def known_actions() -> frozenset[str]:
    return frozenset(action.lower() for action in get_all_actions())


@cache
def reading_actions(service: str) -> frozenset[str]:
    return frozenset(
        action.lower()
        for level in ("Read", "List")
        for action in get_actions_with_access_level(service, level)
    )


def test_every_file_in_detectors_is_registered() -> None:
    files = {path.stem for path in (SOURCE / "detectors").iterdir()} - {"__init__", "__pycache__"}

    assert files == {detector.name.replace("-", "_") for detector in DETECTORS}


def test_names_are_unique() -> None:
    assert len({detector.name for detector in DETECTORS}) == len(DETECTORS) > 0


@every_detector
def test_it_says_in_one_line_what_it_does(detector: type[Detector[Any]]) -> None:
    assert re.fullmatch(r"[A-Z].{10,98}\.", detector.summary())


@every_detector
def test_it_has_a_schedule(detector: type[Detector[Any]]) -> None:
    assert re.fullmatch(r"rate\(\d+ (minute|hour|day)s?\)|cron\(\S+ \S+ \S+ \S+ \S+ \S+\)", detector.schedule)


@every_detector
def test_it_has_a_page(detector: type[Detector[Any]]) -> None:
    page = (ROOT / "docs" / "detectors" / f"{detector.name}.md").read_text()

    for heading in ("What it finds", "How sure it is", "If it is wrong", "What it does", "Settings"):
        assert f"## {heading}" in page
    assert f"\n{page}".count(f"\n# {detector.name}\n") == 1
    assert ("## What an undo brings back" in page) is (detector.cleanup is not None)
    for field in fields(detector):
        assert f"`{field.name}`" in page


@every_detector
def test_its_grants_exist_and_only_read(detector: type[Detector[Any]]) -> None:
    for grant in detector().reads:
        assert grant.action.lower() in known_actions()
        if grant.action in READS_ALL_THE_SAME:
            continue
        assert grant.action.lower() in reading_actions(grant.action.partition(":")[0])


@every_detector
def test_it_has_decide_tables(detector: type[Detector[Any]]) -> None:
    assert (ROOT / "tests" / "unit" / f"test_{detector.name.replace('-', '_')}.py").exists()


def kind_of(candidate: Any) -> str:
    return str(candidate.target.kind)


class TestReads:
    @pytest.mark.parametrize(
        "rule",
        share(
            [
                *(detector() for detector in DETECTORS),
                DuplicateArtifacts(read_contents_in=("meridian-ml-models",)),
            ],
            2,
            ids=lambda rule: "contents" if getattr(rule, "read_contents_in", ()) else rule.name,
        ),
    )
    def test_it_reads_exactly_what_it_declares(
        self, rule: Detector[Any], read_only: Control, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Over the demo account: finding, and looking again at some of each kind that were found."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", read_only.url)
        session = boto3.Session(region_name=REGION)
        if isinstance(rule, DuplicateArtifacts):  # else CloudTrail is not asked; it keeps all from others
            one_of_each.without_configuration(session.client("sagemaker"), "locked")
        read_only.clear_calls()
        with open_regions(session, account=ACCOUNT, regions=[REGION], attempts=2, pace=None) as accounts:
            (aws,) = accounts
            found = candidates(rule, aws, NOW)
            for _, alike in groupby(sorted(found, key=kind_of), kind_of):
                some = list(alike)
                if type(rule).look is Detector.look:  # which reads everything again, whichever it is for
                    some = some[:1]
                more = random.Random(SEED).sample(some[2:], min(4, len(some[2:])))  # noqa: S311
                for candidate in (*some[:2], *more):
                    rule.look(aws, candidate.target, NOW)
        recorded = {IAM_NAMES.get(call, call) for call in read_only.calls()}
        if isinstance(rule, DuplicateArtifacts):
            session.client("sagemaker").delete_endpoint(EndpointName="rare-lost")

        declared = {grant.action for grant in rule.reads if not grant.implied}
        assert recorded - declared == set()
        assert declared - recorded == set()


ACTING: Mapping[str, Mapping[str, Any]] = {
    "untagged-resources": {"fill_tags": {"environment": "unknown", "team": "unknown"}},
    "storage-tiering": {"act_on_buckets": ("meridian-ml-scratch",)},
}
"""Tunables under which a detector acts on something in the demo account, where its defaults do not."""


@every_actor
def test_what_it_may_change_exists_and_is_narrow(detector: type[Detector[Any]]) -> None:
    rule = detector(**ACTING.get(detector.name, {}))
    for grant in (*rule.acts, *rule.undoes):
        assert grant.action.lower() in known_actions()
        if grant.action.lower() not in reading_actions(grant.action.partition(":")[0]):
            assert grant.on != "*", f"{grant.action} could change anything"


@pytest.mark.parametrize(
    "adviser", [one for one in DETECTORS if one.cleanup is None], ids=lambda one: one.name
)
def test_an_adviser_can_do_nothing(adviser: type[Detector[Any]]) -> None:
    assert (adviser().acts, adviser().undoes) == ((), ())


@pytest.fixture(scope="class")
def read_only(_sandbox: Sandbox) -> Control:
    """The same for all rules that only read it."""
    box = Control(_sandbox.url)
    box.reset()
    box.set_durations({"*": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", box.url)
        return seeded(box, boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION))


def seeded(box: Control, session: boto3.Session) -> Control:
    """The demo account, and what it lacks: a monitor, a registry, a shadow test, images, locks."""
    seed_demo(box)
    one_of_each.monitoring(session, box, "churn-xgb-blue")
    one_of_each.traffic(box)
    one_of_each.repeats(session, box)
    one_of_each.savings_plan(box)
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    one_of_each.hyperpod(sagemaker)
    image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/serving:1"
    session.client("ecr").create_repository(repositoryName="serving")
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    for copy in ("a", "b"):
        s3.put_object(Bucket="locked", Key=f"{copy}/model.tar.gz", Body=b"m" * 1024**2)
    container: Any = {"Image": image, "ModelDataUrl": "s3://locked/a/model.tar.gz"}
    specification: Any = {
        "Containers": [container],
        "SupportedContentTypes": ["application/json"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    role = f"arn:aws:iam::{ACCOUNT}:role/ml"
    sagemaker.create_model(ModelName="locked", ExecutionRoleArn=role, PrimaryContainer=container)
    sagemaker.create_model_package_group(ModelPackageGroupName="registered")
    sagemaker.create_model_package(
        ModelPackageGroupName="registered",
        InferenceSpecification=specification,
        ModelApprovalStatus="Approved",
    )
    one_of_each.shadow_test(session)
    one_of_each.untold_model(session)
    sagemaker.create_pipeline(**pipeline_request("rare"))
    one_of_each.pipeline_run(session, box)
    build_rare(session, box, NOW)
    return box


FORBIDDEN = ("datetime.now", "datetime.utcnow", "date.today", "time.time", "os.environ", "os.getenv")
"""What reads the clock or the environment."""


def test_only_edges_read_clock_and_environment() -> None:
    for path in modules():
        if path.name == "handlers.py":  # an edge
            continue
        tree = ast.parse(path.read_text())
        used = (
            ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and read(node)
        )

        assert [name for name in used if name.endswith(FORBIDDEN)] == [], path
        assert list(edges_imported(tree)) == [], path


def read(node: ast.Attribute) -> bool:
    """Whether the last part of a dotted name is one of those."""
    return any(name.endswith(f".{node.attr}") for name in FORBIDDEN)


def edges_imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports that reads the clock or the environment, or hides by another name what does."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (one.name for one in names if one.name in {"time", "os", "datetime"})
            case ast.ImportFrom("time", names):
                yield from (one.name for one in names if one.name != "perf_counter")
            case ast.ImportFrom("os", names):
                yield from (one.name for one in names)
            case ast.ImportFrom("datetime", names):
                yield from (one.name for one in names if one.asname is not None)


@cases(
    "smuggled",
    "import time as t",
    "import os",
    "import datetime as dt",
    "from time import time",
    "from time import monotonic as seconds",
    "from os import environ",
    "from datetime import datetime as d",
    "def f():\n    from datetime import date as day",
)
def test_a_clock_smuggled_in_by_an_import_is_seen(smuggled: str) -> None:
    assert list(edges_imported(ast.parse(smuggled)))
    assert not list(
        edges_imported(ast.parse("from datetime import UTC, datetime\nfrom time import perf_counter"))
    )
