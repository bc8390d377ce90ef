"""Outside readers of a bucket's objects, by its policy: other accounts, services, everybody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ml_janitor.aws.answers import ReadError, read_signal
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

_GET_BUCKET_POLICY = "s3:GetBucketPolicy"

_NO_POLICY = ("NoSuchBucketPolicy",)

_READING_ACTIONS = ("s3:getobject", "s3:getobjectversion")
"""The permissions that read an object, in small letters."""

_EVERYBODY = "everybody"
_ACCOUNT_ID = re.compile(r"\d{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReader:
    """A reader *who*, in words, and *what* it may read: ARNs with the wildcards of IAM."""

    who: str
    what: tuple[str, ...]

    def reads(self, arn: str) -> bool:
        """Return whether the object *arn* is among it."""
        return any(matches_wildcards(pattern, arn) for pattern in self.what)


def read_bucket_readers(aws: Aws, bucket: str) -> Signal[tuple[PolicyReader, ...]]:
    """Return the outside readers that the policy of *bucket* allows; absent without a policy."""

    def ask() -> tuple[PolicyReader, ...]:
        text = aws.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        try:
            return readers_in_policy(json.loads(text), aws.account)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ReadError("its policy is not one") from error

    return read_signal(ask, source=_GET_BUCKET_POLICY, absent=_NO_POLICY)


def readers_in_policy(policy: dict[str, Any], account: str) -> tuple[PolicyReader, ...]:
    """
    Return the readers from outside *account* that *policy* allows.

    Conditions and Deny statements do not count: they can only reduce the
    readers, and in doubt somebody reads.
    """
    found = []
    for statement in policy_values(policy["Statement"]):
        if statement["Effect"] == "Allow" and _to_read(statement):
            what = () if "NotResource" in statement else tuple(policy_values(statement["Resource"]))
            patterns = tuple("*" if "${" in pattern else pattern for pattern in what) or ("*",)
            found += [PolicyReader(who=who, what=patterns) for who in _others(statement, account)]
    return tuple(found)


def why_maybe_read(signal: Signal[tuple[PolicyReader, ...]], arn: str) -> str | None:
    """Return why somebody outside may use the object *arn*, or None."""
    match signal:
        case Value(found):
            who = list(dict.fromkeys(reader.who for reader in found if reader.reads(arn)))
            if not who:
                return None
            return f"the bucket's policy lets {' and '.join(who)} read it, which may use this copy"
        case Absent():
            return None
        case Unreadable(error):
            return f"whom its bucket's policy lets read it is unknown ({error})"
        case _:
            return "whom its bucket's policy lets read it was not read"


def matches_wildcards(pattern: str, text: str) -> bool:
    """Return whether *text* matches *pattern*, in which * is any text and ? any character."""
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def policy_values(one_or_more: Any) -> Sequence[Any]:
    """Return the elements of a policy's value, a list or a single element."""
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def _to_read(statement: dict[str, Any]) -> bool:
    if "NotAction" in statement:
        return True
    actions = [action.lower() for action in policy_values(statement["Action"])]
    return any(matches_wildcards(action, reading) for action in actions for reading in _READING_ACTIONS)


def _others(statement: dict[str, Any], account: str) -> Iterator[str]:
    """Yield the principals of *statement* from outside *account*, in words."""
    if "NotPrincipal" in statement:
        yield _EVERYBODY
        return
    principal = statement["Principal"]
    named = {"AWS": "*"} if principal == "*" else principal
    for kind, given in named.items():
        for principal_id in policy_values(given):
            if principal_id == "*":
                yield _EVERYBODY
            elif kind == "AWS":
                whose = (
                    principal_id
                    if _ACCOUNT_ID.fullmatch(principal_id)
                    else Arn.parse(principal_id).account
                    if ":" in principal_id
                    else ""
                )
                if whose != account:
                    yield f"account {whose}" if whose else f"the principal {principal_id}"
            else:
                yield f"{principal_id} ({kind})"
