"""`janitor explain` and `janitor doctor` against the demo account, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.main import main
from conftest import ACCOUNT, REGION
from janitor.detectors import DETECTORS
from janitor.probes import OPERATIONS
from sandbox import demo
from sandbox.control import Control

IDLE = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/ranker-bert-large-canary"
GRANTS = sorted({grant.action for detector in DETECTORS for grant in detector.reads})
SIMPLE = [action for action in GRANTS if action.startswith(("sagemaker:", "cloudwatch:", "logs:", "tag:"))]


class Ran(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


type Janitor = Callable[..., Ran]


@pytest.fixture
def janitor(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Janitor:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JANITOR_NOW", "2026-10-06T03:00:00Z")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    def run(*args: str) -> Ran:
        capfd.readouterr()
        status = main(list(args))
        return Ran(status, *capfd.readouterr())

    return run


@pytest.fixture
def account(box: Control) -> Control:
    demo.seed(box.url)
    return box


@pytest.mark.usefixtures("account")
def test_a_finding_is_explained_by_every_detector_that_judges_it(janitor: Janitor) -> None:
    ran = janitor("explain", IDLE)

    assert ran.status == 0
    assert "idle-endpoints  found, proven" in ran.out
    assert "untagged-resources  kept" in ran.out
    assert "cloudwatch:GetMetricData" in ran.out
    assert "requests to variant" in ran.out
    assert "2. something runs that is billed by the hour" in ran.out
    assert "3. found, proven: no request in 7 days" in ran.out


@pytest.mark.usefixtures("account")
def test_an_exempt_resource_is_explained_with_its_signals(janitor: Janitor) -> None:
    kept = next(known for known in demo.LOOKALIKES if "keep" in known.why and "endpoint/" in known.arn)

    ran = janitor("explain", kept.arn)

    assert ran.status == 0
    assert "idle-endpoints  kept" in ran.out
    assert "requests to" in ran.out
    assert "kept: tagged" in ran.out


def test_an_unreadable_resource_is_an_error(account: Control, janitor: Janitor) -> None:
    account.fault("sagemaker", "DescribeEndpoint", "deny", times=0)

    ran = janitor("explain", IDLE)

    assert ran.status == 1
    assert "DescribeEndpoint" in ran.out


@pytest.mark.usefixtures("account")
def test_what_is_gone_is_said_to_be_gone(janitor: Janitor) -> None:
    ran = janitor("explain", IDLE.replace("ranker", "renamed"))

    assert ran.status == 0
    assert "idle-endpoints  gone" in ran.out


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(
    ("arn", "said"),
    [
        ("endpoint/mine", "is no ARN"),
        (f"arn:aws:iam::{ACCOUNT}:role/mine", "no detector judges"),
        (f"arn:aws:ec2:{REGION}:{ACCOUNT}:endpoint/mine", "no detector judges"),
        (IDLE.replace(ACCOUNT, "999999999999"), f"is not in account {ACCOUNT}"),
    ],
)
def test_a_wrong_arn_is_bad_usage(janitor: Janitor, arn: str, said: str) -> None:
    ran = janitor("explain", arn)

    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.usefixtures("account")
def test_a_healthy_account_is_refused_nothing(janitor: Janitor) -> None:
    ran = janitor("doctor", "--set", 'duplicate-artifacts.buckets=["meridian-ml-models"]')

    assert ran.status == 0
    assert f"account {ACCOUNT}, regions {REGION}" in ran.out
    assert "duplicate-artifacts.buckets" in ran.out
    assert "missing" not in ran.out
    for detector in DETECTORS:
        assert detector.name in ran.out


@pytest.mark.parametrize("action", SIMPLE)
def test_a_missing_permission_is_named_and_no_other(box: Control, janitor: Janitor, action: str) -> None:
    service, _, operation = action.partition(":")
    box.fault(service, operation, "deny", times=0)

    ran = janitor("doctor")

    assert ran.status == 1
    missing = {line.split()[1] for line in ran.out.splitlines() if line.strip().startswith("missing ")}
    assert missing == {action}


def test_every_read_is_tried_or_told_why_not(box: Control, janitor: Janitor) -> None:
    """Every declared read is tried, or the reason why it cannot be is printed."""
    ran = janitor("doctor")

    tried = {call.partition(":")[2] for call in box.calls()}
    for action in GRANTS:
        operation = OPERATIONS.get(action, action.partition(":")[2])
        assert operation in tried or action in ran.out.partition("could not be tried")[2]
