"""What a press does, and everything that can refuse it: the ledger is in memory, and so is Slack."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from fakes import because, raising
from ml_janitor.config.events import PressEvent
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.policy import Hold, HoldKind, advice_hold_key
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.findings import Entry
from ml_janitor.ledger.requests import ButtonRequests
from ml_janitor.report.warnings import BUTTON_LABELS, Button, ButtonSubject, kept_subject
from ml_janitor.slack.client import SendError, SlackRefusedError
from ml_janitor.slack.press_worker import Person, PressWorker
from standin import DAY, HOUR, Nights
from tables import cases

MARIA = Person(id="U1", name="Maria", email="maria@example.com", own=True)
OWNER = replace(MARIA, id="U2", name="Olaf", email="olaf@example.com")
STRANGER = replace(MARIA, id="U3", name="Sam", email="sam@example.com")
GUEST = replace(MARIA, own=False)

URL = "https://hooks.slack.com/actions/1"
OTHER = "210987654321"
OPENING = timedelta(hours=5)
OVER = "it is not kept any more; the janitor warns before it does anything"


@dataclass
class Wording:
    """The words of a detector, as what they are about; *never* is why an undo brings nothing back."""

    missing: str = ""
    never: str = ""

    def held(self, hold: Hold) -> Any:
        return "held", hold

    def hurried(self, by: str, at: datetime) -> Any:
        return "hurried", by, at

    def revert_effect(self, _: object) -> str:
        if self.never:
            raise CannotActError(self.never)
        return "it is plugged in"

    def missing_for_undo(self, _: object) -> str:
        return self.missing

    def by_hand(self, missing: str, finding: str) -> str:
        return f"{missing} is missing for {finding}"


@dataclass
class Office:
    """A deployment whose Slack is in memory. What a press did is in the lists."""

    nights: Nights
    person: Person = MARIA
    group: str = "S1"
    armed: bool = True
    organization: bool = False
    functions: dict[str, str] = field(default_factory=lambda: {"cellar": "ml-janitor-cellar"})
    undo: str = "ml-janitor-undo"
    undoable: bool = True
    opening: timedelta = OPENING
    hold_time: timedelta | None = 180 * DAY
    wording: Wording = field(default_factory=Wording)
    ill: SendError | None = None
    unknown: SendError | None = None
    shown: list[Any] = field(default_factory=list)
    invoked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    replies: list[tuple[str, str]] = field(default_factory=list)
    logged: list[tuple[str, str, Any]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)

    def _person(self, user: str, team: str) -> Person:
        assert (user, team) == (self.person.id, "T1")
        if self.unknown is not None:
            raise self.unknown
        return self.person

    def _why_not_allowed(self, *where: str, home: str, undo_on: date | None = None) -> str | None:
        assert (where, undo_on) == (("cellar", ACCOUNT, REGION), undo_on and self.nights.clock.date())
        if home != ACCOUNT and not self.organization:
            return f"account {ACCOUNT} is no longer looked at from account {home}"
        allowed = self.armed if undo_on is None else self.undoable
        return None if allowed else "the settings do not allow it"

    def _members(self, group: str) -> frozenset[str]:
        self.groups.append(group)
        return frozenset({MARIA.id})

    def _show(self, *shown: Any) -> bool:
        if self.ill is not None:
            raise self.ill
        self.shown.append(shown)
        return True

    def _once(self, press: str, work: Callable[[], Any]) -> Any:
        if press not in self.answers:
            self.answers[press] = work()
        return self.answers[press]

    def _reply(self, url: str, text: str) -> bool:
        self.replies.append((url, text))
        return True

    def worker(self) -> PressWorker:
        nights = self.nights
        log = {
            level: lambda text, extra, level=level: self.logged.append((level, text, extra))
            for level in ("info", "warning", "error")
        }
        given: dict[str, Any] = {
            "settings": SimpleNamespace(
                janitor=SimpleNamespace(slack_group=self.group, time_zone="UTC"),
                why_not_allowed=self._why_not_allowed,
                hold_time=self.hold_time,
                working_hours=SimpleNamespace(next_opening=lambda at: at + self.opening),
            ),
            "home": ACCOUNT,
            "ledger": nights.ledger,
            "holds": nights.holds,
            "requests": ButtonRequests(nights.table, nights.actions.signatures),
            "undoing": nights.undoing,
            "messages": SimpleNamespace(
                terms={"cellar": SimpleNamespace(wording=self.wording)},
                entry=self._show,
                asked_back=self._show,
            ),
            "directory": SimpleNamespace(person=self._person, members=self._members),
            "functions": self.functions,
            "undo": self.undo,
            "once": self._once,
            "hand_over": lambda name, event: self.invoked.append((name, event)),
            "ephemeral_reply": self._reply,
            "clock": lambda: nights.clock,
            "logger": SimpleNamespace(**log),
        }
        return PressWorker(**given)

    def press(self, word: str, **about: Any) -> dict[str, Any]:
        """What the press of *word* under the lamp's message answers."""
        return self.worker()(self.event(word, **about))

    def event(self, word: str, *, ago: timedelta = timedelta(), **about: Any) -> PressEvent:
        subject = ButtonSubject(detector="cellar", account=ACCOUNT, region=REGION, finding=self.entry().id)
        given = {
            "user": self.person.id,
            "team": "T1",
            "channel": "C1",
            "message": "1.0",
            "action": word,
            "value": str(subject),
            "at": f"{(self.nights.clock - ago).timestamp():.0f}.000001",
            "response_url": URL,
        }
        return PressEvent(**{**given, **about})

    def entry(self) -> Entry:
        return self.nights.entries()["lamp"]

    def holds(self) -> list[Hold]:
        return [hold for holds in self.nights.holds.all(ACCOUNT, REGION).values() for hold in holds]

    def refused(self, word: str, **about: Any) -> str:
        """Why that press is refused: nothing is changed, and whoever pressed hears it."""
        stood = list(self.nights.table.scan(""))

        answer = self.press(word, **about)

        assert (answer["done"], list(self.nights.table.scan(""))) == (False, stood)
        assert (self.shown, self.invoked, self.answers) == ([], [], {})
        why = str(answer["why"])
        assert self.replies == [(URL, f"Nothing was changed: {why}.")]
        ((level, text, extra),) = self.logged
        assert (level, text, extra["why"]) == ("warning", "a press was refused", why)
        assert URL not in str(extra)
        return why


@pytest.fixture
def nights(nights: Nights) -> Nights:
    """A lamp that was warned about."""
    nights.postman.thread = "1"
    nights.warned("lamp")
    entry = nights.ledger.entries("cellar", ACCOUNT, REGION)[0]
    nights.table.change(f"finding#cellar#{ACCOUNT}#{REGION}", entry.key, set_to={"message": "1.0"})
    nights.sign_warnings()
    return nights


@pytest.fixture
def acted(nights: Nights) -> Nights:
    """The lamp was removed, and its message has a button that undoes that."""
    nights.after(4 * DAY)
    assert nights.of("lamp").stage is Stage.ACTED
    return nights


# --- hold ----------------------------------------------------------------------------------------------


@cases(
    "word, how, lasts",
    (Button.KEEP, HoldKind.KEPT, 180 * DAY),
    (Button.SNOOZE, HoldKind.SNOOZED, 7 * DAY),
    (Button.TONIGHT, HoldKind.SNOOZED, OPENING),
)
@pytest.mark.parametrize("person", [MARIA, OWNER], ids=["member", "owner"])
def test_a_hold_is_stored_from_the_press_on_and_shown(
    nights: Nights, person: Person, word: Button, how: HoldKind, lasts: timedelta | None
) -> None:
    nights.table.change(
        f"finding#cellar#{ACCOUNT}#{REGION}", Office(nights).entry().key, set_to={"owner": "Olaf@example.com"}
    )
    office = Office(nights, person=person)
    pressed = nights.clock - timedelta(minutes=1)

    answer = office.press(word, ago=timedelta(minutes=1))

    until = None if lasts is None else pressed + lasts
    hold = Hold(key=office.entry().key, how=how, by=str(person), given=pressed, until=until)
    assert answer == {"done": True, "word": BUTTON_LABELS[word], "untold": ""}
    assert (office.holds(), office.shown) == ([hold], [(office.entry(), ("held", hold))])
    assert (office.replies, office.invoked, office.groups) == ([], [], ["S1"] * (person is MARIA))
    assert office.logged == [
        ("info", "pressed", {"user": person.id, "word": word, "subject": office.event(word).value})
    ]


def test_a_snooze_of_what_is_kept_shows_what_holds_longer(nights: Nights) -> None:
    office = Office(nights)
    office.press(Button.KEEP)

    office.press(Button.SNOOZE)

    kept = next(one for one in office.holds() if one.how is HoldKind.KEPT)
    assert office.shown[1] == (office.entry(), ("held", kept))


def test_a_hold_that_is_over_is_shown_as_it_was_pressed(nights: Nights) -> None:
    """A press of an hour ago until working hours began: there is none any more, and it says which it was."""
    office = Office(nights, opening=timedelta(minutes=1))

    office.press(Button.TONIGHT, ago=timedelta(minutes=30))

    (hold,) = office.holds()
    assert office.shown == [(office.entry(), ("held", hold))]


# --- keep on -------------------------------------------------------------------------------------------


GIVEN = "Olaf (U2)"


def keep_on(office: Office, **hold: Any) -> dict[str, Any]:
    """Press *Keep* in the digest, about a hold that Olaf gave and that ends in a day."""
    given = office.nights.clock - 179 * DAY
    until = office.nights.clock + DAY
    kept = Hold(key=office.entry().key, how=HoldKind.KEPT, by=GIVEN, given=given, until=until)
    office.nights.holds.put(ACCOUNT, REGION, replace(kept, **hold))
    return {"word": Button.KEEP_ON, "value": str(kept_subject(ACCOUNT, REGION, kept)), "message": "9.9"}


@pytest.mark.parametrize("hold_time", [180 * DAY, None])
@pytest.mark.parametrize("person", [MARIA, OWNER], ids=["member", "giver"])
def test_keep_in_the_digest_renews_a_hold(
    nights: Nights, person: Person, hold_time: timedelta | None
) -> None:
    office = Office(nights, person=person, hold_time=hold_time)

    answer = office.press(**keep_on(office))

    (hold,) = office.holds()
    until = None if hold_time is None else nights.clock + hold_time
    assert hold == Hold(
        key=office.entry().key, how=HoldKind.KEPT, by=str(person), given=nights.clock, until=until
    )
    lasts = "until Sun 4 Apr 03:00 (UTC)" if until else "for good"
    assert answer == {"done": True, "word": "Keep", "said": f"`thing/lamp` is kept {lasts}."}
    assert office.replies == [(URL, answer["said"])]


@cases(
    "person, hold, why",
    (STRANGER, {}, "only its owner and members of the janitor's user group may press that"),
    (replace(OWNER, own=False), {}, "only people of this workspace may press that"),
    (MARIA, {"key": "arn:aws:sagemaker:::thing/other@1"}, OVER),
    (MARIA, {"how": HoldKind.SNOOZED}, OVER),
    (MARIA, {"why": "by command"}, OVER),
    (MARIA, {"until": datetime(2026, 10, 6, tzinfo=UTC)}, OVER),
)
def test_what_is_not_kept_or_not_theirs_is_not_kept_on(
    nights: Nights, person: Person, hold: dict[str, Any], why: str
) -> None:
    office = Office(nights, person=person)
    assert office.refused(**keep_on(office, **hold)) == why


def test_the_same_press_twice_is_done_once(nights: Nights) -> None:
    office = Office(nights)

    assert office.press(Button.KEEP) == office.press(Button.KEEP)

    assert len(office.shown) == 1


def test_a_message_that_cannot_be_changed_does_not_undo_the_press(nights: Nights) -> None:
    office = Office(nights, ill=SendError("it is down"))

    assert office.press(Button.KEEP) == {"done": True, "word": "Keep", "untold": "it is down"}
    assert office.replies == [(URL, "Done, but the message could not be changed: it is down")]
    assert ("error", "a message could not be changed", {"why": "it is down"}) in office.logged
    assert len(office.holds()) == 1


# --- now -----------------------------------------------------------------------------------------------


def test_now_asks_that_it_is_due_and_invokes_its_function(nights: Nights) -> None:
    office = Office(nights)

    answer = office.press(Button.NOW, ago=timedelta(minutes=1))

    assert answer == {"done": True, "word": "Do it now", "untold": ""}
    (request,) = nights.table.query(f"request#cellar#{ACCOUNT}#{REGION}")
    assert (request["what"], request["key"], request["by"]) == ("due", office.entry().key, "Maria (U1)")
    assert office.shown == [(office.entry(), ("hurried", "Maria (U1)", nights.clock - timedelta(minutes=1)))]
    assert office.invoked == [("ml-janitor-cellar", {"account": ACCOUNT, "regions": [REGION]})]


def test_a_function_is_invoked_once_its_request_is_written(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(nights)
    monkeypatch.setattr(ButtonRequests, "make_due", raising(RuntimeError("throttled")))
    with pytest.raises(RuntimeError, match="throttled"):
        office.press(Button.NOW)
    assert office.invoked == office.shown == []


NOT_SAID = "Slack did not say who you are, so nothing was done"


@cases(
    "about, word, why",
    ({"armed": False}, Button.NOW, "the settings do not allow it"),
    ({"functions": {}}, Button.NOW, "cellar is a dry run, which does nothing"),
    ({"person": OWNER}, Button.NOW, "only members of the janitor's user group may press that"),
    ({"group": ""}, Button.NOW, "only members of the janitor's user group may press that"),
    ({"unknown": SendError("it is down")}, Button.KEEP, f"{NOT_SAID}; press again later (it is down)"),
    (
        {"unknown": SlackRefusedError("missing_scope", "missing_scope")},
        Button.KEEP,
        f"{NOT_SAID} (missing_scope)",
    ),
    ids=["dry run", "no function", "owner", "no group", "Slack is down", "Slack refuses"],
)
def test_a_press_is_refused_where_it_has_no_effect_or_nobody_may(
    nights: Nights, about: dict[str, Any], word: Button, why: str
) -> None:
    assert Office(nights, **about).refused(word) == why


def test_now_on_what_somebody_keeps_is_refused(nights: Nights) -> None:
    nights.hold("lamp", how=HoldKind.KEPT)

    assert Office(nights).refused(Button.NOW) == "it is kept by maria"


# --- who, when and where -------------------------------------------------------------------------------


@cases(
    "person, word, why",
    (STRANGER, Button.KEEP, "only its owner and members of the janitor's user group may press that"),
    (GUEST, Button.KEEP, "only people of this workspace may press that"),
    (GUEST, Button.NOW, "only people of this workspace may press that"),
)
def test_who_may_not_press_is_refused(nights: Nights, person: Person, word: Button, why: str) -> None:
    office = Office(nights, person=person)

    assert office.refused(word) == why
    assert office.groups == (["S1"] if person.own else [])


@cases(
    "about, why",
    ({"word": "janitor:sell"}, "this button is not known any more"),
    ({"value": "cellar"}, "this button is not known any more"),
    ({"ago": HOUR + timedelta(seconds=1)}, "it was pressed more than an hour ago"),
    ({"ago": -HOUR - timedelta(seconds=1)}, "it was pressed more than an hour ago"),
    ({"value": f"cellar {ACCOUNT} {REGION} 0123456789"}, "the ledger no longer has this finding"),
    ({"message": "1.5"}, "there is a newer message about it; press there"),
    ({"channel": "C2"}, "there is a newer message about it; press there"),
)
def test_a_press_on_something_else_is_refused(nights: Nights, about: dict[str, Any], why: str) -> None:
    assert Office(nights).refused(**{"word": Button.KEEP, **about}) == why


@pytest.mark.parametrize("ago", [HOUR, -HOUR])
def test_a_press_of_an_hour_ago_counts(nights: Nights, ago: timedelta) -> None:
    assert Office(nights).press(Button.KEEP, ago=ago)["done"]


@cases(
    "ends, why",
    (lambda led, one, at: led.close(one, because("cleaned up"), at), "this warning is over: cleaned up"),
    (lambda led, one, _: led.void_warning(one, because("disarmed")), "this warning is void"),
)
@pytest.mark.parametrize("word", [Button.KEEP, Button.NOW])
def test_a_warning_that_no_longer_counts_takes_no_press(
    nights: Nights, word: Button, ends: Callable[..., None], why: str
) -> None:
    ends(nights.ledger, Office(nights).entry(), nights.clock)

    assert Office(nights).refused(word) == why


def test_what_an_account_elsewhere_has_is_acted_on_in_an_organization_only(nights: Nights) -> None:
    """It left the organization, or the deployment did."""
    office = Office(nights)
    worker = replace(office.worker(), home=OTHER)

    refused = worker(office.event(Button.NOW))

    assert refused["why"] == f"account {ACCOUNT} is no longer looked at from account {OTHER}"
    office.organization = True
    assert replace(office.worker(), home=OTHER)(office.event(Button.NOW))["done"]
    office.organization = False
    assert worker(office.event(Button.KEEP))["done"], "a hold harms nobody"


# --- advice --------------------------------------------------------------------------------------------


@cases(
    "word, how, lasts, why",
    (Button.LATER, HoldKind.SNOOZED, 28 * DAY, "advice for later"),
    (Button.NOT_FOR_US, HoldKind.KEPT, None, "advice that is not for us"),
)
def test_advice_is_held_for_itself_alone(
    nights: Nights, word: Button, how: HoldKind, lasts: timedelta | None, why: str
) -> None:
    office = Office(nights)
    said = "for 28 days" if lasts else "for good"
    told = f"The advice about `lamp` is left out {said}. `janitor findings` lists it."

    answer = office.press(word)

    assert answer == {"done": True, "word": BUTTON_LABELS[word], "said": told}
    assert office.replies == [(URL, told)]
    (hold,) = office.holds()
    until = None if lasts is None else nights.clock + lasts
    key = advice_hold_key("cellar", office.entry().key)
    assert hold == Hold(key=key, how=how, by="Maria (U1)", given=nights.clock, until=until, why=why)
    assert office.press(word) == answer
    assert len(office.holds()) == 1


def test_advice_that_is_over_or_not_ones_own_takes_no_press(nights: Nights) -> None:
    other = f"cellar {ACCOUNT} {REGION} 0123456789"
    assert Office(nights).refused(Button.LATER, value=other) == "the ledger no longer has this advice"
    assert "only its owner" in Office(nights, person=STRANGER).refused(Button.LATER)
    nights.ledger.close(Office(nights).entry(), because("it is used"), nights.clock)

    assert Office(nights).refused(Button.LATER) == "this advice is over: it is used"


# --- undo ----------------------------------------------------------------------------------------------


def test_undo_is_stored_shown_and_handed_on(acted: Nights) -> None:
    office = Office(acted)
    press = office.event(Button.UNDO)

    answer = office.worker()(press)

    assert answer == {"done": True, "word": "Undo", "untold": ""}
    (request,) = acted.table.query(f"request#cellar#{ACCOUNT}#{REGION}")
    assert (request["what"], request["press"], request["by"]) == ("undo", press.identity, "Maria (U1)")
    ((asked,),) = office.shown
    expected: dict[str, Any] = {"stage": Stage.UNDOING, "undone_by": "Maria (U1)", "asked_at": acted.clock}
    assert asked == replace(acted.of("lamp"), error=None, broke=False, **expected)
    signed = {name: request[name] for name in request if name not in {"pk", "sk", "expires"}}
    assert office.invoked == [
        (
            "ml-janitor-undo",
            {
                "detector": "cellar",
                "account": ACCOUNT,
                "region": REGION,
                "finding": acted.of("lamp").id,
                "request": press.identity,
                "asked": signed,
            },
        )
    ]
    assert office.worker()(press) == answer
    assert len(office.invoked) == 1


def test_an_undo_that_failed_before_is_shown_as_asked_for(acted: Nights) -> None:
    acted.actions.refused(acted.of("lamp"), because("a key was missing"))
    office = Office(acted)

    office.press(Button.UNDO)

    ((asked,),) = office.shown
    assert (asked.error, asked.broke) == (None, False)


@cases(
    "about, press, why",
    ({"undo": ""}, {}, "cellar can no longer be undone from here"),
    ({"undoable": False}, {}, "the settings do not allow it"),
    ({"wording": Wording(never="what is gone stays so")}, {}, "what is gone stays so"),
    ({"wording": Wording(missing="a role")}, {}, "a role is missing for "),
    ({"person": OWNER}, {}, "only members of the janitor's user group may press that"),
    ({}, {"message": "1.5"}, "there is a newer message about it; press there"),
    ({}, {"channel": "C2"}, "there is a newer message about it; press there"),
    ({}, {"value": f"cellar {ACCOUNT} {REGION} 0123456789"}, "nothing was done to finding 0123456789"),
)
def test_undo_is_refused_where_it_cannot_be_done_from_here(
    acted: Nights, about: dict[str, Any], press: dict[str, Any], why: str
) -> None:
    assert why in Office(acted, **about).refused(Button.UNDO, **press)


def test_undo_in_an_account_that_is_no_longer_looked_at_is_refused(acted: Nights) -> None:
    office = Office(acted)

    refused = replace(office.worker(), home=OTHER)(office.event(Button.UNDO))

    assert refused["why"] == f"account {ACCOUNT} is no longer looked at from account {OTHER}"
    assert office.invoked == []


def test_of_two_who_ask_at_once_one_hears_that_the_other_did(acted: Nights) -> None:
    first, second = Office(acted), Office(acted)
    first.press(Button.UNDO)

    assert (
        second.refused(Button.UNDO, ago=timedelta(seconds=1)) == "somebody else asked for that a moment ago"
    )
