"""`janitor doctor`: whether an audit could read everything, before it is relied upon."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli import edge
from cli.audit import IDENTITY_ATTEMPTS, owner_of
from cli.screen import console, progress, write
from janitor.account import opened
from janitor.aws import Aws
from janitor.detector import Detector, Grant
from janitor.model import Unreadable, Value
from janitor.probes import Allowed, Probe, probe
from janitor.report.text import plain
from janitor.settings import Settings


def doctor(
    ctx: typer.Context,
    *,
    region: Annotated[
        list[str] | None, typer.Option(metavar="REGION", help="Where to look. Repeatable.")
    ] = None,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="The AWS profile to use.")] = None,
    overrides: edge.Overrides = None,
    config: edge.Config = None,
) -> int:
    """
    Check identity, regions and settings, and which reads would be refused.

    Every permission that a detector needs is tried once, with a call that reads nothing of
    interest; a missing one is named.

    Exit status: 0, nothing would be refused; 1, something would, or nobody knows whose account it
    is; 2, bad usage or settings.
    """
    settings = edge.settings_from(config, overrides, ctx.obj)
    detectors = settings.enabled()
    attempts = edge.attempts_from_environment()
    session = edge.session_from(profile)
    regions = edge.regions_from(region, settings, session)
    whose = owner_of(session, regions[0], min(attempts, IDENTITY_ATTEMPTS))
    out = console(sys.stdout)
    if not isinstance(whose, Value):
        error = whose.error if isinstance(whose, Unreadable) else "unknown"
        write(out, [Group(*about("unknown", regions), Text(plain(f"identity: {error}"), style="red"))])
        return 1
    blocks: list[RenderableType] = [Group(*about(whose.value, regions), *tuned(settings))]
    refused = False
    for where in regions:
        with (
            progress(f"trying every read in {where}"),
            opened(session, account=whose.value, regions=[where], attempts=attempts) as (aws,),
        ):
            tried = probed(aws, detectors)
        refused = refused or any(one.allowed is Allowed.NO for one in tried.values())
        blocks += shown(where, detectors, tried)
    write(out, blocks)
    return 1 if refused else 0


def probed(aws: Aws, detectors: Sequence[Detector[Any]]) -> Mapping[Grant, Probe]:
    """Every grant of *detectors*, tried once; what S3 allows, on the first bucket that the settings name."""
    grants = list(dict.fromkeys(grant for detector in detectors for grant in detector.reads))
    named = [bucket for detector in detectors for bucket in getattr(detector, "buckets", ())]
    bucket = named[0] if named else None
    return dict(zip(grants, aws.map(lambda grant: probe(aws, grant, bucket=bucket), grants), strict=True))


def about(account: str, regions: Sequence[str]) -> Iterator[Text]:
    """Whose account, where."""
    yield Text.assemble(("ML Janitor doctor", "bold"))
    yield Text(f"account {account}, regions {', '.join(plain(region) for region in regions)}")
    if url := os.environ.get("AWS_ENDPOINT_URL"):
        yield Text(plain(f"endpoint {url} (AWS_ENDPOINT_URL)"))


def tuned(settings: Settings) -> Iterator[Text]:
    """What the operator has set."""
    changed = [f"janitor.{key}" for key in sorted(settings.janitor.model_fields_set)]
    for name, section in settings.sections.items():
        changed += [f"{name}.{key}" for key in sorted(section.model_fields_set)]
    yield Text(plain(f"settings: {', '.join(changed) if changed else 'all defaults'}"))
    off = [name for name, section in settings.sections.items() if not section.enabled]
    if off:
        yield Text(plain(f"switched off: {', '.join(off)}"), style="yellow")


def shown(
    region: str, detectors: Sequence[Detector[Any]], tried: Mapping[Grant, Probe]
) -> Iterator[RenderableType]:
    """One region: how many reads each detector has, and what it lacks."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for detector in detectors:
        probes = [tried[grant] for grant in detector.reads]
        told = [one for one in probes if one.allowed is not Allowed.UNTOLD]
        missing = [one for one in told if one.allowed is Allowed.NO]
        said = Text(f"{len(told) - len(missing)} of {len(told)} reads allowed", "red" if missing else "green")
        table.add_row(Text(detector.name, style="bold cyan"), said)
        for one in missing:
            table.add_row("", Text(plain(f"missing {one.grant.action} on {one.grant.on}"), style="red"))
    yield Group(Text(plain(f"reads in {region}"), style="bold"), Padding(table, (0, 0, 0, 2)))
    untold = {one.grant.action: one.why for one in tried.values() if one.allowed is Allowed.UNTOLD}
    if untold:
        reasons: dict[str, list[str]] = {}
        for action, why in untold.items():
            reasons.setdefault(why, []).append(action)
        lines = [Text(plain(f"{', '.join(actions)}: {why}")) for why, actions in reasons.items()]
        yield Group(Text("could not be tried", style="bold"), Padding(Group(*lines), (0, 0, 0, 2)))
