"""The checks of `janitor doctor` on the deployed stack, and their results drawn for a terminal."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import boto3
from rich.console import Group, RenderableType
from rich.text import Text

from ml_janitor.acting.undoing import is_undoable
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.cost_explorer import COST_EXPLORER_REGION, CostExplorer, RefusedError, group_by_dimension
from ml_janitor.bill.model import PRICE_PER_REQUEST, BillGap, BillReading, GapCause
from ml_janitor.bill.reading import BILL_DAYS, GAP_CAUSES, chosen_tags, tag_gaps
from ml_janitor.config.functions import ADVISERS, has_own_function, schedule_groups
from ml_janitor.config.sections import BillSection, bill_tags, unmatched_routes
from ml_janitor.config.settings import Settings
from ml_janitor.core.text import count_noun, escape_text, join_words, quote_shell
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.findings import Entry, Ledger
from ml_janitor.ledger.signatures import KEY_MANAGEMENT, MAC_ALGORITHM, SigningKey
from ml_janitor.ledger.table import Table
from ml_janitor.ledger.uses import TABLE_MANAGEMENT, TABLE_WRITES
from ml_janitor.report.bill import gap_sentence
from ml_janitor.slack import ingress
from ml_janitor.slack.client import (
    CONNECTION_ERRORS,
    ERROR_REMEDIES,
    ONE_CHANNEL_ERROR,
    QUIET_LOGGER,
    REQUEST_SECONDS,
    SLACK_API,
    TEMPORARY_ERRORS,
    SendError,
    parse_token_or_url,
)
from ml_janitor_cli.ledger_session import STACK_KEYS
from ml_janitor_cli.screen import draw_facts, draw_title, ruled_table
from ml_janitor_cli.stack import (
    DEPLOYERS_OUTPUT,
    FUNCTION_TYPE,
    KEY_TYPE,
    LIST_RESOURCES,
    VERSION_OUTPUT,
    Check,
    CheckOutcome,
    CheckSurroundings,
    DeployedStack,
    ExpectedFunction,
    MissingResource,
    RegionServices,
    Trouble,
    check_alarm_topic,
    check_alarms,
    check_function_parts,
    check_mail_topic,
    check_queues,
    check_topic_key,
    deploy_again_advice,
    deploy_command,
    listed_values,
    read_answer,
)
from ml_janitor_cli.terminal import ERROR_LIMIT, draw_list

# --- all checks -----------------------------------------------------------------------------------

CHECK_THREADS = 8
FUNCTIONS_ON_REQUEST = {
    "undo": "Undo",
    "Slack's receiver": "SlackReceiver",
    "Slack's worker": "SlackWorker",
}
"""The functions that are there where a detector is armed, and their constructs."""

CHECKED_SERVICES = (
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "kms",
    "lambda",
    "scheduler",
    "secretsmanager",
    "sns",
    "sqs",
)


def expected_functions(settings: Settings, names: Sequence[str] | None) -> list[ExpectedFunction]:
    """Return the functions in the settings, switched on or off; only those with *names* if there are any."""
    parts = {
        group.schedule: re.sub("[^A-Za-z0-9]", "", group.id)
        for group in schedule_groups(settings)
        if group.function == ADVISERS
    }
    detectors = []
    for detector in settings.registry:
        own, enabled = has_own_function(settings, detector.name), settings.sections[detector.name].enabled
        if (own or enabled) and (not names or detector.name in names):
            schedule = settings.schedule(detector)
            detectors.append(
                ExpectedFunction(
                    name=detector.name,
                    construct=detector.__name__ if own else "Advisers",
                    schedule=schedule,
                    schedule_part="Schedule" if own else parts[schedule],
                    enabled=enabled,
                )
            )
    digest = ExpectedFunction(
        name="digest", construct="Digest", schedule=settings.janitor.digest_schedule, sweeps=False
    )
    bill = ExpectedFunction(
        name="bill",
        construct="Bill",
        schedule=settings.bill.schedule,
        enabled=settings.bill.enabled,
        sweeps=False,
    )
    others = [
        ExpectedFunction(name=name, construct=construct) for name, construct in FUNCTIONS_ON_REQUEST.items()
    ]
    if settings.organization.used:
        others.append(ExpectedFunction(name="accounts", construct="Accounts"))
    return detectors if names else [*detectors, digest, bill, *others]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackExaminer:
    """
    Looks for the *stack* in each of *regions*, and at everything in the first that has it.

    *named* is whether somebody asked for the stack; *names* are the only functions to look at, if any.
    """

    session: boto3.Session
    settings: Settings
    stack: str
    named: bool
    names: Sequence[str] | None
    regions: Sequence[str]
    account: str
    attempts: int
    now: datetime
    slack_url: str

    def examine(self) -> DeploymentResult:
        """Return everything that was found out."""
        without: Trouble | None = None
        for region in self.regions:
            here = RegionServices(self.session, region, attempts=self.attempts)
            match here.find(self.stack):
                case DeployedStack() as found:
                    return self._deployed(found=found, checks=self._checks(here, found))
                case Trouble() as trouble:
                    without = without or trouble
                case MissingResource():
                    pass
        return self._deployed(without=without)

    def _deployed(self, **found: Any) -> DeploymentResult:
        return DeploymentResult(
            name=self.stack,
            regions=self.regions,
            expected=self.named,
            names=tuple(self.names or ()),
            **found,
        )

    def _checks(self, here: RegionServices, stack: DeployedStack) -> list[Check]:
        """Run all checks: of each function, its alarms, their subscribers, and Slack."""
        for service in CHECKED_SERVICES:  # boto3 makes clients one at a time
            here.client(service)
        outputs = here.outputs(stack.name)
        if outputs is not None and (made := outputs.get(VERSION_OUTPUT, "")) != version("ml-janitor"):
            return [check_version(made), *([] if self.names else check_queues(here, stack, self.now))]
        deployers = (outputs or {}).get(DEPLOYERS_OUTPUT, "").split()
        section = self.settings.janitor
        expected = expected_functions(self.settings, self.names)
        around = CheckSurroundings(
            account=self.account,
            regions=tuple(section.regions) or (here.region,),
            time_zone=section.time_zone,
            now=self.now,
            organization=self.settings.organization.used,
        )
        with ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="check") as pool:
            of_functions = [
                *pool.map(lambda function: [*check_function_parts(here, stack, function, around)], expected)
            ]
        checks = [check for checks in of_functions for check in checks]
        if self.names:
            return checks
        checks += check_queues(here, stack, self.now)
        checks += check_alarms(here, stack, self.now)
        checks += check_undo(here, stack, self.settings, account=self.account, now=self.now)
        if self.settings.undoable(self.now.date()):
            checks += check_signing_keys(here, stack, self.settings, deployers)
        checks += check_bill(self.session, self.settings.bill, attempts=self.attempts, now=self.now)
        checks.append(check_alarm_topic(here, stack))
        if topic := self.settings.notify.email:
            of_topic = RegionServices(self.session, topic.split(":")[3], attempts=self.attempts)
            checks.append(check_mail_topic(of_topic, topic))
        if key := self.settings.janitor.kms_key:
            bill = self.settings.bill
            checks.append(check_topic_key(here, key, budgets=bool(bill.monthly_budget or bill.budgets)))
        return [*checks, *check_slack(here, self.settings, account=self.account, url=self.slack_url)]


def check_version(made: str) -> Check:
    """Return the one problem of a stack that another version *made*, whose parts are others."""
    ours = version("ml-janitor")
    of = f"version {made}" if made else "an earlier version"
    return Check.wrong(
        "version",
        f"{of} made the stack, and this is {ours}, so only its queues were checked",
        f"{deploy_command()} updates it (CHANGELOG.md says what to change before)",
    )


# --- bill -----------------------------------------------------------------------------------------

CHECK_REQUESTS = 10
"""Request limit of the checks: they need two, unless an account has hundreds of tags."""

TAG_FAULTS = {
    GapCause.TAG_NOT_ACTIVE: "not an active cost allocation tag",
    GapCause.NO_SUCH_TAG: "a tag that nothing has ever had",
}
BILL_GUIDE = "janitor docs operating The bill each morning"


def check_bill(
    session: boto3.Session, section: BillSection, *, attempts: int, now: datetime
) -> Iterator[Check]:
    """Check Cost Explorer and its tags, if the function is on: each of two or three requests costs a cent."""
    if not section.enabled:
        return
    explorer = CostExplorer(
        make_client(session, "ce", COST_EXPLORER_REGION, attempts), max_requests=CHECK_REQUESTS
    )
    today = now.astimezone(UTC).date()
    try:
        explorer.daily(today - timedelta(days=1), today, group_by_dimension("SERVICE"))
    except RefusedError as refused:
        yield _missing("Cost Explorer", BillReading.SERVICES, refused)
        return
    night = section.max_requests * PRICE_PER_REQUEST
    yield Check.fine("Cost Explorer", f"it answers; reading the bill costs up to ${night} a night")
    keys = list(bill_tags(section).values())
    if not keys:
        return
    try:
        active = explorer.tags_active(keys)
        unknown = [key for key in keys if key in chosen_tags(section) and key not in active]
        used = explorer.tag_keys(today - timedelta(days=BILL_DAYS), today) if unknown else frozenset()
    except RefusedError as refused:
        yield _missing("cost tags", BillReading.ACTIVE_TAGS, refused)
        return
    gaps = list(tag_gaps(keys, chosen_tags(section), active, used))
    if fine := [key for key in keys if active.get(key)]:
        yield Check.fine("cost tags", f"active: {', '.join(fine)}")
    if unused := [gap.subject for gap in gaps if gap.cause is GapCause.TAG_NOT_USED]:
        yield Check.fine("cost tags", f"not used here: {', '.join(unused)}")
    for gap in gaps:
        if gap.cause is not GapCause.TAG_NOT_USED:
            yield Check.wrong(
                "cost tags",
                f"{gap.subject} is {TAG_FAULTS[gap.cause]}",
                f'{gap_sentence(gap)} Or leave it out: set it to "" in tags of [bill].',
            )


def _missing(what: str, reading: BillReading, refused: RefusedError) -> Check:
    gap = BillGap(reading=reading, cause=GAP_CAUSES[refused.cause], detail=str(refused))
    return Check.wrong(what, gap_sentence(gap), f"see {BILL_GUIDE}")


# --- undo -----------------------------------------------------------------------------------------

UNDO_CHECK = "undo"


def check_undo(
    here: RegionServices, stack: DeployedStack, settings: Settings, *, account: str, now: datetime
) -> Iterator[Check]:
    """Check each detector and place with actions that can be undone, but not by the undo function."""
    if stack.table is None:
        return  # the check of each function's last run says so
    table = Table(here.client("dynamodb"), stack.table)
    asked = read_answer(lambda: (Actions(table).everywhere(), Ledger(table).everywhere()))
    match asked:
        case Trouble():
            yield asked.check(UNDO_CHECK, action="dynamodb:Scan")
        case MissingResource():
            return
        case (actions, entries):
            regions = settings.janitor.regions or [here.region]
            deployed = stack.physical_id("Undo", "Function", FUNCTION_TYPE) is not None
            within = timedelta(days=settings.janitor.undo_days)
            left = [
                action
                for action in actions
                if action.target.account == account and is_undoable(action, within, now)
            ]
            yield from check_unreachable_actions(left, settings, regions, account, now, deployed=deployed)
            yield from check_undo_settings(left, entries, settings)


def check_unreachable_actions(
    left: Iterable[Action],
    settings: Settings,
    regions: Sequence[str],
    account: str,
    now: datetime,
    *,
    deployed: bool,
) -> Iterator[Check]:
    """Check the actions *left* to undo, where the stack of *account* sweeps *regions*."""
    within = timedelta(days=settings.janitor.undo_days)
    places: dict[tuple[str, str], list[Action]] = {}
    for action in left:
        places.setdefault((action.detector, action.target.region), []).append(action)
    for (detector, region), done in sorted(places.items()):
        last = max(action.began for action in done)
        to_do = undo_remedy(settings, detector, (account, region), regions, last=last.date(), now=now)
        if to_do is None and deployed:
            continue
        yield Check.wrong(
            UNDO_CHECK,
            f"{count_noun(len(done), 'thing')} that {detector} did in {region} can be undone until "
            f"{last + within:%Y-%m-%d}, but not by the undo function, which has no powers there",
            f"{to_do or deploy_again_advice()}; or janitor undo, with credentials of your own",
        )


def check_undo_settings(
    left: Iterable[Action], entries: Iterable[Entry], settings: Settings
) -> Iterator[Check]:
    """
    Check settings that keep something from the undo function: past actions, and coming ones.

    An operator who lists no role wants every job restarted by a person, which is nothing to mend.
    """
    kinds = {detector.name: settings.detector(detector) for detector in settings.registry}
    lacking: dict[tuple[str, str], list[str]] = {}
    for action in left:
        if action.detector in kinds and (
            setting := kinds[action.detector].missing_for_undo(action.target, action.undo)
        ):
            lacking.setdefault((setting, action.detector), []).append("did")
    for entry in entries:
        if entry.warned is not None and entry.closed is None and entry.missing_for_undo:
            lacking.setdefault((entry.missing_for_undo, entry.detector), []).append("warned about")
    for (setting, name), verbs in sorted(lacking.items()):
        things = " and ".join(
            f"{count_noun(number, 'thing')} that {name} {verb}" for verb, number in Counter(verbs).items()
        )
        chosen = getattr(kinds.get(name), "undo_roles", None) == ()
        yield Check(
            what=UNDO_CHECK,
            outcome=CheckOutcome.FINE if chosen else CheckOutcome.WRONG,
            seen=f"{things} can be undone only by a person, unless you set {setting}",
            to_do=f"{setting}, and {deploy_command()}; or janitor undo, with credentials of your own",
        )


def undo_remedy(
    settings: Settings,
    detector: str,
    place: tuple[str, str],
    regions: Sequence[str],
    *,
    last: date,
    now: datetime,
) -> str | None:
    """Say what lets a stack that sweeps *regions* undo in *place*; None if it can."""
    kind = next((rule for rule in settings.registry if rule.name == detector), None)
    if kind is None:
        return "deploy a version that knows this detector"
    own = f"detectors.{detector}"
    if detector not in settings.undoable_names(now.date()):
        return f"armed_until = {last} in {own}, or the later day it was disarmed, and {deploy_command()}"
    account, region = place
    granted = settings.arming(kind).undo_places(regions) or [(account, own_region) for own_region in regions]
    if place in granted:
        return None
    if account not in {granted_account for granted_account, _ in granted}:
        return f'disarm {own} in the settings of this account: mode = "dry-run", armed_until = {last}'
    return f"{region} in janitor.regions again until then, and {deploy_command()}: act_in need not name it"


# --- keys and policies ----------------------------------------------------------------------------

ROLE_TYPE = "AWS::IAM::Role"
MAC_BYTES = 32

DRY_RUN_OK_CODES = frozenset({"DryRunOperationException", "KMSInvalidMacException"})
"""KMS's answers to a dry run that would be allowed (API reference, GenerateMac and VerifyMac, "DryRun")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedKey:
    """
    A signing key of the stack, and the commands for which a person needs each call.

    The functions' roles have the calls. A person *signs* with it, if `ledger_writers` lists the person.
    """

    name: str
    construct: str
    calls: Mapping[str, str]

    @property
    def signs(self) -> bool:
        """Return whether a person signs with it."""
        return "GenerateMac" in self.calls


DEPLOYED_KEYS = (
    DeployedKey(
        name="undo key",
        construct=STACK_KEYS[SigningKey.RECORDS][0],
        calls={
            "GenerateMac": "janitor sweep --act",
            "VerifyMac": "janitor undo",
            "DescribeKey": "janitor undo --unsigned",
        },
    ),
    DeployedKey(
        name="progress key",
        construct=STACK_KEYS[SigningKey.PROGRESS][0],
        calls={"GenerateMac": "janitor undo", "VerifyMac": "janitor undo"},
    ),
    DeployedKey(
        name="requests key",
        construct=STACK_KEYS[SigningKey.REQUESTS][0],
        calls={"VerifyMac": "janitor sweep --act"},
    ),
)


def check_signing_keys(
    here: RegionServices, stack: DeployedStack, settings: Settings, deployers: Sequence[str] = ()
) -> Iterator[Check]:
    """Check the signing keys, what the caller may do with them, and the policies of keys and table."""
    for key in DEPLOYED_KEYS:
        physical = stack.physical_id(key.construct, "", KEY_TYPE)
        if physical is None:
            said = f"the stack has no {key.name}, so nothing can be acted on or undone"
            yield Check.wrong(key.name, said, f"{deploy_command()} adds it")
        else:
            yield check_key(here, key, physical)
    yield from check_policies(here, stack, settings, deployers)


def check_key(here: RegionServices, key: DeployedKey, physical: str) -> Check:
    """Check one key, and what the caller may not do with it."""
    refused = []
    for operation, command in key.calls.items():
        match read_answer(partial(dry_run_key, here, operation, physical), gone=DRY_RUN_OK_CODES):
            case Trouble(outcome=CheckOutcome.REFUSED):
                refused.append(f"kms:{operation} ({command})")
            case Trouble() as trouble:
                to_do = f"{deploy_again_advice()} if it was deleted; else enable it, or cancel its deletion"
                return Check.wrong(key.name, trouble.why, to_do)
            case _:
                pass
    if refused:
        said = f"your credentials do not hold {', '.join(refused)}; the functions' roles do"
        to_do = "to do that by hand, ask for it, and for your role in ledger_writers"
        return Check.not_probed(key.name, said, to_do)
    return Check.fine(key.name, f"your credentials can {'sign and ' if key.signs else ''}verify with it")


def dry_run_key(here: RegionServices, operation: str, key: str) -> Any:
    """Make a dry run of *operation* with *key*: KMS answers with an error, allowed or not."""
    if operation == "DescribeKey":  # only reads, and has no dry run
        return here.client("kms").describe_key(KeyId=key)
    about = {"KeyId": key, "MacAlgorithm": MAC_ALGORITHM, "Message": b"-", "DryRun": True}
    client = here.client("kms")
    if operation == "GenerateMac":
        return client.generate_mac(**about)
    return client.verify_mac(**about, Mac=bytes(MAC_BYTES))


POLICIES_CHECK = "policies"
NO_POLICY_CODES = frozenset({"NotFoundException", "PolicyNotFoundException", "ResourceNotFoundException"})

DEPLOYING_ROLE = re.compile(
    r"arn:[a-z-]+:iam::\d{12}:(root|role/cdk-[a-z0-9]+-(cfn-exec|deploy)-role-[a-z0-9-]+)"
)
"""The account's root user, and the roles with which CDK deploys: always administrators."""


def check_policies(
    here: RegionServices, stack: DeployedStack, settings: Settings, deployers: Sequence[str] = ()
) -> Iterator[Check]:
    """
    Check that nobody but whom the settings name may sign, write to the table, or change who may.

    *deployers* are let through by the deployment itself. A fault of several policies is one problem.
    """
    section = settings.janitor
    if not section.ledger_writers:
        said = "ledger_writers is empty, so whoever IAM allows may sign, and write to the ledger"
        yield Check.wrong(POLICIES_CHECK, said, f"set ledger_writers in janitor, and {deploy_command()}")
        return
    managing = dict.fromkeys(KEY_MANAGEMENT, section.administrators)
    closed: dict[str, tuple[Callable[[], Any], str, Mapping[str, Sequence[str]]]] = {
        key.name: (
            partial(_key_policy, here, stack.physical_id(key.construct, "", KEY_TYPE)),
            "kms:GetKeyPolicy",
            {
                "kms:GenerateMac": section.ledger_writers if key.signs else [],
                "kms:VerifyMac": section.ledger_writers,
                "kms:CreateGrant": section.administrators,
                **managing,
            },
        )
        for key in DEPLOYED_KEYS
    }
    encrypting = partial(_key_policy, here, stack.physical_id("LedgerKey", "", KEY_TYPE))
    closed["table's key"] = (encrypting, "kms:GetKeyPolicy", managing)
    closed["table"] = (
        partial(_table_policy, here, stack.table),
        "dynamodb:DescribeTable and dynamodb:GetResourcePolicy",
        {
            **dict.fromkeys(TABLE_WRITES, section.ledger_writers),
            **dict.fromkeys(TABLE_MANAGEMENT, section.administrators),
        },
    )
    roles = {physical for (_, kind), physical in stack.resources.items() if kind == ROLE_TYPE}
    refused, faults = list[Check](), dict[str, list[str]]()
    for name, (read, action, listed) in closed.items():
        match read_answer(read, gone=NO_POLICY_CODES):
            case Trouble() as trouble:
                refused.append(trouble.check(f"policy of the {name}", action=action))
            case answer:
                policy = {} if isinstance(answer, MissingResource) else answer
                for said in policy_faults(policy, listed, {*roles}, deployers):
                    faults.setdefault(said, []).append(name)
    yield from refused
    for said, names in faults.items():
        what = f"{'policy' if len(names) == 1 else 'policies'} of the {join_words(names)}"
        yield Check.wrong(what, said, f"{deploy_again_advice()}, if nobody meant it")
    if not refused and not faults:
        seen = "only the functions and ledger_writers sign and write; only administrators change that"
        yield Check.fine(POLICIES_CHECK, seen)


def _key_policy(here: RegionServices, key: str | None) -> Any:
    answer = here.client("kms").get_key_policy(KeyId=key) if key else {"Policy": "{}"}
    return json.loads(answer["Policy"])


def _table_policy(here: RegionServices, table: str | None) -> Any:
    client = here.client("dynamodb")
    arn = client.describe_table(TableName=table)["Table"]["TableArn"]
    return json.loads(client.get_resource_policy(ResourceArn=arn)["Policy"])


def policy_faults(
    policy: Mapping[str, Any],
    closed: Mapping[str, Sequence[str]],
    roles: Container[str],
    deployers: Sequence[str] = (),
) -> Iterator[str]:
    """
    Say how *policy* lets somebody else do the *closed* actions than who is listed for each of them.

    Roles of the stack, and *deployers* and CDK's roles, are let through besides.
    """
    open_to_all, strangers, missing = [], dict[str, None](), dict[str, None]()
    for action, listed in closed.items():
        if (through := let_through(policy, action)) is None:
            open_to_all.append(action)
            continue
        strangers |= dict.fromkeys(
            arn
            for arn in sorted(through - {*listed})
            if arn.rpartition("/")[2] not in roles
            and arn not in deployers
            and not DEPLOYING_ROLE.fullmatch(arn)
        )
        missing |= dict.fromkeys(arn for arn in listed if arn not in through)
    if open_to_all:
        yield f"it leaves {', '.join(open_to_all)} to whoever IAM allows"
    if strangers:
        yield f"it lets {', '.join(strangers)} through, whom the settings do not name"
    if missing:
        yield f"it does not know {', '.join(missing)}"


def let_through(policy: Mapping[str, Any], action: str) -> set[str] | None:
    """Return the ARNs of those to whom no Deny of *policy* denies *action*; None without such a Deny."""
    spared = [
        {*listed_values(statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"])}
        for statement in listed_values(policy.get("Statement", []))
        if statement["Effect"] == "Deny" and statement.get("Principal") in ("*", {"AWS": "*"})
        if action in listed_values(statement.get("Action", []))
        if [*statement.get("Condition", {})] == ["ArnNotLike"]
        if [*statement["Condition"]["ArnNotLike"]] == ["aws:PrincipalArn"]
    ]
    return set.intersection(*spared) if spared else None


# --- Slack ----------------------------------------------------------------------------------------
# Each step from the secret to the channel is checked before anything has to be posted.

BOT_SCOPES: Mapping[str, str] = {
    "chat:write": "nothing can be posted",
    "files:write": "the report is not attached, and every run that has something to tell ends as failed",
    "im:write": "no owner gets a direct message, so everything has twice the grace",
    "users:read.email": "owners are neither mentioned nor messaged, so everything has twice the grace",
    "users:read": "owners are named plainly: Slack demands it beside users:read.email",
}
"""Scopes of Slack that the janitor needs, and the loss without each."""

GROUP_SCOPES: Mapping[str, str] = {"usergroups:read": "nobody can press Do it now or Undo"}
"""Scopes needed in addition where `slack_group` is set."""

SCOPES_HEADER = "x-oauth-scopes"
"""Header in Slack's answers that names the token's scopes (docs.slack.dev, Installing with OAuth)."""

CHANNEL_SCOPES = "channels:read (for a private channel groups:read)"
CHANNEL_ID_PATTERN = re.compile(r"[CG][A-Z0-9]{6,}")
CHANNELS_A_PAGE, MOST_CHANNEL_PAGES = 1000, 20


def check_slack(here: RegionServices, settings: Settings, *, account: str, url: str) -> Iterator[Check]:
    """Check from the secret to the channels; a check whose prerequisite is missing ends the row."""
    section, routes = settings.janitor, settings.slack.routes
    if not section.slack_secret:
        seen = "not set up (slack_secret is empty), so nothing is posted"
        yield Check.fine("Slack", seen)
        return
    secret = read_secret(here, "secret", section.slack_secret)
    if isinstance(secret, Check):
        yield secret
        return
    try:
        token = parse_token_or_url(secret)
    except SendError as wrong:
        yield Check.wrong("secret", str(wrong), ERROR_REMEDIES["invalid_auth"])
        return
    yield Check.fine("secret", f"{section.slack_secret} can be read")
    for idle in () if settings.organization.used else unmatched_routes(routes, account):
        to_do = f"correct it in [slack.routes] of janitor.toml, or remove it, and {deploy_command()}"
        yield Check.wrong("routes", idle, to_do)
    if not token.startswith("xoxb-") and routes:
        seen, _, to_do = ONE_CHANNEL_ERROR.partition(": ")
        yield Check.wrong("Slack", f"{seen}, so nothing is posted", to_do)
        return
    if not token.startswith("xoxb-"):
        seen = (
            "a webhook cannot be checked without posting; it sends owners no direct messages, so everything "
            "has twice the grace"
        )
        yield Check.not_probed("Slack", seen)
        return
    space = SlackProbe(token, url or SLACK_API)
    yield from check_bot(space, settings)
    if section.slack_signing_secret:
        yield check_signing_secret(here, section.slack_signing_secret)
        if section.slack_group:
            yield from check_user_group(space, section.slack_group)


class SlackProbe:
    """Slack's Web API, asked once per question, without retries."""

    def __init__(self, token: str, url: str) -> None:
        from slack_sdk import WebClient

        self._client = WebClient(
            token, base_url=url, timeout=REQUEST_SECONDS, retry_handlers=[], logger=QUIET_LOGGER
        )
        self.channels = cache(partial(self.ask, "conversations_list", limit=CHANNELS_A_PAGE))
        """A page of channels; each is asked for once, because Slack answers some twenty pages a minute."""

    def ask(self, method: str, **arguments: Any) -> Any:
        """Return Slack's answer, or a Trouble: REFUSED with its word for why, FAILED without an answer."""
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            return getattr(self._client, method)(**arguments)
        except SlackApiError as refused:
            response: Any = refused.response
            error = str(response.get("error"))
            if error in TEMPORARY_ERRORS or response.status_code >= 500:
                return Trouble(
                    CheckOutcome.FAILED, f"Slack did not answer: HTTP {response.status_code}, {error}"
                )
            return Trouble(CheckOutcome.REFUSED, error)
        except (SlackClientError, *CONNECTION_ERRORS) as broken:
            return Trouble(CheckOutcome.FAILED, f"Slack did not answer: {type(broken).__name__}")


def check_bot(space: SlackProbe, settings: Settings) -> Iterator[Check]:
    """Check the token, its scopes, and every channel that is posted to."""
    section = settings.janitor
    identity = space.ask("auth_test")
    if isinstance(identity, Trouble):
        if identity.outcome is CheckOutcome.FAILED:
            yield identity.check("Slack")
        else:
            seen = f"Slack refuses the token: {identity.why}"
            yield Check.wrong("Slack", seen, ERROR_REMEDIES.get(identity.why, ""))
        return
    seen = f"{identity['user']} in workspace {identity['team']}"
    yield Check.fine("Slack", seen)
    headers = {name.lower(): value for name, value in identity.headers.items()}
    needed = {**BOT_SCOPES, **(GROUP_SCOPES if section.slack_group else {})}
    yield from check_scopes(headers.get(SCOPES_HEADER), needed)
    if section.slack_channel:
        yield check_channel(space, section.slack_channel)
    else:
        to_do = f"set slack_channel in janitor.toml, and {deploy_command()}"
        yield Check.wrong("channel", "slack_channel is not set", to_do)
    routed: dict[str, list[str]] = {}
    for key, channel in settings.slack.routes.items():
        if channel != section.slack_channel:
            routed.setdefault(channel, []).append(key)
    for channel, keys in routed.items():
        check = check_channel(space, channel)
        yield replace(check, seen=f"{check.seen}; for {', '.join(keys)}")


def check_scopes(seen: str | None, needed: Mapping[str, str]) -> Iterator[Check]:
    """Check the token's scopes, and say what is lost without each."""
    if seen is None:
        yield Check.not_probed("scopes", "Slack did not name the token's scopes")
        return
    given = {scope.strip() for scope in seen.split(",")}
    missing = [scope for scope in needed if scope not in given]
    for scope in missing:
        seen = f"the scope {scope} is missing: {needed[scope]}"
        yield Check.wrong("scopes", seen, ERROR_REMEDIES["missing_scope"])
    if not missing:
        yield Check.fine("scopes", ", ".join(needed))


def check_channel(space: SlackProbe, channel: str) -> Check:
    """Check that the channel is there, and the bot in it."""
    wrong = partial(Check.wrong, "channel")
    match find_channel(space, channel):
        case Trouble(CheckOutcome.REFUSED, "missing_scope"):
            seen = f"to see {channel}, the app would need {CHANNEL_SCOPES}, which the janitor itself does not"
            return Check.not_probed("channel", seen)
        case Trouble(CheckOutcome.REFUSED, why):
            return wrong(seen=f"{channel}: {why}", to_do=ERROR_REMEDIES.get(why, ""))
        case Trouble() as trouble:
            return trouble.check("channel")
        case {"is_archived": True}:
            return wrong(seen=f"{channel} is archived", to_do=ERROR_REMEDIES["is_archived"])
        case {"is_member": False}:
            return wrong(seen=f"the app is not in {channel}", to_do=ERROR_REMEDIES["not_in_channel"])
        case found:
            return Check.fine("channel", f"#{found['name']}, and the app is in it")


def find_channel(space: SlackProbe, channel: str) -> Any:
    """Return Slack's answer about the channel; conversations.info knows only ids, so names need lists."""
    if CHANNEL_ID_PATTERN.fullmatch(channel):
        answer = space.ask("conversations_info", channel=channel)
        return answer if isinstance(answer, Trouble) else answer["channel"]
    name = channel.removeprefix("#")
    blind = Trouble(CheckOutcome.REFUSED, "missing_scope")
    everywhere = find_channel_by_name(space, name, "public_channel,private_channel")
    if everywhere != blind:
        return everywhere
    public = find_channel_by_name(space, name, "public_channel")
    return blind if public == Trouble(CheckOutcome.REFUSED, "channel_not_found") else public


def find_channel_by_name(space: SlackProbe, name: str, types: str) -> Any:
    """Find the channel called *name*, out of all that the app can see of these *types*."""
    cursor = ""
    for _ in range(MOST_CHANNEL_PAGES):
        answer = space.channels(types=types, cursor=cursor)
        if isinstance(answer, Trouble):
            return answer
        for channel in answer["channels"]:
            if channel["name"] == name:
                return channel
        cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
        if not cursor:
            return Trouble(CheckOutcome.REFUSED, "channel_not_found")
    return Trouble(
        CheckOutcome.FAILED,
        f"#{name} is not among the first {MOST_CHANNEL_PAGES * CHANNELS_A_PAGE:,} channels",
    )


def read_secret(here: RegionServices, what: str, name: str, lost: str = "") -> str | Check:
    """
    Return the text of the secret *name*, or the check *what* that it fails, which says what is *lost*.

    The command that creates it leaves no trace in a shell's history or among processes.
    """
    match read_answer(partial(here.client("secretsmanager").get_secret_value, SecretId=name)):
        case Trouble() as trouble:
            return trouble.check(what, action="secretsmanager:GetSecretValue")
        case MissingResource():
            create = (
                'read -rs S && printf %s "$S" | '
                f"aws secretsmanager create-secret --name {quote_shell(name)} --secret-string file:///dev/stdin"
            )
            return Check.wrong(what, f"there is no secret {name} in {here.region}{lost}", create)
        case answer:
            return str(answer.get("SecretString", ""))


def check_signing_secret(here: RegionServices, name: str) -> Check:
    """Check that the receiver can verify Slack's signatures."""
    what, lost = "signing secret", ", so no press is heard"
    text = read_secret(here, what, name, lost)
    if isinstance(text, Check):
        return text
    try:
        ingress.parse_signing_secret(text, name)
    except ingress.NoSecretError as none:
        return Check.wrong(what, f"{none}{lost}", "put the one of the app's Basic Information into it")
    return Check.fine(what, f"{name} can be read")


def check_user_group(space: SlackProbe, group: str) -> Iterator[Check]:
    """Check that anybody may press Do it now and Undo; another check reports a missing scope."""
    wrong = partial(Check.wrong, "user group")
    nobody = "so nobody can press Do it now or Undo"
    match space.ask("usergroups_users_list", usergroup=group):
        case Trouble(CheckOutcome.REFUSED, "missing_scope"):
            return
        case Trouble(CheckOutcome.REFUSED, why):
            yield wrong(seen=f"{group}: {why}, {nobody}", to_do=ERROR_REMEDIES.get(why, ""))
        case Trouble() as trouble:
            yield trouble.check("user group")
        case answer if not answer["users"]:
            yield wrong(seen=f"{group} has no members, {nobody}", to_do="add somebody to it in Slack")
        case answer:
            yield Check.fine("user group", f"{len(answer['users'])} in {group}")


# --- results --------------------------------------------------------------------------------------

CHECK_COLUMNS = ("schedule", "last run")
"""Checks of every function, in the order of their columns; the function itself has no column."""

CELL_LIMIT = 40
OUTCOME_STYLES = {
    CheckOutcome.WRONG: "red",
    CheckOutcome.REFUSED: "yellow",
    CheckOutcome.FAILED: "yellow",
    CheckOutcome.NOT_PROBED: "dim",
}
OUTCOME_ORDER = (*OUTCOME_STYLES, CheckOutcome.FINE)
SHORT_OUTCOMES = {
    CheckOutcome.WRONG: "wrong",
    CheckOutcome.REFUSED: "refused",
    CheckOutcome.FAILED: "no answer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentResult:
    """
    The results about the stack *name*.

    Without *found*, *without* says why nothing was checked; *expected* is whether that is a problem. *names*
    are the only functions that were checked, if any.
    """

    name: str
    regions: Sequence[str]
    expected: bool
    found: DeployedStack | None = None
    without: Trouble | None = None
    checks: Sequence[Check] = field(default=())
    names: Sequence[str] = ()

    @property
    def fine(self) -> bool:
        """Return whether the deployment works, as far as the checks could tell."""
        if self.found is None:
            lost = self.without is not None and self.without.outcome is CheckOutcome.FAILED
            return not self.expected and not lost
        return not any(
            self.having(outcome)
            for outcome in (CheckOutcome.WRONG, CheckOutcome.REFUSED, CheckOutcome.FAILED)
        )

    def having(self, outcome: CheckOutcome) -> list[Check]:
        """Return the checks with this outcome."""
        return [check for check in self.checks if check.outcome is outcome]


def draw_deployment(result: DeploymentResult) -> Iterator[RenderableType]:
    """Yield the blocks about the deployment, from its headline to checks without an answer."""
    yield Group(
        draw_title("Deployment", deployment_headline(result)),
        *([Text(escape_text(result.without.why, ERROR_LIMIT), style="dim")] if result.without else []),
    )
    if result.found is None:
        return
    yield draw_function_table(result.checks)
    if whole := [check for check in result.checks if not check.about and check.outcome is CheckOutcome.FINE]:
        yield draw_facts((check.what, escape_text(check.seen, ERROR_LIMIT)) for check in whole)
    for outcome in (CheckOutcome.WRONG, CheckOutcome.REFUSED, CheckOutcome.FAILED, CheckOutcome.NOT_PROBED):
        if checks := result.having(outcome):
            yield draw_list(
                f"In the deployment, {outcome}: {len(checks)}",
                fault_rows(checks),
                style=OUTCOME_STYLES[outcome],
            )


def deployment_headline(result: DeploymentResult) -> str:
    """Summarize the results in one sentence."""
    where = ", ".join(result.regions)
    if result.found is None:
        if result.without is None:
            return f"Not deployed here: there is no stack {result.name} in {where}."
        if result.without.outcome is CheckOutcome.REFUSED:
            return f"Whether {result.name} is deployed here cannot be told: {LIST_RESOURCES} is refused."
        return f"Whether {result.name} is deployed here cannot be told: CloudFormation did not answer."
    found = f"Stack {result.name} in {result.found.region}"
    seen = [count_noun(len(wrong), "problem")] if (wrong := result.having(CheckOutcome.WRONG)) else []
    seen += [
        f"{len(checks)} of {count_noun(len(result.checks), 'check')} {outcome}"
        for outcome in (CheckOutcome.REFUSED, CheckOutcome.FAILED)
        if (checks := result.having(outcome))
    ]
    if result.names:
        here = seen or ["all is well there"]
        return f"{found}, only {', '.join(result.names)}: {'; '.join(here)}. The rest was not checked."
    return f"{found}: {'; '.join(seen)}." if seen else f"{found}: all is well."


def draw_function_table(checks: Sequence[Check]) -> RenderableType:
    """Draw the results function by function, a column for each check."""
    drawn = ruled_table()
    for column in ("function", *CHECK_COLUMNS):
        drawn.add_column(column, header_style="dim", no_wrap=True)
    by_function: dict[str, dict[str, list[Check]]] = {}
    for check in checks:
        if check.about:
            by_function.setdefault(check.about, {}).setdefault(check.what, []).append(check)
    for about, found in by_function.items():
        drawn.add_row(
            Text(escape_text(about)), *(draw_check_cell(found.get(column, [])) for column in CHECK_COLUMNS)
        )
    return drawn


def draw_check_cell(checks: Sequence[Check]) -> Text:
    """Draw one check of one function in a word or two; the blocks below say the rest."""
    worst = min(checks, key=lambda check: OUTCOME_ORDER.index(check.outcome), default=None)
    if worst is None:
        return Text()
    seen = worst.short or SHORT_OUTCOMES.get(worst.outcome, worst.seen)
    return Text(escape_text(seen, CELL_LIMIT), style=OUTCOME_STYLES.get(worst.outcome, ""))


def fault_rows(checks: Sequence[Check]) -> list[tuple[str, str]]:
    """List problems: their subject, the observation, and the next step. Equal problems are listed once."""
    together: dict[tuple[str, str, str], list[str]] = {}
    for check in checks:
        together.setdefault((check.what, check.seen, check.to_do), []).append(check.about)
    rows = []
    for (what, seen, to_do), abouts in together.items():
        named = ", ".join(escape_text(about) for about in abouts if about)
        advice = f"\n→ {to_do}" if to_do else ""
        rows.append((f"{named}: {what}" if named else what, f"{escape_text(seen, ERROR_LIMIT)}{advice}"))
    return rows
