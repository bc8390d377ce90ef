"""`janitor doctor`: checks what an audit here could not see, and the deployed stack."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from botocore.exceptions import UnknownRegionError
from pydantic import BaseModel
from rich.console import RenderableType
from rich.text import Text

from ml_janitor.aws.calls import read_signal
from ml_janitor.aws.client import Caller, open_regions
from ml_janitor.aws.prices import FROM_PRICE_LIST, FROM_PRICE_TABLE, GET_PRODUCTS, PRICE_TABLE_REGION
from ml_janitor.aws.tags import Arn
from ml_janitor.bill.reading import request_warnings
from ml_janitor.bill.resources import bill_readers
from ml_janitor.config.member_roles import ENABLED_REGIONS_GRANT
from ml_janitor.config.settings import (
    SETTINGS_FILE,
    Settings,
    arming_refusals,
    arming_warnings,
    home_refusals,
    notice_warnings,
    undo_role_warnings,
)
from ml_janitor.config.values import format_toml
from ml_janitor.core.durations import format_duration
from ml_janitor.core.model import Signal, Unreadable, Value
from ml_janitor.core.text import count_noun, escape_text, join_words, quote_shell
from ml_janitor.engine.detector import OWN_ACCOUNT, Condition, Detector, Grant, allow
from ml_janitor_cli import deployment, edge
from ml_janitor_cli.deployment import StackExaminer
from ml_janitor_cli.organization import check_organization
from ml_janitor_cli.probes import ProbeAnswer, ProbeResult, probe_grants
from ml_janitor_cli.screen import (
    draw_facts,
    draw_title,
    print_blocks,
    ruled_table,
    show_progress,
)
from ml_janitor_cli.stack import LIST_RESOURCES, RELEASED_BUNDLE, STACK_NAME, deploy_command
from ml_janitor_cli.terminal import ERROR_LIMIT, draw_list

# --- command --------------------------------------------------------------------------------------

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
        edge.argument("DETECTOR", "Detectors to check; without one, all that are enabled."),
    ] = None,
    region: edge.Regions = None,
    profile: edge.Profile = None,
    stack: Annotated[
        str | None, edge.option("NAME", f"The deployed stack; {STACK_NAME} if there is one of that name.")
    ] = None,
    policy: Annotated[
        bool, edge.flag("--policy", "Print the IAM policy that `janitor audit` needs, as JSON; no check.")
    ] = False,
    policy_file: Annotated[
        Path | None, edge.option("FILE", "Write that policy, in several files if IAM takes no single one.")
    ] = None,
    organization: Annotated[
        bool, edge.flag("--organization", "Check the roles that the accounts of [organization] grant.")
    ] = False,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
) -> int:
    """
    Check identity, settings, permissions and the stack.

    Nothing is changed. Each read that a detector declares is tried on something that does not exist: if AWS
    denies it, the permission is missing, and any other answer means that it is allowed. Reads that need a
    real object are listed as not probed, with the reason.

    In a deployed stack it checks schedules, last runs, queues, alarms and their subscribers, and Slack: the
    token, its scopes, the channel. Each problem says what to do next.

    With --policy it asks AWS nothing and prints what an audit from a laptop has to be allowed, for the
    enabled or named detectors, regions and settings: contents of objects only where those name buckets.
    --policy-file writes it, with the commands that create the policy and attach it.

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
        given_options = {
            "--policy": policy,
            "--policy-file": policy_file,
            "--region": region,
            "--stack": stack,
        }
        for option, given in given_options.items():
            if given:
                raise edge.CommandRefusedError(
                    f"--organization and {option} exclude each other: it checks roles alone"
                )
        with edge.end_on_interrupt():
            checked = check_organization(
                setup, detectors, others=[] if names else bill_readers(settings.bill)
            )
        print_blocks(checked.blocks)
        if checked.commands:  # in lines that can be copied
            before = deploy_command() if RELEASED_BUNDLE.exists() else "make synth"
            sys.stdout.write("\n".join(["", f"To mend it, after `{before}`:", *checked.commands, ""]))
        return 0 if checked.fine else 1
    if policy or policy_file:
        everywhere = edge.ALL_REGIONS in (region or settings.janitor.regions)
        grants = [PRICE_GRANT, *EXPLAIN_GRANTS, *(grant for each in detectors for grant in each.reads)]
        grants += [ENABLED_REGIONS_GRANT] if everywhere else []
        return print_audit_policy(
            grants, ["*"] if everywhere else setup.regions(region), session, policy_file
        )
    regions = setup.regions(region)
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

    with edge.end_on_interrupt(), show_progress("identifying the credentials") as say:
        callers = {region: edge.identify_caller(session, region, setup.attempts) for region in regions}
        open_regions = tuple(region for region, answer in callers.items() if isinstance(answer, Value))
        caller = callers[open_regions[0] if open_regions else regions[0]]
        probed: ProbeAnswers = {}
        found: deployment.DeploymentResult | None = None
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
    deployed = deployment.draw_deployment(found) if found else ()
    print_blocks([*draw_checkup(result), *deployed])
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


def region_partition(region: str, session: boto3.Session) -> str:
    """
    Return the partition of *region*; AWS's standard one for a region of an endpoint of one's own.

    `*`, every region, is of the partition of the session's own.
    """
    try:
        named = session.region_name if region == "*" else region
        return str(session.get_partition_for_region(named)) if named else "aws"
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
) -> ProbeAnswers:
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


# --- drawing --------------------------------------------------------------------------------------

type ProbeAnswers = Mapping[str, Mapping[Grant, ProbeResult]]
"""By region, the answer to each grant's probe."""

SETTING_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """A setting that is not at its default."""

    name: str
    value: Any
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """
    All results of the checks.

    *facts* are rows of the head, *off* the detectors that are switched off, *prices* the grant that prices
    are asked with. Without a caller, nothing was *probed*.
    """

    caller: Signal[Caller]
    credentials: str
    facts: Mapping[str, str]
    changes: Sequence[SettingChange]
    detectors: Sequence[Detector[Any]]
    off: Sequence[str]
    prices: Grant
    probed: ProbeAnswers

    @property
    def fine(self) -> bool:
        """Return whether an audit would see everything, as far as the probes can tell."""
        return isinstance(self.caller, Value) and not self.refused and not self.failed

    @property
    def refused(self) -> list[str]:
        """Return the IAM actions that are missing."""
        return action_names(self.where(ProbeAnswer.REFUSED))

    @property
    def failed(self) -> list[str]:
        """Return the IAM actions whose probes got no answer."""
        return action_names(self.where(ProbeAnswer.FAILED))

    def where(self, answer: ProbeAnswer) -> list[tuple[str, ProbeResult]]:
        """Return every probe of a detector's read that had this answer, with its region."""
        declared = {grant for detector in self.detectors for grant in detector.reads}
        return [
            (region, probed)
            for region, answers in self.probed.items()
            for grant, probed in answers.items()
            if probed.answer is answer and grant in declared
        ]

    def who_reads(self, grant: Grant) -> list[str]:
        """Return the detectors that declare *grant*."""
        return [detector.name for detector in self.detectors if grant in detector.reads]


def action_names(probed: Iterable[tuple[str, ProbeResult]]) -> list[str]:
    """Return their IAM actions, each once."""
    return list(dict.fromkeys(answer.grant.action for _, answer in probed))


def draw_checkup(result: Checkup) -> Iterator[RenderableType]:
    """Yield the blocks of the answer, from the headline to the reads without an answer."""
    yield draw_title("ML Janitor", checkup_headline(result))
    yield draw_facts(checkup_facts(result))
    if result.probed:
        yield draw_reads_table(result)
        yield from draw_probe_details(result)


def checkup_headline(result: Checkup) -> str:
    """Summarize the results in one sentence."""
    if not isinstance(result.caller, Value):
        return "The credentials could not be identified."
    parts = []
    if result.refused:
        parts.append(f"{count_noun(len(result.refused), 'action')} refused: {', '.join(result.refused)}")
    if result.failed:
        parts.append(f"{count_noun(len(result.failed), 'action')} not answered: {', '.join(result.failed)}")
    return f"{'; '.join(parts)}." if parts else "Everything that could be tried is allowed."


def checkup_facts(result: Checkup) -> Iterator[tuple[str, str | Text]]:
    """Say who asks, where, with which settings."""
    match result.caller:
        case Value(caller):
            yield "identity", escape_text(caller.arn)
            yield "account", escape_text(caller.account)
        case Unreadable(error):
            yield "identity", Text(f"unknown: {escape_text(error, ERROR_LIMIT)}", style="red")
    yield "credentials", escape_text(result.credentials)
    for name, fact in result.facts.items():
        yield name, escape_text(fact, ERROR_LIMIT)
    for number, change in enumerate(result.changes):
        usual = setting_text(change.default) or "nothing"
        line = Text.assemble(f"{change.name} = {setting_text(change.value)}", (f"  default {usual}", "dim"))
        yield "changed" if number == 0 else "", line
    for number, (region, answers) in enumerate(result.probed.items()):
        several = f"{region}: " if len(result.probed) > 1 else ""
        yield "prices" if number == 0 else "", f"{several}{price_source(answers[result.prices], region)}"
    tried_on = {
        probed.bucket for answers in result.probed.values() for probed in answers.values() if probed.bucket
    }
    if tried_on:
        yield "tried on", f"{', '.join(map(escape_text, sorted(tried_on)))}, for what needs a bucket"
    if result.off:
        yield "switched off", ", ".join(result.off)


def price_source(probed: ProbeResult, region: str) -> str:
    """Say where prices will come from."""
    if probed.answer is ProbeAnswer.ALLOWED:
        return f"the {FROM_PRICE_LIST} answers"
    else_from = f"the {FROM_PRICE_TABLE}" if region == PRICE_TABLE_REGION else "nowhere: they are unknown"
    return f"the {FROM_PRICE_LIST} does not answer ({escape_text(probed.why)}), so they come from {else_from}"


def setting_text(value: object) -> str:
    """Return a setting's value as a reader would write it."""
    return escape_text(format_setting(tuple(value) if isinstance(value, list) else value), SETTING_LIMIT)


def format_setting(value: object) -> str:
    """Return a tunable's value as janitor.toml has it."""
    match value:
        case timedelta():
            return format_duration(value)
        case tuple():
            return f"[{', '.join(format_setting(item) for item in value)}]"
        case Mapping():
            return ", ".join(f"{key} {format_setting(item)}" for key, item in value.items()) or "none"
        case str():
            return value or "none"
        case int() | float():
            return format_toml(value)
        case _:
            return str(value)


def draw_reads_table(result: Checkup) -> RenderableType:
    """Draw how many reads of each detector are allowed, and which are not."""
    drawn = ruled_table()
    drawn.add_column("detector", header_style="dim", no_wrap=True)
    drawn.add_column("reads allowed", header_style="dim", justify="right", no_wrap=True)
    drawn.add_column("not probed", header_style="dim", justify="right", no_wrap=True)
    drawn.add_column("missing", header_style="dim", ratio=1, overflow="fold", min_width=len("missing"))
    for detector in result.detectors:
        read = [
            (region, answers[grant]) for region, answers in result.probed.items() for grant in detector.reads
        ]
        allowed = sum(probed.answer is ProbeAnswer.ALLOWED for _, probed in read)
        unprobed = sum(probed.answer is ProbeAnswer.NOT_PROBED for _, probed in read)
        missing = [pair for pair in read if pair[1].answer is ProbeAnswer.REFUSED]
        drawn.add_row(
            Text(escape_text(detector.name)),
            f"{allowed} of {len(read)}",
            str(unprobed) if unprobed else "",
            Text(", ".join(missing_actions(missing, result)), style="red"),
        )
    return drawn


def missing_actions(missing: Sequence[tuple[str, ProbeResult]], result: Checkup) -> list[str]:
    """Return the actions, and where they are missing if that is not everywhere."""
    by_action: dict[str, dict[str, None]] = {}
    for region, probed in missing:
        by_action.setdefault(probed.grant.action, {})[region] = None
    return [
        action if len(regions) == len(result.probed) else f"{action} (in {', '.join(regions)})"
        for action, regions in by_action.items()
    ]


def draw_probe_details(result: Checkup) -> Iterator[RenderableType]:
    """Draw AWS's own words about missing actions, and why the rest is unknown."""
    blocks = (
        (ProbeAnswer.REFUSED, "Refused", "red"),
        (ProbeAnswer.FAILED, "Not answered", "yellow"),
        (ProbeAnswer.NOT_PROBED, "Not probed", "dim"),
    )
    for answer, name, style in blocks:
        if rows := group_probes(result, result.where(answer)):
            count = len(action_names(result.where(answer)))
            yield draw_list(f"{name}: {count_noun(count, 'action')}", rows, style=style)
    if result.refused:
        yield Text("\n`janitor doctor --policy` prints the IAM policy that allows what an audit here needs.")


def group_probes(result: Checkup, probed: Sequence[tuple[str, ProbeResult]]) -> list[tuple[str, str]]:
    """Group probes with the same reason: the actions with their detectors, and the reason."""
    by_reason: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for _, answer in probed:
        who = tuple(result.who_reads(answer.grant))
        by_reason.setdefault((answer.why, who), {})[answer.grant.action] = None
    return [
        (f"{', '.join(found)} ({', '.join(map(escape_text, who))})", escape_text(why, ERROR_LIMIT))
        for (why, who), found in by_reason.items()
    ]


# --- IAM policy of an audit -----------------------------------------------------------------------

MANAGED_POLICY_LIMIT = 6_144
"""Characters of a managed policy, without white space (IAM user guide, "IAM and AWS STS quotas")."""

INLINE_POLICY_LIMIT = 10_240
"""Characters of all inline policies of a role together, without white space (same page)."""

POLICY_NAME = "ml-janitor-audit"

EXPLAIN_GRANTS = (
    allow(LIST_RESOURCES, on=f"stack/{STACK_NAME}/*"),
    allow("dynamodb:Query", on=f"table/{STACK_NAME}-Ledger*"),
)
"""The permissions of `janitor explain` for holds: it finds the ledger by the stack, and reads it."""

WHOLE_KIND = re.compile(r"[a-z-]+/\*(/[a-z-]+/\*)?")
"""A pattern for all resources of a kind, such as `endpoint/*`."""

type AuditStatement = dict[str, Any]
type AuditedRegions = Mapping[str, str]
"""The regions that are audited, and the partition of each; `*` is every region."""

type AlikeActions = dict[tuple[tuple[str, ...], tuple[Condition, ...]], list[str]]
"""The actions that are allowed on the same ARNs under the same conditions."""


def print_audit_policy(
    grants: Sequence[Grant], regions: Sequence[str], session: boto3.Session, file: Path | None
) -> int:
    """
    Print the policy of *grants* in *regions*, or write it to *file*, with the commands that create it.

    Raises CommandRefusedError if IAM takes no single document of that size, and none is to be printed.
    """
    statements = list(
        audit_statements(grants, {region: region_partition(region, session) for region in regions})
    )
    whole = policy_document(statements)
    size = policy_size(whole)
    if file is not None:
        write_audit_policies(file, divide_policy(statements))
    elif size > INLINE_POLICY_LIMIT:
        raise edge.CommandRefusedError(
            f"the policy has {count_noun(size, 'character')}, and a managed policy takes "
            f"{MANAGED_POLICY_LIMIT:,}: --policy-file audit-policy.json writes several"
        )
    else:
        sys.stdout.write(f"{json.dumps(whole, indent=2)}\n")
        if size > MANAGED_POLICY_LIMIT:
            sys.stderr.write(
                f"janitor: {count_noun(size, 'character')} are over the {MANAGED_POLICY_LIMIT:,} of a "
                "managed policy. A role takes them inline:\n"
                f"aws iam put-role-policy --role-name ROLE --policy-name {quote_shell(POLICY_NAME)} "
                "--policy-document file://audit-policy.json\n"
                "janitor: or write managed policies: --policy-file audit-policy.json\n"
            )
    return 0


def write_audit_policies(file: Path, policies: Sequence[Mapping[str, Any]]) -> None:
    """Write one managed policy to *file*, or several beside it, and print the commands that attach them."""
    several = len(policies) > 1
    names = [f"{POLICY_NAME}-{number}" if several else POLICY_NAME for number in range(1, len(policies) + 1)]
    files = [
        file.with_stem(f"{file.stem}-{number}") if several else file for number in range(1, len(policies) + 1)
    ]
    edge.check_outputs(json=False, files={"--policy-file": file})
    for path, policy in zip(files, policies, strict=True):
        if failure := edge.replace_file(path, f"{json.dumps(policy, indent=2)}\n"):
            raise edge.FailedError(f"--policy-file: {path} cannot be written: {failure}")
    sys.stdout.write(f"Wrote {join_words([str(path) for path in files])}. To attach them to the role ROLE:\n")
    for name, path in zip(names, files, strict=True):
        created = (
            f"aws iam create-policy --policy-name {quote_shell(name)} "
            f"--policy-document {quote_shell(f'file://{path}')} --query Policy.Arn --output text"
        )
        sys.stdout.write(f'aws iam attach-role-policy --role-name ROLE --policy-arn "$({created})"\n')


def divide_policy(statements: Iterable[AuditStatement]) -> list[dict[str, Any]]:
    """Return the policy documents of *statements*: one, or as many as IAM's limit takes."""
    parts: list[list[AuditStatement]] = []
    for statement in (part for whole in statements for part in split_statement(whole)):
        for part in parts:
            if policy_size(policy_document([*part, statement])) <= MANAGED_POLICY_LIMIT:
                part.append(statement)
                break
        else:
            parts.append([statement])
    return [policy_document(part) for part in parts]


def policy_document(part: Sequence[AuditStatement]) -> dict[str, Any]:
    """Build one policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(part)}


def policy_size(policy: Mapping[str, Any]) -> int:
    """Return how much of a limit a policy takes; blanks in an ARN or a condition count too."""
    return len(json.dumps(policy, separators=(",", ":")))


def audit_statements(grants: Iterable[Grant], regions: AuditedRegions) -> Iterator[AuditStatement]:
    """
    Yield statements that allow *grants* in *regions* and nothing else, in a fixed order.

    Actions on the same resources under the same conditions share one. So do actions of a service on whole
    kinds: AWS judges each by the resources of its own kind alone. The account is left open: a policy counts
    only in the account that it is made in.
    """
    resources: dict[tuple[str, tuple[Condition, ...]], set[str]] = defaultdict(set)
    kinds: dict[tuple[str, tuple[Condition, ...]], tuple[set[str], set[str]]] = {}
    for grant in grants:  # the account is unknown, and an audit only reads
        when = tuple(condition for condition in grant.when if OWN_ACCOUNT not in condition.values)
        when += region_conditions(grant, regions)
        if WHOLE_KIND.fullmatch(grant.on) and not grant.when:
            actions, arns = kinds.setdefault((grant.action.partition(":")[0], when), (set(), set()))
            actions.add(grant.action)
            arns |= set(grant_arns(grant, regions))
        else:
            resources[grant.action, when] |= set(grant_arns(grant, regions))
    alike: AlikeActions = defaultdict(list)
    for (action, when), found in resources.items():
        alike[tuple(sorted(found)), when].append(action)
    for (_, when), (actions, arns) in kinds.items():
        alike[tuple(sorted(arns)), when] += actions
    alike = alike if len(regions) == 1 else join_services(alike)
    for (on, when), allowed in sorted(alike.items(), key=lambda item: (sorted(item[1]), item[0][0])):
        statement = {"Effect": "Allow", "Action": sorted(allowed), "Resource": list(on)}
        yield statement | condition_block(when, regions)


def join_services(alike: AlikeActions) -> AlikeActions:
    """
    Join statements with equal conditions: each condition has a list of regions.

    They are those of services with a single statement: an action is judged by ARNs of its own service alone.
    """
    statements_of = Counter(
        (service, when)
        for (on, when), actions in alike.items()
        for service in {action.partition(":")[0] for action in actions}
    )
    joined: AlikeActions = defaultdict(list)
    together: dict[tuple[Condition, ...], tuple[set[str], list[str]]] = {}
    for (on, when), actions in alike.items():
        if when and all(statements_of[action.partition(":")[0], when] == 1 for action in actions):
            arns, all_actions = together.setdefault(when, (set(), []))
            arns |= set(on)
            all_actions += actions
        else:
            joined[on, when] += actions
    return joined | {(tuple(sorted(arns)), when): actions for when, (arns, actions) in together.items()}


def split_statement(statement: AuditStatement) -> Iterator[AuditStatement]:
    """
    Yield the statement, or several that allow the same together if it is over the limit.

    Each has a part of its resources; of a single resource, a part of the values of its longest condition,
    one of which is enough for a request.
    """
    halves: list[AuditStatement] = []
    if policy_size(policy_document([statement])) > MANAGED_POLICY_LIMIT:
        on = statement["Resource"]
        halves = [statement | {"Resource": part} for part in halve(on)]
        for operator, keys in () if halves else statement.get("Condition", {}).items():
            key = max(keys, key=lambda key: len(keys[key]))
            halves = halves or [
                statement | {"Condition": statement["Condition"] | {operator: keys | {key: part}}}
                for part in halve(keys[key])
                if "Not" not in operator
            ]
    if not halves:
        yield statement
    for half in halves:
        yield from split_statement(half)


def halve[T](values: Sequence[T]) -> list[Sequence[T]]:
    """Return both halves of *values*; none of a single value."""
    half = len(values) // 2
    return [values[:half], values[half:]] if half else []


def is_regional(grant: Grant) -> bool:
    """Return whether *grant* is for resources of the regions that are audited."""
    return grant.on != "*" and not grant.on.startswith("arn:")


def region_conditions(grant: Grant, regions: AuditedRegions) -> tuple[Condition, ...]:
    """Return the condition that limits *grant* to several regions: ARNs of each would be far longer."""
    if not is_regional(grant) or len(regions) == 1:
        return ()
    return (Condition("StringEquals", "aws:RequestedRegion", tuple(sorted(regions))),)


def grant_arns(grant: Grant, regions: AuditedRegions) -> list[str]:
    """Return the ARNs of *grant*; of several regions a condition selects, in the partition of the first."""
    if not is_regional(grant):
        return [arn_in_partition(grant.on, regions)]
    service = grant.action.partition(":")[0]
    region, partition = next(iter(regions.items()))
    return [f"arn:{partition}:{service}:{region if len(regions) == 1 else '*'}:*:{grant.on}"]


def condition_block(when: Iterable[Condition], regions: AuditedRegions) -> dict[str, Any]:
    """Return a statement's conditions by operator and key, or nothing."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for condition in when:
        found[condition.operator][condition.key] = [
            arn_in_partition(value, regions) for value in condition.values
        ]
    return {"Condition": dict(found)} if found else {}


def arn_in_partition(text: str, regions: AuditedRegions) -> str:
    """Return *text* with the partition of the audited regions, if it is an ARN of AWS's standard one."""
    return text.replace(f":{OWN_ACCOUNT}:", ":*:").replace(
        "arn:aws:", f"arn:{next(iter(regions.values()))}:", 1
    )
