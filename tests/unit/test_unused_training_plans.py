"""The decide table of unused-training-plans, and its reading: scripted answers, and plans of the sandbox."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3

from conftest import ACCOUNT, NOW, REGION
from fakes import target_at
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Absent, Confidence, Finding, NotRead, Unreadable, Value
from ml_janitor.detectors.unused_training_plans import CapacityBlock, TrainingPlan, UnusedTrainingPlans
from ml_janitor_sandbox.control import Control
from narrowing import of_type
from scripted import DENIED, Refusal, Script, Torn
from tables import cases
from verdicts import expect_verdict, shown, word

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-plan/P"
BEGAN, ENDS = NOW - 3 * DAY, NOW + 9 * DAY
BLOCK = CapacityBlock(BEGAN, ENDS, 2, "ml.p5.48xlarge")
JOBS, CLUSTERS, ENDPOINTS = "sagemaker:ListTrainingJobs", "sagemaker:ListClusters", "sagemaker:ListEndpoints"


def plan(**members: Any) -> TrainingPlan:
    """A plan for training jobs that began three days ago, and that nothing names."""
    known: dict[str, Any] = {
        "status": "Active",
        "starts": BEGAN,
        "ends": ENDS,
        "in_use": 0,
        "fee": Decimal(12_000),
        "targets": ("training-job",),
        "blocks": (BLOCK,),
        "user": Absent(JOBS),
    }
    return TrainingPlan(target=target_at("training-plan/p", BEGAN), **known | members)


@cases(
    "candidate, verdict, reason",
    (plan(), "likely", "active for 3 days, no instance is in use, and no training job names it"),
    (plan(targets=("hyperpod-cluster", "endpoint")), "likely", "no hyperpod cluster or endpoint names"),
    (plan(status="Scheduled"), "kept", "its status is Scheduled"),
    (plan(status="Expired", in_use=None), "kept", "its status is Expired"),
    (plan(starts=None), "unknown", "the listing lacks its start or the number of instances in use"),
    (plan(in_use=None), "unknown", "the listing lacks its start or the number of instances in use"),
    (plan(in_use=1), "kept", "instances in use: 1"),
    (plan(starts=NOW - DAY + HOUR), "kept", "it began 23 hours ago; judged from 24 hours on"),
    (plan(starts=NOW - DAY), "likely", "active for 24 hours"),
    (plan(user=Value("training job a")), "kept", "training job a names it"),
    (plan(user=Unreadable("denied")), "unknown", "names it could not be read (denied)"),
    (plan(user=NotRead()), "unknown", "names it could not be read (not read)"),
    (plan(targets=("studio-apps",)), "unknown", "it is for studio-apps, and no listing tells which"),
    (plan(targets=("training-job", "studio-apps")), "unknown", "it is for studio-apps, and no"),
    (plan(targets=("studio-apps",), user=Value("endpoint e")), "kept", "endpoint e names it"),
    (plan(targets=("quantum", "studio-apps")), "unknown", "it is for quantum and studio-apps"),
    (plan(targets=()), "unknown", "it is for unknown resources, and"),
)
def test_unused_training_plans(candidate: TrainingPlan, verdict: str, reason: str) -> None:
    expect_verdict(UnusedTrainingPlans().decide(candidate, NOW), verdict, reason)


def test_another_patience_is_the_operators() -> None:
    assert word(UnusedTrainingPlans(unused_for=4 * DAY).decide(plan(), NOW)) == "kept"


GAP = (
    CapacityBlock(NOW - 4 * DAY, NOW - 3 * DAY, 2, "ml.p5.48xlarge"),
    CapacityBlock(NOW + 2 * DAY, NOW + 3 * DAY, 6, "ml.p5.48xlarge"),
)


@cases(
    "members, lost",
    ({}, Decimal(3_000)),
    ({"blocks": GAP}, Decimal(3_000)),
    ({"blocks": (CapacityBlock(NOW - 4 * DAY, NOW - 3 * DAY, 2, "ml.p5.48xlarge"),)}, Decimal(12_000)),
    ({"blocks": ()}, None),
    ({"fee": None}, None),
)
def test_the_passed_part_of_the_fee_is_lost(members: dict[str, Any], lost: Decimal | None) -> None:
    decided = of_type(Finding, UnusedTrainingPlans().decide(plan(**members), NOW))

    assert decided.cost
    assert (decided.cost.accrued_usd, decided.cost.monthly_usd, decided.cost.hourly_usd) == (lost, None, None)
    assert (decided.cost.until, decided.cost.source) == (ENDS, "UpfrontFee of the plan")


def test_what_the_finding_says() -> None:
    decided, endless = (UnusedTrainingPlans().decide(each, NOW) for each in (plan(), plan(ends=None)))

    assert isinstance(decided, Finding)
    assert decided.confidence is Confidence.LIKELY
    assert decided.since == BEGAN
    assert decided.action == (
        "run work on it before it ends on 2026-10-15 03:00 UTC, and do not extend it: AWS has no call that"
        " gives a plan back"
    )
    assert "before it ends, and" in of_type(Finding, endless).action
    assert (decided.noun, decided.to_prove) == (
        "unused training plan",
        "that no job, cluster or endpoint that has been deleted since used it",
    )
    assert shown(decided) == {
        "capacity": "2 ml.p5.48xlarge until 2026-10-15",
        "status": "Active",
        "paid in advance": "$12,000",
        "used by": "none",
    }
    bare = shown(UnusedTrainingPlans().decide(plan(fee=None, blocks=(), status="Failed"), NOW))
    assert bare == {"capacity": "unknown", "status": "Failed"}


# --- reading --------------------------------------------------------------------------------------


def listed(**members: Any) -> dict[str, Any]:
    known = {
        "TrainingPlanArn": ARN,
        "TrainingPlanName": "p",
        "Status": "Active",
        "StartTime": BEGAN,
        "EndTime": ENDS,
        "UpfrontFee": "12000.00",
        "CurrencyCode": "USD",
        "InUseInstanceCount": 0,
        "TargetResources": ["training-job"],
        "ReservedCapacitySummaries": [capacity()],
    }
    return {name: value for name, value in (known | members).items() if value is not None}


def capacity(**members: Any) -> dict[str, Any]:
    known = {
        "ReservedCapacityArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:reserved-capacity/r-1",
        "InstanceType": "ml.p5.48xlarge",
        "TotalInstanceCount": 2,
        "Status": "Active",
        "StartTime": BEGAN,
        "EndTime": ENDS,
    }
    return {name: value for name, value in (known | members).items() if value is not None}


def read(*plans: dict[str, Any], **answers: Any) -> tuple[list[TrainingPlan], Script]:
    """What is read of *plans*, where *answers* are by operation."""
    script = Script(
        {
            "sagemaker:ListTrainingPlans": {"TrainingPlanSummaries": [*plans]},
            "resourcegroupstaggingapi:GetResources": {"ResourceTagMappingList": []},
            **{f"sagemaker:{operation}": answer for operation, answer in answers.items()},
        }
    )
    return list(UnusedTrainingPlans().find(script.aws(), NOW)), script


@cases(
    "members, expected",
    ({"UpfrontFee": "12.5"}, {"fee": Decimal("12.5")}),
    ({"CurrencyCode": "CNY"}, {"fee": None}),
    ({"CurrencyCode": None}, {"fee": None}),
    ({"UpfrontFee": None}, {"fee": None}),
    ({"UpfrontFee": "free"}, {"fee": None}),
    ({"InUseInstanceCount": None}, {"in_use": None}),
    ({"TargetResources": None}, {"targets": ()}),
    ({"EndTime": None}, {"ends": None}),
    ({"ReservedCapacitySummaries": None}, {"blocks": ()}),
    ({"ReservedCapacitySummaries": [capacity(StartTime=None)]}, {"blocks": ()}),
    ({"ReservedCapacitySummaries": [capacity(EndTime=None)]}, {"blocks": ()}),
    ({}, {"blocks": (BLOCK,), "status": "Active", "ends": ENDS, "targets": ("training-job",)}),
)
def test_what_is_read_of_a_plan(members: dict[str, Any], expected: dict[str, Any]) -> None:
    ((found,), _) = read(listed(**members), ListTrainingJobs={"TrainingJobSummaries": []})

    assert {name: getattr(found, name) for name in expected} == expected
    assert (found.target.arn, found.target.name, found.target.created) == (ARN, "p", BEGAN)
    assert found.target.tags == Value({}, "tag:GetResources")


def test_a_plan_without_a_start_is_unknown_and_the_others_are_judged() -> None:
    found, script = read(listed(StartTime=None), listed(Status="Expired"), listed(InUseInstanceCount=3))

    assert [each.user for each in found] == [NotRead()] * 3
    assert found[0].target.created is None
    assert {operation for operation, _ in script.calls} == {
        "sagemaker:ListTrainingPlans",
        "resourcegroupstaggingapi:GetResources",
    }


JOB: dict[str, Any] = {
    "TrainingJobName": "a",
    "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/a",
    "CreationTime": NOW,
    "TrainingJobStatus": "Failed",
}
GROUPS = "hyperpod-cluster"
NO = "AccessDeniedException: denied"


@cases(
    "target, answer, user",
    ("training-job", {"TrainingJobSummaries": []}, Absent(JOBS)),
    ("training-job", [{"TrainingJobSummaries": []}] * 2, Absent(JOBS)),
    (
        "training-job",
        [{"TrainingJobSummaries": []}, {"TrainingJobSummaries": [JOB]}, DENIED],
        Value("training job a", JOBS),
    ),
    ("training-job", DENIED, Unreadable(f"ListTrainingJobs: {NO}", JOBS)),
    ("training-job", Torn(), Unreadable("the answer has no TrainingJobSummaries", JOBS)),
    (GROUPS, {"ClusterSummaries": []}, Absent(CLUSTERS)),
    (GROUPS, DENIED, Unreadable(f"ListClusters: {NO}", CLUSTERS)),
)
def test_a_job_or_a_cluster_is_asked_for_by_the_plan(target: str, answer: Any, user: Any) -> None:
    operation = "ListClusters" if target == GROUPS else "ListTrainingJobs"

    ((found,), script) = read(listed(TargetResources=[target]), **{operation: answer})

    assert found.user == user
    member = "TrainingPlanArn" if target == GROUPS else "TrainingPlanArnEquals"
    assert script.asked(f"sagemaker:{operation}")[0] == {member: ARN, "MaxResults": 100}


OTHER = ARN.replace("training-plan", "ml-reservation")


def endpoint(status: str = "InService", reserved: str = "") -> dict[str, Any]:
    own: dict[str, Any] = {
        "EndpointName": "e",
        "EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e",
        "EndpointStatus": status,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
    }
    if reserved:
        variant = {"VariantName": "v", "CapacityReservationConfig": {"MlReservationArn": reserved}}
        own["ProductionVariants"] = [variant]
    return own


PAGE: dict[str, Any] = {"Endpoints": [endpoint()]}
NAMED = Value("endpoint e", "sagemaker:DescribeEndpoint")


@cases(
    "page, description, user",
    (PAGE, endpoint(), Absent("sagemaker:DescribeEndpoint")),
    (PAGE, endpoint(reserved=ARN.upper()), NAMED),
    (PAGE, endpoint(reserved=f"{ARN}-2"), Absent("sagemaker:DescribeEndpoint")),
    (PAGE, endpoint(reserved=OTHER), "endpoint e names another reservation"),
    (PAGE, endpoint("Creating"), "endpoint e is being created"),
    (PAGE, endpoint("Failed"), Absent("sagemaker:DescribeEndpoint")),
    (PAGE, DENIED, f"endpoint e: DescribeEndpoint: {NO}"),
    (PAGE, Refusal("ResourceNotFound"), Absent("sagemaker:DescribeEndpoint")),
    ([PAGE, DENIED], endpoint(), f"{ENDPOINTS} broke off after 1: ListEndpoints: {NO}"),
    ([PAGE, DENIED], endpoint(reserved=ARN), NAMED),
)
def test_an_endpoint_is_described_for_its_reservation(page: Any, description: Any, user: Any) -> None:
    ((found,), _) = read(
        listed(TargetResources=["endpoint"]), ListEndpoints=page, DescribeEndpoint=description
    )

    if isinstance(user, str):
        assert of_type(Unreadable, found.user).error == user
    else:
        assert found.user == user


def test_one_kind_that_names_it_settles_what_another_leaves_open() -> None:
    both = listed(TargetResources=["hyperpod-cluster", "training-job"])
    ((found,), _) = read(both, ListClusters=DENIED, ListTrainingJobs={"TrainingJobSummaries": [JOB]})
    both["TargetResources"].reverse()
    ((open_,), _) = read(both, ListClusters=DENIED, ListTrainingJobs={"TrainingJobSummaries": []})

    assert found.user == Value("training job a", JOBS)
    assert open_.user == Unreadable(f"ListClusters: {NO}", CLUSTERS)
    assert read(listed(TargetResources=["quantum"]))[0][0].user == Absent("sagemaker:ListTrainingPlans")


def test_endpoints_are_described_once_for_all_plans(box: Control, aws: Aws, session: boto3.Session) -> None:
    """Over HTTP, with one entry to a page: the calls, and whose answer decides."""
    sagemaker: Any = session.client("sagemaker")
    box.set_durations({"*": 0})
    for name, target in (("a", "endpoint"), ("b", "endpoint"), ("c", "training-job")):
        sagemaker.create_training_plan(TrainingPlanName=name, TrainingPlanOfferingId="o")
        members: dict[str, Any] = {"Status": "Active", "StartTime": BEGAN, "InUseInstanceCount": 0}
        box.patch("sagemaker", ["training_plans", name], TargetResources=[target], **members)
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/ml")
    for name in ("x", "y"):
        variant = {
            "VariantName": "v",
            "ModelName": "m",
            "InstanceType": "ml.p5.48xlarge",
            "InitialInstanceCount": 1,
            "CapacityReservationConfig": {"MlReservationArn": ARN.replace("/P", "/a")},
        }
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    box.set_pages(1)
    box.clear_calls()

    found = {each.target.name: each for each in UnusedTrainingPlans().find(aws, NOW)}

    assert {name: word(UnusedTrainingPlans().decide(each, NOW)) for name, each in found.items()} == {
        "a": "kept",
        "b": "likely",
        "c": "likely",
    }
    assert box.calls() == {
        "sagemaker:ListTrainingPlans": 3,
        "tag:GetResources": 1,
        "sagemaker:ListEndpoints": 2,
        "sagemaker:Search": 2,
        "sagemaker:ListTrainingJobs": 1,
    }
