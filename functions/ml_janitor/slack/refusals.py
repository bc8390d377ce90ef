"""Slack's error codes: their meaning, and how to fix each. Pure."""

from __future__ import annotations

TEMPORARY_ERRORS = frozenset(
    {"fatal_error", "internal_error", "ratelimited", "request_timeout", "rollup_error", "service_unavailable"}
)
"""Temporary failures of Slack: retry."""

PERSON_ERRORS = frozenset(
    {
        *("invalid_arguments", "user_not_found", "user_not_visible", "users_not_found"),
        *("cannot_dm_bot", "user_disabled"),
    }
)
"""Refusals that concern one person; any other would also meet the next person."""

MESSAGE_ERRORS = frozenset({"invalid_blocks", "msg_blocks_too_long", "msg_too_long", "no_text"})
"""Refusals that concern one message; Slack may accept the next one."""

UNCHANGEABLE_ERRORS = frozenset({"cant_update_message", "edit_window_closed", "message_not_found"})
"""Refusals of a change that no retry helps: the message is gone, or no longer ours."""

NEW_TOKEN = "put the app's current bot token (xoxb-...) into the secret"  # noqa: S105 - advice, not a token
INSTALL_AGAIN = "install the app again, and put its new bot token into the secret"
NEW_WEBHOOK = "make a new incoming webhook, and put its URL into the secret"
ASK_AN_ADMIN = "ask an administrator of the workspace to let the app post there"
UNARCHIVE = "unarchive the channel, or choose another one"

ERROR_REMEDIES = {
    "account_inactive": INSTALL_AGAIN,
    "action_prohibited": ASK_AN_ADMIN,
    "cannot_dm_bot": "the owner is a bot: name a person in the owner tag",
    "channel_is_archived": UNARCHIVE,
    "channel_not_found": ("check its name in janitor.toml; a private channel has to invite the app first"),
    "invalid_auth": NEW_TOKEN,
    "invalid_token": NEW_WEBHOOK,
    "is_archived": UNARCHIVE,
    "messages_tab_disabled": "switch the app's Messages Tab on, under App Home",
    "missing_scope": "add the scope to the app under OAuth & Permissions, and install it again",
    "no_active_hooks": NEW_WEBHOOK,
    "no_service": NEW_WEBHOOK,
    "no_such_subteam": "copy the id of the user group (S...) from its menu in Slack to slack_group",
    "not_authed": NEW_TOKEN,
    "not_in_channel": "invite the app to the channel: type /invite and the app's name there",
    "restricted_action": ASK_AN_ADMIN,
    "token_expired": NEW_TOKEN,
    "token_revoked": INSTALL_AGAIN,
    "user_disabled": "the owner's account is deactivated: name somebody else in the owner tag",
}


def refusal_text(error: str, what: str, details: str = "") -> str:
    """Describe Slack's *error* in a line: which request it refused, and what to do."""
    refused = f"Slack refused {what}: {error}{f' ({details})' if details else ''}"
    return f"{refused}; {ERROR_REMEDIES.get(error, 'retrying will not help')}"
