"""`janitor doctor` against the sandbox: it names what is missing, and nothing else."""

import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from commands import Janitor
from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import Aws
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor.engine.detector import Detector
from ml_janitor_cli.probes import CALLS_BY_ACTION, ProbeAnswer, probe_grants
from ml_janitor_sandbox.control import Control
from samples import share
from tables import cases

BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Control:
    """An account with nothing but the bucket that SageMaker makes by default."""
    session.client("s3").create_bucket(Bucket=BUCKET)
    box.clear_calls()
    return box


READS = sum(not grant.implied for grant in IdleEndpoints.reads)
STOPS = 'idle-notebooks.stop_outside_hours=["team-*"]'
ACTIONS = sorted({grant.action for one in DETECTORS for grant in one().reads if not grant.implied})


def smallest_with(action: str) -> type[Detector[Any]]:
    """The detector with the fewest reads that has *action* among them."""
    having = [one for one in DETECTORS if action in {grant.action for grant in one().reads}]
    return min(having, key=lambda one: len(one().reads))


@pytest.mark.parametrize("detector", share(DETECTORS, 5, ids=lambda detector: detector.name))
def test_only_a_denied_action_is_refused(account: Control, aws: Aws, detector: type[Detector[Any]]) -> None:
    for action in (action for action in ACTIONS if smallest_with(action) is detector):
        service, name = action.split(":")
        account.clear_faults()
        account.fault(service, CALLS_BY_ACTION.get(action, name), "deny", times=0)

        answers = probe_grants(aws, detector().reads, now=NOW, buckets=[])

        assert {one.grant.action for one in answers if one.answer is ProbeAnswer.REFUSED} == {action}
        assert not [one for one in answers if one.answer is ProbeAnswer.FAILED]


@cases(
    "action, left",
    ("sagemaker:ListTags", READS - 2),  # of endpoints, and of inference components
    ("tag:GetResources", READS - 1),
    ("cloudwatch:GetMetricData", READS - 1),
)
def test_only_the_missing_action_is_named(account: Control, janitor: Janitor, action: str, left: int) -> None:
    service, operation = action.split(":")
    account.fault(service, operation, "deny", times=0)

    ran = janitor("doctor", "idle-endpoints")

    assert ran.status == 1
    assert ran.headline == f"1 action refused: {action}."
    (row,) = re.findall(r"^idle-endpoints .*$", ran.out, re.MULTILINE)
    assert re.fullmatch(rf"idle-endpoints +{left} of {READS} +{action}", row)
    assert f"Refused: 1 action {action} (idle-endpoints)" in ran.flat
    assert f"is not authorized to perform: {action}" in ran.flat
    assert "`janitor doctor --policy` prints the IAM policy that allows" in ran.flat


@pytest.mark.usefixtures("account")
@cases(
    "given, named",
    (("idle-notebooks.schedule=rate(1 hour)", STOPS), ""),
    (("idle-notebooks.schedule=cron(0 3 * * ? *)", STOPS), "may not run then on Mon, Tue, Wed, Thu, Fri"),
    (("bill.enabled=true", "bill.max_requests=7"), "a reading asks for 8 pages at least"),
    (("bill.enabled=true", "bill.max_requests=8"), ""),
)
def test_settings_without_notice_are_named(janitor: Janitor, given: tuple[str, ...], named: str) -> None:
    ran = janitor("doctor", "idle-notebooks", *(word for one in given for word in ("--set", one)))

    assert ran.status == int(bool(named))
    assert named in ran.flat
    assert ("\nbut " in ran.out) is bool(named)


def test_an_account_where_all_is_allowed(account: Control, janitor: Janitor) -> None:
    ran = janitor("doctor")

    assert (ran.status, ran.err) == (0, "")
    assert ran.headline == "Everything that could be tried is allowed."
    assert "--policy" not in ran.out
    for detector in DETECTORS:
        probed = sum(not grant.implied for grant in detector().reads)
        assert re.search(rf"^{detector.name} +{probed} of {len(detector().reads)}\b", ran.out, re.MULTILINE)
    assert "missing" in ran.out
    assert re.search(rf"identity +arn:aws:\S+:{ACCOUNT}:\S+", ran.out)
    assert re.search(rf"account +{ACCOUNT}", ran.out)
    assert re.search(rf"regions +{REGION} \(from the session\)", ran.out)
    assert f"{account.url} (AWS_ENDPOINT_URL)" in ran.out
    assert "the defaults (there is no janitor.toml here)" in ran.out
    assert "the Price List API answers" in ran.out
    assert max(map(len, ran.out.splitlines())) == 100
    assert "\x1b" not in ran.out
    for call in account.calls():
        assert re.match(r"[\w-]+:(Batch)?(List|Describe|Get|Head|Lookup|Search)", call)


@pytest.mark.usefixtures("account")
def test_it_says_where_settings_come_from_and_which_are_set(janitor: Janitor, tmp_path: Path) -> None:
    (tmp_path / "janitor.toml").write_text('[janitor]\nregions = ["eu-west-1"]\n')
    other = tmp_path / "other.toml"
    other.write_text('[detectors.idle-endpoints]\nwindow = "14d"\nmin_age = "7d"\n')
    switched_off = ("--set", "idle-studio-apps.enabled=false")

    ran = janitor("doctor", "--config", other, *switched_off)

    assert re.search(r"regions +eu-west-1 \(from the settings\)", ran.out)
    assert "./janitor.toml," in ran.out
    assert "1 of --set" in ran.flat
    assert "idle-endpoints.window = 14d  default 7d" in ran.out
    assert "idle-studio-apps.enabled = false  default true" in ran.out
    assert "min_age" not in ran.out
    assert re.search(r"switched off +idle-studio-apps", ran.out)
    assert not re.search(r"idle-studio-apps +\d+ of", ran.out)


@pytest.mark.usefixtures("account")
def test_an_armed_detector_that_could_never_act_is_named(account: Control, janitor: Janitor) -> None:
    del account
    arms: tuple[str, ...] = (
        "--set",
        "idle-notebooks.mode=act",
        "--set",
        f'idle-notebooks.act_in=["{ACCOUNT}"]',
    )

    without = janitor("doctor", "idle-notebooks", *arms)

    assert without.status == 1
    assert (
        "nothing is acted on without a delivered warning: set janitor.slack_secret or notify.email"
        in without.flat
    )
    arms += ("--set", "janitor.slack_secret=x")
    assert "set janitor.ledger_writers" in janitor("doctor", "idle-notebooks", *arms).flat
    arms += ("--set", f'janitor.ledger_writers=["arn:aws:iam::{ACCOUNT}:role/operators"]')
    assert janitor("doctor", "idle-notebooks", *arms).status == 0


@pytest.mark.usefixtures("account")
def test_it_says_whose_objects_are_read(janitor: Janitor) -> None:
    named = ("--set", 'duplicate-artifacts.read_contents_in=["our-models"]')

    closed, opened = (
        janitor("doctor", "duplicate-artifacts"),
        janitor("doctor", "duplicate-artifacts", *named),
    )

    until = "copies are likely at most, until duplicate-artifacts.read_contents_in says where"
    assert f"contents no object is read: {until}" in closed.flat
    assert "contents objects are read, and copies proven, under s3://our-models/" in opened.flat
    assert "contents" not in janitor("doctor", "idle-notebooks").out


def test_a_refusal_in_one_region_and_a_disabled_region_are_named(janitor: Janitor, account: Control) -> None:
    invalid = {"status": 403, "code": "InvalidClientTokenId", "message": "The security token is invalid."}
    account.fault("*", "*", "error", region="eu-central-2", times=0, **invalid)
    account.fault("sagemaker", "ListEndpoints", "deny", times=1)
    regions = [word for region in (REGION, "eu-west-1", "eu-central-2") for word in ("--region", region)]

    ran = janitor("doctor", "idle-endpoints", *regions)

    assert f"sagemaker:ListEndpoints (in {REGION})" in ran.out
    assert f"{2 * READS - 1} of {2 * READS}" in ran.out
    assert re.search(r"not checked +region eu-central-2 is not enabled in account", ran.out)
    again = janitor("doctor", "idle-endpoints", *regions)
    assert (again.status, "Everything that could be tried is allowed." in again.out) == (1, True)


def test_what_nobody_answers_is_neither_allowed_nor_missing(account: Control, janitor: Janitor) -> None:
    account.fault("sagemaker", "ListEndpoints", "error", times=0)

    ran = janitor("doctor", "idle-endpoints")

    assert ran.status == 1
    assert ran.headline == "1 action not answered: sagemaker:ListEndpoints."
    assert f"{READS - 1} of {READS}" in ran.out


def test_refused_prices_come_from_the_table(account: Control, janitor: Janitor) -> None:
    account.fault("pricing", "GetProducts", "deny", times=0)

    ran = janitor("doctor", "untagged-resources")  # which has no prices, so that nothing it needs is missing

    assert ran.status == 0
    assert "the Price List API does not answer" in ran.out
    assert "so they come from the price table" in ran.flat


def test_an_unknown_identity_is_said_and_nothing_is_tried(account: Control, janitor: Janitor) -> None:
    account.fault("sts", "GetCallerIdentity", "deny", times=0)

    ran = janitor("doctor")

    assert ran.status == 1
    assert ran.headline == "The credentials could not be identified."
    assert "AccessDenied" in ran.out
    assert set(account.calls()) == {"sts:GetCallerIdentity"}


@pytest.mark.usefixtures("account")
def test_without_credentials_it_says_what_to_do(janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    ran = janitor("doctor")

    assert ran.status == 1
    assert "there are no AWS credentials" in ran.out
    assert re.search(r"credentials +none", ran.out)
