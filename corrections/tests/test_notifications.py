"""Subscriptions that wait for a person, and events on their way to queues and topics."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from corrected import Control
from plain_requests import refusal

EVENT = {"Source": "ml", "DetailType": "Act", "Detail": '{"name": "a \\"b\\"", "usd": 3}'}


@pytest.fixture
def queue(aws: Any) -> Any:
    """The ARN of a queue, and what takes its messages."""
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def received() -> list[Any]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(one["Body"]) for one in found]

    return arn, received


def test_an_address_waits_for_its_confirmation_and_a_queue_does_not(
    control: Control, aws: Any, queue: Any
) -> None:
    sns, (arn, received) = aws("sns"), queue
    topic = sns.create_topic(Name="t")["TopicArn"]
    for protocol, endpoint in (("email", "a@x.org"), ("email", "b@x.org"), ("sqs", arn)):
        sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint)
    again = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@x.org")
    assert again["SubscriptionArn"] == "pending confirmation"
    asked: Any = {
        "TopicArn": topic,
        "Protocol": "email",
        "Endpoint": "a@x.org",
        "ReturnSubscriptionArn": True,
    }
    assert sns.subscribe(**asked)["SubscriptionArn"].startswith(topic)
    confirmed = sns.confirm_subscription(TopicArn=topic, Token="b@x.org")["SubscriptionArn"]
    assert "Token" in refusal(sns.confirm_subscription, TopicArn=topic, Token="c@x.org")

    control.set_pages(2)
    pages = list(sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic))
    assert [len(page["Subscriptions"]) for page in pages] == [2, 1]
    listed = [one["SubscriptionArn"] for page in pages for one in page["Subscriptions"]]
    assert listed[:2] == ["PendingConfirmation", confirmed]
    assert listed[2].startswith(topic)

    for subject, message in (("two\nlines", "m"), ("\u20ac", "m"), ("x" * 101, "m"), ("s", "m" * 262_145)):
        assert "InvalidParameter" in refusal(sns.publish, TopicArn=topic, Subject=subject, Message=message)
    sns.publish(TopicArn=topic, Subject="x" * 100, Message="m" * 200_000)
    (mail,) = received()
    assert (len(mail["Subject"]), len(mail["Message"])) == (100, 200_000)


def test_what_a_rule_matches_reaches_a_queue_and_a_topic(aws: Any, queue: Any) -> None:
    events, sns, (arn, received) = aws("events"), aws("sns"), queue
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    card: dict[str, Any] = {"InputPathsMap": {"who": "$.detail.name", "usd": "$.detail.usd"}}
    card |= {"InputTemplate": '{"title": <who>, "text": "it costs <usd>", "as": "<who>, <usd>"}'}
    targets = [{"Id": "1", "Arn": arn}, {"Id": "2", "Arn": topic}]
    events.put_rule(Name="r", EventPattern='{"source": ["ml"], "detail": {"usd": [{"numeric": [">", 2]}]}}')
    events.put_targets(Rule="r", Targets=targets)

    events.put_events(Entries=[EVENT, EVENT | {"Detail": '{"usd": 2}'}, EVENT | {"Source": "other"}])
    whole, same = received()
    assert whole == same
    assert whole["detail"] == {"name": 'a "b"', "usd": 3}
    assert (whole["account"], whole["time"], whole["version"]) == (
        "123456789012",
        "2026-10-06T03:00:00Z",
        "0",
    )

    plain = EVENT | {"Detail": '{"name": "a b", "usd": 3}'}
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn, "InputTransformer": card}])
    events.remove_targets(Rule="r", Ids=["2"])
    events.put_events(Entries=[plain])
    assert received() == [{"title": "a b", "text": "it costs 3", "as": "a b, 3"}]

    events.disable_rule(Name="r")
    events.put_events(Entries=[EVENT])
    assert received() == []
    with pytest.raises(ClientError, match="over the limit"):
        events.put_events(Entries=[EVENT | {"Detail": json.dumps({"x": "y" * 262_140})}])
