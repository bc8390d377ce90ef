"""The Lambda edge with the real payloads of events/, against the demo account over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ACCOUNT, REGION
from pydantic import ValidationError

from janitor import handlers
from sandbox import demo
from sandbox.control import Control

EVENTS = Path(__file__).parent.parent.parent / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / name).read_text())


def test_a_scheduled_event_sweeps_its_detector(box: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.seed(box.url)
    monkeypatch.setenv("JANITOR_DETECTOR", "idle-notebooks")

    answer = handlers.sweep(event("scheduled.json"), None)

    (swept,) = answer["sweeps"]
    assert (answer["account"], swept["detector"], swept["region"]) == (ACCOUNT, "idle-notebooks", REGION)
    assert swept["found"] > 0
    assert swept["looked_at"] == swept["found"] + swept["kept"]
    assert swept["error"] is None
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize(
    "wrong", [{}, {"time": "soon"}, {"time": "2026-10-06T03:00:00"}, {"time": 1, "act": True}]
)
def test_a_malformed_event_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        handlers.sweep(wrong, None)
