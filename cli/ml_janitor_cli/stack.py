"""The deployed stack for `janitor doctor`: its resources by name, and checks of functions, queues, alarms."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import partial
from itertools import batched
from pathlib import Path
from typing import Any, cast

import boto3
from botocore.exceptions import ClientError

from ml_janitor.aws.calls import ServiceName, make_client
from ml_janitor.config.schedules import overdue_after
from ml_janitor.core.durations import format_age
from ml_janitor.core.text import join_words, quote_shell
from ml_janitor.ledger.latest import BILL_KEY, LastRun, LastSweep, LatestRecords, LatestRuns
from ml_janitor.ledger.table import Table
from ml_janitor.slack.mail import CONFIRMED_ARN, PENDING_ARN, confirm_remedy, waiting_addresses
from ml_janitor_cli.probes import ProbeAnswer, classify_error

# --- stack and services ---------------------------------------------------------------------------

STACK_NAME = "MlJanitor"
"""Name of the stack in app.py."""

LOGICAL_ID_HASH = "[0-9A-F]{8}"
"""Suffix that CDK appends to the path of a construct to make its logical id."""

OPERATING_PAGE = "janitor docs operating"
RELEASED_BUNDLE = Path(__file__).with_name("bundle.sha256")
"""The SHA-256 and name of the bundle that was released with this wheel; a checkout has none."""

VERSION_OUTPUT, DEPLOYERS_OUTPUT = "Version", "Deployers"
"""The stack's outputs: the version that made it, and whom `janitor deploy` lets through besides."""

KEY_TYPE, TABLE_TYPE = "AWS::KMS::Key", "AWS::DynamoDB::Table"

LIST_RESOURCES = "cloudformation:ListStackResources"

GONE_CODES = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
"""Error codes of services for a resource that does not exist."""


def deploy_command(*, revert: bool = False) -> str:
    """
    Return the command that deploys for this reader: `make` is only in a clone.

    With *revert* it also restores what somebody changed by hand; without, CloudFormation compares templates.
    """
    if not RELEASED_BUNDLE.exists():
        return f"make deploy{' REVERT=1' if revert else ''}"
    bundle = RELEASED_BUNDLE.read_text().split()[1]
    return f"janitor deploy --bundle {quote_shell(bundle)}{' --revert' if revert else ''}"


def deploy_again_advice() -> str:
    """Return the advice for a missing part."""
    return f"{deploy_command(revert=True)} puts it back"


class CheckOutcome(StrEnum):
    """The result of a check; the last three say nothing about the deployment."""

    FINE = "fine"
    WRONG = "wrong"
    REFUSED = "refused"
    FAILED = "not answered"
    NOT_PROBED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    One thing that was checked: *what* of the function *about*, or of the whole deployment.

    *seen* is for a reader's eye, and *short* for one that skims; a check that is not fine says *to_do*, if
    anybody can do anything.
    """

    about: str = ""
    what: str
    outcome: CheckOutcome
    seen: str
    to_do: str = ""
    short: str = ""

    @classmethod
    def fine(cls, what: str, seen: str, *, about: str = "") -> Check:
        """Return a check without a fault."""
        return cls(about=about, what=what, outcome=CheckOutcome.FINE, seen=seen)

    @classmethod
    def wrong(cls, what: str, seen: str, to_do: str, *, about: str = "", short: str = "") -> Check:
        """Return a check that found a fault in the deployment."""
        return cls(about=about, what=what, outcome=CheckOutcome.WRONG, seen=seen, to_do=to_do, short=short)

    @classmethod
    def not_probed(cls, what: str, seen: str, to_do: str = "") -> Check:
        """Return a check that cannot be made from here."""
        return cls(what=what, outcome=CheckOutcome.NOT_PROBED, seen=seen, to_do=to_do)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call without an answer that helps: refused, or not answered, in AWS's words."""

    outcome: CheckOutcome
    why: str

    def check(self, what: str, *, about: str = "", action: str = "") -> Check:
        """Return it as the check that it prevented."""
        refused = f"ask for {action} to be allowed, or let somebody look who may" if action else ""
        return Check(
            about=about,
            what=what,
            outcome=self.outcome,
            seen=self.why,
            to_do=refused if self.outcome is CheckOutcome.REFUSED else "ask again",
        )


@dataclass(frozen=True, slots=True)
class MissingResource:
    """The resource does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedStack:
    """A deployed stack: physical ids by logical id and type."""

    name: str
    region: str
    resources: Mapping[tuple[str, str], str]

    @property
    def table(self) -> str | None:
        """The name of the ledger's table."""
        return next((physical for (_, kind), physical in self.resources.items() if kind == TABLE_TYPE), None)

    def physical_id(self, construct: str, part: str, kind: str) -> str | None:
        """Return the physical id of the *part* of a *construct* that has this CloudFormation type."""
        wanted = re.compile(f"{construct}{part}{LOGICAL_ID_HASH}")
        return next(
            (
                physical
                for (logical, of), physical in self.resources.items()
                if of == kind and wanted.fullmatch(logical)
            ),
            None,
        )


class RegionServices:
    """The services of one region. *attempts* are few: a check that nobody answers should not take minutes."""

    def __init__(self, session: boto3.Session, region: str, *, attempts: int) -> None:
        self.region = region
        self._session = session
        self._attempts = attempts
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return a client of any service, not only of those in Lambda. Call it before threads start."""
        if service not in self._clients:
            self._clients[service] = make_client(
                self._session, cast("ServiceName", service), self.region, self._attempts
            )
        return self._clients[service]

    def outputs(self, name: str) -> Mapping[str, str] | None:
        """Return the outputs of the stack *name*; None if they cannot be read."""
        match read_answer(lambda: self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]):
            case [found, *_]:
                return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}
        return None

    def find(self, name: str) -> DeployedStack | MissingResource | Trouble:
        """Find the stack *name*, by all pages of its resources."""

        def listed() -> dict[tuple[str, str], str]:
            pages = (
                self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
            )
            return {
                (resource["LogicalResourceId"], resource["ResourceType"]): resource.get(
                    "PhysicalResourceId", ""
                )
                for page in pages
                for resource in page["StackResourceSummaries"]
                if resource["ResourceStatus"] != "DELETE_COMPLETE"
            }

        match read_answer(listed, gone=frozenset({"ValidationError"})):
            case MissingResource() | Trouble() as without:
                return without
            case resources:
                return DeployedStack(name=name, region=self.region, resources=resources)


def read_answer[T](
    call: Callable[[], T], *, gone: frozenset[str] = GONE_CODES
) -> T | MissingResource | Trouble:
    """Return the answer of *call*, or why there is none. Raises every error but a failed AWS call."""
    try:
        return call()
    except Exception as error:  # `classify_error` raises every error but a failed AWS call
        answer, why = classify_error(error)
        if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in gone:
            return MissingResource()
        return Trouble(CheckOutcome.REFUSED if answer is ProbeAnswer.REFUSED else CheckOutcome.FAILED, why)


# --- queues and alarms ----------------------------------------------------------------------------

ALARM_TYPE, QUEUE_TYPE, TOPIC_TYPE = "AWS::CloudWatch::Alarm", "AWS::SQS::Queue", "AWS::SNS::Topic"

ALARMS_A_CALL = 100
"""The most names that DescribeAlarms takes (API reference)."""

OLDEST_MESSAGE_METRIC = "ApproximateAgeOfOldestMessage"
FAILED_QUEUE, UNDELIVERED_QUEUE = "Failed", "SchedulerUndelivered"
QUEUE_CONTENTS = {
    FAILED_QUEUE: ("Failed", "runs that failed", "RunFailed"),
    UNDELIVERED_QUEUE: ("Undelivered", "events that could not be delivered", "NotDelivered"),
}
"""Each queue's name for readers, what its messages are, and the section of the guide about them."""


def check_queues(here: RegionServices, stack: DeployedStack, now: datetime) -> Iterator[Check]:
    """Check whether messages wait in the deployment's queues, or in those of an earlier version."""
    waiting = []
    for construct, (name, contents, _) in QUEUE_CONTENTS.items():
        url = stack.physical_id(construct, "", QUEUE_TYPE)
        match count_messages(here, url):
            case Trouble() as trouble:
                yield trouble.check("queues", action="sqs:GetQueueAttributes")
                return
            case MissingResource():
                if not earlier_queues(stack):
                    yield Check.wrong(
                        "queues", f"the queue for {contents} was deleted", deploy_again_advice()
                    )
                    return
            case 0:
                pass
            case count:
                age = oldest_message_age(here, str(url), now)
                waiting.append((construct, f"{count} in {name} ({contents}), {age}"))
    if waiting:
        topics = " and ".join(QUEUE_CONTENTS[construct][2] for construct, _ in waiting)
        seen = "; ".join(seen for _, seen in waiting)
        yield Check.wrong("queues", f"messages wait: {seen}", f"see {OPERATING_PAGE} {topics}")
    else:
        yield Check.fine("queues", "empty")
    if earlier := earlier_queues(stack):
        yield check_upgrade(here, earlier)


def earlier_queues(stack: DeployedStack) -> dict[str, str]:
    """Return the queues of single functions, which earlier versions made, by logical id."""
    own = re.compile(f"(?:{'|'.join(QUEUE_CONTENTS)}){LOGICAL_ID_HASH}")
    return {
        logical: physical
        for (logical, kind), physical in stack.resources.items()
        if kind == QUEUE_TYPE and not own.fullmatch(logical)
    }


def check_upgrade(here: RegionServices, earlier: Mapping[str, str]) -> Check:
    """Say that the stack is of an earlier version, and what waits in the queues that an upgrade removes."""
    counts = {logical[:-8]: count_messages(here, url) for logical, url in earlier.items()}
    if refused := next((count for count in counts.values() if isinstance(count, Trouble)), None):
        return refused.check("upgrade", action="sqs:GetQueueAttributes")
    full = {name: count for name, count in counts.items() if isinstance(count, int) and count}
    seen = "the stack is of an earlier version, and no message waits in the queues that an upgrade removes"
    if full:
        named = ", ".join(f"{count} in {name}" for name, count in full.items())
        seen = f"the stack is of an earlier version; messages wait in queues that an upgrade removes: {named}"
    return Check.wrong("upgrade", seen, f"see {OPERATING_PAGE} Upgrading and rolling back")


def count_messages(here: RegionServices, url: str | None) -> int | Trouble | MissingResource:
    """Count the messages of a queue, also those that somebody is looking at."""
    numbers = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    if url is None:
        return MissingResource()
    ask = partial(here.client("sqs").get_queue_attributes, QueueUrl=url, AttributeNames=[*numbers])
    match read_answer(ask):
        case Trouble() | MissingResource() as without:
            return without
        case answer:
            return sum(int(answer["Attributes"][number]) for number in numbers)


def oldest_message_age(here: RegionServices, url: str, now: datetime) -> str:
    """Say how old the oldest message of a queue is, which only CloudWatch knows."""
    query = {
        "Id": "oldest",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SQS",
                "MetricName": OLDEST_MESSAGE_METRIC,
                "Dimensions": [{"Name": "QueueName", "Value": url.rpartition("/")[2]}],
            },
            "Period": 300,
            "Stat": "Maximum",
        },
    }
    ask = partial(
        here.client("cloudwatch").get_metric_data,
        MetricDataQueries=[query],
        StartTime=now - timedelta(hours=1),
        EndTime=now,
    )
    match read_answer(ask):
        case {"MetricDataResults": [{"Values": [latest, *_]}]}:
            return f"the oldest {format_age(timedelta(seconds=latest))} old"
        case _:
            return "for how long is not known"


def check_alarms(here: RegionServices, stack: DeployedStack, now: datetime) -> list[Check]:
    """Check the alarms of the stack: whether they exist, and which are in ALARM."""
    wanted = {
        logical[:-8]: physical for (logical, kind), physical in stack.resources.items() if kind == ALARM_TYPE
    }

    def described() -> dict[str, Mapping[str, Any]]:
        return {
            alarm["AlarmName"]: alarm
            for some in batched(wanted.values(), ALARMS_A_CALL)
            for page in here.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNames=[*some])
            for alarm in page["MetricAlarms"]
        }

    match read_answer(described):
        case Trouble() as trouble:
            return [trouble.check("alarms", action="cloudwatch:DescribeAlarms")]
        case MissingResource():
            return [Trouble(CheckOutcome.FAILED, "CloudWatch has no alarms").check("alarms")]
        case found:
            pass
    checks = []
    for kind, name in wanted.items():
        if (alarm := found.get(name)) is None:
            checks.append(Check.wrong("alarms", f"the alarm {kind} was deleted", deploy_again_advice()))
        elif alarm["StateValue"] == "ALARM":
            since = format_age(now - alarm["StateUpdatedTimestamp"])
            seen = f"{kind} has been in ALARM for {since}: {alarm.get('StateReason', '')}"
            checks.append(Check.wrong("alarms", seen, f"see {OPERATING_PAGE} {kind}"))
        elif not alarm["ActionsEnabled"]:
            seen = f"the alarm {kind} tells nobody: its actions are off"
            checks.append(Check.wrong("alarms", seen, deploy_again_advice()))
    return checks or [Check.fine("alarms", f"{len(wanted)} quiet")]


def check_alarm_topic(here: RegionServices, stack: DeployedStack) -> Check:
    """Check that anybody hears of an alarm."""
    topic = stack.physical_id("Alarms", "", TOPIC_TYPE)
    if topic is None:
        return Check.wrong("alarm topic", "the stack has no topic for alarms", deploy_again_advice())
    gone = Check.wrong("alarm topic", "the topic for alarms was deleted", deploy_again_advice())
    return check_subscribers(here, topic, gone, nobody="nobody is subscribed, so no alarm wakes anybody")


def check_mail_topic(here: RegionServices, topic: str) -> Check:
    """Check that an address gets the digest and warnings of `notify.email`."""
    gone = Check.wrong(
        "mail topic", f"there is no topic {topic}", f"correct notify.email, and {deploy_command()}"
    )
    nobody = "no address is subscribed, so nobody gets the mails, and none is a warning"
    return check_subscribers(here, topic, gone, nobody=nobody, protocol="email")


def check_subscribers(
    here: RegionServices, topic: str, gone: Check, *, nobody: str, protocol: str = ""
) -> Check:
    """Check that *topic* has a confirmed subscription, of *protocol* if one is given; else it is *gone*."""

    def subscribed() -> list[Any]:
        pages = here.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        found = [subscription for page in pages for subscription in page["Subscriptions"]]
        return [each for each in found if not protocol or each["Protocol"] == protocol]

    match read_answer(subscribed):
        case Trouble() as trouble:
            return trouble.check(gone.what, action="sns:ListSubscriptionsByTopic")
        case MissingResource():
            return gone
        case list(found):
            pending = [each for each in found if each["SubscriptionArn"] == PENDING_ARN]
            confirmed = sum(each["SubscriptionArn"].startswith(CONFIRMED_ARN) for each in found)
            if confirmed:
                return Check.fine(gone.what, f"{confirmed} subscribed")
            seen = "nobody has confirmed a subscription" if pending else nobody
            return Check.wrong(gone.what, seen, confirm_remedy(topic, waiting_addresses(pending)))


ALARM_PUBLISHER, BUDGET_PUBLISHER = "cloudwatch.amazonaws.com", "budgets.amazonaws.com"
TOPIC_KEY_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")


def check_topic_key(here: RegionServices, key: str, *, budgets: bool) -> Check:
    """Check that the policy of *key* lets CloudWatch, and *budgets*, publish to the topic under it."""
    what = "key of the alarm topic"
    match read_answer(partial(here.client("kms").get_key_policy, KeyId=key)):
        case Trouble() as trouble:
            return trouble.check(what, action="kms:GetKeyPolicy")
        case MissingResource():
            return Check.wrong(what, f"there is no key {key}", "set kms_key to a key of this region")
        case answer:
            policy = json.loads(answer["Policy"])
    publishers = [ALARM_PUBLISHER, *([BUDGET_PUBLISHER] if budgets else [])]
    lacking = [publisher for publisher in publishers if not lets_publish(policy, publisher)]
    if not lacking:
        return Check.fine(what, f"{join_words(publishers)} may use it")
    return Check.wrong(
        what,
        f"its policy does not let {join_words(lacking)} use it, so their alarms ring unheard",
        "add the statement for them that janitor docs operating shows",
    )


def lets_publish(policy: Mapping[str, Any], publisher: str) -> bool:
    """Return whether statements of the key *policy* allow *publisher*, a service, what SNS needs of it."""
    allowed = [
        action
        for statement in listed_values(policy["Statement"])
        if statement["Effect"] == "Allow" and isinstance(statement.get("Principal"), Mapping)
        if publisher in listed_values(statement["Principal"].get("Service", ()))
        for action in listed_values(statement.get("Action", ()))
    ]
    return all(
        any(fnmatchcase(needed.lower(), own.lower()) for own in allowed) for needed in TOPIC_KEY_ACTIONS
    )


def listed_values(value: Any) -> list[Any]:
    """Return the list that *value* of a policy is: a single value may stand for a list of it."""
    return [value] if isinstance(value, str | Mapping) else list(value)


# --- functions ------------------------------------------------------------------------------------

FUNCTION_TYPE, SCHEDULE_TYPE = "AWS::Lambda::Function", "AWS::Scheduler::Schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFunction:
    """
    Work of a function as the settings want it, if they do: its *construct* in the stack, and its *schedule*.

    The work is that of a detector or of the whole function. A function without a schedule is called when
    somebody asks for something; it need not be there.
    """

    name: str
    construct: str
    schedule: str = ""
    schedule_part: str = "Schedule"
    enabled: bool = True
    sweeps: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSurroundings:
    """The surroundings of the checks of one function: in an *organization*, its runs have many accounts."""

    account: str
    regions: Sequence[str]
    time_zone: str
    now: datetime
    organization: bool = False


def check_function_parts(
    here: RegionServices, stack: DeployedStack, function: ExpectedFunction, around: CheckSurroundings
) -> Iterator[Check]:
    """Check everything about one function."""
    deployed = stack.physical_id(function.construct, "Function", FUNCTION_TYPE)
    if deployed is None:
        if function.enabled and function.schedule:
            yield Check.wrong(
                "function",
                "it is not in the stack",
                f"{deploy_command()} adds it; or it is meant to be off: say so with enabled = false",
                about=function.name,
            )
        return
    if not function.enabled:
        yield Check.wrong(
            "function",
            "it is deployed, but switched off in the settings here",
            f"{deploy_command()} takes it away; or these are not the settings that were deployed",
            about=function.name,
        )
    yield check_function(here, deployed, function)
    if function.schedule:
        schedule, created = check_schedule(here, stack, function, around)
        yield schedule
        yield check_last_run(here, stack, function, around, created)
    else:
        yield Check.fine("schedule", "when it is asked", about=function.name)


def check_function(here: RegionServices, deployed: str, function: ExpectedFunction) -> Check:
    """Check that Lambda has it, and can run it."""
    wrong = partial(Check.wrong, "function", about=function.name)
    asked = read_answer(partial(here.client("lambda").get_function_configuration, FunctionName=deployed))
    match asked:
        case Trouble():
            return asked.check("function", about=function.name, action="lambda:GetFunctionConfiguration")
        case MissingResource():
            return wrong(seen=f"the function {deployed} was deleted", to_do=deploy_again_advice())
        case {"State": "Failed"} | {"LastUpdateStatus": "Failed"}:
            why = asked.get("StateReason") or asked.get("LastUpdateStatusReason") or "Lambda does not say why"
            return wrong(seen=f"Lambda cannot run it: {why}", to_do=deploy_again_advice())
        case _:
            seen = f"{asked['Runtime']}, {', '.join(asked['Architectures'])}"
            return Check.fine("function", seen, about=function.name)


def check_schedule(
    here: RegionServices, stack: DeployedStack, function: ExpectedFunction, around: CheckSurroundings
) -> tuple[Check, datetime | None]:
    """Check that its schedule is there, on, and as in the settings; return since when it is there."""
    wrong = partial(Check.wrong, "schedule", about=function.name)
    name = stack.physical_id(function.construct, function.schedule_part, SCHEDULE_TYPE)
    asked = (
        MissingResource()
        if name is None
        else read_answer(partial(here.client("scheduler").get_schedule, Name=name))
    )
    match asked:
        case Trouble():
            return asked.check("schedule", about=function.name, action="scheduler:GetSchedule"), None
        case MissingResource():
            return wrong(
                seen="its schedule was deleted, so nothing runs it",
                to_do=deploy_again_advice(),
                short="deleted",
            ), None
    created: datetime = asked["CreationDate"]
    expression, zone = asked["ScheduleExpression"], asked.get("ScheduleExpressionTimezone", "UTC")
    if asked["State"] != "ENABLED":
        to_do = f"enable it in EventBridge Scheduler, or {deploy_command(revert=True)}"
        return wrong(
            seen="its schedule is disabled, so nothing runs it", to_do=to_do, short="disabled"
        ), created
    if (expression, zone) != (function.schedule, around.time_zone):
        seen = (
            f"it runs on {expression} ({zone}); the settings here say "
            f"{function.schedule} ({around.time_zone})"
        )
        to_do = f"{deploy_command()} sets it; or these are not the settings that were deployed"
        return wrong(seen=seen, to_do=to_do, short="not the settings'"), created
    return Check.fine("schedule", expression, about=function.name), created


def check_last_run(
    here: RegionServices,
    stack: DeployedStack,
    function: ExpectedFunction,
    around: CheckSurroundings,
    created: datetime | None,
) -> Check:
    """Check when it last ran, by the ledger, and how that went: of several regions, the worst."""
    if stack.table is None:
        return Check.wrong("last run", "the stack has no ledger", deploy_again_advice(), about=function.name)
    table = Table(here.client("dynamodb"), stack.table)
    latest = LatestRecords(table)
    if function.sweeps and around.organization:
        return check_run_record(
            read_answer(partial(LatestRuns(table).last, function.name)), function, around, created
        )
    if not function.sweeps:
        ask = partial(last_bill_time, latest) if function.name == BILL_KEY else latest.digest
        return check_run_record(read_answer(partial(ask, around.account)), function, around, created)
    checks = [
        check_run_record(
            read_answer(partial(latest.sweep, function.name, around.account, region)),
            function,
            around,
            created,
            region,
        )
        for region in around.regions
    ]
    return next((check for check in checks if check.outcome is not CheckOutcome.FINE), checks[0])


def last_bill_time(latest: LatestRecords, account: str) -> datetime | None:
    """Return when the bill was read last."""
    bill = latest.bill(account)
    return None if bill is None else bill.time


def check_run_record(
    asked: LastSweep | LastRun | datetime | Trouble | MissingResource | None,
    function: ExpectedFunction,
    around: CheckSurroundings,
    created: datetime | None,
    region: str = "",
) -> Check:
    """Check the ledger's record of a run."""
    where = f" in {region}" if len(around.regions) > 1 and region else ""
    match asked:
        case Trouble():
            return asked.check("last run", about=function.name, action="dynamodb:GetItem")
        case MissingResource():
            short, seen, to_do = (
                "deleted",
                "the ledger's table was deleted",
                f"see {OPERATING_PAGE} The ledger is gone",
            )
        case None:
            short, seen, to_do = judge_missing_run(function, around.now, created)
        case LastSweep(time=at, error=error):
            short, seen, to_do = judge_run(function, around.now, at, error)
        case LastRun(begun=at, unread=unread):
            lost = f"accounts and regions that left no result: {unread}" if unread else None
            short, seen, to_do = judge_run(function, around.now, at, lost)
        case at:
            short, seen, to_do = judge_run(function, around.now, at, None)
    outcome = CheckOutcome.WRONG if to_do else CheckOutcome.FINE
    seen = f"{seen}{where}"
    return Check(about=function.name, what="last run", outcome=outcome, seen=seen, to_do=to_do, short=short)


def judge_missing_run(
    function: ExpectedFunction, now: datetime, created: datetime | None
) -> tuple[str, str, str]:
    """Judge a missing record of a run, and say what to do: nothing while it is not due."""
    if created is None or now - created <= overdue_after(function.schedule):
        return "none yet", "none yet", ""
    seen = f"it has never run, and its schedule has been there for {format_age(now - created)}"
    return "never", seen, f"see {OPERATING_PAGE} SweepMissed"


def judge_run(
    function: ExpectedFunction, now: datetime, at: datetime, error: str | None
) -> tuple[str, str, str]:
    """Judge the latest run, and say what to do: nothing if it was recent and complete."""
    since = format_age(now - at)
    if now - at > overdue_after(function.schedule):
        return "overdue", f"it last ran {since} ago, and is overdue", f"see {OPERATING_PAGE} SweepMissed"
    if error is not None:
        seen = f"its last run, {since} ago, was not complete: {error}"
        return "incomplete", seen, f"see {OPERATING_PAGE} RunFailed"
    return f"{since} ago", f"{since} ago", ""
