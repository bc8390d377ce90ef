"""
Lifecycle configurations of buckets, kept element by element, and refused where S3 refuses them.

moto loses sizes in filters, NewerNoncurrentVersions and TransitionDefaultMinimumObjectSize, and takes what
S3 does not. The order of a rule's elements is S3's own, whatever it was sent in. The refusals are in the
words of S3 as users reported them (hashicorp/terraform-provider-aws, noobaa/noobaa-core #8426); which of two
faults it names first, and the code for too many rules, are guesses.
"""

import datetime as dt
import uuid
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import combinations
from typing import Any

import xmltodict  # type: ignore[import-untyped]
from moto.s3.exceptions import MalformedXML, NoSuchLifecycleConfiguration, S3ClientError
from moto.s3.responses import S3Response

from moto_corrections import state
from moto_corrections.patches import replaces

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
HEADER = "x-amz-transition-default-minimum-object-size"
DEFAULT_MINIMUM = "all_storage_classes_128K"
MINIMA = (DEFAULT_MINIMUM, "varies_by_storage_class")
MOST_RULES, LONGEST_ID, MOST_NEWER = 1000, 255, 100
IN_USE = ("STANDARD_IA", "ONEZONE_IA")
LEAST = 30
CLASSES = frozenset({*IN_USE, "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"})

FILTER: dict[str, Any] = {
    "Prefix": {},
    "Tag": {"Key": {}, "Value": {}},
    "ObjectSizeGreaterThan": {},
    "ObjectSizeLessThan": {},
}
RULE: dict[str, Any] = {
    "ID": {},
    "Prefix": {},
    "Filter": FILTER | {"And": FILTER},
    "Status": {},
    "Transition": {"Days": {}, "Date": {}, "StorageClass": {}},
    "Expiration": {"Days": {}, "Date": {}, "ExpiredObjectDeleteMarker": {}},
    "NoncurrentVersionTransition": {"NoncurrentDays": {}, "StorageClass": {}, "NewerNoncurrentVersions": {}},
    "NoncurrentVersionExpiration": {"NoncurrentDays": {}, "NewerNoncurrentVersions": {}},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": {}},
}
"""The elements of a rule, in the order in which S3 answers them."""
ACTIONS = tuple(RULE)[4:]
MANY = frozenset({"Transition", "NoncurrentVersionTransition", "Tag"})
"""What there can be more than one of in its parent; of Tag only in And."""

_moto_put = S3Response._bucket_response_put
_moto_get = S3Response.get_bucket_lifecycle


@replaces("moto.s3.responses:S3Response._bucket_response_put", was="5fa2acfbf268")
def put(self: Any, request: Any, bucket_name: str, querystring: dict[str, Any]) -> Any:
    """Put a configuration as moto does, but keep a lifecycle configuration as it is."""
    if "lifecycle" not in querystring or not request.headers.get("Content-Length"):
        return _moto_put(self, request, bucket_name, querystring)
    self._set_action("BUCKET", "PUT", querystring)
    self._authenticate_and_authorize_s3_action(bucket_name=bucket_name)
    rules = _read(self.body)
    minimum = self.headers.get(HEADER) or DEFAULT_MINIMUM
    if minimum not in MINIMA:
        raise S3ClientError("InvalidArgument", f"Invalid value for {HEADER}: {minimum}")
    _check(rules)
    whole = ET.Element("LifecycleConfiguration", xmlns=NAMESPACE)
    whole.extend(_ordered(rule, RULE) for rule in rules)
    text = ET.tostring(whole, encoding="unicode")
    with state.LOCK:
        bucket = self.backend.get_bucket(bucket_name)
        bucket.set_lifecycle(xmltodict.parse(text, force_list=("Rule",))["LifecycleConfiguration"]["Rule"])
        bucket.sandbox_lifecycle = (bucket.rules, text, minimum)
    return 200, {HEADER: minimum}, ""


@replaces("moto.s3.responses:S3Response.get_bucket_lifecycle", was="c5ba3f15a570")
def get(self: Any) -> Any:
    """Return it as it was put, or as moto has it where a stack made it; an error where there is none."""
    bucket = self.backend.get_bucket(self.bucket_name)
    if not bucket.rules:
        raise NoSuchLifecycleConfiguration(bucket_name=self.bucket_name)
    parsed, text, minimum = getattr(bucket, "sandbox_lifecycle", (None, "", ""))
    if parsed is not bucket.rules:
        return _moto_get(self)
    return 200, {HEADER: minimum}, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'


# --- reading -------------------------------------------------------------------------------------


def _read(body: bytes) -> list[ET.Element]:
    """Return the rules of a request, without namespaces. Raises MalformedXML."""
    try:
        whole = ET.fromstring(body)  # noqa: S314 - it comes from tests
    except ET.ParseError as error:
        raise MalformedXML from error
    for element in whole.iter():
        element.tag = element.tag.rpartition("}")[2]
    if whole.tag != "LifecycleConfiguration" or not 0 < len(whole) <= MOST_RULES:
        raise MalformedXML
    for rule in whole:
        if rule.tag != "Rule":
            raise MalformedXML
        _check_schema(rule, RULE)
    return list(whole)


def _check_schema(element: ET.Element, known: dict[str, Any], within: str = "") -> None:
    names = [child.tag for child in element]
    once = MANY if within == "And" else MANY - {"Tag"}
    if any(name not in known or (names.count(name) > 1 and name not in once) for name in names):
        raise MalformedXML
    for child in element:
        _check_schema(child, known[child.tag], child.tag)


def _ordered(element: ET.Element, known: dict[str, Any]) -> ET.Element:
    """Return *element* as S3 answers it: without blanks between elements, and in its order."""
    copy = ET.Element(element.tag)
    children = sorted(element, key=lambda child: list(known).index(child.tag))
    copy.extend(_ordered(child, known[child.tag]) for child in children)
    if not children:
        copy.text = (
            _date(element.text).strftime("%Y-%m-%dT%H:%M:%S.000Z") if element.tag == "Date" else element.text
        )
    if element.tag == "Rule" and copy.find("ID") is None:
        copy.insert(0, ET.Element("ID"))
        copy[0].text = str(uuid.uuid4())
    return copy


def _date(text: str | None) -> dt.datetime:
    try:
        date = dt.datetime.fromisoformat(text or "")
    except ValueError as error:
        raise MalformedXML from error
    date = date if date.tzinfo else date.replace(tzinfo=dt.UTC)
    if date.astimezone(dt.UTC).time() != dt.time():
        raise _argument("'Date' must be at midnight GMT")
    return date.astimezone(dt.UTC)


# --- what S3 refuses -----------------------------------------------------------------------------


_argument = partial(S3ClientError, "InvalidArgument")
_request = partial(S3ClientError, "InvalidRequest")


def _check(rules: list[ET.Element]) -> None:
    named = [rule.findtext("ID") for rule in rules if rule.findtext("ID")]
    if len(set(named)) < len(named):
        raise _argument("Rule ID must be unique. Found same ID for more than one rule")
    if any(len(name or "") > LONGEST_ID for name in named):
        raise _argument(f"ID length should not exceed allowed limit of {LONGEST_ID}")
    first = rules[0].find("Filter") is not None
    for rule in rules:
        _check_rule(rule, filtered=first)
    if not first:
        _check_overlaps(rules)
    alike = defaultdict(list)
    for rule in rules:
        if rule.findtext("Status") == "Enabled":
            alike[_filter(rule)].append(rule)
    for filtered, group in alike.items():
        _check_order(filtered, group)


def _check_rule(rule: ET.Element, *, filtered: bool) -> None:
    if rule.findtext("Status") not in {"Enabled", "Disabled"}:
        raise MalformedXML
    by_filter = rule.find("Filter")
    if by_filter is None and rule.find("Prefix") is None:
        raise MalformedXML
    if by_filter is not None and not filtered:
        raise _request("Filter element can only be used in Lifecycle V2.")
    if filtered and rule.find("Prefix") is not None:
        message = "Base level prefix cannot be used in Lifecycle V2"
        raise _request(f"{message}, prefixes are only supported in the Filter.")
    if by_filter is not None:
        _check_filter(by_filter)
    if not any(rule.find(name) is not None for name in ACTIONS):
        raise _request("At least one action needs to be specified in a rule.")
    if rule.find("AbortIncompleteMultipartUpload") is not None:
        _check_abort(rule)
    for name, check in CHECKS.items():
        for action in rule.iterfind(name):
            check(action)


def _check_filter(by_filter: ET.Element) -> None:
    """Require one condition, or several within And."""
    both = by_filter.find("And")
    if len(by_filter) > 1 or (both is not None and len(both) < 2):
        raise MalformedXML
    for tag in by_filter.iter("Tag"):
        if not tag.findtext("Key") or tag.find("Value") is None:
            raise MalformedXML
    sizes = {
        element.tag: _number(by_filter, f".//{element.tag}", least=0)
        for element in by_filter.iter()
        if "Size" in element.tag
    }
    if len(sizes) > 1 and sizes["ObjectSizeGreaterThan"] >= sizes["ObjectSizeLessThan"]:
        raise _request("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")


def _check_abort(rule: ET.Element) -> None:
    for element in rule.iter():
        if words := "Tags" if element.tag == "Tag" else "Object Size" if "Size" in element.tag else "":
            raise _request(f"AbortIncompleteMultipartUpload cannot be specified with {words}.")
    _number(rule, "AbortIncompleteMultipartUpload/DaysAfterInitiation", least=1)


def _check_transition(transition: ET.Element) -> None:
    name = transition.findtext("StorageClass")
    if name not in CLASSES or (transition.find("Days") is None) == (transition.find("Date") is None):
        raise MalformedXML
    if (
        transition.find("Days") is not None
        and _number(transition, "Days", least=0) < LEAST
        and name in IN_USE
    ):
        message = (
            f"'Days' in Transition action must be greater than or equal to {LEAST} for storageClass '{name}'"
        )
        raise _argument(message)


def _check_expiration(expiration: ET.Element) -> None:
    if len(expiration) != 1:
        raise MalformedXML
    if expiration.find("Days") is not None:
        _number(expiration, "Days", least=1)
    if expiration.findtext("ExpiredObjectDeleteMarker", "true") not in {"true", "false"}:
        raise MalformedXML


def _check_noncurrent(action: ET.Element) -> None:
    expires = action.tag == "NoncurrentVersionExpiration"
    days = _number(action, "NoncurrentDays", least=1 if expires else 0)
    name = action.findtext("StorageClass")
    if not expires and name not in CLASSES:
        raise MalformedXML
    if not expires and name in IN_USE and days < LEAST:
        raise _argument(
            "'NoncurrentDays' in NoncurrentVersionTransition action must be greater than or equal to "
            f"{LEAST} for storageClass '{name}'"
        )
    if action.find("NewerNoncurrentVersions") is not None:
        newer = _number(action, "NewerNoncurrentVersions", least=1)
        if newer > MOST_NEWER:
            raise _argument(f"'NewerNoncurrentVersions' must be between 1 and {MOST_NEWER}")


CHECKS = {
    "Transition": _check_transition,
    "Expiration": _check_expiration,
    "NoncurrentVersionTransition": _check_noncurrent,
    "NoncurrentVersionExpiration": _check_noncurrent,
}


def _number(element: ET.Element, path: str, *, least: int) -> int:
    text = element.findtext(path) or ""
    if not text.strip().lstrip("-").isdigit():
        raise MalformedXML
    if int(text) < least:
        kind = "a positive integer" if least else "nonnegative"
        raise _argument(f"'{path.rpartition('/')[2]}' for {element.tag} action must be {kind}")
    return int(text)


def _check_overlaps(rules: list[ET.Element]) -> None:
    """Refuse rules of the old form that have one action for some of the same objects."""
    for other, rule in combinations(rules, 2):
        prefix, other_prefix = rule.findtext("Prefix") or "", other.findtext("Prefix") or ""
        both = [name for name in ACTIONS if rule.find(name) is not None and other.find(name) is not None]
        if both and (prefix.startswith(other_prefix) or other_prefix.startswith(prefix)):
            raise _request(
                f"Found overlapping prefixes '{prefix}' and '{other_prefix}' for same action type '{both[0]}'"
            )


def _filter(rule: ET.Element) -> str:
    """Write a rule's filter as S3 does in its refusals; rules with the same are checked together."""
    by_filter = rule.find("Filter")
    conditions = rule if by_filter is None else by_filter
    found = [f"prefix={conditions.findtext('.//Prefix') or ''}"]
    if by_filter is not None:
        found += [f"tag={tag.findtext('Key')}={tag.findtext('Value')}" for tag in by_filter.iter("Tag")]
        found += [f"{element.tag}={element.text}" for element in by_filter.iter() if "Size" in element.tag]
    return f"({', '.join(sorted(found, key=lambda text: not text.startswith('prefix')))})"


def _check_order(filtered: str, rules: list[ET.Element]) -> None:
    """Compare days with the days of the rules with one filter."""
    moves = [move for rule in rules for move in rule.iterfind("Transition")]
    ends = [
        end
        for rule in rules
        for end in rule.iterfind("Expiration")
        if end.find("ExpiredObjectDeleteMarker") is None
    ]
    dated = {action.find("Date") is not None for action in (*moves, *ends)}
    if len(dated) > 1:
        raise _request(
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for "
            f"filter '{filtered}'"
        )
    days = list(_days(moves))
    for end, _ in _days(ends):
        if any(day >= end for day, _ in days):
            raise _argument(
                f"'Days' in the Expiration action for filter '{filtered}' must be greater than 'Days' in the "
                "Transition action"
            )
    for day, name in days:
        for later, other in days:
            if name in IN_USE and other not in {*IN_USE, "INTELLIGENT_TIERING"} and later - day < LEAST:
                raise _argument(
                    f"'Days' in the 'Transition' action for StorageClass '{other}' for filter '{filtered}' "
                    f"must be {LEAST} days more than 'filter '{filtered}' in the 'Transition' action for "
                    f"StorageClass '{name}'"
                )


def _days(actions: Iterable[ET.Element]) -> Iterator[tuple[int, str]]:
    return (
        (int(action.findtext("Days") or 0), action.findtext("StorageClass") or "")
        for action in actions
        if action.find("Days") is not None
    )
