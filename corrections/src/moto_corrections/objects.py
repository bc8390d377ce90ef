"""
S3 objects: conditions on deleting and copying, expiry dates, ETags under KMS keys, order of versions.

And which inventories and request metrics a bucket has configured.

moto knows the conditions of PutObject and of one DeleteObject only. User guide, "How to perform
conditional deletes": evaluations "only apply to the current version of the object"; `*` asks whether it
exists. The page "How to prevent object overwrites with conditional writes" has those of CopyObject.
"""

import datetime as dt
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import xmltodict  # type: ignore[import-untyped]
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.exceptions import MissingKey, PreconditionFailed, S3ClientError
from moto.s3.models import FakeDeleteMarker, FakeKey
from moto.s3.responses import S3Response

from moto_corrections import state
from moto_corrections.patches import replaces

KMS = ("aws:kms", "aws:kms:dsse")
"""The kinds of encryption under a KMS key."""
SECOND = 1_000_000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
METRICS = re.compile(r"<MetricsConfiguration[^>]*>(.*)</MetricsConfiguration>", re.DOTALL)
"""What is in a configuration of request metrics, which moto does not know."""

_moto_bucket = S3Response._bucket_response
_moto_copy = S3Response.copy_object
_moto_delete_keys = S3Response._bucket_response_delete_keys
_moto_head = S3Response.head_object
_moto_key = FakeKey.__init__
_moto_marker = FakeDeleteMarker.__init__
_versions, _puts = itertools.count(), itertools.count()
_at_birth: list[Callable[[Any, tuple[Any, ...]], None]] = []


def _holds(etag: str, current: Any) -> bool:
    """Tell whether the current version is the one that was meant; quotes do not matter."""
    if current is None:
        return False
    return etag == "*" or etag.strip('"') == current.etag.strip('"')


@replaces("moto.s3.models:FakeBucket.get_permission", was="7571412a3495")
def permission(self: Any, action: str, resource: str) -> Any:
    """Judge by a bucket's policy, without the statements under conditions: an unmet one denies in moto."""
    if self.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(self.policy)
    given = policy["Statement"]
    statements = given if isinstance(given, list) else [given]
    plain = {**policy, "Statement": [statement for statement in statements if "Condition" not in statement]}
    return IAMPolicy(json.dumps(plain)).is_action_permitted(action, resource)


@replaces("moto.s3.responses:S3Response._inventory_config_from_body", was="068c8ee72def")
def inventory_configuration(self: Any) -> dict[str, Any]:
    """Return it as it is listed again: moto keeps the XML's nesting, and lists a lone member's name."""
    parsed = xmltodict.parse(self.body, force_list=("Field",))
    given: dict[str, Any] = parsed["InventoryConfiguration"]
    fields = (given.get("OptionalFields") or {}).get("Field", [])
    return given | {"IsEnabled": given["IsEnabled"] == "true", "OptionalFields": fields}


@replaces("moto.s3.responses:S3Response._bucket_response", was="15b194a31b24")
def bucket(self: Any, request: Any, full_url: str) -> Any:
    """Answer as moto does; put and list request metrics' configurations too, on AWS at most 100 a page."""
    querystring = self._get_querystring(request, full_url)
    if "metrics" not in querystring:
        return _moto_bucket(self, request, full_url)
    with state.LOCK:
        found = self.backend.get_bucket(self.parse_bucket_name_from_url(request, full_url))
        kept: dict[str, str] = found.__dict__.setdefault("request_metrics", {})
        if request.method == "PUT":
            kept[querystring["id"][0]] = METRICS.findall(self.body.decode())[0]
            return 200, {}, ""
        each = "".join(
            f"<MetricsConfiguration>{configuration}</MetricsConfiguration>" for configuration in kept.values()
        )
    root = "ListMetricsConfigurationsResult"
    return f'<{root} xmlns="{NAMESPACE}"><IsTruncated>false</IsTruncated>{each}</{root}>'


@replaces("moto.s3.responses:S3Response.delete_object", was="1d979bff76a9")
def delete_object(self: Any) -> Any:
    """
    Delete an object, with If-Match: 412 for another ETag, 404 where there is no object.

    Behind a delete marker there is none either.
    """
    key, expected = self.parse_key_name(), self.headers.get("If-Match")
    with state.LOCK:
        if expected:
            current = self.backend.get_object(self.bucket_name, key)
            if current is None:
                raise MissingKey(key)
            if not _holds(expected, current):
                raise PreconditionFailed("If-Match")
        _, about = self.backend.delete_object(
            self.bucket_name,
            key,
            version_id=self._get_param("versionId"),
            bypass=self.headers.get("X-Amz-Bypass-Governance-Retention"),
        )
    return 204, {f"x-amz-{name}": value for name, value in about.items()}, ""


@replaces("moto.s3.responses:S3Response._bucket_response_delete_keys", was="a916d30f7415")
def delete_objects(self: Any, bucket_name: str, authenticated: bool = True) -> Any:  # noqa: FBT001, FBT002 - moto's
    """Delete as moto does; refuse a condition on an entry, which moto would ignore."""
    if "<ETag>" in str(self.body):
        raise S3ClientError("NotImplemented", "These corrections know no conditions in DeleteObjects.")
    return _moto_delete_keys(self, bucket_name, authenticated)


@replaces("moto.s3.responses:S3Response.copy_object", was="79d1ef627994")
def copy_object(self: Any) -> Any:
    """Copy as moto does, with the conditions on the source and on what is there already."""
    with state.LOCK:
        if expected := self.headers.get("x-amz-copy-source-if-match"):
            source = _source(self)
            if source is not None and not _holds(expected, source):
                raise PreconditionFailed("x-amz-copy-source-If-Match")
        current = self.backend.get_object(self.bucket_name, self.parse_key_name())
        if self.headers.get("If-None-Match") == "*" and current is not None:
            raise PreconditionFailed("If-None-Match")
        if expected := self.headers.get("If-Match"):
            if current is None:
                raise MissingKey(self.parse_key_name())
            if not _holds(expected, current):
                raise PreconditionFailed("If-Match")
        return _moto_copy(self)


def _source(self: Any) -> Any:
    given = urlparse(self.headers["x-amz-copy-source"])
    bucket, _, key = unquote(given.path).lstrip("/").partition("/")
    version = parse_qs(given.query).get("versionId", [None])[0]
    return self.backend.get_object(bucket, key, version_id=version)


@replaces("moto.s3.responses:S3Response.head_object", was="6ca35f68a7d0")
def head_object(
    self: Any, bucket_name: str, query: dict[str, Any], key_name: str, headers: dict[str, Any]
) -> Any:
    """Answer as moto does, with the date on which a lifecycle rule expires the current version."""
    status, answer, body = _moto_head(self, bucket_name, query, key_name, headers)
    if status == 200 and "versionId" not in query:
        current = self.backend.get_object(bucket_name, key_name)
        if expires := _expiration(self.backend.get_bucket(bucket_name).rules, current):
            answer["x-amz-expiration"] = expires
    return status, answer, body


def _expiration(rules: Any, current: Any) -> str | None:
    """
    Return the x-amz-expiration header of *current*: the rule that expires it first, and when.

    User guide, "Expiring objects": the days are added to its date, and rounded to the next midnight UTC.
    Only rules with a prefix or none are known here.
    """
    found = []
    for rule in rules or ():
        prefix = rule.prefix or (rule.filter.prefix if rule.filter else "") or ""
        tagged = rule.filter and (rule.filter.tag_key or rule.filter.and_filter)
        applies = rule.status == "Enabled" and not tagged and current.name.startswith(prefix)
        if applies and rule.expiration_days:
            date = (current.last_modified + dt.timedelta(days=int(rule.expiration_days) + 1)).date()
            found.append((date, rule.id))
    if not found:
        return None
    date, name = min(found)
    return f'expiry-date="{date:%a, %d %b %Y} 00:00:00 GMT", rule-id="{name}"'


# --- their versions ------------------------------------------------------------------------------


def at_birth(look: Callable[[Any, tuple[Any, ...]], None]) -> None:
    """Call this with every new key, and with what it is made of."""
    if look not in _at_birth:
        _at_birth.append(look)


def apart(moment: dt.datetime) -> dt.datetime:
    """
    Return the moment with microseconds that grow: moto orders versions by time alone, and calls the first of
    equals the latest. S3 tells whole seconds, so nobody sees them.
    """
    return moment.replace(microsecond=0) + dt.timedelta(microseconds=next(_versions) % SECOND)


@replaces("moto.s3.models:FakeDeleteMarker.__init__", was="8ee72589c1b1")
def marked(self: Any, key: Any) -> None:
    """Make a marker as moto does, after whatever it hides."""
    _moto_marker(self, key)
    self.last_modified = apart(self.last_modified)


@replaces("moto.s3.models:FakeKey.__init__", was="cd9d1347667a")
def born(self: Any, *args: Any, **members: Any) -> None:
    """
    Make a key as moto does; under a KMS key its ETag differs from put to put, also for equal bytes.

    "Objects ... encrypted by SSE-C or SSE-KMS have ETags that are not an MD5 digest of their object
    data" (API reference of Object). A multipart upload's ETag still ends in the number of parts.
    """
    _moto_key(self, *args, **members)
    for look in _at_birth:
        look(self, (*args, *members.values()))
    self.last_modified = apart(self.last_modified)
    if self.encryption in KMS:
        _, dash, parts = (self._etag or "").partition("-")
        opaque = hashlib.sha256(f"{self.bucket_name}/{self.name}/{next(_puts)}".encode()).hexdigest()[:32]
        self._etag = f"{opaque}{dash}{parts}"
