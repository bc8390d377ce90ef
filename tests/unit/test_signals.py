"""What becomes of a signal that is computed from another."""

from conftest import NOW
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value, map_signal
from tables import cases


@cases(
    "signal, becomes",
    (Value(2, "call", NOW), Value(4, "call", NOW)),
    (Absent("call"), Absent("call")),
    (Unreadable("denied", "call"), Unreadable("denied", "call")),
    (NotRead(), NotRead()),
)
def test_only_what_was_read_is_computed_with(signal: Signal[int], becomes: Signal[int]) -> None:
    assert map_signal(signal, lambda read: 2 * read) == becomes
