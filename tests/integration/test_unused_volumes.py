"""unused-volumes over the sandbox: which listings, descriptions, logs and pages decide."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, SECOND
from loaded_endpoints import told
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Result
from ml_janitor.detectors.unused_volumes import UnusedVolumes
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from sagemaker_requests import notebook_request
from studio_seed import DAY, GROUP, HOUR, Studio, spelled
from tables import cases
from verdicts import sweep_once

KEEP: Any = {"janitor:keep": "true"}
UNUSED = ("found", "no app ran in this space for 30 days")


class Desks(Studio):
    """Spaces with volumes and logs, in one domain or another."""

    def desk(
        self,
        name: str,
        owner: str = "anna",
        *,
        age: timedelta = 60 * DAY,
        size: int | None = 100,
        **more: Any,
    ) -> None:
        volume = {} if size is None else {"EbsStorageSettings": {"EbsVolumeSizeInGb": size}}
        storage = {"SpaceStorageSettings": volume} if volume else {}
        with self.box.at(NOW - age):
            self.space(name, owner, {"AppType": "JupyterLab", **storage}, **more)

    def wrote(self, stream: str, ago: timedelta) -> None:
        self.box.logs(GROUP, stream, [(NOW - ago, "Saving file")])


def stopped(box: Control, name: str, *, since: timedelta | None, size: int = 50, **tags: str) -> None:
    """A notebook instance that was stopped so long ago; None is one that runs."""
    sagemaker = boto3.client("sagemaker")
    asked = notebook_request(name, "ml.t3.medium", VolumeSizeInGB=size, Tags=spelled(tags))
    with box.at(NOW - 100 * DAY):
        sagemaker.create_notebook_instance(**asked)
    if since is not None:
        with box.at(NOW - since):
            sagemaker.stop_notebook_instance(NotebookInstanceName=name)


@pytest.fixture
def desks(box: Control, session: boto3.Session) -> Desks:
    made = Desks(box, session)
    made.profile("anna")
    return made


def swept(aws: Aws, theirs: str = "", error: str = "None") -> dict[str, Result]:
    """By name, after "their" where it is in the domain *theirs*."""
    sweep = sweep_once(UnusedVolumes(), aws)
    assert error in str(sweep.error)
    return {
        f"{'their ' if one.target.arn.split('/')[1] == theirs else ''}{one.target.name}": one
        for one in sweep.results
    }


def monthly(result: Result) -> Decimal | None:
    return not_none(of_type(Finding, result.verdict).cost).monthly_usd


def test_instances_that_stopped_long_ago_are_described_for_gigabytes(box: Control, aws: Aws) -> None:
    box.set_pages(1)
    stopped(box, "old", since=30 * DAY, size=200)
    stopped(box, "older", since=45 * DAY)
    stopped(box, "kept", since=45 * DAY, **KEEP)
    stopped(box, "recent", since=30 * DAY - SECOND)
    stopped(box, "runs", since=None)
    box.clear_calls()

    found = swept(aws)

    expected = {
        "old": ("found", "its 200 GB are billed, and it has been stopped for 30 days"),
        "older": ("found", "its 50 GB are billed, and it has been stopped for 45 days"),
        "kept": ("kept", "janitor:keep"),
        "recent": ("kept", "judged from 30 days on"),
        "runs": ("kept", "it is InService"),
    }
    assert told(found, expected) == expected
    assert monthly(found["old"]) == 200 * Decimal("0.14")
    assert found["old"].target.arn == f"arn:aws:sagemaker:{aws.region}:{ACCOUNT}:notebook-instance/old"
    assert box.calls()["sagemaker:DescribeNotebookInstance"] == 3
    assert box.calls()["sagemaker:ListNotebookInstances"] == 5


def test_a_space_is_used_by_its_own_apps_and_their_logs_alone(desks: Desks, aws: Aws, box: Control) -> None:
    """One that another domain or a longer name begins with uses nothing of it."""
    other = Desks(box, boto3.Session(region_name=aws.region))
    other.profile("ben")
    for name, given in (
        ("unused", {}), ("runs", {}), ("wrote", {}), ("desk", {}), ("desk-2", {}),
        ("no-volume", {"size": None}),
        ("young", {"age": 29 * DAY}), ("shared", {"sharing": "Shared"}), ("tagged", KEEP),
    ):  # fmt: skip
        desks.desk(name, **given)
    other.desk("theirs", "ben")
    for domain, space in ((desks.domain, "runs"), (other.domain, "unused")):
        where = {"DomainId": domain, "SpaceName": space, "AppType": "JupyterLab", "AppName": "default"}
        if domain == other.domain:
            other.desk("unused", "ben")
        desks.sagemaker.create_app(**where)
    streams = [f"{desks.domain}/desk-2/JupyterLab/{number}" for number in range(50)]
    for stream in (*streams, f"{other.domain}/desk/JupyterLab/default"):
        desks.wrote(stream, HOUR)
    desks.wrote(f"{desks.domain}/Wrote/JupyterLab/default", 30 * DAY)
    desks.wrote(f"{desks.domain}/shared/JupyterLab/default", 30 * DAY + SECOND)
    box.set_pages(1)

    found = swept(aws, other.domain)

    expected = {
        "unused": UNUSED,
        "runs": ("kept", "used: apps: JupyterLab default, InService"),
        "wrote": ("kept", "used: log: 2026-09-06 03:00:00+00:00"),
        "desk": UNUSED,
        "desk-2": ("kept", "used: log: 2026-10-06 02:00:00+00:00"),
        "no-volume": ("kept", "it has no volume of its own"),
        "young": ("kept", "stopped or changed 29 days ago"),
        "shared": UNUSED,
        "tagged": ("kept", "janitor:keep"),
        "their theirs": UNUSED,
        "their unused": ("kept", "used: apps"),
    }
    assert told(found, expected) == expected
    assert monthly(found["unused"]) == 100 * Decimal("0.14")


@pytest.mark.parametrize("above", ["domain", "profile"])
def test_whoever_keeps_the_domain_or_the_profile_keeps_the_space(desks: Desks, aws: Aws, above: str) -> None:
    desks.desk("mine")
    desks.profile("ben")
    desks.desk("his", "ben")
    path = desks.domain if above == "domain" else f"{desks.domain}/ben"
    kind = "domain" if above == "domain" else "user-profile"
    arn = f"arn:aws:sagemaker:{aws.region}:{ACCOUNT}:{kind}/{path}"
    desks.sagemaker.add_tags(ResourceArn=arn, Tags=spelled(KEEP))

    found = swept(aws)

    kept = ("kept", "janitor:keep")
    expected = {"mine": kept if above == "domain" else UNUSED, "his": kept}
    assert told(found, expected) == expected


@cases(
    "call, name, verdict",
    ("logs:DescribeLogStreams", "desk", ("unknown", "whether it is used is unknown")),
    (
        "sagemaker:ListApps",
        "desk",
        ("unknown", "whether it is used is unknown (sagemaker:ListApps broke off"),
    ),
    ("sagemaker:DescribeNotebookInstance", "notebook", ("unknown", "its volume is unknown")),
)
def test_what_may_not_be_read_is_unknown(
    desks: Desks, aws: Aws, call: str, name: str, verdict: tuple[str, str]
) -> None:
    desks.desk("desk")
    stopped(desks.box, "notebook", since=45 * DAY)
    service, _, operation = call.partition(":")
    desks.box.fault(service, operation, "deny", times=0)

    found = swept(aws, error="sagemaker:ListApps broke off" if operation == "ListApps" else "None")
    assert told({name: found[name]}, {name: verdict}) == {name: verdict}
