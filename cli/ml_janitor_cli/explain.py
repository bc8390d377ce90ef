"""`janitor explain`: why one resource is judged as it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_janitor.aws.account import opened
from ml_janitor.aws.arns import Arn
from ml_janitor.core.model import Unreadable, Value
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import Policy
from ml_janitor.engine.run import SIDE_BY_SIDE, sweep_one
from ml_janitor_cli import edge, explanation, explanation_view
from ml_janitor_cli.credentials import caller_of
from ml_janitor_cli.explanation import Explained
from ml_janitor_cli.interrupts import ending_at_once
from ml_janitor_cli.screen import console, progress, write

if TYPE_CHECKING:
    import boto3

    from ml_janitor.aws.client import Aws
    from ml_janitor.config.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One resource that one detector judges, and the region to ask in."""

    arn: str
    detector: Detector[Any]
    region: str


class UnknownAccountError(edge.Refused):
    """Nobody could say whose account it is, so nothing was looked at."""

    exit_code = 1


def explain(
    ctx: typer.Context,
    *,
    arns: Annotated[list[str], typer.Argument(metavar="ARN...", help="The resources to explain.")],
    region: Annotated[
        str | None,
        typer.Option(metavar="REGION", help="Where to look for what has no region in its ARN (S3)."),
    ] = None,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="The AWS profile to use.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    overrides: edge.Overrides = None,
    config: edge.Config = None,
    now: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Judge as of this time (ISO 8601); else JANITOR_NOW, else now."),
    ] = None,
) -> int:
    """
    Explain one verdict: every signal, every step of the rule. Nothing is changed.

    Each resource is read again and judged by every detector for its kind, those that are switched
    off among them, whether it is found or kept.

    Exit status: 0, all of it was looked at, what is gone included; 1, something could not be
    looked at; 2, bad usage, or an ARN of another account or of a kind that no detector judges.

    \b
    Examples:
      janitor explain arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-endpoint
      janitor explain --json arn:aws:s3:::my-bucket/models/model.tar.gz | jq .explanations
    """  # noqa: D301 - \b keeps the lines below it as they are
    settings = edge.settings_from(config, overrides, ctx.obj)
    at = edge.now_from(now)
    attempts = edge.attempts_from_environment()
    parsed = {text.strip(): parsed_from(text) for text in arns}
    for text, arn in parsed.items():
        check_kind(text, arn, settings)
    session = edge.session_from(profile)
    asked = [
        question
        for text, arn in parsed.items()
        for question in questions(text, arn, region_of(arn, region, settings, session), settings)
    ]

    with ending_at_once(), progress("asking whose account this is") as say:
        account = account_of(session, asked[0].region, attempts)
        for text, arn in parsed.items():
            if arn.account not in {"", account}:
                raise edge.Refused(f"{text} is in account {arn.account}; the credentials are of {account}")
        say(f"looking at {len(parsed)} resource{'' if len(parsed) == 1 else 's'}")
        answers = answered(session, asked, account=account, attempts=attempts, now=at, policy=settings.policy)
    if json:
        sys.stdout.write(explanation.text(answers, time=at, account=account))
    else:
        screen = console(sys.stdout)
        write(screen, explanation_view.drawing(answers, now=at, account=account, width=screen.width))
    return 1 if any(each.sweep.error is not None for each in answers) else 0


def parsed_from(text: str) -> Arn:
    """The ARN that *text* is."""
    try:
        return Arn.parse(text)
    except ValueError as error:
        raise edge.Refused(str(error)) from error


def check_kind(text: str, arn: Arn, settings: Settings) -> None:
    """Refuse an ARN that nobody judges."""
    if any(detector.judges(arn) for detector in settings.registry):
        return
    kinds = sorted({kind for detector in settings.registry for kind in detector.kinds})
    raise edge.Refused(
        f"no detector judges {text}, which is of kind {arn.kind} of {arn.service or 'no service'};"
        f" these kinds are judged: {', '.join(kinds)}"
    )


def region_of(arn: Arn, flag: str | None, settings: Settings, session: boto3.Session) -> str:
    """Where to look: the ARN says so, except for S3."""
    return edge.regions_from([arn.region or flag or ""] if arn.region or flag else None, settings, session)[0]


def questions(text: str, arn: Arn, region: str, settings: Settings) -> list[Question]:
    """One for each detector that judges *arn*, in the registry's order."""
    return [
        Question(arn=text, detector=settings.detector(detector), region=region)
        for detector in settings.registry
        if detector.judges(arn)
    ]


def account_of(session: boto3.Session, region: str, attempts: int) -> str:
    """The account of the session's credentials."""
    match caller_of(session, region, attempts):
        case Value(caller):
            return caller.account
        case Unreadable(error):
            raise UnknownAccountError(error)
        case _:
            raise AssertionError("a caller is known or unreadable")


def answered(
    session: boto3.Session,
    asked: Sequence[Question],
    *,
    account: str,
    attempts: int,
    now: datetime,
    policy: Policy,
) -> list[Explained]:
    """Look at everything that is *asked*, side by side."""
    regions = tuple(dict.fromkeys(question.region for question in asked))
    with (
        opened(session, account=account, regions=regions, attempts=attempts) as accounts,
        ThreadPoolExecutor(min(SIDE_BY_SIDE, len(asked)), thread_name_prefix="explain") as side_by_side,
    ):
        by_region: dict[str, Aws] = dict(zip(regions, accounts, strict=True))

        def one(question: Question) -> Explained:
            aws = by_region[question.region]
            judged = sweep_one(question.detector, aws, question.arn, now=now, policy=policy)
            return Explained(arn=question.arn, sweep=judged)

        return list(side_by_side.map(one, asked))
