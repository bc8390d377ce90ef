"""`janitor explain`: what was read of one resource, the rule's steps, and the verdict."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli import edge
from cli.audit import IDENTITY_ATTEMPTS, owner_of
from cli.findings import price
from cli.screen import console, write
from janitor.account import opened
from janitor.arns import Arn
from janitor.detector import Detector
from janitor.engine import sweep_one
from janitor.model import Evidence, Finding, Result, Sweep, Unreadable, Value, Verdict
from janitor.report.text import moment, plain
from janitor.settings import Settings

VALUE_LIMIT = 400


def explain(
    ctx: typer.Context,
    *,
    arns: Annotated[list[str], typer.Argument(metavar="ARN", help="Which resources to explain.")],
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="The AWS profile to use.")] = None,
    overrides: edge.Overrides = None,
    config: edge.Config = None,
    now: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Judge as of this time (ISO 8601); else JANITOR_NOW, else now."),
    ] = None,
) -> int:
    """
    Explain a verdict: every signal, the rule's steps in order, and what came of them.

    Each resource is read anew and judged as in an audit, by every detector that judges its kind;
    kept resources are explained like found ones.

    Exit status: 0, everything was explained; 1, something could not be read; 2, bad usage, or an
    ARN that no detector judges.
    """
    settings = edge.settings_from(config, overrides, ctx.obj)
    asked = {arn: judges_of(arn, settings) for arn in dict.fromkeys(arns)}
    at = edge.now_from(now)
    attempts = edge.attempts_from_environment()
    session = edge.session_from(profile)
    regions = {arn: Arn.parse(arn).region or edge.regions_from(None, settings, session)[0] for arn in asked}
    whose = owner_of(session, next(iter(regions.values())), min(attempts, IDENTITY_ATTEMPTS))
    if not isinstance(whose, Value):
        raise edge.Refused(whose.error if isinstance(whose, Unreadable) else "the account is unknown")
    for arn in asked:
        if Arn.parse(arn).account not in {"", whose.value}:
            raise edge.Refused(f"{arn} is not in account {whose.value}, to which the credentials belong")

    blocks: list[RenderableType] = []
    failed = False
    for region in dict.fromkeys(regions.values()):
        with opened(session, account=whose.value, regions=[region], attempts=attempts) as (aws,):
            for arn in (arn for arn in asked if regions[arn] == region):
                for detector in asked[arn]:
                    judged = sweep_one(detector, aws, arn, now=at, policy=settings.policy)
                    failed = failed or judged.error is not None
                    blocks += shown(arn, judged)
    write(console(sys.stdout), blocks)
    return 1 if failed else 0


def judges_of(arn: str, settings: Settings) -> Sequence[Detector[Any]]:
    """The detectors that judge *arn*."""
    try:
        parts = Arn.parse(arn)
    except ValueError as error:
        raise edge.Refused(str(error)) from error
    judges = [settings.detector(detector) for detector in settings.registry if detector.judges(parts)]
    if not judges:
        kinds = sorted({kind for detector in settings.registry for kind in detector.kinds})
        raise edge.Refused(f"no detector judges {arn}; they judge: {', '.join(kinds)}")
    return judges


def shown(arn: str, judged: Sweep) -> Iterator[RenderableType]:
    """One explanation: the verdict first, then what it stands on."""
    if judged.error is not None:
        yield head(judged.detector, "could not be read", "red", arn)
        yield indented(Text(plain(judged.error)))
    elif not judged.results:
        yield head(judged.detector, "gone", "yellow", arn)
        yield indented(Text("There is no such resource any more."))
    for result in judged.results:
        yield head(judged.detector, *title(result.verdict), plain(result.target.arn))
        yield indented(Group(*facts(result)))
        yield indented(signals(result.verdict.evidence))
        yield indented(steps(result.verdict))


def title(verdict: Verdict) -> tuple[str, str]:
    """The verdict in a word or two, and its colour."""
    if isinstance(verdict, Finding):
        return f"found, {verdict.confidence}", "yellow"
    return ("kept as unknown", "magenta") if verdict.unknown else ("kept", "green")


def head(detector: str, said: str, colour: str, arn: str) -> Text:
    """The first lines of an explanation."""
    return Text.assemble((detector, "bold cyan"), "  ", (said, f"bold {colour}"), "\n", (arn, "dim"))


def facts(result: Result) -> Iterator[Text]:
    """What a reader wants to know besides the rule."""
    yield Text(plain(f"{result.verdict.reason[:1].upper()}{result.verdict.reason[1:]}."))
    known = [f"owner {plain(result.owner)}" if result.owner else "no owner"]
    if result.target.created is not None:
        known.append(f"created {moment(result.target.created)}")
    if isinstance(result.verdict, Finding):
        if result.verdict.since is not None:
            known.append(f"since {moment(result.verdict.since)}")
        if result.verdict.cost is not None:
            known.append(" ".join(price(result.verdict.cost)))
    yield Text(", ".join(known), style="dim")
    if isinstance(result.verdict, Finding):
        yield Text(plain(f"Would {result.verdict.action}."))


def signals(evidence: Sequence[Evidence]) -> RenderableType:
    """Every signal with its value, its time and the call it came from."""
    if not evidence:
        return Text("No signal was needed.", style="dim")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("signal", overflow="fold", ratio=3)
    table.add_column("value", overflow="fold", ratio=5)
    table.add_column("time", no_wrap=True)
    table.add_column("read by", overflow="fold", ratio=3)
    for item in evidence:
        said = f"could not be read: {item.error}" if item.error else str(item.value)
        value = Text(plain(said, VALUE_LIMIT), style="red" if item.error else "")
        at = moment(item.at).removesuffix(" UTC") if item.at else ""
        table.add_row(Text(plain(item.signal)), value, Text(at), Text(plain(item.source), style="dim"))
    return table


def steps(verdict: Verdict) -> RenderableType:
    """The rule's steps, numbered in the order they were taken."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for number, step in enumerate(verdict.steps, 1):
        table.add_row(Text(f"{number}.", style="dim"), Text(plain(step)))
    return Group(Text("The rule's steps", style="dim"), table)


def indented(block: RenderableType) -> Padding:
    """*block* under its head."""
    return Padding(block, (0, 0, 0, 2))
