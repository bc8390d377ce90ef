"""`janitor findings`: the line of each finding, action and hold, and the ledger that commands open."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import action_of, because, result_of, thing, waste
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Change
from ml_janitor.core.money import Claim
from ml_janitor.engine.policy import Hold, HoldKind, advice_hold_key
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.findings import Entry
from ml_janitor_cli import ledger_commands
from ml_janitor_cli.edge import CommandRefusedError
from ml_janitor_cli.ledger_session import LEASE_DURATION, CallWindow, LedgerSession
from ml_janitor_cli.screen import make_console, print_blocks
from standin import DAY, HOUR, Cleaner, Nights, SecondCleaner, own_signatures
from tables import cases

LAMP = thing("lamp", waste()).target
ENTRY = Entry(
    key=LAMP.key,
    detector="cellar",
    account=ACCOUNT,
    region=REGION,
    claim=Claim(detector="cellar", arn=LAMP.arn, name="lamp", change=Change.END),
    reason="nobody uses it",
    first_seen=NOW - DAY,
    last_seen=NOW,
)
ACTION = action_of("cellar", undo={"name": "lamp"})


def session(nights: Nights, *registry: type[Cleaner]) -> LedgerSession:
    """The ledger of *nights* as a command opens it, without AWS."""
    return LedgerSession(
        settings=Settings.parse({}, registry=registry or (Cleaner,)),
        account=ACCOUNT,
        regions=[REGION],
        opened=(),
        through_role=lambda _: (),
        table=nights.table,
        who="maria",
        now=nights.clock,
        watch=CallWindow(clock=lambda: nights.clock),
        signatures=own_signatures(),
    )


def lines(nights: Nights, *registry: type[Cleaner], every: bool = False) -> list[ledger_commands.LedgerLine]:
    return list(ledger_commands.read_ledger_lines(session(nights, *registry), every=every))


@cases(
    "about, state, stands",
    ({}, "reported", "reported, first on 2026-10-05 03:00 UTC"),
    ({"warned": NOW}, "reported", "reported, first on 2026-10-05 03:00 UTC"),
    ({"due": NOW}, "reported", "reported, first on 2026-10-05 03:00 UTC"),
    ({"warned": NOW - DAY, "due": NOW}, "due", "warned 2026-10-05 03:00 UTC, due now"),
    (
        {"warned": NOW - DAY, "due": NOW + timedelta(seconds=1)},
        "warned",
        "warned 2026-10-05 03:00 UTC, due 2026-10-06 03:00 UTC",
    ),
    ({"warned": NOW, "due": NOW, "not_done": because("late")}, "due", "warned 2026-10-06 03:00 UTC, due now"),
    ({"warned": NOW, "due": NOW, "not_done_at": NOW}, "due", "warned 2026-10-06 03:00 UTC, due now"),
    ({"refused": because("no copy")}, "reported", "only reported: no copy"),
    (
        {"closed": NOW, "close_reason": because("it is used")},
        "closed",
        "closed 2026-10-06 03:00 UTC: it is used",
    ),
)
def test_a_finding_stands_as_the_ledger_has_it(about: dict[str, Any], state: str, stands: str) -> None:
    line = ledger_commands._open(replace(ENTRY, **about), None, NOW)
    assert (line.state, line.stands) == (state, stands)


@cases(
    "monthly, accrued, shown",
    ("5", "7", (Decimal(5), True)),
    ("0", "7", (Decimal(0), True)),
    (None, "7", (Decimal(7), False)),
    (None, None, (None, False)),
)
def test_a_finding_costs_a_month_or_has_cost_so_far(
    monthly: str | None, accrued: str | None, shown: tuple[Decimal | None, bool]
) -> None:
    month, so_far = (None if text is None else Decimal(text) for text in (monthly, accrued))
    claim = replace(ENTRY.claim, monthly_usd=month, accrued_usd=so_far)
    line = ledger_commands._open(replace(ENTRY, claim=claim), None, NOW)
    assert (line.usd, line.per_month) == shown


@cases(
    "about, stands",
    ({"ended": NOW + HOUR}, f"cleaned up 2026-10-06 04:00 UTC; janitor undo {ACTION.id}"),
    ({}, f"cleaned up 2026-10-06 03:00 UTC; janitor undo {ACTION.id}"),
    ({"stage": Stage.FAILED, "error": because("denied")}, "failed: denied"),
    ({"stage": Stage.UNDOING, "undone_by": "Maria (U0123ABC)"}, "being brought back for Maria"),
    (
        {"stage": Stage.UNDOING, "undone_by": "maria", "error": because("denied")},
        "being brought back for maria: denied",
    ),
    ({"stage": Stage.UNDONE, "undone_by": "maria"}, "brought back for maria"),
    (
        {"stage": Stage.UNDONE, "undone_by": "maria", "became": "lamp runs as lamp-2"},
        "brought back for maria: lamp runs as lamp-2",
    ),
)
def test_an_action_stands_as_far_as_it_came(about: dict[str, Any], stands: str) -> None:
    assert ledger_commands._done(replace(ACTION, **about), Cleaner(), None).stands == stands


def test_a_record_that_does_not_verify_gives_no_advice() -> None:
    assert ledger_commands._done(ACTION, Cleaner(), because("somebody changed it")).stands == (
        "cleaned up 2026-10-06 03:00 UTC; not verified: somebody changed it"
    )


def test_a_finding_is_listed_once_whatever_became_of_it(nights: Nights) -> None:
    """What is closed is listed with --all, unless its action says more; a hold stands with its finding."""
    nights.warned("lamp", "sofa", "vase")
    chair = thing("chair", waste()).target
    for key in (chair.key, advice_hold_key("cellar", thing("desk", waste()).target.key)):
        held = Hold(key=key, how=HoldKind.SNOOZED, by="maria", given=NOW, until=NOW + 9 * DAY)
        nights.holds.put(ACCOUNT, REGION, held)
    nights.world.use("sofa")
    nights.arming = replace(nights.arming, max_actions=1)
    nights.after(4 * DAY)
    nights.hold("vase", how=HoldKind.KEPT, why="a gift")

    def names(**how: bool) -> list[str]:
        return [f"{line.name} {line.stands.partition(' ')[0]}" for line in lines(nights, **how)]

    assert sorted(names()) == ["chair no", "desk no", "lamp cleaned", "vase kept"]
    assert sorted(names(every=True)) == ["chair no", "desk no", "lamp cleaned", "sofa closed", "vase kept"]
    nights.undo("lamp")
    assert "lamp brought" not in names()
    assert "lamp brought" in names(every=True)
    advised = advice_hold_key("cellar", nights.entries()["vase"].key)
    nights.holds.put(ACCOUNT, REGION, Hold(key=advised, how=HoldKind.SNOOZED, by="ben", given=NOW))
    assert [name for name in names() if name.startswith("vase")] == ["vase kept"]


def test_a_hold_without_a_finding_is_listed_under_one_detector(nights: Nights) -> None:
    nights.world.add("lamp")
    nights.hold("lamp", how=HoldKind.KEPT)
    nights.holds.put(ACCOUNT, REGION, Hold(key="arn:aws:s3:::b@x", how=HoldKind.KEPT, by="ben", given=NOW))
    (line,) = lines(nights, Cleaner, SecondCleaner)
    assert (line.detector, line.name, line.arn) == ("cellar", "lamp", LAMP.arn)


def test_a_warning_that_somebody_changed_is_listed_as_not_verified(with_lamp: Nights) -> None:
    assert "not verified" not in lines(with_lamp)[0].stands
    entry = with_lamp.entries()["lamp"]
    with_lamp.table.change(entry.pk, entry.sk, set_to={"due": "2026-10-07T00:00:00Z"})
    assert lines(with_lamp)[0].stands.endswith("; not verified")
    with_lamp.hold("lamp", how=HoldKind.KEPT)
    assert lines(with_lamp)[0].stands == "kept by maria"


def drawn(*shown: ledger_commands.LedgerLine, every: bool = False) -> list[str]:
    stream = io.StringIO()
    console = make_console(stream)
    console.width = 400
    print_blocks(ledger_commands.draw_ledger_lines(shown, every=every), console)
    return stream.getvalue().splitlines()


def test_a_line_shows_name_region_cost_and_owner() -> None:
    line = ledger_commands.LedgerLine(
        id="id-1",
        detector="cellar",
        region=REGION,
        name="lamp",
        arn=LAMP.arn,
        state=ledger_commands.FindingState.REPORTED,
        stands="reported",
    )
    assert drawn(line) == ["cellar", "", "id-1  lamp  us-east-1", "      reported"]
    dear = replace(line, usd=Decimal(5), per_month=True, owner="maria")
    assert drawn(dear)[2] == "id-1  lamp  us-east-1  $5.00 a month, maria"
    assert drawn(replace(line, usd=Decimal(5)))[2] == "id-1  lamp  us-east-1  $5.00 so far"
    long = drawn(replace(line, name="n" * 121, owner="o" * 61))[2]
    assert [part.count(letter) for part, letter in zip(long.split("  ")[1::2], "no", strict=True)] == [
        114,
        54,
    ]
    assert drawn(line, replace(line, detector="loft"), line) == [
        *("cellar", "", "id-1  lamp  us-east-1", "      reported", "id-1  lamp  us-east-1", "      reported"),
        *("", "loft", "", "id-1  lamp  us-east-1", "      reported"),
    ]
    assert drawn() == ["Nothing is open, and nothing can be undone."]
    assert drawn(every=True) == ["The ledger remembers nothing."]


@cases(
    "due, said",
    (NOW, "due now  lamp: nobody uses it"),
    (NOW + HOUR, "due 2026-10-06 04:00 UTC  lamp: nobody uses it"),
)
def test_what_waits_for_approval_says_from_when(due: Any, said: str) -> None:
    assert ledger_commands._waits(replace(ENTRY, due=due), NOW) == said


def test_a_lease_ends_calls_two_minutes_before_it_ends(nights: Nights) -> None:
    at = session(nights)
    assert at.watch.has_time()
    with at.leased("cellar", REGION):
        ends = nights.clock + LEASE_DURATION
        assert ends - timedelta(minutes=2) == at.watch.until == NOW + timedelta(minutes=28)
        nights.clock = at.watch.until - timedelta(seconds=1)
        assert at.watch.has_time()
        nights.clock = at.watch.until
        assert not at.watch.has_time()
    assert at.watch.has_time()


def test_the_entries_of_some_detectors_are_theirs_alone(with_lamp: Nights) -> None:
    at = session(with_lamp, SecondCleaner, Cleaner)

    def names(entries: Sequence[Entry]) -> list[str]:
        return [entry.name for entry in entries]

    assert names(at.entries()) == ["lamp"]
    assert names(at.entries([SecondCleaner()])) == []


def test_an_account_without_credentials_is_only_read(nights: Nights) -> None:
    with pytest.raises(CommandRefusedError, match=f"to change anything in account {ACCOUNT}, give"):
        session(nights).aws(REGION)


def test_a_record_without_a_signature_is_undone_only_on_demand(with_lamp: Nights) -> None:
    with_lamp.after(4 * DAY)
    at, lamp = session(with_lamp), with_lamp.of("lamp")
    assert ledger_commands.find_action(at, at.undoing(), lamp.id)[1] == lamp
    unsigned = replace(lamp, mac="", signed="")
    with pytest.raises(CannotUndoError):
        at.undoing().verify(unsigned)
    at.undoing(unsigned=True).verify(unsigned)


def test_an_action_is_found_by_its_id_or_by_a_name_that_is_of_no_other(nights: Nights) -> None:
    nights.warned("lamp", "sofa")
    nights.after(4 * DAY)
    at, lamp, sofa = session(nights), nights.of("lamp"), nights.of("sofa")

    def found(what: str) -> str:
        return ledger_commands.find_action(at, at.undoing(), what)[1].id

    assert (found("lamp"), found(lamp.id), found("sofa")) == (lamp.id, lamp.id, sofa.id)
    nights.undo("lamp")
    with pytest.raises(CommandRefusedError, match="nothing was done to a finding lamp in"):
        found("lamp")
    with pytest.raises(CommandRefusedError, match="brought back before"):
        found(lamp.id)
    twin = replace(sofa.target, arn=f"{sofa.target.arn}-2")
    nights.actions.begin(result_of("", detector="cellar", target=twin), {"name": "sofa"}, warned=NOW, now=NOW)
    with pytest.raises(
        CommandRefusedError, match="something was done to 2 resources called sofa; give an id"
    ):
        found("sofa")
    assert found(sofa.id) == sofa.id
