"""What is true of the demo account, for an audit to find out: what is waste, and what only looks it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is true of a resource that is not simply in use."""

    WASTE = "waste"
    LOOKALIKE = "lookalike"
    """Looks like waste and is not."""
    UNKNOWN = "unknown"
    """Nobody can tell, and therefore not waste."""


@dataclass(frozen=True, slots=True)
class Truth:
    """
    What is true of one resource, and *why*, in a sentence.

    *confidence* is what the available signals allow for waste: "proven" or "likely".
    """

    kind: Kind
    why: str
    confidence: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A truth, the resource it is about, and the *detector* that ought to find it out."""

    detector: str
    arn: str
    name: str
    why: str
    confidence: str | None = None


def waste(why: str) -> Truth:
    """Waste, and a signal says so."""
    return Truth(Kind.WASTE, why, "proven")


def likely_waste(why: str) -> Truth:
    """Waste, as far as the absence of a signal can tell."""
    return Truth(Kind.WASTE, why, "likely")


def lookalike(why: str) -> Truth:
    """Not waste, although a hasty rule would think so."""
    return Truth(Kind.LOOKALIKE, why)


def unknown(why: str) -> Truth:
    """Not to be judged at all."""
    return Truth(Kind.UNKNOWN, why)
