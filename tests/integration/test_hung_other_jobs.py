"""Processing, transform and tuning jobs and warm pools against the sandbox: what is read, and made of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest

import one_of_each
from conftest import ACCOUNT, DAY, HOUR, MINUTE, NOW, REGION
from fakes import target_at
from job_seed import AGE, AT_REST, STILL, Floor
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Target
from ml_janitor.core.money import Totals
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor.engine.policy import Hold, HoldKind, RunPolicy
from ml_janitor.engine.run import sweep_resource
from ml_janitor_sandbox.control import Control
from sagemaker_requests import processing_request, rented, training_request, transform_request, tuning_request
from studio_seed import spelled
from tables import cases
from verdicts import PLAIN, by_name, sweep_once, word

BUSY = {"CPU": [100.0, 900.0] * (STILL // 2)}
LIMIT: dict[str, Any] = {"StoppingCondition": {"MaxRuntimeInSeconds": 5 * 86400}}


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    return Account(box, session)


class Account(Floor):
    """Jobs of every kind, all on CPUs: what hangs there is likely."""

    def processing(self, name: str, **load: Any) -> None:
        self.hung(
            "processing-job", name, **processing_request(name, rented("ml.m5.4xlarge"), **LIMIT), **load
        )

    def transform(self, name: str, *hosts: str, count: int = 1, **load: Any) -> None:
        hosts = hosts or (f"{name}/i-1",)
        request = transform_request(name, "model", "ml.m5.4xlarge", count=count, out=f"s3://out/{name}")
        self.hung("transform-job", name, hosts=hosts, **request, **load)

    def training(self, name: str, *, tags: Any = (), levels: Any = AT_REST, **members: Any) -> None:
        pool = rented("ml.m5.4xlarge", KeepAlivePeriodInSeconds=6 * 3600)
        request = training_request(name, pool, out="s3://out/training", Tags=spelled(dict(tags)), **LIMIT)
        self.hung("training-job", name, levels=levels, **request)
        if members:
            self.patch("training_jobs", name, **members)

    def tuner(self, name: str, *children: str, works: Sequence[str] = (), **tags: str) -> None:
        """A tuning job with these *children*; those in *works* do, and the others hang."""
        with self.box.at(NOW - AGE):
            made = self.sagemaker.create_hyper_parameter_tuning_job(
                **tuning_request(name, Tags=spelled(tags))
            )
        arn = made["HyperParameterTuningJobArn"]
        for child in children:
            self.training(child, levels=BUSY if child in works else AT_REST, TuningJobArn=arn)

    def patch(self, shelf: str, name: str, **members: Any) -> None:
        self.box.patch("sagemaker", [shelf, name], **members)

    def tag(self, arn: str, **tags: str) -> None:
        self.sagemaker.add_tags(ResourceArn=arn, Tags=spelled(tags))


def target(kind: str, name: str) -> Target:
    return target_at(f"{kind}/{name}", None)


def swept(aws: Aws, policy: RunPolicy = PLAIN) -> Sweep:
    return sweep_once(HungTrainingJobs(), aws, policy=policy)


def words(report: Sweep) -> dict[str, str]:
    """Every verdict in one word, by the name of its resource."""
    return {name: word(one) for name, one in by_name(report).items()}


# --- processing jobs ---------------------------------------------------------------------------


def test_a_hung_processing_job_is_found(account: Account, aws: Aws) -> None:
    account.processing("clean")

    (result,) = swept(aws).results

    assert isinstance(result.verdict, Finding)
    assert result.verdict.confidence == "likely"
    assert result.verdict.reason == (
        "this processing job logged nothing for 20 hours (its longest pause before was 60 minutes)"
        " and its host is idle (it may be waiting for a query, another job or a person); $0.93 an hour"
    )
    assert result.target.kind == "processing-job"
    assert result.accrued_usd == Decimal("0.93") * 30


def test_namesakes_of_different_kinds_are_not_mixed_up(account: Account, aws: Aws) -> None:
    account.processing("nightly", levels=BUSY)
    account.training("nightly")

    report = swept(aws)

    assert [(one.target.kind, isinstance(one.verdict, Finding)) for one in report.results] == [
        ("training-job", True),
        ("processing-job", False),
    ]


# --- transform jobs ----------------------------------------------------------------------------


def test_a_hung_transform_job_is_found_by_hosts_that_metrics_name(account: Account, aws: Aws) -> None:
    account.transform("score", "score/i-1", "score/i-2", count=2)
    account.transform("score-2", "score-2/i-3", levels=BUSY)
    account.transform("half", "half/i-4", count=2)  # its other instance is measured by nothing
    account.box.clear_calls()

    assert words(swept(aws)) == {"score": "likely", "score-2": "kept", "half": "kept"}
    assert account.box.calls()["cloudwatch:ListMetrics"] == 1
    assert account.box.calls()["cloudwatch:GetMetricData"] == 1


def test_metrics_are_listed_only_for_transform_jobs_that_are_open(account: Account, aws: Aws) -> None:
    account.transform("score")
    account.log("transform-job", "score/i-1-1790000000/data-log", silent=MINUTE)
    account.processing("clean")
    account.box.clear_calls()

    assert words(swept(aws)) == {"score": "kept", "clean": "likely"}
    assert "cloudwatch:ListMetrics" not in account.box.calls()


# --- tuning jobs -------------------------------------------------------------------------------


def test_a_tuner_whose_running_children_hang_is_found_at_no_cost(account: Account, aws: Aws) -> None:
    account.tuner("sweep", "trial-1", "trial-2", "trial-3", works=["trial-3"], owner="ravi")
    account.box.patch("sagemaker", ["training_jobs", "trial-3"], training_job_status="Completed")

    report = swept(aws)

    assert words(report) == {"trial-1": "likely", "trial-2": "likely", "sweep": "likely"}
    (tuner,) = (one for one in report.results if one.target.name == "sweep")
    assert isinstance(tuner.verdict, Finding)
    assert (tuner.verdict.cost, tuner.owner) == (None, "ravi")
    totals = Totals.of(report.findings)
    assert (totals.accrued_usd, totals.unpriced) == (2 * 30 * Decimal("0.93"), 0)


def test_who_keeps_a_tuner_or_a_training_job_keeps_what_belongs_to_it(account: Account, aws: Aws) -> None:
    account.tuner("other", "try-1")
    account.tuner("sweep", "trial-1")
    account.patch("hyper_parameter_tuning_jobs", "other", CreationTime=NOW - 2 * AGE)
    account.training("Big")
    account.processing("rule")
    account.patch("processing_jobs", "rule", TrainingJobArn=arn_of("training-job", "Big"))
    found = {result.target.name: result.target.key for result in swept(aws).findings}
    holds = {
        key: [Hold(key=key, how=HoldKind.KEPT, by="maria", given=NOW)]
        for key in (found["sweep"], found["Big"])
    }
    account.patch("training_jobs", "Big", TrainingJobStatus="Completed")

    for policy, others in ((PLAIN, "likely"), (RunPolicy(holds=holds), "kept")):
        assert words(swept(aws, policy)) == {
            **dict.fromkeys(("other", "try-1"), "likely"),
            **dict.fromkeys(("sweep", "trial-1", "rule"), others),
        }


def test_a_child_whose_tuner_has_unreadable_tags_may_be_kept_by_them(account: Account, aws: Aws) -> None:
    account.tuner("sweep", "trial-1")
    account.box.fault("sagemaker", "ListTags", "deny", times=0, match="hyper-parameter-tuning-job/sweep")

    report = swept(aws)

    assert words(report) == {"trial-1": "unknown", "sweep": "unknown"}
    assert by_name(report)["trial-1"].verdict.reason.startswith(
        "it belongs to sweep, and its tags could not be read, so a keep tag may be there"
    )
    account.box.fault("sagemaker", "ListTrainingJobsForHyperParameterTuningJob", "deny", times=0)
    assert by_name(swept(aws))["sweep"].verdict.reason == "its running children could not be listed"


def test_a_child_that_the_listing_of_jobs_missed_is_judged_too(account: Account, aws: Aws) -> None:
    account.tuner("sweep", "trial-1", "trial-2", works=["trial-2"])
    account.box.patch("sagemaker", ["training_jobs", "trial-2"], creation_time=NOW - 40 * DAY)

    assert words(swept(aws)) == {"trial-1": "likely", "trial-2": "kept", "sweep": "kept"}


# --- warm pools --------------------------------------------------------------------------------


def warm(ended: timedelta, status: str = "Available") -> dict[str, Any]:
    return {
        "training_job_status": "Completed",
        "secondary_status": "Completed",
        "training_end_time": NOW - ended,
        "warm_pool_status": {"Status": status},
    }


def test_a_warm_pool_that_nobody_uses_is_found_with_its_price(account: Account, aws: Aws) -> None:
    account.training("left-warm", tags={"owner": "li"}, **warm(2 * HOUR))
    account.box.clear_calls()

    (result,) = swept(aws).results

    assert isinstance(result.verdict, Finding)
    assert result.verdict.reason == (
        "the warm pool of this training job (1 x ml.m5.4xlarge) waits for another job, unused for 2 hours"
        " and until 2026-10-06 07:00 UTC; $0.93 an hour"
    )
    assert (result.accrued_usd, result.owner) == (Decimal("0.93") * 2, "li")
    assert account.box.calls()["sagemaker:DescribeTrainingJob"] == 1
    assert "logs:DescribeLogStreams" not in account.box.calls()


# --- what belongs to something else ------------------------------------------------------------


def arn_of(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def test_a_rule_of_debugger_is_kept_while_its_training_job_runs(account: Account, aws: Aws) -> None:
    account.training("Big", levels=BUSY)
    account.processing("big-VanishingGradient-1a2b")
    account.patch(
        "processing_jobs", "big-VanishingGradient-1a2b", TrainingJobArn=arn_of("training-job", "Big")
    )
    account.box.clear_calls()

    assert by_name(swept(aws))["big-VanishingGradient-1a2b"].verdict.reason == (
        "it watches the training job Big (a Debugger or profiler rule), which runs"
    )
    assert ("logs:DescribeLogStreams", 1) in account.box.calls().items()  # of the training job alone

    account.patch("training_jobs", "Big", TrainingJobStatus="Completed")
    assert words(swept(aws)) == {"big-VanishingGradient-1a2b": "likely"}
    account.tag(arn_of("training-job", "Big"), keep="true")
    assert by_name(swept(aws))["big-VanishingGradient-1a2b"].verdict.reason == (
        "it belongs to Big, which is tagged keep=true"
    )


@pytest.mark.parametrize("name", ["gone", "big", "Big"])
def test_a_rule_whose_training_job_cannot_be_found_or_read_is_unknown(
    account: Account, aws: Aws, name: str
) -> None:
    """Also where its ARN spells it in small letters."""
    account.training("Big", levels=BUSY)
    account.processing("rule")
    account.patch("processing_jobs", "rule", TrainingJobArn=arn_of("training-job", name))
    if name == "Big":
        account.box.fault("sagemaker", "DescribeTrainingJob", "deny", times=0)

    assert words(swept(aws))["rule"] == "unknown"


@cases(
    "kind, member, made",
    ("training-job", "AutoMLJobArn", one_of_each.automl),
    ("processing-job", "AutoMLJobArn", one_of_each.automl),
    ("transform-job", "AutoMLJobArn", one_of_each.automl),
    ("processing-job", "MonitoringScheduleArn", one_of_each.schedule),
)
def test_whoever_keeps_what_started_a_job_keeps_the_job(
    account: Account, session: boto3.Session, aws: Aws, kind: str, member: str, *, made: Any
) -> None:
    arn = made(session, "pilot")
    getattr(account, kind.removesuffix("-job"))("trial")
    account.patch(f"{kind.replace('-', '_')}s", "trial", **{member: arn})

    assert words(swept(aws)) == {"trial": "likely"}
    account.tag(arn, keep="true")
    assert by_name(swept(aws))["trial"].verdict.reason == "it belongs to pilot, which is tagged keep=true"
    again = sweep_resource(HungTrainingJobs(), aws, arn_of(kind, "trial"), now=NOW, policy=RunPolicy())
    assert by_name(again)["trial"].verdict.reason == "it belongs to pilot, which is tagged keep=true"


def test_whoever_keeps_an_automl_job_keeps_its_tuning_jobs(
    account: Account, session: boto3.Session, aws: Aws
) -> None:
    arn = one_of_each.automl(session, "pilot")
    account.tuner("sweep", "trial-1", "trial-2")
    for name in ("trial-1", "trial-2"):
        account.patch("training_jobs", name, AutoMLJobArn=arn)
    assert words(swept(aws)) == {"trial-1": "likely", "trial-2": "likely", "sweep": "likely"}

    account.tag(arn, keep="true")

    assert words(swept(aws)) == {"trial-1": "kept", "trial-2": "kept", "sweep": "kept"}
    again = sweep_resource(
        HungTrainingJobs(), aws, arn_of("hyper-parameter-tuning-job", "sweep"), now=NOW, policy=RunPolicy()
    )
    assert by_name(again)["sweep"].verdict.reason == "it belongs to pilot, which is tagged keep=true"


@cases(
    "member, arn",
    ("AutoMLJobArn", arn_of("automl-job", "gone")),
    ("LabelingJobArn", arn_of("labeling-job", "boxes")),
    ("LabelingJobArn", "no arn at all"),
)
def test_parts_of_something_unreadable_are_unknown(account: Account, aws: Aws, member: str, arn: str) -> None:
    account.training("trial")
    account.patch("training_jobs", "trial", **{member: arn})

    assert words(swept(aws)) == {"trial": "unknown"}


# --- reading -----------------------------------------------------------------------------------


def everything(account: Account) -> None:
    account.processing("clean")
    account.transform("score")
    account.tuner("sweep", "trial-1")
    account.training("left-warm", **warm(2 * HOUR))


@cases(
    "listing, left",
    ("ListProcessingJobs", {"score", "trial-1", "left-warm", "sweep"}),
    ("ListTransformJobs", {"clean", "trial-1", "left-warm", "sweep"}),
    ("ListHyperParameterTuningJobs", {"clean", "score", "left-warm"}),  # a child's tuner may be kept
    ("ListTrainingJobs", {"clean", "score", "trial-1", "left-warm", "sweep"}),  # Search knows them
    ("Search", {"clean", "score", "trial-1", "sweep"}),  # the child is known from its tuner
)
def test_a_failed_listing_hides_no_other(account: Account, aws: Aws, listing: str, left: set[str]) -> None:
    everything(account)
    account.box.fault("sagemaker", listing, "deny", times=0)

    report = swept(aws)

    assert report.error is not None
    assert f"sagemaker:{listing}" in report.error
    assert "broke off after 0" in report.error
    assert {result.target.name for result in report.findings} == left


@cases(
    "kind, name",
    ("processing-job", "clean"),
    ("transform-job", "score"),
    ("training-job", "trial-1"),
    ("training-job", "left-warm"),
    ("hyper-parameter-tuning-job", "sweep"),
)
def test_looking_again_comes_to_the_same(account: Account, aws: Aws, kind: str, name: str) -> None:
    everything(account)
    rule = HungTrainingJobs()
    (found,) = [one for one in rule.find(aws, NOW) if one.target.name == name]

    again = rule.look(aws, target(kind, name), NOW)

    assert again is not None
    assert (again.target, again.takes_along) == (found.target, found.takes_along)
    assert again.belongs_to == found.belongs_to
    first, second = rule.decide(found, NOW), rule.decide(again, NOW)
    assert isinstance(first, Finding)
    assert isinstance(second, Finding)
    assert (second.reason, second.confidence, second.cost, second.since) == (
        first.reason,
        first.confidence,
        first.cost,
        first.since,
    )


@cases(
    "kind, name, describe",
    ("training-job", "left-warm", "DescribeTrainingJob"),
    ("processing-job", "clean", "DescribeProcessingJob"),
    ("transform-job", "score", "DescribeTransformJob"),
    ("hyper-parameter-tuning-job", "sweep", "DescribeHyperParameterTuningJob"),
)
def test_looking_again_in_vain(account: Account, aws: Aws, kind: str, name: str, describe: str) -> None:
    assert HungTrainingJobs().look(aws, target(kind, name), NOW) is None

    everything(account)
    account.box.fault("sagemaker", describe, "deny", times=0)
    with pytest.raises(ReadError, match=f"{describe}: AccessDenied"):
        HungTrainingJobs().look(aws, target(kind, name), NOW)


def test_looking_again_sees_that_a_child_works_again(account: Account, aws: Aws) -> None:
    account.tuner("sweep", "trial-1")
    account.log("training-job", "trial-1/algo-1-1790000001", silent=MINUTE)
    rule = HungTrainingJobs()

    again = rule.look(aws, target("hyper-parameter-tuning-job", "sweep"), NOW)

    assert again is not None
    assert rule.decide(again, NOW).reason == "1 of 1 running children do not hang (trial-1)"
