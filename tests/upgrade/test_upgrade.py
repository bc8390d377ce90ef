"""A deployment of an earlier version goes on under this one: what it remembered counts, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.main import main
from janitor.ledger.leases import LeaseTakenError
from sandbox.server import Sandbox
from upgrade.world import DETECTORS, RECORDED, World, lines

FREE = RECORDED + timedelta(minutes=11)
"""When the lease of the sweep that was killed is over; what was warned about last is due later."""
LATER = FREE + timedelta(minutes=5)

type Outcomes = dict[str, dict[str, str]]


class Lived(NamedTuple):
    """What became of everything after two sweeps of each detector, and what Slack shows."""

    first: Outcomes
    second: Outcomes
    actions: dict[str, dict[str, Any]]
    findings: dict[str, dict[str, Any]]
    endpoints: list[str]
    posted: list[dict[str, Any]]
    messages: dict[str, dict[str, Any]]


@pytest.fixture
def world(_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    loaded = World(_sandbox.url, monkeypatch, tmp_path, RECORDED)
    loaded.load()
    return loaded


@pytest.fixture(scope="module")
def lived(_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    with pytest.MonkeyPatch.context() as patch:
        world = World(_sandbox.url, patch, tmp_path_factory.mktemp("upgrade"), RECORDED)
        world.load()
        world.delivered = len(world.box.invocations())
        before = len(world.slack.messages())
        first = outcomes(world, FREE)
        world.deliver()
        second = outcomes(world, LATER)
        shown = world.slack.messages()
        yield Lived(
            first,
            second,
            {one["name"]: one for one in world.items("action")},
            {one["name"]: one for one in world.items("finding")},
            endpoints(world),
            shown[before:],
            {one["ts"]: one for one in shown},
        )


def outcomes(world: World, when: Any) -> Outcomes:
    """What one sweep of each detector says, by detector and name."""
    found = {}
    for detector in DETECTORS:
        world.at(max(when, world.now))
        found[detector] = {name: one["outcome"] for name, one in world.sweep(detector).items()}
    return found


def endpoints(world: World) -> list[str]:
    listed = world.session.client("sagemaker").list_endpoints(MaxResults=100)["Endpoints"]
    return sorted(one["EndpointName"] for one in listed if one["EndpointStatus"] == "InService")


def recorded(kind: str) -> dict[str, dict[str, str]]:
    """The recorded items of the table of one *kind*, by the name of their resource."""
    items = [one for one in lines("ledger") if one["pk"]["S"].startswith(f"{kind}#")]
    return {one["name"]["S"]: {key: str(*value.values()) for key, value in one.items()} for one in items}


# --- warnings and holds ---------------------------------------------------------------------------


def test_show(lived: Lived) -> None:
    print(json.dumps([lived.first, lived.second], indent=0))
    print({k: (v["stage"], int(v["attempts"])) for k, v in lived.actions.items()})
    print(lived.endpoints)
    for m in lived.posted: print(m["ts"], m["thread_ts"], m["text"])
    assert 0
