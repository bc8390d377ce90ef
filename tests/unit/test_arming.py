"""What may be acted on at all: by the tags of what was found, and of all that would go with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ml_janitor.core.cause import Cause, Why
from ml_janitor.core.model import Confidence, Finding, Mode, Schedule, Tags, Target, Value
from ml_janitor.engine.arming import Arming

ARMED = Arming(mode=Mode.ACT, act_in=("123456789012",))
WASTE = Finding(reason="idle", confidence=Confidence.PROVEN, action="delete it", evidence=())


def target(name: str, tags: Tags) -> Target:
    return Target(
        arn=f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{name}",
        name=name,
        kind="endpoint",
        account="123456789012",
        region="us-east-1",
        created=datetime(2026, 8, 1, tzinfo=UTC),
        tags=Value(tags),
    )


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({}, None),
        ({"managed-by": "terraform"}, Cause(Why.MANAGED, ("terraform",), along="ranker")),
        ({"environment": "production"}, Cause(Why.PRODUCTION, ("production",), along="ranker")),
    ],
)
def test_what_goes_along_is_as_protected_as_what_was_found(tags: Tags, why: Cause | None) -> None:
    gateway, along = target("gateway", {}), [target("other", {}), target("ranker", tags)]

    assert ARMED.protects(gateway, along) == why
    assert ARMED.spares(gateway, WASTE, along) == why
    assert ARMED.spares(gateway, WASTE) is None


def test_what_the_operator_excepts_may_go_along() -> None:
    excepting = Arming(
        mode=Mode.ACT,
        act_in=("123456789012",),
        act_on_managed=("terraform",),
        act_on_environments=("production",),
    )
    along = [target("ranker", {"managed-by": "terraform", "environment": "production"})]

    assert excepting.spares(target("gateway", {}), WASTE, along) is None


CLOSING = datetime(2026, 10, 6, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("warned", "quiet", "due"),
    [
        (CLOSING - 2 * HOUR, CLOSING, CLOSING),
        (CLOSING - timedelta(minutes=59), CLOSING, CLOSING + timedelta(minutes=1)),  # an hour's notice
        (CLOSING - 2 * HOUR, CLOSING + 4 * HOUR, CLOSING + 4 * HOUR),
        (CLOSING, CLOSING, CLOSING + DAY),  # warned too late: not in this night
        (CLOSING + 3 * HOUR, CLOSING + 4 * HOUR, CLOSING + DAY),
    ],
)
def test_a_scheduled_finding_is_due_by_the_clock(warned: datetime, quiet: datetime, due: datetime) -> None:
    plan = Schedule(closing=CLOSING, due=quiet, next_closing=CLOSING + DAY)
    likely = replace(WASTE, confidence=Confidence.LIKELY)
    scheduled = replace(likely, schedule=plan, grace=HOUR)

    assert ARMED.due(warned, scheduled) == due
    assert ARMED.spares(target("gateway", {}), scheduled) is None
    assert ARMED.spares(target("gateway", {}), likely) == Cause(Why.NOT_PROVEN, ("likely", ""))
