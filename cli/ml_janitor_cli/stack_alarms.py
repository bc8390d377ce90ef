"""Signs of trouble in a deployed stack: queues, alarms, and the subscribers of alarms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import batched
from typing import Any

from ml_janitor.core.durations import format_age
from ml_janitor_cli.stack import (
    DEPLOY_AGAIN_ADVICE,
    OPERATING_PAGE,
    Check,
    CheckOutcome,
    DeployedStack,
    MissingResource,
    RegionServices,
    Trouble,
    read_answer,
)

ALARM_TYPE, QUEUE_TYPE, TOPIC_TYPE = "AWS::CloudWatch::Alarm", "AWS::SQS::Queue", "AWS::SNS::Topic"

ALARMS_A_CALL = 100
"""The most names that DescribeAlarms takes (API reference)."""

OLDEST_MESSAGE_METRIC = "ApproximateAgeOfOldestMessage"
FAILED_QUEUE, UNDELIVERED_QUEUE = "Failed", "Undelivered"
QUEUE_CONTENTS = {FAILED_QUEUE: "runs that failed", UNDELIVERED_QUEUE: "events that could not be delivered"}


def check_queues(
    here: RegionServices, stack: DeployedStack, about: str, construct: str, now: datetime, *queues: str
) -> Check:
    """Check whether messages wait in one of a function's *queues*."""
    waiting: dict[str, int] = {}
    seen = []
    for part in queues:
        url = stack.physical_id(construct, part, QUEUE_TYPE)
        numbers = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        ask = partial(here.client("sqs").get_queue_attributes, QueueUrl=url, AttributeNames=[*numbers])
        asked: Any = MissingResource() if url is None else read_answer(ask)
        match asked:
            case Trouble():
                return asked.check("queues", about=about, action="sqs:GetQueueAttributes")
            case MissingResource():
                return Check.wrong(
                    "queues",
                    f"its queue for {QUEUE_CONTENTS[part]} was deleted",
                    DEPLOY_AGAIN_ADVICE,
                    about=about,
                    short="deleted",
                )
        if count := sum(int(asked["Attributes"][number]) for number in numbers):
            waiting[part] = count
            seen.append(
                f"{count} in {part} ({QUEUE_CONTENTS[part]}), {oldest_message_age(here, str(url), now)}"
            )
    if not waiting:
        return Check.fine("queues", "empty", about=about)
    return Check.wrong(
        "queues",
        f"messages wait: {'; '.join(seen)}",
        f"see {OPERATING_PAGE}, {' and '.join(f'{part}Messages' for part in waiting)}",
        about=about,
        short=f"{sum(waiting.values())} waiting",
    )


def oldest_message_age(here: RegionServices, url: str, now: datetime) -> str:
    """Say how old the oldest message of a queue is, which only CloudWatch knows."""
    query = {
        "Id": "oldest",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SQS",
                "MetricName": OLDEST_MESSAGE_METRIC,
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
    match read_answer(ask):
        case {"MetricDataResults": [{"Values": [latest, *_]}]}:
            return f"the oldest {format_age(timedelta(seconds=latest))} old"
        case _:
            return "for how long is not known"


def check_alarms(
    here: RegionServices, stack: DeployedStack, constructs: Mapping[str, str], now: datetime
) -> list[Check]:
    """Check the alarms of each function and its construct: whether they exist, and which are in ALARM."""
    wanted = {name: parts for name, of in constructs.items() if (parts := stack.parts(of, ALARM_TYPE))}
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

    found = read_answer(described)
    if isinstance(found, Trouble | MissingResource):
        trouble = (
            found if isinstance(found, Trouble) else Trouble(CheckOutcome.FAILED, "CloudWatch has no alarms")
        )
        return [trouble.check("alarms", about=name, action="cloudwatch:DescribeAlarms") for name in wanted]
    return [
        check for name, parts in wanted.items() for check in check_function_alarms(name, parts, found, now)
    ]


def check_function_alarms(
    about: str, parts: Mapping[str, str], found: Mapping[str, Mapping[str, Any]], now: datetime
) -> list[Check]:
    """Check the alarms of one function."""
    wrong = partial(Check.wrong, "alarms", about=about)
    checks = []
    for kind, name in parts.items():
        if (alarm := found.get(name)) is None:
            checks.append(
                wrong(seen=f"the alarm {kind} was deleted", to_do=DEPLOY_AGAIN_ADVICE, short="deleted")
            )
        elif alarm["StateValue"] == "ALARM":
            since = format_age(now - alarm["StateUpdatedTimestamp"])
            seen = f"{kind} has been in ALARM for {since}: {alarm.get('StateReason', '')}"
            checks.append(wrong(seen=seen, to_do=f"see {OPERATING_PAGE}, {kind}", short="in ALARM"))
        elif not alarm["ActionsEnabled"]:
            checks.append(
                wrong(seen=f"the alarm {kind} tells nobody: its actions are off", to_do=DEPLOY_AGAIN_ADVICE)
            )
    seen = f"{len(parts)} quiet"
    return checks or [Check.fine("alarms", seen, about=about)]


def check_alarm_topic(here: RegionServices, stack: DeployedStack) -> Check:
    """Check that anybody hears of an alarm."""
    topic = stack.physical_id("Alarms", "", TOPIC_TYPE)
    wrong = partial(Check.wrong, "alarm topic")
    if topic is None:
        return wrong(seen="the stack has no topic for alarms", to_do=DEPLOY_AGAIN_ADVICE)

    def subscribed() -> list[Any]:
        pages = here.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        return [subscription for page in pages for subscription in page["Subscriptions"]]

    match read_answer(subscribed):
        case Trouble() as trouble:
            return trouble.check("alarm topic", action="sns:ListSubscriptionsByTopic")
        case MissingResource():
            return wrong(seen="the topic for alarms was deleted", to_do=DEPLOY_AGAIN_ADVICE)
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
