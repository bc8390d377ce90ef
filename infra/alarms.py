"""Alarms that wake somebody: a failed run, a run that did not happen, a message nobody could deliver."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

from aws_cdk import Annotations, ArnFormat, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from ml_janitor.config import schedules
from ml_janitor.core.durations import DAY, WEEK
from ml_janitor.report.telemetry import ACCOUNTS_METRIC, DETECTOR_DIMENSION, METRICS_NAMESPACE, REFUSED_METRIC


def alarm_topic(scope: Construct, id_: str, key: kms.IKey | None = None) -> sns.Topic:
    """
    Create the topic that all alarms notify, over TLS only, and under *key* if there is one.

    The policy that demands TLS replaces the topic's default, which would let alarms publish. So alarms are
    allowed by name, else nobody would hear them
    (https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger).
    """
    topic = sns.Topic(scope, id_, display_name="ML Janitor", enforce_ssl=True, master_key=key)
    alarms = Stack.of(scope).format_arn(
        service="cloudwatch", resource="alarm", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"ArnLike": {"aws:SourceArn": alarms}},
        )
    )
    return topic


def create_alarm(
    scope: Construct,
    id_: str,
    *,
    metric: cloudwatch.IMetric,
    says: str,
    topic: sns.ITopic,
    threshold: float = 0,
    comparison: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
    periods: int = 1,
    missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
) -> cloudwatch.Alarm:
    """Create an alarm that notifies *topic* of what it *says*; docs/operating.md says what to do about it."""
    made = cloudwatch.Alarm(
        scope,
        id_,
        metric=metric,
        alarm_description=says,
        threshold=threshold,
        comparison_operator=comparison,
        evaluation_periods=periods,
        treat_missing_data=missing,
    )
    made.add_alarm_action(actions.SnsAction(topic))
    return made


def run_count_metric(detector: str, *, period: Duration) -> cloudwatch.Metric:
    """Count the runs of *detector* over an organization that began: each counts its accounts once."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=ACCOUNTS_METRIC,
        dimensions_map={DETECTOR_DIMENSION: detector},
        statistic="SampleCount",
        period=period,
    )


def watch_schedule(
    scope: Construct,
    runs: Callable[..., cloudwatch.IMetric],
    *,
    name: str,
    schedule: str,
    topic: sns.ITopic,
) -> None:
    """Create an alarm on a *schedule* that did not run its target; *runs* counts its runs in a period."""
    watched = silence_periods(schedule)
    if watched is None:
        Annotations.of(scope).add_info(
            f"{name} runs on {schedule}, less than once a week: CloudWatch cannot see that it did not run. "
            "The digest and janitor doctor say so instead."
        )
        return
    period, periods = watched
    create_alarm(
        scope,
        "DidNotRun",
        metric=runs(period=period),
        says=f"{name}: its schedule ({schedule}) did not run it.",
        topic=topic,
        threshold=1,
        comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        periods=periods,
        missing=cloudwatch.TreatMissingData.BREACHING,
    )


def watch_acts(scope: Construct, *, name: str, topic: sns.ITopic) -> None:
    """Create alarms on an armed detector: a failed act, a limit that held something back, a forged record."""
    for id_, says in (
        ("ActionsFailed", f"{name}: an action failed. The report and `janitor findings` say which, and why."),
        ("HeldBack", f"{name}: a limit held something back. The report says which limit, and what to do."),
        (REFUSED_METRIC, f"{name}: a record in the ledger is not what was signed; nothing was done from it."),
    ):
        metric = cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=id_,
            dimensions_map={DETECTOR_DIMENSION: name},
            statistic="Maximum",
            period=Duration.hours(1),
        )
        create_alarm(scope, id_, metric=metric, says=says, topic=topic)


def silence_periods(schedule: str) -> tuple[Duration, int] | None:
    """
    Return how long a schedule may be silent: a period, and how many of them.

    An alarm sees seven days at the most (PutMetricAlarm: Period times EvaluationPeriods), so a weekly
    schedule gets exactly those, and a longer one None: its alarm would ring between any two runs.
    """
    every = schedules.schedule_period(schedule)
    if every > WEEK:
        return None
    if every >= DAY:
        return Duration.days(1), min(7, math.ceil(every / DAY) + 1)
    return Duration.hours(1), min(24, 2 * math.ceil(every / timedelta(hours=1)) + 1)
