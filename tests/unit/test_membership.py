"""Who pressed a button, as Slack describes them, and what they may press."""

from typing import Any

from ml_janitor.report.warnings import Button
from ml_janitor.slack.press_worker import Directory, Person, why_forbidden
from tables import cases

MARIA = Person(id="U1", name="Maria Lopez", email="maria@example.com", own=True)
TELLS = {"profile": {"real_name": "Maria Lopez", "email": "maria@example.com"}, "team_id": "T1"}
GRID = {"enterprise_user": {"enterprise_id": "E1", "teams": ["T1", "T2"]}, "team_id": "T2"}


class Workspace:
    """What Slack says of one person; *asked* are the calls."""

    def __init__(self, **about: Any) -> None:
        self.about = about
        self.asked: list[tuple[str, float, dict[str, str]]] = []

    def ask(self, method: str, *, deadline: float, **arguments: str) -> Any:
        self.asked.append((method, deadline, arguments))
        return {
            "users_info": {"user": self.about},
            "auth_test": {"team_id": "T1"},
            "usergroups_users_list": {"users": ["U1", "U2"]},
        }[method]


def person(team: str = "", **about: Any) -> Person:
    return Directory(Workspace(**about), deadline=9).person("U1", team)  # type: ignore[arg-type]


def test_slack_is_asked_until_the_deadline_and_for_its_own_workspace_once() -> None:
    slack = Workspace(**TELLS)
    directory = Directory(slack, deadline=9)  # type: ignore[arg-type]

    assert (directory.person("U1"), directory.person("U1")) == (MARIA, MARIA)
    assert directory.members("S1") == {"U1", "U2"}

    who = ("users_info", 9, {"user": "U1"})
    assert slack.asked == [who, ("auth_test", 9, {}), who, ("usergroups_users_list", 9, {"usergroup": "S1"})]


@cases(
    "team, about, own, email",
    ("T1", {}, True, "maria@example.com"),
    ("T1", {"is_email_confirmed": True}, True, "maria@example.com"),
    ("T1", {"is_email_confirmed": False}, True, ""),
    ("T1", {"profile": None}, True, ""),
    ("T0OTHER", {}, False, ""),
    ("", {"team_id": "T0OTHER"}, False, ""),
    ("T0OTHER", {"team_id": "T0OTHER"}, False, ""),
    ("T1", {"deleted": True}, False, ""),
    ("T1", {"is_bot": True}, False, ""),
    ("T1", {"is_stranger": True}, False, ""),
    ("T2", GRID, True, "maria@example.com"),
    ("E1", GRID, True, "maria@example.com"),
    ("E2", GRID, False, ""),
)
def test_only_members_have_an_address(team: str, about: dict[str, Any], *, own: bool, email: str) -> None:
    one = person(team, **{**TELLS, **about})
    assert (one.own, one.email) == (own, email)


@cases(
    "about, name",
    ({"profile": {"real_name": "M"}, "real_name": "R", "name": "n"}, "M"),
    ({"real_name": "R", "name": "n"}, "R"),
    ({"name": "n"}, "n"),
    ({}, "U1"),
    ({"name": "n" * 81}, "n" * 80),
)
def test_their_name_is_the_best_that_is_known(about: dict[str, Any], name: str) -> None:
    assert str(person(**about)) == f"{name} (U1)"


STRANGERS = "only people of this workspace may press that"
MEMBERS = "only members of the janitor's user group may press that"
OWNERS = "only its owner and members of the janitor's user group may press that"


@cases(
    "word, who, member, owner, why",
    (Button.NOW, {}, True, None, None),
    (Button.UNDO, {}, True, None, None),
    (Button.NOW, {"own": False}, True, None, STRANGERS),
    (Button.NOW, {}, False, "maria@example.com", MEMBERS),
    (Button.UNDO, {}, False, "maria@example.com", MEMBERS),
    (Button.KEEP, {}, False, "maria@example.com", None),
    (Button.KEEP, {"email": " Maria@Example.com"}, False, "maria@example.COM ", None),
    (Button.KEEP, {}, False, "olaf@example.com", OWNERS),
    (Button.KEEP, {}, False, None, OWNERS),
    (Button.KEEP, {"email": ""}, False, "", OWNERS),
)
def test_who_may_press_what(
    word: Button, who: dict[str, Any], *, member: bool, owner: str | None, why: str | None
) -> None:
    pressed = Person(**{"id": "U1", "name": "Maria", "email": MARIA.email, "own": True, **who})
    assert why_forbidden(word, pressed, member=member, owner=owner) == why
