"""`janitor explain`: the reasons for the verdict on one resource."""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from itertools import groupby, product
from typing import Annotated, Any, NamedTuple

import boto3
import typer
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ml_janitor.aws import activity, studio_apps
from ml_janitor.aws.calls import Listing, error_text, make_client, read_signal
from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.aws.sagemaker_kinds import APP, SageMakerKind, list_kind, texts_in
from ml_janitor.aws.tags import Arn
from ml_janitor.config.settings import Settings
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Evidence,
    Finding,
    NotRead,
    Signal,
    Target,
    Unreadable,
    Value,
    as_evidence,
)
from ml_janitor.core.results import Result, Sweep
from ml_janitor.core.text import count_noun, escape_text, format_time
from ml_janitor.detectors.untagged_resources import reading
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import Hold, RunPolicy
from ml_janitor.engine.run import SWEEPS_AT_ONCE, sweep_resource
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.table import Table
from ml_janitor.report.causes import undo_by_hand_text
from ml_janitor.report.finding_words import NO_OWNER
from ml_janitor.report.json import evidence_fields, iso_time, once_and_risk_fields, usd_number
from ml_janitor_cli import edge
from ml_janitor_cli.completion import last_report
from ml_janitor_cli.screen import (
    COLUMN_GAP,
    Grid,
    draw_action,
    draw_head,
    draw_long_commands,
    draw_title,
    make_console,
    print_blocks,
    show_progress,
)
from ml_janitor_cli.stack import STACK_NAME, DeployedStack, RegionServices
from ml_janitor_cli.terminal import ERROR_LIMIT, NAME_LIMIT, once_sentence, price_lines, since_text

# --- command --------------------------------------------------------------------------------------

NO_LEDGER_NOTE = (
    f"Holds of people are not read: no ledger is named (--table or {edge.TABLE_VARIABLE}), "
    f"and no stack {STACK_NAME} was found."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainQuestion:
    """One resource that one detector judges, and the account to ask."""

    arn: str
    detector: Detector[Any]
    aws: Aws


def explain(
    ctx: typer.Context,
    *,
    resources: Annotated[list[str], edge.argument("RESOURCE...", "The ARNs or names of the resources.")],
    region: Annotated[
        str | None, edge.option("REGION", "Where to look for a name, or an ARN without region (S3).")
    ] = None,
    profile: edge.Profile = None,
    table: edge.TableName = None,
    json: edge.Json = False,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
    now: edge.AsOf = None,
) -> int:
    """
    Explain one verdict: every signal, every step of the rule. Nothing is changed.

    Each resource is read again and judged by every detector for its kind, those that are switched off among
    them, whether it is found or kept. The ledger has what people kept or snoozed. If several resources
    share a name, it explains the resource with a finding, else the one that costs money, else all.

    Exit status: 0, every resource is there and was read; 1, something could not be read; 2, bad usage, such
    as an ARN or a name that no resource has; 3, a resource was deleted.

    \b
    Examples:
      janitor explain my-endpoint
      janitor explain arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-endpoint
      janitor explain --json arn:aws:s3:::my-bucket/models/model.tar.gz | jq .explanations
    """  # noqa: D301 - \b keeps the lines below it as they are
    setup = edge.make_setup(ctx, config, overrides, profile=profile, now=now)
    settings, session, attempts, at = setup.settings, setup.session, setup.attempts, setup.now
    texts = list(dict.fromkeys(text.strip() for text in resources))
    parsed = {text: parse_arn(text) for text in texts if text.startswith("arn:")}
    for text, arn in parsed.items():
        check_kind_is_judged(text, arn, settings)
    places = {text: regions_to_search(parsed.get(text), region, setup) for text in texts}
    regions = tuple(dict.fromkeys(place for where in places.values() for place in where))
    with edge.end_on_interrupt():
        with show_progress("identifying the account"):
            account = edge.require_caller(session, regions[0], attempts).account
        for text, arn in parsed.items():
            check_account(text, arn, account)
        with open_regions(
            session, account=account, regions=regions, attempts=attempts, pace=edge.call_pace()
        ) as accounts:
            by_region = dict(zip(regions, accounts, strict=True))
            ledger = open_ledger_table(session, table, regions, attempts)
            names = [text for text in texts if text not in parsed]
            where = [by_region[region] for region in regions_to_search(None, region, setup)] if names else []
            with show_progress(f"looking for {escape_text(', '.join(names))}"):
                known = KnownNames.read(where, settings, ledger) if names else None
                found = find_arns(where, names, settings, now=at, known=known)
            called = {text: [text] if text in parsed else found[text] for text in texts}
            asked = [
                question
                for arn in dict.fromkeys(arn for arns in called.values() for arn in arns)
                for question in make_questions(arn, by_region, places.get(arn, regions)[0], settings)
            ]
            with show_progress(f"looking at {count_noun(len(called), 'resource')}"):
                holds = read_signal(lambda: read_holds(ledger, accounts), source="holds")
                policy = replace(settings.policy, holds=holds.value if isinstance(holds, Value) else {})
                answers = answer_questions(asked, now=at, policy=policy, ledger=ledger)
    meant = {text: meant_resources(arns, answers) for text, arns in called.items()}
    shown = {arn for arns in meant.values() for arn in arns}
    answers = [answer for answer in answers if answer.arn in shown]
    left = {text: [arn for arn in arns if arn not in shown] for text, arns in called.items()}
    also = {text: arns for text, arns in left.items() if arns}
    notes = [f"Also called {text}: {', '.join(arns)}." for text, arns in also.items()]
    notes += [] if ledger else [NO_LEDGER_NOTE]
    if isinstance(holds, Unreadable):
        notes += [f"Holds of people could not be read: {holds.error}"]
    if json:
        sys.stdout.write(explanation_json(answers, also, time=at, account=account))
    else:
        screen = make_console(sys.stdout)
        blocks = draw_explanations(answers, now=at, account=account, width=screen.width, notes=notes)
        print_blocks(blocks, screen)
    verdicts = {explained.verdict for explained in answers}
    if isinstance(holds, Unreadable) or any(explained.sweep.error is not None for explained in answers):
        return 1
    return 2 if "not found" in verdicts else 3 if "deleted" in verdicts else 0


def parse_arn(text: str) -> Arn:
    """Parse *text* as an ARN."""
    try:
        return Arn.parse(text)
    except ValueError as error:
        raise edge.CommandRefusedError(str(error)) from error


def check_kind_is_judged(text: str, arn: Arn, settings: Settings) -> None:
    """Refuse an ARN of a kind that no detector judges."""
    if any(detector.judges(arn) for detector in settings.registry):
        return
    kinds = sorted({kind for detector in settings.registry for kind in detector.kinds})
    raise edge.CommandRefusedError(
        f"no detector judges {text}, which is of kind {arn.kind} of {arn.service or 'no service'};"
        f" these kinds are judged: {', '.join(kinds)}"
    )


def check_account(text: str, arn: Arn, account: str) -> None:
    """Refuse an ARN of another account than that of the credentials."""
    if arn.account not in {"", account}:
        raise edge.CommandRefusedError(
            f"{text} is in account {arn.account}; the credentials are of {account}"
        )


def regions_to_search(arn: Arn | None, flag: str | None, setup: edge.Setup) -> tuple[str, ...]:
    """Return where to look: where an ARN says (S3's does not); for a name, all regions of an audit."""
    where = (arn.region if arn else "") or flag
    regions = setup.regions([where] if where else None)
    return regions if arn is None else regions[:1]


def make_questions(
    text: str, by_region: Mapping[str, Aws], region: str, settings: Settings
) -> list[ExplainQuestion]:
    """Return a question for each detector that judges the ARN *text*, in its region, else in *region*."""
    arn = Arn.parse(text)
    return [
        ExplainQuestion(arn=text, detector=settings.detector(detector), aws=by_region[arn.region or region])
        for detector in settings.registry
        if detector.judges(arn)
    ]


def find_arns(
    accounts: Sequence[Aws],
    names: Sequence[str],
    settings: Settings,
    *,
    now: datetime,
    known: KnownNames | None = None,
) -> dict[str, list[str]]:
    """
    Return the ARNs of all resources of each of *names*, in every region that is looked at.

    A name that no listing has may be one that a report gives to something else: a family of jobs, an object,
    a line of the bill. Last come *known* names of what is gone. Raises CommandRefusedError if nothing has a
    name, and FailedError if something could not be listed.
    """
    kinds = {kind for detector in settings.registry for kind in detector.kinds}
    listed = [resources_like(aws, names, kinds) for aws in accounts] if names else []
    resources = list(dict.fromkeys(resource for listing in listed for resource in listing.items))
    called: dict[str, list[str]] = {}
    for name in names:
        arns = [resource.arn for resource in resources if resource.is_called(name)]
        more, errors = find_called_arns(accounts, name, settings, now, found=bool(arns))
        called[name] = list(dict.fromkeys([*arns, *more])) or (known.arns(name) if known else [])
        if called[name]:
            continue
        errors = [listing.error for listing in listed if listing.error is not None] + errors
        if errors:
            raise edge.FailedError(f"{name} could not be looked for: {errors[0]}")
        near = nearest_resource(name, resources)
        hint = f"did you mean {near.name} ({near.arn})?" if near else "--region says where else to look"
        where = ", ".join(aws.region for aws in accounts)
        raise edge.CommandRefusedError(f"nothing in {where} is called {name}; {hint}")
    return called


def find_called_arns(
    accounts: Sequence[Aws], name: str, settings: Settings, now: datetime, *, found: bool
) -> tuple[list[str], list[str]]:
    """
    Return the ARNs of what detectors call *name* and no listing of names has, and why there may be more.

    Where something is *found* already, detectors that would have to read everything are not asked.
    """
    asked = [
        (settings.detector(detector), aws)
        for detector in settings.registry
        if detector.find_called is not Detector.find_called
        or (not found and not LISTED_KINDS.issuperset(detector.kinds))
        for aws in accounts
    ]

    def ask(question: tuple[Detector[Any], Aws]) -> Listing[str]:
        detector, aws = question
        arns: list[str] = []
        try:
            arns += detector.find_called(aws, name, now)
        except Exception as error:  # like a listing that breaks off; what was found before counts
            return Listing(tuple(arns), error_text(error))
        return Listing(tuple(arns), None)

    with ThreadPoolExecutor(min(SWEEPS_AT_ONCE, len(asked)), thread_name_prefix="called") as side_by_side:
        answers = list(side_by_side.map(ask, asked))
    return (
        [arn for answer in answers for arn in answer.items],
        [answer.error for answer in answers if answer.error is not None],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNames:
    """The names in earlier reports, by name the ARNs: what they name may be gone since."""

    arns_by_name: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, accounts: Sequence[Aws], settings: Settings, ledger: Table | None) -> KnownNames:
        """Read the names in the ledger, and in a report of the same account in this folder."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        remembered = None if ledger is None else Ledger(ledger)
        for aws, detector in product(accounts, settings.registry):
            if remembered is not None:
                entries = read_signal(
                    partial(remembered.entries, detector.name, aws.account, aws.region), source="ledger"
                )
                for entry in entries.value if isinstance(entries, Value) else ():
                    found[entry.name][entry.arn] = None
        try:
            report = last_report()
            results = report["results"] if report["account"] == accounts[0].account else []
            for result in results:
                found[str(result["name"])][str(result["arn"])] = None
        except (LookupError, TypeError):
            pass  # there is none, or it is another file
        return cls(arns_by_name={name: tuple(arns) for name, arns in found.items()})

    def arns(self, name: str) -> list[str]:
        """Return the ARNs of *name*."""
        return list(self.arns_by_name.get(name, ()))


def meant_resources(arns: Sequence[str], answers: Sequence[Explanation]) -> list[str]:
    """
    Return which of the resources *arns*, all of one name, a person means.

    An endpoint, its configuration and its model often share a name: it is the one with a finding, else the
    one that costs money, else all.
    """
    found = [arn for arn in arns if any(a.arn == arn and a.verdict == "found" for a in answers)]
    likely = found or list(arns)
    billed = [arn for arn in likely if any(a.arn == arn and a.costs_money for a in answers)]
    return next((left for left in (likely, billed) if len(left) == 1), list(arns))


def open_ledger_table(
    session: boto3.Session, table: str | None, regions: Sequence[str], attempts: int
) -> Table | None:
    """Return the ledger's table: *table*, else that of the deployed stack; None if neither is there."""
    home = session.region_name or regions[0]
    if not table:
        found = RegionServices(session, home, attempts=attempts).find(STACK_NAME)
        table = found.table if isinstance(found, DeployedStack) else None
    return Table(make_client(session, "dynamodb", home, attempts), table) if table else None


def read_holds(ledger: Table | None, accounts: Sequence[Aws]) -> dict[str, tuple[Hold, ...]]:
    """Read what people kept and snoozed in *accounts*, by identity; nothing without a ledger."""
    if ledger is None:
        return {}
    return {key: held for aws in accounts for key, held in Holds(ledger).all(aws.account, aws.region).items()}


def answer_questions(
    asked: Sequence[ExplainQuestion], *, now: datetime, policy: RunPolicy, ledger: Table | None
) -> list[Explanation]:
    """Look at everything that is *asked*, side by side; look for what became of missing resources."""

    def answer(question: ExplainQuestion) -> Explanation:
        judged = sweep_resource(question.detector, question.aws, question.arn, now=now, policy=policy)
        return Explanation(arn=question.arn, sweep=judged)

    with ThreadPoolExecutor(min(SWEEPS_AT_ONCE, len(asked)), thread_name_prefix="explain") as side_by_side:
        answers = list(side_by_side.map(answer, asked))
    seen = {explained.arn for explained in answers if explained.result is not None}
    missing: dict[str, list[ExplainQuestion]] = {}
    for explained, question in zip(answers, asked, strict=True):
        if explained.missing and explained.arn not in seen:
            missing.setdefault(explained.arn, []).append(question)
    became = {arn: find_absence(unanswered, now, ledger) for arn, unanswered in missing.items()}
    listed = {arn for arn, (_, near) in became.items() if near is not None and near.lower() == arn.lower()}
    complete: list[Explanation] = []
    for explained in answers:
        if explained.missing and explained.arn in seen | listed:
            complete.append(replace(explained, exists=True))
        elif explained.missing:
            deleted, near = became[explained.arn]
            complete.append(replace(explained, deleted=deleted, near=near))
        else:
            complete.append(explained)
    return complete


def find_absence(
    unanswered: Sequence[ExplainQuestion], now: datetime, ledger: Table | None
) -> tuple[Signal[datetime], str | None]:
    """Find when a missing resource was deleted; if nothing shows a deletion, find an ARN like its own."""
    aws, text = unanswered[0].aws, unanswered[0].arn
    arn = Arn.parse(text)
    deleted = find_deletion(aws, arn, now)
    if not isinstance(deleted, Value) and ledger is not None:
        known = read_signal(
            lambda: [
                entry.last_seen
                for question in unanswered
                for entry in Ledger(ledger).entries(question.detector.name, aws.account, aws.region)
                if entry.arn == text
            ],
            source="last seen by the ledger",
        )
        if isinstance(known, Value) and known.value:
            deleted = Value(max(known.value), known.source)
    if isinstance(deleted, Value):
        return deleted, None
    name = arn.name.rpartition("/")[2]
    near = nearest_resource(name, resources_like(aws, [name], {arn.kind}).items)
    return deleted, near.arn if near else None


# --- resources by name ----------------------------------------------------------------------------

MOST_EVENT_PAGES = 10
"""Maximum pages of CloudTrail's events, 50 each, newest first."""

DELETE_CALLS = {kind.type: f"Delete{kind.noun}" for kind in (APP, *reading.JUDGED_KINDS)} | {
    "bucket": "DeleteBucket",
    "repository": "DeleteRepository",
}
"""The call that deletes a resource of each kind; calls for S3 objects are in no event history."""


class NamedResource(NamedTuple):
    """One resource and its name in reports."""

    name: str
    arn: str

    def is_called(self, name: str) -> bool:
        """Return whether *name* is its name, or the end of its ARN."""
        return name == self.name or self.arn.lower().endswith(f"/{name.lower()}")


LISTED_KINDS = frozenset({APP.type, "bucket", "repository", *(kind.type for kind in reading.JUDGED_KINDS)})
"""The kinds of which `resources_like` lists the names."""


def resources_like(aws: Aws, names: Sequence[str], kinds: Collection[str]) -> Listing[NamedResource]:
    """
    List the resources of *kinds* that one of *names* may be meant for, including ended jobs.

    Where AWS filters by a part of the name, each half of a single name is asked for: a typing error spoils
    only one. For several names everything is listed once.
    """
    name = names[0] if len(names) == 1 else ""
    half = len(name) // 2 if len(name) > 3 else 0
    parts = [part for part in {name[:half], name[half:]} if re.fullmatch(r"[a-zA-Z0-9-]{1,63}", part)]

    def sagemaker(kind: SageMakerKind, **query: str) -> Listing[NamedResource]:
        return list_kind(
            aws, kind, lambda entry: NamedResource(kind.name_of(entry), kind.arn_of(aws, entry)), **query
        )

    def owned(read: Callable[[Aws, set[str]], Listing[reading.TaggableResource]]) -> Listing[NamedResource]:
        listed = read(aws, set())
        return Listing(
            tuple(NamedResource(resource.name, resource.arn) for resource in listed.items), listed.error
        )

    def apps() -> Listing[NamedResource]:
        listed = studio_apps.list_apps(aws)
        return Listing(
            tuple(NamedResource(app.target.name, app.target.arn) for app in listed.items), listed.error
        )

    reads: list[Callable[[], Listing[NamedResource]]] = []
    for kind in reading.JUDGED_KINDS:
        if kind.type in kinds:
            queries = [{"NameContains": part} for part in parts] if kind.named_in_arn and name else [{}]
            reads += [partial(sagemaker, kind, **query) for query in queries]
    reads += [apps] if APP.type in kinds else []
    reads += [partial(owned, reading.list_tagged_buckets)] if "bucket" in kinds else []
    reads += [partial(owned, reading.list_tagged_repositories)] if "repository" in kinds else []
    found = aws.map(lambda read: read(), reads)
    errors = [listed.error for listed in found if listed.error is not None]
    return Listing(
        tuple({resource: None for listed in found for resource in listed.items}), "; ".join(errors) or None
    )


def nearest_resource(name: str, known: Collection[NamedResource]) -> NamedResource | None:
    """Return the resource in *known* whose name is most like *name*, if any is."""
    by_name = {resource.name: resource for resource in known}
    near = get_close_matches(name, by_name, 1)
    return by_name[near[0]] if near else None


def find_deletion(aws: Aws, arn: Arn, now: datetime) -> Signal[datetime]:
    """Find when somebody deleted the resource *arn*, as far back as CloudTrail's event history goes."""
    if (call := DELETE_CALLS.get(arn.kind)) is None:
        return NotRead()
    events = activity.look_up_events(
        aws, call, now - activity.EVENT_RETENTION, now, most_pages=MOST_EVENT_PAGES
    )
    parts = set(arn.name.lower().split("/"))
    for event in events.items:
        if event.succeeded and parts <= {text.lower() for text in texts_in(event.request)}:
            return Value(event.at, activity.LOOKUP_EVENTS)
    return Absent(activity.LOOKUP_EVENTS) if events.error is None else Unreadable(events.error)


# --- explanation as JSON --------------------------------------------------------------------------

EXPLANATION_VERSION = 2

TAGS_SIGNAL = "tags"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    One resource as one detector judges it: the sweep of nothing but *arn*.

    *deleted* is when it was deleted, if it is not there; *near* is an ARN that may be meant instead. It
    *exists* if anything else in the account shows it, though the detector does not judge it.
    """

    arn: str
    sweep: Sweep
    deleted: Signal[datetime] = field(default_factory=NotRead)
    near: str | None = None
    exists: bool = False

    @property
    def result(self) -> Result | None:
        """Return its judgement; None if it is not there or could not be looked at."""
        return self.sweep.results[0] if self.sweep.results else None

    @property
    def costs_money(self) -> bool:
        """Return whether its judgement names a cost."""
        return self.result is not None and bool(self.result.monthly_usd or self.result.accrued_usd)

    @property
    def missing(self) -> bool:
        """Return whether the detector looked for it, and judges nothing of that ARN."""
        return not self.sweep.results and self.sweep.error is None

    @property
    def verdict(self) -> str:
        """Return the verdict in one word."""
        match self.result:
            case None:
                if not self.missing:
                    return "not looked at"
                if self.exists:
                    return "not judged"
                return "deleted" if isinstance(self.deleted, Value) else "not found"
            case Result(verdict=Finding()):
                return "found"
            case Result(verdict=kept):
                return "unknown" if getattr(kept, "unknown", False) else "kept"


def signals_with_tags(result: Result) -> tuple[Evidence, ...]:
    """Return the signals that the rule saw, and the tags, which say what is exempt and whose it is."""
    seen = result.verdict.evidence
    if any(evidence.signal == TAGS_SIGNAL for evidence in seen):
        return seen
    return (*seen, _tags(result.target))


def _tags(target: Target) -> Evidence:
    shown = None
    if isinstance(target.tags, Value):
        shown = ", ".join(f"{key}={value}" for key, value in sorted(target.tags.value.items())) or "none"
    return as_evidence(TAGS_SIGNAL, target.tags, shown)


def explanation_json(
    explained: Sequence[Explanation], also: Mapping[str, Sequence[str]], *, time: datetime, account: str
) -> str:
    """
    Return the document as JSON text, ASCII only like a report's.

    *also* has the ARNs that share a name with what is explained, by that name.
    """
    document = {
        "schema_version": EXPLANATION_VERSION,
        "time": iso_time(time),
        "account": account,
        "explanations": [_document(judged) for judged in explained],
        "also_called": also,
    }
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _document(explained: Explanation) -> dict[str, Any]:
    about = {
        "arn": explained.arn,
        "detector": explained.sweep.detector,
        "region": explained.sweep.region,
        "verdict": explained.verdict,
        "error": explained.sweep.error,
    }
    if (result := explained.result) is None:
        deleted = explained.deleted.value if isinstance(explained.deleted, Value) else None
        return about | {"deleted": iso_time(deleted), "did_you_mean": explained.near}
    verdict = result.verdict
    finding = verdict if isinstance(verdict, Finding) else None
    return about | {
        "name": result.target.name,
        "created": iso_time(result.target.created),
        "owner": result.owner,
        "signals": [
            evidence_fields(seen) | {"source": seen.source or None, "at": iso_time(seen.at)}
            for seen in signals_with_tags(result)
        ],
        "steps": list(verdict.steps),
        "reason": verdict.reason,
        "confidence": finding.confidence.value if finding else None,
        "action": finding.action if finding else None,
        "undo_by_hand": undo_by_hand_text(result) or None,
        "since": iso_time(finding.since) if finding else None,
        "monthly_usd": usd_number(result.monthly_usd),
        "accrued_usd": usd_number(result.accrued_usd),
        **once_and_risk_fields(result.cost),
    }


# --- drawing --------------------------------------------------------------------------------------

EXPLANATION_INDENT = 2
ARN_LIMIT = 2_048
SIGNAL_WIDTH = 30
ROOM_FOR_VALUE = 30
"""Width below which source calls move from beside the values to below them."""

NOT_JUDGED_TEXT = (
    "This detector does not check resources like this one: janitor docs DETECTOR says which it checks."
)
"""Text for a resource that exists, such as an incomplete job, where a detector judges completed jobs only."""

VERDICT_STYLES = {"found": "bold red", "kept": "bold green", "unknown": "bold yellow"}


def draw_explanations(
    explained: Sequence[Explanation], *, now: datetime, account: str, width: int, notes: Sequence[str] = ()
) -> Iterator[RenderableType]:
    """Yield each resource once, with every detector that judges it; then *notes*."""
    facts = [f"account {escape_text(account)}", format_time(now), "dry run, nothing changed"]
    yield Group(
        draw_title("ML Janitor", explanations_headline(explained)),
        Text("  ".join(facts), style="dim"),
    )
    for arn, of_arn in groupby(explained, key=lambda judged: judged.arn):
        judged = list(of_arn)
        yield draw_resource(arn, judged, now)
        for answer in judged:
            if not answer.missing:
                yield draw_answer([answer], now, width)
                if answer.result is not None and isinstance(answer.result.verdict, Finding):
                    yield from draw_long_commands(answer.result.verdict.action, width - EXPLANATION_INDENT)
        if missing := [answer for answer in judged if answer.missing]:
            yield draw_answer(missing, now, width)
    if notes:
        yield Group(*(Text(escape_text(note, ERROR_LIMIT), style="dim") for note in notes))


def draw_answer(alike: Sequence[Explanation], now: datetime, width: int) -> RenderableType:
    """Draw the answer of one detector about a resource, or of several with the same answer."""
    return Group(
        draw_verdict(alike),
        Padding(draw_answer_body(alike[0], now, width - EXPLANATION_INDENT), (0, 0, 0, EXPLANATION_INDENT)),
    )


def explanations_headline(explained: Sequence[Explanation]) -> str:
    """Summarize the explanations in one sentence."""
    verdicts = [answer.verdict for answer in explained]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)]
    resources = len({answer.arn for answer in explained})
    return (
        f"{count_noun(len(verdicts), 'verdict')} on {count_noun(resources, 'resource')}: {', '.join(counts)}."
    )


def draw_resource(arn: str, judged: Sequence[Explanation], now: datetime) -> RenderableType:
    """Say which resource it is."""
    lines: list[RenderableType] = []
    results = [answer.result for answer in judged if answer.result is not None]
    result = next((found for found in results if found.target.arn.lower() == arn.lower()), None)
    name = result.target.name if result else Arn.parse(arn).name
    lines.append(Text(escape_text(name, NAME_LIMIT), style="bold", overflow="fold"))
    lines.append(Text(escape_text(arn, ARN_LIMIT), style="dim", overflow="fold"))
    if result is not None:
        created = result.target.created
        facts = [
            f"{escape_text(result.target.kind)} in {escape_text(result.target.region)}",
            f"created {format_time(created)}, {format_age(now - created)} ago"
            if created
            else "creation time unknown",
            f"owner {escape_text(result.owner)}" if result.owner else NO_OWNER,
        ]
        lines.append(Text("  ".join(facts)))
    return Group(*lines)


def draw_verdict(alike: Sequence[Explanation]) -> RenderableType:
    """Draw the detectors, and their verdict in a word or two."""
    first = alike[0]
    text = first.verdict
    if first.result is not None and isinstance(first.result.verdict, Finding):
        text += f", {first.result.verdict.confidence}"
    names = Text(", ".join(escape_text(answer.sweep.detector) for answer in alike), style="bold cyan")
    return draw_head(names, Text(text, style=VERDICT_STYLES.get(first.verdict, "bold")))


def draw_answer_body(answer: Explanation, now: datetime, width: int) -> RenderableType:
    """Draw signals, steps and verdict; or why there are none."""
    lines: list[RenderableType] = []
    if answer.missing and answer.exists:
        lines.append(Text(NOT_JUDGED_TEXT))
    elif answer.missing:
        lines.append(Text(f"It is not in {escape_text(answer.sweep.region)}: {absence_text(answer)}."))
        if answer.near is not None:
            lines.append(Text(f"Did you mean {escape_text(answer.near, ARN_LIMIT)}?", overflow="fold"))
    if answer.result is not None:
        if answer.result.target.arn.lower() != answer.arn.lower():
            lines.append(Text(f"Judged as one of {escape_text(answer.result.target.name)}.", overflow="fold"))
        lines += [_signals(signals_with_tags(answer.result), width), "", _steps(answer.result)]
        lines += _proposal(answer.result, now, width)
    if answer.sweep.error is not None:
        lines.append(Text(f"Not complete: {escape_text(answer.sweep.error, ERROR_LIMIT)}", style="red"))
    return Group(*lines)


def absence_text(answer: Explanation) -> str:
    """Say why it is not there, as far as anything shows."""
    elsewhere = "" if Arn.parse(answer.arn).region else "; it may be in another region (see --region)"
    match answer.deleted:
        case Value(at, source):
            return f"it was deleted ({source}, {format_time(at)})"
        case Absent(source):
            return (
                f"nothing shows that it ever was ({source} knows no deletion of it); check the ARN{elsewhere}"
            )
        case Unreadable(error):
            return (
                f"whether it ever was is unknown ({escape_text(error, ERROR_LIMIT)}); check the "
                f"ARN{elsewhere}"
            )
        case _:
            return f"whether it ever was is unknown; check the ARN{elsewhere}"


def _signals(seen: Sequence[Evidence], width: int) -> RenderableType:
    """Draw every signal with its value, its time, and the call that it is from."""
    longest = max(cell_len(escape_text(evidence.signal)) for evidence in seen)
    source = max(cell_len(escape_text(evidence.source)) for evidence in seen)
    name = min(SIGNAL_WIDTH, longest)
    room = width - name - source - 2 * COLUMN_GAP
    beside = room >= ROOM_FOR_VALUE
    if not beside:
        name = min(width // 3, longest)
    table = Grid()
    table.add_column(width=name, overflow="fold")
    table.add_column(width=room if beside else width - name - COLUMN_GAP, overflow="fold")
    if beside:
        table.add_column(style="dim", no_wrap=True)
    for evidence in seen:
        call = Text(escape_text(evidence.source), style="dim")
        lines = [*_value(evidence), *_time(evidence)]
        if beside:
            table.add_row(Text(escape_text(evidence.signal), style="dim"), Group(*lines), call)
        else:
            table.add_row(
                Text(escape_text(evidence.signal), style="dim"),
                Group(*lines, *([call] if evidence.source else [])),
            )
    return table


def _value(evidence: Evidence) -> list[Text]:
    if evidence.error is not None:
        return [Text(f"not readable: {escape_text(evidence.error, ERROR_LIMIT)}", style="yellow")]
    match evidence.value:
        case None:
            return [Text("none", style="dim")]
        case str() if evidence.signal == TAGS_SIGNAL:
            return [Text(escape_text(tag)) for tag in evidence.value.split(", ")]
        case bool() | str():
            return [Text(escape_text(str(evidence.value), ERROR_LIMIT))]
        case int():
            return [Text(f"{evidence.value:,}")]
        case _:
            return [Text(f"{evidence.value:g}")]


def _time(evidence: Evidence) -> list[Text]:
    """Draw the time of the signal, unless its value says so already."""
    if (
        evidence.at is None
        or f"{evidence.at:%Y-%m-%dT%H:%M}" in str(evidence.value)
        or format_time(evidence.at) in str(evidence.value)
    ):
        return []
    return [Text(format_time(evidence.at), style="dim")]


def _steps(result: Result) -> RenderableType:
    """Draw the rule's steps in the order they were taken; the last one is the verdict."""
    steps = result.verdict.steps or (result.verdict.reason,)
    table = Grid()
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column()
    for number, step in enumerate(steps, start=1):
        table.add_row(
            str(number), Text(escape_text(step, ERROR_LIMIT), style="bold" if number == len(steps) else "")
        )
    return table


def _proposal(result: Result, now: datetime, width: int) -> Iterator[RenderableType]:
    """Draw the cost of a finding, and the proposed action."""
    if not isinstance(result.verdict, Finding):
        return
    finding, facts = result.verdict, []
    if (cost := finding.cost) is not None:
        amount, per, *rate = price_lines(cost)
        facts += [
            f"Cost: {', '.join((f'{amount} {per}', *rate))} ({escape_text(cost.source) or 'no source'})"
        ]
    if once := once_sentence(finding.cost):
        facts.append(f"{once[0].lower()}{once[1:].rstrip('.')}")
    if finding.since is not None:
        facts.append(f"waste since {since_text(finding, now)}")
    yield ""
    if facts:
        text = "; ".join(facts)
        yield Text(f"{text[0].upper()}{text[1:]}")
    yield draw_action(finding.action, width)
    if by_hand := undo_by_hand_text(result):
        yield Text(f"{by_hand[0].upper()}{escape_text(by_hand[1:], ERROR_LIMIT)}.", overflow="fold")
