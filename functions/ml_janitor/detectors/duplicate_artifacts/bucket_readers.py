"""Who else may read a bucket's objects, by its policy: other accounts, services, everybody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ml_janitor.aws.answers import ReadError, attempt
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

GET_POLICY = "s3:GetBucketPolicy"

NO_POLICY = ("NoSuchBucketPolicy",)

READING = ("s3:getobject", "s3:getobjectversion")
"""What it takes to read an object, in small letters."""

EVERYBODY = "everybody"
ACCOUNT = re.compile(r"\d{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """*who* may read, in words, and the ARNs of what, with the wildcards of IAM."""

    who: str
    what: tuple[str, ...]

    def reads(self, arn: str) -> bool:
        """Whether the object *arn* is among it."""
        return any(like(pattern, arn) for pattern in self.what)


def read(aws: Aws, bucket: str) -> Signal[tuple[Reader, ...]]:
    """Whom the policy of *bucket* lets read, who is not of this account; absent where it has none."""

    def ask() -> tuple[Reader, ...]:
        text = aws.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        try:
            return readers(json.loads(text), aws.account)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ReadError("its policy is not one") from error

    return attempt(ask, source=GET_POLICY, absent=NO_POLICY)


def readers(policy: dict[str, Any], account: str) -> tuple[Reader, ...]:
    """
    Whom *policy* lets read, who is not of *account*.

    Conditions and Deny statements are not weighed: they can only make it fewer, and in doubt somebody reads.
    """
    found = []
    for statement in several(policy["Statement"]):
        if statement["Effect"] == "Allow" and _to_read(statement):
            what = () if "NotResource" in statement else tuple(several(statement["Resource"]))
            patterns = tuple("*" if "${" in pattern else pattern for pattern in what) or ("*",)
            found += [Reader(who=who, what=patterns) for who in _others(statement, account)]
    return tuple(found)


def shared(signal: Signal[tuple[Reader, ...]], arn: str) -> str | None:
    """Why the object *arn* may be in use by somebody whom nobody here sees, or None."""
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


def like(pattern: str, text: str) -> bool:
    """Whether *text* is like *pattern*, in which * is any text and ? any character."""
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def several(one_or_more: Any) -> Sequence[Any]:
    """The elements of what a policy writes as a list, or as one without."""
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def _to_read(statement: dict[str, Any]) -> bool:
    if "NotAction" in statement:
        return True
    actions = [action.lower() for action in several(statement["Action"])]
    return any(like(action, reading) for action in actions for reading in READING)


def _others(statement: dict[str, Any], account: str) -> Iterator[str]:
    """Who in *statement* is not of *account*, in words."""
    if "NotPrincipal" in statement:
        yield EVERYBODY
        return
    principal = statement["Principal"]
    named = {"AWS": "*"} if principal == "*" else principal
    for kind, given in named.items():
        for one in several(given):
            if one == "*":
                yield EVERYBODY
            elif kind == "AWS":
                whose = one if ACCOUNT.fullmatch(one) else Arn.parse(one).account if ":" in one else ""
                if whose != account:
                    yield f"account {whose}" if whose else f"the principal {one}"
            else:
                yield f"{one} ({kind})"
