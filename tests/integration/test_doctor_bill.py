"""What `janitor doctor` says of the bill: whether Cost Explorer answers, and which tags are not activated."""

from datetime import timedelta
from typing import Any

import boto3
import pytest

from conftest import NOW
from ml_janitor.config.settings import Settings
from ml_janitor_cli.deployment import check_bill
from ml_janitor_cli.stack import Check, CheckOutcome
from ml_janitor_sandbox.control import Control

TAGS = ["project", "owner", "environment"]


def checked(session: boto3.Session, **bill: Any) -> list[Check]:
    section = Settings.parse({"bill": {"enabled": True, **bill}}).bill
    return list(check_bill(session, section, attempts=1, now=NOW))


def charge(box: Control, **tags: str) -> None:
    """Something that has *tags* was charged."""
    week = {"start": f"{NOW - timedelta(days=9):%Y-%m-%dT00:00:00Z}", "end": f"{NOW:%Y-%m-%dT00:00:00Z}"}
    box.charge([week | {"service": "Amazon SageMaker", "usage_type": "Host", "usd": 9, "tags": tags}])


@pytest.fixture(autouse=True)
def _account(box: Control) -> None:
    box.set_bill(tags=TAGS, since=f"{NOW - timedelta(days=90):%Y-%m-%dT%H:%M:%SZ}")


def test_a_readable_bill_says_the_price_of_a_night(session: boto3.Session, box: Control) -> None:
    box.clear_calls()

    explorer, tags, unused = checked(session, max_requests=12)

    assert {one.outcome for one in (explorer, tags, unused)} == {CheckOutcome.FINE}
    assert (tags.seen, unused.seen) == (
        "active: project, owner, environment",
        "not used here: team, cost-center",
    )
    assert explorer.seen == "it answers; reading the bill costs up to $0.12 a night"
    assert sum(box.calls().values()) == 2


def test_a_used_tag_that_is_inactive_is_named_with_the_command(session: boto3.Session, box: Control) -> None:
    charge(box, **{"cost-center": "42"})

    *_, wrong = checked(session)

    assert (wrong.outcome, wrong.seen) == (
        CheckOutcome.WRONG,
        "cost-center is not an active cost allocation tag",
    )
    assert "aws ce update-cost-allocation-tags-status" in wrong.to_do
    assert "TagKey=cost-center,Status=Active" in wrong.to_do
    assert checked(session, tags={"project": "project"})[1].outcome is CheckOutcome.FINE


def test_a_chosen_tag_that_nothing_has_may_be_misspelt(session: boto3.Session, box: Control) -> None:
    charge(box, project="churn")

    _, fine, wrong = checked(session, tags={"project": "projct", "owner": "owner"})

    assert fine.seen == "active: owner"
    assert (wrong.outcome, wrong.seen) == (CheckOutcome.WRONG, "projct is a tag that nothing has ever had")
    assert wrong.to_do.startswith(
        "Nothing has ever had the tag projct of [bill]; the nearest that something has is project. Or"
    )


def test_a_cost_explorer_that_is_not_enabled_or_denied_is_said(session: boto3.Session, box: Control) -> None:
    box.set_bill(enabled=False)
    (off,) = checked(session)
    box.set_bill(enabled=True)
    box.fault("ce", "ListCostAllocationTags", "error", code="AccessDeniedException", times=0)
    _, denied = checked(session)

    assert (off.outcome, denied.outcome) == (CheckOutcome.WRONG, CheckOutcome.WRONG)
    assert "Cost Explorer is not enabled in this account." in off.seen
    assert "ce:ListCostAllocationTags" in denied.seen


def test_where_the_function_is_off_nothing_is_asked(session: boto3.Session, box: Control) -> None:
    box.clear_calls()

    assert checked(session, enabled=False) == []
    assert box.calls() == {}
