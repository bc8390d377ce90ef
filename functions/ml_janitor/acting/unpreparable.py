"""Findings that cannot be prepared: only reported, and prepared again now and then, without a warning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ml_janitor.core.cause import Cause, Why, cause
from ml_janitor.core.model import Finding, Outcome, Result, Sweep
from ml_janitor.engine.detector import CannotActError, NotYetError

if TYPE_CHECKING:
    from ml_janitor.acting.recheck import Recheck
    from ml_janitor.engine.arming import Arming
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger


def only_reported(sweep: Sweep, entries: Mapping[str, Entry]) -> Sweep:
    """*sweep*, in which what preparing refused before waits for no warning."""

    def reported(result: Result) -> Result:
        entry = entries.get(result.target.key)
        if result.outcome is not Outcome.WAITING or entry is None or not entry.refused:
            return result
        return replace(result, outcome=Outcome.ADVISED, cause=cause(Why.REFUSED_BY_PREPARE, entry.refused))

    return replace(sweep, results=tuple(map(reported, sweep.results)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpreparable:
    """What preparing refused, of one detector in one account and region. *recheck* looks again: law 4."""

    arming: Arming
    ledger: Ledger
    recheck: Recheck
    words: Callable[[Cause], str]

    def retried(self, result: Result, entry: Entry, at: datetime) -> Result:
        """
        *result* of a finding that was refused, asked again when a warning from then would be due.

        A warning that ends in "only reported" each time teaches people not to read warnings. What is
        refused no longer is warned about like anything new. What cannot be read stays as it is.
        """
        if not isinstance(result.verdict, Finding) or not self.recheck.aws.has_time:
            return result
        if entry.refused_at is not None and self.arming.due(entry.refused_at, result.verdict) > at:
            return result
        try:
            self._prepare(result, entry, at)
        except NotYetError as not_yet:
            self.ledger.memorise(entry, not_yet.memo)
            return result
        except CannotActError as error:
            self.ledger.refuse(entry, str(error), at)
            return replace(result, cause=cause(Why.REFUSED_BY_PREPARE, str(error)))
        except Exception:  # it is only reported as before, and asked again by the next sweep
            return result
        self.ledger.permit(entry)
        return replace(result, outcome=Outcome.WAITING, cause=cause(Why.UNWARNED))

    def _prepare(self, result: Result, entry: Entry, at: datetime) -> None:
        """Raises whatever stands against acting on it."""
        verdict, candidate = self.recheck.verdict(result, at)
        if not isinstance(verdict, Finding):
            raise LookupError("it is no finding any more")  # noqa: TRY004 - nobody gave a wrong type
        if (why := self.arming.spares(candidate.target, verdict, candidate.takes_along)) is not None:
            raise CannotActError(self.words(why))
        self.recheck.prepared(candidate, verdict, entry.memo)
