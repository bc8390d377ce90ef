"""The digest of a day from the ledger: what is new, late and counted once, and what of the bill is said."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any, cast

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import IN_TURN, UNTELLABLE, logger_to, raising, result_of, target_at, waste
from memory_table import MemoryTable
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Change, Cost, Signal, Unreadable, Value
from ml_janitor.core.money import count_once
from ml_janitor.core.results import Outcome, Report, Result
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.policy import Hold, HoldKind, advice_hold_key
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.latest import LastBill
from ml_janitor.ledger.requests import Holds
from ml_janitor.report.finding_words import report_savings
from ml_janitor.report.html import render_html
from ml_janitor.report.mrkdwn import Post
from ml_janitor.slack.client import SendError
from ml_janitor.slack.digest import ActionHistory, Announcer, DailyDigest
from ml_janitor_sandbox.slack.blocks import problems
from narrowing import not_none
from reports import sweep
from standin import own_signatures
from tables import cases

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ENABLED = {"bill": {"enabled": True}}
ON = ("idle-endpoints", "hung-training-jobs", "spot-training")
OFF = {one.name: {"enabled": False} for one in DETECTORS if one.name not in ON}
BILL = LastBill(
    time=NOW, text="t", paragraphs=("*Bill:* $9",), picture="bills/1.png", picture_words="the bill"
)


class Channel:
    """Takes posts, unless it is *ill*; *missing* is what does not arrive of one."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.ill, self.missing, self.interactive = False, list[str](), True

    def post(self, post: Any) -> Any:
        if self.ill:
            raise SendError("Slack could not be reached")
        self.posts.append(post)
        return self.missing


class World:
    """A deployment's ledger, its settings and its Slack."""

    def __init__(self, **tables: Any) -> None:
        self.table, self.channel, self.log = MemoryTable(), Channel(), StringIO()
        self.ledger = Ledger(self.table, own_signatures())
        detectors = {**OFF, **tables.pop("detectors", {})}
        self.settings = Settings.parse({"detectors": detectors, **tables})
        self.picture: Signal[bytes] = Value(b"png")
        self.regions: tuple[str, ...] = (REGION,)

    def swept(
        self,
        detector: str,
        *results: Result,
        ago: timedelta = HOUR,
        region: str = REGION,
        error: str | None = None,
    ) -> None:
        """A sweep so long ago."""
        self.ledger.record(IN_TURN, sweep(detector, *results, region=region, error=error), NOW - ago)

    def all_swept(self, *but: str) -> None:
        for name in set(ON) - {*but}:
            self.swept(name)

    def digest(self, *, silent: bool = False) -> DailyDigest:
        return DailyDigest(
            settings=self.settings,
            ledger=self.ledger,
            action_history=ActionHistory(
                ledger=self.ledger,
                actions=Actions(self.table),
                holds=Holds(self.table),
                cleanups={},
                time_zone="UTC",
            ),
            announcers=[] if silent else [cast("Announcer", self.channel)],
            logger=logger_to(self.log),
            account=ACCOUNT,
            regions=self.regions,
            picture=lambda key: self.picture if key == "bills/1.png" else Unreadable("no such key"),
        )

    def said(self) -> str:
        """The last post, with all of its blocks."""
        return f"{self.channel.posts[-1].main.text} {self.channel.posts[-1].main.blocks}"


def result(detector: str, name: str, usd: str = "10", change: Change = Change.END, **more: Any) -> Result:
    about: dict[str, Any] = {"target": target_at(f"endpoint/{name}"), "outcome": Outcome.WOULD_ACT} | more
    return result_of(name, waste(usd), detector, owner="maria", change=change, **about)


def unjudged(detector: str) -> Result:
    return replace(result(detector, "dark"), verdict=UNTELLABLE, outcome=Outcome.KEPT)


# --- what is counted ------------------------------------------------------------------------------


def test_a_digest_counts_what_every_detector_left(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.regions = (REGION, "eu-west-1")
    world.swept("idle-endpoints", result("idle-endpoints", "a"), result("idle-endpoints", "b"))
    world.swept("idle-endpoints", result("idle-endpoints", "c", "5"), region="eu-west-1", ago=30 * HOUR)
    world.swept("hung-training-jobs", unjudged("hung-training-jobs"), ago=4 * HOUR)
    world.swept("spot-training", region="eu-west-1")
    world.ledger.latest.digested(ACCOUNT, NOW - 2 * HOUR)

    counts = world.digest().post(NOW)

    assert counts == {
        "sweeps": 6,
        "did_not_run": 4,
        "found": 3,
        "new": 2,
        "acted": 0,
        "failed": 0,
        "undone": 0,
        "due": 0,
        "advice": 0,
    }
    (line,) = [
        one for one in map(json.loads, world.log.getvalue().splitlines()) if one["message"] == "summed up"
    ]
    assert {key: line[key] for key in counts if key in line} == {
        key: one for key, one in counts.items() if key != "advice"
    }
    assert "4 sweeps of 6 did not run" in world.said()
    assert world.ledger.latest.digest(ACCOUNT) == NOW
    measured = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert {one["detector"]: one["MonthlyUsd"] for one in measured} == {
        "idle-endpoints": [25.0],
        "hung-training-jobs": [0.0],
        "spot-training": [0.0],
    }


@cases(
    "ago, late",
    ({"hung-training-jobs": 3 * HOUR}, 0),
    ({"hung-training-jobs": 3 * HOUR + timedelta(seconds=1)}, 1),
    ({"idle-endpoints": 27 * HOUR}, 0),
    ({"idle-endpoints": 28 * HOUR}, 1),
)
def test_a_sweep_is_late_by_its_own_schedule(ago: dict[str, timedelta], late: int) -> None:
    world = World()
    for name in ON:
        world.swept(name, ago=ago.get(name, HOUR))
    assert world.digest().post(NOW)["did_not_run"] == late


@pytest.mark.parametrize(
    ("last", "since"),
    [(None, NOW - DAY), (NOW - 5 * HOUR, NOW - 5 * HOUR), (NOW, NOW - DAY), (NOW + HOUR, NOW - DAY)],
)
def test_new_is_what_came_since_the_last_digest(last: datetime | None, since: datetime) -> None:
    world = World()
    if last:
        world.ledger.latest.digested(ACCOUNT, last)
    assert world.digest().since(NOW) == since


def test_a_closed_finding_is_not_counted_as_new() -> None:
    world = World()
    world.swept("idle-endpoints", result("idle-endpoints", "a"), ago=2 * HOUR)
    world.all_swept()
    counts = world.digest().post(NOW)
    assert (counts["new"], counts["found"]) == (0, 0)


# --- who hears of it ------------------------------------------------------------------------------


def test_without_a_slack_it_is_counted_and_remembered() -> None:
    world = World()
    world.all_swept()
    assert world.digest(silent=True).post(NOW)["did_not_run"] == 0
    assert (world.channel.posts, world.ledger.latest.digest(ACCOUNT)) == ([], NOW)


@pytest.mark.parametrize("ill", [True, False])
def test_a_digest_that_did_not_arrive_whole_is_a_failed_run(*, ill: bool) -> None:
    world = World()
    world.channel.ill, world.channel.missing = ill, ["the report is not attached"]
    said = (
        "the digest could not be sent: .*Slack could not be reached"
        if ill
        else "not delivered: the report is not attached"
    )

    with pytest.raises(RunFailedError, match=said):
        world.digest().post(NOW)

    assert world.ledger.latest.digest(ACCOUNT) == (None if ill else NOW)


@pytest.mark.parametrize("ill", [0, 1])
def test_the_first_announcer_has_to_take_the_digest(ill: int) -> None:
    world, mail = World(**ENABLED), Channel()
    world.ledger.latest.billed(ACCOUNT, BILL)
    (world.channel, mail)[ill].ill = True
    both = [cast("Announcer", channel) for channel in (world.channel, mail)]
    with pytest.raises(RunFailedError, match="the digest could not be sent"):
        replace(world.digest(), announcers=both).post(NOW)
    assert [len(channel.posts) for channel in (world.channel, mail)] == [ill, 1 - ill]
    assert world.ledger.latest.digest(ACCOUNT) == (NOW if ill else None)
    assert not_none(world.ledger.latest.bill(ACCOUNT)).posted is bool(ill)


# --- the bill -------------------------------------------------------------------------------------


@cases(
    "bill, said, unsaid",
    (BILL, "*Bill:* $9", "not read"),
    (replace(BILL, posted=True), "Nothing new today", "Bill"),
    (None, "*Bill:* not read: it never has been", "$9"),
    (replace(BILL, time=NOW - 28 * HOUR), "*Bill:* not read: the last time was 28 hours ago", "$9"),
    (replace(BILL, time=NOW - 27 * HOUR), "*Bill:* $9", "not read"),
)
def test_a_bill_is_said_once_and_missed_if_late(bill: LastBill | None, said: str, unsaid: str) -> None:
    world = World(**ENABLED)
    world.all_swept()
    if bill:
        world.ledger.latest.billed(ACCOUNT, bill)

    world.digest().post(NOW)

    assert said in world.said()
    assert unsaid not in world.said()
    if bill:
        assert world.ledger.latest.bill(ACCOUNT) == replace(bill, posted=True)
    else:
        assert world.ledger.latest.bill(ACCOUNT) is None


def test_without_a_bill_in_the_settings_nothing_is_said_of_one() -> None:
    world = World()
    world.all_swept()
    world.ledger.latest.billed(ACCOUNT, BILL)
    world.digest().post(NOW)
    assert "Bill" not in world.said()
    assert world.ledger.latest.bill(ACCOUNT) == BILL


def test_the_picture_goes_with_what_it_shows() -> None:
    world = World(**ENABLED)
    world.all_swept()
    for bill, shown in (
        (BILL, True),
        (replace(BILL, picture=""), False),
        (replace(BILL, posted=True), False),
    ):
        world.ledger.latest.billed(ACCOUNT, bill)
        world.digest().post(NOW)
        picture = world.channel.posts[-1].picture
        assert (picture is not None) is shown
        if picture:
            assert (picture.name, picture.png, picture.words) == ("bill.png", b"png", "the bill")


def test_a_picture_that_cannot_be_read_is_said_to_be_missing() -> None:
    world = World(**ENABLED)
    world.all_swept()
    world.ledger.latest.billed(ACCOUNT, replace(BILL, picture="bills/gone.png"))

    world.digest().post(NOW)

    assert "The picture of the bill is missing: no such key." in world.said()
    (line,) = [one for one in map(json.loads, world.log.getvalue().splitlines()) if one["level"] == "WARNING"]
    assert line["error"] == "no such key"


# --- the weekly advice ----------------------------------------------------------------------------

TUESDAYS = "cron(0 7 ? * TUE *)"


def advised(janitor: Mapping[str, Any] | None = None, **tables: Any) -> World:
    """Six families, the last of which is an armed detector's, and one that saves nothing."""
    world = World(janitor={"digest_schedule": TUESDAYS, **(janitor or {})}, **tables)
    families = [result("spot-training", f"f{number}", f"{number}00", Change.SPOT) for number in range(1, 7)]
    world.swept("spot-training", *families, result("spot-training", "free", "0", Change.SPOT))
    world.swept("idle-endpoints", result("idle-endpoints", "idle", "9000"))
    world.swept("hung-training-jobs")
    return world


ARMED = {"idle-endpoints": {"mode": "act", "act_in": [ACCOUNT]}}
BUTTONS = {"slack_signing_secret": "signing"}


def advice(world: World, now: datetime = NOW) -> tuple[int, list[str]]:
    """How many pieces the digest of *now* counts, and what it says of advice: a line for each block."""
    counted = world.digest().post(now)["advice"]
    blocks = list(world.channel.posts[-1].main.blocks)
    assert problems(blocks) == []
    said = [
        ", ".join(f"{one['text']['text']} ({one['action_id']} {one['value']})" for one in block["elements"])
        if block["type"] == "actions"
        else (block.get("text") or block["elements"][0])["text"]
        for block in blocks
    ]
    first = next((place for place, one in enumerate(said) if "This week's advice" in one), len(said))
    last = next((place for place, one in enumerate(said) if one.startswith("*Found:*")), len(said))
    return counted, said[first:last]


def row_of(world: World, name: str) -> str:
    (entry,) = [one for one in world.ledger.entries("spot-training", ACCOUNT, REGION) if one.name == name]
    value = f"spot-training {ACCOUNT} {REGION} {entry.id}"
    return f"Snooze 4 weeks (janitor:advice-later {value}), Not for us (janitor:not-for-us {value})"


def test_the_five_best_stand_in_the_first_digest_of_their_day() -> None:
    world = advised(detectors=ARMED, janitor=BUTTONS)

    counted, said = advice(world)

    assert (counted, len(said)) == (5, 12)
    assert said[0].startswith("*This week's advice: $2,000 a month in 5 changes.* The largest saving")
    assert said[1:3] == [
        "*$600 a month*: spot training finding `f6`, maria, about 4 hours of work\nRemove it.",
        row_of(world, "f6"),
    ]
    assert said[-1] == "6 pieces of advice would save $2,100 a month together."
    assert advice(world, NOW + HOUR) == (0, [])
    assert advice(world, NOW + 7 * DAY)[0] == 5


@pytest.mark.parametrize("missing", ["a bot", "a signing secret"])
def test_without_buttons_the_command_is_named(missing: str) -> None:
    world = advised(detectors=ARMED, janitor={} if missing == "a signing secret" else BUTTONS)
    world.channel.interactive = missing != "a bot"
    _, said = advice(world)
    assert not [one for one in said if "janitor:" in one]
    assert said[-1].endswith("together. `janitor keep ARN --only DETECTOR --reason TEXT` leaves one out.")


@pytest.mark.parametrize(
    ("zone", "schedule", "posted"),
    [
        ("UTC", TUESDAYS, 5),
        ("UTC", "cron(0 7 ? * TUE-FRI *)", 5),
        ("UTC", "cron(0 7 ? * SUN,WED *)", 0),
        ("UTC", "cron(0 7 * * ? *)", 0),
        ("America/Los_Angeles", "cron(0 7 * * ? *)", 5),
    ],
)
def test_the_day_is_that_of_the_time_zone(zone: str, schedule: str, posted: int) -> None:
    """NOW is Tuesday 03:00 UTC, which is Monday evening in California."""
    world = advised(janitor={"time_zone": zone, "digest_schedule": schedule}, detectors=ARMED)
    assert advice(world)[0] == posted


def test_without_advice_or_slack_nothing_is_said() -> None:
    world = World(janitor={"digest_schedule": TUESDAYS})
    world.all_swept()
    assert advice(world) == (0, [])
    assert advised().digest(silent=True).post(NOW)["advice"] == 0


def test_a_digest_that_slack_did_not_take_has_its_advice_the_next_time() -> None:
    world = advised(detectors=ARMED)
    world.channel.ill = True
    with pytest.raises(RunFailedError, match="the digest could not be sent"):
        world.digest().post(NOW)
    world.channel.ill = False
    assert advice(world, NOW + HOUR)[0] == 5


def test_advice_stands_in_a_quiet_digest_too() -> None:
    world = World(janitor={"digest_schedule": TUESDAYS})
    for ago in (5 * HOUR, HOUR):
        world.all_swept("spot-training")
        world.swept("spot-training", result("spot-training", "f", change=Change.SPOT), ago=ago)
        world.ledger.latest.digested(ACCOUNT, NOW - 4 * HOUR)

    counted, said = advice(world)

    assert world.channel.posts[-1].main.text.startswith("Nothing new today. 1 known finding costs")
    assert (counted, len(said)) == (1, 3)


def test_what_is_spent_already_is_counted_once_too() -> None:
    """Of two detectors' findings on one resource, the dearer counts; what one detector finds alone stays."""
    world = World()

    def found(detector: str, name: str, usd: str) -> Result:
        return replace(result(detector, name), verdict=waste(accrued=usd))

    hung, idle = found("hung-training-jobs", "shared", "100"), found("idle-endpoints", "shared", "60")
    world.swept("hung-training-jobs", hung, found("hung-training-jobs", "again", "20"))
    world.swept("idle-endpoints", idle, found("idle-endpoints", "other", "7"))
    world.swept("spot-training", found("spot-training", "another", "5"))

    rows = {row.detector: row.last.accrued_usd for row in world.digest().read(NOW)[0] if row.last}

    assert rows == {"hung-training-jobs": 120, "idle-endpoints": 7, "spot-training": 5}


def test_what_saves_most_for_an_hour_of_work_comes_first_and_calls_nobody() -> None:
    """A change of spot takes four hours, one of a limit half an hour."""
    world = World(janitor={"digest_schedule": TUESDAYS})
    hostile = "<!channel> `*x*`"
    slow, quick = (
        replace(
            result("spot-training", name, change=change),
            owner=hostile,
            verdict=replace(waste(), action=hostile, cost=Cost.saving(Decimal(usd), once_usd=Decimal(3))),
        )
        for name, usd, change in (("slow", "300", Change.SPOT), (hostile, "50", Change.LIMIT))
    )
    world.swept("spot-training", slow, quick)
    _, (_, first, second, _) = advice(world)
    assert first.startswith("*$50.00 a month, $3.00 once*: ")
    assert "`slow`" in second
    assert "<!channel>" not in first
    assert "*x*`" not in first.replace("`&lt;!channel&gt; '*x*'`", "")


def test_a_held_piece_makes_room_for_the_next() -> None:
    world = advised(detectors=ARMED)
    (entry,) = [one for one in world.ledger.entries("spot-training", ACCOUNT, REGION) if one.name == "f6"]
    key = advice_hold_key("spot-training", entry.key)
    hold = Hold(key=key, how=HoldKind.KEPT, by="Dina (U1)", given=NOW, why="no")
    Holds(world.table).put(ACCOUNT, REGION, hold)

    counted, said = advice(world)

    assert (counted, "$1,500 a month in 5 changes" in said[0]) == (5, True)
    assert "`f6`" not in str(said)


def test_unreadable_holds_cost_the_advice_and_not_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    world = advised(detectors=ARMED)
    monkeypatch.setattr(Holds, "all", raising(ConnectionError("throttled")))

    with pytest.raises(RunFailedError, match="the weekly advice could not be read"):
        world.digest().post(NOW)

    (post,) = world.channel.posts
    assert "spot training" in str(post.main.blocks)
    assert "advice" not in str(post.main.blocks)


# --- how much of the bill can go ------------------------------------------------------------------


def test_what_can_go_is_one_sentence_in_the_digest_and_in_the_report() -> None:
    world = World(**ENABLED)
    found = {
        "idle-endpoints": [result("idle-endpoints", "a", "300"), result("idle-endpoints", "b_c", "400")],
        "spot-training": [result("spot-training", "b_c", "250", Change.SPOT)],  # counted for the endpoint
        "hung-training-jobs": [unjudged("hung-training-jobs")],
    }
    for detector, results in found.items():
        world.swept(detector, *results)
    world.ledger.latest.billed(ACCOUNT, replace(BILL, spent_usd=Decimal(76827), days=30))
    world.digest().post(NOW)

    swept = [sweep(name, *results) for name, results in found.items()]
    report = count_once(Report(time=NOW, account=ACCOUNT, sweeps=tuple(swept)))
    said = report_savings(report, Decimal(76827), 30)
    assert said == "Of $76,827 in 30 days, $700 a month can go; first: b_c ($400 a month, maria)."
    assert said in world.said()
    assert said in render_html(report, savings=said).replace("<wbr>", "")
    world.swept("spot-training", error="it broke off")
    world.digest().post(NOW)
    assert "Of $76,827 in 30 days, at least $700 a month can go" in world.said()


@cases(
    "spent, days, ago",
    (Decimal(0), 0, HOUR),
    (Decimal(9), 30, HOUR),
    (Decimal(76827), 30, 3 * DAY),
)
def test_nothing_is_said_of_a_bill_that_is_unknown_of_something_else_or_old(
    spent: Decimal, days: int, ago: timedelta
) -> None:
    world = World(**ENABLED)
    world.all_swept("idle-endpoints")
    world.swept("idle-endpoints", result("idle-endpoints", "a", "300"))
    world.ledger.latest.billed(ACCOUNT, replace(BILL, spent_usd=spent, days=days, time=NOW - ago))
    world.digest().post(NOW)
    assert "1 finding costs $300 a month" in world.said()
    assert "can go" not in world.said()
