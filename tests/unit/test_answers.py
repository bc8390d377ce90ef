"""What a refusal by AWS means: nothing is left to do, there is no such resource, or it failed."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from ml_janitor.aws.answers import ensure, unless_gone


def refused(code: str, message: str = "so") -> None:
    raise ClientError({"Error": {"Code": code, "Message": message}}, "DeleteEndpoint")


def broken() -> None:
    raise ConnectionError


def test_a_call_that_is_taken_is_not_looked_into() -> None:
    def looked() -> bool:
        raise AssertionError("there is nothing to look into")

    ensure(lambda: None, looked)


@pytest.mark.parametrize(
    ("already", "codes", "raises"),
    [
        (True, (), False),
        (False, (), True),
        (True, ("ValidationException",), False),
        (False, ("ValidationException",), True),
        (True, ("ResourceInUse",), True),
    ],
)
def test_a_refusal_is_success_only_if_it_is_already_so(
    already: bool,  # noqa: FBT001
    codes: tuple[str, ...],
    raises: bool,  # noqa: FBT001
) -> None:
    def tried() -> None:
        ensure(lambda: refused("ValidationException"), lambda: already, codes=codes)

    if raises:
        with pytest.raises(ClientError):
            tried()
    else:
        tried()


def test_what_is_no_answer_of_aws_is_never_success() -> None:
    with pytest.raises(ConnectionError):
        ensure(broken, lambda: True)
    with pytest.raises(ConnectionError):
        unless_gone(broken, ("ValidationException",))


def test_only_the_named_refusals_say_that_there_is_none() -> None:
    assert unless_gone(lambda: 1, ("ResourceNotFound",)) == 1
    assert unless_gone(lambda: refused("ResourceNotFound"), ("ResourceNotFound",)) is None
    with pytest.raises(ClientError):
        unless_gone(lambda: refused("AccessDenied"), ("ResourceNotFound",))


def test_a_refusal_of_many_meanings_counts_only_with_its_message() -> None:
    codes, message = ("ValidationException",), "could not find"
    assert unless_gone(lambda: refused(codes[0], 'Could not find endpoint "e".'), codes, message) is None
    with pytest.raises(ClientError):
        unless_gone(lambda: refused(codes[0], "1 validation error detected"), codes, message)
