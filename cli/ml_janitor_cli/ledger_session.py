"""The opened ledger of a command on findings, and the options by which the command opens it."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Concatenate, NamedTuple

import boto3
import typer

from ml_janitor.acting.undoing import Undoing
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws, open_member_session, open_regions, unread_sweep_error
from ml_janitor.config.member_roles import reading_role_name, role_arn
from ml_janitor.config.settings import Settings
from ml_janitor.engine.detector import Detector
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.findings import Entry, Ledger
from ml_janitor.ledger.latest import LatestRuns
from ml_janitor.ledger.limits import Leases
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.signatures import Signatures, SigningKey, kms_signatures, named_keys
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge
from ml_janitor_cli.stack import KEY_TYPE, STACK_NAME, DeployedStack, RegionServices, Trouble

# --- session --------------------------------------------------------------------------------------

INTERRUPTED_MESSAGE = (
    "interrupted; janitor findings lists what was begun, and the next sweep goes on with it or puts it back"
)

LEASE_DURATION = timedelta(minutes=30)
"""Duration of a lease that a command takes: longer than the steps that are retried while AWS works."""

LEASE_RESERVE = timedelta(minutes=2)
"""Rest of a lease in which nothing more is begun: a call with its retries takes about a minute."""


@dataclass(slots=True, kw_only=True)
class CallWindow:
    """The real time by *clock*, and until when AWS is called."""

    clock: Callable[[], datetime]
    until: datetime | None = None

    def has_time(self) -> bool:
        """Return whether another call may be made."""
        return self.until is None or self.clock() < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSession:
    """
    An *account* with the ledger of its deployment. *who* is the caller, in a few words.

    *opened* has it in each of *regions*, with credentials of the account itself. It is empty where another
    account's ledger is asked; then *reading* assumes the role that a detector reads with.

    *now* is when the command began. The work takes time, and a person's answer even more: *watch* has the
    present time.
    """

    settings: Settings
    account: str
    regions: Sequence[str]
    opened: Sequence[Aws]
    through_role: Callable[[str], Sequence[Aws]]
    table: Table
    who: str
    now: datetime
    watch: CallWindow
    signatures: Signatures

    def clock(self) -> datetime:
        """Return the present time."""
        return self.watch.clock()

    @contextmanager
    def leased(self, detector: str, region: str, *, undo: str = "") -> Iterator[None]:
        """
        Hold the lease of *detector*, or of the *undo* of one finding, and end calls before the lease ends.

        With the lease of *detector* nobody else sweeps. An undo needs that no sweep is at work. Every command
        is a holder of its own, whoever calls it: one person may have two terminals. Raises
        LeaseTakenError, and CommandRefusedError at Ctrl-C.
        """
        holder = f"by hand: {self.who} {uuid.uuid4().hex}"
        now = self.clock()
        until = now + LEASE_DURATION
        where = (detector, self.account, region)
        if undo:
            self.leases.take_undo(where, undo, holder=holder, by=self.who, now=now, until=until)
        else:
            self.leases.take(*where, holder=holder, now=now, until=until)
        self.watch.until = until - LEASE_RESERVE
        try:
            if undo:
                self.leases.check_no_sweep(where, now)
            yield
        except KeyboardInterrupt:
            raise edge.CommandRefusedError(INTERRUPTED_MESSAGE, edge.INTERRUPTED_STATUS) from None
        finally:
            self.watch.until = None
            if undo:
                self.leases.release_undo(where, undo, holder=holder)
            else:
                self.leases.release(*where, holder=holder)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table, self.signatures)

    @property
    def actions(self) -> Actions:
        return Actions(self.table, self.signatures)

    @property
    def holds(self) -> Holds:
        return Holds(self.table)

    @property
    def leases(self) -> Leases:
        return Leases(self.table)

    def entries(self, detectors: Sequence[Detector[Any]] | None = None) -> list[Entry]:
        """Return the ledger's entries of *detectors* (else of all) in every region."""
        names = [detector.name for detector in detectors or self.settings.registry]
        return [
            entry
            for name in names
            for region in self.regions
            for entry in self.ledger.entries(name, self.account, region)
        ]

    def undoing(self, *, unsigned: bool = False) -> Undoing:
        """Return the undoing from this machine; *unsigned* also undoes records without a signature."""
        from ml_janitor import deployment

        return deployment.make_undoing(
            self.settings, self.table, self.actions, self.clock, wait=make_wait(), unsigned=unsigned
        )

    def reading(self, detector: type[Detector[Any]] | Detector[Any]) -> Sequence[Aws]:
        """Return the account in every region, for what *detector* reads. Raises FailedError."""
        return self.opened or self.through_role(detector.name)

    def aws(self, region: str) -> Aws:
        """
        Return the account in *region*, with credentials that may change it.

        Raises CommandRefusedError without any.
        """
        if not self.opened:
            raise edge.CommandRefusedError(
                f"to change anything in account {self.account}, give --account-profile NAME: its roles trust "
                "functions alone with that"
            )
        return next(aws for aws in self.opened if aws.region == region)


STACK_KEYS: Mapping[SigningKey, tuple[str, str]] = {
    SigningKey.RECORDS: ("UndoRecordKey", "UndoKey"),
    SigningKey.PROGRESS: ("UndoProgressKey", "ProgressKey"),
    SigningKey.REQUESTS: ("RequestKey", "RequestsKey"),
}
"""The constructs of the stack that are the keys, and its outputs that name them."""


def signing_keys(undo_key: str | None = None) -> dict[SigningKey, str]:
    """Return the KMS keys that the environment names; *undo_key* comes before the environment's."""
    return named_keys({**os.environ, **({SigningKey.RECORDS.value: undo_key} if undo_key else {})})


class NamedLedger(NamedTuple):
    """The name of the ledger's table, and the keys that sign what is in it."""

    table: str
    keys: Mapping[SigningKey, str]


def find_ledger(
    session: boto3.Session,
    region: str,
    table: str | None,
    keys: Mapping[SigningKey, str],
    needed: Sequence[SigningKey] = (),
    *,
    attempts: int,
) -> NamedLedger:
    """
    Return the ledger: *table* and *keys*, and what is missing of them from the deployed stack in *region*.

    Keys are taken from the stack only for its own table. Raises CommandRefusedError if there is no table, or
    not every key that is *needed*.
    """
    if table and all(key in keys for key in needed):
        return NamedLedger(table, keys)
    found = RegionServices(session, region, attempts=attempts).find(STACK_NAME)
    missing = f"there is no stack {STACK_NAME} in {region}"
    if isinstance(found, Trouble):
        missing = f"the stack {STACK_NAME} could not be read: {found.why}"
    elif isinstance(found, DeployedStack):
        missing = f"the stack {STACK_NAME} in {region} has none"
        if table in {None, "", found.table}:
            table = found.table
            of_stack = {key: found.physical_id(name, "", KEY_TYPE) for key, (name, _) in STACK_KEYS.items()}
            keys = {**{key: known for key, known in of_stack.items() if known}, **keys}
    if not table:
        raise edge.CommandRefusedError(
            f"no ledger: {missing}; give --table NAME or set {edge.TABLE_VARIABLE}, which the deployment's "
            "output LedgerTable names"
        )
    for key in needed:
        if key not in keys:
            option = "give --undo-key ARN or " if key is SigningKey.RECORDS else ""
            raise edge.CommandRefusedError(
                f"no signing key: {missing}; {option}set {key}, which the deployment's output "
                f"{STACK_KEYS[key][1]} names"
            )
    return NamedLedger(table, keys)


def principal_name(arn: str) -> str:
    """Return the name of an ARN of STS or IAM, for a reader: of the user, or of the role's session."""
    return arn.rpartition("/")[2] or arn


def make_wait(sleep: Callable[[float], None] = time.sleep) -> Callable[[], None]:
    """
    Create a function that waits while AWS works; the first call says so, because it may take a while.

    The wait can be interrupted: what was done is recorded, and the next call continues.
    """
    announced = False

    def wait() -> None:
        from ml_janitor.deployment import AWS_WAIT_SECONDS

        nonlocal announced
        if not announced:
            patience = "AWS takes its time; looking again every few seconds. Ctrl-C is safe: call this again."
            typer.echo(f"janitor: {patience}", err=True)
            announced = True
        sleep(AWS_WAIT_SECONDS)

    return wait


# --- options --------------------------------------------------------------------------------------

AccountId = Annotated[
    str | None, edge.option("ID", "An account of [organization]; else your own.", "--account")
]
AccountProfile = Annotated[
    str | None,
    edge.option(
        "NAME", "The AWS profile to change that account with; its own roles only read.", "--account-profile"
    ),
]
NowOption = Annotated[str | None, edge.option("TIME", "Take this time for now (ISO 8601).")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAccess:
    """The options of a command on the ledger; AWS has not been asked anything yet."""

    settings: Settings
    table: str | None
    region: Sequence[str] | None
    profile: str | None
    account: str | None
    account_profile: str | None
    now: str | None

    @contextmanager
    def open(
        self,
        what: str,
        *,
        region: str = "",
        account: str = "",
        undo_key: str | None = None,
        needed: Sequence[SigningKey] = (),
    ) -> Iterator[LedgerSession]:
        """
        Open the ledger; a call that fails there ends the command with one line about *what*.

        *region* and *account* are where to look unless an option says otherwise: the account of
        --account-profile, else the ledger's own. The deployed stack names the
        ledger and the *needed* keys that options and environment leave open. *undo_key* comes first.
        Raises CommandRefusedError and FailedError, also without credentials.
        """
        with edge.one_line_errors(what), ExitStack() as stack:
            where = self.region or ([region] if region else None)
            yield self._session(stack, where, self.account or account or None, undo_key, needed)

    def _session(
        self,
        stack: ExitStack,
        region: Sequence[str] | None,
        account: str | None,
        undo_key: str | None,
        needed: Sequence[SigningKey],
    ) -> LedgerSession:
        settings, now = self.settings, edge.judging_time(self.now)
        watch, attempts = CallWindow(clock=edge.command_clock(self.now)), edge.read_attempts()
        session = edge.open_session(self.profile)
        home = session.region_name or edge.choose_regions(region, settings, session)[0]
        caller = edge.require_caller(session, home, attempts)
        named = find_ledger(session, home, self.table, signing_keys(undo_key), needed, attempts=attempts)
        client = make_client(session, "dynamodb", home, attempts)
        inside = session
        if self.account_profile:
            inside = edge.open_session(self.account_profile)
            theirs = edge.require_caller(inside, home, attempts).account
            if account not in {None, theirs}:
                raise edge.CommandRefusedError(
                    f"--account-profile {self.account_profile} is of account {theirs}, not of {account}"
                )
            account = theirs
        whose = account or caller.account
        if whose != caller.account and not settings.organization.used:
            raise edge.CommandRefusedError(
                f"--account {whose}: [organization] in the settings names no accounts"
            )
        table = Table(client, named.table)
        if account and not region:
            region = settings.organization.regions or run_regions(settings, table)
        regions = edge.choose_regions(region, settings, session)

        def within(own: boto3.Session) -> Sequence[Aws]:
            opening = open_regions(
                own,
                account=whose,
                regions=regions,
                attempts=attempts,
                pace=edge.call_pace(),
                has_time=watch.has_time,
                prices_from=None if own is session else session,
            )
            return stack.enter_context(opening)

        @cache
        def through_role(detector: str) -> Sequence[Aws]:
            partition = session.get_partition_for_region(home)
            role = role_arn(
                settings, reading_role_name(settings, detector), account=whose, partition=partition
            )
            sts = make_client(session, "sts", home, attempts)
            try:
                return within(open_member_session(sts, session, role, settings.organization.external_id))
            except Exception as error:  # in one line, with its remedy
                raise edge.FailedError(f"account {whose} {unread_sweep_error(error)}") from error

        own = whose == caller.account or self.account_profile
        return LedgerSession(
            settings=settings,
            account=whose,
            regions=regions,
            opened=within(inside) if own else (),
            through_role=through_role,
            table=table,
            who=principal_name(caller.arn),
            now=now,
            watch=watch,
            signatures=kms_signatures(make_client(session, "kms", home, attempts), named.keys, by_hand=True)
            if named.keys
            else Signatures(),
        )


def run_regions(settings: Settings, table: Table) -> list[str]:
    """Return the regions in which the latest runs of all detectors over the organization looked."""
    lasts = [
        last for detector in settings.registry if (last := LatestRuns(table).last(detector.name)) is not None
    ]
    return sorted({region for last in lasts for region in last.regions})


def _shared(  # its parameters are every command's
    ctx: typer.Context,
    *,
    table: edge.TableName = None,
    region: edge.Regions = None,
    profile: edge.Profile = None,
    account: AccountId = None,
    account_profile: AccountProfile = None,
    config: edge.SettingsFile = None,
    now: NowOption = None,
) -> LedgerAccess:
    settings = edge.load_settings(config, (), ctx.obj)
    if account and not re.fullmatch(r"[0-9]{12}", account):
        raise edge.CommandRefusedError(f"--account: expected twelve digits, got {account}")
    return LedgerAccess(
        settings=settings,
        table=table,
        region=region,
        profile=profile,
        account=account,
        account_profile=account_profile,
        now=now,
    )


def ledger_command[**P](command: Callable[Concatenate[LedgerAccess, P], int]) -> Callable[..., int]:
    """Convert *command* for typer: add the options from which its LedgerAccess is made."""
    shared = signature(_shared, eval_str=True).parameters
    _, *own = signature(command, eval_str=True).parameters.values()

    def opened(**given: Any) -> int:
        access = _shared(**{name: given.pop(name) for name in shared})
        try:
            return command(access, **given)  # type: ignore[call-arg]
        except KeyboardInterrupt:
            raise edge.CommandRefusedError("interrupted", edge.INTERRUPTED_STATUS) from None

    ctx, *options = shared.values()
    parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in (ctx, *own, *options)]
    opened.__name__, opened.__doc__ = command.__name__, command.__doc__
    opened.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    opened.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return opened
