"""The state beside moto's own backends, by account and region.

A fix keeps its data in a class of its own and asks for the instance: `state.of(Metrics, call)`.
One reset then forgets everything, and no fix has a reset to forget to write.
"""

from collections.abc import Iterator
from threading import RLock
from typing import Any, Protocol

LOCK = RLock()
_kept: dict[tuple[type[Any], str, str], Any] = {}


class Place(Protocol):
    """An object that knows which account and region it is about."""

    @property
    def account(self) -> str: ...

    @property
    def region(self) -> str: ...


def of[T](kind: type[T], place: Place) -> T:
    """Return the one instance of this class for this account and region, made on first use."""
    return at(kind, place.account, place.region)


def at[T](kind: type[T], account: str, region: str) -> T:
    """Return the instance for callers that have the two names and no call in hand."""
    key = (kind, account, region)
    with LOCK:
        if key not in _kept:
            _kept[key] = kind()
        found: T = _kept[key]
        return found


def every[T](kind: type[T]) -> Iterator[tuple[str, str, T]]:
    """List all instances of this class, each after its account and region."""
    return (
        (account, region, instance) for (of, account, region), instance in list(_kept.items()) if of is kind
    )


def held() -> dict[tuple[type[Any], str, str], Any]:
    """Return all that is remembered."""
    return dict(_kept)


def hold(held: dict[tuple[type[Any], str, str], Any]) -> None:
    """Remember this, and nothing else."""
    with LOCK:
        _kept.clear()
        _kept.update(held)


def clear() -> None:
    """Forget everything."""
    with LOCK:
        _kept.clear()
