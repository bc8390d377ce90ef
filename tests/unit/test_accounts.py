"""A run over an organization, without AWS: its list, what it skips, and what left no result."""

import io
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from conftest import ACCOUNT, NOW
from fakes import TRUST, logger_to, result_of
from memory_table import MemoryBucket, MemoryTable
from ml_janitor.config.events import AccountsEvent
from ml_janitor.config.settings import Settings
from ml_janitor.core.results import Outcome, Result
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.latest import LastRun, LastSweep, LatestRecords, LatestRuns, RunAccount, RunLists
from ml_janitor.scheduled.accounts import _NO_RESULT, AccountsRun, account_list_grants, skip_empty_time
from narrowing import not_none
from reports import sweep
from tables import cases

HOUR = timedelta(hours=1)
DAILY, HOURLY = "idle-endpoints", "hung-training-jobs"
ONE, TWO = "111111111111", "222222222222"
REGIONS = ("eu-west-1", "us-east-1")
TABLE: dict[str, Any] = {"id": "o-a1b2c3d4e5", "accounts": [ONE, TWO], **TRUST, "regions": [*REGIONS]}
FOUND = result_of("lamp", detector=DAILY, outcome=Outcome.WOULD_ACT)


class Organizations:
    """AWS Organizations with an account that is active, one that is left out, and one that is closed."""

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_accounts"
        return self

    def paginate(self) -> list[dict[str, Any]]:
        accounts = [
            (ONE, "research", "ACTIVE"),
            (TWO, "sandbox", "ACTIVE"),
            ("333333333333", "old", "SUSPENDED"),
        ]
        return [
            {"Accounts": [{"Id": id_, "Name": name, "Status": status, "State": status}]}
            for id_, name, status in accounts
        ]


class World:
    """A function that lists and closes."""

    def __init__(self, home: str = ACCOUNT, detectors: dict[str, Any] | None = None, **table: Any) -> None:
        merged = {key: one for key, one in {**TABLE, **table}.items() if one is not None}
        self.settings = Settings.parse({"organization": merged, "detectors": detectors or {}})
        self.table, self.bucket, self.log = MemoryTable(), MemoryBucket(), io.StringIO()
        self.latest, self.runs = LatestRecords(self.table), LatestRuns(self.table)
        self.lists = RunLists(self.bucket, "reports", self.table)  # type: ignore[arg-type]
        self.home, self.clock = home, NOW + HOUR

    def ask(
        self, step: Any, time: datetime = NOW, detector: str = DAILY, others: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        run = AccountsRun(
            settings=self.settings,
            home=self.home,
            organizations=Organizations,
            known_regions=("eu-north-1",),
            bucket="reports",
            lists=self.lists,
            runs=self.runs,
            latest=self.latest,
            clock=lambda: self.clock,
            sleep=lambda _: None,
            logger=logger_to(self.log),
        )
        return run.run(AccountsEvent(step=step, detectors=(detector, *others), time=time))

    def swept(
        self,
        account: str,
        region: str,
        *results: Result,
        ago: timedelta,
        error: str | None = None,
        detector: str = DAILY,
        **how: bool,
    ) -> None:
        swept = sweep(detector, *results, account=account, region=region, error=error)
        self.latest.remember(swept, NOW - ago, **({"settled": not results and error is None} | how))

    def last(self, account: str, region: str) -> LastSweep | None:
        return self.latest.sweep(DAILY, account, region)

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def test_a_run_has_a_list_of_all_accounts_and_is_remembered() -> None:
    world = World()

    answer = world.ask("list")

    key = next(key for key in world.bucket.objects if ".accounts." not in key)
    assert answer == {"bucket": "reports", "key": key, "accounts": 2}
    both = (RunAccount(ONE, REGIONS), RunAccount(TWO, REGIONS))
    assert (world.lists.listed(DAILY, NOW), world.lists.accounts(DAILY, NOW)) == (both, both)
    assert world.runs.last(DAILY) == LastRun(
        detector=DAILY, time=NOW, key=key, accounts=2, begun=NOW + HOUR, regions=REGIONS
    )
    (line,) = world.logged()
    assert (line["message"], line["detectors"]) == ("accounts listed", [DAILY])
    assert (line["accounts"], line["looked_at"]) == (2, 2)


def test_a_list_is_made_once_for_a_run() -> None:
    world = World()
    first = world.ask("list")
    for account in (ONE, TWO):
        world.swept(account, "eu-west-1", ago=HOUR)
        world.swept(account, "us-east-1", ago=HOUR)

    assert world.ask("list") == first
    assert world.ask("list", NOW + HOUR)["accounts"] == 0
    assert world.lists.accounts(DAILY, NOW + HOUR) == (RunAccount(ONE, REGIONS), RunAccount(TWO, REGIONS))


@cases(
    "detector, ago, skipped",
    (DAILY, 20 * HOUR, False),
    (DAILY, 20 * HOUR - timedelta(seconds=1), True),
    (HOURLY, 4 * HOUR, False),
    (HOURLY, 4 * HOUR - timedelta(seconds=1), True),
)
def test_what_was_empty_lately_is_skipped(detector: str, ago: timedelta, *, skipped: bool) -> None:
    world = World()
    assert skip_empty_time(world.settings, detector) == (20 * HOUR if detector == DAILY else 4 * HOUR)
    world.swept(ONE, "eu-west-1", ago=ago, detector=detector)
    world.ask("list", detector=detector)
    assert world.lists.listed(detector, NOW)[0] == RunAccount(ONE, REGIONS[1:] if skipped else REGIONS)


@cases(
    "results, left, skipped",
    ((FOUND,), {}, False),
    ((), {"error": "denied"}, False),
    ((), {"settled": False}, False),
    ((), {"settled": False, "enabled": False}, True),
)
def test_a_region_is_skipped_where_nothing_is_and_nothing_is_left_to_go_on_with(
    results: tuple[Result, ...], left: dict[str, Any], *, skipped: bool
) -> None:
    """An action that is half done in an empty region goes on in the next run, not in the next night."""
    world = World()
    world.swept(ONE, "eu-west-1", *results, ago=HOUR, **left)
    world.ask("list")
    assert world.lists.listed(DAILY, NOW)[0] == RunAccount(ONE, REGIONS[1:] if skipped else REGIONS)


@pytest.mark.parametrize("left", [True, False])
def test_a_run_of_several_detectors_skips_what_none_of_them_has_to_read(*, left: bool) -> None:
    world = World()
    for detector, settled in ((DAILY, True), (HOURLY, not left)):
        world.swept(ONE, "eu-west-1", ago=HOUR, detector=detector, settled=settled)
    world.ask("list", others=(HOURLY,))
    assert world.lists.listed(DAILY, NOW)[0] == RunAccount(ONE, REGIONS if left else REGIONS[1:])


def test_accounts_and_regions_that_nobody_names_are_asked_for() -> None:
    world = World(accounts=None, all_accounts=True, without=[TWO], regions=[])
    assert world.ask("list")["accounts"] == 1
    assert world.lists.listed(DAILY, NOW) == (RunAccount(ONE, ("eu-north-1",), "research"),)


@cases(
    "table, actions",
    ({}, []),
    ({"accounts": None, "all_accounts": True}, ["organizations:ListAccounts"]),
    (
        {"accounts": None, "units": ["ou-ab12-11111111"]},
        ["organizations:ListAccountsForParent", "organizations:ListOrganizationalUnitsForParent"],
    ),
)
def test_a_function_may_list_what_its_settings_name(table: dict[str, Any], actions: list[str]) -> None:
    reads = account_list_grants(World(**table).settings.organization)
    assert [grant.action for grant in reads] == actions


def test_a_function_that_no_account_trusts_lists_nothing() -> None:
    world = World(home=ONE)
    with pytest.raises(RunFailedError, match=ONE):
        world.ask("list")
    assert (world.bucket.objects, world.runs.last(DAILY)) == ({}, None)


def test_more_accounts_than_an_hour_has_room_for_are_logged() -> None:
    world = World(at_once=1, accounts=[f"{number:012d}" for number in range(1, 8)])
    world.ask("list")
    warning = world.logged()[-1]
    assert (warning["level"], warning["message"], warning["detectors"]) == (
        "WARNING",
        "too many for an hour",
        [DAILY],
    )
    assert "there are 7" in warning["why"]
    world = World(at_once=1, accounts=[f"{number:012d}" for number in range(1, 7)])
    world.ask("list")
    assert [line["level"] for line in world.logged()] == ["INFO"]


# --- the end --------------------------------------------------------------------------------------


def test_a_run_of_which_every_pair_left_a_result_has_ended() -> None:
    world = World(regions=["us-east-1"])
    world.ask("list")
    world.swept(ONE, "us-east-1", FOUND, ago=timedelta())
    world.swept(TWO, "us-east-1", ago=-HOUR, error="denied")

    assert world.ask("close") == {"unread": 0}

    run = not_none(world.runs.last(DAILY))
    assert (run.ended, run.unread) == (NOW + HOUR, 0)
    assert [last.error for last in (world.last(ONE, "us-east-1"), world.last(TWO, "us-east-1")) if last] == [
        None,
        "denied",
    ]


def test_what_left_no_result_is_an_error_of_its_pair_and_of_the_run() -> None:
    world = World(detectors={DAILY: {"mode": "act", "act_in": [ONE]}})
    world.swept(ONE, "eu-west-1", FOUND, ago=24 * HOUR)
    world.ask("list")
    world.swept(TWO, "eu-west-1", ago=-HOUR)

    with pytest.raises(RunFailedError) as raised:
        world.ask("close")

    assert str(raised.value) == (
        f"{DAILY} left no result of {ONE}/eu-west-1, {ONE}/us-east-1, {TWO}/us-east-1"
    )
    for account, region in ((ONE, "eu-west-1"), (ONE, "us-east-1"), (TWO, "us-east-1")):
        last = not_none(world.last(account, region))
        assert (last.error, last.time, last.found) == (_NO_RESULT, NOW, 0)
    run = not_none(world.runs.last(DAILY))
    assert (run.ended, run.unread) == (NOW + HOUR, 3)


def test_an_error_names_ten_pairs_and_counts_the_rest() -> None:
    many = [f"{number:012d}" for number in range(1, 13)]
    for accounts, said in ((many[:10], f"{many[9]}/us-east-1"), (many, f"{many[9]}/us-east-1, and 2 more")):
        world = World(accounts=accounts, regions=["us-east-1"])
        world.ask("list")
        with pytest.raises(RunFailedError) as raised:
            world.ask("close")
        assert str(raised.value).endswith(said)


def test_a_child_that_ends_after_all_replaces_the_error() -> None:
    world = World(accounts=[ONE], regions=["us-east-1"])
    world.ask("list")
    with pytest.raises(RunFailedError):
        world.ask("close")
    world.swept(ONE, "us-east-1", FOUND, ago=-2 * HOUR)
    last = not_none(world.last(ONE, "us-east-1"))
    assert (last.error, last.found) == (None, 1)
