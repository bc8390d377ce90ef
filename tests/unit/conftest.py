"""A stand-in deployment without a server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import pytest

from scripted import AtOnce
from standin import Nights, in_memory


@pytest.fixture
def nights() -> Iterator[Nights]:
    with in_memory() as nights:
        yield nights


@pytest.fixture
def with_lamp(nights: Nights) -> Nights:
    """A lamp that was warned about."""
    nights.warned("lamp")
    return nights


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futures, "ThreadPoolExecutor", AtOnce)
