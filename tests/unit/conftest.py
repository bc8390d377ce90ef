"""A stand-in deployment without a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from standin import Nights, in_memory


@pytest.fixture
def nights() -> Iterator[Nights]:
    with in_memory() as nights:
        yield nights
