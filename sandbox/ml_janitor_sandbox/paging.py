"""Pages whose token is how far the reader has come, for lists that only ever grow at the end."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from ml_janitor_sandbox.patches import AwsError


def cut[T](
    found: Sequence[T], token: str | None, size: int, *, invalid: str
) -> tuple[Sequence[T], dict[str, str]]:
    """One page, and the `NextToken` member to add to its answer if there is another."""
    given = read(token, invalid=invalid)
    page = found[given : given + size]
    more = given + len(page) < len(found)
    return page, {"NextToken": write(given + len(page))} if more else {}


def write(given: int) -> str:
    """A token that nobody is tempted to read."""
    return base64.urlsafe_b64encode(str(given).encode()).decode()


def read(token: str | None, *, invalid: str) -> int:
    """How many have been given before; an error with the code `invalid` for a strange token."""
    try:
        return int(base64.urlsafe_b64decode(token)) if token else 0
    except ValueError:
        raise AwsError(invalid, "The next token is not valid.") from None
