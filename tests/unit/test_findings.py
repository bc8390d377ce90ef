"""What the ledger remembers of findings: seen, closed, warned about, refused, void; and when it may not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, DAY, NOW, REGION, SECOND
from fakes import IN_TURN, UNTELLABLE, USED, because, result_of, waste
from memory_table import MemoryTable
from ml_janitor.core.model import Cost, Kept, Mode, finding_id
from ml_janitor.core.money import claim_of
from ml_janitor.core.results import Cause, CauseCode, Result, Sweep, make_cause
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.findings import Entry, Ledger, MessageRef, RecordedFindings
from ml_janitor.ledger.requests import ButtonRequests, Holds
from ml_janitor.ledger.table import WRITTEN_ATTRIBUTE, ConditionFailedError
from narrowing import not_none
from standin import own_signatures
from tables import cases

NOTHING = Sweep(detector="shelf", account=ACCOUNT, region=REGION, mode=Mode.ACT)
CHANNEL, DIRECT = MessageRef("C1", "1.0"), MessageRef("D1", "2.0")


class Desk:
    """A ledger in memory, and the sweeps that it remembers."""

    def __init__(self) -> None:
        self.table = MemoryTable()
        self.ledger = Ledger(self.table, own_signatures())

    def swept(
        self, *results: Result, at: datetime = NOW, error: str | None = None, **how: Any
    ) -> RecordedFindings:
        return self.ledger.record(IN_TURN, replace(NOTHING, results=results, error=error), at, **how)

    def entry(self, name: str = "lamp") -> Entry:
        (entry,) = (one for one in self.ledger.entries("shelf", ACCOUNT, REGION) if one.name == name)
        return entry

    def item(self) -> dict[str, Any]:
        (item,) = (one for one in self.table.scan("finding#") if one["name"] == "lamp")
        return item

    def warned(self, *, messaged: bool = True) -> Entry:
        """A lamp that was warned about."""
        self.swept(result_of("lamp"))
        about: dict[str, Any] = {"message": CHANNEL, "said": "lasts", "unmessaged": because("not yet")}
        self.ledger.warned(self.entry(), now=NOW, due=NOW + 6 * DAY, **about)
        if messaged:
            self.ledger.messaged(self.entry(), DIRECT, late=NOW + 6 * DAY, due=NOW + 3 * DAY)
        return self.entry()


GONE = make_cause(CauseCode.GONE)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- found, and no longer found ------------------------------------------------------------------------


@cases(
    "later, at, error, why",
    ([], NOW + DAY, None, GONE),
    ([], NOW, None, GONE),
    ([], NOW - SECOND, None, None),
    ([], NOW + DAY, "broke off", None),
    ([result_of("lamp", USED)], NOW + DAY, None, because("it is used")),
    ([result_of("lamp", UNTELLABLE)], NOW + DAY, None, None),
    ([result_of("lamp")], NOW + DAY, None, None),
    ids=["gone", "at once", "late event", "broke off", "kept", "unknown", "found"],
)
def test_what_a_complete_sweep_no_longer_finds_is_closed(
    desk: Desk, later: list[Result], at: datetime, error: str | None, why: Cause | None
) -> None:
    desk.swept(result_of("lamp"))
    before = desk.entry()

    assert desk.swept(*later, at=at, error=error).closed == ((before, why),) * (why is not None)
    assert (desk.entry().closed, desk.entry().close_reason) == ((at, why) if why else (None, None))
    assert desk.entry().open is (why is None)
    left = () if why else ((desk.entry(), GONE),)
    assert desk.swept(at=NOW + 9 * DAY).closed == left


def test_a_finding_that_an_unread_entry_may_be_about_stays_open(desk: Desk) -> None:
    """An entry without a creation time stands for each resource with its ARN, one without an ARN for any."""
    desk.swept(result_of("lamp"), result_of("desk"))
    unread = result_of("lamp", UNTELLABLE)
    undated = replace(unread, target=replace(unread.target, created=None))

    assert [entry.name for entry, _ in desk.swept(undated, at=NOW + DAY).closed] == ["desk"]
    desk.swept(result_of("lamp"), result_of("desk"), at=NOW + 2 * DAY)
    unidentified = replace(NOTHING, unidentified=1)
    assert desk.ledger.record(IN_TURN, unidentified, NOW + 3 * DAY).closed == ()
    assert {entry.name for entry, _ in desk.swept(at=NOW + 4 * DAY).closed} == {"lamp", "desk"}


def test_what_is_found_again_begins_anew_and_what_stays_keeps_its_time(desk: Desk) -> None:
    desk.swept(result_of("lamp"), result_of("chair"))
    desk.swept(result_of("chair"), at=NOW + DAY)

    desk.swept(result_of("lamp"), result_of("chair"), at=NOW + 2 * DAY)

    assert (desk.entry("lamp").first_seen, desk.entry("chair").first_seen) == (NOW + 2 * DAY, NOW)
    assert "expires" not in desk.item()


def test_a_place_is_settled_once_nothing_is_open_nor_left_to_be_told(desk: Desk) -> None:
    def swept(*, days: int, settled: bool = True) -> tuple[bool, bool]:
        recorded = desk.swept(at=NOW + days * DAY, settled=settled)
        return not_none(desk.ledger.latest.sweep("shelf", ACCOUNT, REGION)).settled, recorded.warned

    assert [desk.swept(result_of("lamp"), result_of("chair")).warned for _ in range(2)] == [False, False]
    desk.warned()
    assert [swept(days=days) for days in (1, 2)] == [(False, True), (False, False)]
    desk.ledger.void_shown(desk.entry(), desk.entry().untold)
    assert [swept(days=3), swept(days=4, settled=False)] == [(True, False), (False, False)]
    desk.swept(at=NOW + 5 * DAY)
    assert not not_none(desk.ledger.latest.sweep("shelf", ACCOUNT, REGION)).settled


def test_a_sweep_says_what_is_new(desk: Desk) -> None:
    first = desk.swept(result_of("lamp"), result_of("chair"), result_of("sofa", USED))
    desk.ledger.announced(IN_TURN, NOTHING, [result_of("lamp")], NOW)

    second = desk.swept(result_of("lamp"), result_of("chair"), at=NOW + DAY)

    assert [[one.target.name for one in run.new] for run in (first, second)] == [["lamp", "chair"], ["chair"]]
    assert (first.first_seen(NOW), second.first_seen(NOW + DAY)) == (2, 0)
    desk.ledger.announced(IN_TURN, NOTHING, [result_of("lamp")], NOW + DAY)
    assert desk.entry().announced == NOW


def test_a_finding_is_found_by_its_id_and_what_is_no_whole_item_is_passed_over(desk: Desk) -> None:
    desk.swept(result_of("lamp"), result_of("chair"))
    chair = desk.entry("chair")
    desk.table.change(f"finding#shelf#{ACCOUNT}#{REGION}", "remains", set_to={"memo": "{}"})

    assert desk.ledger.find("shelf", ACCOUNT, REGION, chair.id) == chair
    assert {one.name for one in desk.ledger.everywhere()} == {"lamp", "chair"}


@cases(
    "cost",
    Cost(monthly_usd=Decimal(10), shares={"arn:aws:s3:::b": Decimal(10)}),
    Cost(accrued_usd=Decimal(7)),
    None,
)
def test_what_is_remembered_claims_what_the_finding_does(desk: Desk, cost: Cost | None) -> None:
    lamp = result_of("lamp", replace(waste(), cost=cost))

    desk.swept(lamp)

    assert (desk.entry().claim, desk.entry().id) == (claim_of(lamp), finding_id("shelf", lamp.target.key))


def test_what_it_would_save_is_remembered_of_the_thousand_dearest(desk: Desk) -> None:
    shares = {f"arn:{number:04}": Decimal(number // 2) for number in range(1002)}
    cost = Cost(monthly_usd=Decimal("10.006"), once_usd=Decimal("0.001"), shares=shares)
    desk.swept(result_of("lamp", replace(waste(), cost=cost, since=NOW - DAY)))

    entry = desk.entry()

    assert (entry.claim.monthly_usd, entry.once_usd) == (Decimal("10.01"), Decimal("0.001"))
    assert sorted(set(shares) - set(entry.claim.shares)) == ["arn:0000", "arn:0001"]
    assert entry.claim.shares["arn:1001"] == 500
    assert (entry.action, entry.since) == (waste().action, NOW - DAY)


def test_of_equal_shares_the_first_by_name_are_remembered(desk: Desk) -> None:
    shares = {f"arn:{number:04}": Decimal(1) for number in reversed(range(1001))}
    desk.swept(result_of("lamp", replace(waste(), cost=Cost(shares=shares))))

    assert set(shares) - set(desk.entry().claim.shares) == {"arn:1000"}


def test_what_has_no_price_and_what_an_undo_lacks(desk: Desk) -> None:
    desk.swept(result_of("lamp", replace(waste(), cost=None, missing_for_undo="a role")))
    assert (desk.entry().once_usd, desk.entry().claim.shares) == (None, {})
    assert desk.entry().missing_for_undo == "a role"

    desk.swept(result_of("lamp"), at=NOW + DAY)

    assert "missing_for_undo" not in desk.item()


# --- warnings ------------------------------------------------------------------------------------------


def test_a_warning_is_remembered_as_it_was_first_taken(desk: Desk) -> None:
    desk.warned(messaged=False)
    desk.ledger.warned(desk.entry(), now=NOW + DAY, due=NOW, message=DIRECT, said="lasts longer")

    entry = desk.entry()

    assert (entry.warned, entry.announced, entry.due) == (NOW, NOW, NOW + 6 * DAY)
    assert (entry.messages, entry.unmessaged) == ([CHANNEL], because("not yet"))
    assert "lasts longer" not in entry.said
    written = desk.item()[WRITTEN_ATTRIBUTE]
    desk.ledger.messaged(entry, DIRECT, late=NOW + 6 * DAY, due=NOW)
    assert desk.item()[WRITTEN_ATTRIBUTE] != written


def test_a_direct_message_brings_the_date_forward_once(desk: Desk) -> None:
    entry = desk.warned()

    assert (entry.due, entry.messages, entry.unmessaged) == (NOW + 3 * DAY, [CHANNEL, DIRECT], None)
    with pytest.raises(ConditionFailedError):
        desk.ledger.messaged(entry, DIRECT, late=NOW + 6 * DAY, due=NOW)
    assert desk.entry().due == NOW + 3 * DAY


def test_a_warning_that_nothing_confirmed_for_too_long_is_void(desk: Desk) -> None:
    desk.warned()
    desk.swept(result_of("lamp"), result_of("chair"), at=NOW)
    in_time = desk.swept(result_of("lamp"), result_of("chair"), at=NOW + 5 * DAY, lasts=5 * DAY)
    assert (in_time.closed, desk.entry().warned, desk.entry().voided) == ((), NOW, False)
    before = desk.entry()

    late = desk.swept(result_of("lamp"), result_of("chair"), at=NOW + 10 * DAY + SECOND, lasts=5 * DAY)

    why = make_cause(CauseCode.NOT_CONFIRMED, "5 days")
    assert late.closed == ((before, why),)
    entry = desk.entry()
    assert (entry.voided, entry.warned, entry.due, entry.messages) == (True, None, None, [])
    assert (entry.untold, entry.untold_why, entry.closed) == ("C1 1.0 D1 2.0", why, None)
    assert (desk.entry("chair").voided, desk.entry("chair").untold) == (False, "")
    untold = desk.swept(result_of("lamp"), result_of("chair"), at=NOW + 11 * DAY).untold
    assert [one.name for one in untold] == ["lamp"]


def test_what_lapsed_and_is_gone_is_closed_once(desk: Desk) -> None:
    desk.warned()
    before = desk.entry()

    assert desk.swept(at=NOW + 10 * DAY, lasts=5 * DAY).closed == ((before, GONE),)


@cases(
    "change, expected",
    (lambda led, one: led.make_due(one, by="maria", now=NOW), {"due": NOW, "hurried": "maria"}),
    (lambda led, one: led.approve(one, by="maria"), {"approved": "maria"}),
    (lambda led, one: led.unmessaged(one, because("unknown")), {"unmessaged": because("unknown")}),
    (
        lambda led, one: led.record_not_done(one, because("limits"), NOW),
        {"not_done": because("limits"), "not_done_at": NOW},
    ),
    ids=["now", "approved", "unmessaged", "not done"],
)
def test_what_concerns_a_warning_is_remembered_while_it_stands(
    desk: Desk, change: Callable[[Ledger, Entry], None], expected: dict[str, Any]
) -> None:
    entry = desk.warned()

    change(desk.ledger, entry)

    assert desk.entry() == replace(entry, **expected, mac=desk.entry().mac)
    assert desk.ledger.is_signed(desk.entry())
    desk.ledger.void_warning(entry, because("disarmed"))
    void = desk.entry()
    try:
        change(desk.ledger, entry)
    except ConditionFailedError:
        assert "not_done" not in expected
    else:
        assert "not_done" in expected
    assert desk.entry() == void


def test_a_warning_that_changed_since_it_was_read_takes_no_press(desk: Desk) -> None:
    entry = desk.warned()
    desk.ledger.approve(entry, by="maria")
    with pytest.raises(ConditionFailedError):
        desk.ledger.make_due(entry, by="maria", now=NOW)


@cases(
    "changed, keyed, why",
    ({}, True, None),
    ({"due": NOW}, True, CauseCode.WARNING_INVALID),
    ({"mac": ""}, True, CauseCode.WARNING_UNSIGNED),
    ({}, False, None),
)
def test_only_a_signed_warning_counts(
    desk: Desk, changed: dict[str, Any], *, keyed: bool, why: CauseCode | None
) -> None:
    """Without a key nothing is verified, and a decision fails."""
    entry = replace(desk.warned(), **changed)
    ledger = desk.ledger if keyed else Ledger(desk.table)

    assert ledger.is_verified(entry) is (keyed and why is None)
    if keyed:
        assert ledger.unsigned_cause(entry) == (why and make_cause(why))
    else:
        with pytest.raises(LookupError, match="no signing key"):
            ledger.unsigned_cause(entry)


def test_a_void_warning_leaves_nothing_but_what_its_message_has_to_say(desk: Desk) -> None:
    entry = desk.warned()
    desk.ledger.approve(entry, by="maria")
    desk.ledger.save_memo(entry, {"read": 9})  # as it was read before the approval
    assert desk.entry().memo == {}
    desk.ledger.save_memo(desk.entry(), {"read": 1})
    assert desk.entry().memo == {"read": 1}

    desk.ledger.void_warning(entry, because("disarmed"))

    seen: dict[str, Any] = {
        "key": entry.key,
        "first_seen": NOW,
        "last_seen": NOW,
        "announced": NOW,
        "said": "lasts",
    }
    void = desk.entry()
    assert replace(found_entry(void), **seen) == replace(void, voided=False, untold="", untold_why=None)
    assert (void.voided, void.untold, void.untold_why) == (True, "C1 1.0 D1 2.0", because("disarmed"))
    desk.ledger.void_shown(void, "C1 0.5")
    assert desk.entry().untold == "C1 1.0 D1 2.0"
    desk.ledger.void_shown(void, "C1 1.0 D1 2.0")
    assert (desk.entry().untold, desk.entry().untold_why) == ("", None)
    desk.ledger.warned(desk.entry(), now=NOW, due=NOW + DAY)
    assert not desk.entry().voided


def found_entry(entry: Entry) -> Entry:
    """What is known of a lamp from its sweep alone."""
    desk = Desk()
    desk.swept(result_of(entry.name))
    return desk.entry(entry.name)


def test_a_closing_voids_the_warning_and_goes_after_ninety_days(desk: Desk) -> None:
    entry = desk.warned()
    desk.ledger.record_refusal(entry, because("it is watched"), NOW)
    entry = desk.warned()

    desk.ledger.close(entry, because("cleaned up"), NOW + DAY)

    closed = desk.entry()
    assert (closed.closed, closed.close_reason, closed.announced) == (NOW + DAY, because("cleaned up"), None)
    assert (closed.warned, closed.due, closed.refused, closed.refused_at) == (None, None, None, None)
    assert (closed.untold, closed.untold_why) == ("C1 1.0 D1 2.0", because("cleaned up"))
    assert desk.item()["expires"] == int((NOW + 91 * DAY).timestamp())


def test_what_was_refused_is_void_until_it_can_be_prepared(desk: Desk) -> None:
    entry = desk.warned()
    desk.ledger.save_memo(entry, {"read": 1})

    desk.ledger.record_refusal(desk.entry(), because("it is watched"), NOW + DAY)

    refused = desk.entry()
    why = because("it is watched")
    assert (refused.refused, refused.refused_at, refused.voided) == (why, NOW + DAY, True)
    assert (refused.warned, refused.untold_why, refused.memo) == (None, why, {})
    desk.ledger.save_memo(refused, {"read": 2})
    desk.ledger.clear_refusal(refused)
    assert (desk.entry().refused, desk.entry().refused_at, desk.entry().memo) == (None, None, {})


def test_kept_is_no_finding_and_is_not_remembered(desk: Desk) -> None:
    recorded = desk.swept(result_of("lamp", Kept(reason="tagged")))

    assert (recorded.new, recorded.entries, list(desk.table.scan("finding#"))) == ((), {}, [])


def test_accounts_with_equal_names_stay_apart(desk: Desk) -> None:
    lamp, there = result_of("lamp"), "210987654321"
    moved = replace(lamp.target, account=there, arn=lamp.target.arn.replace(ACCOUNT, there))
    for account, target in ((ACCOUNT, lamp.target), (there, moved)):
        sweep = replace(NOTHING, account=account, results=(replace(lamp, target=target),))
        assert len(desk.ledger.record(IN_TURN, sweep, NOW).new) == 1
        (entry,) = desk.ledger.entries("shelf", account, REGION)
        desk.ledger.warned(entry, now=NOW, due=NOW + DAY)
    hold = Hold(key=lamp.target.key, how=HoldKind.KEPT, by="maria", given=NOW)
    Holds(desk.table).put(ACCOUNT, REGION, hold)
    desk.ledger.approve(desk.entry(), by="maria")
    requests, actions = ButtonRequests(desk.table, own_signatures()), Actions(desk.table)
    requests.make_due(desk.entry(), by="maria", now=NOW)
    for account in (there, ACCOUNT):
        requests.grant(desk.ledger, actions, "shelf", account, REGION)
    (other,) = desk.ledger.entries("shelf", there, REGION)
    assert (desk.entry().approved, desk.entry().hurried) == ("maria", "maria")
    assert (other.approved, other.hurried) == ("", "")
    desk.swept()
    (other,) = desk.ledger.entries("shelf", there, REGION)
    assert (desk.entry().open, other.open) == (False, True)
    assert [list(Holds(desk.table).all(one, REGION)) for one in (ACCOUNT, there)] == [[hold.key], []]
