"""
Computes the time and cost of a run on spot instances, and how to buy its hours. Pure arithmetic.

Interruptions come at a constant rate, independently of each other (exponential times between them). The hours
are means; J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart
dumps", Future Generation Computer Systems 22 (2006), has the derivations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

RESTART_BEYOND = 72.0
"""Hours beyond which a spot run almost surely meets an interruption, so that it must restart by itself."""

RESERVE_FROM_JOBS = 10.0
"""Jobs a week from which a reservation is used enough."""

SHORTEST_INTERVAL = 1 / 60
"""Hours between checkpoints that cost nothing: a minute."""

MOST_EXPONENT = 600.0
"""The largest exponent before a float overflows: such a run never ends."""


class Interruption(StrEnum):
    """The cost of an interruption to those who wait for the job."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Purchase(StrEnum):
    """The ways to buy a job's hours."""

    SPOT = "spot"
    SPOT_WITH_RESTART = "spot with automatic restart"
    SPOT_FOR_EXPERIMENTS = "spot for experiments, on demand for the final run"
    RESERVED = "reserved"
    ON_DEMAND = "on demand"


@dataclass(frozen=True, slots=True)
class SpotCapacity:
    """
    Spot capacity: *interruptions* an hour, hours to *restart* after an interruption, hours that a *save*
    takes, and the *discount* off the on-demand price, 0 to 1.
    """

    interruptions: float
    restart: float
    save: float
    discount: float

    def interval(self) -> float:
        """Return the hours between checkpoints that waste least: Daly's estimate (first term: Young's)."""
        if not self.interruptions:
            return math.inf
        between = 1 / self.interruptions
        if not self.save:
            return SHORTEST_INTERVAL
        if self.save >= 2 * between:
            return between
        part = self.save / (2 * between)
        return math.sqrt(2 * self.save * between) * (1 + math.sqrt(part) / 3 + part / 9) - self.save

    def hours(self, work: float, interval: float = math.inf) -> float:
        """Return the mean hours for *work* hours with a checkpoint after every *interval* hours of work."""
        if work <= 0:
            return 0.0
        saves = max(math.ceil(work / interval) - 1, 0)
        last = work - saves * (0.0 if math.isinf(interval) else interval)
        between = self._undisturbed(interval + self.save) if saves else 0.0
        return saves * between + self._undisturbed(last)

    def cost(self, work: float, interval: float = math.inf) -> float:
        """Return the cost of *work* as a share of its on-demand cost: above 1, spot is dearer."""
        return (1 - self.discount) * self.hours(work, interval) / work

    def _undisturbed(self, span: float) -> float:
        """Return the mean hours until *span* hours in a row have passed without an interruption."""
        rate = self.interruptions
        if not rate:
            return span
        if rate * (span + self.restart) > MOST_EXPONENT:
            return math.inf
        return math.exp(rate * self.restart) * math.expm1(rate * span) / rate


def best_purchase(hours: float, interruption: Interruption, jobs_a_week: float) -> Purchase:
    """Return how to buy jobs of *hours* each: by an interruption's cost, their length, and their number."""
    match interruption:
        case Interruption.LOW:
            return Purchase.SPOT_WITH_RESTART if hours > RESTART_BEYOND else Purchase.SPOT
        case Interruption.MEDIUM:
            return Purchase.SPOT_FOR_EXPERIMENTS
        case Interruption.HIGH:
            return Purchase.RESERVED if jobs_a_week >= RESERVE_FROM_JOBS else Purchase.ON_DEMAND
