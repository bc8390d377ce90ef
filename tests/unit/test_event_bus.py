"""Events for programs: one document for each kind, and a bus that takes none, some, or fails."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import logger_to
from memory_table import MemoryTable
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Report, Sweep
from ml_janitor.engine.detector import allow
from ml_janitor.ledger.latest import LatestRecords, LatestRuns
from ml_janitor.scheduled.event_bus import EventBus, EventKind, EventSubject, JanitorEvent, undo_event
from ml_janitor.scheduled.watch import ScheduleWatch
from reports import schema_problems
from standin import DAY, Cleaner, NoArchive, in_memory

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
PLAIN = JanitorEvent(kind=EventKind.FINDING, key="k", time=NOW, account=ACCOUNT, title="t")


class Bus:
    """Takes entries; *answers* are the codes of those that it refuses, or *fails* is its error."""

    def __init__(self, *codes: str, fails: Exception | None = None, name: str = "ml") -> None:
        self.codes, self.fails, self.requests = list(codes), fails, list[list[dict[str, Any]]]()
        self.log = StringIO()
        logger = logger_to(self.log)
        self.emit = EventBus(name=name, connect=lambda: self, logger=logger)

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's
        if self.fails is not None:
            raise self.fails
        self.requests.append(Entries)
        refused = [{"ErrorCode": code, "ErrorMessage": "m"} for code in self.codes]
        taken = [{"EventId": "1"} for _ in Entries[len(refused) :]]
        return {"FailedEntryCount": len(refused), "Entries": [*refused, *taken]}

    @property
    def details(self) -> list[dict[str, Any]]:
        """What it took, each as the schema has it."""
        found = [json.loads(entry["Detail"]) for entries in self.requests for entry in entries]
        assert [problem for detail in found for problem in schema_problems("event", detail)] == []
        return found

    def forget(self) -> None:
        self.requests.clear()


class Shelf(NoArchive):
    """Keeps each report in one place."""

    def keep(self, report: Report, *, folder: str) -> str:
        super().keep(report, folder=folder)
        return "s3://reports/1.json"


class Undoable(Cleaner):
    """Holds what its undo needs."""

    undoes = (allow("cellar:Fetch"),)


class Restartable(Undoable):
    """What it stopped is submitted again."""

    cleanup = replace(Cleaner.cleanup, undo="restart")


def lost(capsys: pytest.CaptureFixture[str]) -> list[float]:
    """The values of the metric that counts lost events."""
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return [line["EventsLost"][0] for line in lines if "EventsLost" in line]


def test_each_finding_warning_act_and_undo_is_one_event() -> None:
    bus = Bus()
    with in_memory() as nights:
        nights.detector = Undoable()
        nights.world.add("lamp")

        def sweep(after: timedelta = timedelta(), *, again: bool = False) -> list[str]:
            if not again:
                nights.clock += after
            bus.forget()
            replace(nights.runner(), emit=bus.emit, archive=Shelf()).sweep(
                nights.detector, [nights.aws], now=nights.clock, note=""
            )
            return [detail["kind"] for detail in bus.details]

        assert sweep() == ["Finding", "Warning"]
        found, warned = bus.details
        assert sweep(again=True) == ["Finding"]
        assert bus.details[0]["id"] == found["id"] != warned["id"]
        assert sweep(DAY) == []
        assert sweep(3 * DAY) == ["Act"]
        (acted,) = bus.details
        assert sweep(DAY) == []
        action = nights.undo()
        bus.emit([undo_event(nights.detector, action, nights.clock + DAY)])
        bus.emit([undo_event(nights.detector, replace(action, undone=None), nights.clock + DAY)])
        assert [detail["time"][:10] for detail in bus.details[-2:]] == ["2026-10-11", "2026-10-12"]
        bus.emit([undo_event(nights.detector, replace(action, began=nights.clock), nights.clock)])
        assert len({detail["id"] for detail in bus.details}) == 2
        bus.requests[1:] = []
    (undone,) = bus.details
    lamp = nights.world.things["lamp"].target
    for detail in (found, warned, acted, undone):
        assert (detail["arn"], detail["name"], detail["finding"]) == (lamp.arn, "lamp", action.id)
        assert (detail["account"], detail["region"], detail["detector"]) == (ACCOUNT, REGION, "cellar")
    assert len({detail["id"] for detail in (found, warned, acted, undone)}) == 4
    assert "lamp: $" in found["title"]
    assert [detail["action"] for detail in (found, acted, undone)] == ["remove it", "remove it", None]
    assert (found["report"], undone["report"]) == ("s3://reports/1.json", None)
    assert found["due"] == warned["due"] == "2026-10-09T03:10:00Z"
    assert warned["title"].endswith(" will be deleted after Fri 9 Oct 03:10 (UTC) unless somebody keeps it")
    assert warned["text"].endswith(f"To keep it: janitor keep {lamp.arn} --reason why")
    assert acted["title"].endswith(" lamp was deleted")
    assert acted["text"].endswith(f" To take it back: janitor undo {action.id}")
    assert (undone["title"], undone["by"]) == ("lamp was brought back for maria", "maria")


def test_an_act_on_a_job_names_the_command_that_submits_it_again() -> None:
    bus = Bus()
    with in_memory() as nights:
        nights.detector = Restartable()
        nights.warned("lamp")
        nights.clock += 4 * DAY
        replace(nights.runner(), emit=bus.emit).sweep(nights.detector, [nights.aws], now=nights.clock)
        assert bus.details[-1]["text"].endswith(f" To take it back: janitor restart {nights.of('lamp').id}")


class CutOff(Bus):
    """Answers without members, as botocore reads an answer that was cut off."""

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002, N803 - boto3's
        return {}


def test_a_lost_event_is_logged_and_counted_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    away, half, refusing = Bus(fails=OSError("away")), CutOff(), Bus("Throttled", "Throttled")
    for bus, count in ((away, 3), (half, 3), (refusing, 2), (Bus(), 0)):
        bus.emit([PLAIN] * 3)
        assert (lost(capsys), "events were not taken" in bus.log.getvalue()) == (
            [count] * bool(count),
            count > 0,
        )
    assert '"codes":["Throttled"]' in refusing.log.getvalue()

    def broken() -> Iterator[JanitorEvent]:
        yield PLAIN
        raise ValueError("no title")

    bus.forget()
    bus.emit(broken())
    assert len(bus.details) == 1
    assert (lost(capsys), "no title" in bus.log.getvalue()) == ([1], True)

    away.emit([replace(PLAIN, subject=EventSubject(monthly_usd=float("nan")))])
    assert (lost(capsys), "not JSON compliant" in away.log.getvalue()) == ([1], True)

    off = Bus(name="")
    off.emit(broken())
    assert (off.requests, lost(capsys)) == ([], [])


def test_a_request_holds_ten_events_and_256_kilobytes() -> None:
    hostile = "\N{PILE OF POO}\x1b\u202e" * 5000
    subject = EventSubject(arn=hostile, name=hostile, owner=hostile, action=hostile, by=hostile)
    large = replace(PLAIN, title=hostile, text=hostile, subject=subject)
    bus = Bus()
    bus.emit([PLAIN] * 21)
    assert [len(entries) for entries in bus.requests] == [10, 10, 1]
    bus.forget()
    bus.emit([large] * 10)
    for entries in bus.requests:
        sizes = [len(entry["Detail"].encode()) for entry in entries]
        assert sum(sizes) + 60 * len(sizes) <= 256 * 1024
        assert all(entry["Detail"].isascii() and "\\u001b" not in entry["Detail"] for entry in entries)
    assert len(bus.details) == 10
    lengths = [
        len(bus.details[0][name]) for name in ("title", "text", "arn", "name", "owner", "action", "by")
    ]
    assert lengths == [199, 1999, *[2047] * 5]
    assert {(entry["Source"], entry["EventBusName"]) for entry in bus.requests[0]} == {("ml-janitor", "ml")}


def test_a_missed_run_is_one_event_however_often_it_is_looked_for() -> None:
    bus, table = Bus(), MemoryTable()
    latest, kinds = LatestRecords(table), Settings.parse({}).enabled()
    sections = {one.name: {"enabled": one.name == "idle-notebooks"} for one in kinds}
    look = ScheduleWatch(
        settings=Settings.parse({"detectors": sections}),
        latest=latest,
        runs=LatestRuns(table),
        account=ACCOUNT,
        regions=(REGION,),
        logger=logger_to(),
        emit=bus.emit,
    )
    swept = Sweep(detector="idle-notebooks", account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN)
    latest.digested(ACCOUNT, NOW)
    missed: dict[str, list[int]] = {"digest": [], "idle-notebooks": []}
    for hour in range(54):
        if not 10 <= hour < 14:
            latest.remember(swept, NOW + hour * HOUR)
        bus.forget()
        look.look(NOW + hour * HOUR)
        look.look(NOW + hour * HOUR)
        first, again = bus.details[::2], bus.details[1::2]
        assert first == again, "a repeated look sends the same events"
        for detail in first:
            assert timedelta() <= NOW + hour * HOUR - datetime.fromisoformat(detail["time"]) <= HOUR
            missed[detail["detector"]].append(hour)
    assert missed == {"digest": [28, 52], "idle-notebooks": [11, 12, 13]}, "27 hours after the last, each day"
