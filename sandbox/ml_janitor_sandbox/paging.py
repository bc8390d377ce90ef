"""Pages: their tokens, and cutting lists that only ever grow at the end by how far the reader has come."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from ml_janitor_sandbox.patches import AwsError


def cut[T](
    found: Sequence[T], token: str | None, size: int, *, invalid: str
) -> tuple[Sequence[T], dict[str, str]]:
    """One page, and the `NextToken` member to add to its answer if there is another."""
    given = read(token, 0, invalid=invalid)
    page = found[given : given + size]
    more = given + len(page) < len(found)
    return page, {"NextToken": write(given + len(page))} if more else {}


def write(value: Any) -> str:
    """A token for *value*, which JSON can hold, that nobody is tempted to read."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def read[V](token: str | None, first: V, *, invalid: str, message: str = "The next token is not valid.") -> V:
    """
    The value of a token, or *first* without one.

    An error with the code `invalid` for a token of anything but a value like *first*.
    """
    try:
        value = json.loads(base64.urlsafe_b64decode(token)) if token else first
    except ValueError:
        value = None
    if not isinstance(value, type(first)):
        raise AwsError(invalid, message)
    return value
