"""Three nights over the demo account: what they leave is what was said, no more and no less."""

from __future__ import annotations

import io
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters
from botocore.exceptions import ClientError
from rich.console import Console

from conftest import REGION, seed_demo
from docs import pictures
from ml_janitor.acting.savings import savings_by_day
from ml_janitor.core.model import HOURS_PER_MONTH, Finding
from ml_janitor.core.results import Outcome, Report, Result, Sweep
from ml_janitor.ledger.actions import Action, Stage
from ml_janitor.report.warnings import Button
from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import TABLES
from ml_janitor_sandbox.demo.case_study import dollars
from ml_janitor_sandbox.demo.endpoints import Endpoint
from ml_janitor_sandbox.demo.notebooks import Notebook
from ml_janitor_sandbox.demo.studio import App
from ml_janitor_sandbox.deployment import deploy
from ml_janitor_sandbox.night import Played, play
from ml_janitor_sandbox.night.deployment import Deployment
from ml_janitor_sandbox.night.script import Digest, Pressed, Script, Swept, local
from ml_janitor_sandbox.server import Sandbox
from narrowing import not_none
from standin import ROOT

READS = re.compile(
    r"[\w-]+:(Batch)?(Describe|Get|Head|List|Lookup|Query|Search)|dynamodb:|kms:|lambda:Invoke"
)
"""What changes nothing of the account's, but for the ledger, its signatures, and functions handed work."""

GRACE = {
    "idle-endpoints": timedelta(days=3),
    "duplicate-artifacts": timedelta(days=3),
    "forgotten-leftovers": timedelta(days=3),
    "storage-tiering": timedelta(days=3),
    "idle-studio-apps": timedelta(days=1),
    "untagged-resources": timedelta(days=1),
    "idle-notebooks": timedelta(hours=1),
    "hung-training-jobs": timedelta(hours=2),
}


A_DAY_OF_LOGS = Decimal("0.30")
"""What is older than a retention is counted in whole days, and so differs by the hour of the sweep."""

STOPPED_IN_THE_EVENING = "margin-guardrails"
"""It was stopped before the first night too, and no waste then."""


class Lived(NamedTuple):
    """What the nights left, and what was printed."""

    played: Played
    text: str
    before: dict[str, str]
    after: dict[str, str]
    requests: list[dict[str, str]]
    charges: list[dict[str, Any]]


@pytest.fixture(scope="module")
def lived(_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """The three nights, once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", _sandbox.url),
            ("AWS_ACCESS_KEY_ID", "AKIASANDBOX"),
            ("AWS_SECRET_ACCESS_KEY", "sandbox"),
            ("AWS_DEFAULT_REGION", REGION),
        ):
            patch.setenv(name, value)
        Control(_sandbox.url).reset()
        seed_demo(Control(_sandbox.url))
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        variables = deploy(_sandbox.url)
        Control(_sandbox.url).clear_calls()
        printed = io.StringIO()
        console = Console(width=100, highlight=False, markup=False, emoji=False, file=printed)
        before = standing()
        played = play(_sandbox.url, variables, console, tmp_path_factory.mktemp("night"))
        requests = Control(_sandbox.url).requests()
        charges = Control(_sandbox.url).charges()
        yield Lived(played, printed.getvalue(), before, standing(), requests, charges)


def standing() -> dict[str, str]:
    """What stands in the account, and in which state: endpoints, notebooks, apps, and artifacts."""
    session = boto3.Session(region_name=REGION)
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    there: dict[str, str] = {}
    for endpoint in pages(sagemaker, "list_endpoints", "Endpoints"):
        there[endpoint["EndpointName"]] = endpoint["EndpointStatus"]
    for notebook in pages(sagemaker, "list_notebook_instances", "NotebookInstances"):
        there[f"notebook {notebook['NotebookInstanceName']}"] = notebook["NotebookInstanceStatus"]
    for app in pages(sagemaker, "list_apps", "Apps"):
        there[f"app {app.get('SpaceName') or app['UserProfileName']}/{app['AppType']}"] = app["Status"]
    for thing in pages(s3, "list_objects_v2", "Contents", Bucket="meridian-ml-models"):
        there[f"meridian-ml-models/{thing['Key']}"] = "there"
    return there


def pages(client: Any, operation: str, member: str, **asked: Any) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(**asked):
        yield from page.get(member, [])


def sweeps(played: Played) -> Iterator[Sweep]:
    for one in played.happened:
        match one:
            case Swept(_, sweep):
                yield sweep
            case Pressed():
                yield from one.sweeps


def results(played: Played, outcome: Outcome) -> list[Result]:
    return [one for sweep in sweeps(played) for one in sweep.results if one.outcome is outcome]


def monthly(report: Report, only: Collection[str] | None = None) -> Decimal:
    """Dollars a month of what *report* found and that stands for good, by its own evidence."""
    found = [one for one in report.results if only is None or one.target.key in only]
    costs = [one.verdict.cost for one in found if isinstance(one.verdict, Finding)]
    return sum((cost.monthly_usd for cost in costs if cost and cost.monthly_usd), Decimal(0))


def burning(report: Report) -> Decimal:
    """Dollars an hour of the jobs and pools that *report* found."""
    costs = [one.verdict.cost for one in report.results if isinstance(one.verdict, Finding)]
    return sum((cost.hourly_usd or Decimal(0) for cost in costs if cost and cost.accrued_usd), Decimal(0))


def test_a_fresh_audit_finds_less_by_exactly_what_the_actions_say_they_end(lived: Lived) -> None:
    played = lived.played
    back = {line.detector: line.wanted_back for line in played.bill}
    acted = [
        one
        for one in played.actions
        if one.stage is Stage.ACTED
        and one.detector != "hung-training-jobs"
        and one.target.name != STOPPED_IN_THE_EVENING
    ]
    hourly = [one.hourly_usd for one in acted if one.hourly_usd]
    ended = sum(hourly, Decimal(0)) * HOURS_PER_MONTH
    moved = {one.target.key for one in acted if one.detector == "storage-tiering"}
    later = monthly(played.before, only=moved)  # which nobody claims to have saved yet
    wanted = sum((one.monthly_usd or Decimal(0) for ones in back.values() for one in ones), Decimal(0))

    assert ended > 7_000
    stored = {one.target.key for one in played.after.findings if one.target.kind == "repository"}
    grown = monthly(played.after, only=stored) - monthly(played.before, only=stored)  # images get old
    assert monthly(played.before) - monthly(played.after) == pytest.approx(
        ended + wanted + later - grown, abs=A_DAY_OF_LOGS
    )
    assert burning(played.before) > 60
    assert burning(played.after) < 2
    left = {one.target.name for one in played.after.findings if one.detector == "hung-training-jobs"}
    assert left == {row.name for row in TABLES["hung-training-jobs"] if row.likely_waste}
    assert [one.target.name for one in back["idle-endpoints"]] == ["video-moderation-batch"]
    assert all(line.otherwise == () for line in played.bill)
    new = {one.target.key for line in played.bill for one in line.after} - {
        one.target.key for line in played.bill for one in line.before
    }
    assert new == set()


class Unarmed(Script):
    """The same people and the same days, and no janitor."""

    def _swept(self, day: int, clock: str, detectors: Sequence[str]) -> Iterator[Swept]:
        del detectors
        self.deployment.at(local(day, clock))
        yield from ()

    def _nothing_new(self, day: int, clock: str, detectors: Sequence[str]) -> None:
        list(self._swept(day, clock, detectors))

    def _pressed(self, day: int, clock: str, person: str, word: Button, name: str) -> Pressed:
        self.deployment.at(local(day, clock))
        return Pressed(at=local(day, clock), who=person, word=word, what=name)

    def _digest(self, day: int, clock: str) -> Digest:
        self.deployment.at(local(day, clock))
        return Digest(local(day, clock), ())

    def _calls(self, day: int, clock: str, person: str, operation: str, notebook: str) -> None:
        with suppress(ClientError):  # nobody stopped what they start
            super()._calls(day, clock, person, operation, notebook)


def charged(charges: Iterable[dict[str, Any]], until: datetime) -> dict[str, Decimal]:
    """What each resource is charged from the first night on, by its ARN in lower case."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for one in charges:
        sums[one["resource"].lower()] += dollars(one, (demo.NOW, until))
    return sums


def test_saved_is_the_difference_to_an_account_left_alone(lived: Lived, box: Control, tmp_path: Path) -> None:
    """What the actions claim is what AWS does not charge; whatever else it does not, they say is unknown."""
    seed_demo(box)
    other = Deployment(box.url, tmp_path, {}, demo.NOW)
    with other.deployed():
        list(Unarmed(other).nights())
    unarmed = charged(box.charges(), other.now)
    armed = charged(lived.charges, other.now)

    less = {arn: usd - armed[arn] for arn, usd in unarmed.items() if round(usd - armed[arn], 2)}
    acted = [one for one in lived.played.actions if one.ended is not None]
    known = {one.target.arn.lower() for one in acted if one.hourly_usd}
    unknown = {one.target.arn.lower() for one in acted if one.hourly_usd is None}
    saved = sum(savings_by_day(acted, demo.NOW.date(), other.now).values(), Decimal(0))
    assert set(less) <= known | unknown
    assert all(usd > 0 for usd in less.values())
    assert saved > 7_000
    assert float(saved) == pytest.approx(float(sum(less[arn] for arn in less if arn in known)), rel=0.01)
    assert {arn.rpartition(":")[2].partition("/")[0] for arn in less if arn in unknown} == {
        "app",  # Canvas is billed by the session, not by instance
        "endpoint",  # of an instance type that no price list has
        "training-job",  # its warm pool
    }


def test_what_was_kept_stands_and_what_was_undone_is_back(lived: Lived) -> None:
    for name in ("price-elasticity-poc", "fraud-graph-ab-test"):
        assert lived.after[name] == "InService"
    assert lived.after["video-moderation-batch"] == "InService"
    assert lived.after["notebook forecast-backtest"] == "InService"
    undone = {one.target.name: one.undone_by for one in lived.played.actions if one.stage is Stage.UNDONE}
    assert sorted(undone) == ["forecast-backtest", "video-moderation-batch"]
    assert all(by.startswith("Daniel Okafor") for by in undone.values())


def test_nothing_is_touched_that_was_not_warned_about_long_enough_before(lived: Lived) -> None:
    warned = {one.target.key: one for one in results(lived.played, Outcome.WARNED)}
    assert lived.played.actions
    for action in lived.played.actions:
        due = not_none(warned[action.target.key].due)
        assert action.by or action.began >= due, action.target.name
        assert action.by or action.began - action.warned >= GRACE[action.detector], action.target.name


def test_nothing_else_in_the_account_is_another_than_before(lived: Lived) -> None:
    acted = {label(one) for one in lived.played.actions if one.stage is Stage.ACTED}
    acted.remove(f"notebook {STOPPED_IN_THE_EVENING}")
    changed = {name for name, status in lived.before.items() if lived.after.get(name) != status}
    by_people = set(people_ended())

    assert changed - by_people == acted & set(lived.before)
    assert len(changed - by_people) == 12
    assert not acted & by_people


def label(action: Action) -> str:
    """The name that `standing` has for what *action* was about; tags and jobs do not stand there."""
    target, kind = action.target, action.detector
    if kind in {"untagged-resources", "hung-training-jobs"}:
        return "not an endpoint, a notebook, an app or an artifact"
    if kind == "idle-studio-apps":
        return f"app {target.name.removesuffix('/default')}"
    return f"notebook {target.name}" if kind == "idle-notebooks" else target.name


def people_ended() -> Iterator[str]:
    """What its own people end on the first evening: they go home."""
    for row in (*TABLES["idle-notebooks"], *TABLES["idle-studio-apps"]):
        if not row.in_use:
            continue
        match row:
            case Notebook(stopped=None):
                yield f"notebook {row.name}"
            case App():
                owner = row.person if row.app in {"Canvas", "JupyterServer"} else row.name
                yield f"app {owner}/{row.app}"


def test_every_endpoint_in_use_production_or_managed_is_as_it_was(lived: Lived) -> None:
    endpoints = [row for row in TABLES["idle-endpoints"] if isinstance(row, Endpoint)]
    spared = [
        row
        for row in endpoints
        if not (row.waste or row.likely_waste)
        or row.environment == "production"
        or row.managed_by != "manual"
    ]
    assert len(spared) > 30
    assert {row.name: lived.after.get(row.name) for row in spared} == {
        row.name: lived.before[row.name] for row in spared
    }


def test_only_the_janitors_own_actions_changed_the_account(lived: Lived) -> None:
    changes = Counter(
        f"{one['service']}:{one['operation']}"
        for one in lived.requests
        if one["principal"] == "AKIASANDBOX" and not READS.match(f"{one['service']}:{one['operation']}")
    )
    done = Counter(one.detector for one in lived.played.actions)
    changes.pop("s3:PutObject")  # reports
    assert changes["sagemaker:DeleteEndpoint"] == done["idle-endpoints"] == 3
    assert changes["sagemaker:StopNotebookInstance"] == done["idle-notebooks"] == 9
    assert changes["sagemaker:DeleteApp"] == done["idle-studio-apps"] == 1
    assert changes["s3:DeleteObject"] == done["duplicate-artifacts"] == 2
    assert changes["logs:PutRetentionPolicy"] == done["forgotten-leftovers"] == 1
    assert changes["s3:PutBucketLifecycleConfiguration"] == done["storage-tiering"] == 1
    assert changes["sagemaker:CreateEndpoint"] == changes["sagemaker:StartNotebookInstance"] == 1
    assert set(changes) == {
        "logs:PutRetentionPolicy",
        "sagemaker:AddTags",
        "sagemaker:CreateEndpoint",
        "sagemaker:DeleteApp",
        "sagemaker:DeleteEndpoint",
        "sagemaker:StartNotebookInstance",
        "sagemaker:StopNotebookInstance",
        "sagemaker:StopTrainingJob",
        "sagemaker:UpdateTrainingJob",
        "s3:DeleteObject",
        "s3:PutBucketLifecycleConfiguration",
        "s3:TagResource",
    }


def test_the_documentation_shows_the_nights_as_they_are(lived: Lived) -> None:
    """`make docs` writes them; its --check leaves them to this test, which has played the nights anyway."""
    assert lived.text.rstrip() in (ROOT / "docs" / "night.md").read_text()


def test_the_pictures_of_the_readme_show_what_the_program_says(lived: Lived) -> None:
    """`make pictures` makes them again."""
    assert pictures.outdated(lived.played) == []


def test_nobody_outside_the_group_hurries_anything(lived: Lived) -> None:
    pressed = [one for one in lived.played.happened if isinstance(one, Pressed)]
    refused = [one for one in pressed if one.refused]
    assert [(one.who, one.what) for one in refused] == [("Ravi Menon", "ranker-bert-large-canary")]


def test_the_story_is_told_whole_in_a_hundred_columns(lived: Lived) -> None:
    assert max(map(len, lived.text.splitlines())) <= 100
    assert not any(line != line.rstrip() for line in lived.text.splitlines())
    assert results(lived.played, Outcome.FAILED) == []
    assert "A limit: 3 held back by max_actions = 4 for one sweep." in lived.text
    (digest,) = (one for one in lived.played.happened if isinstance(one, Digest))
    (saved,) = (line for line in digest.lines if line.startswith("*Saved so far this month:*"))
    assert saved.endswith("by 15 actions. It leaves out 3 actions whose savings are unknown."), (
        "tags save nothing"
    )
    assert not any("duplicate" in line and "found" in line for line in digest.lines), "they are deleted"
    for result in results(lived.played, Outcome.WARNED):
        if result.monthly_usd:
            assert result.target.name[:20] in lived.text
