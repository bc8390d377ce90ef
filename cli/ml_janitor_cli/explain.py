"""`janitor explain`: the reasons for the verdict on one resource."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

import boto3
import typer

from ml_janitor.aws.account import opened
from ml_janitor.aws.answers import attempt
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import Settings
from ml_janitor.core.signals import Signal, Unreadable, Value
from ml_janitor.core.text import plain
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.holds import Hold
from ml_janitor.engine.policy import Policy
from ml_janitor.engine.run import SIDE_BY_SIDE, sweep_one
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.holds import Holds
from ml_janitor.ledger.table import Table
from ml_janitor.report.mrkdwn import counted
from ml_janitor_cli import edge, explanation, explanation_view, names, prompts
from ml_janitor_cli.credentials import known_caller
from ml_janitor_cli.explanation import Explained
from ml_janitor_cli.failures import FailedError, ending_at_once
from ml_janitor_cli.ledger_session import TABLE
from ml_janitor_cli.screen import console, progress, write

NO_LEDGER = f"No ledger is named (--table or {TABLE}): what people kept or snoozed is not looked at."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
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
    config: edge.Config = None,
    now: edge.AsOf = None,
) -> int:
    """
    Explain one verdict: every signal, every step of the rule. Nothing is changed.

    Each resource is read again and judged by every detector for its kind, those that are switched off among
    them, whether it is found or kept. The ledger has what people kept or snoozed.

    Exit status: 0, every resource is there and was read; 1, something could not be read; 2, bad usage, such
    as an ARN or a name that no resource has; 3, a resource was deleted.

    \b
    Examples:
      janitor explain my-endpoint
      janitor explain arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-endpoint
      janitor explain --json arn:aws:s3:::my-bucket/models/model.tar.gz | jq .explanations
    """  # noqa: D301 - \b keeps the lines below it as they are
    setup = edge.setup(ctx, config, overrides, profile=profile, now=now)
    settings, session, attempts, at = setup.settings, setup.session, setup.attempts, setup.now
    texts = list(dict.fromkeys(text.strip() for text in resources))
    parsed = {text: parsed_from(text) for text in texts if text.startswith("arn:")}
    for text, arn in parsed.items():
        check_kind(text, arn, settings)
    places = {text: region_of(parsed.get(text), region, setup) for text in texts}
    regions = tuple(dict.fromkeys(places.values()))
    with ending_at_once():
        with progress("identifying the account"):
            account = known_caller(session, regions[0], attempts).account
        for text, arn in parsed.items():
            if arn.account not in {"", account}:
                raise edge.Refused(f"{text} is in account {arn.account}; the credentials are of {account}")
        with opened(
            session, account=account, regions=regions, attempts=attempts, pace=edge.pace()
        ) as accounts:
            by_region = dict(zip(regions, accounts, strict=True))
            asked = [
                question
                for text in texts
                for question in questions(text, parsed.get(text), by_region[places[text]], settings)
            ]
            with progress(f"looking at {counted(len(texts), 'resource')}"):
                ledger = ledger_of(session, table, regions, attempts)
                holds = attempt(lambda: holds_of(ledger, accounts), source="holds")
                policy = replace(settings.policy, holds=holds.value if isinstance(holds, Value) else {})
                answers = answered(asked, now=at, policy=policy, ledger=ledger)
    notes = [] if ledger else [NO_LEDGER]
    if isinstance(holds, Unreadable):
        notes = [f"What people kept or snoozed could not be read: {holds.error}"]
    if json:
        sys.stdout.write(explanation.text(answers, time=at, account=account))
    else:
        screen = console(sys.stdout)
        blocks = explanation_view.drawing(answers, now=at, account=account, width=screen.width, notes=notes)
        write(screen, blocks)
    verdicts = {explained.verdict for explained in answers}
    if isinstance(holds, Unreadable) or any(explained.sweep.error is not None for explained in answers):
        return 1
    return 2 if "not found" in verdicts else 3 if "deleted" in verdicts else 0


def parsed_from(text: str) -> Arn:
    """Parse *text* as an ARN."""
    try:
        return Arn.parse(text)
    except ValueError as error:
        raise edge.Refused(str(error)) from error


def check_kind(text: str, arn: Arn, settings: Settings) -> None:
    """Refuse an ARN of a kind that no detector judges."""
    if any(detector.judges(arn) for detector in settings.registry):
        return
    kinds = sorted({kind for detector in settings.registry for kind in detector.kinds})
    raise edge.Refused(
        f"no detector judges {text}, which is of kind {arn.kind} of {arn.service or 'no service'};"
        f" these kinds are judged: {', '.join(kinds)}"
    )


def region_of(arn: Arn | None, flag: str | None, setup: edge.Setup) -> str:
    """Return where to look: the ARN says so, except for S3; for a name, the first region of an audit."""
    where = (arn.region if arn else "") or flag
    return setup.regions([where] if where else None)[0]


def questions(text: str, arn: Arn | None, aws: Aws, settings: Settings) -> list[Question]:
    """Return a question for each detector that judges *arn*, else the resource called *text*."""
    if arn is None:
        text = arn_of(aws, text, settings)
        arn = Arn.parse(text)
    return [
        Question(arn=text, detector=settings.detector(detector), aws=aws)
        for detector in settings.registry
        if detector.judges(arn)
    ]


def arn_of(aws: Aws, name: str, settings: Settings) -> str:
    """Return the ARN of the resource called *name*; a person chooses among several. Raises Refused."""
    kinds = {kind for detector in settings.registry for kind in detector.kinds}
    with progress(f"looking for {plain(name)}"):
        known = names.resources_like(aws, name, kinds)
    arns = [resource.arn for resource in known.items if resource.is_called(name)]
    if len(arns) == 1:
        return arns[0]
    if arns:
        return prompts.chosen(f"{len(arns)} resources are called {plain(name)}", arns)
    if known.error is not None:
        raise FailedError(f"{name} could not be looked for: {known.error}")
    near = names.nearest(name, known.items)
    hint = f"did you mean {near.name} ({near.arn})?" if near else "--region says where else to look"
    raise edge.Refused(f"nothing in {aws.region} is called {name}; {hint}")


def ledger_of(
    session: boto3.Session, table: str | None, regions: Sequence[str], attempts: int
) -> Table | None:
    """Return the ledger's table, if one is named."""
    name = table or os.environ.get(TABLE)
    home = session.region_name or regions[0]
    return Table(make_client(session, "dynamodb", home, attempts), name) if name else None


def holds_of(ledger: Table | None, accounts: Sequence[Aws]) -> dict[str, tuple[Hold, ...]]:
    """Read what people kept and snoozed in *accounts*, by identity; nothing without a ledger."""
    if ledger is None:
        return {}
    return {key: held for aws in accounts for key, held in Holds(ledger).all(aws.account, aws.region).items()}


def answered(
    asked: Sequence[Question], *, now: datetime, policy: Policy, ledger: Table | None
) -> list[Explained]:
    """Look at everything that is *asked*, side by side; look for what became of missing resources."""

    def answer(question: Question) -> Explained:
        judged = sweep_one(question.detector, question.aws, question.arn, now=now, policy=policy)
        return Explained(arn=question.arn, sweep=judged)

    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(asked)), thread_name_prefix="explain") as side_by_side:
        answers = list(side_by_side.map(answer, asked))
    seen = {explained.arn for explained in answers if explained.result is not None}
    missing: dict[str, list[Question]] = {}
    for explained, question in zip(answers, asked, strict=True):
        if explained.missing and explained.arn not in seen:
            missing.setdefault(explained.arn, []).append(question)
    became = {arn: absence(unanswered, now, ledger) for arn, unanswered in missing.items()}
    listed = {arn for arn, (_, near) in became.items() if near is not None and near.lower() == arn.lower()}
    complete: list[Explained] = []
    for explained in answers:
        if explained.missing and explained.arn in seen | listed:
            complete.append(replace(explained, exists=True))
        elif explained.missing:
            deleted, near = became[explained.arn]
            complete.append(replace(explained, deleted=deleted, near=near))
        else:
            complete.append(explained)
    return complete


def absence(
    unanswered: Sequence[Question], now: datetime, ledger: Table | None
) -> tuple[Signal[datetime], str | None]:
    """Find when a missing resource was deleted; if nothing shows a deletion, find an ARN like its own."""
    aws, text = unanswered[0].aws, unanswered[0].arn
    arn = Arn.parse(text)
    deleted = names.deletion(aws, arn, now)
    if not isinstance(deleted, Value) and ledger is not None:
        known = attempt(
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
    near = names.nearest(name, names.resources_like(aws, name, {arn.kind}).items)
    return deleted, near.arn if near else None
