"""The batches of a run: first all regions with a free lease, then each of the others when it is free."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ml_janitor.ledger.leases import LeaseTakenError, SweptBeforeError

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.failures import Failures
    from ml_janitor.ledger.leases import Leases

LEASE_PAUSE = timedelta(seconds=15)
"""Time between two looks for a free region."""

_RESERVED_PART = 3
"""A third of a run's time is reserved for sweeping the regions that it waited for."""


@dataclass(frozen=True, slots=True)
class RegionBatch:
    """The *regions* to sweep now, under their leases; *later* counts the regions to come."""

    regions: list[Aws]
    later: int


@dataclass(slots=True, kw_only=True)
class RegionQueue:
    """
    The batches of one run of *detector*, whose event is *holder*, from *begun* on by the real *clock*.

    *patience* is the time that the run may take. *pause* lets a `PAUSE` go by; without
    it the run does not wait. *rest* is true if an earlier try of the event has swept
    some regions, so that this try sweeps the rest.
    """

    leases: Leases
    detector: str
    holder: str
    clock: Callable[[], datetime]
    begun: datetime
    patience: timedelta
    pause: Callable[[], None] | None
    failures: Failures
    rest: bool = False
    _taken: dict[str, LeaseTakenError] = field(default_factory=dict)

    def of(self, accounts: Sequence[Aws]) -> Generator[RegionBatch]:
        """
        Yield every batch, with its leases until the caller asks for the next;
        between two batches it holds none.

        A region that has not become free in time is noted as a failure: the retry of the
        event goes on with it, and passes over the regions swept without a failure. Raises
        LeaseTakenError if there was no batch at all.
        """
        left, pauses, swept = list(accounts), 0, False
        last = self.begun + self.patience * (_RESERVED_PART - 1) / _RESERVED_PART
        most = (last - self.begun) // LEASE_PAUSE  # a limit of its own, since the clock may stand still
        while True:
            with self._leased(left) as (free, passed):
                left = [aws for aws in left if aws not in free and aws not in passed]
                if free:
                    swept = True
                    yield from self._swept(free, left)
            if not left or self.pause is None or pauses == most or self.clock() + LEASE_PAUSE > last:
                break
            self.pause()
            pauses += 1
        for aws in left:
            if not swept and not self.rest:
                raise self._taken[aws.region]
            self.failures.note(f"{self._taken[aws.region]}, so it was not swept")

    def _swept(self, free: list[Aws], left: list[Aws]) -> Iterator[RegionBatch]:
        """Yield one batch. If it succeeded and others are left, a retry does not repeat it."""
        before = len(self.failures)
        yield RegionBatch(free, len(left))
        if left and len(self.failures) == before:
            for aws in free:
                with self.failures.survived("what was swept could not be remembered"):
                    where = (self.detector, aws.account, aws.region)
                    self.leases.swept(*where, holder=self.holder, now=self.clock())

    @contextmanager
    def _leased(self, accounts: Sequence[Aws]) -> Iterator[tuple[list[Aws], list[Aws]]]:
        """Yield the *accounts* that nobody else sweeps, and those that this event has swept before."""
        free: list[Aws] = []
        passed: list[Aws] = []

        def release(aws: Aws) -> None:
            with self.failures.survived("a lease could not be given back"):
                self.leases.release(self.detector, aws.account, aws.region, holder=self.holder)

        with ExitStack() as held:
            for aws in accounts:
                where, until = (self.detector, aws.account, aws.region), self.begun + self.patience
                try:
                    self.leases.take(*where, holder=self.holder, now=self.clock(), until=until)
                except LeaseTakenError as taken:
                    if isinstance(taken, SweptBeforeError):
                        self.rest = True
                        passed.append(aws)
                    self._taken[aws.region] = taken
                else:
                    held.callback(release, aws)
                    free.append(aws)
            yield free, passed
