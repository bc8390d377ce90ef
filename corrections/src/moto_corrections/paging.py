"""Pages: their tokens, and cutting lists by how far the reader has come, or by what was read last."""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from moto_corrections import state
from moto_corrections.patches import AwsError, Call


@dataclass(slots=True)
class Pages:
    """The most entries that a page holds, whatever is asked for; AWS may answer fewer at any time."""

    most: int | None = None

    def set(self, most: int) -> None:
        """Change it for all operations; ValueError for a page that could hold nothing."""
        if most < 1:
            raise ValueError("a page holds one entry or more")
        self.most = most


def pages() -> Pages:
    """Return the page sizes that hold everywhere."""
    return state.at(Pages, "", "")


def limited(size: int) -> int:
    """Return *size*, or fewer where pages are short."""
    return min(size, pages().most or size)


def cut[T](
    call: Call, found: Sequence[T], size: int, *, invalid: str, member: str = "NextToken"
) -> tuple[list[T], dict[str, str]]:
    """Return a page of what only grows at its end, and the *member* with its token if there is another."""
    size = limited(size)
    given = read(call.params.get(member), 0, invalid=invalid)
    page = list(found[given : given + size])
    more = given + len(page) < len(found)
    return page, {member: write(given + len(page))} if more else {}


def after[T](
    call: Call,
    found: Iterable[T],
    size: int,
    key: Callable[[T], str],
    *,
    invalid: str,
    message: str,
    member: str = "NextToken",
) -> tuple[list[T], dict[str, str]]:
    """Return a page in the order of a *key*, so that what goes moves nothing else; the rest as in `cut`."""
    size, last = limited(size), read(call.params.get(member), "", invalid=invalid, message=message)
    rest = sorted((entry for entry in found if key(entry) > last), key=key)
    return rest[:size], {member: write(key(rest[size - 1]))} if len(rest) > size else {}


def size_of(call: Call, member: str, default: int, most: int, refusal: Callable[[str], AwsError]) -> int:
    """Return the most entries a page is to hold, by that *member* of the request; between 1 and *most*."""
    size = call.params.get(member)
    if size is not None and not 1 <= int(size) <= most:
        raise refusal(f"{member} must be between 1 and {most}")
    return int(size or default)


def write(value: Any) -> str:
    """Write a token for *value*, which JSON can hold, that nobody is tempted to read."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def read[V](token: str | None, first: V, *, invalid: str, message: str = "The next token is not valid.") -> V:
    """
    Return the value of a token, or *first* without one.

    An error with the code `invalid` for a token of anything but a value like *first*.
    """
    try:
        value = json.loads(base64.urlsafe_b64decode(token)) if token else first
    except ValueError:
        value = None
    if not isinstance(value, type(first)):
        raise AwsError(invalid, message)
    return value
