"""Whoever changes the counters of the limits has no more acted on than the settings allow."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256

import pytest

from conftest import ACCOUNT, REGION
from fakes import waste
from ml_janitor.core.model import Mode
from ml_janitor.core.results import CauseCode, Outcome, Result, Sweep
from ml_janitor.ledger.limits import LIMIT_KEY
from ml_janitor.ledger.table import format_stamp
from ml_janitor.report.telemetry import measure_acts
from standin import ARMED, DAY, HOUR, Nights, in_memory, own_signatures

NAMES = [f"lamp-{number}" for number in range(6)]
ELSEWHERE = "eu-central-1"


@pytest.fixture
def nights() -> Iterator[Nights]:
    """Six lamps that are due, of which a sweep removes two at most and a night four."""
    with in_memory() as nights:
        nights.arming = replace(ARMED, max_share=100, max_actions=2, act_in=(ACCOUNT,))
        nights.at_most, nights.regions = 4, (REGION, ELSEWHERE)
        nights.warned(*NAMES)
        nights.clock += 4 * DAY
        yield nights


def sweep(nights: Nights, capsys: pytest.CaptureFixture[str]) -> tuple[int, set[CauseCode | None], bool]:
    """Count what one sweep removes, with the causes for the rest, and whether RecordsRefused rings."""
    results = nights.after(HOUR).values()
    capsys.readouterr()
    measure_acts([replace(EMPTY, results=tuple(results))])
    rings = '"RecordsRefused":[0.0]' not in capsys.readouterr().out
    acted = [result for result in results if result.outcome is Outcome.ACTED]
    return len(acted), {result.why for result in results if result not in acted}, rings


EMPTY = Sweep(detector="cellar", account=ACCOUNT, region=REGION, mode=Mode.ACT)
LIMIT = (2, {CauseCode.MAX_ACTIONS}, False)
REFUSED = (0, {CauseCode.COUNTER_CHANGED}, True)


def fill(nights: Nights, mark: Callable[[str, str], str]) -> None:
    """Every mark that the next sweep will look for, as it could be written by who cannot sign."""
    keys = [entry.key for entry in nights.ledger.entries("cellar", ACCOUNT, REGION)]
    at = nights.clock + HOUR
    marks = {
        f"sweep-places#cellar#{ACCOUNT}#{REGION}#{format_stamp(at)}": keys,
        f"night-places#{ACCOUNT}#{(at - DAY / 2).date().isoformat()}": [f"cellar {key}" for key in keys],
    }
    for counter, actions in marks.items():
        nights.table.change(LIMIT_KEY, counter, add={"taken": {mark(counter, action) for action in actions}})


def unsigned(_: str, action: str) -> str:
    return sha256(action.encode()).hexdigest()[:16]


def under_another_key(counter: str, action: str) -> str:
    digest = sha256(action.encode()).hexdigest()[:32]
    content = {"counter": counter, "action": digest}
    return f"{digest} {own_signatures(key=b'not the key').sign('place', content)}"  # type: ignore[arg-type]


@pytest.mark.parametrize("mark", [unsigned, under_another_key])
def test_marks_that_nobody_signed_stop_the_night(
    nights: Nights, mark: Callable[[str, str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """At first, five of five were removed at a limit of one: the names of counters and marks are public."""
    fill(nights, mark)

    assert sweep(nights, capsys) == REFUSED


def test_a_mark_of_another_night_stops_this_one(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(nights, capsys) == LIMIT
    (before,) = counters(nights)
    nights.clock += DAY
    today = f"night-places#{ACCOUNT}#{(nights.clock - DAY / 2).date().isoformat()}"
    nights.table.change(LIMIT_KEY, today, add={"taken": set(before[1])})

    assert sweep(nights, capsys) == REFUSED


def counters(nights: Nights) -> list[tuple[str, set[str]]]:
    """The counters of nights, with their marks."""
    items = nights.table.query(LIMIT_KEY)
    return [(item["sk"], item["taken"]) for item in items if item["sk"].startswith("night")]


def delete(nights: Nights, kind: str = "") -> None:
    for item in list(nights.table.query(LIMIT_KEY)):
        if item["sk"].startswith(kind):
            nights.table.delete(LIMIT_KEY, item["sk"])


def put_back_empty(nights: Nights) -> None:
    """The night's counter as it was before its last action."""
    for counter, marks in counters(nights):
        nights.table.put(LIMIT_KEY, counter, {"taken": {min(marks)}})


@pytest.mark.parametrize("change", [delete, put_back_empty])
def test_a_counter_that_lacks_what_was_done_stops_the_night(
    nights: Nights, change: Callable[[Nights], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before, each sweep after it removed as many again as a night may."""
    assert sweep(nights, capsys) == LIMIT
    change(nights)

    assert sweep(nights, capsys) == REFUSED
    nights.clock += DAY  # the next night counts anew
    assert sweep(nights, capsys) == LIMIT


@pytest.mark.parametrize("kind", ["sweep", "night"])
def test_a_counter_that_goes_between_two_acts_stops_the_sweep(
    nights: Nights, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.world.after = lambda _: delete(nights, kind)

    assert sweep(nights, capsys) == (1, {CauseCode.COUNTER_CHANGED}, True)


def test_what_was_done_in_another_region_counts(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(nights, capsys) == LIMIT
    for action in nights.actions.all("cellar", ACCOUNT, REGION):  # as if it had been there
        nights.table.delete(action.pk, action.sk)
        moved = replace(action.target, region=ELSEWHERE)
        there = Result(detector="cellar", target=moved, verdict=waste(), outcome=Outcome.WAITING)
        nights.actions.begin(there, {}, warned=action.warned, now=action.began, counter=action.counter)
    delete(nights)

    assert sweep(nights, capsys) == REFUSED


def test_a_record_that_nobody_signed_stops_nothing(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else one item could end every night; its own alarm rings once it is used."""
    assert sweep(nights, capsys) == LIMIT
    for action in nights.actions.all("cellar", ACCOUNT, REGION):
        nights.table.change(action.pk, action.sk, set_to={"by": "eve"})
    delete(nights)

    assert sweep(nights, capsys) == LIMIT
