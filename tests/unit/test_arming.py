"""What may be acted on at all: by the tags of what was found, and of all that would go with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ml_janitor.core.cause import Cause, Why
from ml_janitor.core.model import Confidence, Finding, Mode, Tags, Target, Value
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
