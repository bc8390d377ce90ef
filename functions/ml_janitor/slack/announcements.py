"""Posts of a run's findings to Slack, and of the digest of all runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING

from ml_janitor.config.routes import NO_ROUTES, Routes
from ml_janitor.core.money import rank_by_cost
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.report.announcement import announce_sweep, owners_in_thread
from ml_janitor.report.html import render_html
from ml_janitor.report.mrkdwn import Post, append_block, as_sentence, context_block, prose
from ml_janitor.slack.bot import SlackRefusedError
from ml_janitor.slack.retries import SlackError

if TYPE_CHECKING:
    from ml_janitor.ledger.entries import RecordedFindings
    from ml_janitor.slack.sender import Sender


class Announcer:
    """
    A poster that works until *deadline*, in the seconds of the sender's clock.

    *connect* creates the sender once there is something to post, so a run without news reads no secret.
    *keep_tag* is the tag that exempts. *routes* say which channel hears of what.
    """

    def __init__(
        self,
        connect: Callable[[], Sender],
        *,
        deadline: float,
        keep_tag: str = "",
        routes: Routes = NO_ROUTES,
    ) -> None:
        self._connect = connect
        self._deadline = deadline
        self._keep_tag = keep_tag
        self._routes = routes

    @cached_property
    def _sender(self) -> Sender:
        return self._connect()

    def __call__(
        self,
        sweep: Sweep,
        recorded: RecordedFindings,
        *,
        now: datetime,
        where: str,
        note: str,
        taken: Callable[[Sequence[Result]], None],
    ) -> Sequence[str]:
        """
        Post *sweep*'s new findings with its report, to each channel its own.

        Raises SlackError if a message was not taken, after the other channels got theirs. A refused message
        goes to no other channel, because its readers are not concerned.
        """
        problems, refused = list[str](), list[str]()
        for channel, part, of_part in split_by_channel(sweep, recorded, self._routes):
            people = self._sender.people(owners_in_thread(of_part.new), deadline=self._deadline)
            post = announce_sweep(
                part, of_part, now=now, people=people, report=where, keep_tag=self._keep_tag
            )
            if post is None:
                continue
            if note:
                post = replace(post, main=append_block(post.main, context_block(as_sentence(prose(note)))))
            page = render_html(Report(time=now, account=part.account, sweeps=(part,)))
            try:
                delivered = self._sender.deliver(
                    post,
                    page.encode(),
                    deadline=self._deadline,
                    taken=partial(taken, of_part.new),
                    channel=channel,
                )
            except SlackError as failed:
                refused.append(str(failed))
                if not isinstance(failed, SlackRefusedError):
                    break  # Slack is out of reach, for all channels alike
            else:
                problems += delivered.problems
        if refused:
            raise SlackError("; ".join(dict.fromkeys([*refused, *problems])))
        return problems

    def post(self, post: Post) -> Sequence[str]:
        """Post something else, such as the digest. Raises SlackError if the message was not taken."""
        return self._sender.deliver(post, deadline=self._deadline).problems


def split_by_channel(
    sweep: Sweep, recorded: RecordedFindings, routes: Routes
) -> list[tuple[str, Sweep, RecordedFindings]]:
    """Split *sweep* and its new findings by the channels that hear of something new, the dearest first."""
    new: dict[str, list[Result]] = {}
    for result in sorted(recorded.new, key=rank_by_cost):
        new.setdefault(routes.channel(result.target), []).append(result)

    def part(channel: str) -> Sweep:
        heard = (result for result in sweep.results if routes.channel(result.target) == channel)
        return replace(sweep, results=tuple(heard))

    return [
        (channel, part(channel), replace(recorded, new=tuple(results))) for channel, results in new.items()
    ]
