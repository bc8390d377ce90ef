"""What the ledger says of all accounts of an organization, read in batches."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from conftest import NOW
from fakes import IN_TURN, UNTELLABLE, result_of, target_at, waste
from memory_table import MemoryTable
from ml_janitor.aws.calls import ReadError
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Change
from ml_janitor.core.results import Outcome, Result
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.latest import LastRun, LastSweep, LatestRuns, RunAccount, RunLists
from ml_janitor.report.digest import DetectorRun, Overview, SweepRow
from ml_janitor.slack.digest import OrganizationReader, day_metrics
from narrowing import not_none
from reports import sweep, sweep_row
from tables import cases

HOUR = timedelta(hours=1)
ENDPOINTS, NOTEBOOKS, JOBS = "idle-endpoints", "idle-notebooks", "hung-training-jobs"
ON = (ENDPOINTS, NOTEBOOKS, JOBS)
ONE, TWO, THREE = (str(number) * 12 for number in (1, 2, 3))
EAST, WEST = "us-east-1", "eu-west-1"
TIME = NOW - 2 * HOUR
ALL = (
    RunAccount(ONE, (EAST, WEST), "research"),
    RunAccount(TWO, (EAST,)),
    RunAccount(THREE, (EAST,), "idle"),
)


class Lists:
    """The lists of runs by detector: what is looked at, and all accounts; *unread* are those without one."""

    def __init__(self) -> None:
        self.listed_of: dict[str, tuple[RunAccount, ...]] = {}
        self.unread: set[str] = set()

    def listed(self, detector: str, time: datetime) -> tuple[RunAccount, ...]:
        del time
        if detector in self.unread:
            raise ReadError("the list is gone")
        return self.listed_of.get(detector, ALL[:2])

    def accounts(self, detector: str, time: datetime) -> tuple[RunAccount, ...]:
        del time
        if detector in self.unread:
            raise ReadError("the list is gone")
        return ALL


class World:
    """The ledger of an organization's janitor."""

    def __init__(self) -> None:
        self.table, self.lists = MemoryTable(), Lists()
        self.ledger, self.runs = Ledger(self.table), LatestRuns(self.table)
        off = {one.name: {"enabled": False} for one in DETECTORS if one.name not in ON}
        self.settings = Settings.parse({"detectors": off})

    def run(self, detector: str, time: datetime = TIME, *, ended: bool = True) -> None:
        run = LastRun(detector=detector, time=time, key="k", accounts=2, begun=time + timedelta(minutes=1))
        self.runs.begun(run)
        if ended:
            self.runs.ended(detector, time, at=time + HOUR, unread=0)

    def swept(
        self,
        detector: str,
        account: str,
        region: str,
        *results: Result,
        at: datetime = TIME,
        error: str | None = None,
    ) -> None:
        swept = sweep(detector, *results, account=account, region=region, error=error)
        self.ledger.record(IN_TURN, swept, at)

    def read(self, since: datetime = NOW - 24 * HOUR) -> tuple[Overview, list[str]]:
        seen, found = self.reader.read(since=since, now=NOW)
        return seen, [entry.name for entry in found]

    @property
    def reader(self) -> OrganizationReader:
        return OrganizationReader(
            settings=self.settings,
            ledger=self.ledger,
            runs=self.runs,
            lists=cast("RunLists", self.lists),
            sleep=lambda _: None,
        )


def result(
    detector: str, name: str, usd: str = "10", account: str = ONE, change: Change = Change.END
) -> Result:
    target = replace(target_at(f"endpoint/{name}"), account=account)
    target = replace(target, arn=target.arn.replace("123456789012", account))
    about: dict[str, Any] = {"target": target, "outcome": Outcome.WOULD_ACT, "change": change}
    return result_of(name, waste(usd), detector, **about)


def place(row: SweepRow) -> tuple[str, str, str, bool]:
    return row.detector, row.account, row.region, row.last is not None


def test_each_detector_has_its_run_and_each_pair_that_tells_something_its_row() -> None:
    world = World()
    world.run(ENDPOINTS)
    world.run(JOBS, ended=False)
    dark = replace(result(ENDPOINTS, "dark"), verdict=UNTELLABLE, outcome=Outcome.KEPT)
    world.swept(ENDPOINTS, ONE, EAST, result(ENDPOINTS, "a"))
    world.swept(ENDPOINTS, ONE, WEST)
    world.swept(ENDPOINTS, TWO, EAST, dark)
    world.swept(JOBS, ONE, EAST, at=TIME - HOUR, error="denied")
    world.swept(JOBS, ONE, WEST, result(JOBS, "j", "3"))

    seen, found = world.read()

    begun = TIME + timedelta(minutes=1)
    assert list(seen.runs) == [
        DetectorRun(detector=ENDPOINTS, time=TIME, begun=begun, accounts=2, sweeps=3),
        DetectorRun(detector=NOTEBOOKS),
        DetectorRun(detector=JOBS, time=TIME, begun=begun, accounts=2, sweeps=3, waiting=2, at_work=True),
    ]
    assert [place(row) for row in seen.rows if row.detector == ENDPOINTS] == [
        (ENDPOINTS, ONE, EAST, True),
        (ENDPOINTS, TWO, EAST, True),
    ]
    assert {place(row) for row in seen.rows if row.detector == JOBS} == {
        (JOBS, ONE, EAST, True),
        (JOBS, ONE, WEST, True),
    }
    assert (seen.accounts, dict(seen.names), sorted(found)) == (3, {ONE: "research"}, ["a", "j"])
    assert seen.counts == {"accounts": 3, "sweeps": 6, "did_not_run": 1, "not_ended": 1, "unread": 1}
    assert day_metrics(seen.ran, seen.rows, whole=False) == {
        ENDPOINTS: {"Found": 1, "Unknown": 1, "MonthlyUsd": 10},
        JOBS: {"Found": 1, "Unknown": 0, "MonthlyUsd": 3},
    }


def test_a_pair_without_a_result_of_a_run_that_has_ended_is_missing() -> None:
    world = World()
    world.run(ENDPOINTS)
    world.swept(ENDPOINTS, ONE, EAST, result(ENDPOINTS, "a"), at=TIME - timedelta(seconds=1))
    world.swept(ENDPOINTS, ONE, WEST, at=TIME)

    seen, found = world.read()

    assert {place(row) for row in seen.rows} == {(ENDPOINTS, ONE, EAST, False), (ENDPOINTS, TWO, EAST, False)}
    assert (seen.runs[0].waiting, found, len(seen.unread)) == (0, [], 2)
    assert (seen.fine, seen.partial) == (False, True)


@pytest.mark.parametrize(("ago", "late"), [(27 * HOUR, False), (27 * HOUR + timedelta(seconds=1), True)])
def test_a_run_is_late_by_its_schedule(ago: timedelta, *, late: bool) -> None:
    world = World()
    world.run(ENDPOINTS, NOW - ago)
    world.swept(ENDPOINTS, ONE, EAST, result(ENDPOINTS, "a"), at=NOW - ago)
    seen, _ = world.read()
    assert (seen.runs[0].late, seen.runs[0].ran, seen.rows[0].late) == (late, not late, late)


def test_a_list_that_cannot_be_read_is_the_error_of_its_run_alone() -> None:
    world = World()
    world.run(ENDPOINTS)
    world.run(JOBS, TIME - HOUR)
    world.swept(JOBS, ONE, EAST, result(JOBS, "j"))
    world.lists.unread = {ENDPOINTS}

    seen, found = world.read()

    assert [(run.detector, run.error) for run in seen.runs] == [
        (ENDPOINTS, "the list is gone"),
        (NOTEBOOKS, ""),
        (JOBS, ""),
    ]
    assert (found, seen.accounts, seen.partial) == (["j"], 2, True), "the newest run has no list: rows count"
    assert [item.account for item in world.reader.listed()] == []
    world.lists.unread = set()
    assert [item.account for item in world.reader.listed()] == [ONE, TWO, THREE]
    assert list(World().reader.listed()) == []


def test_new_findings_are_counted_and_closed_ones_are_not() -> None:
    world = World()
    world.run(ENDPOINTS)
    world.swept(ENDPOINTS, ONE, EAST, result(ENDPOINTS, "old"), result(ENDPOINTS, "gone"), at=TIME - HOUR)
    world.swept(ENDPOINTS, ONE, EAST, result(ENDPOINTS, "old"), result(ENDPOINTS, "new"))
    world.swept(ENDPOINTS, ONE, WEST)
    world.swept(ENDPOINTS, TWO, EAST)

    seen, found = world.read(since=TIME - HOUR)

    assert (seen.new, sorted(found)) == (1, ["new", "old"])
    assert seen.fine is False, "a detector never ran"


def test_a_resource_counts_once_in_its_account_and_an_equal_one_of_another_account_counts_too() -> None:
    world = World()
    world.run(ENDPOINTS)
    world.run(NOTEBOOKS)
    for account in (ONE, TWO):
        world.swept(ENDPOINTS, account, EAST, result(ENDPOINTS, "a", "100", account))
    world.swept(
        NOTEBOOKS, ONE, EAST, result(NOTEBOOKS, "a", "60", change=Change.RESIZE), result(NOTEBOOKS, "b", "5")
    )

    seen, _ = world.read()

    metrics = day_metrics(seen.ran, seen.rows, whole=False)
    assert {name: values["MonthlyUsd"] for name, values in metrics.items()} == {ENDPOINTS: 200, NOTEBOOKS: 5}


def last(found: int = 0, error: str | None = None, looked_at: int = 9) -> LastSweep:
    return not_none(sweep_row(usd="0", looked_at=looked_at, found=found, kept=0, error=error).last)


@cases(
    "run, row, partial, fine",
    ({}, last(1), False, True),
    ({}, last(error="broke off"), True, False),
    ({}, last(error="denied", looked_at=0), True, False),
    ({}, None, True, False),
    ({"error": "no list"}, last(), True, False),
    ({"late": True}, last(), False, False),
    ({"at_work": True}, last(), False, False),
    ({"time": None}, last(), False, False),
)
def test_an_overview_is_whole_only_where_everything_was_read(
    run: dict[str, Any], row: LastSweep | None, *, partial: bool, fine: bool
) -> None:
    seen = Overview(
        runs=[DetectorRun(detector=ENDPOINTS, **{"time": TIME, **run})],
        rows=[SweepRow(detector=ENDPOINTS, account=ONE, region=EAST, last=row)],
        accounts=1,
    )
    assert (seen.partial, seen.fine) == (partial, fine)
    assert len(seen.unread) == (row is None or row.looked_at == 0)
    assert len(seen.incomplete) == (row is not None and row.error == "broke off")
