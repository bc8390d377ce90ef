"""What a refusal by AWS means: nothing is left to do, there is no such resource, or it failed."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserError

from fakes import raising, refusal
from ml_janitor.aws import calls
from ml_janitor.core.model import Absent, NotRead, Unreadable, Value
from tables import cases


def test_a_call_that_is_taken_is_not_looked_into() -> None:
    calls.ensure(lambda: None, raising(AssertionError("there is nothing to look into")))


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
        calls.ensure(raising(refusal("ValidationException")), lambda: already, codes=codes)

    if raises:
        with pytest.raises(ClientError):
            tried()
    else:
        tried()


def test_what_is_no_answer_of_aws_is_never_success() -> None:
    with pytest.raises(ConnectionError):
        calls.ensure(raising(ConnectionError()), lambda: True)
    with pytest.raises(ConnectionError):
        calls.unless_gone(raising(ConnectionError()), ("ValidationException",))


def test_only_the_named_refusals_say_that_there_is_none() -> None:
    assert calls.unless_gone(lambda: 1, ("ResourceNotFound",)) == 1
    assert calls.unless_gone(raising(refusal("ResourceNotFound")), ("ResourceNotFound",)) is None
    with pytest.raises(ClientError):
        calls.unless_gone(raising(refusal("AccessDenied")), ("ResourceNotFound",))


def test_a_refusal_of_many_meanings_counts_only_with_its_message() -> None:
    codes, message = ("ValidationException",), "could not find"
    assert (
        calls.unless_gone(raising(refusal(codes[0], 'Could not find endpoint "e".')), codes, message) is None
    )
    with pytest.raises(ClientError):
        calls.unless_gone(raising(refusal(codes[0], "1 validation error detected")), codes, message)


@cases(
    "error, words",
    (refusal("AccessDenied", " no "), "DeleteEndpoint: AccessDenied: no"),
    (refusal("AccessDenied", ""), "DeleteEndpoint: AccessDenied"),
    (ClientError({}, "ListApps"), "ListApps: Unknown"),
    (KeyError("Apps"), "the answer has no Apps"),
    (KeyError(), "the answer has no member of a known name"),
    (EndpointConnectionError(endpoint_url="https://x"), 'Could not connect to the endpoint URL: "https://x"'),
    (ResponseParserError("not\n  XML"), "not XML"),
    (calls.ReadError("more than 200\npages"), "more than 200 pages"),
    (ValueError("a fault of ours"), None),
    (
        refusal("AccessDenied", calls.POLICY_DENIAL, operation="PutItem"),
        f"PutItem: AccessDenied: {calls.POLICY_DENIAL}{calls.CLOSED_ADVICE}",
    ),
    (
        refusal("AccessDenied", calls.POLICY_DENIAL, operation="GetObject"),
        f"GetObject: AccessDenied: {calls.POLICY_DENIAL}",
    ),
    (refusal("AccessDenied", "no", operation="PutItem"), "PutItem: AccessDenied: no"),
)
def test_a_failed_call_in_one_line(error: Exception, words: str | None) -> None:
    assert calls.failure_text(error) == words
    assert calls.error_text(error) == (words or "ValueError: a fault of ours")


def test_a_refusal_is_told_by_its_code_and_its_words_in_any_case() -> None:
    error = refusal("ValidationException", "Could NOT find it")

    assert calls.is_refusal(error, ("ValidationException",))
    assert calls.is_refusal(error, ("ValidationException",), "could not FIND")
    assert not calls.is_refusal(error, ("ValidationException",), "denied")
    assert not calls.is_refusal(error, ("AccessDenied",), "could not find")
    assert calls.is_refusal(ValueError("could not find"), ("ValidationException",)) is False
    assert not calls.is_refusal(ClientError({"Error": {}}, "ListApps"), ("ValidationException",))


def pages(error: Exception | None = None) -> Iterator[list[int]]:
    yield [1, 2]
    yield [3]
    if error is not None:
        raise error


def test_a_listing_keeps_what_was_read_before_it_broke_off() -> None:
    whole = calls.collect_pages(pages(), iter, int, source="sagemaker:ListApps")
    broken = calls.collect_pages(pages(refusal("Throttling", "slow")), iter, int, source="sagemaker:ListApps")

    error = "sagemaker:ListApps broke off after 3: DeleteEndpoint: Throttling: slow"
    assert (whole, broken) == (calls.Listing((1, 2, 3)), calls.Listing((1, 2, 3), error))
    whole.check()
    with pytest.raises(calls.ReadError, match="broke off after 3"):
        broken.check()
    assert (whole.signal("call"), broken.signal("call")) == (
        Value((1, 2, 3), "call"), Unreadable(error, "call"),
    )  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        calls.collect_pages(pages(ZeroDivisionError()), iter, int, source="x")
    assert issubclass(calls.OutOfTimeError, calls.ReadError)


def test_an_entry_that_cannot_be_read_costs_that_entry() -> None:
    """The error stays, because whoever is missing among users may use anything."""
    names = {1: "a", 3: "c"}

    found = calls.collect_pages(pages(), iter, names.__getitem__, source="sagemaker:ListApps")
    broken = calls.collect_pages(pages(refusal("Throttling")), iter, names.__getitem__, source="x")

    error = "sagemaker:ListApps: 1 of 3 entries could not be read (it has no 2)"
    assert found == calls.Listing(("a", "c"), error, (calls.UnreadEntry(2, "it has no 2"),))
    with pytest.raises(calls.UnreadEntriesError) as raised:
        found.check()
    assert (raised.value.entries, isinstance(raised.value, calls.ReadError)) == (found.unread, True)
    assert str(raised.value) == error
    assert isinstance(found.signal("call"), Unreadable)
    assert (broken.items, broken.unread) == (("a", "c"), ())  # it broke off, whatever else is missing
    assert str(broken.error).startswith("x broke off after 2")


def test_an_entry_that_is_not_understood_says_why() -> None:
    read = raising(calls.ReadError("no time"))

    found = calls.collect_pages(pages(), iter, read, source="x")

    assert {entry.why for entry in found.unread} == {"no time"}


UNREAD = calls.Listing((1,), "one unread", (calls.UnreadEntry(2, "why"),))


@cases(
    "parts, whole",
    ((), calls.Listing(())),
    ((calls.Listing((1,)), calls.Listing((2,))), calls.Listing((1, 2))),
    ((UNREAD, calls.Listing((3,)), UNREAD), calls.Listing((1, 3, 1), "one unread", UNREAD.unread * 2)),
    ((UNREAD, calls.Listing((3,), "broke off")), calls.Listing((1, 3), "one unread; broke off")),
)
def test_listings_break_off_where_a_part_does(parts: Any, whole: calls.Listing[int]) -> None:
    assert calls.Listing.merged(parts) == whole


def test_joined_listings_say_each_error_once() -> None:
    assert calls.Listing.joined([1], ["a", None, "", "b", "a"]) == calls.Listing((1,), "a; b")
    assert calls.Listing.joined([1], [None]) == calls.Listing((1,))


def test_an_attempt_is_a_signal() -> None:
    def answer(error: Exception | None = None) -> int:
        if error is not None:
            raise error
        return 1

    assert calls.read_signal(answer, source="call") == Value(1, "call")
    assert calls.read_signal(lambda: answer(refusal("Gone")), source="call", absent=("Gone",)) == Absent(
        "call"
    )
    assert calls.read_signal(lambda: answer(refusal("Gone")), source="call") == Unreadable(
        "DeleteEndpoint: Gone: no", "call"
    )
    with pytest.raises(ZeroDivisionError):
        calls.read_signal(lambda: answer(ZeroDivisionError()), source="call")
    around = calls.as_signal("call", absent=("Gone",))(answer)
    assert [around(None), around(refusal("Gone")), around(error=refusal("No"))] == [
        Value(1, "call"), Absent("call"), Unreadable("DeleteEndpoint: No: no", "call"),
    ]  # fmt: skip


def test_what_is_needed_is_read_or_an_error() -> None:
    assert (calls.required_value(Value(1)), calls.required_value(Absent())) == (1, None)
    with pytest.raises(calls.ReadError, match="denied"):
        calls.required_value(Unreadable("denied"))
    with pytest.raises(calls.ReadError, match="it was not read"):
        calls.required_value(NotRead())
    with pytest.raises(calls.ReadError, match="not asked"):
        calls.required_value(NotRead(), "not asked")
