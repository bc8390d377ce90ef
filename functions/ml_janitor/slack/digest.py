"""Posts of a run's findings to Slack, and of the daily digest of all runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ml_janitor.acting.savings import sum_savings
from ml_janitor.acting.undoing import find_unreachable_undos, undo_wording
from ml_janitor.aws.calls import READ_THREADS, ReadError
from ml_janitor.aws.tags import Arn
from ml_janitor.config.schedules import first_weekday, overdue_after, schedule_period
from ml_janitor.config.sections import NO_ROUTES, Routes
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import HOURS_PER_MONTH, WORK_HOURS, Mode, Unreadable, Value
from ml_janitor.core.money import NO_USD, Totals, find_overlaps, rank_by_cost
from ml_janitor.core.results import UNVERIFIED_RECORD_CODES, Report, Result, Sweep
from ml_janitor.core.text import count_noun, format_local_time, format_usd, shorten_list
from ml_janitor.engine.policy import Hold, hold_reason, holds_on_advice, longest_hold
from ml_janitor.engine.run import Failures
from ml_janitor.ledger.actions import Action, Stage
from ml_janitor.report.announcement import announce_sweep, owners_in_thread
from ml_janitor.report.causes import cause_text, unreachable_undos_text
from ml_janitor.report.digest import (
    ADVICE_SHOWN,
    ActionLine,
    DetectorRun,
    DigestActions,
    Overview,
    SweepRow,
    add_sums,
    advice_blocks,
    keep_blocks,
    late_bill_text,
    make_digest,
    make_organization_digest,
)
from ml_janitor.report.finding_words import FirstFinding, savings_sentence
from ml_janitor.report.html import render_html
from ml_janitor.report.mrkdwn import (
    PICTURE_NAME,
    Block,
    Picture,
    Post,
    append_block,
    as_sentence,
    code_span,
    context_block,
    prose,
)
from ml_janitor.report.telemetry import measure_detectors
from ml_janitor.report.warnings import DONE_WORDS, person_text
from ml_janitor.slack.client import SendError, SlackRefusedError

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.config.settings import Settings
    from ml_janitor.core.model import Signal
    from ml_janitor.engine.detector import Cleanup, Detector
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.findings import Entry, Ledger, RecordedFindings
    from ml_janitor.ledger.latest import LastBill, LastRun, LatestRuns, RunAccount, RunLists
    from ml_janitor.ledger.requests import Holds
    from ml_janitor.slack.client import Sender

# --- findings of a run ----------------------------------------------------------------------------


class Announcer:
    """
    A poster that works until *deadline*, in the seconds of the sender's clock.

    *connect* creates the sender once there is something to post, so a run without news reads no secret.
    *keep_tag* is the tag that exempts. *routes* say which channel hears of what. In an *organization*, the
    digest alone tells the main channel of what a region's first sweep found: hundreds of messages would.
    """

    def __init__(
        self,
        connect: Callable[[], Sender],
        *,
        deadline: float,
        keep_tag: str = "",
        routes: Routes = NO_ROUTES,
        organization: bool = False,
    ) -> None:
        self._connect = connect
        self._deadline = deadline
        self._keep_tag = keep_tag
        self._routes = routes
        self._organization = organization

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
        first: bool,
        taken: Callable[[Sequence[Result]], None],
    ) -> Sequence[str]:
        """
        Post *sweep*'s new findings with its report, to each channel its own.

        Raises SendError if a message was not taken, after the other channels got theirs. A refused message
        goes to no other channel, because its readers are not concerned.
        """
        problems, refused = list[str](), list[str]()
        for channel, part, of_part in split_by_channel(sweep, recorded, self._routes):
            if first and self._organization and not channel:
                taken(of_part.new)
                continue
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
                missing = self._sender.deliver(
                    post,
                    page.encode(),
                    deadline=self._deadline,
                    taken=partial(taken, of_part.new),
                    channel=channel,
                )
            except SendError as failed:
                refused.append(str(failed))
                if not isinstance(failed, SlackRefusedError):
                    break  # Slack is out of reach, for all channels alike
            else:
                problems += missing
        if refused:
            raise SendError("; ".join(dict.fromkeys([*refused, *problems])))
        return problems

    @property
    def interactive(self) -> bool:
        """Return whether messages have buttons."""
        return self._sender.interactive

    def post(self, post: Post) -> Sequence[str]:
        """Post something else, such as the digest. Raises SendError if the message was not taken."""
        return self._sender.deliver(post, deadline=self._deadline)


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


# --- daily digest ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyDigest:
    """
    The sources of a digest. Without *announcers* it is only counted; the first of them has to take it.
    *picture* reads a kept picture.

    With *organization*, it is about all of its accounts, else about *account* in *regions*.
    """

    settings: Settings
    ledger: Ledger
    action_history: ActionHistory
    announcers: Sequence[Announcer]
    logger: Logger
    account: str
    regions: Sequence[str]
    picture: Callable[[str], Signal[bytes]]
    organization: OrganizationReader | None = None

    def post(self, now: datetime) -> dict[str, Any]:
        """
        Post the digest of all sweeps as of *now*, and return its counts.

        Raises RunFailedError if Slack or SNS did not take it.
        """
        failures = Failures(self.logger)
        since = self.since(now)
        every, seen = self.organization, None
        if every is None:
            rows, found = self.read(now)
        else:
            seen, found = every.read(since=since, now=now)
            rows = seen.rows
        places = every.acted_in if every else lambda _: [(self.account, region) for region in self.regions]
        actions = self.action_history.read(places, since=since, now=now)
        alone = {"sweeps": len(rows), "did_not_run": sum(not row.ran for row in rows)}
        counts = {
            **(alone if seen is None else seen.counts),
            "found": sum(row.last.found for row in rows if row.last),
            "new": sum(row.new for row in rows),
            "acted": len(actions.acted),
            "failed": len(actions.failed),
            "undone": len(actions.undone),
            "due": len(actions.due),
        }
        self.logger.info("summed up", extra=counts)
        ran = {row.detector for row in rows if row.last is not None} if seen is None else seen.ran
        measure_detectors(day_metrics(ran, rows, whole=seen is None))
        bill = self.ledger.latest.bill(self.account) if self.settings.bill.enabled else None
        part, counts["advice"] = self._of_bill(bill, now), 0
        savings = self._savings(
            bill, rows, found, now, partial=_is_partial(rows) if seen is None else seen.partial
        )
        ranked: Sequence[tuple[Entry, Decimal]] = ()
        with failures.survived("the weekly advice could not be read"):
            ranked = self._advice(found, now) if self.announcers else ()
        ending: Sequence[tuple[str, str, Hold]] = ()
        with failures.survived("holds that end soon could not be read"):
            ending = self.action_history.ending_keeps(places, now)
        taken = not self.announcers
        for number, announcer in enumerate(self.announcers):
            with failures.survived("the digest could not be sent"):
                advice = [*self._keep_blocks(ending, announcer), *self._advice_blocks(ranked, announcer)]
                post = (
                    make_digest(
                        rows,
                        now=now,
                        time_zone=self.settings.janitor.time_zone,
                        actions=actions,
                        bill=part,
                        advice=advice,
                        savings=savings,
                    )
                    if seen is None
                    else make_organization_digest(
                        seen,
                        now=now,
                        time_zone=self.settings.janitor.time_zone,
                        actions=actions,
                        bill=part,
                        advice=advice,
                        savings=savings,
                    )
                )
                counts["advice"] = min(len(ranked), ADVICE_SHOWN)
                for problem in announcer.post(self._post(post, bill if part else None)):
                    failures.note(f"not delivered: {problem}")
                taken = taken or number == 0
        if taken:
            with failures.survived("the ledger could not be written"):
                if self.announcers and bill is not None and not bill.posted:
                    self.ledger.latest.billed(self.account, replace(bill, posted=True))
                self.ledger.latest.digested(self.account, now)
        failures.check()
        return counts

    def _of_bill(self, bill: LastBill | None, now: datetime) -> Sequence[str]:
        """Return the bill's paragraphs, unless a message of their own had them, or that it was not read."""
        section = self.settings.bill
        if not section.enabled:
            return ()
        if bill is None or now - bill.time > overdue_after(section.schedule):
            return (late_bill_text(format_age(now - bill.time) if bill is not None else ""),)
        return () if bill.posted else bill.paragraphs

    def _savings(
        self,
        bill: LastBill | None,
        rows: Sequence[SweepRow],
        found: Sequence[Entry],
        now: datetime,
        *,
        partial: bool,
    ) -> str:
        """Say how much of the bill the findings can end; nothing if the bill was not read on schedule."""
        if bill is None or now - bill.time > overdue_after(self.settings.bill.schedule):
            return ""
        monthly = add_sums(row.last for row in rows if row.last is not None).monthly_usd
        return savings_sentence(bill.spent_usd, bill.days, monthly, _firsts(found), partial=partial)

    def _post(self, post: Post, bill: LastBill | None) -> Post:
        """Add the picture of *bill* to *post*, if the post is about the bill and the bill has a picture."""
        if bill is None or bill.posted or not bill.picture:
            return post
        match self.picture(bill.picture):
            case Value(png):
                return replace(post, picture=Picture(name=PICTURE_NAME, png=png, words=bill.picture_words))
            case Unreadable(error):
                self.logger.warning("the picture of the bill is missing", extra={"error": error})
                missing = as_sentence(f"The picture of the bill is missing: {prose(error, 300)}")
                return replace(post, main=append_block(post.main, context_block(missing)))
            case _:
                return post

    def since(self, now: datetime) -> datetime:
        """Return the time of the last digest, or when it was due."""
        since = self.ledger.latest.digest(self.account)
        if since is None or since >= now:
            return now - schedule_period(self.settings.janitor.digest_schedule)
        return since

    def read(self, now: datetime) -> tuple[Sequence[SweepRow], Sequence[Entry]]:
        """
        Return a row for each enabled detector and region, and the open findings.

        Findings since the last digest are new.
        """
        since = self.since(now)
        rows: list[SweepRow] = []
        found: list[Entry] = []
        for detector in self.settings.enabled():
            for region in self.regions:
                row = SweepRow(detector=detector.name, account=self.account, region=region, last=None)
                if last := self.ledger.latest.sweep(detector.name, self.account, region):
                    entries = self.ledger.entries(detector.name, self.account, region)
                    open_ = [entry for entry in entries if entry.open]
                    found += open_
                    new = sum(entry.first_seen > since for entry in open_)
                    late = now - last.time > overdue_after(self.settings.schedule(type(detector)))
                    row = replace(row, last=last, new=new, late=late)
                rows.append(row)
        return count_costs_once(rows, found), found

    def _advice(self, found: Sequence[Entry], now: datetime) -> list[tuple[Entry, Decimal]]:
        """
        Return the findings that save money and the savings a month; the most for an hour of work come first.

        Held findings and those of armed detectors are left out. There are none but
        in the first digest of a week.
        """
        zone, last = ZoneInfo(self.settings.janitor.time_zone), self.ledger.latest.digest(self.account)
        today = now.astimezone(zone)
        if today.weekday() != first_weekday(self.settings.janitor.digest_schedule):
            return []
        if last is not None and last.astimezone(zone).date() >= today.date():
            return []
        places = list(dict.fromkeys((entry.account, entry.region) for entry in found))
        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="ledger") as pool:
            every = pool.map(lambda place: self.action_history.holds.all(*place), places)
            holds = dict(zip(places, every, strict=True))
        wanted = [
            entry
            for entry in found
            if hold_reason(
                holds_on_advice(holds[entry.account, entry.region], entry.detector, entry.key), now
            )
            is None
        ]
        counted = zip(wanted, find_overlaps([entry.claim for entry in wanted]), strict=True)
        saving = [
            (entry, usd)
            for entry, overlap in counted
            if (usd := entry.claim.monthly_usd if overlap is None else overlap.monthly_usd)
            and self.settings.mode(entry.detector) is not Mode.ACT
        ]
        return sorted(
            saving, key=lambda pair: (-pair[1] / Decimal(str(WORK_HOURS[pair[0].claim.change])), pair[0].key)
        )

    def _advice_blocks(self, ranked: Sequence[tuple[Entry, Decimal]], announcer: Announcer) -> list[Block]:
        if not ranked:
            return []
        several = self.settings.organization.used
        buttons = self._has_buttons(announcer)
        return list(advice_blocks(ranked, several=several, buttons=buttons))

    def _keep_blocks(self, ending: Sequence[tuple[str, str, Hold]], announcer: Announcer) -> Iterator[Block]:
        several, zone = self.settings.organization.used, self.settings.janitor.time_zone
        buttons = bool(ending) and self._has_buttons(announcer)
        return keep_blocks(ending, time_zone=zone, several=several, buttons=buttons)

    def _has_buttons(self, announcer: Announcer) -> bool:
        return announcer.interactive and bool(self.settings.janitor.slack_signing_secret)


def day_metrics(
    detectors: Iterable[str], rows: Sequence[SweepRow], *, whole: bool
) -> dict[str, dict[str, float]]:
    """
    Return the day's metrics of each of *detectors*, over all of *rows*.

    The rows of an organization are not the *whole*: they leave out sweeps with nothing to say.
    """
    members = {"Found": "found", "Unknown": "unknown", "MonthlyUsd": "monthly_usd"}
    if whole:
        members |= {"LookedAt": "looked_at", "Kept": "kept"}
    return {
        detector: {
            name: float(sum(getattr(row.last, of) for row in rows if row.last and row.detector == detector))
            for name, of in members.items()
        }
        for detector in detectors
    }


# --- actions since the last digest ----------------------------------------------------------------

DUE_WITHIN = timedelta(days=1)
"""The digest names findings that are due within this time."""

KEEP_ENDS_WITHIN = timedelta(days=14)
"""The digest names what *Keep* holds for no longer than this."""


EQUAL_ACTS = 3
"""Equal acts of one detector that stand in one line: fewer have a line each."""

NAMES_OF_EQUAL_ACTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionHistory:
    """
    The actions in the ledger's table; *cleanups* are those of the detectors that can act, by name.

    *disarmed* are the detectors whose actions the deployment can no longer undo, *within* is `undo_days`.
    *hold_time* is the time for which *Keep* holds, None for good. *several* is whether there are several
    accounts, and *several_regions* regions, so that each line names its own.
    """

    ledger: Ledger
    actions: Actions
    holds: Holds
    cleanups: Mapping[str, Cleanup]
    time_zone: str
    disarmed: Sequence[Detector[Any]] = ()
    within: timedelta = timedelta(days=30)
    hold_time: timedelta | None = None
    several: bool = False
    several_regions: bool = False

    def read(
        self, places: Callable[[str], Sequence[tuple[str, str]]], *, since: datetime, now: datetime
    ) -> DigestActions:
        """
        Return the actions since *since*, and the findings due within a day from *now*.

        *places* are the accounts and regions in which a detector may have acted.
        """
        where = {detector: list(places(detector)) for detector in self.cleanups}
        everywhere = dict.fromkeys(place for acted_in in where.values() for place in acted_in)
        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="ledger") as pool:
            asked = [(detector, *place) for detector, acted_in in where.items() for place in acted_in]
            actions = [
                action for known in pool.map(lambda key: self.actions.all(*key), asked) for action in known
            ]
            asked = [
                (detector, *place) for place in everywhere for detector in where if place in where[detector]
            ]
            entries = [entry for due in pool.map(lambda key: self._due(key, now), asked) for entry in due]
        acted = [action for action in actions if action.ended is not None and action.ended > since]
        undone = [action for action in actions if action.undone is not None and action.undone > since]
        shown = {(action.pk, action.sk): action for action in (*acted, *undone)}
        doubts = {key: self.actions.doubt(action) for key, action in shown.items()}
        forged = {
            key: replace(shown[key], error=doubt, broke=True)
            for key, doubt in doubts.items()
            if doubt is not None and doubt.why in UNVERIFIED_RECORD_CODES
        }
        broke = {(action.pk, action.sk): action for action in actions if action.broke} | forged

        def lines(those: Iterable[Action], line: Callable[[Action], str]) -> list[tuple[Action, str]]:
            keys = {(action.pk, action.sk): action for action in those}
            return [
                (action, f"{line(action)}{', not verified' if doubts[key] else ''}")
                for key, action in keys.items()
                if key not in forged
            ]

        plain = [action for action in acted if not action.by and doubts[action.pk, action.sk] is None]
        alike = [group for group in _equal_acts(plain) if len(group) >= EQUAL_ACTS]
        together = [action for group in alike for action in group]
        return DigestActions(
            acted=[
                *(self._priced(self._together(group), group) for group in alike),
                *(
                    self._priced(text, [action])
                    for action, text in lines(
                        (action for action in acted if action not in together), self._acted
                    )
                ),
            ],
            failed=[self._failed(action) for action in broke.values()],
            undone=[text for _, text in lines(undone, self._undone)],
            due=[
                f"{self._soon(entry)}{'' if self.ledger.is_verified(entry) else ', not verified'}"
                for entry in sorted(entries, key=lambda entry: entry.due or now)
            ],
            lost=list(self._lost(places, now)),
            saved=sum_savings(  # only actions that end a cost: a tag saves nothing
                (action for action in actions if self.cleanups[action.detector].effect.saves),
                now=now,
                time_zone=self.time_zone,
            ),
        )

    def ending_keeps(
        self, places: Callable[[str], Sequence[tuple[str, str]]], now: datetime
    ) -> list[tuple[str, str, Hold]]:
        """
        Return what *Keep* holds in *places* for two more weeks at most, the next to end first.

        Versions before held it for good: from the first digest on, it is held for `hold_time`.
        """

        def read(place: tuple[str, str]) -> list[tuple[str, str, Hold]]:
            if self.hold_time is not None:
                self.holds.end_keeps(*place, now + self.hold_time)
            return [
                (*place, hold)
                for holds in self.holds.all(*place).values()
                if (hold := longest_hold(holds, now)) is not None and hold.pressed
                if hold.until is not None and hold.until - now <= KEEP_ENDS_WITHIN
            ]

        acted_in = dict.fromkeys(place for detector in self.cleanups for place in places(detector))
        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="ledger") as pool:
            ending = [held for found in pool.map(read, acted_in) for held in found]
        return sorted(ending, key=lambda held: (held[2].until or now, held[2].key))

    def _lost(self, places: Callable[[str], Sequence[tuple[str, str]]], now: datetime) -> Iterator[str]:
        """Yield undos that no deployed function has permissions for, one line for each detector and place."""
        for detector in self.disarmed:
            for account, region in places(detector.name):
                known = self.actions.all(detector.name, account, region)
                lost = find_unreachable_undos(detector, known, within=self.within, now=now)
                if lost is not None:
                    where = self._place(account, region)
                    yield f"{code_span(detector.name)}{where}: {prose(unreachable_undos_text(lost), 600)}"

    def _due(self, where: tuple[str, str, str], now: datetime) -> list[Entry]:
        """Return findings of a detector, account and region that are due or overdue, and not held."""
        _, account, region = where
        due = [
            entry
            for entry in self.ledger.entries(*where)
            if entry.closed is None and entry.due is not None and entry.due <= now + DUE_WITHIN
        ]
        holds = self.holds.all(account, region) if due else {}
        return [entry for entry in due if hold_reason(holds.get(entry.key, ()), now) is None]

    def _together(self, alike: Sequence[Action]) -> str:
        """Tell the same act on several resources in a line; two of one name are told apart by their kinds."""
        first, times = alike[0], Counter(action.target.name for action in alike)
        kinds = {_kind(action.target.arn) for action in alike}
        what = count_noun(len(alike), kinds.pop() if len(kinds) == 1 else "resource")
        hourly = [action.hourly_usd for action in alike if not action.until]
        monthly = sum(filter(None, hourly), NO_USD) * HOURS_PER_MONTH
        money = f" ({'at least ' * (None in hourly)}{format_usd(monthly)} a month)" if monthly else ""
        names = [
            code_span(action.target.name) if times[action.target.name] == 1 else self._what(action)
            for action in alike
        ]
        where = self._place(first.target.account, first.target.region)
        return (
            f"{what}{money} {self._done(first.detector)}{where}: {shorten_list(names, NAMES_OF_EQUAL_ACTS)}"
        )

    def _acted(self, action: Action) -> str:
        asked = f", because {person_text(action.by)} pressed Do it now" if action.by else ""
        money = ""
        if hourly := action.hourly_usd:  # a job is priced by the hour, else by the month
            worth = (
                f"{format_usd(hourly)} an hour"
                if action.until
                else f"{format_usd(hourly * HOURS_PER_MONTH)} a month"
            )
            money = f" ({worth})"
        where = self._place(action.target.account, action.target.region)
        return f"{self._what(action)}{money} {self._done(action.detector)}{asked}{where}"

    def _priced(self, text: str, actions: Sequence[Action]) -> ActionLine:
        """Return *text* with what *actions* save: a job by the hour, as it would have ended by itself."""
        saving = [action for action in actions if self.cleanups[action.detector].effect.saves]
        hourly = sum((action.hourly_usd or NO_USD for action in saving if action.until), NO_USD)
        lasting = sum((action.hourly_usd or NO_USD for action in saving if not action.until), NO_USD)
        return ActionLine(text, hourly_usd=hourly, monthly_usd=lasting * HOURS_PER_MONTH)

    def _failed(self, action: Action) -> str:
        back = undo_wording(self.cleanups[action.detector]).done
        verb = back if action.stage in {Stage.ACTED, Stage.UNDOING} else self._done(action.detector)
        where = self._place(action.target.account, action.target.region)
        return f"{self._what(action)} could not be {verb}{where}: {prose(cause_text(action.error), 300)}"

    def _undone(self, action: Action) -> str:
        done = undo_wording(self.cleanups[action.detector]).done
        became = f": {prose(action.became, 300)}" if action.became else ""
        where = self._place(action.target.account, action.target.region)
        return f"{self._what(action)} {done} for {person_text(action.undone_by)}{where}{became}"

    def _soon(self, entry: Entry) -> str:
        when = format_local_time(entry.due, self.time_zone) if entry.due else ""
        money = f", {format_usd(entry.claim.monthly_usd)} a month" if entry.claim.monthly_usd else ""
        what = f"{_kind(entry.arn)} {code_span(entry.name)}"
        will = f"to be {self._done(entry.detector)} on {when}"
        return f"{what} {will}{money}{self._place(entry.account, entry.region)}"

    def _what(self, action: Action) -> str:
        return f"{_kind(action.target.arn)} {code_span(action.target.name)}"

    def _done(self, detector: str) -> str:
        return DONE_WORDS[self.cleanups[detector].effect]

    def _place(self, account: str, region: str) -> str:
        named = [account] * self.several + [region] * (self.several or self.several_regions)
        return f", in {', '.join(prose(part, 40) for part in named)}" if named else ""


def _equal_acts(actions: Iterable[Action]) -> Iterable[list[Action]]:
    """Group *actions* by what was done where: each detector does one thing."""
    groups: dict[tuple[str, str, str], list[Action]] = {}
    for action in actions:
        place = action.detector, action.target.account, action.target.region
        groups.setdefault(place, []).append(action)
    return groups.values()


def _kind(arn: str) -> str:
    """Return the kind of a resource in words: "notebook instance"."""
    return prose(Arn.parse(arn).kind.replace("-", " "), 40)


# --- latest runs of an organization ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationReader:
    """
    A reader of the ledger over all accounts.

    1,000 accounts, 17 regions and 18 detectors have 306,000 sweeps in 3,060 requests; findings are
    read only where something was found. *sleep* waits where DynamoDB has no room for a batch.
    """

    settings: Settings
    ledger: Ledger
    runs: LatestRuns
    lists: RunLists
    sleep: Callable[[float], None]

    def read(self, *, since: datetime, now: datetime) -> tuple[Overview, Sequence[Entry]]:
        """
        Return the results of the latest runs, and the open findings; those first seen after *since* are new.

        The overview names a run whose list cannot be read, but not its findings.
        """
        runs, rows, names = list[DetectorRun](), list[SweepRow](), dict[str, str]()
        newest: LastRun | None = None
        for detector in self.settings.enabled():
            last = self.runs.last(detector.name)
            if last is None:
                runs.append(DetectorRun(detector=detector.name))
                continue
            newest = last if newest is None or last.time > newest.time else newest
            late = now - last.time > overdue_after(self.settings.schedule(type(detector)))
            run = DetectorRun(
                detector=detector.name,
                time=last.time,
                begun=last.begun,
                accounts=last.accounts,
                at_work=last.ended is None,
                late=late,
            )
            try:
                listed = self.lists.listed(detector.name, last.time)
            except ReadError as error:
                runs.append(replace(run, error=str(error)))
                continue
            names |= {account.account: account.name for account in listed if account.name}
            run, of_run = self._of(detector, run, listed)
            runs.append(run)
            rows += of_run
        found = self._found(rows)
        counted = list(_count_new(rows, found, since))
        accounts = len(self._all(newest) or {row.account for row in rows})
        seen = Overview(runs=runs, rows=counted, accounts=accounts, names=names)
        return seen, [entry for entries in found for entry in entries]

    def listed(self) -> Sequence[RunAccount]:
        """Return every account of a detector's newest run; none if there is none, or it cannot be read."""
        runs = [
            run for detector in self.settings.enabled() if (run := self.runs.last(detector.name)) is not None
        ]
        return self._all(max(runs, key=lambda run: run.time, default=None))

    def acted_in(self, detector: str) -> list[tuple[str, str]]:
        """
        Return the accounts and regions in which `act_in` of *detector* lets it act, armed now or before.

        These are all, where `act_in` did not name some of them until the end (`Settings.undoes_elsewhere`).
        """
        places, last = set(self.settings.sections[detector].act_in), None
        elsewhere = self.settings.undoes_elsewhere(detector)
        if places:
            last = self.runs.last(detector)
        return [
            (account.account, region)
            for account in self._all(last)
            for region in account.regions
            if elsewhere or account.account in places or f"{account.account}/{region}" in places
        ]

    def _of(
        self, detector: Detector[Any], run: DetectorRun, listed: Sequence[RunAccount]
    ) -> tuple[DetectorRun, list[SweepRow]]:
        """Return *run* with its progress, and a row for each account and region that has something to say."""
        pairs = [(account.account, region) for account in listed for region in account.regions]
        sweeps = self.ledger.latest.sweeps(detector.name, pairs, sleep=self.sleep)
        rows, waiting = list[SweepRow](), set[str]()
        for account, region in pairs:
            last = sweeps.get((account, region))
            here = last is not None and run.time is not None and last.time >= run.time
            if not here:
                waiting.add(account)
            missing = not here and not run.at_work
            if missing or (last is not None and (last.found or last.unknown or last.error)):
                rows.append(
                    SweepRow(
                        detector=detector.name,
                        account=account,
                        region=region,
                        last=None if missing else last,
                        late=run.late,
                    )
                )
        return replace(run, sweeps=len(pairs), waiting=len(waiting) if run.at_work else 0), rows

    def _found(self, rows: Sequence[SweepRow]) -> list[list[Entry]]:
        """Return the open findings of each of *rows*."""

        def read(row: SweepRow) -> list[Entry]:
            if row.last is None or not row.last.found:
                return []
            return [
                entry for entry in self.ledger.entries(row.detector, row.account, row.region) if entry.open
            ]

        with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="ledger") as pool:
            return list(pool.map(read, rows))

    def _all(self, run: LastRun | None) -> Sequence[RunAccount]:
        """Return every account of *run*, even with nothing to look at; none where the list is unreadable."""
        if run is None:
            return ()
        try:
            return self.lists.accounts(run.detector, run.time)
        except ReadError:
            return ()


def _count_new(rows: Sequence[SweepRow], found: Sequence[Sequence[Entry]], since: datetime) -> list[SweepRow]:
    """Return *rows* with their new findings, and each resource counted once in its account."""
    by_account: dict[str, tuple[list[SweepRow], list[Entry]]] = {}
    for row, entries in zip(rows, found, strict=True):
        of_account, open_ = by_account.setdefault(row.account, ([], []))
        of_account.append(replace(row, new=sum(entry.first_seen > since for entry in entries)))
        open_ += entries
    return [row for of_account, open_ in by_account.values() for row in count_costs_once(of_account, open_)]


# --- shared costs ---------------------------------------------------------------------------------
# Findings of several detectors may share costs: each dollar counts once.


def count_costs_once(rows: Sequence[SweepRow], found: Sequence[Entry]) -> list[SweepRow]:
    """
    Return *rows* without the dollars of their *found* that count for a finding of another detector.

    Costs that findings of one detector share were already counted once by its sweep.
    """
    alone: dict[tuple[str, str], Totals] = {}
    for detector in dict.fromkeys(entry.detector for entry in found):
        alone |= _counted([entry for entry in found if entry.detector == detector])
    together = _counted(found)
    return [
        row
        if row.last is None or (row.detector, row.region) not in alone
        else replace(
            row,
            last=row.last.without(alone[row.detector, row.region], together[row.detector, row.region]),
        )
        for row in rows
    ]


def _is_partial(rows: Sequence[SweepRow]) -> bool:
    """Return whether there may be more findings, because a sweep did not come to its end."""
    return any(row.last is None or row.last.error is not None for row in rows)


def _firsts(found: Sequence[Entry]) -> list[FirstFinding]:
    """Return what may be the finding to begin with, each with the dollars that count for it."""
    return [
        FirstFinding(
            entry.claim.monthly_usd if overlap is None else overlap.monthly_usd,
            entry.claim.accrued_usd if overlap is None else overlap.accrued_usd,
            entry.arn,
            entry.name,
            entry.owner,
        )
        for entry, overlap in zip(found, find_overlaps([entry.claim for entry in found]), strict=True)
    ]


def _counted(found: Sequence[Entry]) -> dict[tuple[str, str], Totals]:
    """Add up *found* by detector and region, counting shared costs once."""
    sums: dict[tuple[str, str], Totals] = {}
    for entry, overlap in zip(found, find_overlaps([entry.claim for entry in found]), strict=True):
        before = sums.get((entry.detector, entry.region), Totals())
        monthly = entry.claim.monthly_usd if overlap is None else overlap.monthly_usd
        accrued = entry.claim.accrued_usd if overlap is None else overlap.accrued_usd
        sums[entry.detector, entry.region] = Totals(
            monthly_usd=before.monthly_usd + (monthly or Decimal(0)),
            accrued_usd=before.accrued_usd + (accrued or Decimal(0)),
        )
    return sums
