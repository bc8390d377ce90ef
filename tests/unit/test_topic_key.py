"""Who hears of the deployment's troubles: the key of the alarms' topic, its subscribers, and the queues."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import boto3

from conftest import NOW, REGION
from fakes import raising, refusal
from ml_janitor_cli.stack import (
    ALARM_PUBLISHER,
    BUDGET_PUBLISHER,
    CheckOutcome,
    DeployedStack,
    RegionServices,
    check_alarm_topic,
    check_mail_topic,
    check_queues,
    check_topic_key,
    lets_publish,
)
from tables import cases

BOTH = ["kms:Decrypt", "kms:GenerateDataKey*"]


def policy(**statement: Any) -> dict[str, Any]:
    usual = {"Effect": "Allow", "Principal": {"Service": ALARM_PUBLISHER}, "Action": BOTH, "Resource": "*"}
    root = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"}
    return {"Statement": [root, usual | statement]}


@cases(
    "given, allowed",
    (policy(), True),
    (policy(Action="kms:*"), True),
    (policy(Action=["kms:decrypt", "kms:generatedatakey"]), True),
    (policy(Principal={"Service": [BUDGET_PUBLISHER, ALARM_PUBLISHER]}), True),
    (policy(Action=["kms:Decrypt"]), False),
    (policy(Effect="Deny"), False),
    (policy(Principal={"Service": BUDGET_PUBLISHER}), False),
    (policy(Principal="*"), False),
    ({"Statement": policy()["Statement"][1]}, True),
)
def test_who_may_publish_to_an_encrypted_topic(given: dict[str, Any], *, allowed: bool) -> None:
    assert lets_publish(given, ALARM_PUBLISHER) is allowed


def here(**clients: Any) -> RegionServices:
    """A region whose services answer as these say."""
    services = RegionServices(boto3.Session(region_name=REGION), REGION, attempts=1)
    services._clients.update(clients)
    return services


def stack(*resources: tuple[str, str]) -> DeployedStack:
    return DeployedStack(
        name="ml-janitor", region=REGION, resources={(name, kind): f"the-{name}" for name, kind in resources}
    )


@cases(
    "given, publishers, outcome, seen",
    (policy(), {"budgets": False}, CheckOutcome.FINE, f"{ALARM_PUBLISHER} may use it"),
    (
        policy(Principal={"Service": [ALARM_PUBLISHER, BUDGET_PUBLISHER]}),
        {"budgets": True},
        CheckOutcome.FINE,
        f"{ALARM_PUBLISHER} and {BUDGET_PUBLISHER} may use it",
    ),
    (
        policy(),
        {"budgets": True},
        CheckOutcome.WRONG,
        f"its policy does not let {BUDGET_PUBLISHER} use it, so their alarms ring unheard",
    ),
)
def test_a_key_that_lets_nobody_publish_is_told(
    given: dict[str, Any], publishers: dict[str, bool], outcome: CheckOutcome, seen: str
) -> None:
    kms = SimpleNamespace(get_key_policy=lambda KeyId: {"Policy": json.dumps(given)})  # noqa: N803, ARG005
    check = check_topic_key(here(kms=kms), "the-key", **publishers)
    assert (check.outcome, check.seen) == (outcome, seen)


@cases(
    "code, outcome",
    ("NotFoundException", CheckOutcome.WRONG),
    ("AccessDeniedException", CheckOutcome.REFUSED),
    ("InternalFailure", CheckOutcome.FAILED),
)
def test_a_key_without_an_answer_is_told(code: str, outcome: CheckOutcome) -> None:
    kms = SimpleNamespace(get_key_policy=raising(refusal(code)))
    assert check_topic_key(here(kms=kms), "the-key", budgets=False).outcome is outcome


NO_QUEUE = raising(refusal("AWS.SimpleQueueService.NonExistentQueue"))
QUEUE, UNDELIVERED = (
    ("Failed01234567", "AWS::SQS::Queue"),
    ("SchedulerUndelivered01234567", "AWS::SQS::Queue"),
)


@cases(
    "resources, answer, outcome, seen",
    ((), None, CheckOutcome.WRONG, "the queue for runs that failed was deleted"),
    ((QUEUE,), NO_QUEUE, CheckOutcome.WRONG, "the queue for runs"),
    ((QUEUE,), raising(refusal("AccessDenied")), CheckOutcome.REFUSED, "DeleteEndpoint: AccessDenied"),
    ((QUEUE, UNDELIVERED), ("0", "0"), CheckOutcome.FINE, "empty"),
    ((QUEUE, UNDELIVERED), ("1", "2"), CheckOutcome.WRONG, "messages wait: 3 in Failed (runs that failed), "),
)
def test_a_queue_is_empty_or_it_is_told(
    resources: Sequence[tuple[str, str]], answer: Any, outcome: CheckOutcome, seen: str
) -> None:
    def counted(**asked: Any) -> dict[str, dict[str, str]]:
        assert asked["QueueUrl"] in {f"the-{name}" for name, _ in resources}
        return {"Attributes": dict(zip(asked["AttributeNames"], answer, strict=True))}

    sqs = SimpleNamespace(get_queue_attributes=answer if callable(answer) else counted)
    services = here(sqs=sqs, cloudwatch=SimpleNamespace(get_metric_data=raising(refusal("AccessDenied"))))
    (check,) = check_queues(services, stack(*resources), NOW)
    assert (check.outcome, check.seen[: len(seen)]) == (outcome, seen)


@cases(
    "waiting, seen",
    (("0", "0"), "no message waits in the queues that an upgrade removes"),
    (("2", "1"), "messages wait in queues that an upgrade removes: 3 in IdleNotebooksFailed"),
)
def test_a_stack_of_an_earlier_version_says_what_waits_in_the_queues_that_go(
    waiting: tuple[str, str], seen: str
) -> None:
    def counted(**asked: Any) -> dict[str, dict[str, str]]:
        return {"Attributes": dict(zip(asked["AttributeNames"], waiting, strict=True))}

    earlier = stack(("IdleNotebooksFailed01234567", "AWS::SQS::Queue"))
    checks = [*check_queues(here(sqs=SimpleNamespace(get_queue_attributes=counted)), earlier, NOW)]
    (check,) = (one for one in checks if one.what == "upgrade")
    assert (check.outcome, seen in check.seen) == (CheckOutcome.WRONG, True)


TOPIC = "Alarms01234567", "AWS::SNS::Topic"
CONFIRMED, PENDING = "arn:aws:sns:us-east-1:1:x:1", "PendingConfirmation"


def sns_with(subscriptions: Any) -> SimpleNamespace:
    """An SNS of these protocols and ARNs, each on a page of its own, or one that raises."""

    def pages(**_: object) -> list[dict[str, Any]]:
        return [
            {"Subscriptions": [{"Protocol": each, "SubscriptionArn": arn}]} for each, arn in subscriptions
        ]

    paginate = subscriptions if callable(subscriptions) else pages
    return SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=paginate))


@cases(
    "resources, subscriptions, seen",
    ((), None, "the stack has no topic for alarms"),
    ((TOPIC,), raising(refusal("NotFound")), "the topic for alarms was deleted"),
    ((TOPIC,), (), "nobody is subscribed, so no alarm wakes anybody"),
    ((TOPIC,), (("sms", PENDING),), "nobody has confirmed a subscription"),
    ((TOPIC,), (("sms", PENDING), ("sqs", CONFIRMED), ("sms", CONFIRMED)), "2 subscribed"),
)
def test_an_alarm_wakes_whoever_confirmed_a_subscription(
    resources: Sequence[tuple[str, str]], subscriptions: Any, seen: str
) -> None:
    check = check_alarm_topic(here(sns=sns_with(subscriptions)), stack(*resources))
    assert (check.seen, check.outcome is CheckOutcome.FINE) == (seen, seen == "2 subscribed")


@cases(
    "subscriptions, seen",
    (raising(refusal("NotFound")), "there is no topic arn:t"),
    ((("sqs", CONFIRMED),), "no address is subscribed, so nobody gets the mails, and none is a warning"),
    ((("email", PENDING), ("sqs", CONFIRMED)), "nobody has confirmed a subscription"),
    ((("email", PENDING), ("email", CONFIRMED)), "1 subscribed"),
)
def test_a_mail_is_read_by_a_confirmed_address(subscriptions: Any, seen: str) -> None:
    check = check_mail_topic(here(sns=sns_with(subscriptions)), "arn:t")
    assert (check.seen, check.outcome is CheckOutcome.FINE) == (seen, seen == "1 subscribed")
