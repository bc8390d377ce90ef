"""What a refusal by AWS means: nothing is left to do, there is no such resource, or it failed."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserError

from fakes import raising, refusal
from ml_janitor.aws.calls import (
    CLOSED_ADVICE,
    POLICY_DENIAL,
    Listing,
    OutOfTimeError,
    ReadError,
    UnreadEntriesError,
    UnreadEntry,
    as_signal,
    collect_pages,
    ensure,
    error_text,
    failure_text,
    is_refusal,
    read_signal,
    required_value,
    unless_gone,
)
from ml_janitor.core.model import Absent, NotRead, Unreadable, Value
from tables import cases


def test_a_call_that_is_taken_is_not_looked_into() -> None:
    ensure(lambda: None, raising(AssertionError("there is nothing to look into")))


@cases(
    "already, codes, raises",
    (True, (), False),
    (False, (), True),
    (True, ("ValidationException",), False),
    (False, ("ValidationException",), True),
    (True, ("ResourceInUse",), True),
)
def test_a_refusal_is_success_only_if_it_is_already_so(
    already: bool,  # noqa: FBT001
    codes: tuple[str, ...],
    raises: bool,  # noqa: FBT001
) -> None:
    def tried() -> None:
        ensure(raising(refusal("ValidationException")), lambda: already, codes=codes)

    if raises:
        with pytest.raises(ClientError):
            tried()
    else:
        tried()


def test_what_is_no_answer_of_aws_is_never_success() -> None:
    with pytest.raises(ConnectionError):
        ensure(raising(ConnectionError()), lambda: True)
    with pytest.raises(ConnectionError):
        unless_gone(raising(ConnectionError()), ("ValidationException",))


def test_only_the_named_refusals_say_that_there_is_none() -> None:
    assert unless_gone(lambda: 1, ("ResourceNotFound",)) == 1
    assert unless_gone(raising(refusal("ResourceNotFound")), ("ResourceNotFound",)) is None
    with pytest.raises(ClientError):
        unless_gone(raising(refusal("AccessDenied")), ("ResourceNotFound",))


def test_a_refusal_of_many_meanings_counts_only_with_its_message() -> None:
    codes, message = ("ValidationException",), "could not find"
    assert unless_gone(raising(refusal(codes[0], 'Could not find endpoint "e".')), codes, message) is None
    with pytest.raises(ClientError):
        unless_gone(raising(refusal(codes[0], "1 validation error detected")), codes, message)


@cases(
    "error, words",
    (refusal("AccessDenied", " no "), "DeleteEndpoint: AccessDenied: no"),
    (refusal("AccessDenied", ""), "DeleteEndpoint: AccessDenied"),
    (ClientError({}, "ListApps"), "ListApps: Unknown"),
    (KeyError("Apps"), "the answer lacks Apps: it was cut off"),
    (KeyError(), "the answer lacks a member: it was cut off"),
    (EndpointConnectionError(endpoint_url="https://x"), 'Could not connect to the endpoint URL: "https://x"'),
    (ResponseParserError("not\n  XML"), "not XML"),
    (ReadError("more than 200\npages"), "more than 200 pages"),
    (ValueError("a fault of ours"), None),
    (
        refusal("AccessDenied", POLICY_DENIAL, operation="PutItem"),
        f"PutItem: AccessDenied: {POLICY_DENIAL}{CLOSED_ADVICE}",
    ),
    (
        refusal("AccessDenied", POLICY_DENIAL, operation="GetObject"),
        f"GetObject: AccessDenied: {POLICY_DENIAL}",
    ),
    (refusal("AccessDenied", "no", operation="PutItem"), "PutItem: AccessDenied: no"),
)
def test_a_failed_call_in_one_line(error: Exception, words: str | None) -> None:
    assert failure_text(error) == words
    assert error_text(error) == (words or "ValueError: a fault of ours")


def test_a_refusal_is_told_by_its_code_and_its_words_in_any_case() -> None:
    error = refusal("ValidationException", "Could NOT find it")

    assert is_refusal(error, ("ValidationException",))
    assert is_refusal(error, ("ValidationException",), "could not FIND")
    assert not is_refusal(error, ("ValidationException",), "denied")
    assert not is_refusal(error, ("AccessDenied",), "could not find")
    assert is_refusal(ValueError("could not find"), ("ValidationException",)) is False
    assert not is_refusal(ClientError({"Error": {}}, "ListApps"), ("ValidationException",))


def pages(error: Exception | None = None) -> Iterator[list[int]]:
    yield [1, 2]
    yield [3]
    if error is not None:
        raise error


def test_a_listing_keeps_what_was_read_before_it_broke_off() -> None:
    whole = collect_pages(pages(), iter, int, source="sagemaker:ListApps")
    broken = collect_pages(pages(refusal("Throttling", "slow")), iter, int, source="sagemaker:ListApps")

    error = "sagemaker:ListApps broke off after 3: DeleteEndpoint: Throttling: slow"
    assert (whole, broken) == (Listing((1, 2, 3)), Listing((1, 2, 3), error))
    whole.check()
    with pytest.raises(ReadError, match="broke off after 3"):
        broken.check()
    assert (whole.signal("call"), broken.signal("call")) == (
        Value((1, 2, 3), "call"), Unreadable(error, "call"),
    )  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        collect_pages(pages(ZeroDivisionError()), iter, int, source="x")
    assert issubclass(OutOfTimeError, ReadError)


def test_an_entry_that_cannot_be_read_costs_that_entry() -> None:
    """The error stays, because whoever is missing among users may use anything."""
    names = {1: "a", 3: "c"}

    found = collect_pages(pages(), iter, names.__getitem__, source="sagemaker:ListApps")
    broken = collect_pages(pages(refusal("Throttling")), iter, names.__getitem__, source="x")

    error = "sagemaker:ListApps: 1 of 3 entries could not be read (it has no 2)"
    assert found == Listing(("a", "c"), error, (UnreadEntry(2, "it has no 2"),))
    with pytest.raises(UnreadEntriesError, match="1 of 3 entries") as raised:
        found.check()
    assert (raised.value.entries, isinstance(raised.value, ReadError)) == (found.unread, True)
    assert isinstance(found.signal("call"), Unreadable)
    assert (broken.items, broken.unread) == (("a", "c"), ())  # it broke off, whatever else is missing
    assert str(broken.error).startswith("x broke off after 2")


UNREAD = Listing((1,), "one unread", (UnreadEntry(2, "why"),))


@cases(
    "parts, whole",
    ((), Listing(())),
    ((Listing((1,)), Listing((2,))), Listing((1, 2))),
    ((UNREAD, Listing((3,)), UNREAD), Listing((1, 3, 1), "one unread", UNREAD.unread * 2)),
    ((UNREAD, Listing((3,), "broke off")), Listing((1, 3), "one unread; broke off")),
)
def test_listings_break_off_where_a_part_does(parts: Any, whole: Listing[int]) -> None:
    assert Listing.merged(parts) == whole


def test_joined_listings_say_each_error_once() -> None:
    assert Listing.joined([1], ["a", None, "", "b", "a"]) == Listing((1,), "a; b")
    assert Listing.joined([1], [None]) == Listing((1,))


def test_an_attempt_is_a_signal() -> None:
    def answer(error: Exception | None = None) -> int:
        if error is not None:
            raise error
        return 1

    assert read_signal(answer, source="call") == Value(1, "call")
    assert read_signal(lambda: answer(refusal("Gone")), source="call", absent=("Gone",)) == Absent("call")
    assert read_signal(lambda: answer(refusal("Gone")), source="call") == Unreadable(
        "DeleteEndpoint: Gone: no", "call"
    )
    with pytest.raises(ZeroDivisionError):
        read_signal(lambda: answer(ZeroDivisionError()), source="call")
    around = as_signal("call", absent=("Gone",))(answer)
    assert [around(None), around(refusal("Gone")), around(error=refusal("No"))] == [
        Value(1, "call"), Absent("call"), Unreadable("DeleteEndpoint: No: no", "call"),
    ]  # fmt: skip


def test_what_is_needed_is_read_or_an_error() -> None:
    assert (required_value(Value(1)), required_value(Absent())) == (1, None)
    with pytest.raises(ReadError, match="denied"):
        required_value(Unreadable("denied"))
    with pytest.raises(ReadError, match="it was not read"):
        required_value(NotRead())
    with pytest.raises(ReadError, match="not asked"):
        required_value(NotRead(), "not asked")
