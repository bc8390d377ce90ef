"""Tables of cases: a test runs once for each row."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def cases(
    names: str, *rows: Any, ids: Iterable[str] | Callable[[Any], object] | None = None
) -> pytest.MarkDecorator:
    """
    Run the test once for each of *rows*, whose values are those of the parameters *names*.

    It is `pytest.mark.parametrize`, with one row a line and nothing around them.
    """
    return pytest.mark.parametrize(names, rows, ids=ids)
