"""One run without AWS: what is kept, remembered and told, and which failure becomes the run's."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import StringIO
from typing import Any, ClassVar, cast

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import UNTELLABLE, Thing, logger_to, raising, result_of, target_at, thing, waste
from memory_table import MemoryTable
from ml_janitor.aws.client import Aws
from ml_janitor.aws.tags import GET_RESOURCES
from ml_janitor.core.model import Change, Kept, Mode, Value
from ml_janitor.core.results import CauseCode, Outcome, Report, Result, Sweep
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.findings import RecordedFindings
from ml_janitor.ledger.latest import LatestRecords
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.scheduled.event_bus import JanitorEvent
from ml_janitor.scheduled.invocation import SweepPlace
from ml_janitor.scheduled.sweep_run import SweepRunner, SweepRunResult
from narrowing import not_none
from reports import sweep
from standin import ARMED, DAY, DENIED, Cleaner, Nights, NoArchive, Sparing, by_name, in_memory
from tables import cases

ABROAD = "eu-west-1"
WHERE = f"s3://reports/cellar/{ACCOUNT}"


class Shelf(NoArchive):
    """Keeps reports by folder, unless it is *full*."""

    def __init__(self) -> None:
        super().__init__()
        self.folders: dict[str, Report] = {}
        self.full = False

    def keep(self, report: Report, *, folder: str) -> str:
        if self.full:
            raise RuntimeError("no room")
        self.folders[folder] = report
        return f"s3://reports/{folder}"


class Listener:
    """Hears of findings, takes each message, and says what is missing of it."""

    def __init__(self) -> None:
        self.heard: list[tuple[list[str], str, str, datetime]] = []
        self.first: list[bool] = []
        self.fails: Exception | None = None
        self.missing: tuple[str, ...] = ()

    def __call__(
        self,
        sweep: Sweep,
        recorded: RecordedFindings,
        *,
        now: datetime,
        where: str,
        note: str,
        first: bool,
        taken: Callable[[Sequence[Result]], None],
    ) -> Sequence[str]:
        assert sweep.detector == "cellar"
        self.first.append(first)
        if self.fails is not None:
            raise self.fails
        self.heard.append((sorted(one.target.name for one in recorded.new), where, note, now))
        taken(recorded.new)
        return self.missing


class World:
    """Nights whose runs are listened to."""

    def __init__(self, nights: Nights) -> None:
        self.nights, self.listener, self.shelf, self.log = nights, Listener(), Shelf(), StringIO()
        self.acts = False

    def runner(self, **how: Any) -> SweepRunner:
        logger = logger_to(self.log)
        given: dict[str, Any] = {"archive": self.shelf, "tell": self.listener, "logger": logger} | how
        made = replace(self.nights.runner(), **given)
        return made if self.acts else replace(made, acting=None, warner=None)

    def lines(self) -> list[dict[str, Any]]:
        """What was logged, in which no run took a minute."""
        found = [json.loads(line) for line in self.log.getvalue().splitlines()]
        assert all(0 <= line.get("seconds", 0) < 60 for line in found)
        return found

    def sweep(self, *, note: str = "", off: SweepPlace | None = None, **how: Any) -> SweepRunResult:
        return self.runner(**how).sweep(
            self.nights.detector, [self.nights.aws], now=self.nights.clock, note=note, off=off
        )

    def failed(self, **how: Any) -> str:
        with pytest.raises(RunFailedError) as raised:
            self.sweep(**how)
        return str(raised.value)


@pytest.fixture
def world() -> Iterator[World]:
    with in_memory() as nights:
        nights.world.add("lamp", "chair")
        nights.world.things["dark"] = thing("dark", UNTELLABLE)
        yield World(nights)


def last(world: World, region: str = REGION, account: str = ACCOUNT) -> Any:
    return world.nights.ledger.latest.sweep("cellar", account, region)


def test_a_run_keeps_its_report_remembers_and_tells(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    ran = world.sweep(note="by hand")

    assert (ran.where, ran.new, ran.note) == (WHERE, 2, "by hand")
    assert (ran.report.time, ran.report.account) == (NOW, ACCOUNT)
    assert world.shelf.folders == {f"cellar/{ACCOUNT}": ran.report}
    assert world.listener.heard == [(["chair", "lamp"], WHERE, "by hand", NOW)]
    assert (last(world).found, last(world).unknown, last(world).error) == (2, 1, None)
    assert {entry.announced for entry in world.nights.ledger.entries("cellar", ACCOUNT, REGION)} == {NOW}
    assert capsys.readouterr().out == "", "alarms watch nothing of a dry run"
    assert [(line["message"], line["new"], line["note"]) for line in world.lines()] == [
        ("swept", 2, "by hand")
    ]

    world.nights.clock += DAY
    again = world.sweep()
    assert (again.new, len(world.listener.heard)) == (0, 1), "announced once"
    world.nights.world.add("sofa")
    world.sweep()
    assert world.listener.first == [True, False]


def test_what_is_warned_about_is_not_announced_besides(world: World) -> None:
    world.acts = True
    world.sweep()
    assert world.nights.postman.carried == ["chair", "lamp"]
    world.nights.postman.ill = True
    world.nights.world.add("sofa")
    with pytest.raises(RunFailedError):
        world.sweep()
    assert world.listener.heard == []


def test_nobody_is_told_without_anybody_who_listens(world: World) -> None:
    runner = replace(world.runner(), tell=None)
    assert runner.sweep(world.nights.detector, [world.nights.aws], now=NOW).new == 2
    assert {one.announced for one in world.nights.ledger.entries("cellar", ACCOUNT, REGION)} == {None}


class Tagging:
    """The tagging API, where owners speak after the sweep read their tags."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.fails = False

    def get_resources(self, ResourceARNList: list[str]) -> dict[str, Any]:  # noqa: N803
        if self.fails:
            raise DENIED
        self.asked += ResourceARNList
        return {
            "ResourceTagMappingList": [
                {"ResourceARN": arn, "Tags": [{"Key": key, "Value": own[key]} for key in own]}
                for arn in ResourceARNList
                if (own := self.tags.get(arn)) is not None
            ]
        }


@cases("armed", True, False)
@cases("where", "the thing", "its source", "a part", "the whole")
@cases(
    "said, kept",
    ({"Janitor:Keep": "mine"}, "tagged Janitor:Keep=mine"),
    ({"janitor:keep-until": "2026-12-24"}, "tagged janitor:keep-until=2026-12-24"),
    ({"managed-by": "terraform"}, None),
    ({"owner": "bo"}, None),
    (None, "its tags could not be read"),
)
def test_owners_may_speak_until_they_are_told(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    *,
    said: dict[str, str] | None,
    kept: str | None,
    where: str,
    armed: bool,
) -> None:
    world.acts, nights, tagging = armed, world.nights, Tagging()
    monkeypatch.setattr(Aws, "client", lambda *_: tagging)
    read = {"environment": "dev", "owner": "anna"}
    for name in ("lamp", "chair"):
        about = thing(name, waste(), Value(read, GET_RESOURCES))
        source, part, whole = (target_at(f"{kind}/of-{name}") for kind in ("source", "part", "whole"))
        own = replace(about.target, tag_sources=(source.arn,))
        nights.world.things[name] = replace(about, target=own, takes_along=(part,), belongs_to=(whole,))
    of = {"the thing": "thing/lamp", "its source": "source/of-lamp", "a part": "part/of-lamp"}
    tagging.fails = said is None
    tagging.tags = {target_at(of.get(where, "whole/of-lamp")).arn: said or {}}

    results = by_name(world.sweep())

    told = nights.postman.carried + [name for heard, *_ in world.listener.heard for name in heard]
    everything = said is None
    assert ("lamp" in told, "chair" in told) == (kept is None, not everything)
    assert len(told) == len(set(told))
    entry = nights.entries()["lamp"]
    assert (entry.open, entry.announced is None) == (kept is None or everything, kept is not None)
    lamp = results["lamp"]
    twice = armed and lamp.outcome is Outcome.ADVISED  # spared, and announced
    assert everything or len(tagging.asked) == 8 + 4 * twice
    if kept is not None:
        assert isinstance(lamp.verdict, Kept)
        assert kept in lamp.verdict.reason
        assert (lamp.verdict.unknown, lamp.outcome) == (everything, Outcome.KEPT)
        assert last(world).found == (0 if everything else 1)
    elif "owner" in (said or {}):
        assert lamp.owner == ("bo" if where in {"the thing", "its source"} else "anna")
    elif armed:
        spared = where != "the whole"
        assert (lamp.outcome, lamp.why) == (
            (Outcome.ADVISED, CauseCode.MANAGED) if spared else (Outcome.WARNED, None)
        )
    tagging.fails, nights.clock = False, nights.clock + DAY
    if everything:
        world.sweep()
        assert {*nights.postman.carried, *(name for heard, *_ in world.listener.heard for name in heard)} == {
            "lamp",
            "chair",
        }


@cases("told", "a warning", "a message", "an event")
@cases("kept", "the thing", "a part", "the whole", "its advice", "a tag", "unreadable", "")
def test_nobody_hears_of_what_somebody_keeps_while_it_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch, *, told: str, kept: str
) -> None:
    world.acts, nights, tagging, heard = True, world.nights, Tagging(), list[str]()
    monkeypatch.setattr(Aws, "client", lambda *_: tagging)
    part, whole = target_at("part/of-lamp"), target_at("whole/of-lamp")
    lamp = thing("lamp", waste(), Value({}, GET_RESOURCES if kept == "a tag" else "read alone"))
    bucket, unasked = "arn:aws:s3:::models", (f"{part.arn}-*~family", "arn:aws:s3:::models/key")
    own = replace(lamp.target, tag_sources=(bucket, *unasked))
    nights.world.things["lamp"] = replace(lamp, target=own, takes_along=(part,), belongs_to=(whole,))
    key = {"a part": part.key, "the whole": whole.key, "its advice": f"cellar {lamp.target.key}"}
    if told != "a warning":
        nights.arming = replace(ARMED, mode=Mode.DRY_RUN)

    class Pressed(Cleaner):
        def find(self, aws: Aws, now: datetime) -> Iterator[Any]:
            yield from super().find(aws, now)
            tagging.tags = {lamp.target.arn: {"keep": "mine"}}
            if kept == "unreadable":
                monkeypatch.setattr(type(nights.holds), "all", raising(DENIED))
            elif kept not in {"", "a tag"}:
                snooze = Hold(
                    key=key.get(kept, lamp.target.key),
                    how=HoldKind.SNOOZED,
                    by="bo",
                    given=now,
                    until=now + DAY,
                )
                nights.holds.put(ACCOUNT, REGION, snooze)

    nights.detector = Pressed()

    def emit(events: Iterable[JanitorEvent]) -> None:
        heard.extend(str(event.subject.name) for event in events)

    how: dict[str, Any] = {"tell": None, "emit": emit} if told == "an event" else {}
    if kept == "unreadable":
        assert world.failed(**how).startswith("what people asked to keep could not be read: ")
    else:
        (result,) = (one for one in world.sweep(**how).report.results if one.target.name == "lamp")
        assert (result.outcome is Outcome.KEPT) is bool(kept)

    names = {"a warning": nights.postman.carried, "an event": heard}.get(
        told, [name for each, *_ in world.listener.heard for name in each]
    )
    assert (("lamp" in names), ("chair" in names)) == (not kept, kept != "unreadable")
    assert nights.entries()["lamp"].open is (kept in {"", "unreadable"})
    asked = {lamp.target.arn, bucket, part.arn, whole.arn} if kept == "a tag" else set()
    assert {*tagging.asked} == asked


def full_shelf(world: World) -> None:
    world.shelf.full = True


def deaf(world: World) -> None:
    world.listener.fails = RuntimeError("ill")


def half_told(world: World) -> None:
    world.listener.missing = ("reply 1 is missing",)


def breaking_off(world: World) -> None:
    world.nights.world.broken = RuntimeError("broke off")


@cases(
    "breaks, said",
    (full_shelf, "the report could not be kept: RuntimeError: no room"),
    (deaf, f"the news could not be sent: RuntimeError: ill; the report: {WHERE}"),
    (half_told, f"not delivered: reply 1 is missing; the report: {WHERE}"),
    (breaking_off, f"cellar in {REGION} is not complete: RuntimeError: broke off; the report: {WHERE}"),
)
def test_failures_take_nothing_else_along(world: World, breaks: Callable[[World], None], said: str) -> None:
    breaks(world)
    assert world.failed().startswith(said)
    assert last(world).found == 2
    assert world.listener.fails or len(world.listener.heard) == 1


def test_an_unwritable_ledger_is_a_failed_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(world.nights.ledger), "record", raising(RuntimeError("throttled")))
    assert world.failed().startswith("the ledger could not be written: RuntimeError: throttled; the report")
    assert world.listener.heard == []


def test_where_earlier_sweeps_are_unreadable_no_night_is_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first night of an organization is folded, so that a failure to read would silence any other."""
    monkeypatch.setattr(LatestRecords, "sweeps", raising(RuntimeError("throttled")))
    assert world.failed().startswith(
        "the latest sweeps could not be read: RuntimeError: throttled; the report"
    )
    assert world.listener.first == [False]


def test_regions_that_are_not_enabled_are_remembered_as_such(world: World) -> None:
    world.sweep(off=SweepPlace(ACCOUNT, (ABROAD, "us-west-2")))
    for region in (ABROAD, "us-west-2"):
        found = last(world, region)
        assert (found.enabled, found.error, found.time) == (False, None, NOW)
    assert last(world).enabled is True


def test_a_place_that_was_not_entered_is_an_error_of_each_of_its_regions(world: World) -> None:
    place = SweepPlace("210987654321", (REGION, ABROAD))
    error = world.runner().not_entered(world.nights.detector, place, RuntimeError("no role"), now=NOW)

    assert str(error).startswith("account 210987654321 could not be read")
    for region in place.regions:
        found = last(world, region, place.account)
        assert (found.looked_at, found.time) == (0, NOW)
        assert str(found.error) in str(error)
    assert [(one["level"], one["seconds"], one["new"]) for one in world.lines()] == [("ERROR", 0, 0)] * 2


def test_a_dry_run_acts_on_nothing(world: World) -> None:
    world.acts = True
    world.sweep()
    world.nights.clock += 4 * DAY
    ran = world.sweep(dry=True)
    assert {one.outcome for one in ran.report.results if one.target.name != "dark"} <= {
        Outcome.WOULD_ACT,
        Outcome.WAITING,
    }
    assert world.nights.actions.everywhere() == []
    assert {sweep.mode for sweep in ran.report.sweeps} == {Mode.DRY_RUN}


def test_one_resource_is_judged_and_nothing_is_remembered(world: World) -> None:
    nights = world.nights
    lamp = nights.world.things["lamp"].target.arn
    ran = world.runner().look(nights.detector, nights.aws, lamp, now=NOW, note="look")

    assert (ran.where, ran.new, ran.note) == (f"{WHERE}/one", 0, "look")
    assert [(line["message"], line["new"]) for line in world.lines()] == [("swept", 0)]
    assert [one.target.name for one in ran.report.results] == ["lamp"]
    assert (last(world), world.listener.heard) == (None, [])
    nights.world.things["lamp"] = thing("lamp", RuntimeError("odd"))
    with pytest.raises(RunFailedError, match="odd"):
        world.runner().look(nights.detector, nights.aws, lamp, now=NOW)


def test_one_resource_that_an_undo_needs_is_kept(world: World) -> None:
    world.acts, nights = True, world.nights
    nights.arming = replace(ARMED, max_share=100)
    world.sweep()
    nights.clock += 4 * DAY
    world.sweep()
    nights.world.add("lamp")
    acting = not_none(nights.runner().acting)
    acting = replace(acting, actors=lambda: [Sparing()])
    lamp = nights.world.things["lamp"].target.arn

    (judged,) = world.runner(acting=acting).look(Sparing(), nights.aws, lamp, now=NOW).report.results

    assert judged.verdict.reason == "an undo of lamp needs it, until 2026-11-09"


@dataclass(frozen=True)
class Committing(Cleaner):
    """Is told what others would change."""

    asks_for = Change.COMMIT
    told: ClassVar[list[frozenset[str] | None]] = []

    def leaving(self, candidate: Thing, named: frozenset[str] | None) -> Thing:
        self.told.append(named)
        return candidate


def test_who_commits_is_told_what_open_findings_of_all_detectors_would_change(world: World) -> None:
    lamp, chair = (result_of(name, detector="idle-endpoints") for name in ("lamp", "chair"))
    for found in ((lamp, chair), (lamp,)):
        world.nights.ledger.record(world.nights.aws, sweep("idle-endpoints", *found), NOW)
    world.nights.detector = Committing()

    world.sweep()

    assert set(Committing.told) == {frozenset({lamp.target.arn.lower()})}


def test_a_region_that_another_run_sweeps_is_waited_for(world: World) -> None:
    nights, pauses = world.nights, list[int]()
    leases = Leases(nights.table)
    leases.take("cellar", ACCOUNT, REGION, holder="other", now=NOW, until=NOW + timedelta(minutes=15))

    def pause() -> None:
        pauses.append(1)
        leases.release("cellar", ACCOUNT, REGION, holder="other")

    assert world.sweep(pause=pause).new == 2
    assert pauses == [1]


# --- settled regions -------------------------------------------------------------------------------


class Watched(MemoryTable):
    """A table that notes who writes and reads what."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in {"get", "get_many", "query", "put", "put_all", "change", "delete"}:
            object.__getattribute__(self, "asked").append(name)
        return super().__getattribute__(name)


@pytest.fixture
def watched() -> Iterator[World]:
    with in_memory(table := Watched()) as nights:
        nights.world.add("lamp")
        world = World(nights)
        world.acts, nights.arming = True, replace(ARMED, max_share=100)
        yield world
    assert table.asked


def settle(world: World) -> bool:
    """Sweep again, a day later; return whether the ledger takes the region for settled."""
    world.nights.clock += DAY
    world.sweep()
    return bool(last(world).settled)


def test_an_empty_region_is_settled_once_nothing_is_left_to_go_on_with(watched: World) -> None:
    nights, table = watched.nights, cast("Watched", watched.nights.table)
    assert not settle(watched), "a lamp"
    nights.clock += 4 * DAY
    watched.sweep()
    assert (nights.world.things, [one.stage for one in nights.actions.everywhere()]) == ({}, [Stage.ACTED])
    (action,) = nights.table.scan("action#")
    nights.table.delete(action["pk"], action["sk"])
    assert not settle(watched), "a message does not say yet what became of its warning"
    nights.table.put(action["pk"], action["sk"], action)
    for entry in nights.ledger.entries("cellar", ACCOUNT, REGION):
        nights.ledger.void_shown(entry, entry.untold)
    assert not settle(watched), "its action can be undone"
    nights.table.delete(action["pk"], action["sk"])
    assert settle(watched)

    table.asked.clear()
    watched.shelf.folders.clear()
    assert settle(watched)
    assert set(table.asked) == {"get_many", "get", "put_all", "put"}, "the many are made of single calls here"
    assert last(watched).time == nights.clock
    assert list(watched.shelf.folders) == [f"cellar/{ACCOUNT}"]

    nights.world.broken = RuntimeError("throttled")
    assert "throttled" in watched.failed()
    assert (last(watched).settled, last(watched).error) == (False, "RuntimeError: throttled")
    nights.world.broken = None
    assert (settle(watched), settle(watched)) == (True, True)
    nights.world.add("sofa")
    assert not settle(watched), "a region wakes in the run that finds something there"
    assert nights.ledger.entries("cellar", ACCOUNT, REGION)[-1].name in {"lamp", "sofa"}
    assert nights.postman.carried == ["lamp", "sofa"]


# --- leases ----------------------------------------------------------------------------------------


@pytest.fixture
def two(world: World) -> Callable[..., SweepRunResult]:
    """A sweep of two regions, in the other of which an undo has the lease."""
    here = world.nights.aws
    there = Aws(here._session, region=ABROAD, account=ACCOUNT, prices=here.prices, pool=here._pool)
    Leases(world.nights.table).take("cellar", ACCOUNT, ABROAD, holder="undo", now=NOW, until=NOW + DAY)
    return lambda *regions, **how: world.runner(**how).sweep(
        world.nights.detector, [{REGION: here, ABROAD: there}[one] for one in regions], now=NOW
    )


def test_with_no_free_region_the_run_stops_before_it_reads(
    world: World, two: Callable[..., SweepRunResult]
) -> None:
    with pytest.raises(LeaseTakenError):
        two(ABROAD)

    assert (world.shelf.folders, last(world, ABROAD)) == ({}, None)


def test_the_retry_sweeps_what_is_left_and_nothing_twice(
    world: World, two: Callable[..., SweepRunResult]
) -> None:
    taken = f"cellar is being swept in {ACCOUNT}, {ABROAD} by another run, so it was not swept"
    with pytest.raises(RunFailedError, match=taken):
        two(REGION, ABROAD)
    assert (last(world).found, last(world, ABROAD)) == (2, None)
    Leases(world.nights.table).release("cellar", ACCOUNT, ABROAD, holder="undo")

    done = two(REGION, ABROAD)

    assert [sweep.region for sweep in done.report.sweeps] == [ABROAD]
    assert (done.where, [heard for heard, *_ in world.listener.heard]) == (
        f"{WHERE}/rest",
        [["chair", "lamp"]] * 2,
    )
    again = two(REGION, ABROAD, holder="another event")
    assert [sweep.region for sweep in again.report.sweeps] == [REGION, ABROAD]
    for region in (REGION, ABROAD):  # given back
        Leases(world.nights.table).take("cellar", ACCOUNT, region, holder="next", now=NOW, until=NOW + DAY)


def test_a_lease_hides_no_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.listener.fails = ConnectionError("Slack is down")
    monkeypatch.setattr(Leases, "release", lambda *_, **__: 1 // 0)

    assert re.search("Slack is down; .*a lease could not be given back: ZeroDivision", world.failed())


def test_the_failures_of_many_regions_are_one_short_line(world: World) -> None:
    world.nights.world.broken = RuntimeError("no " * 10_000)

    with pytest.raises(RunFailedError, match="and 30 more; the report:") as caught:
        world.runner().sweep(world.nights.detector, [world.nights.aws] * 40, now=NOW)

    assert (len(str(caught.value)) < 6000, "\n" in str(caught.value)) == (True, False)
