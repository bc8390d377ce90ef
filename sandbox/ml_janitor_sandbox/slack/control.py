"""A client for the sandbox's Slack: sees what was posted, adds people and channels, makes it fail."""

from typing import Any

from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.slack.presses import Signed
from ml_janitor_sandbox.slack.workspace import HOOK


class SlackControl:
    """The workspace behind `url`, which is the sandbox's."""

    def __init__(self, url: str) -> None:
        self._control = Control(url)
        self.api = f"{self._control.url}/slack/api/"
        """What slack_sdk calls a base URL."""
        self.hook = f"{self._control.url}{HOOK}"
        """An incoming webhook that posts to `CHANNEL`."""

    def messages(self) -> list[dict[str, Any]]:
        """List every message in a channel, in the order they came, each with whom it mentions."""
        seen = self._seen()
        return [message for message in seen["messages"] if message["channel"] not in seen["directs"]]

    def direct_messages(self, user: str) -> list[dict[str, Any]]:
        """List every direct message from the app to *user*."""
        seen = self._seen()
        return [message for message in seen["messages"] if seen["directs"].get(message["channel"]) == user]

    def files(self) -> list[dict[str, Any]]:
        """List every upload, with its content as text."""
        return list(self._seen()["files"])

    def calls(self) -> dict[str, int]:
        """Count the requests by method; webhooks are `hook`, uploads `upload`."""
        return dict(self._seen()["calls"])

    def responses(self) -> list[dict[str, Any]]:
        """List the posts to response URLs, with the channel and ts of the message that was pressed."""
        return list(self._seen()["responses"])

    def press(
        self,
        ts: str,
        action_id: str,
        *,
        user: str,
        channel: str | None = None,
        block_id: str | None = None,
        value: str | None = None,
    ) -> Signed:
        """
        Return the signed request that Slack sends when *user* presses a button of the message of *ts*.

        `SandboxError` if the message as it is now has not exactly one such button, or nobody is that user.
        To send it twice, late or changed is the caller's; `ml_janitor_sandbox.slack.sign` signs anything.
        """
        asked = {"ts": ts, "action_id": action_id, "user": user}
        more = {"channel": channel, "block_id": block_id, "value": value}
        answer = self._control._ask("POST", "slack/press", asked | more)
        return Signed(answer["headers"], answer["body"].encode())

    def add_channel(self, channel: str, name: str, **more: Any) -> None:
        """Make a channel; `member=False` if the app is not in it, `archived=True`."""
        self._post("channels", id=channel, name=name, **more)

    def add_user(self, user: str, email: str, **more: Any) -> None:
        """Add a person; `name`, and what is odd: `deleted`, `bot`, `confirmed=False`, another `team`."""
        self._post("users", id=user, email=email, **more)

    def add_usergroup(self, group: str, handle: str, *users: str) -> None:
        self._post("usergroups", id=group, handle=handle, users=list(users))

    def set_scopes(self, *scopes: str) -> None:
        """Let the app do this and no more."""
        self._control._ask("PUT", "slack/scopes", {"scopes": list(scopes)})

    def fault(self, kind: str, **rule: Any) -> None:
        """Make requests fail; see `ml_janitor_sandbox.slack.workspace.Fault` for the rule's fields."""
        self._post("faults", kind=kind, **rule)

    def clear_faults(self) -> None:
        """Let everything work again."""
        self._control._ask("DELETE", "slack/faults")

    def _seen(self) -> Any:
        return self._control._ask("GET", "slack")

    def _post(self, what: str, **body: Any) -> None:
        self._control._ask("POST", f"slack/{what}", body)
