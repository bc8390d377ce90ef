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

from ml_janitor.aws.account import open_regions
from ml_janitor.aws.answers import read_signal
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import Settings
from ml_janitor.core.signals import Signal, Unreadable, Value
from ml_janitor.core.text import escape_text
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.holds import Hold
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import SWEEPS_AT_ONCE, sweep_resource
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.holds import Holds
from ml_janitor.ledger.table import Table
from ml_janitor.report.mrkdwn import count_noun
from ml_janitor_cli import edge, explanation, explanation_view, names, prompts
from ml_janitor_cli.credentials import require_caller
from ml_janitor_cli.explanation import Explanation
from ml_janitor_cli.failures import FailedError, end_on_interrupt
from ml_janitor_cli.ledger_session import TABLE_VARIABLE
from ml_janitor_cli.screen import make_console, print_blocks, show_progress

NO_LEDGER_NOTE = (
    f"No ledger is named (--table or {TABLE_VARIABLE}): what people kept or snoozed is not looked at."
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
    them, whether it is found or kept. The ledger has what people kept or snoozed.

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
    places = {text: region_to_search(parsed.get(text), region, setup) for text in texts}
    regions = tuple(dict.fromkeys(places.values()))
    with end_on_interrupt():
        with show_progress("identifying the account"):
            account = require_caller(session, regions[0], attempts).account
        for text, arn in parsed.items():
            if arn.account not in {"", account}:
                raise edge.CommandRefusedError(
                    f"{text} is in account {arn.account}; the credentials are of {account}"
                )
        with open_regions(
            session, account=account, regions=regions, attempts=attempts, pace=edge.call_pace()
        ) as accounts:
            by_region = dict(zip(regions, accounts, strict=True))
            asked = [
                question
                for text in texts
                for question in make_questions(text, parsed.get(text), by_region[places[text]], settings)
            ]
            with show_progress(f"looking at {count_noun(len(texts), 'resource')}"):
                ledger = open_ledger_table(session, table, regions, attempts)
                holds = read_signal(lambda: read_holds(ledger, accounts), source="holds")
                policy = replace(settings.policy, holds=holds.value if isinstance(holds, Value) else {})
                answers = answer_questions(asked, now=at, policy=policy, ledger=ledger)
    notes = [] if ledger else [NO_LEDGER_NOTE]
    if isinstance(holds, Unreadable):
        notes = [f"What people kept or snoozed could not be read: {holds.error}"]
    if json:
        sys.stdout.write(explanation.explanation_json(answers, time=at, account=account))
    else:
        screen = make_console(sys.stdout)
        blocks = explanation_view.draw_explanations(
            answers, now=at, account=account, width=screen.width, notes=notes
        )
        print_blocks(screen, blocks)
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


def region_to_search(arn: Arn | None, flag: str | None, setup: edge.Setup) -> str:
    """Return where to look: the ARN says so, except for S3; for a name, the first region of an audit."""
    where = (arn.region if arn else "") or flag
    return setup.regions([where] if where else None)[0]


def make_questions(text: str, arn: Arn | None, aws: Aws, settings: Settings) -> list[ExplainQuestion]:
    """Return a question for each detector that judges *arn*, else the resource called *text*."""
    if arn is None:
        text = find_arn(aws, text, settings)
        arn = Arn.parse(text)
    return [
        ExplainQuestion(arn=text, detector=settings.detector(detector), aws=aws)
        for detector in settings.registry
        if detector.judges(arn)
    ]


def find_arn(aws: Aws, name: str, settings: Settings) -> str:
    """Return the ARN of the resource called *name*; a person chooses among several. Raises Refused."""
    kinds = {kind for detector in settings.registry for kind in detector.kinds}
    with show_progress(f"looking for {escape_text(name)}"):
        known = names.resources_like(aws, name, kinds)
    arns = [resource.arn for resource in known.items if resource.is_called(name)]
    if len(arns) == 1:
        return arns[0]
    if arns:
        return prompts.ask_choice(f"{len(arns)} resources are called {escape_text(name)}", arns)
    if known.error is not None:
        raise FailedError(f"{name} could not be looked for: {known.error}")
    near = names.nearest_resource(name, known.items)
    hint = f"did you mean {near.name} ({near.arn})?" if near else "--region says where else to look"
    raise edge.CommandRefusedError(f"nothing in {aws.region} is called {name}; {hint}")


def open_ledger_table(
    session: boto3.Session, table: str | None, regions: Sequence[str], attempts: int
) -> Table | None:
    """Return the ledger's table, if one is named."""
    name = table or os.environ.get(TABLE_VARIABLE)
    home = session.region_name or regions[0]
    return Table(make_client(session, "dynamodb", home, attempts), name) if name else None


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
    deleted = names.find_deletion(aws, arn, now)
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
    near = names.nearest_resource(name, names.resources_like(aws, name, {arn.kind}).items)
    return deleted, near.arn if near else None
