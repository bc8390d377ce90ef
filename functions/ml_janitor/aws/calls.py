"""
Call AWS: make clients, and turn answers into whole listings, signals and one-line errors.

The clients have fixed retries and timeouts, times in UTC, and the endpoint of S3 Control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, wraps
from http import HTTPStatus
from itertools import chain
from sys import intern
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from xml.etree import ElementTree as ET

from ml_janitor.core.model import Absent, Signal, Unreadable, Value

if TYPE_CHECKING:
    import boto3
    from botocore.awsrequest import AWSRequest

type ServiceName = Literal[
    "application-autoscaling",
    "athena",
    "ce",
    "cloudtrail",
    "cloudwatch",
    "dynamodb",
    "ec2",
    "ecr",
    "emr",
    "events",
    "iam",
    "kms",
    "lambda",
    "logs",
    "organizations",
    "pricing",
    "resourcegroupstaggingapi",
    "s3",
    "s3control",
    "sagemaker",
    "savingsplans",
    "secretsmanager",
    "sns",
    "sts",
]

READ_THREADS = 16
"""Reads in flight at once. botocore's default connection pool holds 10, so clients get more."""

USER_AGENT = "ml-janitor"
"""The user agent that marks the janitor's calls in CloudTrail."""

LIFECYCLE_TEXT = "Text"
"""The member that carries a lifecycle configuration's own XML, both ways, beside botocore's model."""

AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


def make_client(session: boto3.Session, service: ServiceName, region: str, attempts: int) -> Any:
    """
    Create a client with explicit retries: botocore's default mode and number changed between releases.

    Standard, not adaptive: AWS advises against adaptive where one account serves several workloads.
    Times are in UTC on every machine: identities and reports must not depend on a machine's zone.
    """
    from botocore.config import Config

    parsers = session._session.get_component("response_parser_factory")  # noqa: SLF001 - boto3 has no other way
    parsers.set_parser_defaults(timestamp_parser=parse_utc)

    config = Config(
        user_agent_extra=USER_AGENT,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=2 * READ_THREADS,
        connect_timeout=5,
        read_timeout=30,
    )
    client = session.client(service, region_name=region, config=config)
    if service == "s3control":
        client.meta.events.register("request-created", _without_account)
    if service == "s3":
        _keep_lifecycle_texts(client.meta.events)
        client.meta.events.register("before-parse.s3.ListObjectsV2", _read_objects)
    return client


def _without_account(request: AWSRequest, **_: object) -> None:
    """
    Remove the account from the host of a custom endpoint.

    botocore prefixes S3 Control's host with the account, even if AWS_ENDPOINT_URL sets the host.
    """
    url = urlsplit(str(request.url))
    number, host = url.netloc.split(".", 1)
    if number.isdigit() and not (url.hostname or "").endswith(AWS_DOMAINS):
        request.url = urlunsplit(url._replace(netloc=host))


def _keep_lifecycle_texts(events: Any) -> None:
    """
    Answer the XML of a lifecycle configuration too, and send given XML as it is.

    botocore's model leaves out unknown elements, and a put of the rest would delete them.
    """

    def keep(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
        if response_dict["status_code"] == HTTPStatus.OK:
            customized_response_dict[LIFECYCLE_TEXT] = response_dict["body"]

    def take(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        if LIFECYCLE_TEXT in params:
            context[LIFECYCLE_TEXT] = params.pop(LIFECYCLE_TEXT)

    def send(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        if LIFECYCLE_TEXT in context:
            params["body"] = context[LIFECYCLE_TEXT]

    events.register("before-parse.s3.GetBucketLifecycleConfiguration", keep)
    events.register("before-parameter-build.s3.PutBucketLifecycleConfiguration", take)
    events.register_last("before-call.s3.PutBucketLifecycleConfiguration", send)  # botocore escapes line ends


def _read_objects(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """
    Read the objects on a page of a listing, and leave the rest to botocore, whose parser takes seven times
    as long. Checksum names, owners and restores are left out: the janitor does not read these.
    """
    if response_dict["status_code"] != HTTPStatus.OK:
        return
    try:
        page = ET.fromstring(response_dict["body"])  # noqa: S314 - as botocore does
    except ET.ParseError:  # the body is cut off: botocore raises the error
        return
    space = page.tag[: page.tag.find("}") + 1]
    objects, rest, skip = [], [], len(space)
    for element in page:
        if element.tag == f"{space}Contents":
            texts = {member.tag[skip:]: member.text or "" for member in element}
            objects.append(
                {name: read(texts[name]) for name, read in OBJECT_PARSERS.items() if name in texts}
            )
        else:
            rest.append(element)
    if objects:
        page[:] = rest
        response_dict["body"] = ET.tostring(page)
        customized_response_dict["Contents"] = objects


def parse_utc(timestamp: str | float) -> datetime:
    """Parse a time of an answer, in UTC. botocore's parser returns local times, and is slow on thousands."""
    from botocore.utils import parse_timestamp

    if isinstance(timestamp, int | float):
        return _from_seconds(timestamp)
    try:
        read = datetime.fromisoformat(timestamp)
    except ValueError:  # a header's "Wed, 21 Oct 2026 07:28:00 GMT", or seconds
        read = parse_timestamp(timestamp)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


@lru_cache(maxsize=4096)
def _from_seconds(seconds: float) -> datetime:
    """Return a time in UTC. Equal times are kept once: series of metrics repeat the hours of a window."""
    return datetime.fromtimestamp(seconds, UTC)


OBJECT_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "Key": str,
    "LastModified": parse_utc,
    "ETag": str,
    "Size": int,
    "StorageClass": intern,
}
"""The members read from an object on a page of a listing, with their parsers."""

# --- answers --------------------------------------------------------------------------------------


class ReadError(Exception):
    """A read failed; the message names the call and the reason, in one line."""


class OutOfTimeError(ReadError):
    """The run has no time left for another call."""


class UnreadEntry(NamedTuple):
    """
    An *entry* of a listing that could not be read, and *why*, in words.

    *arn* is that of its resource; "" if the entry does not say which it is about.
    """

    entry: Any
    why: str
    arn: str = ""


class UnreadEntriesError(ReadError):
    """Some *entries* of a listing could not be read, and all others were."""

    def __init__(self, text: str, entries: tuple[UnreadEntry, ...]) -> None:
        super().__init__(text)
        self.entries = entries


@dataclass(frozen=True, slots=True)
class Listing[T]:
    """
    All pages of one listing, or the pages read before it broke off with *error*.

    A listing with *unread* entries has an *error* too: whoever is missing may use anything. It did not break
    off, so that among candidates each of them is unknown, and the others are judged.
    """

    items: tuple[T, ...]
    error: str | None = None
    unread: tuple[UnreadEntry, ...] = ()

    @classmethod
    def joined(cls, items: Iterable[T], errors: Iterable[str | None]) -> Listing[T]:
        """Return a listing of *items*, with each of *errors* once."""
        return cls(tuple(items), "; ".join(dict.fromkeys(error for error in errors if error)) or None)

    @classmethod
    def merged(cls, parts: Iterable[Listing[T]]) -> Listing[T]:
        """Return several listings as a single one, which broke off if one of them did."""
        read = tuple(parts)
        whole = cls.joined(chain.from_iterable(part.items for part in read), (part.error for part in read))
        if all(part.unread for part in read if part.error is not None):
            return replace(whole, unread=tuple(entry for part in read for entry in part.unread))
        return whole

    def of[U](self, items: Iterable[U]) -> Listing[U]:
        """Return a listing of *items*, made of those here, with the same errors."""
        return Listing(tuple(items), self.error, self.unread)

    def check(self) -> None:
        """
        Raise `ReadError` if the listing broke off: the sweep is then not complete.

        If it has unread entries alone, raise `UnreadEntriesError`.
        """
        if self.error is not None:
            raise UnreadEntriesError(self.error, self.unread) if self.unread else ReadError(self.error)

    def signal(self, source: str) -> Signal[tuple[T, ...]]:
        """Return all items, or the error that left some out."""
        return Value(self.items, source) if self.error is None else Unreadable(self.error, source)


POLICY_DENIAL = "explicit deny in a resource-based policy"
"""
A part of AWS's message, which no code of an error tells (IAM User Guide, "Troubleshoot access denied error
messages"). It only adds advice.
"""
LEDGER_CALLS = {"DeleteItem", "GenerateMac", "PutItem", "UpdateItem", "VerifyMac"}
"""The calls that the policies of the ledger's table and of the signing keys deny."""

CLOSED_ADVICE = "; only the functions and janitor.ledger_writers may: have your role added there, and deploy"


def failure_text(error: Exception) -> str | None:
    """
    Return *error* in one line if it is a failed or half-answered AWS call, else None.

    A missing member (KeyError) is a failed read too, never "there are none": AWS may answer in another form.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    match error:
        case ClientError():
            detail = error.response.get("Error", {})
            text = f"{detail.get('Code', 'Unknown')}: {detail.get('Message', '').strip()}".rstrip(": ")
            closed = error.operation_name in LEDGER_CALLS and POLICY_DENIAL in text
            return f"{error.operation_name}: {text}{CLOSED_ADVICE if closed else ''}"
        case KeyError():
            return f"the answer has no {error.args[0] if error.args else 'member of a known name'}"
        case BotoCoreError() | ResponseParserError() | ReadError():
            return " ".join(str(error).split())
        case _:
            return None


def required_value[T](signal: Signal[T], otherwise: str = "it was not read") -> T | None:
    """Return the value of *signal*, or None if it is absent. Raises ReadError: the error, or *otherwise*."""
    match signal:
        case Value(value):
            return value
        case Absent():
            return None
        case unread:
            raise ReadError(getattr(unread, "error", otherwise))


def error_text(error: Exception) -> str:
    """Return *error* in one line for a report: a failed AWS call as such, any other error with its type."""
    return failure_text(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"


def is_refusal(error: Exception, codes: tuple[str, ...], message: str = "") -> bool:
    """Return whether AWS refused a call with one of *codes* and, ignoring case, *message* in its text."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return False
    refusal = error.response.get("Error", {})
    return refusal.get("Code") in codes and message.lower() in refusal.get("Message", "").lower()


def ensure(call: Callable[[], object], already: Callable[[], bool], *, codes: tuple[str, ...] = ()) -> None:
    """
    Make *call*; a refusal by AWS is a success if the effect of the call is *already* there.

    A retry meets such a refusal after a lost answer. With *codes*, every other refusal is raised unexamined.
    """
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        if (codes and not is_refusal(error, codes)) or not already():
            raise


def unless_gone[T](call: Callable[[], T], codes: tuple[str, ...], message: str = "") -> T | None:
    """Return the answer of *call*, or None if AWS refuses it as `is_refusal` *codes* and *message*."""
    try:
        return call()
    except Exception as error:
        if is_refusal(error, codes, message):
            return None
        raise


def collect_pages[P, E, T](
    pages: Iterable[P],
    entries: Callable[[P], Iterable[E]],
    read: Callable[[E], T],
    *,
    source: str,
    arn_of: Callable[[E], str] | None = None,
) -> Listing[T]:
    """
    Read every page of *pages*; if a page fails, keep the items of the pages before it.

    *entries* takes the listed members out of a page, and *read* converts each: an entry that it cannot
    convert costs that entry alone, which *arn_of* identifies. *source* names the call ("sagemaker:ListApps").
    """
    items: list[T] = []
    unread: list[UnreadEntry] = []
    try:
        for page in pages:
            for entry in _whole(page, entries):
                try:
                    items.append(read(entry))
                except (KeyError, ReadError) as error:
                    unread.append(UnreadEntry(entry, _entry_problem(error), _identify(entry, arn_of)))
    except Exception as error:  # anything that is not a failed AWS call is raised again below
        if (problem := failure_text(error)) is None:
            raise
        return Listing(tuple(items), f"{source} broke off after {len(items)}: {problem}")
    if not unread:
        return Listing(tuple(items))
    number = f"{len(unread):,} of {len(items) + len(unread):,}"
    return Listing(
        tuple(items),
        f"{source}: {number} entries could not be read ({unread[0].why})",
        tuple(unread),
    )


def _whole[P, E](page: P, entries: Callable[[P], Iterable[E]]) -> Iterable[E]:
    """Return the *entries* of a page. botocore parses a body that was cut off into a page without members."""
    try:
        return entries(page)
    except KeyError as error:
        if isinstance(page, Mapping) and not page.keys() - {"ResponseMetadata"}:
            raise ReadError("the answer was cut off") from error
        raise


def _identify[E](entry: E, arn_of: Callable[[E], str] | None) -> str:
    try:
        return "" if arn_of is None else arn_of(entry)
    except (KeyError, TypeError):
        return ""


def _entry_problem(error: Exception) -> str:
    return f"it has no {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)


def read_signal[T](call: Callable[[], T], *, source: str, absent: tuple[str, ...] = ()) -> Signal[T]:
    """Return the answer of *call* as a signal; error codes in *absent* mean that the value is absent."""
    try:
        return Value(call(), source)
    except Exception as error:  # anything that is not a failed AWS call is raised again below
        if is_refusal(error, absent):
            return Absent(source)
        if (problem := failure_text(error)) is None:
            raise
        return Unreadable(problem, source)


def as_signal[**P, T](
    source: str, absent: tuple[str, ...] = ()
) -> Callable[[Callable[P, T]], Callable[P, Signal[T]]]:
    """Decorate a function so that its result or error is a signal, as by `read_signal`."""

    def around(read: Callable[P, T]) -> Callable[P, Signal[T]]:
        @wraps(read)
        def attempting(*given: P.args, **named: P.kwargs) -> Signal[T]:
            return read_signal(lambda: read(*given, **named), source=source, absent=absent)

        return attempting

    return around
