"""`janitor doctor`: checks what an audit here could not see, and the deployed stack."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from botocore.exceptions import UnknownRegionError
from pydantic import BaseModel

from ml_janitor.aws.account import open_regions
from ml_janitor.aws.answers import read_signal
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.bill.asking import request_warnings
from ml_janitor.bill.resources import bill_readers
from ml_janitor.config.arming_warnings import (
    arming_refusals,
    arming_warnings,
    home_refusals,
    notice_warnings,
    undo_role_warnings,
)
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.core.signals import Unreadable, Value
from ml_janitor.engine.detector import Detector, Grant, allow
from ml_janitor_cli import aws_opinions, deployment_report, doctor_report, edge
from ml_janitor_cli.audit_policy import MANAGED_POLICY_LIMIT, audit_policies
from ml_janitor_cli.credentials import identify_caller
from ml_janitor_cli.deployment_checks import StackExaminer
from ml_janitor_cli.doctor_report import Checkup, SettingChange
from ml_janitor_cli.failures import end_on_interrupt
from ml_janitor_cli.member_checks import check_organization
from ml_janitor_cli.probes import probe_grants
from ml_janitor_cli.screen import make_console, print_blocks, show_progress
from ml_janitor_cli.stack import STACK_NAME

PROBE_ATTEMPTS = 3
"""A probe that is throttled is asked again, but one that nobody answers should not take minutes."""

CREDENTIAL_SOURCES = {
    "assume-role": "an assumed role",
    "container-role": "the container's role",
    "env": "the environment",
    "iam-role": "the machine's role",
    "shared-credentials-file": "the credentials file",
    "sso": "single sign-on",
}
"""botocore's names for the sources of credentials."""

PRICE_GRANT = allow(GET_PRODUCTS)


def doctor(
    ctx: typer.Context,
    *,
    names: Annotated[
        list[str] | None,
        edge.argument("DETECTOR", "Which detectors to check; all that are enabled without one."),
    ] = None,
    region: edge.Regions = None,
    profile: edge.Profile = None,
    stack: Annotated[
        str | None, edge.option("NAME", f"The deployed stack; {STACK_NAME} if there is one of that name.")
    ] = None,
    policy: Annotated[
        bool, edge.flag("--policy", "Print the IAM policy that `janitor audit` needs, as JSON; no check.")
    ] = False,
    organization: Annotated[
        bool, edge.flag("--organization", "Check the roles that the accounts of [organization] grant.")
    ] = False,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
) -> int:
    """
    Check identity, settings, what the detectors may read, and the deployed stack. Nothing is changed.

    Each read that a detector declares is tried on something that does not exist: if AWS denies it, the
    permission is missing, and any other answer means that it is allowed. Reads that need a real object are
    listed as not probed, with the reason.

    Of a deployed stack it checks schedules, last runs, queues, alarms and their subscribers, and Slack: the
    token, its scopes, the channel. Each problem says what to do next.

    With --policy it asks AWS nothing and prints what an audit from a laptop has to be allowed, for the
    enabled or named detectors, regions and settings: contents of objects only where those name buckets.

    With --organization it takes on each role that an account of [organization] should grant, has it read
    itself, and says which are missing, old or too wide, with the commands that mend them.

    Exit status: 0, nothing is missing; 1, an action is refused or was not answered, something is wrong in the
    stack, a detector is armed that could never act, the bill takes more requests than the settings allow, or
    the credentials could not be identified; 2, bad usage or settings. A stack that is not deployed, or that
    you may not look for, is a problem only if --stack names it.

    \b
    Examples:
      janitor doctor
      janitor doctor idle-notebooks --profile audit --region eu-west-1
      janitor doctor --stack MlJanitor
      janitor doctor --policy > audit-policy.json
      janitor doctor --organization
    """  # noqa: D301 - \b keeps the lines below it as they are
    setup = edge.make_setup(ctx, config, overrides, profile=profile)
    settings, session, now = setup.settings, setup.session, setup.now
    detectors = edge.choose_detectors(names, settings)
    if organization:
        for option, given in {"--policy": policy, "--region": region, "--stack": stack}.items():
            if given:
                raise edge.CommandRefusedError(
                    f"--organization and {option} exclude each other: it checks roles alone"
                )
        with end_on_interrupt():
            checked = check_organization(setup, [*detectors, *([] if names else bill_readers(settings.bill))])
        print_blocks(make_console(sys.stdout), checked.blocks)
        if checked.commands:  # in lines that can be copied
            sys.stdout.write("\n".join(["", "What mends it, after `make synth`:", *checked.commands, ""]))
        return 0 if checked.fine else 1
    regions = setup.regions(region)
    if policy:
        opinions = aws_opinions.HUB_READS if setup.settings.plan.aws_opinions else ()
        return print_audit_policy(detectors, regions, session, opinions)
    attempts = min(setup.attempts, PROBE_ATTEMPTS)
    facts = {
        "regions": f"{', '.join(regions)} (from {regions_source(region, settings)})",
        "endpoint": ", ".join(
            f"{url} ({name})"
            for name, url in sorted(os.environ.items())
            if name.startswith("AWS_ENDPOINT_URL") and url
        ),
        "settings": ", ".join(settings_sources(config, overrides))
        or f"the defaults (there is no {SETTINGS_FILE} here)",
    }

    with end_on_interrupt(), show_progress("identifying the credentials") as say:
        callers = {region: identify_caller(session, region, setup.attempts) for region in regions}
        open_regions = tuple(region for region, answer in callers.items() if isinstance(answer, Value))
        caller = callers[open_regions[0] if open_regions else regions[0]]
        probed: doctor_report.ProbeAnswers = {}
        found: deployment_report.DeploymentResult | None = None
        if isinstance(caller, Value):
            say("trying every read")
            probed = probe_reads(
                session,
                detectors,
                open_regions,
                account=caller.value.account,
                attempts=attempts,
                now=now,
            )
            say("looking at the deployed stack")
            found = StackExaminer(
                session=session,
                settings=settings,
                stack=stack or STACK_NAME,
                named=stack is not None,
                names=names,
                regions=tuple(dict.fromkeys([session.region_name or open_regions[0], *open_regions])),
                account=caller.value.account,
                attempts=attempts,
                now=now,
                slack_url=os.environ.get("JANITOR_SLACK_URL", ""),
            ).examine()
    idle = [*arming_refusals(settings), *notice_warnings(settings), *request_warnings(settings)]
    idle += arming_warnings(settings, home=found.found.region if found and found.found else "")
    if isinstance(caller, Value) and found and found.found:
        idle += home_refusals(settings, caller.value.account)
    if isinstance(caller, Value):
        who = Arn.parse(caller.value.arn)
        idle += undo_role_warnings(settings, account=who.account, partition=who.partition)
    closed = (
        [answer.error for answer in callers.values() if isinstance(answer, Unreadable)]
        if open_regions
        else []
    )
    facts = {
        "not checked": "; ".join(closed),
        "contents": contents_fact(detectors),
        "armed": ", ".join(detector.name for detector in settings.armed()),
        "but": "; ".join(idle),
        **facts,
    }
    result = Checkup(
        caller=caller,
        credentials=credentials_source(session),
        facts={name: fact for name, fact in facts.items() if fact},
        changes=tuple(changed_settings(settings)),
        detectors=tuple(detectors),
        off=tuple(
            detector.name for detector in settings.registry if not settings.sections[detector.name].enabled
        ),
        prices=PRICE_GRANT,
        probed=probed,
    )
    deployed = deployment_report.draw_deployment(found) if found else ()
    print_blocks(make_console(sys.stdout), [*doctor_report.draw_checkup(result), *deployed])
    return 0 if result.fine and not closed and not idle and (found is None or found.fine) else 1


def contents_fact(detectors: Sequence[Detector[Any]]) -> str:
    """Say whose objects are read, where a detector looks at objects at all."""
    readers = [detector for detector in detectors if hasattr(detector, "contents_in")]
    where = [prefix for detector in readers for prefix in getattr(detector, "contents_in", ())]
    if not readers:
        return ""
    if not where:
        name = readers[0].name
        return f"no object is read: copies are likely at most, until {name}.read_contents_in says where"
    return f"objects are read, and copies proven, under {', '.join(where)}"


def print_audit_policy(
    detectors: Sequence[Detector[Any]],
    regions: Sequence[str],
    session: boto3.Session,
    besides: Sequence[Grant] = (),
) -> int:
    """Print the policy for an audit with *detectors* in *regions*, and *besides*: a JSON object or list."""
    partitions = {region: region_partition(region, session) for region in regions}
    grants = [PRICE_GRANT, *besides, *(grant for detector in detectors for grant in detector.reads)]
    made = audit_policies(grants, partitions)
    sys.stdout.write(json.dumps(made[0] if len(made) == 1 else made, indent=2) + "\n")
    if len(made) > 1:
        sys.stderr.write(
            f"janitor: {len(made)} policies, a list of documents: together they are over the "
            f"{MANAGED_POLICY_LIMIT:,} "
            "characters of a managed policy. Attach all of them.\n"
        )
    return 0


def region_partition(region: str, session: boto3.Session) -> str:
    """Return the partition of *region*; AWS's standard one for a region of an endpoint of one's own."""
    try:
        return str(session.get_partition_for_region(region))
    except UnknownRegionError:
        return "aws"


def regions_source(flags: Sequence[str] | None, settings: Settings) -> str:
    """Say where the regions come from."""
    if flags:
        return "--region"
    return "the settings" if settings.janitor.regions else "the session"


def credentials_source(session: boto3.Session) -> str:
    """Say where the session's credentials come from."""
    match read_signal(session.get_credentials, source="credentials"):
        case Value(found) if found is not None:
            profile = session.profile_name
            named = f", profile {profile}" if profile in session.available_profiles else ""
            return f"{CREDENTIAL_SOURCES.get(found.method, found.method)}{named}"
        case _:
            return "none"


def settings_sources(config: Path | None, overrides: Sequence[str] | None) -> list[str]:
    """List the sources of the settings, later ones winning."""
    found = [f"./{SETTINGS_FILE}"] if Path(SETTINGS_FILE).exists() else []
    found += [str(config)] if config else []
    return [*found, *([f"{len(overrides)} of --set"] if overrides else [])]


def changed_settings(settings: Settings) -> Iterable[SettingChange]:
    """Yield every setting that is not at its default."""
    standard = Settings.parse({}, registry=settings.registry)
    tables: dict[str, tuple[BaseModel, BaseModel]] = {"janitor": (settings.janitor, standard.janitor)}
    tables |= {name: (section, standard.sections[name]) for name, section in settings.sections.items()}
    for table, (given, default) in tables.items():
        for field in type(given).model_fields:
            value, usual = getattr(given, field), getattr(default, field)
            if value != usual:
                yield SettingChange(name=f"{table}.{field}", value=value, default=usual)


def probe_reads(
    session: boto3.Session,
    detectors: Sequence[Detector[Any]],
    regions: Sequence[str],
    *,
    account: str,
    attempts: int,
    now: datetime,
) -> doctor_report.ProbeAnswers:
    """Try every read of *detectors*, region by region, and return the answers."""
    grants = [PRICE_GRANT, *(grant for detector in detectors for grant in detector.reads)]
    buckets = [name for detector in detectors for name in getattr(detector, "buckets", ())]
    with open_regions(
        session, account=account, regions=regions, attempts=attempts, pace=edge.call_pace()
    ) as accounts:
        return {
            aws.region: {
                probed.grant: probed for probed in probe_grants(aws, grants, now=now, buckets=buckets)
            }
            for aws in accounts
        }
