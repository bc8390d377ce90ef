"""Routes findings to Slack channels: by the team that owns the resource, or by its account."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator

from ml_janitor.config.layers import SLACK_CREDENTIAL, SettingsError, suggest_nearest
from ml_janitor.core.model import Target
from ml_janitor.core.ownership import normalised_key, team_of

TEAM_ROUTE, ACCOUNT_ROUTE = "team", "account"

CHANNEL_NAME = re.compile(r"[^\sA-Z#@.,:;<>&\"'`*/\\]{1,80}")
"""A channel's name: up to 80 characters, no capitals, blanks and points (Slack's help center)."""

CHANNEL_ID = re.compile(r"[CG][A-Z0-9]{8,}")
"""The id of a public or private channel; people (U...) and direct messages (D...) are excluded."""


def _channel(value: str) -> str:
    if SLACK_CREDENTIAL.search(value) or not (
        CHANNEL_NAME.fullmatch(value.removeprefix("#")) or CHANNEL_ID.fullmatch(value)
    ):
        raise ValueError('a channel such as "#ml-costs", or its id, such as "C0123456789"')
    if not value.startswith("#") and not CHANNEL_ID.fullmatch(value):
        raise ValueError(f'a channel such as "#ml-costs", or its id; did you mean "#{value}"?')
    return value


RoutedChannel = Annotated[str, AfterValidator(_channel)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """
    Channels by team and by account; a team's name is compared like a tag's key, in any spelling.

    The team comes before the account: its tag is on the resource and names who has to keep it or let
    it go, and an account may be shared by many teams. If tags could not be read, the account's route
    counts. Without a route the channel is "": `janitor.slack_channel`.
    """

    teams: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, routes: Mapping[str, str], *, main: str) -> Routes:
        """Return the routes of `[slack.routes]`; a route to the *main* channel becomes ""."""
        kinds: dict[str, dict[str, str]] = {TEAM_ROUTE: {}, ACCOUNT_ROUTE: {}}
        for key, channel in routes.items():
            kind, _, name = key.partition(":")
            kinds[kind][normalised_key(name)] = "" if channel == main else channel
        return cls(teams=kinds[TEAM_ROUTE], accounts=kinds[ACCOUNT_ROUTE])

    def channel(self, target: Target) -> str:
        """Return the channel for findings on *target*; "" is `janitor.slack_channel`."""
        by_account = self.accounts.get(target.account, "")
        return self.teams.get(normalised_key(team_of(target) or ""), by_account)


NO_ROUTES = Routes()


def check_routes(
    routes: Mapping[str, str],
    *,
    channel: str,
    secret: str,
    accounts: Sequence[str] = (),
    without: Sequence[str] = (),
) -> None:
    """
    Refuse routes that lead nowhere: an unknown kind, a second route of a team, an account that is not swept.

    *channel* and *secret* are those of `[janitor]`, *accounts* are all swept accounts, if they are
    named, and *without* are left out. Raises SettingsError.
    """
    where, seen = "slack.routes", dict[tuple[str, str], str]()
    if routes and not secret:
        raise SettingsError(
            f"{where} needs janitor.slack_secret: the secret with the bot token of Slack's app"
        )
    if routes and not channel:
        raise SettingsError(
            f"{where} needs janitor.slack_channel, for all that has no route, and the app's bot: an incoming "
            "webhook posts to one channel only"
        )
    for key in routes:
        kind, colon, name = key.partition(":")
        if not colon or kind not in {TEAM_ROUTE, ACCOUNT_ROUTE} or not normalised_key(name):
            raise SettingsError(
                f'{where}: "{key}" is no route; expected "team:NAME", with the value of the team tag, or '
                f'"account:123456789012"{suggest_nearest(kind, [TEAM_ROUTE, ACCOUNT_ROUTE])}'
            )
        if (twin := seen.setdefault((kind, normalised_key(name)), key)) != key:
            raise SettingsError(f'{where}: "{twin}" and "{key}" are the same team: leave one of them')
        if kind == ACCOUNT_ROUTE and not re.fullmatch(r"\d{12}", name, re.ASCII):
            raise SettingsError(
                f'{where}: "{key}" names no account; expected 12 digits: "account:123456789012"'
            )
        if kind == ACCOUNT_ROUTE and (name in without or (accounts and name not in accounts)):
            why = "without leaves it out" if name in without else "accounts does not name it"
            raise SettingsError(
                f'{where}: "{key}" matches nothing, because organization.{why}'
                f"{suggest_nearest(name, accounts)}"
            )


def unmatched_routes(routes: Mapping[str, str], account: str) -> list[str]:
    """Return a line for each route of another account, where only *account* is swept."""
    return [
        f"{key} matches nothing: only account {account} is looked at"
        for key in routes
        if key.startswith(f"{ACCOUNT_ROUTE}:") and key != f"{ACCOUNT_ROUTE}:{account}"
    ]
