"""The daily digest of an organization: the dearest accounts in full, the rest in one line. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from ml_janitor.core.durations import format_age
from ml_janitor.core.text import format_time, shorten_list
from ml_janitor.report import digest
from ml_janitor.report.digest import NO_ACTIONS, DigestActions, SweepRow
from ml_janitor.report.finding_words import detector_noun, sums_text, unpriced_note
from ml_janitor.report.mrkdwn import (
    Block,
    Message,
    Post,
    as_sentence,
    context_block,
    count_noun,
    fits_message,
    header_block,
    prose,
    section_block,
)
from ml_janitor.report.overview import DetectorRun, Overview

DIGEST_SIZES = (10, 6, 3, 1)
"""Accounts that are shown in full, and lines of each list: the most with which Slack takes the message."""

KINDS_SHOWN = 4
"""Kinds of findings that one account is shown with."""

ACCOUNT_NAMES_SHOWN = 10
"""Accounts that a line about several names."""

GROUPS_SHOWN = 5
"""Lines about sweeps without a result, and about sweeps that broke off."""

REGIONS_SHOWN = 2


def make_organization_digest(
    seen: Overview, *, now: datetime, actions: DigestActions = NO_ACTIONS, bill: Sequence[str] = ()
) -> Post:
    """Build the post of a day, like `report.digest.digest`; short if nothing changed."""
    if seen.fine and not seen.new and not actions.any:
        who = f"All {len(seen.runs)} detectors" if len(seen.runs) > 1 else "The detector"
        looked = f"{who} looked at {count_noun(seen.accounts, 'account')}."
        return Post(main=digest.quiet_message(seen.last, looked, actions.saved, bill, where=_where(seen)))
    title = _headline(seen)
    for most in DIGEST_SIZES:
        blocks = [header_block(title), *_blocks(seen, now, actions, bill, most)]
        if fits_message(blocks):
            break
    else:
        blocks = _cut(blocks)
    missing = sum(not run.ran for run in seen.runs)
    late = f" {count_noun(missing, 'detector')} of {len(seen.runs)} did not run." if missing else ""
    unread = f" {count_noun(len(seen.unread), 'sweep')} without a result." if seen.unread else ""
    return Post(
        main=Message(
            text=f"Daily digest. {title}.{digest.count_actions(actions)}{late}{unread}",
            blocks=tuple(blocks),
        )
    )


def _blocks(
    seen: Overview, now: datetime, actions: DigestActions, bill: Sequence[str], most: int
) -> Iterator[Block]:
    unpriced = unpriced_note(sum(sweep.unpriced for sweep in seen.last))
    looked = f"{count_noun(seen.accounts, 'account')} and {count_noun(len(seen.runs), 'detector')}"
    more = " Not everything could be read, so there may be more." if seen.partial else ""
    yield section_block(f"{looked}, as of {format_time(now)}.{more}{unpriced}")
    yield from digest.list_paragraphs(
        "Did not run", _lines([_silence(run, now) for run in seen.runs if not run.ran], most)
    )
    yield from digest.list_paragraphs("Not ended", _lines(list(_at_work(seen, now)), most))
    yield from digest.list_paragraphs(
        "Without a result", _lines([*_unlisted(seen), *_troubles(seen.unread, seen)], most)
    )
    yield from digest.list_paragraphs("Not complete", _lines(list(_troubles(seen.incomplete, seen)), most))
    yield from digest.action_blocks(actions, lambda parts: _lines(parts, most))
    yield from map(section_block, bill)
    yield from map(section_block, _accounts(seen, most))
    yield from digest.unjudged_block(seen.last)


def _cut(blocks: Sequence[Block]) -> list[Block]:
    """Return as many of *blocks* as Slack takes."""
    for number in range(len(blocks), 0, -1):
        left = context_block(f"and {count_noun(len(blocks) - number, 'more paragraph')}: see the dashboard")
        if fits_message([*blocks[:number], left]):
            return [*blocks[:number], left]
    return []


def _lines(parts: Sequence[str], most: int) -> list[str]:
    """Return the first *most* of *parts*, and how many more there are."""
    more = len(parts) - most
    return [*parts[:most], *([f"and {more:,} more"] if more > 0 else [])]


# --- in short ---------------------------------------------------------------------------------------


def _headline(seen: Overview) -> str:
    if (found := digest.findings_title(seen.last, seen.new, _where(seen))) is not None:
        return f"{'At least ' if seen.partial else ''}{found}"
    if all(run.time is None for run in seen.runs):
        return "No detector has run"
    accounts = f" in {count_noun(seen.accounts, 'account')}" if seen.accounts > 1 else ""
    return f"Nothing wasteful found in what ran{accounts}"


def _where(seen: Overview) -> str:
    """Say in how many of the accounts something was found; empty if there is one account."""
    found = len({sweep.account for sweep in seen.last if sweep.found})
    return f" in {found:,} of {count_noun(seen.accounts, 'account')}" if seen.accounts > 1 else ""


# --- what went wrong --------------------------------------------------------------------------------


def _silence(run: DetectorRun, now: datetime) -> str:
    return f"{detector_noun(run.detector, 2)}: {digest.last_run_text(run.time, now)}"


def _at_work(seen: Overview, now: datetime) -> Iterator[str]:
    """Describe runs that still look at accounts: what they found there before is counted."""
    for run in seen.runs:
        if run.at_work and not run.error:
            after = f" after {format_age(now - run.begun)}" if run.begun else ""
            accounts, what = count_noun(run.accounts, "account"), detector_noun(run.detector, 2)
            if run.waiting:
                of = f"{run.waiting:,} of {accounts}"
                yield f"{what}: still looking at {of}{after}; what it found there before counts"
            else:
                yield f"{what}: has looked at {accounts}, and has not ended{after}"


def _unlisted(seen: Overview) -> Iterator[str]:
    """Describe runs with an error that hides which accounts they look at."""
    for run in seen.runs:
        if run.error:
            yield f"{detector_noun(run.detector, 2)}, all of it: {prose(run.error, 300)}"


def _troubles(rows: Sequence[SweepRow], seen: Overview) -> Iterator[str]:
    """Group *rows* with an error: one line for detectors with the same accounts, most rows first."""
    by_detector = _grouped(rows, lambda row: row.detector)
    alike: dict[frozenset[str], list[str]] = {}
    for detector, of_detector in by_detector.items():
        alike.setdefault(frozenset(row.account for row in of_detector), []).append(detector)
    groups = [
        (accounts, detectors, [row for name in detectors for row in by_detector[name]])
        for accounts, detectors in alike.items()
    ]
    groups.sort(key=lambda group: -len(group[2]))
    for accounts, detectors, of_group in groups[:GROUPS_SHOWN]:
        names = shorten_list(
            [account_name(account, seen.names) for account in sorted(accounts)], ACCOUNT_NAMES_SHOWN
        )
        sweeps = f"{count_noun(len(of_group), 'sweep')} in {count_noun(len(accounts), 'account')}"
        yield f"{_detectors(detectors, len(seen.runs))}: {sweeps}: {names}. {_why(of_group)}"
    if more := groups[GROUPS_SHOWN:]:
        others = sum(len(detectors) for _, detectors, _ in more)
        left = sum(len(of_group) for _, _, of_group in more)
        yield f"and {count_noun(left, 'sweep')} of {count_noun(others, 'more detector')}"


def _detectors(names: Sequence[str], of: int) -> str:
    if len(names) == of > 1:
        return f"All {of} detectors"
    return shorten_list([detector_noun(name, 2) for name in names], KINDS_SHOWN)


def _why(rows: Sequence[SweepRow]) -> str:
    """Return the most frequent reason."""
    reasons = Counter(row.last.error or "" if row.last else "the run left nothing" for row in rows)
    (reason, _), *others = reasons.most_common()
    return f"{'Most often: ' if others else ''}{as_sentence(prose(reason, 250))}"


def account_name(account: str, names: Mapping[str, str]) -> str:
    """Return an account's name with its id."""
    return f"{prose(names[account], 50)} ({account})" if names.get(account) else prose(account, 40)


# --- what was found ---------------------------------------------------------------------------------


def _accounts(seen: Overview, most: int) -> Iterator[str]:
    """Write a paragraph for each of the dearest accounts, and one for all others."""
    found = [row for row in seen.rows if row.last is not None and (row.last.found or row.new)]
    by_account = _grouped(found, lambda row: row.account)
    ranked = sorted(by_account.items(), key=lambda entry: _dearest(entry[1]))
    rest = ranked[most:]
    if rest:
        yield f"*The dearest {f'{most} ' if most > 1 else ''}of {count_noun(len(ranked), 'account')}:*"
    for account, rows in ranked[:most]:
        title = f"{_summed(rows)}{account_name(account, seen.names)}, "
        (first, *others) = kinds = list(_kinds(rows))
        if others:
            money = (f"\u2022 {f'{sums}: ' if sums else ''}{text}" for sums, text in kinds)
            yield "\n".join([f"{title}{_found(rows)}", *money])
        else:
            yield f"{title}{first[1]}"
    if rest:
        rows = [row for _, of_account in rest for row in of_account]
        yield f"{_summed(rows)}{count_noun(len(rest), 'more account')}, {_found(rows)}"


def _kinds(rows: Iterable[SweepRow]) -> Iterator[tuple[str, str]]:
    """Yield the dollars of each detector with findings, and how many of what where; the dearest first."""
    by_detector = _grouped(rows, lambda row: row.detector)
    ranked = sorted(by_detector.items(), key=lambda entry: _dearest(entry[1]))
    for detector, of_detector in ranked[:KINDS_SHOWN]:
        found = sum(row.last.found for row in of_detector if row.last)
        places = shorten_list(
            [row.region for row in sorted(of_detector, key=lambda row: _dearest([row]))], REGIONS_SHOWN
        )
        new = f", {sum(row.new for row in of_detector):,} new" if any(row.new for row in of_detector) else ""
        yield _sums(of_detector), f"{found:,} {detector_noun(detector, found)} in {prose(places, 100)}{new}"
    if rest := ranked[KINDS_SHOWN:]:
        rows = [row for _, of_detector in rest for row in of_detector]
        yield _sums(rows), f"{_found(rows)} of {count_noun(len(rest), 'more detector')}"


def _dearest(rows: Iterable[SweepRow]) -> tuple[Decimal, Decimal, int, str]:
    """Return the sort key: dollars a month, then dollars spent, then findings, the most first."""
    known = [row for row in rows if row.last is not None]
    sums = digest.add_sums(row.last for row in known if row.last)
    found = sum(row.last.found for row in known if row.last)
    return -sums.monthly_usd, -sums.accrued_usd, -found, known[0].account if known else ""


def _grouped(rows: Iterable[SweepRow], by: Callable[[SweepRow], str]) -> Mapping[str, list[SweepRow]]:
    groups: dict[str, list[SweepRow]] = {}
    for row in rows:
        groups.setdefault(by(row), []).append(row)
    return groups


def _sums(rows: Iterable[SweepRow]) -> str:
    return sums_text(digest.add_sums(row.last for row in rows if row.last))


def _summed(rows: Iterable[SweepRow]) -> str:
    return f"*{sums}*: " if (sums := _sums(rows)) else ""


def _found(rows: Sequence[SweepRow]) -> str:
    found, new = sum(row.last.found for row in rows if row.last), sum(row.new for row in rows)
    return f"{count_noun(found, 'finding')}{f', {new:,} new' if new else ''}"
