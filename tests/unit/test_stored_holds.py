"""What people said about a resource: nothing that a machine does, and no second word, makes it shorter."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from memory_table import MemoryTable
from ml_janitor.engine.policy import Hold, HoldKind, longest_hold
from ml_janitor.ledger.requests import Holds
from standin import DAY
from tables import cases

KEY = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/lamp@2026-01-01T00:00:00+00:00"

WEEK = Hold(key=KEY, how=HoldKind.SNOOZED, by="maria", given=NOW, until=NOW + 7 * DAY)
MONTH = Hold(key=KEY, how=HoldKind.SNOOZED, by="tomas", given=NOW, until=NOW + 30 * DAY)
KEPT = Hold(key=KEY, how=HoldKind.KEPT, by="hana", given=NOW)
FAIR = Hold(key=KEY, how=HoldKind.KEPT, by="hana", given=NOW, until=NOW + 9 * DAY, why="the fair")


@pytest.fixture
def holds() -> Holds:
    return Holds(MemoryTable())


def stands(holds: Holds) -> Hold | None:
    return longest_hold(holds.all(ACCOUNT, REGION).get(KEY, ()), NOW)


@cases(
    "words, last",
    ([WEEK, MONTH], MONTH),
    ([WEEK, KEPT], KEPT),
    ([FAIR, KEPT], KEPT),
    ([FAIR, MONTH], MONTH),
    ([WEEK, FAIR], FAIR),
    ([WEEK, MONTH, FAIR, KEPT], KEPT),
)
def test_in_whatever_order_words_are_said_the_longest_stands(words: Sequence[Hold], last: Hold) -> None:
    for order in permutations(words):
        holds = Holds(MemoryTable())
        for word in order:
            holds.put(ACCOUNT, REGION, word)
        assert stands(holds) == last, [word.by for word in order]


def test_a_hold_on_an_app_counts_in_either_spelling_of_its_type(holds: Holds) -> None:
    app = "arn:aws:sagemaker:us-east-1:123456789012:app/d-1/Anna/{}/Default@2026-01-01T00:00:00+00:00"
    holds.put(ACCOUNT, REGION, replace(KEPT, key=app.format("JupyterLab")))

    assert list(holds.all(ACCOUNT, REGION)) == [app.format("jupyterlab")]


def test_a_word_of_the_same_length_says_who_said_it_last(holds: Holds) -> None:
    again = replace(WEEK, by="dina")
    holds.put(ACCOUNT, REGION, WEEK)
    holds.put(ACCOUNT, REGION, again)
    holds.put(ACCOUNT, REGION, KEPT)
    holds.put(ACCOUNT, REGION, replace(KEPT, by="dina"))

    assert set(holds.all(ACCOUNT, REGION)[KEY]) == {again, replace(KEPT, by="dina")}


@cases("before, last", (MONTH, WEEK), (KEPT, KEPT), ids=["a snooze", "a keep"])
def test_whoever_means_to_shorten_a_snooze_says_so(holds: Holds, before: Hold, last: Hold) -> None:
    holds.put(ACCOUNT, REGION, before)
    holds.put(ACCOUNT, REGION, WEEK, shorten=True)

    assert stands(holds) == last


def test_a_keep_without_an_end_ends_where_it_was_pressed() -> None:
    """`janitor keep` has a reason, a snooze has an end, and a piece of advice is not a resource."""
    table = MemoryTable()
    holds, end = Holds(table), NOW + 180 * DAY
    app = "arn:aws:sagemaker:us-east-1:123456789012:app/d-1/Anna/{}/Default@2026-01-01T00:00:00+00:00"
    others = (FAIR, replace(KEPT, key="spot-training x", why="not for us"), replace(WEEK, key="y"))
    pressed = (replace(KEPT, key="z"), replace(KEPT, key=app.format("JupyterLab")))
    for hold in (*others, *pressed):
        holds.put(ACCOUNT, REGION, hold)

    for later in (end, end + DAY):
        holds.end_keeps(ACCOUNT, REGION, later)

    found = [hold for known in holds.all(ACCOUNT, REGION).values() for hold in known]
    ended = (replace(KEPT, key="z", until=end), replace(KEPT, key=app.format("jupyterlab"), until=end))
    assert sorted(found, key=str) == sorted((*others, *ended), key=str)
    assert {item.get("expires") for item in table.scan()} >= {int(end.timestamp())}


def test_what_a_command_keeps_meanwhile_has_no_end() -> None:
    class Kept(MemoryTable):
        """Somebody runs `janitor keep` between the reading and the writing."""

        def query(self, pk: str) -> Iterator[dict[str, Any]]:
            items = list(super().query(pk))
            Holds(self).put(ACCOUNT, REGION, by_command)
            return iter(items)

    table = Kept()
    by_command = replace(KEPT, given=NOW + DAY, why="the fair")
    table.put(
        f"hold#{ACCOUNT}#{REGION}", f"{KEY}#kept", {"key": KEY, "how": "kept", "by": "hana", "said": NOW}
    )

    Holds(table).end_keeps(ACCOUNT, REGION, NOW + 180 * DAY)

    assert stands(Holds(table)) == by_command


def test_when_a_hold_was_given_is_stored_under_the_name_that_older_versions_read() -> None:
    table = MemoryTable()
    Holds(table).put(ACCOUNT, REGION, KEPT)

    (item,) = table.query(f"hold#{ACCOUNT}#{REGION}")

    assert ("said" in item, "given" in item) == (True, False)
    assert Holds(table).all(ACCOUNT, REGION) == {KEY: (KEPT,)}
