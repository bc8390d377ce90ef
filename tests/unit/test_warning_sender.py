"""How warnings reach channels and owners, and what becomes of each that Slack does not take. Law 5."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import raising, result_of
from ml_janitor.core.model import Effect, Mode
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result, Sweep
from ml_janitor.ledger.findings import NO_MESSAGE, MessageRef
from ml_janitor.report.causes import CAUSE_TEXTS, cause_text
from ml_janitor.report.finding_words import NO_OWNER
from ml_janitor.report.mrkdwn import Message
from ml_janitor.report.warnings import StatusWording, WarningTerms
from ml_janitor.slack.client import SendError, SlackRefusedError
from ml_janitor.slack.warnings import WarningSender
from standin import DAY
from tables import cases

SOON, LATE = NOW + 3 * DAY, NOW + 6 * DAY
ANNA, OLAF = "anna@example.com", "olaf@example.com"
PEOPLE = {ANNA: "U1", OLAF: "U2"}
NOTHING = Sweep(detector="cellar", account=ACCOUNT, region=REGION, mode=Mode.ACT)
DEAD = SendError("Slack could not be reached")
TERMS = WarningTerms(wording=StatusWording(effect=Effect.DELETE, time_zone="UTC"), lost="the dust on it")


def refusal(code: str) -> SlackRefusedError:
    return SlackRefusedError(f"Slack refused it: {code}", code)


def result(name: str, owner: str | None = None) -> Result:
    return result_of(name, detector="cellar", owner=owner)


@dataclass
class Slack:
    """Takes what it is sent, unless *refuses* says why not; a post is its place and the first words of it."""

    interactive: bool = True
    refuses: Callable[[str, str], SendError | None] = lambda _channel, _text: None
    unopened: Mapping[str, SendError] = field(default_factory=dict)
    posts: list[tuple[str, str, str]] = field(default_factory=list)
    changed: list[tuple[MessageRef, str]] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    deadlines: list[tuple[str, float]] = field(default_factory=list)

    def early(self, deadline: float) -> float:
        return deadline / 4

    def people(self, owners: Iterable[str], *, deadline: float) -> Mapping[str, str]:
        self.looked_up += owners
        assert deadline == 100
        return {owner: PEOPLE[owner] for owner in self.looked_up if owner in PEOPLE}

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        self.deadlines.append(("open", deadline))
        if user in self.unopened:
            raise self.unopened[user]
        return MessageRef(f"D{user}")

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        if (why := self.refuses(where.channel, message.text)) is not None:
            raise why
        self.deadlines.append((where.channel, deadline))
        self.posts.append((where.channel, where.ts, f"{message.text} {message.blocks}"))
        return MessageRef(where.channel or "C0", f"{len(self.posts)}")

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        self.deadlines.append(("change", deadline))
        self.changed.append((posted, message.text))
        if self.refuses("change", message.text) is not None:
            raise DEAD
        return True

    def shape(self) -> list[tuple[str, str, str]]:
        """Where each post is, in which thread, and of what it is; "head" is a summary."""
        return [
            (channel, ts, "head" if "'header'" in text else text.split(":")[0])
            for channel, ts, text in self.posts
        ]


NO_SLACK_ACCOUNT = CAUSE_TEXTS[CauseCode.NO_SLACK_ACCOUNT]
NOT_SENT_YET = CAUSE_TEXTS[CauseCode.MESSAGE_NOT_SENT]
WEBHOOK_SENDS_NONE = CAUSE_TEXTS[CauseCode.WEBHOOK_SENDS_NONE]


@dataclass
class Deliveries:
    """What is remembered of each warning."""

    taken: list[tuple[str, str, MessageRef, str]] = field(default_factory=list)
    direct: list[tuple[str, MessageRef]] = field(default_factory=list)
    late: list[tuple[str, str]] = field(default_factory=list)
    warned: dict[str, Result] = field(default_factory=dict)

    def due(self, _: Result, *, messaged: bool) -> datetime:
        return SOON if messaged else LATE

    def delivered(
        self, result: Result, unmessaged: Cause, message: MessageRef = NO_MESSAGE, said: str = ""
    ) -> None:
        self.warned[result.target.key] = replace(result, outcome=Outcome.WARNED, due=LATE)
        self.taken.append(
            (result.target.name, cause_text(unmessaged), message, said.split("`")[1] if said else "")
        )

    def messaged(self, result: Result, message: MessageRef) -> None:
        self.direct.append((result.target.name, message))

    def not_messaged(self, result: Result, why: Cause) -> Result:
        self.late.append((result.target.name, cause_text(why)))
        return replace(result, due=LATE)


def sent(slack: Slack, *warnings: Result, routes: Mapping[str, str] | None = None) -> tuple[Any, Deliveries]:
    """What is answered, and what is remembered."""
    deliveries, of = Deliveries(), dict(routes or {})
    routed: Any = SimpleNamespace(channel=lambda target: of.get(target.name, ""))
    sender = WarningSender(lambda: slack, deadline=100, terms={"cellar": TERMS}, routes=routed)  # type: ignore[arg-type, return-value]
    return list(sender(NOTHING, warnings, now=NOW, deliveries=deliveries)), deliveries  # type: ignore[arg-type]


def test_one_warning_is_one_message_to_the_channel_and_one_to_its_owner() -> None:
    slack = Slack()

    problems, known = sent(slack, result("lamp", ANNA))

    assert (problems, slack.shape()) == ([], [("", "", "lamp"), ("DU1", "", "lamp")])
    assert all("Fri 9 Oct" in text for _, _, text in slack.posts)
    assert known.taken == [("lamp", NOT_SENT_YET, MessageRef("C0", "1"), "lamp")]
    assert (known.direct, known.late) == ([("lamp", MessageRef("DU1", "2"))], [])
    assert slack.deadlines == [("open", 25), ("", 100), ("DU1", 25)]


def test_several_are_a_thread_in_the_channel_and_one_for_each_owner() -> None:
    slack = Slack()

    problems, known = sent(
        slack, result("lamp", ANNA), result("sofa", OLAF), result("rug", ANNA), result("pot")
    )

    assert problems == []
    assert slack.shape() == [
        ("", "", "head"),
        *(("C0", "1", name) for name in ("lamp", "sofa", "rug", "pot")),
        ("DU1", "", "head"),
        ("DU1", "6", "lamp"),
        ("DU1", "6", "rug"),
        ("DU2", "", "sofa"),
    ]
    assert ["Their tags name you" in text for _, _, text in slack.posts] == [False] * 5 + [True] + [False] * 3
    assert [(name, why) for name, why, _, _ in known.taken] == [
        *((name, NOT_SENT_YET) for name in ("lamp", "sofa", "rug")),
        ("pot", NO_OWNER),
    ]
    assert slack.looked_up == [ANNA, OLAF]
    assert [name for name, _ in known.direct] == ["lamp", "rug", "sofa"]


@cases(
    "slack, why",
    (Slack(), NO_SLACK_ACCOUNT),
    (Slack(unopened={"U1": refusal("user_disabled"), "U2": refusal("user_disabled")}), "user_disabled"),
)
def test_who_cannot_be_messaged_has_twice_the_grace_and_the_others_are(slack: Slack, why: str) -> None:
    owner = "nobody@example.com" if why is NO_SLACK_ACCOUNT else ANNA

    _, known = sent(slack, result("lamp", owner))

    ((name, unmessaged, _, _),) = known.taken
    assert (name, why in unmessaged, known.direct) == ("lamp", True, [])
    assert "Mon 12 Oct" in slack.posts[0][2]


@cases("failed, opened", (refusal("user_disabled"), 2), (refusal("missing_scope"), 1), (DEAD, 1))
def test_a_refusal_about_one_person_stops_no_message(failed: SendError, opened: int) -> None:
    slack = Slack(unopened={"U1": failed})

    _, known = sent(slack, result("lamp", ANNA), result("sofa", OLAF))

    assert slack.shape()[:2] == [("", "", "head"), ("C0", "1", "lamp")]
    assert [kind for kind, _ in slack.deadlines].count("open") == opened
    assert [name for name, _ in known.direct] == ["sofa"] * (opened - 1)
    assert known.taken[1][1] == (NOT_SENT_YET if opened == 2 else str(failed))


def test_what_slack_refuses_as_one_message_does_not_keep_the_others() -> None:
    slack = Slack(refuses=lambda _, text: refusal("invalid_blocks") if text.startswith("sofa") else None)

    problems, known = sent(slack, result("lamp"), result("sofa"), result("rug"))

    assert [name for name, *_ in known.taken] == ["lamp", "rug"]
    assert problems == ["1 warning was not sent, so nothing is due: Slack refused it: invalid_blocks"]


@pytest.mark.parametrize("failed", [refusal("not_in_channel"), DEAD])
def test_where_the_next_would_fail_too_the_rest_of_a_channel_is_not_tried(failed: SendError) -> None:
    slack = Slack(refuses=lambda _, text: failed if text.startswith("sofa") else None)

    problems, known = sent(slack, result("lamp", ANNA), result("sofa", ANNA), result("rug", ANNA))

    assert ([name for name, *_ in known.taken], known.direct) == (
        ["lamp"],
        [("lamp", MessageRef("DU1", "3"))],
    )
    assert problems == [f"2 warnings were not sent, so nothing is due: {failed}"]


@cases("failed, reached", (refusal("not_in_channel"), ["pot", "jug"]), (DEAD, list[str]()))
def test_a_refused_message_goes_to_no_other_channel(failed: SendError, reached: list[str]) -> None:
    slack = Slack(refuses=lambda channel, _: failed if channel == "#a" else None)
    routes = {"lamp": "#a", "sofa": "#a", "pot": "#b", "jug": "#c"}

    problems, known = sent(slack, *map(result, routes), routes=routes)

    assert [name for name, *_ in known.taken] == reached
    assert [place[0] for place in slack.shape()] == ["#b", "#c"][: len(reached)]
    unsent = 4 - len(reached)
    assert problems == [f"{unsent} warnings were not sent, so nothing is due: {failed}"]


@pytest.mark.parametrize("stuck", [False, True])
def test_a_direct_message_that_fails_moves_the_date_and_the_channels_message_says_so(*, stuck: bool) -> None:
    def refuses(channel: str, text: str) -> SendError | None:
        direct = channel == "DU1" and text.startswith("sofa")
        return refusal("user_disabled") if direct or (stuck and channel == "change") else None

    slack = Slack(refuses=refuses)

    problems, known = sent(
        slack, result("lamp", ANNA), result("sofa", ANNA), result("rug", ANNA), result("pot", OLAF)
    )

    why = "Slack refused it: user_disabled"
    assert problems == []
    assert [name for name, _ in known.direct] == ["lamp", "pot"]
    assert known.late == [("sofa", why), ("rug", why)]
    assert [(place, text.split(":")[0], "Mon 12 Oct" in text) for place, text in slack.changed] == [
        (MessageRef("C0", "3"), "sofa", True),
        (MessageRef("C0", "4"), "rug", True),
    ]
    assert ("change", 25) in slack.deadlines


def test_a_webhook_gets_them_all_in_few_messages_and_no_owner_gets_one() -> None:
    slack = Slack(interactive=False)

    problems, known = sent(slack, result("lamp", ANNA), result("sofa"))

    assert (problems, len(slack.posts), slack.looked_up) == ([], 1, [])
    assert [(name, why, place) for name, why, place, _ in known.taken] == [
        (name, WEBHOOK_SENDS_NONE, NO_MESSAGE) for name in ("lamp", "sofa")
    ]
    assert slack.deadlines == [("", 100)]


def test_what_a_webhook_does_not_take_is_counted() -> None:
    many = [result(f"lamp-{number:03}-{'x' * 60}") for number in range(100)]
    slack = Slack(interactive=False)
    slack.refuses = lambda *_: DEAD if slack.posts else None

    problems, known = sent(slack, *many)

    left = len(many) - len(known.taken)
    assert 0 < left < len(many)
    assert problems == [f"{left} warnings were not sent, so nothing is due: {DEAD}"]


def test_a_copy_has_what_was_delivered_and_its_failure_delivers_nothing_less() -> None:
    slack, copy = Slack(), SimpleNamespace(posts=list[Any](), refuses=False)
    slack.refuses = lambda _channel, text: refusal("msg_too_long") if "sofa" in text else None

    def deliver(post: Any, *, deadline: float) -> tuple[str, ...]:
        assert deadline == 100
        if copy.refuses:
            raise SendError("SNS is away")
        copy.posts.append(post)
        return ()

    copy.deliver = deliver
    sender = WarningSender(lambda: slack, deadline=100, terms={"cellar": TERMS}, copy=copy)  # type: ignore[arg-type, return-value]
    for refuses, missing in ((False, []), (True, ["the copy of the warnings was not sent: SNS is away"])):
        copy.refuses, deliveries = refuses, Deliveries()
        warnings = [result("lamp"), result("sofa")]
        problems = sender(NOTHING, warnings, now=NOW, deliveries=deliveries)  # type: ignore[arg-type]
        assert [name for name, *_ in deliveries.taken] == ["lamp"]
        assert list(problems)[1:] == missing
    (post,) = copy.posts
    assert ("lamp" in str(post.main), "sofa" in str(post.main)) == (True, False)
    assert "janitor keep" in str(post.main)


def test_without_a_slack_nothing_is_due() -> None:
    unreadable = raising(SendError("the secret cannot be read"))
    sender = WarningSender(unreadable, deadline=100, terms={"cellar": TERMS})

    assert list(sender(NOTHING, [result("lamp")], now=NOW, deliveries=Deliveries())) == [  # type: ignore[arg-type]
        "1 warning was not sent, so nothing is due: the secret cannot be read"
    ]
