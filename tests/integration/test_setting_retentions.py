"""A retention is set on a log group that has none, and taken away again only while it is that one."""

from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, NOW, REGION
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Kept
from ml_janitor.core.tiering import GB
from ml_janitor.detectors.forgotten_leftovers.rule import ForgottenLeftovers
from ml_janitor.engine.detector import CannotActError
from ml_janitor_sandbox.control import Control
from recorded_acts import Memory, RecordedAct, found, prepared

NAME = "/aws/sagemaker/TrainingJobs"
RULE = ForgottenLeftovers()


class Account:
    """A group without a retention, and one whose name begins with its name."""

    def __init__(self, box: Control, session: boto3.Session, aws: Aws) -> None:
        self.box, self.aws = box, aws
        self.logs: Any = session.client("logs")
        with box.at(NOW - 300 * DAY):
            for name in (f"{NAME}/old", NAME):
                box.log_group(name, 50 * GB)

    def recorded(self) -> RecordedAct:
        return prepared(RULE, self.aws, found(RULE, self.aws, NAME))

    @property
    def days(self) -> int | None:
        groups = self.logs.describe_log_groups(logGroupNamePrefix=NAME)["logGroups"]
        days: int | None = next(one for one in groups if one["logGroupName"] == NAME).get("retentionInDays")
        return days

    def keep_for(self, days: int) -> None:
        self.logs.put_retention_policy(logGroupName=NAME, retentionInDays=days)

    def tag(self, **tags: str) -> None:
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{NAME}"
        self.logs.tag_resource(resourceArn=arn, tags=tags)


@pytest.fixture
def account(box: Control, session: boto3.Session, aws: Aws) -> Account:
    return Account(box, session, aws)


def test_a_retention_is_set_and_taken_away_again(account: Account) -> None:
    recorded = account.recorded()
    assert (recorded.record, account.days, recorded.settled()) == ({"days": 90}, None, False)

    recorded.act()
    assert (account.days, recorded.settled()) == (90, True)
    recorded.act()
    looked = RULE.look(account.aws, recorded.target, NOW)
    assert looked is not None
    assert isinstance(RULE.decide(looked, NOW), Kept)

    for _ in range(2):
        said = RULE.revert(account.aws.armed(), recorded.target, recorded.record, Memory())
        assert (account.days, recorded.settled()) == (None, False)
        assert said == f"{NAME} keeps every event again; those that expired do not come back"


def test_looking_again_reads_one_group(account: Account) -> None:
    recorded = account.recorded()
    account.box.clear_calls()

    RULE.look(account.aws, recorded.target, NOW)

    assert account.box.calls() == {
        "logs:DescribeLogGroups": 1,
        "cloudwatch:GetMetricData": 1,
        "pricing:GetProducts": 1,
        "tag:GetResources": 1,
    }


def test_what_somebody_set_meanwhile_is_theirs(account: Account) -> None:
    recorded = account.recorded()
    account.keep_for(365)
    with pytest.raises(CannotActError, match="365 days now"):
        recorded.act()
    assert account.days == 365


def test_what_somebody_set_since_is_not_taken_away(account: Account) -> None:
    recorded = account.recorded()
    recorded.act()
    account.keep_for(365)

    assert not recorded.settled()
    said = RULE.revert(account.aws.armed(), recorded.target, recorded.record, Memory())

    assert said == f"{NAME} keeps an event for 365 days, which somebody has set since"
    assert account.days == 365


@pytest.mark.parametrize("tags", [{"keep": "true"}, {"managed-by": "terraform"}])
def test_tags_that_the_tagging_api_does_not_know_yet_stop_it(
    account: Account, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    target = found(RULE, account.aws, NAME)
    candidate = RULE.look(account.aws, target, NOW)
    assert candidate is not None
    account.tag(**tags)
    monkeypatch.setattr(ForgottenLeftovers, "look", lambda *_: candidate)

    with pytest.raises(CannotActError, match="its tags were changed a moment ago"):
        prepared(RULE, account.aws, target)


def test_tags_that_both_know_do_not(account: Account) -> None:
    account.tag(owner="maria@example.com")

    assert account.recorded().record == {"days": 90}


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made anew"])
def test_another_group_of_its_name_is_left_alone(account: Account, *, again: bool) -> None:
    recorded = account.recorded()
    account.logs.delete_log_group(logGroupName=NAME)
    if again:
        account.box.log_group(NAME, 50 * GB)
    account.box.clear_calls()

    recorded.act()
    assert recorded.settled()
    with pytest.raises(CannotActError, match="it was deleted since"):
        recorded.undo()
    assert not [call for call in account.box.calls() if "RetentionPolicy" in call]
