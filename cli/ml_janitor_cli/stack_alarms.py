"""Signs of trouble in a deployed stack: queues, alarms, and the subscribers of alarms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import batched
from typing import Any

from ml_janitor.core.durations import ago
from ml_janitor_cli.stack import DEPLOY_AGAIN, PAGE, Check, Deployment, Gone, Outcome, Stack, Trouble, read

ALARM, QUEUE, TOPIC = "AWS::CloudWatch::Alarm", "AWS::SQS::Queue", "AWS::SNS::Topic"

ALARMS_A_CALL = 100
"""The most names that DescribeAlarms takes (API reference)."""

OLDEST = "ApproximateAgeOfOldestMessage"
FAILED, UNDELIVERED = "Failed", "Undelivered"
QUEUES = {FAILED: "runs that failed", UNDELIVERED: "events that could not be delivered"}


def queue_check(
    here: Deployment, stack: Stack, about: str, construct: str, now: datetime, *queues: str
) -> Check:
    """Check whether messages wait in one of a function's *queues*."""
    waiting: dict[str, int] = {}
    seen = []
    for part in queues:
        url = stack.physical_id(construct, part, QUEUE)
        numbers = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        ask = partial(here.client("sqs").get_queue_attributes, QueueUrl=url, AttributeNames=[*numbers])
        asked: Any = Gone() if url is None else read(ask)
        match asked:
            case Trouble():
                return asked.check("queues", about=about, action="sqs:GetQueueAttributes")
            case Gone():
                return Check.wrong(
                    "queues",
                    f"its queue for {QUEUES[part]} was deleted",
                    DEPLOY_AGAIN,
                    about=about,
                    short="deleted",
                )
        if count := sum(int(asked["Attributes"][number]) for number in numbers):
            waiting[part] = count
            seen.append(f"{count} in {part} ({QUEUES[part]}), {oldest(here, str(url), now)}")
    if not waiting:
        return Check.fine("queues", "empty", about=about)
    return Check.wrong(
        "queues",
        f"messages wait: {'; '.join(seen)}",
        f"see {PAGE}, {' and '.join(f'{part}Messages' for part in waiting)}",
        about=about,
        short=f"{sum(waiting.values())} waiting",
    )


def oldest(here: Deployment, url: str, now: datetime) -> str:
    """Say how old the oldest message of a queue is, which only CloudWatch knows."""
    query = {
        "Id": "oldest",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SQS",
                "MetricName": OLDEST,
                "Dimensions": [{"Name": "QueueName", "Value": url.rpartition("/")[2]}],
            },
            "Period": 300,
            "Stat": "Maximum",
        },
    }
    ask = partial(
        here.client("cloudwatch").get_metric_data,
        MetricDataQueries=[query],
        StartTime=now - timedelta(hours=1),
        EndTime=now,
    )
    match read(ask):
        case {"MetricDataResults": [{"Values": [latest, *_]}]}:
            return f"the oldest {ago(timedelta(seconds=latest))} old"
        case _:
            return "for how long is not known"


def alarm_checks(here: Deployment, stack: Stack, constructs: Mapping[str, str], now: datetime) -> list[Check]:
    """Check the alarms of each function and its construct: whether they exist, and which are in ALARM."""
    wanted = {name: parts for name, of in constructs.items() if (parts := stack.parts(of, ALARM))}
    names = [name for parts in wanted.values() for name in parts.values()]

    def described() -> dict[str, Mapping[str, Any]]:
        return {
            alarm["AlarmName"]: alarm
            for some in batched(names, ALARMS_A_CALL)
            for page in here.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNames=[*some])
            for alarm in page["MetricAlarms"]
        }

    found = read(described)
    if isinstance(found, Trouble | Gone):
        trouble = found if isinstance(found, Trouble) else Trouble(Outcome.FAILED, "CloudWatch has no alarms")
        return [trouble.check("alarms", about=name, action="cloudwatch:DescribeAlarms") for name in wanted]
    return [check for name, parts in wanted.items() for check in judged(name, parts, found, now)]


def judged(
    about: str, parts: Mapping[str, str], found: Mapping[str, Mapping[str, Any]], now: datetime
) -> list[Check]:
    """Check the alarms of one function."""
    wrong = partial(Check.wrong, "alarms", about=about)
    checks = []
    for kind, name in parts.items():
        if (alarm := found.get(name)) is None:
            checks.append(wrong(seen=f"the alarm {kind} was deleted", to_do=DEPLOY_AGAIN, short="deleted"))
        elif alarm["StateValue"] == "ALARM":
            since = ago(now - alarm["StateUpdatedTimestamp"])
            seen = f"{kind} has been in ALARM for {since}: {alarm.get('StateReason', '')}"
            checks.append(wrong(seen=seen, to_do=f"see {PAGE}, {kind}", short="in ALARM"))
        elif not alarm["ActionsEnabled"]:
            checks.append(
                wrong(seen=f"the alarm {kind} tells nobody: its actions are off", to_do=DEPLOY_AGAIN)
            )
    seen = f"{len(parts)} quiet"
    return checks or [Check.fine("alarms", seen, about=about)]


def topic_check(here: Deployment, stack: Stack) -> Check:
    """Check that anybody hears of an alarm."""
    topic = stack.physical_id("Alarms", "", TOPIC)
    wrong = partial(Check.wrong, "alarm topic")
    if topic is None:
        return wrong(seen="the stack has no topic for alarms", to_do=DEPLOY_AGAIN)

    def subscribed() -> list[Any]:
        pages = here.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        return [subscription for page in pages for subscription in page["Subscriptions"]]

    match read(subscribed):
        case Trouble() as trouble:
            return trouble.check("alarm topic", action="sns:ListSubscriptionsByTopic")
        case Gone():
            return wrong(seen="the topic for alarms was deleted", to_do=DEPLOY_AGAIN)
        case list(found):
            pending = [
                subscription
                for subscription in found
                if subscription["SubscriptionArn"] == "PendingConfirmation"
            ]
            if len(found) > len(pending):
                seen = f"{len(found) - len(pending)} subscribed"
                return Check.fine("alarm topic", seen)
            seen = (
                "nobody has confirmed a subscription"
                if pending
                else "nobody is subscribed, so no alarm wakes anybody"
            )
            subscribe = f"aws sns subscribe --topic-arn {topic} --protocol email"
            return wrong(seen=seen, to_do=f"{subscribe} --notification-endpoint YOU@EXAMPLE.COM")
