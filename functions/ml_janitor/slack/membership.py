"""Permissions of people in Slack: group members press all buttons, owners some of those on their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ml_janitor.report.buttons import Button
from ml_janitor.slack.bot import SlackBot

MEMBER_BUTTONS = frozenset({Button.NOW, Button.UNDO})
"""The buttons that only members of the group may press: they change something in the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """
    A person in Slack; *own* is whether they belong to the app's own workspace.

    *email* is an address that the workspace has confirmed, or empty: otherwise anybody could claim to be an
    owner by writing that address into their profile.
    """

    id: str
    name: str
    email: str
    own: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class Directory:
    """The workspace's people, as *slack* knows them, until *deadline* of its clock."""

    def __init__(self, slack: SlackBot, *, deadline: float) -> None:
        self._slack = slack
        self._deadline = deadline

    def person(self, user: str, team: str = "") -> Person:
        """
        Return the person with the id *user* in the workspace *team*. Raises SlackError.

        Slack guarantees only that the two together are unique: a person of another workspace may have the
        same user id as one of ours.
        """
        known: Any = self._slack.ask("users_info", deadline=self._deadline, user=user)["user"]
        profile = known.get("profile") or {}
        enterprise = known.get("enterprise_user") or {}
        teams = {known.get("team_id"), *(enterprise.get("teams") or [])}
        outside = known.get("deleted") or known.get("is_bot") or known.get("is_stranger")
        same = not team or team in teams or team == enterprise.get("enterprise_id")
        own = not outside and same and self._team in teams
        confirmed = own and known.get("is_email_confirmed") is not False
        name = str(profile.get("real_name") or known.get("real_name") or known.get("name") or user)
        return Person(
            id=user, name=name[:80], email=str(profile.get("email") or "") if confirmed else "", own=own
        )

    def members(self, group: str) -> frozenset[str]:
        """Return the users in *group*. Raises SlackError."""
        answer: Any = self._slack.ask("usergroups_users_list", deadline=self._deadline, usergroup=group)
        return frozenset(map(str, answer["users"]))

    @cached_property
    def _team(self) -> str:
        """Return the app's own workspace; people of others can be in a shared channel, with any address."""
        return str(self._slack.ask("auth_test", deadline=self._deadline)["team_id"])


def why_forbidden(word: Button, person: Person, *, member: bool, owner: str | None) -> str | None:
    """Return why *person* may not press *word* on something that *owner* owns, or None if they may."""
    if not person.own:
        return "only people of this workspace may press that"
    if member:
        return None
    if word in MEMBER_BUTTONS:
        return "only members of the janitor's user group may press that"
    if owner is not None and person.email and owner.strip().casefold() == person.email.strip().casefold():
        return None
    return "only its owner and members of the janitor's user group may press that"
