"""Posts to Slack what a run found, and the digest of all runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ml_janitor.core.results import Report, Sweep
from ml_janitor.report.announcement import announcement, owners
from ml_janitor.report.html import html
from ml_janitor.report.mrkdwn import Post, context, prose, sentence

if TYPE_CHECKING:
    from ml_janitor.ledger.entries import Recorded
    from ml_janitor.slack.sender import Sender


class Announcer:
    """
    Posts until *deadline*, in the seconds of the sender's clock.

    *connect* creates the sender once there is something to post, so a run without news reads no secret.
    *keep_tag* is the tag that exempts.
    """

    def __init__(self, connect: Callable[[], Sender], *, deadline: float, keep_tag: str = "") -> None:
        self._connect = connect
        self._deadline = deadline
        self._keep_tag = keep_tag

    @cached_property
    def _sender(self) -> Sender:
        return self._connect()

    def __call__(
        self,
        sweep: Sweep,
        recorded: Recorded,
        *,
        now: datetime,
        where: str,
        note: str,
        taken: Callable[[], None],
    ) -> Sequence[str]:
        """Post *sweep*'s new findings with its report. Raises SlackError if the message was not taken."""
        people = self._sender.people(owners(recorded.new), deadline=self._deadline)
        post = announcement(sweep, recorded, now=now, people=people, report=where, keep_tag=self._keep_tag)
        if post is None:
            return ()
        page = html(Report(time=now, account=sweep.account, sweeps=(sweep,)))
        delivered = self._sender.deliver(
            with_note(post, note), page.encode(), deadline=self._deadline, taken=taken
        )
        return delivered.problems

    def post(self, post: Post) -> Sequence[str]:
        """Post something else, such as the digest. Raises SlackError if the message was not taken."""
        return self._sender.deliver(post, deadline=self._deadline).problems


def with_note(post: Post, note: str) -> Post:
    """*post* with *note* as a context block below its message."""
    if not note:
        return post
    main = replace(post.main, blocks=(*post.main.blocks, context(sentence(prose(note)))))
    return replace(post, main=main)
