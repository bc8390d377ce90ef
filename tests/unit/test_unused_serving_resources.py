"""The decide table of unused-serving-resources, and what counts as a use."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.sagemaker_kinds import texts_in
from ml_janitor.aws.users import CONFIG_NAME, DEFINITION, LOADS, MODEL_NAME, Users, names_in
from ml_janitor.core.model import Confidence, Finding, Kept, Target
from ml_janitor.core.signals import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.unused_serving_resources import ServingResource, UnusedServingResources
from ml_janitor.engine.judging import judge
from ml_janitor.engine.policy import Policy

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
OLD = NOW - 90 * DAY
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/churn"


def resource(user: Signal[str], *, age: timedelta = 90 * DAY, **more: Any) -> ServingResource:
    target = Target(
        arn=ARN,
        name="churn",
        kind="model",
        account=ACCOUNT,
        region=REGION,
        created=NOW - age,
        tags=Value({}),
    )
    return ServingResource(target=target, user=user, **more)


@pytest.mark.parametrize(
    ("candidate", "verdict", "reason"),
    [
        (resource(Absent()), "found", "created 90 days ago, and no endpoint"),
        (resource(Absent(), age=90 * DAY - SECOND), "kept", "judged from 90 days on"),
        (resource(Value("endpoint churn"), age=DAY), "kept", "judged from 90 days on"),
        (resource(Value("endpoint churn")), "kept", "used by endpoint churn"),
        (resource(Unreadable("ListPipelines: denied")), "unknown", "ListPipelines: denied"),
        (resource(NotRead()), "unknown", "not all that may use it was read"),
    ],
)
def test_decide(candidate: ServingResource, verdict: str, reason: str) -> None:
    decided = UnusedServingResources().decide(candidate, NOW)

    word = "found" if isinstance(decided, Finding) else "unknown" if decided.unknown else "kept"
    assert word == verdict
    assert reason in decided.reason
    if isinstance(decided, Finding):
        assert decided.confidence is Confidence.LIKELY
        assert decided.cost is None


def test_something_of_unknown_age_is_kept() -> None:
    young = resource(Absent())
    unknown = ServingResource(target=Target(**{**fields_of(young.target), "created": None}), user=Absent())

    assert isinstance(UnusedServingResources().decide(unknown, NOW), Kept)


def fields_of(target: Target) -> dict[str, Any]:
    return {name: getattr(target, name) for name in Target.__slots__}


@pytest.mark.parametrize(
    ("artifacts", "value", "error"),
    [
        (Value(3 * 1024**3, "s3:ListObjectsV2"), "3.0 GB", None),
        (Unreadable("AccessDenied", "s3:ListObjectsV2"), None, "AccessDenied"),
    ],
)
def test_the_size_of_the_artifacts_is_evidence_or_unknown(
    artifacts: Signal[int], value: str | None, error: str | None
) -> None:
    verdict = UnusedServingResources().decide(resource(Absent(), artifacts=artifacts), NOW)

    assert isinstance(verdict, Finding)
    shown = {one.signal: one for one in verdict.evidence}["artifacts that no other model names"]
    assert (shown.value, shown.error) == (value, error)


def test_an_operator_sets_the_age() -> None:
    candidate = resource(Absent(), age=10 * DAY)

    assert isinstance(UnusedServingResources(min_age=10 * DAY).decide(candidate, NOW), Finding)


# --- what undos need --------------------------------------------------------------------------------

NEEDED = "an undo of churn needs it, until 2026-11-05"


@pytest.mark.parametrize(
    ("policy", "undos", "verdict", "reason"),
    [
        (Policy(), None, "found", ""),
        (Policy(), "ML Janitor deleted endpoint a on 2026-10-01", "unknown", "an undo may need this"),
        (Policy(needed={}), "ML Janitor deleted endpoint a on 2026-10-01", "found", ""),
        (Policy(needed={ARN.lower(): NEEDED}), None, "kept", NEEDED),
        (Policy(needed_unread="the ledger could not be read"), None, "unknown", "the ledger could not be"),
    ],
)
def test_what_an_undo_needs_is_kept(policy: Policy, undos: str | None, verdict: str, reason: str) -> None:
    judged = judge(UnusedServingResources(), resource(Absent(), undos=undos), NOW, policy)

    word = "found" if isinstance(judged, Finding) else "unknown" if judged.unknown else "kept"
    assert word == verdict
    assert reason in judged.reason


# --- what names what --------------------------------------------------------------------------------


def test_names_count_in_any_case_and_by_their_member_only() -> None:
    users = Users()
    users.add("endpoint Churn", [(CONFIG_NAME, "Churn")])

    assert users.of((CONFIG_NAME, "churn")) == Value("endpoint Churn")
    assert users.of((MODEL_NAME, "churn")) == Absent()


def test_whatever_could_not_be_read_may_use_what_nothing_else_does() -> None:
    users = Users(errors=["ListModels broke off", "DescribePipeline: denied"])
    users.add("model", [(MODEL_NAME, "a")])

    assert users.of((MODEL_NAME, "a")) == Value("model")
    assert users.of((MODEL_NAME, "b")) == Unreadable("ListModels broke off; DescribePipeline: denied")


def test_every_word_of_a_pipeline_is_a_name() -> None:
    description = {"PipelineDefinition": '{"Arguments": {"ModelName": "churn-v2", "Model": "arn:x:model/b"}}'}

    names = {name for _, name in names_in(description, (DEFINITION,))}

    assert {"churn-v2", "b"} <= names
    assert "churn" not in names


@pytest.mark.parametrize(
    ("value", "members", "found"),
    [
        ({"ModelName": "a"}, ("ModelName",), ["a"]),
        ({"modelName": "a"}, ("ModelName",), ["a"]),
        ({"Variants": [{"ModelName": "a"}, {"ModelName": "b"}]}, ("ModelName",), ["a", "b"]),
        ({"ModelNames": ["a"], "Name": "b"}, ("ModelName",), []),
        ({"Source": {"S3Uri": "s3://a/b"}}, LOADS, ["s3://a/b"]),
        ({"A": {"B": "c"}, "D": ["e", 1]}, (), ["c", "e"]),
    ],
)
def test_texts_are_found_at_any_depth(value: Any, members: tuple[str, ...], found: list[str]) -> None:
    assert list(texts_in(value, *members)) == found
