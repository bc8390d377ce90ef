"""The findings that the janitor remembers between runs, from first seen to closed, with their messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from boto3.dynamodb.conditions import Attr, ConditionBase
from pydantic import TypeAdapter

from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Change, Cost, Finding, Kept, Verdict, finding_id
from ml_janitor.core.money import Claim, round_keeping_small
from ml_janitor.core.results import Cause, CauseCode, Result, Sweep, make_cause
from ml_janitor.ledger.causes import cause_attributes, read_causes, store_cause
from ml_janitor.ledger.latest import LatestRecords
from ml_janitor.ledger.signatures import Signatures, SignedKind, canonical_json
from ml_janitor.ledger.table import (
    EXPIRES_ATTRIBUTE,
    ConditionFailedError,
    Table,
    format_stamp,
    partition_key,
)

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

# --- messages in Slack ----------------------------------------------------------------------------


class MessageRef(NamedTuple):
    """One message: the id of its channel, and its ts. Empty where they are unknown."""

    channel: str = ""
    ts: str = ""


NO_MESSAGE = MessageRef()


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningMessages:
    """The warning in the channel, and the owner's direct message. Empty without a message."""

    channel: str = ""
    message: str = ""
    direct_channel: str = ""
    direct_message: str = ""

    @property
    def messages(self) -> list[MessageRef]:
        """The messages that the janitor can change and whose buttons count, the channel's first."""
        refs = [
            MessageRef(self.channel, self.message),
            MessageRef(self.direct_channel, self.direct_message),
        ]
        return [ref for ref in refs if ref.ts]

    @property
    def place(self) -> str:
        """The channel and ts of every message, in one string, or ""."""
        return " ".join(part for ref in self.messages for part in ref)


# --- remembered findings --------------------------------------------------------------------------

CLOSING_ATTRIBUTES = ("closed", *cause_attributes("close_reason"), EXPIRES_ATTRIBUTE)
WARNING_ATTRIBUTES = (
    *("warned", "due", "channel", "message", "direct_channel", "direct_message"),
    *("approved", "hurried", "memo", "mac", "not_done_at"),
    *cause_attributes("unmessaged", "not_done"),
)
"""The attributes of a closing and of a warning: void once a finding is closed."""

REFUSAL_ATTRIBUTES = (*cause_attributes("refused"), "refused_at")
"""The reason for which `prepare` refused the finding, and the time of the last try."""

VOIDED_ATTRIBUTE = "voided"
"""
Set if the warning was taken back while the finding stayed open. If the detector
is armed again, the janitor warns first.
"""


UNTOLD_ATTRIBUTES = ("untold", *cause_attributes("untold_why"))
"""The messages that do not show yet that their warning is void, and the reason for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(WarningMessages):
    """
    The remembered state of one finding, with the saving that it claims.

    *announced* is the time at which Slack took the message that named the finding. *since* is the time since
    which the resource is waste, by the last sweep; None if that cannot be known. *warned* is the time at
    which Slack took the warning in the channel, and *due* the time from which the janitor may act.
    *unmessaged* says why the owner got no direct message; the grace is then twice as long. *approved* names
    the person who approved many deletions at once, and *hurried* the person who pressed *Do it now*. *memo*
    is the point from which `prepare` goes on. *said* is the lasting part of the warning's message: it
    outlives the warning, because an undo's message repeats it. *refused* says why `prepare` failed at
    *refused_at*: the janitor only reports the finding, and warns nobody. *not_done* says why the sweep of
    *not_done_at* did not act on the due finding. *untold* is the `place` of the messages that do not show yet
    that their warning is void, and *untold_why* the reason. *missing_for_undo* is the setting without which
    only a person can undo the act. *mac* authenticates the warning and the memo.
    """

    pk: str = ""
    sk: str = ""
    key: str
    detector: str
    account: str
    region: str
    claim: Claim
    reason: str
    first_seen: datetime
    last_seen: datetime
    since: datetime | None = None
    owner: str | None = None
    once_usd: Decimal | None = None
    action: str = ""
    announced: datetime | None = None
    warned: datetime | None = None
    due: datetime | None = None
    unmessaged: Cause | None = None
    approved: str = ""
    hurried: str = ""
    voided: bool = False
    refused: Cause | None = None
    refused_at: datetime | None = None
    not_done: Cause | None = None
    not_done_at: datetime | None = None
    said: str = ""
    untold: str = ""
    untold_why: Cause | None = None
    missing_for_undo: str = ""
    mac: str = ""
    memo: Mapping[str, Any] = field(default_factory=dict)
    closed: datetime | None = None
    close_reason: Cause | None = None

    @property
    def id(self) -> str:
        """The short id of the finding."""
        return finding_id(self.detector, self.key)

    def outlived(self, now: datetime, lasts: timedelta) -> bool:
        """
        Return whether the last sweep that found this finding is more than *lasts*
        ago, so that its warning is void.
        """
        return self.warned is not None and self.closed is None and now - self.last_seen > lasts

    @property
    def warning(self) -> dict[str, str]:
        """The signed part: the warning of one resource, and how far preparing its act came."""
        return {
            "pk": self.pk,
            "sk": self.sk,
            "key": self.key,
            "warned": "" if self.warned is None else format_stamp(self.warned),
            "due": "" if self.due is None else format_stamp(self.due),
            "messages": self.place,
            "hurried": self.hurried,
            "approved": self.approved,
            "memo": sha256(canonical_json(self.memo)).hexdigest(),
        }

    def voiding(self, why: Cause) -> dict[str, str]:
        """
        Return the attributes to store as the warning is taken back because of
        *why*, until its message says so.
        """
        return {"untold": self.place} | store_cause("untold_why", why) if self.place else {}

    @property
    def arn(self) -> str:
        """The resource, without its creation time."""
        return self.claim.arn

    @property
    def name(self) -> str:
        """The name of the resource."""
        return self.claim.name

    @property
    def open(self) -> bool:
        """True while the finding is still found."""
        return self.closed is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFindings:
    """
    The findings of one sweep in the ledger: the *new* ones, not announced yet, and all with their dates.

    *closed* holds the findings that the sweep no longer found, as they were before, each with
    the cause. *untold* holds the findings, open or not, whose messages earlier sweeps left
    outdated. *warned* is true if a finding had a warning before.
    """

    new: tuple[Result, ...]
    entries: Mapping[str, Entry]
    closed: tuple[tuple[Entry, Cause], ...] = ()
    untold: tuple[Entry, ...] = ()
    warned: bool = False

    def first_seen(self, now: datetime) -> int:
        """Return how many findings the sweep of *now* saw first: the same number however often it runs."""
        return len(self.first_seen_keys(now))

    def first_seen_keys(self, now: datetime) -> set[str]:
        """Return the resources whose findings the sweep of *now* saw first."""
        return {
            key for key, entry in self.entries.items() if format_stamp(entry.first_seen) == format_stamp(now)
        }


_ENTRY_ADAPTER = TypeAdapter(Entry)


def entry_from(item: Mapping[str, Any]) -> Entry:
    """Return the entry that *item* of the table holds. Its claim's attributes stand among its own."""
    priced = item.get("monthly_usd") is not None or item.get("accrued_usd") is not None
    claim = {"change": Change.END, **item, "arn": item["key"].rpartition("@")[0], "priced": priced}
    causes = read_causes(item, "close_reason", "not_done", "refused", "unmessaged", "untold_why")
    return _ENTRY_ADAPTER.validate_python(
        {**item, **causes, "claim": claim, "memo": json.loads(item.get("memo", "{}"))}
    )


# --- findings in the table ------------------------------------------------------------------------

FINDING_KEY = "finding"

_MOST_SHARES = 1000
"""An item holds 400 KB. Of a saving on more resources, the ledger keeps the largest shares only."""

_CLOSED_RETENTION = timedelta(days=90)
"""Time for which a closed finding stays readable before DynamoDB removes it."""

_MISSING_FOR_UNDO = "missing_for_undo"
_NO_KEYS = Signatures()


class Ledger:
    """
    Findings by ARN + creation time in *table*; *latest* holds the sweeps and digests there.

    *signatures* authenticate the warnings.

    People can read the keys: "finding#idle-endpoints#123456789012#us-east-1" and
    "arn:...@2026-09-01T00:00:00+00:00". Writing twice leaves the same as writing once, so a retried run does
    no harm. `Leases` keep two concurrent runs apart.
    """

    def __init__(self, table: Table, signatures: Signatures = _NO_KEYS) -> None:
        self._table = table
        self._signatures = signatures
        self.latest = LatestRecords(table)

    # --- findings -----------------------------------------------------------------------------

    def record(
        self,
        aws: Aws,
        sweep: Sweep,
        now: datetime,
        *,
        lasts: timedelta = timedelta.max,
        settled: bool = False,
    ) -> RecordedFindings:
        """
        Remember every finding of *sweep*; after a complete sweep, close the findings that it no longer has.

        If no sweep found a finding for longer than *lasts*, its warning is void. A finding is
        new until it is announced: the next run repeats a message that failed. The finding of a
        resource that the sweep could not judge stays open, as does one whose resource an unidentified entry
        may be about. A run for an earlier time than the
        stored one, such as a late event's, changes nothing back. An empty sweep is *settled* if no action is
        left; see `LastSweep`.
        """
        before = {entry.key: entry for entry in self.entries(sweep.detector, sweep.account, sweep.region)}
        found = sweep.findings
        lapsed = {key for key, entry in before.items() if entry.outlived(now, lasts)}
        self._table.change_all([self._seen(sweep, result, before, lapsed, now) for result in found])
        keys = {result.target.key for result in found}
        entries = {
            entry.key: entry
            for entry in (self.entries(sweep.detector, sweep.account, sweep.region) if found else ())
            if entry.key in keys
        }
        gone: list[tuple[Entry, Cause]] = []
        if sweep.error is None:
            verdicts = {result.target.key: result.verdict for result in sweep.results}
            gone = [
                (entry, _why_closed(verdicts.get(entry.key)))
                for entry in before.values()
                if entry.key not in entries
                and entry.closed is None
                and entry.last_seen <= now
                and not _is_unknown(sweep, entry, verdicts.get(entry.key))
            ]
            aws.map(lambda closing: self.close(*closing, now), gone)
        gone += [(before[key], _lapsed(before[key], now)) for key in sorted(lapsed & entries.keys())]
        over = all(entry.closed is not None and not entry.untold for entry in before.values())
        self.latest.remember(sweep, now, settled=settled and over)
        new = tuple(result for result in found if entries[result.target.key].announced is None)
        untold = tuple(entry for entry in before.values() if entry.untold)
        warned = any(entry.warned is not None for entry in before.values())
        return RecordedFindings(new=new, entries=entries, closed=tuple(gone), untold=untold, warned=warned)

    def find(self, detector: str, account: str, region: str, finding: str) -> Entry | None:
        """Return the entry of the finding with the id *finding*, open or closed."""
        return next((entry for entry in self.entries(detector, account, region) if entry.id == finding), None)

    def entries(self, detector: str, account: str | None, region: str) -> list[Entry]:
        """Return every entry of a detector in an account and region."""
        return _entries(self._table.query(partition_key(FINDING_KEY, detector, account, region)))

    def everywhere(self) -> list[Entry]:
        """Return every finding in every account and region, by reading the whole table."""
        return _entries(self._table.scan(f"{FINDING_KEY}#"))

    def announced(self, aws: Aws, sweep: Sweep, results: Sequence[Result], now: datetime) -> None:
        """Remember that Slack took a message with *results*."""
        where = partition_key(FINDING_KEY, sweep.detector, sweep.account, sweep.region)
        at_first = {"announced": now}
        keys = [result.target.key for result in results]
        aws.map(lambda key: self._table.change(where, key, at_first=at_first), keys)

    def _seen(
        self,
        sweep: Sweep,
        result: Result,
        before: Mapping[str, Entry],
        lapsed: AbstractSet[str],
        now: datetime,
    ) -> dict[str, Any]:
        """Return the change that stores *result*, reopened if it was closed, without a *lapsed* warning."""
        known = before.get(result.target.key)
        first = {"first_seen": now}
        reopened = known is not None and known.closed is not None
        void = result.target.key in lapsed
        voided = (
            {VOIDED_ATTRIBUTE: True, **known.voiding(_lapsed(known, now))}
            if known is not None and void
            else {}
        )
        seen = {
            "key": result.target.key,
            "detector": sweep.detector,
            "account": sweep.account,
            "region": sweep.region,
            "last_seen": now if known is None else max(now, known.last_seen),
            "name": result.target.name,
            "reason": result.verdict.reason,
            "since": result.verdict.since if isinstance(result.verdict, Finding) else None,
            "owner": result.owner,
            "monthly_usd": round_keeping_small(result.monthly_usd),
            "accrued_usd": round_keeping_small(result.accrued_usd),
            **_claimed(result),
        }
        missing = getattr(result.verdict, _MISSING_FOR_UNDO, "")
        return {
            "pk": partition_key(FINDING_KEY, sweep.detector, sweep.account, sweep.region),
            "sk": result.target.key,
            "set_to": seen
            | (first if reopened else {})
            | voided
            | ({_MISSING_FOR_UNDO: missing} if missing else {}),
            "at_first": {} if reopened else first,
            "remove": (
                *CLOSING_ATTRIBUTES,
                *(WARNING_ATTRIBUTES if void else ()),
                *(() if missing else (_MISSING_FOR_UNDO,)),
            ),
        }

    def close(self, entry: Entry, why: Cause, now: datetime) -> None:
        """
        Close *entry* because of *why*: its warning is void, and if it is
        found again it is announced again.
        """
        closed = {
            "closed": now,
            **store_cause("close_reason", why),
            EXPIRES_ATTRIBUTE: int((now + _CLOSED_RETENTION).timestamp()),
        }
        self._change(
            entry,
            set_to=closed | entry.voiding(why),
            remove=("announced", *WARNING_ATTRIBUTES, *REFUSAL_ATTRIBUTES),
        )

    # --- warnings -----------------------------------------------------------------------------

    def warned(
        self,
        entry: Entry,
        *,
        now: datetime,
        due: datetime,
        message: MessageRef = NO_MESSAGE,
        said: str = "",
        unmessaged: Cause | None = None,
    ) -> Entry:
        """
        Remember that Slack took the warning of *entry* as *message*, and return the warned entry.

        *unmessaged* says why its owner has no direct message so far. A warning that another run gave since
        the entry was read counts: then nothing changes.
        """
        about: dict[str, Any] = {"warned": now, "due": due, "channel": message.channel, "message": message.ts}
        cleared: dict[str, Any] = {"direct_channel": "", "direct_message": "", "hurried": "", "approved": ""}
        warned = replace(entry, **about, **cleared, memo={})
        set_to = {"said": said, **about, **store_cause("unmessaged", unmessaged), **self._mac(warned)}
        with suppress(ConditionFailedError):
            self._change(
                entry,
                set_to=set_to,
                remove=(VOIDED_ATTRIBUTE, *(name for name in WARNING_ATTRIBUTES if name not in set_to)),
                at_first={"announced": now},
                only_if=Attr("warned").not_exists(),
                signed=True,
            )
        return replace(warned, mac=set_to["mac"])

    def is_signed(self, entry: Entry) -> bool:
        """Return whether the janitor signed the warning and the memo of *entry*. Raises KMS's errors."""
        return self._signatures.verify(SignedKind.WARNING, entry.warning, entry.mac)

    def is_verified(self, entry: Entry) -> bool:
        """Return whether the warning of *entry* is signed, for display: False if that cannot be verified."""
        try:
            return self.is_signed(entry)
        except Exception:  # no key, no permission, or KMS did not answer
            return False

    def unsigned_cause(self, entry: Entry) -> Cause | None:
        """Return why the warning of *entry* does not count, or None if it is signed. Raises KMS's errors."""
        if not entry.mac:
            return make_cause(CauseCode.WARNING_UNSIGNED)
        return None if self.is_signed(entry) else make_cause(CauseCode.WARNING_INVALID)

    def _mac(self, entry: Entry) -> dict[str, str]:
        return {"mac": self._signatures.sign(SignedKind.WARNING, entry.warning)}

    def messaged(self, entry: Entry, message: MessageRef, *, late: datetime, due: datetime) -> None:
        """
        Remember that the owner of *entry* has the direct *message*: it is due at *due* instead of *late*.

        Raises ConditionFailedError if its date was moved, or its warning is void.
        """
        about: dict[str, Any] = {
            "direct_channel": message.channel,
            "direct_message": message.ts,
            "due": due,
        }
        self._change(
            entry,
            set_to={**about, **self._mac(replace(entry, **about))},
            remove=cause_attributes("unmessaged"),
            only_if=Attr("due").eq(late) & Attr("mac").eq(entry.mac),
            signed=True,
        )

    def unmessaged(self, entry: Entry, why: Cause) -> None:
        """
        Remember *why* the owner of *entry* has no direct message. Raises
        ConditionFailedError if the warning is void.
        """
        self._change(entry, set_to=store_cause("unmessaged", why), only_if=Attr("warned").exists())

    def make_due(self, entry: Entry, *, by: str, now: datetime) -> None:
        """Make *entry* due: *by* pressed *Do it now*. Raises ConditionFailedError if the warning changed."""
        signed = self._mac(replace(entry, due=now, hurried=by))
        self._change(entry, set_to={"due": now, "hurried": by, **signed}, only_if=_unchanged(entry))

    def approve(self, entry: Entry, *, by: str) -> None:
        """Remember that *by* approved it among many. Raises ConditionFailedError like `make_due`."""
        signed = self._mac(replace(entry, approved=by))
        self._change(entry, set_to={"approved": by, **signed}, only_if=_unchanged(entry))

    def void_warning(self, entry: Entry, why: Cause) -> None:
        """Void the warning because of *why*: the janitor would have to warn again."""
        self._change(entry, set_to={VOIDED_ATTRIBUTE: True, **entry.voiding(why)}, remove=WARNING_ATTRIBUTES)

    def void_shown(self, entry: Entry, place: str) -> None:
        """Remember that the message at *place* now shows the void warning; another message may not yet."""
        with suppress(ConditionFailedError):
            self._change(entry, remove=UNTOLD_ATTRIBUTES, only_if=Attr("untold").eq(place))

    def record_refusal(self, entry: Entry, why: Cause, now: datetime) -> None:
        """
        Remember that `prepare` refused it: its warning is void, and no new
        one follows before that changes.
        """
        refused = {VOIDED_ATTRIBUTE: True, **store_cause("refused", why), "refused_at": now}
        self._change(entry, set_to=refused | entry.voiding(why), remove=WARNING_ATTRIBUTES)

    def clear_refusal(self, entry: Entry) -> None:
        """Forget the refusal: it can be prepared again, and gets a warning like a new finding."""
        self._change(entry, remove=(*REFUSAL_ATTRIBUTES, "memo", "mac"))

    def record_not_done(self, entry: Entry, why: Cause, now: datetime) -> None:
        """Remember, while its warning stands, that the sweep of *now* did not act on it because of *why*."""
        with suppress(ConditionFailedError):
            not_done = {**store_cause("not_done", why), "not_done_at": now}
            self._change(entry, set_to=not_done, only_if=_warned(entry))

    def save_memo(self, entry: Entry, memo: Mapping[str, Any]) -> None:
        """Store the progress of `prepare`, unless somebody approved or hurried *entry* since it was read."""
        set_to = {"memo": json.dumps(memo), **self._mac(replace(entry, memo=memo))}
        with suppress(ConditionFailedError):
            self._change(entry, set_to=set_to, only_if=_same_mac(entry))

    def _change(self, entry: Entry, **changes: Any) -> None:
        where = partition_key(FINDING_KEY, entry.detector, entry.account, entry.region)
        self._table.change(where, entry.key, **changes)


def _entries(items: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return the complete *items* as entries: a late write may outlive an item that expired."""
    return [entry_from(item) for item in items if "detector" in item]


def _warned(entry: Entry) -> ConditionBase:
    """Return the condition that the warning of *entry* still stands."""
    return Attr("warned").eq(entry.warned)


def _unchanged(entry: Entry) -> ConditionBase:
    """Return the condition that the warning of *entry* stands as it was signed when it was read."""
    return _warned(entry) & _same_mac(entry)


def _same_mac(entry: Entry) -> ConditionBase:
    """Return the condition that *entry* has the signature that was read."""
    return Attr("mac").eq(entry.mac) if entry.mac else Attr("mac").not_exists()


def _is_unknown(sweep: Sweep, entry: Entry, verdict: Verdict | None) -> bool:
    """Return whether *sweep* could not judge the resource of *entry*, or may have missed it."""
    if verdict is not None:
        return isinstance(verdict, Kept) and verdict.unknown
    unread = {result.target.arn for result in sweep.results if result.target.created is None}
    return bool(sweep.unidentified) or entry.claim.arn in unread


def _why_closed(verdict: Verdict | None) -> Cause:
    """Return why a finding is closed, whose resource has this *verdict*; None if it is gone."""
    return (
        make_cause(CauseCode.NO_LONGER_WASTE, verdict.reason)
        if isinstance(verdict, Kept)
        else make_cause(CauseCode.GONE)
    )


def _lapsed(entry: Entry, now: datetime) -> Cause:
    """Return why *entry*'s warning lapsed: no sweep confirmed the finding for too long."""
    return make_cause(CauseCode.NOT_CONFIRMED, format_age(now - entry.last_seen))


def _claimed(result: Result) -> dict[str, Any]:
    """Return the change, the saving and its resources: enough to count each saving once."""
    cost = result.cost or Cost()
    dear = sorted(cost.shares.items(), key=lambda share: (-share[1], share[0]))[:_MOST_SHARES]
    return {
        "once_usd": round_keeping_small(cost.once_usd),
        "action": result.verdict.action if isinstance(result.verdict, Finding) else "",
        "change": result.change.value,
        "shares": {arn: round_keeping_small(usd) for arn, usd in dear},
        "parts": list(result.parts),
        "wholes": list(result.wholes),
    }
