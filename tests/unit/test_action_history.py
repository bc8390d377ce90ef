"""What the digest reads of armed detectors: done, failed, undone, due, lost, and saved since when."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, REGION, SECOND
from fakes import because, raising
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.core.model import Effect
from ml_janitor.engine.policy import HoldKind
from ml_janitor.ledger.actions import Action, sign_action
from ml_janitor.report.digest import ActionLine, DigestActions
from ml_janitor.slack.digest import ActionHistory
from standin import DAY, HOUR, TUESDAY, Cleaner, Nights
from tables import cases

LAMP = "thing `lamp`"


@pytest.fixture
def nights(nights: Nights) -> Nights:
    """A lamp that was warned about."""
    nights.warned("lamp")
    return nights


@pytest.fixture
def acted(nights: Nights) -> Nights:
    """The lamp was removed."""
    nights.after(4 * DAY)
    return nights


def told(nights: Nights, *, since: datetime = TUESDAY, **how: Any) -> DigestActions:
    """What a digest says at the time of *nights*."""
    cleanup = replace(Cleaner.cleanup, effect=how.pop("effect", Effect.DELETE))
    about = {"cleanups": {"cellar": cleanup}, "time_zone": "UTC", **how}
    history = ActionHistory(ledger=nights.ledger, actions=nights.actions, holds=nights.holds, **about)
    return history.read(lambda _: [(ACCOUNT, REGION)], since=since, now=nights.clock)


def texts(acted: Sequence[ActionLine]) -> list[str]:
    return [line.text for line in acted]


def cost(nights: Nights, **about: Any) -> Action:
    action = nights.of("lamp")
    nights.table.change(action.pk, action.sk, set_to=about)
    signed = sign_action(nights.actions.signatures, nights.of("lamp"))
    nights.table.change(action.pk, action.sk, set_to=signed)
    return nights.of("lamp")


def test_what_was_done_is_told_once_and_what_it_saved_for_a_month(acted: Nights) -> None:
    cost(acted, hourly_usd=Decimal("0.5"))
    first = told(acted, since=acted.clock - SECOND)
    assert first.acted == [ActionLine(f"{LAMP} ($365 a month) deleted", monthly_usd=Decimal("365.0"))]
    assert (first.failed, first.undone, first.due, first.lost) == ([], [], [], [])

    acted.clock += 10 * HOUR
    later = told(acted, since=acted.of("lamp").ended or acted.clock)

    assert (later.acted, later.saved.usd, later.saved.actions) == ([], Decimal(5), 1)


@cases(
    "about, line",
    ({"hourly_usd": None}, f"{LAMP} deleted"),
    ({"hourly_usd": 0}, f"{LAMP} deleted"),
    ({"hourly_usd": Decimal("0.5"), "until": TUESDAY + 9 * DAY}, f"{LAMP} ($0.50 an hour) deleted"),
    ({"hourly_usd": None, "by": "Maria (U1)"}, f"{LAMP} deleted, because Maria pressed Do it now"),
)
def test_what_was_done_says_what_it_cost_and_who_wanted_it(
    acted: Nights, about: dict[str, Any], line: str
) -> None:
    cost(acted, **about)
    assert texts(told(acted).acted) == [line]


def test_where_there_are_several_accounts_each_line_names_its_own(acted: Nights) -> None:
    cost(acted, hourly_usd=None)
    assert texts(told(acted, several=True).acted) == [f"{LAMP} deleted, in {ACCOUNT}, {REGION}"]


def test_with_several_regions_each_line_names_its_own(acted: Nights) -> None:
    cost(acted, hourly_usd=None)
    assert texts(told(acted, several_regions=True).acted) == [f"{LAMP} deleted, in {REGION}"]


def test_equal_acts_are_one_line_unless_somebody_asked_for_them(nights: Nights) -> None:
    nights.arming = replace(nights.arming, max_actions=8, max_share=100)
    nights.warned("bath", "oven", "rug", "sofa", "tent", "urn", "vase")
    nights.after(4 * DAY)
    cost(nights, by="Maria (U1)")
    job = nights.of("vase")  # which would have ended by itself
    nights.table.change(job.pk, job.sk, set_to={"until": nights.clock})
    unpriced = nights.of("urn")
    nights.table.change(unpriced.pk, unpriced.sk, set_to={"hourly_usd": None})

    together, alone = told(nights).acted
    assert [round(usd, 2) for usd in (together.monthly_usd, alone.monthly_usd)] == [50, 10]
    assert round(together.hourly_usd * 730, 2) == 10, "a job would have ended by itself"
    assert texts([together, alone]) == [
        "7 things (at least $50.00 a month) deleted: `bath`, `oven`, `rug`, `sofa`, `tent`, `urn` and 1 more",
        "thing `lamp` ($10.00 a month) deleted, because Maria pressed Do it now",
    ]


def test_a_tag_saves_nothing(acted: Nights) -> None:
    acted.clock += 10 * HOUR
    assert [told(acted, effect=effect).saved.actions for effect in (Effect.DELETE, Effect.TAG)] == [1, 0]


def test_what_failed_says_what_could_not_be_done(nights: Nights) -> None:
    nights.world.before = raising(RuntimeError("throttled"), at="remove lamp")
    nights.after(4 * DAY)
    for _ in range(2):
        found = told(nights, since=nights.clock)
        assert found.failed == [f"{LAMP} could not be deleted: RuntimeError: throttled"]
        assert (found.acted, found.undone) == ([], [])
        nights.clock += DAY


@pytest.mark.parametrize("begun", [False, True])
def test_what_could_not_be_brought_back_says_so(acted: Nights, *, begun: bool) -> None:
    if begun:
        acted.world.before = raising(RuntimeError("no capacity"), at="bring back lamp")
        with pytest.raises(CannotUndoError):
            acted.undo()
    else:
        acted.actions.refused(acted.of("lamp"), because("RuntimeError: no capacity"))

    assert told(acted).failed == [f"{LAMP} could not be brought back: RuntimeError: no capacity"]


@cases("became, tail", ("", ""), ("it was made anew as lamp-2", ": it was made anew as lamp-2"))
def test_what_was_undone_is_told_once(
    acted: Nights, monkeypatch: pytest.MonkeyPatch, became: str, tail: str
) -> None:
    monkeypatch.setattr(Cleaner, "revert", lambda *_: became)
    acted.clock += HOUR
    acted.undo()

    assert told(acted, since=acted.clock - SECOND).undone == [f"{LAMP} brought back for maria{tail}"]
    assert told(acted, since=acted.clock).undone == []


def test_what_is_due_within_a_day_is_told_unless_it_is_kept_or_gone(nights: Nights) -> None:
    nights.warned("sofa", "pot", "rug")
    nights.clock = TUESDAY + 2 * DAY + timedelta(minutes=10) - SECOND
    assert told(nights).due == []

    nights.clock += SECOND
    line = "thing `{}` to be deleted on Fri 9 Oct 03:10 (UTC), $10.00 a month"
    assert sorted(told(nights).due) == [line.format(name) for name in ("lamp", "pot", "rug", "sofa")]
    nights.hold("sofa", how=HoldKind.KEPT)
    nights.world.use("pot")
    for entry in nights.ledger.entries("cellar", ACCOUNT, REGION):
        where = f"finding#cellar#{ACCOUNT}#{REGION}"
        if entry.name == "pot":
            nights.ledger.close(entry, because("it is used"), nights.clock)
        if entry.name == "rug":
            nights.table.change(where, entry.key, set_to={"due": nights.clock - DAY, "monthly_usd": None})
            nights.sign_warnings()

    assert told(nights).due == ["thing `rug` to be deleted on Wed 7 Oct 03:10 (UTC)", line.format("lamp")]


def test_what_the_deployment_can_no_longer_undo_is_told(acted: Nights) -> None:
    lost = told(acted, cleanups={}, disarmed=[Cleaner()]).lost
    assert len(lost) == 1
    assert lost[0].startswith("`cellar`: ")
    (several,) = told(acted, cleanups={}, disarmed=[Cleaner()], several=True).lost
    assert several.startswith(f"`cellar`, in {ACCOUNT}, {REGION}: ")
    acted.clock += 31 * DAY
    assert told(acted, cleanups={}, disarmed=[Cleaner()]).lost == []
