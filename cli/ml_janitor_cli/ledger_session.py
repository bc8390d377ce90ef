"""An opened account with its ledger, for commands: clients, the clock, the lease, and who calls."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

from ml_janitor.acting.undoing import Undoing
from ml_janitor.aws.account import opened
from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.organization import member_session, not_read
from ml_janitor.config.member_roles import role_arn, role_name
from ml_janitor.config.settings import Settings
from ml_janitor.engine.detector import Detector
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.entries import Entry
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.holds import Holds
from ml_janitor.ledger.leases import Leases
from ml_janitor.ledger.macs import KmsMacs, Macs, NoKey
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge
from ml_janitor_cli.credentials import known_caller
from ml_janitor_cli.failures import FailedError

if TYPE_CHECKING:
    import boto3

TABLE, UNDO_KEY = "JANITOR_TABLE", "JANITOR_UNDO_KEY"

INTERRUPTED = (
    "interrupted; janitor findings lists what was begun, and the next sweep goes on with it or puts it back"
)

PATIENCE = timedelta(minutes=30)
"""How long a lease is held from here: longer than the steps that wait for AWS are gone back to."""

RESERVE = timedelta(minutes=2)
"""What is left of a lease when nothing more is begun: a call with its retries takes about a minute."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """The real time by *clock*, and until when AWS is called."""

    clock: Callable[[], datetime]
    until: datetime | None = None

    def has_time(self) -> bool:
        """Whether another call may be made."""
        return self.until is None or self.clock() < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSession:
    """
    An *account* with the ledger of its deployment. *who* is the caller, in a few words.

    *opened* has it in each of *regions*, with credentials of the account itself; there are none where another
    account's ledger is asked, and then *reading* takes on the role that a detector reads with.

    *now* is when the command began; what it does takes time, and a person's answer even more: *watch*
    has the time that it is then.
    """

    settings: Settings
    account: str
    regions: Sequence[str]
    opened: Sequence[Aws]
    through_role: Callable[[str], Sequence[Aws]]
    table: Table
    who: str
    now: datetime
    watch: Watch
    macs: Macs

    def clock(self) -> datetime:
        """The time that it is."""
        return self.watch.clock()

    @contextmanager
    def leased(self, detector: str, region: str) -> Iterator[None]:
        """
        Nobody else sweeps *detector* or undoes what it did, and calls end before the lease does.

        Every command is a holder of its own, whoever calls it: one person may have two terminals.
        Raises LeaseTakenError, and Interrupted at Ctrl-C.
        """
        holder = f"by hand: {self.who} {uuid.uuid4().hex}"
        now = self.clock()
        until = now + PATIENCE
        self.leases.take(detector, self.account, region, holder=holder, now=now, until=until)
        self.watch.until = until - RESERVE
        try:
            yield
        except KeyboardInterrupt:
            raise edge.Interrupted(INTERRUPTED) from None
        finally:
            self.watch.until = None
            self.leases.release(detector, self.account, region, holder=holder)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table)

    @property
    def actions(self) -> Actions:
        return Actions(self.table, self.macs)

    @property
    def holds(self) -> Holds:
        return Holds(self.table)

    @property
    def leases(self) -> Leases:
        return Leases(self.table)

    def entries(self, detectors: Sequence[Detector[Any]] | None = None) -> list[Entry]:
        """What the ledger knows of *detectors* (else of all) in every region."""
        names = [each.name for each in detectors or self.settings.registry]
        return [
            entry
            for name in names
            for region in self.regions
            for entry in self.ledger.entries(name, self.account, region)
        ]

    def undoing(self, *, unsigned: bool = False) -> Undoing:
        """What undoes actions from this machine; *unsigned* also those without a signature."""
        from ml_janitor import deployment

        return deployment.undoing(
            self.settings, self.table, self.actions, self.clock, wait=waiting(), unsigned=unsigned
        )

    def reading(self, detector: type[Detector[Any]] | Detector[Any]) -> Sequence[Aws]:
        """The account in every region, for what *detector* reads. Raises FailedError."""
        return self.opened or self.through_role(detector.name)

    def aws(self, region: str) -> Aws:
        """The account in *region*, with credentials that may change it. Raises Refused without any."""
        if not self.opened:
            raise edge.Refused(
                f"to change anything in account {self.account}, give --account-profile NAME: its roles trust "
                "functions alone with that"
            )
        return next(aws for aws in self.opened if aws.region == region)


@contextmanager
def ledger_session(
    settings: Settings,
    *,
    table: str | None,
    region: Sequence[str] | None,
    profile: str | None,
    now: str | None,
    account: str | None = None,
    account_profile: str | None = None,
    undo_key: str | None = None,
) -> Iterator[LedgerSession]:
    """
    The opened ledger for one command, and *account*, else that of *account_profile*, else the ledger's own.

    Raises Refused, and FailedError without credentials.
    """
    name = table or os.environ.get(TABLE)
    if not name:
        raise edge.Refused(
            f"no ledger: give --table NAME or set {TABLE}; the deployment's output LedgerTable names it"
        )
    at, watch = edge.now_from(now), Watch(clock=edge.clock_from(now))
    attempts = edge.attempts_from_environment()
    session = edge.session_from(profile)
    regions = edge.regions_from(
        region or (settings.organization.regions if account else None), settings, session
    )
    home = session.region_name or regions[0]
    caller = known_caller(session, home, attempts)
    client = make_client(session, "dynamodb", home, attempts)
    inside = session
    if account_profile:
        inside = edge.session_from(account_profile)
        theirs = known_caller(inside, home, attempts).account
        if account not in {None, theirs}:
            raise edge.Refused(
                f"--account-profile {account_profile} is of account {theirs}, not of {account}"
            )
        account = theirs
    whose = account or caller.account
    if whose != caller.account and not settings.organization.used:
        raise edge.Refused(f"--account {whose}: [organization] in the settings names no accounts")
    with ExitStack() as stack:

        def within(own: boto3.Session) -> Sequence[Aws]:
            opening = opened(
                own,
                account=whose,
                regions=regions,
                attempts=attempts,
                pace=edge.pace(),
                has_time=watch.has_time,
                prices_from=None if own is session else session,
            )
            return stack.enter_context(opening)

        @cache
        def through_role(detector: str) -> Sequence[Aws]:
            partition = session.get_partition_for_region(home)
            role = role_arn(settings, role_name(detector), account=whose, partition=partition)
            sts = make_client(session, "sts", home, attempts)
            try:
                return within(member_session(sts, session, role, settings.organization.external_id))
            except Exception as error:  # in one line, with what mends it
                raise FailedError(f"account {whose} {not_read(error)}") from error

        own = whose == caller.account or account_profile
        yield LedgerSession(
            settings=settings,
            account=whose,
            regions=regions,
            opened=within(inside) if own else (),
            through_role=through_role,
            table=Table(client, name),
            who=person(caller.arn),
            now=at,
            watch=watch,
            macs=KmsMacs(make_client(session, "kms", home, attempts), undo_key) if undo_key else NoKey(),
        )


def undo_key_from(flag: str | None) -> str:
    """The KMS key of --undo-key, else of the environment. Raises Refused if neither names one."""
    key = flag or os.environ.get(UNDO_KEY)
    if not key:
        raise edge.Refused(
            f"no undo key: give --undo-key ARN or set {UNDO_KEY}; the deployment's output UndoKey names it"
        )
    return key


def person(arn: str) -> str:
    """Who an ARN of STS or IAM is, for a reader: the name of the user, or that of the role's session."""
    return arn.rpartition("/")[2] or arn


def waiting(sleep: Callable[[float], None] = time.sleep) -> Callable[[], None]:
    """
    Lets AWS get on with what is half done; the first time it says so, because it may take a while.

    Whoever loses patience may interrupt it: what was done is recorded, and called again it goes on.
    """
    announced = False

    def wait() -> None:
        from ml_janitor.deployment import WAIT

        nonlocal announced
        if not announced:
            patience = "AWS takes its time; looking again every few seconds. Ctrl-C is safe: call this again."
            typer.echo(f"janitor: {patience}", err=True)
            announced = True
        sleep(WAIT)

    return wait
