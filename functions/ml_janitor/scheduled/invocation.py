"""
One invocation of a function: its environment, its context and the parts that it may use.

An event names the account to read: the function's own, or an account of the run's list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3

from ml_janitor.aws.calls import ReadError, ServiceName, is_refusal, make_client
from ml_janitor.aws.client import (
    DEFAULT_ATTEMPTS,
    ROLE_REFUSALS,
    Aws,
    enabled_regions,
    open_member_session,
    open_regions,
)
from ml_janitor.aws.descriptions import KeptDescriptions
from ml_janitor.aws.pace import AWS_RATES, Pace, RateSlot, SharedAnswers
from ml_janitor.config.events import FunctionContext, SweepEvent
from ml_janitor.config.functions import ADVISERS, has_own_function, schedule_groups, sweeping_function
from ml_janitor.config.member_roles import role_arn
from ml_janitor.config.schedules import schedules_overlap
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.engine.detector import Detector
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.files import HashedDescriptions, HashedFiles
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.latest import LatestRuns, RunAccount, RunLists
from ml_janitor.ledger.limits import Leases
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.signatures import Signatures, SigningKey, kms_signatures, named_keys
from ml_janitor.ledger.table import Table
from ml_janitor.report.html import Archive
from ml_janitor.slack.client import SLACK_API, Sender, SenderClock
from ml_janitor.slack.digest import Announcer

if TYPE_CHECKING:
    from ml_janitor.slack.mail import TopicMail

RUN_RESERVE = timedelta(minutes=2)
"""
Time of a run that is kept for the report, the ledger and Slack; at most a quarter of the whole.
A call that began just before then may still take a connection, an answer and a pause before its next try,
about a minute in all (see `ml_janitor.aws.calls.make_client`).
"""

_AFTER_SLACK = timedelta(seconds=5)
"""Time that Slack leaves, so that the run can end by itself; at most a tenth of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """
    The deployment's settings of a function; the function of the advisers has no *detector*.

    *functions* are the functions of the armed detectors by the detector's name, and *undo* is the undo
    function: this function may hand work to them.
    """

    table: str
    bucket: str
    region: str
    detector: str
    slack_url: str
    root: Path
    functions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the plain template's parameters, which win over those of janitor.toml."""
    undo: str = ""
    signing_keys: Mapping[SigningKey, str] = field(default_factory=dict)
    """The KMS keys that this function may sign or verify with."""
    still: bool = False
    """True if time stands still, as in the sandbox: no call waits for its turn."""

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """Read environment variables. Raises InvalidInputError with the name of a missing one."""
        try:
            functions = json.loads(variables.get("JANITOR_FUNCTIONS", "{}")).items()
            settings = dict(json.loads(variables.get("JANITOR_SETTINGS", "{}")))
            return cls(
                table=variables["JANITOR_TABLE"],
                bucket=variables["JANITOR_BUCKET"],
                region=variables["AWS_REGION"],
                detector=variables.get("JANITOR_DETECTOR", ""),
                slack_url=variables.get("JANITOR_SLACK_URL", ""),
                root=Path(variables.get("LAMBDA_TASK_ROOT", ".")),
                functions={str(name): str(function) for name, function in functions},
                settings=settings,
                undo=variables.get("JANITOR_UNDO", ""),
                signing_keys=named_keys(variables),
                still="JANITOR_NOW" in variables,
            )
        except KeyError as missing:
            raise InvalidInputError(f"{missing.args[0]} is not set in the environment") from None
        except (ValueError, AttributeError):
            raise InvalidInputError("JANITOR_FUNCTIONS or JANITOR_SETTINGS is not a JSON object") from None


class Invocation:
    """
    One invocation with its *environment* and *context*.

    *clock* is the real time; *seconds* bound the waiting for Slack.
    """

    def __init__(
        self,
        environment: Environment,
        context: FunctionContext,
        *,
        clock: Callable[[], datetime],
        seconds: SenderClock,
    ) -> None:
        self.environment = environment
        self.context = context
        self.clock = clock
        self.seconds = seconds
        self._session = boto3.Session()
        self._sessions: dict[str, tuple[boto3.Session, frozenset[str]]] = {}
        self._refused_roles: dict[str, Exception] = {}
        self._answers: dict[str, SharedAnswers] = {}
        self._paces: dict[str, Pace] = {}
        self.shared_reading = False
        files = [path for path in [environment.root / SETTINGS_FILE] if path.exists()]
        self.settings = Settings.load(files=files, base=environment.settings, bundled=True)

    @property
    def left(self) -> timedelta:
        """The time that it may still take."""
        return timedelta(milliseconds=self.context.get_remaining_time_in_millis())

    @property
    def home(self) -> str:
        """The account that the function runs in, from its own ARN: no call needed."""
        return str(self.context.invoked_function_arn.split(":")[4])

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that the deployment reads, in its own account."""
        return tuple(self.settings.janitor.regions) or (self.environment.region,)

    @property
    def detector(self) -> Detector[Any]:
        """The detector that is at work. Raises InvalidInputError."""
        name = self.environment.detector
        detector = self.settings.detector_called(name)
        if detector is None or not self.settings.sections[name].enabled:
            raise InvalidInputError(f"JANITOR_DETECTOR: no enabled detector is called {name}")
        return detector

    def for_adviser(self, name: str) -> Invocation:
        """
        Return the same invocation, at work for the adviser *name* under a role that advisers share.

        Advisers share sessions, the answers of AWS and the pace of calls. Raises InvalidInputError for a
        detector that has a function of its own.
        """
        own = copy(self)
        own.environment = replace(self.environment, detector=name)
        if has_own_function(self.settings, own.detector.name):
            raise InvalidInputError(f"invalid event: detectors: {name} has a function of its own")
        own.shared_reading = True
        return own

    @cached_property
    def table(self) -> Table:
        return Table(self.client("dynamodb"), self.environment.table)

    @cached_property
    def signatures(self) -> Signatures:
        """The signatures that this function may make and verify."""
        keys = self.environment.signing_keys
        return kms_signatures(self.client("kms"), keys) if keys else Signatures()

    @cached_property
    def actions(self) -> Actions:
        """The actions in the ledger, signed and verified where this function has the keys."""
        return Actions(self.table, self.signatures)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table, self.signatures)

    @property
    def leases(self) -> Leases:
        return Leases(self.table)

    @property
    def holds(self) -> Holds:
        return Holds(self.table)

    @property
    def runs(self) -> LatestRuns:
        """The latest runs over an organization."""
        return LatestRuns(self.table)

    @property
    def run_lists(self) -> RunLists:
        """The lists of the runs' accounts."""
        return RunLists(self.client("s3"), self.environment.bucket, self.table)

    @property
    def archive(self) -> Archive:
        return Archive(self.client("s3"), self.environment.bucket)

    @property
    def announcer(self) -> Announcer | None:
        """
        The sender of messages to Slack, until shortly before the end; None
        if the deployment has no Slack.
        """
        if not self.settings.janitor.slack_secret:
            return None
        return Announcer(
            self.connect,
            deadline=self.slack_deadline,
            keep_tag=self.keep_tag,
            routes=self.settings.routes,
            organization=self.settings.organization.used,
        )

    @cached_property
    def mail(self) -> TopicMail | None:
        """The sender of mails; None if the settings name no topic."""
        topic = self.settings.notify.email
        if not topic:
            return None
        from ml_janitor.slack.mail import TopicMail

        return TopicMail(topic, cache(lambda: self.client("sns", topic.split(":")[3])))

    @property
    def announcers(self) -> Sequence[Announcer]:
        """The senders of the digest: Slack, then mail, as far as the deployment has them."""
        slack, mail = self.announcer, self.mail
        by_mail = [Announcer(lambda: mail, deadline=self.slack_deadline)] if mail is not None else []
        return [*([slack] if slack is not None else []), *by_mail]

    @property
    def keep_tag(self) -> str:
        """The tag that exempts, as messages name it."""
        return next(iter(self.settings.janitor.keep_tags), "")

    @property
    def slack_deadline(self) -> float:
        """The time until which the function waits for Slack, on the clock of *seconds*."""
        left = self.left
        return self.seconds.clock() + (left - min(_AFTER_SLACK, left / 10)).total_seconds()

    @cached_property
    def _sender(self) -> Sender:
        from ml_janitor.slack.client import make_sender, read_slack_secret

        section = self.settings.janitor
        return make_sender(
            read_slack_secret(section.slack_secret),
            section.slack_channel,
            self.seconds,
            url=self.slack_url,
            routed=bool(self.settings.slack.routes),
        )

    def connect(self) -> Sender:
        """Return the one sender of this invocation. Raises SendError."""
        return self._sender

    @property
    def signing_secret(self) -> str:
        """
        The secret with which Slack signs presses, read anew.

        Raises InvalidInputError without a setting, NoSecretError, and AWS's errors.
        """
        from ml_janitor.slack.ingress import parse_signing_secret

        if not (name := self.settings.janitor.slack_signing_secret):
            raise InvalidInputError(
                "no secret verifies presses: set slack_signing_secret in [janitor] of janitor.toml "
                "(janitor docs slack says how)"
            )
        return parse_signing_secret(
            self.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"], name
        )

    @property
    def slack_url(self) -> str:
        """The address of Slack's Web API."""
        return self.environment.slack_url or SLACK_API

    def hand_over(self, function: str, event: Mapping[str, Any]) -> None:
        """Have *function* called with *event*."""
        from ml_janitor.slack.ingress import hand_over

        hand_over(self.client("lambda"), function, event)

    def place(self, asked: SweepEvent) -> SweepPlace:
        """
        Return the place that *asked* has this function read.

        In an organization, the run's list counts: for an event without a time, which is a
        press or by hand, all accounts of the latest run. Raises InvalidInputError for any
        other place, and ReadError if there is no list.
        """
        if not self.settings.organization.used:
            return own_place(asked, home=self.home, regions=self.regions)
        name, lists = self.detector.name, self.run_lists
        if asked.time is not None:
            return listed_place(asked, lists.listed(name, asked.time), home=self.home)
        if (last := self.runs.last(name)) is None:
            raise InvalidInputError(
                f"invalid event: time: without it, the accounts of the latest run of {name} are "
                "looked at, and there was none"
            )
        return listed_place(asked, lists.accounts(name, last.time), home=self.home)

    def entered(self, place: SweepPlace, role: str) -> EnteredPlace:
        """
        Enter *place*: in an organization, with a session of *role* there, in its enabled regions.

        Raises AWS's errors, and ReadError for credentials of another account: the
        function reads nothing with them. A refused role is asked for once, not by each detector of a run:
        accounts without their role would exhaust the rate of STS.
        """
        section = self.settings.organization
        if not section.used:
            return EnteredPlace(self._session, place, place._replace(regions=()))
        partition = self.context.invoked_function_arn.split(":")[1]
        arn = role_arn(self.settings, role, account=place.account, partition=partition)
        if arn in self._refused_roles:
            raise self._refused_roles[arn]
        if arn not in self._sessions:
            try:
                session = open_member_session(self.client("sts"), self._session, arn, section.external_id)
                ec2 = make_client(session, "ec2", self.environment.region, DEFAULT_ATTEMPTS)
                self._sessions[arn] = session, frozenset(enabled_regions(ec2))
            except Exception as error:
                if is_refusal(error, ROLE_REFUSALS):
                    self._refused_roles[arn] = error
                raise
        session, enabled = self._sessions[arn]
        on = tuple(region for region in place.regions if region in enabled)
        off = tuple(region for region in place.regions if region not in enabled)
        return EnteredPlace(session, place._replace(regions=on), place._replace(regions=off))

    def opened(self, inside: EnteredPlace) -> AbstractContextManager[list[Aws]]:
        """Open the regions of a place; reads stop when only the time for the rest of the run is left."""
        reserve = min(RUN_RESERVE, self.left / 4)
        account, shared = inside.place.account, None
        if self.shared_reading:
            shared = self._answers.setdefault(account, SharedAnswers())
        return open_regions(
            inside.session,
            account=account,
            regions=inside.place.regions,
            attempts=DEFAULT_ATTEMPTS,
            has_time=lambda: self.left > reserve,
            pace=self._pace,
            prices_from=None if inside.session is self._session else self._session,
            scratch=self._scratch,
            kept=self._kept,
            shared=shared,
        )

    @property
    def _pace(self) -> Pace | None:
        """The pace of this function's calls; None where time stands still."""
        if self.environment.still:
            return None
        function = ADVISERS if self.shared_reading else self.environment.detector or BILL_FUNCTION
        if function not in self._paces:
            self._paces[function] = Pace(
                clock=lambda: self.clock().timestamp(),
                sleep=self.seconds.sleep,
                shares=rate_slots(self.settings, self.environment.detector or BILL_FUNCTION),
            )
        return self._paces[function]

    @property
    def _kept(self) -> KeptDescriptions | None:
        """The descriptions that the detector keeps, if it keeps some."""
        if not any(detector.keeps_descriptions for detector in self._detectors):
            return None
        files = HashedDescriptions(self.client("s3"), self.environment.bucket, self.table)
        return KeptDescriptions(files, self.clock())

    @property
    def _scratch(self) -> HashedFiles | None:
        """The files in which the detector's reading goes on, if it is one that may not end in one run."""
        if not any(detector.keeps_files for detector in self._detectors):
            return None
        return HashedFiles(self.client("s3"), self.environment.bucket, self.table, self.environment.detector)

    @property
    def _detectors(self) -> list[type[Detector[Any]]]:
        """The detector of the function; none in a function without a detector."""
        return [detector for detector in self.settings.registry if detector.name == self.environment.detector]

    def client(self, service: ServiceName, region: str = "") -> Any:
        """Return a client for *service*, in the function's own region if no other is given."""
        return make_client(self._session, service, region or self.environment.region, DEFAULT_ATTEMPTS)


# --- places to read -------------------------------------------------------------------------------


class SweepPlace(NamedTuple):
    """An account, and the regions of it to read."""

    account: str
    regions: tuple[str, ...]


class EnteredPlace(NamedTuple):
    """A *session* for *place*; *off* holds the regions that are not enabled, where nothing is read."""

    session: boto3.Session
    place: SweepPlace
    off: SweepPlace

    def whole(self) -> EnteredPlace:
        """Return the same, if all of it is enabled. Raises ReadError."""
        if self.off.regions:
            raise ReadError(f"{', '.join(self.off.regions)} is not enabled in account {self.off.account}")
        return self


def own_place(asked: SweepEvent, *, home: str, regions: tuple[str, ...]) -> SweepPlace:
    """
    Return the place that *asked* reads in a deployment for its own account *home* and *regions*.

    Raises InvalidInputError for any other account.
    """
    if asked.account not in {None, home}:
        raise InvalidInputError(
            f"invalid event: account: {asked.account} is not {home}, where this function is, and "
            "janitor.toml has no [organization]"
        )
    return SweepPlace(home, asked.within(regions))


def listed_place(asked: SweepEvent, listed: Iterable[RunAccount], *, home: str) -> SweepPlace:
    """
    Return the place that *asked* reads in an organization, whose run *listed* some accounts.

    An event, even a forged one, cannot have a function read elsewhere: an account or a region that was not
    listed raises InvalidInputError.
    """
    account = asked.looks_at or home
    item = next((item for item in listed if item.account == account), None)
    if item is None:
        other = "" if asked.looks_at else "; give an account that is"
        raise InvalidInputError(f"invalid event: account: {account} is not in the list of its run{other}")
    wanted = asked.within(item.regions)
    if beyond := [region for region in wanted if region not in item.regions]:
        raise InvalidInputError(
            f"invalid event: regions: {', '.join(beyond)} of {account} not in the list of its run"
        )
    return SweepPlace(account, wanted)


# --- turns at AWS operations ----------------------------------------------------------------------
#
# Several functions call an operation in turns, which follow from the settings alone.

BILL_FUNCTION = "bill"
"""The function that reads the bill, whose environment names no detector."""

LONGEST_INVOCATION = timedelta(minutes=15)
"""Lambda's longest time for one invocation."""

MAP_RUN = timedelta(hours=1) + LONGEST_INVOCATION
"""Time from a detector's schedule until it read the last account, of at most `accounts_in_time` accounts."""

ACCOUNTS_PER_HOUR = 6
"""Accounts as large as that of docs/scale.md that one of `at_once` reads in an hour, one by one."""


def accounts_in_time(settings: Settings) -> int:
    """Return how many accounts a run reads before detectors that share no turns with it may begin."""
    return ACCOUNTS_PER_HOUR * settings.organization.at_once


def warn_of_slow_runs(settings: Settings, accounts: int) -> list[str]:
    """Return a warning for the operator if a run over *accounts* accounts outlasts `MAP_RUN`."""
    held = accounts_in_time(settings)
    if accounts <= held:
        return []
    wanted = -(-accounts // ACCOUNTS_PER_HOUR)
    slow = (
        f"organization.at_once = {settings.organization.at_once} looks at about {held} large accounts in an "
        f"hour, and there are {accounts}: runs of several detectors may then look at an account together, "
        "which calls AWS more often than half of its rates there, and takes longer where AWS refuses; with "
        f"at_once = {wanted} they do not"
    )
    return [slow]


def rate_slots(settings: Settings, name: str) -> dict[str, RateSlot]:
    """
    Return the turns of the function that runs *name* (a detector or `BILL`), by operation.

    Every deployment of the same settings divides them alike. All functions that call an operation share a
    rate that AWS is known to enforce, whenever they run. The functions whose schedules let them run together
    with that of *name* share `UNKNOWN_RATE`: if all shared it, it would not last for a thousand endpoints in
    Lambda's time.
    """
    calls = actions_by_function(settings)
    schedules: dict[str, list[str]] = {BILL_FUNCTION: [settings.bill.schedule]}
    own, function = settings.bill.schedule, BILL_FUNCTION
    for group in schedule_groups(settings):
        schedules.setdefault(group.function, []).append(group.schedule)
        if name in group.detectors:
            own, function = group.schedule, group.function
    span = MAP_RUN if settings.organization.used else LONGEST_INVOCATION
    together = {
        other
        for other in calls
        if other == function or any(schedules_overlap(own, at, span) for at in schedules[other])
    }
    found = {}
    for action in sorted(calls.get(function) or set().union(*calls.values())):
        among = calls if action in AWS_RATES else together
        callers = [other for other, actions in calls.items() if other in among and action in actions]
        if len(callers) > 1:
            found[action] = RateSlot(callers.index(function) if function in callers else 0, len(callers))
    return found


def actions_by_function(settings: Settings) -> dict[str, set[str]]:
    """Return the operations that each function calls outside the janitor's own resources, by its name."""
    armed = {detector.name for detector in settings.armed()}
    found: dict[str, set[str]] = {}
    for detector in settings.enabled():
        grants = (*detector.reads, *(detector.acts if detector.name in armed else ()))
        calls = found.setdefault(sweeping_function(settings, detector.name), set())
        calls |= {grant.action for grant in grants if not grant.implied}
    if settings.bill.enabled:  # imported late: no other function needs it
        from ml_janitor.bill.reading import bill_reads

        found[BILL_FUNCTION] = {grant.action for grant in bill_reads(settings.bill) if not grant.implied}
    return found
