"""Checks of Slack before a post: the secret, the token, its scopes, the channel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

from ml_janitor.config.sections import unmatched_routes
from ml_janitor.config.settings import Settings
from ml_janitor.slack import ingress
from ml_janitor.slack.client import (
    CONNECTION_ERRORS,
    ERROR_REMEDIES,
    ONE_CHANNEL_ERROR,
    QUIET_LOGGER,
    REQUEST_SECONDS,
    SLACK_API,
    TEMPORARY_ERRORS,
    SlackError,
    parse_token_or_url,
)
from ml_janitor_cli.stack import Check, CheckOutcome, MissingResource, RegionServices, Trouble, read_answer

BOT_SCOPES: Mapping[str, str] = {
    "chat:write": "nothing can be posted",
    "files:write": "the report is not attached, and every run that has something to tell ends as failed",
    "im:write": "no owner gets a direct message, so everything has twice the grace",
    "users:read.email": "owners are neither mentioned nor messaged, so everything has twice the grace",
    "users:read": "owners are named plainly: Slack demands it beside users:read.email",
}
"""Scopes of Slack that the janitor needs, and the loss without each."""

GROUP_SCOPES: Mapping[str, str] = {"usergroups:read": "nobody can press Do it now or Undo"}
"""Scopes needed in addition where `slack_group` is set."""

SCOPES_HEADER = "x-oauth-scopes"
"""Header in Slack's answers that names the token's scopes (docs.slack.dev, Installing with OAuth)."""

CHANNEL_SCOPES = "channels:read (for a private channel groups:read)"
CHANNEL_ID_PATTERN = re.compile(r"[CG][A-Z0-9]{6,}")
CHANNELS_A_PAGE, MOST_CHANNEL_PAGES = 1000, 20


def check_slack(here: RegionServices, settings: Settings, *, account: str, url: str) -> Iterator[Check]:
    """Check from the secret to the channels; a check whose prerequisite is missing ends the row."""
    section, routes = settings.janitor, settings.slack.routes
    if not section.slack_secret:
        seen = "not set up (slack_secret is empty), so nothing is posted"
        yield Check.fine("Slack", seen)
        return
    ask = partial(here.client("secretsmanager").get_secret_value, SecretId=section.slack_secret)
    match read_answer(ask):
        case Trouble() as trouble:
            yield trouble.check("secret", action="secretsmanager:GetSecretValue")
            return
        case MissingResource():
            yield Check.wrong(
                "secret",
                f"there is no secret {section.slack_secret} in {here.region}",
                create_secret_command(section.slack_secret),
            )
            return
        case answer:
            secret_text = str(answer.get("SecretString", ""))
    try:
        token = parse_token_or_url(secret_text)
    except SlackError as wrong:
        yield Check.wrong("secret", str(wrong), ERROR_REMEDIES["invalid_auth"])
        return
    yield Check.fine("secret", f"{section.slack_secret} can be read")
    for idle in () if settings.organization.used else unmatched_routes(routes, account):
        to_do = "correct it in [slack.routes] of janitor.toml, or remove it, and make deploy"
        yield Check.wrong("routes", idle, to_do)
    if not token.startswith("xoxb-") and routes:
        seen, _, to_do = ONE_CHANNEL_ERROR.partition(": ")
        yield Check.wrong("Slack", f"{seen}, so nothing is posted", to_do)
        return
    if not token.startswith("xoxb-"):
        seen = (
            "a webhook cannot be checked without posting; it sends owners no direct messages, so everything "
            "has twice the grace"
        )
        yield Check.not_probed("Slack", seen)
        return
    space = SlackProbe(token, url or SLACK_API)
    yield from check_bot(space, settings)
    if section.slack_signing_secret:
        yield check_signing_secret(here, section.slack_signing_secret)
        if section.slack_group:
            yield from check_user_group(space, section.slack_group)


class SlackProbe:
    """Slack's Web API, asked once per question, without retries."""

    def __init__(self, token: str, url: str) -> None:
        from slack_sdk import WebClient

        self._client = WebClient(
            token, base_url=url, timeout=REQUEST_SECONDS, retry_handlers=[], logger=QUIET_LOGGER
        )
        self.channels = cache(partial(self.ask, "conversations_list", limit=CHANNELS_A_PAGE))
        """A page of channels; each is asked for once, because Slack answers some twenty pages a minute."""

    def ask(self, method: str, **arguments: Any) -> Any:
        """Return Slack's answer, or a Trouble: REFUSED with its word for why, FAILED without an answer."""
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            return getattr(self._client, method)(**arguments)
        except SlackApiError as refused:
            response: Any = refused.response
            error = str(response.get("error"))
            if error in TEMPORARY_ERRORS or response.status_code >= 500:
                return Trouble(
                    CheckOutcome.FAILED, f"Slack did not answer: HTTP {response.status_code}, {error}"
                )
            return Trouble(CheckOutcome.REFUSED, error)
        except (SlackClientError, *CONNECTION_ERRORS) as broken:
            return Trouble(CheckOutcome.FAILED, f"Slack did not answer: {type(broken).__name__}")


def check_bot(space: SlackProbe, settings: Settings) -> Iterator[Check]:
    """Check the token, its scopes, and every channel that is posted to."""
    section = settings.janitor
    identity = space.ask("auth_test")
    if isinstance(identity, Trouble):
        if identity.outcome is CheckOutcome.FAILED:
            yield identity.check("Slack")
        else:
            seen = f"Slack refuses the token: {identity.why}"
            yield Check.wrong("Slack", seen, ERROR_REMEDIES.get(identity.why, ""))
        return
    seen = f"{identity['user']} in workspace {identity['team']}"
    yield Check.fine("Slack", seen)
    headers = {name.lower(): value for name, value in identity.headers.items()}
    needed = {**BOT_SCOPES, **(GROUP_SCOPES if section.slack_group else {})}
    yield from check_scopes(headers.get(SCOPES_HEADER), needed)
    if section.slack_channel:
        yield check_channel(space, section.slack_channel)
    else:
        to_do = "set slack_channel in janitor.toml, and make deploy"
        yield Check.wrong("channel", "slack_channel is not set", to_do)
    routed: dict[str, list[str]] = {}
    for key, channel in settings.slack.routes.items():
        if channel != section.slack_channel:
            routed.setdefault(channel, []).append(key)
    for channel, keys in routed.items():
        check = check_channel(space, channel)
        yield replace(check, seen=f"{check.seen}; for {', '.join(keys)}")


def check_scopes(seen: str | None, needed: Mapping[str, str]) -> Iterator[Check]:
    """Check the token's scopes, and say what is lost without each."""
    if seen is None:
        yield Check.not_probed("scopes", "Slack did not name the token's scopes")
        return
    given = {scope.strip() for scope in seen.split(",")}
    missing = [scope for scope in needed if scope not in given]
    for scope in missing:
        seen = f"the scope {scope} is missing: {needed[scope]}"
        yield Check.wrong("scopes", seen, ERROR_REMEDIES["missing_scope"])
    if not missing:
        yield Check.fine("scopes", ", ".join(needed))


def check_channel(space: SlackProbe, channel: str) -> Check:
    """Check that the channel is there, and the bot in it."""
    wrong = partial(Check.wrong, "channel")
    match find_channel(space, channel):
        case Trouble(CheckOutcome.REFUSED, "missing_scope"):
            seen = f"to see {channel}, the app would need {CHANNEL_SCOPES}, which the janitor itself does not"
            return Check.not_probed("channel", seen)
        case Trouble(CheckOutcome.REFUSED, why):
            return wrong(seen=f"{channel}: {why}", to_do=ERROR_REMEDIES.get(why, ""))
        case Trouble() as trouble:
            return trouble.check("channel")
        case {"is_archived": True}:
            return wrong(seen=f"{channel} is archived", to_do=ERROR_REMEDIES["is_archived"])
        case {"is_member": False}:
            return wrong(seen=f"the app is not in {channel}", to_do=ERROR_REMEDIES["not_in_channel"])
        case found:
            return Check.fine("channel", f"#{found['name']}, and the app is in it")


def find_channel(space: SlackProbe, channel: str) -> Any:
    """Return Slack's answer about the channel; conversations.info knows only ids, so names need lists."""
    if CHANNEL_ID_PATTERN.fullmatch(channel):
        answer = space.ask("conversations_info", channel=channel)
        return answer if isinstance(answer, Trouble) else answer["channel"]
    name = channel.removeprefix("#")
    blind = Trouble(CheckOutcome.REFUSED, "missing_scope")
    everywhere = find_channel_by_name(space, name, "public_channel,private_channel")
    if everywhere != blind:
        return everywhere
    public = find_channel_by_name(space, name, "public_channel")
    return blind if public == Trouble(CheckOutcome.REFUSED, "channel_not_found") else public


def find_channel_by_name(space: SlackProbe, name: str, types: str) -> Any:
    """Find the channel called *name*, out of all that the app can see of these *types*."""
    cursor = ""
    for _ in range(MOST_CHANNEL_PAGES):
        answer = space.channels(types=types, cursor=cursor)
        if isinstance(answer, Trouble):
            return answer
        for channel in answer["channels"]:
            if channel["name"] == name:
                return channel
        cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
        if not cursor:
            return Trouble(CheckOutcome.REFUSED, "channel_not_found")
    return Trouble(
        CheckOutcome.FAILED,
        f"#{name} is not among the first {MOST_CHANNEL_PAGES * CHANNELS_A_PAGE:,} channels",
    )


def create_secret_command(name: str) -> str:
    """Return the command that asks for a secret and creates it, without a trace in history or processes."""
    return (
        'read -rs S && printf %s "$S" | '
        f"aws secretsmanager create-secret --name {name} --secret-string file:///dev/stdin"
    )


def check_signing_secret(here: RegionServices, name: str) -> Check:
    """Check that the receiver can verify Slack's signatures."""
    wrong = partial(Check.wrong, "signing secret")
    match read_answer(partial(here.client("secretsmanager").get_secret_value, SecretId=name)):
        case Trouble() as trouble:
            return trouble.check("signing secret", action="secretsmanager:GetSecretValue")
        case MissingResource():
            seen = f"there is no secret {name} in {here.region}, so no press is heard"
            return wrong(seen=seen, to_do=create_secret_command(name))
        case answer:
            text = str(answer.get("SecretString", ""))
    try:
        ingress.parse_signing_secret(text, name)
    except ingress.NoSecretError as none:
        return wrong(
            seen=f"{none}, so no press is heard", to_do="put the one of the app's Basic Information into it"
        )
    return Check.fine("signing secret", f"{name} can be read")


def check_user_group(space: SlackProbe, group: str) -> Iterator[Check]:
    """Check that anybody may press Do it now and Undo; another check reports a missing scope."""
    wrong = partial(Check.wrong, "user group")
    nobody = "so nobody can press Do it now or Undo"
    match space.ask("usergroups_users_list", usergroup=group):
        case Trouble(CheckOutcome.REFUSED, "missing_scope"):
            return
        case Trouble(CheckOutcome.REFUSED, why):
            yield wrong(seen=f"{group}: {why}, {nobody}", to_do=ERROR_REMEDIES.get(why, ""))
        case Trouble() as trouble:
            yield trouble.check("user group")
        case answer if not answer["users"]:
            yield wrong(seen=f"{group} has no members, {nobody}", to_do="add somebody to it in Slack")
        case answer:
            yield Check.fine("user group", f"{len(answer['users'])} in {group}")
