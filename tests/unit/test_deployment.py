"""The composition root hands on what the operator set."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from conftest import NOW
from memory_table import MemoryTable
from ml_janitor.config.settings import Settings
from ml_janitor.deployment import make_acting, make_undoing
from ml_janitor.ledger.actions import Actions


def test_acts_and_undos_keep_to_the_limits_that_the_operator_set() -> None:
    table: Any = MemoryTable()
    settings = Settings.parse({"janitor": {"undo_days": 7, "max_actions_per_night": 3}})
    acting = make_acting(
        settings,
        table,
        Actions(table),
        lambda: NOW,
        sleep=lambda _: None,
        wait=lambda: None,
        revert=lambda _: None,
    )
    undoing = make_undoing(settings, table, Actions(table), lambda: NOW, wait=lambda: None)

    assert (acting.within, undoing.within) == (timedelta(days=7), timedelta(days=7))
    assert (acting.max_actions_per_night, acting.together) == (3, False)
    assert not undoing.unsigned
    assert {actor.name for actor in acting.actors()} == {
        detector.name for detector in settings.registry if detector.cleanup is not None
    }
