"""Which channel hears of what is new, with which report, and what becomes of a message that is not taken."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from conftest import NOW
from fakes import UNTELLABLE, result_of, waste
from ml_janitor.core.model import Verdict
from ml_janitor.core.results import Result
from ml_janitor.ledger.findings import RecordedFindings
from ml_janitor.report.mrkdwn import Message, Post, section_block
from ml_janitor.slack.client import SendError, SlackRefusedError
from ml_janitor.slack.digest import Announcer
from reports import sweep
from tables import cases

DEAD = SendError("Slack could not be reached")
ARCHIVED = SlackRefusedError("Slack refused it: is_archived", "is_archived")


def result(name: str, verdict: Verdict | None = None) -> Result:
    return result_of(name, verdict, owner=f"{name}@x")


LAMP, SOFA, RUG = result("lamp", waste("5")), result("sofa", waste("9")), result("rug")
POT = result("pot", UNTELLABLE)


@dataclass
class Slack:
    """Takes posts, unless *refuses* has the channel; a post is its channel, text and report."""

    refuses: Mapping[str, SendError] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    posts: list[tuple[str, str, str]] = field(default_factory=list)
    owners: list[tuple[str, ...]] = field(default_factory=list)

    def people(self, owners: Iterable[str], *, deadline: float) -> Mapping[str, str]:
        assert deadline == 9
        self.owners.append(tuple(owners))
        return {}

    def deliver(
        self,
        post: Post,
        report: bytes = b"",
        *,
        deadline: float,
        taken: Callable[[], None] = lambda: None,
        channel: str = "",
    ) -> tuple[str, ...]:
        assert deadline == 9
        if channel in self.refuses:
            raise self.refuses[channel]
        taken()
        self.posts.append((channel, str(post), report.decode()))
        return self.problems


def announced(
    slack: Slack,
    new: Sequence[Result],
    routes: Mapping[str, str] | None = None,
    note: str = "",
    *,
    organization: bool = False,
    first: bool = True,
) -> tuple[Sequence[str], list[list[str]]]:
    """The problems, and what was taken at once, by name."""
    of, taken = dict(routes or {}), list[list[str]]()
    routed: Any = SimpleNamespace(channel=lambda target: of.get(target.name, ""))
    connect: Any = lambda: slack  # noqa: E731
    try:
        problems = Announcer(connect, deadline=9, keep_tag="keep", routes=routed, organization=organization)(
            sweep("shelf", LAMP, SOFA, RUG, POT),
            RecordedFindings(new=tuple(new), entries={}),
            now=NOW,
            where="s3://bucket/report.html",
            note=note,
            first=first,
            taken=lambda results: taken.append([one.target.name for one in results]),
        )
    except SendError as failed:
        return [f"raised: {failed}"], taken
    return problems, taken


def test_without_anything_new_nobody_is_looked_up_and_nothing_is_posted() -> None:
    slack = Slack()
    assert (announced(slack, []), slack.owners) == (([], []), [])


def test_all_that_is_new_is_one_message_with_the_report_and_the_note() -> None:
    slack = Slack(problems=("the report is not attached",))

    problems, taken = announced(slack, [LAMP, SOFA], note="a rehearsal of last night")

    assert (problems, taken) == (["the report is not attached"], [["sofa", "lamp"]])
    ((channel, post, report),) = slack.posts
    assert (channel, slack.owners) == ("", [("sofa@x", "lamp@x")])
    assert post.count("A rehearsal of last night.") == 1
    assert all(name in report for name in ("lamp", "sofa", "rug", "pot"))
    announced(slack, [LAMP])
    assert "rehearsal" not in slack.posts[1][1]


ROUTES = {"lamp": "#lamps", "sofa": "#sofas"}


def test_each_channel_hears_of_its_own_the_dearest_first() -> None:
    slack = Slack()

    problems, taken = announced(slack, [LAMP, SOFA, RUG], ROUTES)

    assert (problems, taken) == ([], [["rug"], ["sofa"], ["lamp"]])
    assert [channel for channel, _, _ in slack.posts] == ["", "#sofas", "#lamps"]
    assert ["pot" in report for _, _, report in slack.posts] == [True, False, False]
    assert ["thing/lamp" in report for _, _, report in slack.posts] == [False, False, True]


@cases("failed, others", (ARCHIVED, [["rug"], ["lamp"]]), (DEAD, [["rug"]]), ids=["refused", "away"])
def test_a_refusal_is_an_error_after_the_others(failed: SendError, others: list[list[str]]) -> None:
    slack = Slack(refuses={"#sofas": failed}, problems=("no report",))
    assert announced(slack, [LAMP, SOFA, RUG], ROUTES) == ([f"raised: {failed}; no report"], others)


@cases(
    "how, channels",
    ({}, ["#sofas"]),
    ({"first": False}, ["", "#sofas"]),
    ({"organization": False}, ["", "#sofas"]),
)
def test_the_digest_of_an_organization_tells_its_channel_of_a_first_sweep(
    how: dict[str, Any], channels: list[str]
) -> None:
    """Twenty accounts of 48 sweeps each would post 960 messages in their first night."""
    slack = Slack()

    problems, taken = announced(slack, [LAMP, SOFA], {"sofa": "#sofas"}, **({"organization": True} | how))

    assert (problems, sorted(taken)) == ([], [["lamp"], ["sofa"]])
    assert sorted(channel for channel, _, _ in slack.posts) == channels


def test_the_same_refusal_of_two_channels_is_said_once() -> None:
    slack = Slack(refuses={"#sofas": ARCHIVED, "#lamps": ARCHIVED})
    assert announced(slack, [LAMP, SOFA], ROUTES) == ([f"raised: {ARCHIVED}"], [])


def test_something_else_is_posted_to_the_main_channel() -> None:
    slack: Any = Slack(problems=("a reply is missing",))
    post = Post(main=Message(text="the digest", blocks=(section_block("the digest"),)))
    assert Announcer(lambda: slack, deadline=9).post(post) == ("a reply is missing",)
    assert [(channel, report) for channel, _, report in slack.posts] == [("", "")]
