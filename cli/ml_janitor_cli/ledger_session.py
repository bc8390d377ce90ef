"""An opened account with its ledger, for commands: the clock, the lease, the records, and the caller."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import typer

from ml_janitor.acting.undoing import Undoing
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import Settings
from ml_janitor.engine.detector import Detector
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.entries import Entry
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.holds import Holds
from ml_janitor.ledger.leases import Leases
from ml_janitor.ledger.macs import MacProvider
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge

TABLE_VARIABLE, UNDO_KEY_VARIABLE = "JANITOR_TABLE", "JANITOR_UNDO_KEY"

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
    macs: MacProvider

    def clock(self) -> datetime:
        """Return the present time."""
        return self.watch.clock()

    @contextmanager
    def leased(self, detector: str, region: str) -> Iterator[None]:
        """
        Hold the lease of *detector*: nobody else sweeps or undoes, and calls end before the lease does.

        Every command is a holder of its own, whoever calls it: one person may have two terminals. Raises
        LeaseTakenError, and Interrupted at Ctrl-C.
        """
        holder = f"by hand: {self.who} {uuid.uuid4().hex}"
        now = self.clock()
        until = now + LEASE_DURATION
        self.leases.take(detector, self.account, region, holder=holder, now=now, until=until)
        self.watch.until = until - LEASE_RESERVE
        try:
            yield
        except KeyboardInterrupt:
            raise edge.CommandInterruptedError(INTERRUPTED_MESSAGE) from None
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
        """Return the account in *region*, with credentials that may change it. Raises Refused without any."""
        if not self.opened:
            raise edge.CommandRefusedError(
                f"to change anything in account {self.account}, give --account-profile NAME: its roles trust "
                "functions alone with that"
            )
        return next(aws for aws in self.opened if aws.region == region)


def require_undo_key(flag: str | None) -> str:
    """Return the KMS key of --undo-key, else of the environment. Raises Refused if neither names one."""
    key = flag or os.environ.get(UNDO_KEY_VARIABLE)
    if not key:
        raise edge.CommandRefusedError(
            f"no undo key: give --undo-key ARN or set {UNDO_KEY_VARIABLE}; the deployment's output "
            f"UndoKey names it"
        )
    return key


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
