"""Cost anomaly monitors and their subscriptions: made, listed and deleted. They find nothing here."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moto_corrections import clock, state
from moto_corrections.patches import AwsError, Call, rejected


@dataclass(slots=True)
class Anomalies:
    """The monitors and subscriptions of one account, by ARN."""

    monitor: dict[str, dict[str, Any]] = field(default_factory=dict)
    subscription: dict[str, dict[str, Any]] = field(default_factory=dict)


def _kept(call: Call, noun: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = getattr(state.at(Anomalies, call.account, ""), noun.lower())
    return found


def _known(call: Call, noun: str, arns: list[str]) -> list[dict[str, Any]]:
    kept = _kept(call, noun)
    if missing := [arn for arn in arns if arn not in kept]:
        raise AwsError(f"Unknown{noun}Exception", f"No {noun.lower()} {missing[0]}")
    return [kept[arn] for arn in arns]


def _create(call: Call, noun: str) -> dict[str, Any]:
    """Create a monitor or a subscription; refuse an account's second monitor of all services."""
    asked = dict(call.params[f"Anomaly{noun}"])
    if noun == "Subscription":
        _known(call, "Monitor", asked["MonitorArnList"])
        channels = {subscriber["Type"] for subscriber in asked["Subscribers"]}
        if asked["Frequency"] == "IMMEDIATE" and channels != {"SNS"}:
            raise rejected("Immediate frequency supports SNS subscribers only.")
    elif asked.get("MonitorDimension") == "SERVICE" and any(
        monitor.get("MonitorDimension") == "SERVICE" for monitor in _kept(call, noun).values()
    ):
        raise rejected("Limit exceeded on dimensional spend monitor creation")
    arn = f"arn:{call.partition}:ce::{call.account}:anomaly{noun.lower()}/{uuid.uuid4()}"
    about = {f"{noun}Arn": arn} | ({"CreationDate": clock.text(clock.now())} if noun == "Monitor" else {})
    _kept(call, noun)[arn] = asked | about
    return {f"{noun}Arn": arn}


def _get(call: Call, noun: str) -> dict[str, Any]:
    arns = call.params.get(f"{noun}ArnList")
    return {f"Anomaly{noun}s": _known(call, noun, arns) if arns else list(_kept(call, noun).values())}


def _delete(call: Call, noun: str) -> dict[str, Any]:
    arn = call.params[f"{noun}Arn"]
    _known(call, noun, [arn])
    del _kept(call, noun)[arn]
    return {}


def _served(answer: Callable[[Call, str], dict[str, Any]], noun: str) -> Callable[[Call], dict[str, Any]]:
    return lambda call: answer(call, noun)


OPERATIONS = {
    f"{verb}Anomaly{noun}{plural}": _served(answer, noun)
    for verb, answer, plural in (("Create", _create, ""), ("Get", _get, "s"), ("Delete", _delete, ""))
    for noun in ("Monitor", "Subscription")
} | {"GetAnomalies": lambda _: {"Anomalies": []}}
