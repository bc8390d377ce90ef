"""The Condition element: wildcards, operators, set qualifiers, and the keys that the sandbox can tell."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Protocol

ARN_PARTS = 6


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def like(pattern: str, text: str) -> bool:
    """Match any number of characters for *, exactly one for ?; nothing else is special."""
    return _pattern(pattern).fullmatch(text) is not None


def arn_like(pattern: str, arn: str) -> bool:
    """
    Match an ARN: a wildcard ends where its part ends, of which there are six; a lone * is everything.

    IAM user guide, "ArnEquals and ArnLike": "Each of the six colon-delimited components of the ARN is
    checked separately".
    """
    if pattern == "*":
        return True
    parts, others = pattern.split(":", ARN_PARTS - 1), arn.split(":", ARN_PARTS - 1)
    return len(parts) == len(others) and all(map(like, parts, others))


type Values = tuple[str, ...]
FOR_ALL, FOR_ANY = "ForAllValues", "ForAnyValue"
IF_EXISTS = "IfExists"
NULL = "Null"


class Context(Protocol):
    """The known facts of a request: the values of a key in lower case; None if the key is absent."""

    def get(self, key: str) -> Values | None: ...


def _same_in_any_case(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _numeric(compare: Callable[[Decimal, Decimal], bool]) -> Callable[[str, str], bool]:
    """Compare a value of the request with the policy's; a value that is not a number matches nothing."""

    def matches(wanted: str, value: str) -> bool:
        limit, have = _number(wanted), _number(value)
        return limit is not None and have is not None and compare(have, limit)

    return matches


COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": operator.eq,
    "StringEqualsIgnoreCase": _same_in_any_case,
    "StringLike": like,
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "Bool": _same_in_any_case,
    "NumericEquals": _numeric(operator.eq),
    "NumericLessThan": _numeric(operator.lt),
    "NumericLessThanEquals": _numeric(operator.le),
    "NumericGreaterThan": _numeric(operator.gt),
    "NumericGreaterThanEquals": _numeric(operator.ge),
}
"""IAM user guide, "IAM JSON policy elements: Condition operators"."""

NEGATED = {re.sub("^(String|Arn|Numeric)", r"\1Not", name): name for name in COMPARISONS if name != "Bool"}
KEYS = {
    "application-autoscaling:scalable-dimension",
    "application-autoscaling:service-namespace",
    "aws:calledvia",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalorgid",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:tagkeys",
    "cloudwatch:namespace",
    "dynamodb:leadingkeys",
    "iam:passedtoservice",
    "kms:calleraccount",
    "kms:encryptioncontext:aws:s3:arn",
    "kms:grantisforawsresource",
    "kms:viaservice",
    "s3:if-match",
    "s3:prefix",
    "sagemaker:instancetypes",
    "sagemaker:keepaliveperiod",
    "sagemaker:maxruntimeinseconds",
    "sts:externalid",
    "sts:rolesessionname",
}
TAG_KEYS = ("aws:requesttag/", "aws:resourcetag/", "sagemaker:resourcetag/")


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key."""

    comparison: str
    negated: bool
    qualifier: str
    if_exists: bool
    key: str
    wanted: Values

    def holds(self, context: Context) -> bool:
        """
        Tell whether a request with this context meets it.

        A key without a value is as good as absent: "missing context keys or context keys with empty values"
        are what Null with "false" sorts out (IAM user guide, "Multivalued context key examples").
        """
        have = context.get(self.key) or None
        if self.comparison == NULL:
            return (have is None) == (self.wanted[0].lower() == "true")
        if have is None:
            return self._without_the_key()
        if self.qualifier == FOR_ALL:
            return all(map(self._meets, have))
        if self.qualifier == FOR_ANY or not self.negated:
            return any(map(self._meets, have))
        return all(map(self._meets, have))

    def _meets(self, value: str) -> bool:
        compare = COMPARISONS[self.comparison]
        return any(compare(wanted, value) for wanted in self.wanted) != self.negated

    def _without_the_key(self) -> bool:
        """Tell whether it holds without the key: negated operators, ForAllValues and ...IfExists do."""
        if self.qualifier == FOR_ANY:
            return self.if_exists
        return self.if_exists or self.negated or self.qualifier == FOR_ALL


def read(element: Mapping[str, Mapping[str, Any]]) -> tuple[Condition, ...]:
    """Read all conditions of a Condition element. `ValueError` for what the sandbox could not judge."""
    return tuple(
        _one(operator, key, wanted) for operator, pairs in element.items() for key, wanted in pairs.items()
    )


def _one(operator: str, key: str, wanted: Any) -> Condition:
    qualifier, _, name = operator.rpartition(":")
    if qualifier not in ("", FOR_ALL, FOR_ANY):
        raise ValueError(f"no such set operator: {qualifier}")
    base = name.removesuffix(IF_EXISTS)
    comparison = NEGATED.get(base, base)
    if comparison not in COMPARISONS and name != NULL:
        raise ValueError(f"the sandbox does not evaluate the condition operator {operator}")
    key = key.lower()
    if key not in KEYS and not key.startswith(TAG_KEYS):
        raise ValueError(
            f"the sandbox does not know the condition key {key}; it knows {', '.join(sorted(KEYS))}"
        )
    values = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
    texts = tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in values)
    if any("${" in text for text in texts):
        raise ValueError(f"the sandbox does not fill in policy variables: {texts}")
    return Condition(
        comparison=comparison,
        negated=base in NEGATED,
        qualifier=qualifier,
        if_exists=name.endswith(IF_EXISTS),
        key=key,
        wanted=texts,
    )
