"""Tables of cases: a test runs once for each row."""

from typing import Any

import pytest


def cases(names: str, *rows: Any, ids: Any = None) -> pytest.MarkDecorator:
    """Run the test once for each of *rows*: `pytest.mark.parametrize` with one row a line."""
    return pytest.mark.parametrize(names, rows, ids=ids)
