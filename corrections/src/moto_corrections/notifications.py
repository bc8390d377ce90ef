"""SNS's confirmations and limits, and EventBridge's way to SNS and SQS."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

from moto.events.models import EventsBackend, Rule
from moto.sns.models import SNSBackend
from moto.utilities.arns import parse_arn

from moto_corrections.paging import cut
from moto_corrections.patches import AwsError, Call, backend, replaces, serves

PENDING, ANSWERED = "PendingConfirmation", "pending confirmation"
"""The ARN of a subscription that waits for its confirmation: in listings, and in the answer of Subscribe."""

CONFIRMED_BY_PEOPLE = {"email", "email-json", "http", "https"}
SUBSCRIPTIONS_A_PAGE = 100
LARGEST = 256 * 1024
SUBJECT = re.compile(r"[!-~][ -~]{0,99}")

_publish = SNSBackend.publish
_put_events, _send = EventsBackend.put_events, Rule.send_to_targets


# --- SNS ------------------------------------------------------------------------------------------


@serves("sns", "Subscribe")
def subscribe(call: Call) -> dict[str, Any]:
    """Subscribe; an address or a URL has to be confirmed (API reference)."""
    store, asked = backend("sns", call.account, call.region), call.params
    made = store.subscribe(asked["TopicArn"], asked["Endpoint"], asked["Protocol"])
    for name, value in sorted(
        asked.get("Attributes", {}).items(), reverse=True
    ):  # the scope before its policy
        store.set_subscription_attributes(made.arn, name, value)
    waits = _waits(made) and not asked.get("ReturnSubscriptionArn")
    return {"SubscriptionArn": ANSWERED if waits else made.arn}


@serves("sns", "ConfirmSubscription")
def confirm_subscription(call: Call) -> dict[str, Any]:
    """Confirm a subscription. No mail is sent here, so that its token is the address (an assumption)."""
    for known in backend("sns", call.account, call.region).subscriptions.values():
        if (known.topic.arn, known.endpoint) == (call.params["TopicArn"], call.params["Token"]):
            known.confirmed = True
            return {"SubscriptionArn": known.arn}
    raise AwsError("InvalidParameter", "Invalid parameter: Token")


def _waits(known: Any) -> bool:
    """Return whether a subscription has to be confirmed yet; moto itself never sets *confirmed*."""
    return known.protocol in CONFIRMED_BY_PEOPLE and not known.confirmed


@serves("sns", "ListSubscriptionsByTopic")
def list_subscriptions_by_topic(call: Call) -> dict[str, Any]:
    """List a page of 100 (API reference), with PendingConfirmation for the ARN of what is not confirmed."""
    store = backend("sns", call.account, call.region)
    topic = store.get_topic(call.params["TopicArn"])
    found = [known for known in store.subscriptions.values() if known.topic.arn == topic.arn]
    page, more = cut(call, found, SUBSCRIPTIONS_A_PAGE, invalid="InvalidParameter")
    listed = [
        {
            "SubscriptionArn": PENDING if _waits(known) else known.arn,
            "Owner": known.owner,
            "Protocol": known.protocol,
            "Endpoint": known.endpoint,
            "TopicArn": topic.arn,
        }
        for known in page
    ]
    return {"Subscriptions": listed, **more}


@replaces("moto.sns.models:SNSBackend.publish", was="6356a2b5b79e")
def publish(store: SNSBackend, message: str, *args: Any, **given: Any) -> str:
    """Publish what is short enough, with a subject of one line of ASCII (API reference of Publish)."""
    subject = given.get("subject")
    if subject is not None and not SUBJECT.fullmatch(subject):
        raise AwsError("InvalidParameter", "Invalid parameter: Subject")
    if len(message.encode()) > LARGEST:
        raise AwsError("InvalidParameter", "Invalid parameter: Message too long")
    return _publish(store, message, *args, **given)


# --- EventBridge ----------------------------------------------------------------------------------


@replaces("moto.events.models:EventsBackend.put_events", was="c56f6ac1f932")
def put_events(store: EventsBackend, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put entries of 256 KB together (user guide, "Calculating PutEvents event entry size")."""
    size = sum(
        len(str(part).encode())
        for event in events
        for part in (
            *(event.get(name) or "" for name in ("Source", "DetailType", "Detail")),
            *(event.get("Resources") or ()),
            "x" * 14 * ("Time" in event),
        )
    )
    if size > LARGEST:
        raise AwsError("ValidationException", "Total size of the entries in the request is over the limit.")
    return _put_events(store, events)


@replaces("moto.events.models:Rule.send_to_targets", was="472e002e2dab")
def send_to_targets(rule: Rule, original_event: Any, transform_input: bool = True) -> None:  # noqa: FBT001, FBT002
    """
    Send an event that an enabled rule matches, as it is or transformed, to queues and topics too.

    Other targets are moto's. User guide, "Amazon EventBridge targets" and "input transformation".
    """
    if rule.state != "ENABLED":
        return
    targets = rule.targets
    for target in targets:
        arn = parse_arn(target["Arn"])
        if arn.service not in {"sns", "sqs"}:
            rule.targets = [target]
            try:
                _send(rule, original_event, transform_input)
            finally:
                rule.targets = targets
        elif rule.event_pattern.matches_event(original_event):
            text, store = _input(target, original_event), backend(arn.service, arn.account, arn.region)
            if arn.service == "sns":
                store.publish(text, arn=target["Arn"])
            else:
                group = target.get("SqsParameters", {}).get("MessageGroupId")
                store.send_message(queue_name=arn.resource_id, message_body=text, group_id=group)


def _input(target: dict[str, Any], event: dict[str, Any]) -> str:
    """Return the text that a target gets."""
    seconds = dt.datetime.fromtimestamp(float(event["time"]), dt.UTC)
    whole = {name: value for name, value in event.items() if name != "ingestion-time"}
    whole |= {"version": "0", "time": f"{seconds:%Y-%m-%dT%H:%M:%SZ}"}
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        raise NotImplementedError("InputPath of a target")
    if (by := target.get("InputTransformer")) is None:
        return json.dumps(whole)
    values = {name: _at(path, whole) for name, path in by.get("InputPathsMap", {}).items()}
    return "".join(_filled(by["InputTemplate"], values))


def _at(path: str, whole: Any) -> Any:
    """Return what a path such as "$.detail.name" names."""
    for part in path.removeprefix("$.").split("."):
        whole = whole.get(part) if isinstance(whole, dict) else None
    return whole


def _filled(template: str, values: dict[str, Any]) -> Iterator[str]:
    """Yield the template with its variables: JSON where they stand alone, their text within a string."""
    within = False
    for part in re.findall(r'<[\w.-]+>|\\.|"|[^<"\\]+|.', template, re.DOTALL):
        if part == '"':
            within = not within
        name = part[1:-1]
        if name in values and part.startswith("<"):
            value = values[name]
            yield value if within and isinstance(value, str) else json.dumps(value)
        else:
            yield part
