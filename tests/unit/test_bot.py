"""What the bot asks of Slack, in which order and until when, and what becomes of each answer."""

from collections.abc import Mapping
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError, SlackClientError

from fakes import SleepingClock
from ml_janitor.ledger.findings import MessageRef
from ml_janitor.report.mrkdwn import Message, Picture, Post, section_block
from ml_janitor.slack.client import SenderClock, SendError, SlackBot, SlackRefusedError, TimeLeft
from tables import cases

HELLO = Message(text="hello", blocks=(section_block("hello"),))
REPLY = Message(text="reply", blocks=(section_block("reply"),))
PICTURE = Picture(name="bill.png", png=b"png", words="the bill")
POSTED = {"chat.postMessage": {"channel": "C1", "ts": "1.5"}}


class Answer(dict[str, Any]):
    """An answer of Slack's with its HTTP status."""

    def __init__(self, status: int = 200, **body: Any) -> None:
        super().__init__(body)
        self.status_code = status


def refused(error: str, status: int = 200, **more: Any) -> SlackApiError:
    return SlackApiError("no", Answer(status, error=error, **more))  # type: ignore[no-untyped-call]


class Workspace:
    """
    Slack's Web API: *answers* are by method, a list is one after the other, and an exception is raised.

    *asked* are the methods with what they were sent, *uploads* the files with the seconds that were left.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.uploads: list[tuple[str, bytes]] = []
        self.upload_fails: Exception | None = None

    def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        self.asked.append((method, dict(arguments)))
        known = self.answers.get(method) or POSTED.get(method, {})
        answer = known.pop(0) if isinstance(known, list) else known
        if isinstance(answer, Exception):
            raise answer
        return answer

    def of(self, method: str) -> list[dict[str, Any]]:
        """What *method* was sent."""
        return [arguments for name, arguments in self.asked if name == method]


class Client:
    """slack_sdk's client: a method's name is that of the API's, with underscores."""

    def __init__(self, workspace: Workspace, token: str, **how: Any) -> None:
        assert (token, how["base_url"], how["timeout"]) == ("xoxb-1", "https://slack.example/api/", 10)
        assert len(how["retry_handlers"]) == 1
        self._workspace = workspace

    def __getattr__(self, name: str) -> Any:
        service, _, method = name.partition("_")
        return lambda **arguments: self._workspace.ask(f"{service}.{method}", arguments)


@pytest.fixture
def clock() -> SleepingClock:
    return SleepingClock()


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Workspace:
    made = Workspace()
    monkeypatch.setattr("slack_sdk.WebClient", lambda token, **how: Client(made, token, **how))

    def upload(_: TimeLeft, url: str, content: bytes, *, timeout: float) -> None:
        assert timeout == 10
        made.uploads.append((url, content))
        if made.upload_fails:
            raise made.upload_fails

    monkeypatch.setattr(TimeLeft, "upload", upload)
    made.answers["files.getUploadURLExternal"] = {"upload_url": "https://up", "file_id": "F1"}
    return made


@pytest.fixture
def slack(clock: SleepingClock, workspace: Workspace) -> SlackBot:
    del workspace
    time = SenderClock(clock=lambda: clock.now, sleep=clock.sleep)
    return SlackBot("xoxb-1", "#ml", time, url="https://slack.example/api/")


def test_a_bot_is_interactive_and_hides_its_token(slack: SlackBot) -> None:
    assert slack.interactive is True
    assert repr(slack) == "Slack('#ml')"


# --- people -----------------------------------------------------------------------------------------


def test_each_owner_with_an_address_is_looked_up_once(slack: SlackBot, workspace: Workspace) -> None:
    workspace.answers["users.lookupByEmail"] = [
        {"user": {"id": "U1"}},
        refused("users_not_found"),
        {"user": {"id": "U3"}},
    ]

    assert slack.people(["a@x", "team", "b@x"], deadline=100) == {"a@x": "U1"}
    assert slack.people(["a@x", "b@x", "c@x"], deadline=100) == {"a@x": "U1", "c@x": "U3"}
    assert workspace.of("users.lookupByEmail") == [{"email": "a@x"}, {"email": "b@x"}, {"email": "c@x"}]


@pytest.mark.parametrize("failure", [refused("missing_scope"), SlackClientError("odd"), ConnectionError()])
def test_after_a_failure_look_ups_stop(slack: SlackBot, workspace: Workspace, failure: Exception) -> None:
    workspace.answers["users.lookupByEmail"] = [{"user": {"id": "U1"}}, failure]

    assert slack.people(["a@x", "b@x", "c@x"], deadline=100) == {"a@x": "U1"}
    assert len(workspace.asked) == 2


def test_what_is_optional_may_take_a_quarter_of_the_time(slack: SlackBot, clock: SleepingClock) -> None:
    clock.now = 20
    assert slack.early(100) == 40


# --- posts ------------------------------------------------------------------------------------------


def test_a_post_calls_nobody_and_opens_nothing(slack: SlackBot, workspace: Workspace) -> None:
    assert slack.post(HELLO, deadline=100) == MessageRef("C1", "1.5")
    assert slack.post(HELLO, deadline=100, where=MessageRef("C2", "7.5")) == MessageRef("C1", "1.5")
    slack.post(HELLO, deadline=100)

    first, thread, again = workspace.of("chat.postMessage")
    key = first["client_msg_id"]
    assert first == {
        "channel": "#ml",
        "text": "hello",
        "blocks": [section_block("hello")],
        "thread_ts": None,
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "client_msg_id": key,
        "metadata": {"event_type": "janitor_post", "event_payload": {"key": key}},
    }
    assert (thread["channel"], thread["thread_ts"]) == ("C2", "7.5")
    assert again == first, "the same post has the same key"
    assert thread["client_msg_id"] != key


def test_a_post_has_its_replies_and_its_report_in_its_thread(slack: SlackBot, workspace: Workspace) -> None:
    taken = list[int]()
    post = Post(main=HELLO, replies=(REPLY, REPLY), attachment="report.html")

    assert slack.deliver(post, b"page", deadline=100, taken=lambda: taken.append(len(workspace.asked))) == ()
    assert taken == [1], "before the thread"
    assert [(one["channel"], one["thread_ts"]) for one in workspace.of("chat.postMessage")] == [
        ("#ml", None),
        ("C1", "1.5"),
        ("C1", "1.5"),
    ]
    assert workspace.of("files.getUploadURLExternal") == [{"filename": "report.html", "length": 4}]
    assert workspace.uploads == [("https://up", b"page")]
    assert workspace.of("files.completeUploadExternal") == [
        {"files": [{"id": "F1", "title": "report.html"}], "channel_id": "C1", "thread_ts": "1.5"}
    ]


@pytest.mark.parametrize(("attachment", "report"), [("", b"page"), ("report.html", b"")])
def test_without_a_report_nothing_is_uploaded(
    slack: SlackBot, workspace: Workspace, attachment: str, report: bytes
) -> None:
    slack.deliver(Post(main=HELLO, attachment=attachment), report, deadline=100, channel="C2")
    assert [method for method, _ in workspace.asked] == ["chat.postMessage"]
    assert workspace.asked[0][1]["channel"] == "C2"


def test_a_missing_part_of_a_thread_is_told_and_the_rest_tried(slack: SlackBot, workspace: Workspace) -> None:
    workspace.answers["chat.postMessage"] = [
        POSTED["chat.postMessage"],
        refused("msg_too_long"),
        POSTED["chat.postMessage"],
    ]
    workspace.upload_fails = SendError("Slack did not take the file")

    done = slack.deliver(Post(main=HELLO, replies=(REPLY, REPLY), attachment="r.html"), b"page", deadline=100)

    first, second = done
    assert first.startswith("reply 1 of 2 is missing: Slack refused the post to channel #ml: msg_too_long")
    assert second == "the report is not attached: Slack did not take the file"
    assert len(workspace.of("chat.postMessage")) == 3


def test_a_message_that_was_not_taken_has_no_thread(slack: SlackBot, workspace: Workspace) -> None:
    workspace.answers["chat.postMessage"] = refused("not_in_channel")
    taken = list[str]()
    with pytest.raises(SlackRefusedError, match="invite the app to the channel"):
        slack.deliver(Post(main=HELLO, replies=(REPLY,)), deadline=100, taken=lambda: taken.append("taken"))
    assert (len(workspace.asked), taken) == (1, [])


# --- a picture ----------------------------------------------------------------------------------------

NOT_READY = "invalid_blocks"


def pictured(slack: SlackBot) -> tuple[str, ...]:
    return slack.deliver(Post(main=HELLO, picture=PICTURE), deadline=100)


def test_a_picture_is_shown_at_the_end_of_its_message(slack: SlackBot, workspace: Workspace) -> None:
    pictured(slack)

    (message,) = workspace.of("chat.postMessage")
    assert [block["type"] for block in message["blocks"]] == ["section", "image"]
    assert message["blocks"][1]["slack_file"] == {"id": "F1"}
    assert message["blocks"][1]["alt_text"] == "the bill"
    assert workspace.of("files.completeUploadExternal") == [{"files": [{"id": "F1", "title": "bill.png"}]}]


@cases(
    "answers, slept, shown",
    ([refused(NOT_READY)] * 3, [1, 2, 4], True),
    ([refused(NOT_READY)] * 9, [1, 2, 4, 8], False),
    ([refused("not_in_channel")], [], False),
)
def test_a_picture_that_slack_has_not_taken_in_yet_is_waited_for(
    slack: SlackBot,
    workspace: Workspace,
    clock: SleepingClock,
    *,
    answers: list[Exception],
    slept: list[float],
    shown: bool,
) -> None:
    tried = answers[: len(slept) + (not shown)]
    workspace.answers["chat.postMessage"] = [*tried, POSTED["chat.postMessage"]]

    pictured(slack)

    last = workspace.of("chat.postMessage")[-1]
    assert (clock.slept, [block["type"] for block in last["blocks"]][1:]) == (
        slept,
        ["image"] if shown else ["context"],
    )
    assert ("The picture is missing: Slack refused" in str(last["blocks"])) is not shown


def test_a_picture_has_limited_time(slack: SlackBot, workspace: Workspace, clock: SleepingClock) -> None:
    clock.now = 92.5
    workspace.answers["chat.postMessage"] = [
        refused(NOT_READY),
        refused(NOT_READY),
        POSTED["chat.postMessage"],
    ]

    pictured(slack)

    assert clock.slept == [1], "a pause of 2 s does not fit"
    assert "picture is missing" in str(workspace.of("chat.postMessage")[-1]["blocks"])


def test_a_picture_that_cannot_be_uploaded_is_missing(slack: SlackBot, workspace: Workspace) -> None:
    workspace.answers["files.getUploadURLExternal"] = refused("missing_scope", needed="files:write")
    pictured(slack)
    (message,) = workspace.of("chat.postMessage")
    assert "needed: files:write" in str(message["blocks"])


# --- changes, direct messages and questions -------------------------------------------------------------


def test_a_message_is_replaced(slack: SlackBot, workspace: Workspace) -> None:
    assert slack.change(HELLO, MessageRef("C1", "1.5"), deadline=100) is True
    assert workspace.of("chat.update") == [
        {"channel": "C1", "ts": "1.5", "text": "hello", "blocks": [section_block("hello")]}
    ]
    for code in ("cant_update_message", "edit_window_closed", "message_not_found"):
        workspace.answers["chat.update"] = refused(code)
        assert slack.change(HELLO, MessageRef("C1", "1.5"), deadline=100) is False
    workspace.answers["chat.update"] = refused("channel_not_found")
    with pytest.raises(SlackRefusedError):
        slack.change(HELLO, MessageRef("C1", "1.5"), deadline=100)


def test_a_direct_message_has_a_channel_of_its_own(slack: SlackBot, workspace: Workspace) -> None:
    workspace.answers["conversations.open"] = {"channel": {"id": "D1"}}
    assert slack.open_direct("U1", deadline=100) == MessageRef("D1")
    assert workspace.of("conversations.open") == [{"users": "U1"}]
    assert slack.ask("users_info", deadline=100, user="U1") == {}
    assert workspace.of("users.info") == [{"user": "U1"}]


# --- what is wrong ----------------------------------------------------------------------------------------


@cases(
    "failure, where, said",
    (refused("channel_not_found"), "", "the post to channel #ml: channel_not_found; check its name"),
    (refused("cannot_dm_bot"), "D1", "the direct message: cannot_dm_bot; the owner is a bot"),
    (
        refused("missing_scope", needed="chat:write"), "C2",
        "the post to channel C2: missing_scope (needed: chat:write); add the scope",
    ),
    (
        refused("invalid_blocks", response_metadata={"messages": ["a", "b", "c", "d"]}), "",
        "the post to channel #ml: invalid_blocks (a; b; c); retrying will not help",
    ),
    (refused("invalid_blocks", response_metadata=None), "", "the post to channel #ml: invalid_blocks; r"),
)  # fmt: skip
def test_a_refusal_says_what_was_refused_and_what_to_do(
    slack: SlackBot, workspace: Workspace, failure: Exception, where: str, said: str
) -> None:
    workspace.answers["chat.postMessage"] = failure
    with pytest.raises(SlackRefusedError) as raised:
        slack.post(HELLO, deadline=100, where=MessageRef(where))
    assert f"Slack refused {said}" in str(raised.value)


@cases(
    "failure, said",
    (refused("ratelimited", 429), "Slack asks to wait"),
    (refused("odd", 500), "Slack could not be reached (HTTP 500, odd)"),
    (refused("fatal_error"), "Slack could not be reached (HTTP 200, fatal_error)"),
    (ConnectionError(), "Slack could not be reached (ConnectionError)"),
    (SlackClientError("odd"), "Slack could not be reached (SlackClientError)"),
)
def test_an_outage_is_not_a_no(slack: SlackBot, workspace: Workspace, failure: Exception, said: str) -> None:
    workspace.answers["conversations.open"] = failure
    with pytest.raises(SendError) as raised:
        slack.open_direct("U1", deadline=100)
    assert (type(raised.value), str(raised.value).startswith(said)) == (SendError, True)


def test_a_channel_is_called_what_the_settings_call_it(slack: SlackBot, workspace: Workspace) -> None:
    posted = slack.post(HELLO, deadline=100)
    workspace.answers["chat.update"] = refused("channel_not_found")
    with pytest.raises(SlackRefusedError, match="the post to channel #ml: "):
        slack.change(HELLO, posted, deadline=100)
    workspace.answers["conversations.open"] = refused("user_disabled")
    with pytest.raises(
        SlackRefusedError, match=r"Slack refused conversations\.open: user_disabled"
    ) as raised:
        slack.open_direct("U1", deadline=100)
    assert (raised.value.about_one_person, raised.value.about_one_message) == (True, False)
