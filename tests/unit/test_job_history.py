"""Families of completed training jobs: what of a record counts, and in which order."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, DAY, HOUR, NOW, REGION
from fakes import target_at
from ml_janitor.aws import training_jobs
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.training_jobs import JobFamily, read_job_families, read_longest_older_run
from ml_janitor.core.model import Value
from ml_janitor.detectors.generous_runtime_limits import GenerousRuntimeLimits
from ml_janitor.detectors.spot_training import SpotTraining
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import sweep_region
from past_jobs import word
from scripted import DENIED, Script, Torn
from tables import cases

SINCE = NOW - 60 * DAY
G5 = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2}
G4 = {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 2}


class ListPrices:
    def hourly(self, region: str, component: str, instance: str) -> Price:
        assert (region, component) == (REGION, "Training")
        return Price(Decimal(1), instance)


def record(name: str = "churn-2026-10-05", age: timedelta = DAY, **more: Any) -> dict[str, Any]:
    whole = {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}",
        "TrainingJobStatus": "Completed",
        "CreationTime": NOW - age,
        "ResourceConfig": G5,
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "TrainingTimeInSeconds": 7200,
        "BillableTimeInSeconds": 7200,
    } | more
    return {key: value for key, value in whole.items() if value is not None}


def account(*records: dict[str, Any], broken: bool = False, **answers: Any) -> Aws:
    pages: list[Any] = [Torn({"Results": [{"TrainingJob": one}]}) for one in records]
    prices: Any = ListPrices()
    asked: dict[str, Any] = {f"sagemaker:{operation}": answer for operation, answer in answers.items()}
    asked["resourcegroupstaggingapi:GetResources"] = {"ResourceTagMappingList": []}
    return Script({"sagemaker:Search": [*pages, *([DENIED] if broken else [])], **asked}).aws(prices=prices)


def read(*records: dict[str, Any]) -> list[JobFamily]:
    return list(read_job_families(account(*records), SINCE, NOW))


def test_a_job_as_its_record_has_it() -> None:
    tags = [{"Key": "team", "Value": "fraud"}]
    spot: dict[str, Any] = {"EnableManagedSpotTraining": True, "BillableTimeInSeconds": 1800}

    (family,) = read(record(Tags=tags, CheckpointConfig={"S3Uri": "s3://a/"}, **spot))

    job = family.newest
    assert (job.ran, job.billed, job.limit, job.hours) == (2 * HOUR, HOUR / 2, DAY, 2)
    assert (job.instance, job.instances, job.spot, job.checkpoints) == ("ml.g5.xlarge", 2, True, True)
    assert (job.no_spot, job.keeps, job.retained, job.reused) == (None, timedelta(), None, False)
    assert (family.price, family.discount, family.unread) == (Price(Decimal(1), "ml.g5.xlarge"), 0.75, None)
    assert family.target.tags == job.target.tags == Value({"team": "fraud"}, "sagemaker:Search")
    assert (family.target.name, family.target.created) == ("churn-*", None)
    whole = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/churn-*~"
    assert re.fullmatch(f"{re.escape(whole)}[0-9a-f]{{8}}", family.target.arn)
    (plain,) = read(record(CheckpointConfig={"LocalPath": "/opt"}))
    assert (plain.newest.spot, plain.newest.checkpoints, plain.discount) == (False, False, None)


GROUPS = [
    {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "InstanceGroupName": "a"},
    {"InstanceType": "ml.m5.xlarge", "InstanceCount": 3, "InstanceGroupName": "b"},
]


@cases(
    "resources, instances, no_spot",
    (G5 | {"KeepAlivePeriodInSeconds": 600}, 2, "a warm pool is kept for it, which spot has none of"),
    (G5 | {"TrainingPlanArn": "arn"}, 2, "it runs on capacity that is reserved by a training plan"),
    ({"InstanceGroups": GROUPS}, 5, "it runs on several types of instances"),
    ({"InstanceGroups": [GROUPS[0], GROUPS[0]]}, 4, None),
    (
        {"InstancePreferences": [G5], "SelectedInstanceType": "ml.g5.xlarge", "SelectedInstanceCount": 2},
        2,
        "it names InstancePreferences, which exclude managed spot training",
    ),
)
def test_why_spot_does_not_take_a_job(resources: Any, instances: int, no_spot: str | None) -> None:
    (family,) = read(record(ResourceConfig=resources))

    assert (family.newest.instances, family.newest.no_spot) == (instances, no_spot)
    assert family.newest.keeps == timedelta(seconds=resources.get("KeepAlivePeriodInSeconds", 0))


@cases(
    "status, seconds, retained, reused",
    ("Reused", 90, 90, True),
    ("Terminated", 90, 90, False),
    ("Terminated", None, None, False),
    ("Terminated", 0, 0, False),
    ("Available", 90, None, False),
    ("InUse", 90, None, False),
)
def test_a_warm_pool_counts_when_it_has_ended(
    *, status: str, seconds: int | None, retained: int | None, reused: bool
) -> None:
    billed = {} if seconds is None else {"ResourceRetainedBillableTimeInSeconds": seconds}
    (family,) = read(record(WarmPoolStatus={"Status": status} | billed))

    found = family.newest.retained
    assert (None if found is None else found.total_seconds(), family.newest.reused) == (retained, reused)


def test_families_hold_completed_jobs_newest_first() -> None:
    found = read(
        record("churn-2026-10-01", 5 * DAY),
        record("rank-2026-10-02", 4 * DAY),
        record("churn-2026-10-04", 2 * DAY),
        record("churn-2026-10-03", 3 * DAY),
        record("churn-2026-10-05", DAY, TrainingJobStatus="Failed"),
        record("churn-2026-07-01", 90 * DAY),
    )

    assert {one.target.name: [job.target.name[-2:] for job in one.jobs] for one in found} == {
        "churn-*": ["04", "03", "01"],
        "rank-*": ["02"],
    }


def test_the_discount_of_spot_is_that_of_all_jobs_on_the_same_family_of_instances() -> None:
    spot: dict[str, Any] = {"EnableManagedSpotTraining": True}
    other: dict[str, Any] = {"ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1}}
    larger: dict[str, Any] = {"ResourceConfig": {"InstanceType": "ml.g5.12xlarge", "InstanceCount": 1}}
    found = read(
        record("a-2026-10-01", BillableTimeInSeconds=3600, **spot),
        record("b-2026-10-01", TrainingTimeInSeconds=21600, BillableTimeInSeconds=0, **spot, **larger),
        record("c-2026-10-01", TrainingTimeInSeconds=0, BillableTimeInSeconds=0, **spot),
        record("d-2026-10-01"),
        record("e-2026-10-01", **other),
        record("f-2026-10-01", BillableTimeInSeconds=7200, **spot, **other | {"ResourceConfig": G4}),
    )

    discounts = {one.target.name: one.discount for one in found}
    assert discounts == {**dict.fromkeys(["a-*", "b-*", "c-*", "d-*"], 1 - 1 / 8), "e-*": None, "f-*": 0.0}


def channel(name: str) -> dict[str, Any]:
    return {"ChannelName": name}


IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn"
USUAL: dict[str, Any] = {
    "AlgorithmSpecification": {"TrainingImage": f"{IMAGE}:1"},
    "RoleArn": "arn:aws:iam::123456789012:role/a",
    "HyperParameters": {"sagemaker_program": '"train.py"', "lr": "0.1"},
    "InputDataConfig": [channel("train"), channel("test")],
}


@cases(
    "name, changed, families",
    ("churn-2026-10-04", {}, 1),
    ("churn-2026-10-04", {"AlgorithmSpecification": {"TrainingImage": f"{IMAGE}:2"}}, 1),
    ("churn-2026-10-04", {"AlgorithmSpecification": {"TrainingImage": f"{IMAGE}@sha256:{'a' * 64}"}}, 1),
    ("churn-2026-10-04", {"HyperParameters": {"sagemaker_program": '"train.py"', "lr": "0.2"}}, 1),
    ("churn-2026-10-04", {"InputDataConfig": [channel("test"), channel("train")]}, 1),
    ("churn-2026-10-04", {"ResourceConfig": G5 | {"InstanceType": "ml.g5.12xlarge"}}, 1),
    ("churn-2026-10-04", {"ExperimentConfig": {"ExperimentName": "weekly"}}, 1),
    ("other-2026-10-04", {}, 2),
    ("churn-64-2026-10-04", {}, 2),
    ("churn-2026-10-04", {"AlgorithmSpecification": {"TrainingImage": f"{IMAGE}-large:1"}}, 2),
    ("churn-2026-10-04", {"AlgorithmSpecification": {"AlgorithmName": "kmeans"}}, 2),
    ("churn-2026-10-04", {"AlgorithmSpecification": {"ContainerEntrypoint": ["python", "x.py"]}}, 2),
    ("churn-2026-10-04", {"RoleArn": "arn:aws:iam::123456789012:role/b"}, 2),
    ("churn-2026-10-04", {"HyperParameters": {"sagemaker_program": '"eval.py"'}}, 2),
    ("churn-2026-10-04", {"InputDataConfig": [channel("train")]}, 2),
    ("churn-2026-10-04", {"ResourceConfig": G4}, 2),
)
def test_a_family_is_what_its_jobs_do(name: str, changed: dict[str, Any], families: int) -> None:
    """Near misses: another version of the image, another rate of learning and a larger size are the same."""
    found = read(record(**USUAL), record(name, 2 * DAY, **USUAL | changed))

    assert len(found) == families
    assert len({one.target.arn for one in found}) == families
    assert all(one.target.name.startswith("churn") or name.startswith("other") for one in found)


def step(name: str) -> dict[str, Any]:
    return {"StepName": "TrainModel", "Metadata": {"TrainingJob": {"Arn": record(name)["TrainingJobArn"]}}}


JOBS = [f"pipelines-a1b2c3d4e5f{number}-TrainModel-x9y8z7w6v{number}" for number in range(4)]
LISTED = {"PipelineName": "Churn", "PipelineArn": "arn:aws:sagemaker:::pipeline/churn", "CreationTime": NOW}


def pipelines(**answers: Any) -> dict[str, Any]:
    """Two pipelines that run the same step, one execution each: of the first two jobs, and of the third."""

    def executions(asked: Any) -> Any:
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/{asked['PipelineName'].lower()}/execution/1"
        assert asked["CreatedAfter"] == SINCE
        start = NOW if asked["PipelineName"] == "Rank" else NOW - DAY
        return Torn({"PipelineExecutionSummaries": [{"PipelineExecutionArn": arn, "StartTime": start}]})

    def steps(asked: Any) -> Any:
        names = JOBS[:2] if "churn" in asked["PipelineExecutionArn"] else JOBS[2:3]
        return Torn({"PipelineExecutionSteps": [{"StepName": "Check"}, *map(step, names)]})

    both = Torn({"PipelineSummaries": [Torn(LISTED), Torn(LISTED | {"PipelineName": "Rank"})]})
    given = {"ListPipelines": both, "ListPipelineExecutions": executions, "ListPipelineExecutionSteps": steps}
    return given | answers


def test_every_pipeline_has_a_family_of_its_own() -> None:
    """By its experiment, else by the steps of its executions; what neither tells is in no family."""
    named: dict[str, Any] = {"ExperimentConfig": {"ExperimentName": "churn"}}
    known = account(*(record(name) for name in JOBS[:3]), record(JOBS[3], **named), **pipelines())
    untold = account(*(record(name) for name in JOBS), **pipelines())

    found = {one.target.name: (len(one.jobs), one.unread) for one in read_job_families(known, SINCE, NOW)}
    assert found == {"pipelines-TrainModel-*~churn": (3, None), "pipelines-TrainModel-*~rank": (1, None)}
    why = "which pipeline runs some of its jobs is unknown (no execution of a pipeline names it)"
    unknown = {one.target.name: (len(one.jobs), one.unread) for one in read_job_families(untold, SINCE, NOW)}
    assert unknown == {
        "pipelines-TrainModel-*~churn": (2, why),
        "pipelines-TrainModel-*~rank": (1, why),
        "pipelines-TrainModel-*": (1, why),
    }


@cases("broken", "ListPipelines", "ListPipelineExecutions", "ListPipelineExecutionSteps", "too many")
def test_without_all_steps_a_pipelines_jobs_are_unknown(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    answers = pipelines() if broken == "too many" else pipelines(**{broken: DENIED})
    monkeypatch.setattr(training_jobs, "MOST_EXECUTIONS", 1 if broken == "too many" else 500)

    found = list(read_job_families(account(*map(record, JOBS[:3]), **answers), SINCE, NOW))

    assert {"which pipeline runs" in str(one.unread) for one in found} == {True}
    newest = any(one.target.name.endswith("~rank") for one in found)
    assert newest is (broken == "too many")
    why = "only the newest 1 executions were read" if broken == "too many" else broken
    assert why in str(found[-1].unread)
    alone = read_job_families(account(record(), **answers), SINCE, NOW)
    assert [one.unread for one in alone] == [None]  # the steps of pipelines are no matter of other jobs


@cases(
    "older, limit",
    ((), "found"),
    ((record(age=90 * DAY, TrainingTimeInSeconds=180_000, **USUAL),), "kept"),
    ((record(age=90 * DAY, TrainingTimeInSeconds=18_000, **USUAL),), "found"),
    ((record(age=90 * DAY, TrainingTimeInSeconds=180_000),), "found"),  # another family's
    ((record(age=90 * DAY, TrainingTimeInSeconds=None, **USUAL),), "found"),
    ([record(age=90 * DAY, TrainingTimeInSeconds=seconds, **USUAL) for seconds in (18_000, 180_000)], "kept"),
    (DENIED, "unknown"),
    ((record(), record(), record()), "unknown"),
)
def test_a_limit_is_proposed_by_the_whole_history(older: Any, limit: str) -> None:
    """One search asks for older, longer runs, and only of a family that would get advice."""
    recent = [record(age=number * DAY, **USUAL) for number in range(1, 4)]
    few = record("rare-2026-10-04", **USUAL)
    pages = [Torn({"Results": [{"TrainingJob": one}], "NextToken": "1"}) for one in (*recent, few)]

    def search(asked: Any) -> Any:
        filters = {one["Name"]: one["Value"] for one in asked["SearchExpression"]["Filters"]}
        number = int(asked.get("NextToken", 0))
        if "TrainingJobName" not in filters:
            page: dict[str, Any] = pages[number]
            return Torn(page | {"NextToken": str(number + 1) if number < 3 else ""})
        assert filters["TrainingJobName"] == "churn"
        assert (filters["TrainingTimeInSeconds"], filters["CreationTime"]) == (
            "7200",
            f"{SINCE:%Y-%m-%dT%H:%M:%SZ}",
        )
        if older is DENIED:
            return DENIED
        more = {"NextToken": str(number + 1)} if number + 1 < len(older) else {}
        return Torn({"Results": [{"TrainingJob": one} for one in older[number : number + 1]]} | more)

    prices: Any = ListPrices()
    aws = Script({"sagemaker:Search": search}).aws(prices=prices)

    found = {
        one.target.name: GenerousRuntimeLimits().decide(one, NOW)
        for one in GenerousRuntimeLimits().find(aws, NOW)
    }

    assert (word(found["churn-*"]), word(found["rare-*"])) == (limit, "kept")


@cases("experiment, counts", ("churn", True), ("rank", False), (None, True))
def test_an_older_run_whose_pipeline_is_unknown_may_be_the_familys(
    experiment: str | None, *, counts: bool
) -> None:
    def run(name: str, experiment: str | None, **more: Any) -> dict[str, Any]:
        return record(name, ExperimentConfig=experiment and {"ExperimentName": experiment}, **more)

    (family,) = read(run(JOBS[0], "churn"))
    script = Script({"sagemaker:Search": Torn({"Results": [{"TrainingJob": run(JOBS[1], experiment)}]})})

    assert isinstance(read_longest_older_run(script.aws(), family, SINCE), Value) is counts
    ((name, *_),) = (asked["SearchExpression"]["Filters"] for asked in script.asked("sagemaker:Search"))
    assert (name["Operator"], name["Value"]) == ("Contains", "TrainModel")


@cases(
    "specified, fixed",
    ({"TrainingImage": "811284229777.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"}, "kmeans"),
    ({"TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"}, None),
    ({"TrainingImage": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"}, None),
    ({"TrainingImage": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2"}, None),
    ({"AlgorithmName": "arn:aws:sagemaker:us-east-1:865070037744:algorithm/bought-1"}, "bought-1"),
    ({"AlgorithmName": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:algorithm/own"}, None),
    ({}, None),
)
def test_algorithms_that_cannot_save_checkpoints(specified: dict[str, str], fixed: str | None) -> None:
    (family,) = read(record(AlgorithmSpecification=specified))

    assert family.newest.fixed == fixed


@pytest.mark.parametrize("missing", ["TrainingJobStatus", "CreationTime"])
def test_a_record_that_cannot_be_read_costs_that_record(missing: str) -> None:
    """Its family is unknown, because it may be the longest run; the others are judged."""
    cut: dict[str, Any] = {missing: None}
    aws = account(record("churn-2026-10-04", **cut), record(), record("rank-2026-10-05"))

    sweep = sweep_region(SpotTraining(), aws, now=NOW, policy=RunPolicy())

    reasons = {result.target.name: result.verdict.reason for result in sweep.results}
    assert (sweep.error, sweep.unidentified) == (None, 0)
    assert "churn-2026-10-04" in reasons
    assert f"it has no {missing}" in reasons["churn-*"]
    assert reasons["rank-*"] == "1 completed on demand in 60 days; judged from 3 on"


@cases(
    "changed, lacks",
    ({"ResourceConfig": None}, "its description has no ResourceConfig"),
    ({"ResourceConfig": {"InstanceType": "ml.g5.xlarge"}}, "ResourceConfig has no InstanceCount"),
    ({"ResourceConfig": {"InstancePreferences": [G5]}}, "ResourceConfig has no SelectedInstanceType"),
    ({"StoppingCondition": None}, "its record has no StoppingCondition"),
    ({"TrainingTimeInSeconds": None}, "its record has no TrainingTimeInSeconds"),
)
def test_a_job_that_cannot_be_judged_costs_its_family_alone(changed: dict[str, Any], lacks: str) -> None:
    found = read(
        record("churn-2026-10-04", **changed), record(), record("rank-2026-10-05"), record("x", **changed)
    )

    assert {family.target.name: (len(family.jobs), family.unread) for family in found} == {
        "churn-*": (1, f"churn-2026-10-04: {lacks}"),
        "rank-*": (1, None),
    }


def test_of_preferred_instances_the_selected_ones_ran() -> None:
    plan = {"TrainingPlanArns": ["arn:plan"]}
    chosen = {
        "InstancePreferences": [G5 | plan],
        "SelectedInstanceType": "ml.g5.xlarge",
        "SelectedInstanceCount": 3,
    }

    (family,) = read(record(ResourceConfig=chosen))

    assert (family.newest.instance, family.newest.instances) == ("ml.g5.xlarge", 3)
    assert family.newest.no_spot == "it names InstancePreferences, which exclude managed spot training"


def test_families_that_were_read_come_before_the_error() -> None:
    found = read_job_families(account(record(), broken=True), SINCE, NOW)

    assert "broke off after 1" in (next(found).unread or "")
    with pytest.raises(ReadError, match="broke off after 1"):
        next(found)


def test_a_namesake_changes_no_familys_identity() -> None:
    """Whoever has more jobs, and whether the other is there: a hold stays with what the jobs do."""
    image: Any = {"AlgorithmSpecification": {"TrainingImage": "other:1", "TrainingInputMode": "File"}}
    mine = [record(f"churn-2026-10-0{day}") for day in (1, 2, 3)]
    others = [record(f"churn-2026-09-0{day}", **image) for day in (1, 2, 3, 4)]

    def arns(*records: dict[str, Any]) -> dict[int, tuple[str, str]]:
        return {len(found.jobs): (found.target.arn, found.target.name) for found in read(*records)}

    (alone,), (fewer,) = arns(*mine).values(), arns(*others).values()
    both, outnumbered = arns(*mine, *others[:2]), arns(*mine, *others)
    assert alone[0] == both[3][0] == outnumbered[3][0]
    assert fewer[0] == both[2][0] == outnumbered[4][0]
    assert alone[0] != fewer[0]
    assert (alone[1], fewer[1]) == ("churn-*", "churn-*")
    assert [both[3][1], both[2][1]] == [f"churn-*{arn.rpartition('*')[2]}" for arn in (alone[0], fewer[0])]


@cases(
    "path, found",
    ("churn-*", "churn-*"),
    ("CHURN-2026-10-04", "churn-*"),
    ("rank-2026-10-04", "rank-*"),
    ("other", None),
)
def test_a_family_is_found_by_itself_or_by_one_of_its_jobs(path: str, found: str | None) -> None:
    aws = account(record("churn-2026-10-04"), record("churn-2026-10-03"), record("rank-2026-10-04"))

    family = SpotTraining().look(aws, target_at(f"training-job/{path}"), NOW)

    assert (family.target.name if family else None) == found
    assert SpotTraining().window == 60 * DAY
