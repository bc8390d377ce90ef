"""
Read the values of settings, and check each one.

Tables are laid over each other, and texts that look like secrets stay hidden. The messages of validators
complete the sentence "expected ..., got ...".
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from ml_janitor.aws import tags
from ml_janitor.config.schedules import schedule_fault
from ml_janitor.core.durations import (
    LONGEST_DURATION,
    WEEKDAYS,
    WorkingHours,
    format_duration,
    parse_duration,
)
from ml_janitor.core.model import Confidence, Mode
from ml_janitor.engine.detector import KIND_SERVICES, Detector

# --- tables and overrides -------------------------------------------------------------------------

SLACK_CREDENTIAL = re.compile(
    r"xox[a-z][.-]|xapp-|hooks\.slack|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", re.IGNORECASE
)
"""Slack's tokens, a webhook's address, and the 32 hexadecimal digits of a signing secret (docs.slack.dev)."""

REDACTED_TEXT = "(not shown: it looks like a secret)"


class InvalidInputError(ValueError):
    """An invalid setting or event; the message is one line that names it and the expected value."""


def layer_tables(
    files: Sequence[Path], base: Mapping[str, Any], overrides: Iterable[str], *, sections: Container[str]
) -> dict[str, Any]:
    """
    Return the tables of *files*, *base* and *overrides*; later ones win, key by key.

    An override that names none of *sections* is for a detector. Raises InvalidInputError.
    """
    tables: dict[str, Any] = {}
    for path in files:
        lay_over(tables, read_toml(path))
    lay_over(tables, base)
    for override in overrides:
        lay_over(tables, parse_override(override, sections))
    return tables


def lay_over(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put the keys of *over* over those of *under*, table by table."""
    for key, value in over.items():
        if isinstance(value, Mapping):
            table = under.get(key)
            under[key] = table = dict(table) if isinstance(table, Mapping) else {}
            lay_over(table, value)
        else:
            under[key] = value


def read_toml(path: Path) -> dict[str, Any]:
    """Read the tables of the TOML document at *path*. Raises InvalidInputError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not valid TOML: it is not written in UTF-8") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}") from error


def parse_override(text: str, sections: Container[str]) -> dict[str, Any]:
    """
    Parse "idle-endpoints.window=14d" to tables: the value is TOML, else the text as a string.

    "janitor.time_zone=Europe/Berlin" is for all detectors, "bill.days=7" for the bill.
    Raises InvalidInputError.
    """
    path, equals, written = text.partition("=")
    keys = path.strip().removeprefix("detectors.").split(".")
    if not equals or len(keys) < 2 or not all(keys):
        raise InvalidInputError(
            f"--set {redact_secret(text)}: write it as DETECTOR.FIELD=VALUE, for example "
            f"idle-endpoints.window=14d"
        )
    if keys[0] not in sections:
        keys = ["detectors", *keys]
    tables: Any = parse_toml_value(written.strip())
    for key in reversed(keys):
        tables = {key: tables}
    whole: dict[str, Any] = tables
    return whole


def parse_toml_value(text: str) -> Any:
    """Parse *text* as one TOML value, or else return it as a string."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if set(parsed) == {"value"} else text


# --- settings that went ---------------------------------------------------------------------------

REMOVED_SETTINGS = {
    "": "plan",
    "bill": "chargeback days metric schedule settling_days weekly_table",
    "organization": "janitor_account",
    "detectors.commitments": "max_requests min_saving min_utilization window",
    "detectors.cross-region-traffic": "max_requests min_saving window",
    "detectors.duplicate-artifacts": "inventory_from inventory_usd_per_tb",
    "detectors.forgotten-leftovers": "patience",
    "detectors.generous-runtime-limits": "beyond headroom min_jobs window",
    "detectors.generous-warm-pools": "headroom min_pools min_saving window",
    "detectors.idle-clusters": "idle_for proposed",
    "detectors.oversized-endpoints": "headroom min_instances min_saving",
    "detectors.recomputed-datasets": "min_runs min_saving window",
    "detectors.serverless-candidates": (
        "cold_start headroom latency latency_outside_production min_saving slower"
    ),
    "detectors.spot-training": (
        "checkpoint discount interruptions_per_hour min_jobs min_saving restart window"
    ),
    "detectors.studio-without-idle-shutdown": "longest proposed_minutes",
    "detectors.unused-mlflow-servers": "idle_for",
    "detectors.unused-serving-resources": "min_age",
    "detectors.unused-training-plans": "unused_for",
    "detectors.unused-volumes": "unused_for",
}
"""Settings of version 0.1 that are ignored with a warning, by their tables. Version 0.4 refuses them."""

AT_MOST, AT_LEAST = "at most", "at least"

FIXED_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "detectors.duplicate-artifacts.compare_up_to": (AT_LEAST, 20 * 1024**3),
    "detectors.duplicate-artifacts.inventory_max_age": (AT_LEAST, "2d"),
    "detectors.forgotten-leftovers.min_gb": (AT_MOST, 1.0),
    "detectors.idle-endpoints.min_age": (AT_MOST, "7d"),
    "detectors.hung-training-jobs.grace_pool": (AT_MOST, "15m"),
    "detectors.hung-training-jobs.overrun": (AT_MOST, "1h"),
    "detectors.hung-training-jobs.pool_patience": (AT_MOST, "1h"),
    "detectors.hung-training-jobs.silence_without_rhythm": (AT_MOST, "1d"),
    "detectors.hung-training-jobs.times_longest_pause": (AT_MOST, 3),
    "detectors.idle-notebooks.grace_outside_hours": (AT_MOST, "1h"),
    "detectors.storage-tiering.min_gb": (AT_MOST, 50.0),
    "detectors.storage-tiering.payback": (AT_LEAST, "180d"),
    "detectors.storage-tiering.read_tags_up_to": (AT_LEAST, 1000),
    "detectors.storage-tiering.uploads": (AT_MOST, "7d"),
    "detectors.untagged-resources.recent": (AT_LEAST, "7d"),
}
"""
Settings of version 0.1 with the values that hold now.

A file that restricted a detector further is refused: ignoring it would widen what is acted on.
"""


def drop_removed(tables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return *tables* without the settings that went, and their names. Raises InvalidInputError."""
    rows = [f"{table}.{key}".lstrip(".") for table, keys in REMOVED_SETTINGS.items() for key in keys.split()]
    left: dict[str, Any] = {}
    lay_over(left, tables)
    dropped = []
    for name in [*rows, *FIXED_SETTINGS]:
        *path, key = name.split(".")
        table: Any = left
        for part in path:
            table = table.get(part) if isinstance(table, dict) else None
        if isinstance(table, dict) and key in table:
            _check_fixed(name, table.pop(key))
            dropped.append(name)
    return left, dropped


def _check_fixed(name: str, value: Any) -> None:
    """Refuse a *value* that restricted a detector further than what holds now. Raises InvalidInputError."""
    bound, now = FIXED_SETTINGS.get(name, ("", None))
    if not bound:
        return
    try:
        given, fixed = (parse_duration(each) if isinstance(now, str) else each for each in (value, now))
        fits = given <= fixed if bound == AT_MOST else given >= fixed
    except (TypeError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise InvalidInputError(
            f"{name} was removed and is always {format_toml(now)} now, which finds more than your "
            f"{format_toml(value)}: delete it to accept that"
        )


def check_keys(where: str, table: object, known: Sequence[str]) -> Mapping[str, Any]:
    """Return *table* if it has only *known* keys. Raises InvalidInputError that names the nearest key."""
    if not isinstance(table, Mapping):
        raise InvalidInputError(f"{where}: expected a table, got {format_toml(table)}")
    prefix = f"{where}." if where else ""
    for key in table:
        if key not in known:
            raise InvalidInputError(f"unknown setting {prefix}{key}{suggest_nearest(key, known)}")
    return table


def redact_secret(text: str) -> str:
    """Return *text*, or a placeholder if it looks like a credential of Slack."""
    return REDACTED_TEXT if SLACK_CREDENTIAL.search(text) else text


def suggest_nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that *word* may be meant for, or ""."""
    near = difflib.get_close_matches(word, list(known), 1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def format_toml(value: object) -> str:
    """Format *value* roughly as TOML, for a message."""
    match value:
        case bool():
            shown = str(value).lower()
        case str():
            shown = f'"{value}"' if value == redact_secret(value) else redact_secret(value)
        case list():
            shown = f"[{', '.join(format_toml(item) for item in value)}]"
        case Mapping():
            shown = "a table"
        case _:
            shown = str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


# --- globs over ARNs ------------------------------------------------------------------------------
#
# A glob that matches no ARN that a detector judges protects nothing.

GLOB_TOKEN = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
"""One character of a glob, or a set of them."""

ARN_FIELD = "~"
"""Text without a colon, in a format (never in an operator's glob)."""

ACCOUNT_GLOB = "[0-9]" * 12
ARN_FORMATS = {
    "bucket": f"arn:{ARN_FIELD}:s3:::?{ARN_FIELD}",
    "object": f"arn:{ARN_FIELD}:s3:::?{ARN_FIELD}/?*",
}
"""Formats of ARNs that do not name their kind."""


def check_globs(globs: Iterable[str], where: str, registry: Sequence[type[Detector[Any]]]) -> None:
    """Refuse the first of *globs* that matches no ARN that *registry* judges. Raises InvalidInputError."""
    kinds = list(dict.fromkeys(kind for detector in registry for kind in detector.kinds))
    formats = [
        ARN_FORMATS.get(
            kind,
            f"arn:{ARN_FIELD}:{KIND_SERVICES.get(kind, 'sagemaker')}:{ARN_FIELD}:{ACCOUNT_GLOB}"
            f":{kind}/?{ARN_FIELD}",
        )
        for kind in kinds
    ]
    for glob in globs:
        if not matches_format(glob, formats):
            near = next(
                (suggestion for suggestion in _similar(glob, kinds) if matches_format(suggestion, formats)),
                "*/NAME",
            )
            raise InvalidInputError(
                f'{where}: "{glob}" matches no ARN of a kind that a detector judges; did you mean "{near}"?'
            )


def matches_format(glob: str, formats: Iterable[str]) -> bool:
    """Return whether a text matches both *glob* and a format; case and surrounding blanks do not matter."""
    return any(_overlap(glob.strip().lower(), form) for form in formats)


def _overlap(glob: str, form: str) -> bool:
    """Return whether a text matches both, by a walk over the pairs of places that such a text can reach."""
    globs, forms = GLOB_TOKEN.findall(glob), GLOB_TOKEN.findall(form)
    reachable, seen = [(0, 0)], set[tuple[int, int]]()
    while reachable:
        i, j = here = reachable.pop()
        if here in seen:
            continue
        seen.add(here)
        a, b = (*globs, "")[i], (*forms, "")[j]
        if a == b == "":
            return True
        if a == "*":
            reachable += [(i + 1, j), *([(i, j + 1)] if b else [])]
        elif b in {"*", ARN_FIELD}:
            reachable += [(i, j + 1), *([(i + 1, j)] if a and (b, a) != (ARN_FIELD, ":") else [])]
        elif a and b and _same(a, b):
            reachable.append((i + 1, j + 1))
    return False


def _same(this: str, other: str) -> bool:
    """Return whether a character can match both; of two sets, that is assumed."""
    sets = [len(symbol) > 1 or symbol == "?" for symbol in (this, other)]
    return all(sets) or fnmatchcase(this, other) or fnmatchcase(other, this)


def _similar(glob: str, kinds: Sequence[str]) -> Iterator[str]:
    """Yield globs that *glob* may have meant, the likeliest first."""
    glob = glob.strip()
    head, _, resource = glob.rpartition(":")
    kind, slash, name = resource.partition("/")
    if not resource:
        return
    if not glob.startswith("arn:"):
        yield f"*:{glob}" if slash else f"*/{glob}"
    else:
        yield from (f"{head}:{near}/{name}" for near in get_close_matches(kind, kinds, 1))
        yield f"{head}:*:{resource}"
    if slash:
        yield f"*:{resource}"
    yield f"*/{name or resource}"


# --- validators -----------------------------------------------------------------------------------

LONGEST_KEEP_ALIVE = timedelta(hours=6)
"""KeepAlivePeriodInSeconds is at most 21,600 (SageMaker API reference, ResourceConfig)."""

LONGEST_MAX_RUNTIME = timedelta(days=28)
"""MaxRuntimeInSeconds of a training job is at most 28 days (SageMaker API reference, StoppingCondition)."""

LONGEST_HOLD_DAYS = 3650

MOST_STACK_TAGS = 50
"""Tags of a stack (CloudFormation API reference, CreateStack)."""

IAM_ARN = r"arn:aws[a-z-]*:iam::"
ACCOUNT_ID = r"\d{12}"
IAM_NAMES = r"[\w+=,.@/*?-]{1,512}"
"""A path and a name in IAM, or a glob of them."""


def accept_if(right: Callable[[Any], object], expected: str) -> AfterValidator:
    """Return a validator that accepts the values that are *right*, and refuses others as not *expected*."""

    def check(value: Any) -> Any:
        if not right(value):
            raise ValueError(expected)
        return value

    return AfterValidator(check)


def accept_pattern(pattern: str, expected: str) -> AfterValidator:
    """Return a validator of texts that *pattern* matches as a whole; a final `|` allows an empty text."""
    return accept_if(lambda value: re.fullmatch(pattern, value, re.ASCII), expected)


def accept_values(values: Collection[str], expected: str) -> AfterValidator:
    """Return a validator that accepts one of *values*."""
    return accept_if(lambda value: value in values, expected)


def accept_range(least: int, most: int) -> AfterValidator:
    """Return a validator of numbers from *least* to *most*."""
    return accept_if(lambda value: least <= value <= most, f"a whole number from {least} to {most}")


def accept_durations(longest: timedelta) -> AfterValidator:
    """Return a validator of durations that SageMaker accepts too."""
    expected = f'a duration of at most "{format_duration(longest)}", as SageMaker has it'
    return accept_if(lambda value: value <= longest, expected)


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        span = parse_duration(str(value))
    except ValueError as error:
        longest = format_duration(LONGEST_DURATION)
        raise ValueError(f'a duration such as "7d", "6h" or "90m", and at most "{longest}"') from error
    if not span:
        raise ValueError("a duration longer than nothing")
    return span


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(
            f'a time zone such as "Europe/Berlin"{suggest_nearest(value, available_timezones())}'
        )
    return value


def _hours(value: str) -> str:
    try:
        WorkingHours.parse(value)
    except ValueError as error:
        raise ValueError('working hours such as "Mon-Fri 08-20"') from error
    return value


def _day(value: object) -> object:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("a date such as 2026-12-25") from error


def _schedule(value: str) -> str:
    if value and (wrong := schedule_fault(value)) is not None:
        raise ValueError(f'a schedule such as "rate(1 hour)" or "cron(0 3 * * ? *)"{wrong}')
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
WorkingHoursText = Annotated[str, AfterValidator(_hours)]
Day = Annotated[date, BeforeValidator(_day)]
ScheduleExpression = Annotated[str, AfterValidator(_schedule)]
Weekday = Annotated[str, accept_values(("", *WEEKDAYS), 'a day such as "Mon", or "" for never')]
Count = Annotated[int, Field(ge=0)]

RUNTIME_CHECK, KEEP_ALIVE_CHECK = accept_durations(LONGEST_MAX_RUNTIME), accept_durations(LONGEST_KEEP_ALIVE)
HOLD_DAYS_CHECK = accept_if(
    lambda value: value == "forever" or (isinstance(value, int) and 1 <= value <= LONGEST_HOLD_DAYS),
    f'a number of days from 1 to {LONGEST_HOLD_DAYS}, or "forever"',
)
BUDGET_CHECK = accept_if(lambda value: value > 0, "dollars a month, more than 0")
FINITE_CHECK = Field(allow_inf_nan=False)

MODE_CHECK = accept_values(set(Mode), '"dry-run" or "act"')
CONFIDENCE_CHECK = accept_values(set(Confidence), '"proven" or "likely"')

ACCOUNT_CHECK = accept_pattern(f"{ACCOUNT_ID}|", 'an account such as "123456789012"')
PLACE_CHECK = accept_pattern(
    rf"{ACCOUNT_ID}(/{tags.REGION_PATTERN})?",
    'an account such as "123456789012", or a region of one: "123456789012/eu-west-1"',
)
REGION_CHECK = accept_pattern(tags.REGION_PATTERN, 'a region such as "eu-west-1"')
ORGANIZATION_CHECK = accept_pattern(
    r"o-[a-z0-9]{10,32}|", 'the id of an organization, such as "o-a1b2c3d4e5"'
)
UNIT_CHECK = accept_pattern(
    r"ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}", 'the id of an organizational unit, such as "ou-ab12-c3d4e5f6"'
)
EXTERNAL_ID_CHECK = accept_pattern(
    r"[\w+=,.@:/-]{8,1224}|", "at least 8 letters, digits and signs of +=,.@:/-_"
)
"""External ids of STS (API reference of AssumeRole), without characters of Terraform or CloudFormation."""

BOUNDARY_CHECK = accept_pattern(
    rf"{IAM_ARN}({ACCOUNT_ID}|aws):policy/[\w+=,.@/-]{{1,512}}|",
    'the ARN of a managed policy, such as "arn:aws:iam::123456789012:policy/boundary"',
)
UNDO_ROLE_CHECK = accept_pattern(
    rf"{IAM_ARN}{ACCOUNT_ID}:role/{IAM_NAMES}",
    "the ARN of a role, whose name may have * and ?, such as "
    '"arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-*"',
)
EXEMPT_ROLE_CHECK = accept_pattern(
    rf"{IAM_ARN}({ACCOUNT_ID}|\*):role/{IAM_NAMES}",
    "the ARN of a role, whose account may be * and whose name may have * and ?, such as "
    '"arn:aws:iam::*:role/break-glass-*"',
)
NOT_EVERY_ROLE_CHECK = accept_if(
    lambda value: not re.fullmatch(rf"{IAM_ARN}\*:role/[*?/]+", value),
    "some letters of a name: every role of every account would be exempt",
)
PRINCIPAL_CHECK = accept_pattern(
    rf"{IAM_ARN}{ACCOUNT_ID}:(role|user)/{IAM_NAMES}",
    "the ARN of a role or user, whose name may have * and ?, such as "
    '"arn:aws:iam::123456789012:role/platform-*"',
)
NOT_EVERYBODY_CHECK = accept_if(
    lambda value: not re.fullmatch(rf"{IAM_ARN}{ACCOUNT_ID}:(role|user)/[*?/]+", value),
    "some letters of a name: everybody in the account would be let through",
)
ROLE_PATH_CHECK = accept_pattern(
    r"(?=.{1,512}$)/([\w+=,.@-]+/)*", 'a path that begins and ends with a slash, such as "/platform/"'
)
SUBNET_CHECK = accept_pattern(
    r"subnet-[0-9a-f]{8,17}", 'the id of a subnet, such as "subnet-0a1b2c3d4e5f60718"'
)
SECURITY_GROUP_CHECK = accept_pattern(
    r"sg-[0-9a-f]{8,17}", 'the id of a security group, such as "sg-0a1b2c3d4e5f60718"'
)
KMS_KEY_CHECK = accept_pattern(
    rf"arn:aws[a-z-]*:kms:{tags.REGION_PATTERN}:{ACCOUNT_ID}:key/[\w-]{{1,128}}|",
    "the ARN of a key (not of an alias), such as "
    '"arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"',
)
EMAIL_CHECK = accept_pattern(
    r"[^@\s]{1,64}@[^@\s]{1,255}|", 'an e-mail address, such as "oncall@example.com"'
)
TOPIC_CHECK = accept_pattern(
    rf"arn:aws[a-z-]*:sns:{tags.REGION_PATTERN}:{ACCOUNT_ID}:[\w-]{{1,256}}|",
    'the ARN of an SNS topic, such as "arn:aws:sns:eu-west-1:123456789012:ml-costs"',
)
EVENT_BUS_CHECK = accept_pattern(r"[\w./-]{1,256}|", 'the name of an event bus, such as "default"')
ANOMALY_MONITOR_CHECK = accept_pattern(
    rf"off|create|arn:aws[a-z-]*:ce::{ACCOUNT_ID}:anomalymonitor/[\w-]+",
    '"off", "create" or the ARN of an anomaly monitor',
)
TAG_VALUE_CHECK = accept_pattern(r"[\w\s.:/=+@-]{0,256}", "the value of a tag, of at most 256 characters")
TAG_KEYS_CHECK = accept_if(
    lambda tags: (
        len(tags) <= MOST_STACK_TAGS
        and all(re.fullmatch(r"(?!(?i:aws:))[\w\s.:/=+@-]{1,128}", key) for key in tags)
    ),
    f"at most {MOST_STACK_TAGS} tags, whose keys have at most 128 characters and do not begin with aws:",
)
INSTANCE_TYPE_CHECK = accept_pattern(
    r"ml\.[a-z0-9*?-]+(\.[a-z0-9*?-]+)?",
    'an instance type such as "ml.g5.xlarge", in which * may stand: "ml.g5.*"',
)

SLACK_GROUP_CHECK = accept_pattern(r"S[A-Z0-9]{1,30}|", 'the id of a user group, such as "S0123456789"')
SLACK_CHANNEL_CHECK = accept_if(
    lambda value: not SLACK_CREDENTIAL.search(value), 'a channel such as "#ml-costs"'
)
SECRET_NAME_CHECK = accept_if(
    lambda value: not SLACK_CREDENTIAL.search(value) and re.fullmatch(r"[\w/+=.@-]{0,512}", value, re.ASCII),
    'the name of a secret in Secrets Manager, such as "ml-janitor/slack"',
)
"""Names that Secrets Manager accepts (API reference, CreateSecret); a refused value is never repeated."""

EXPECTED_WORDS = {
    "bool_type": "true or false",
    "date_type": "a date such as 2026-12-25",
    "dict_type": "a table",
    "finite_number": "a number",
    "float_type": "a number",
    "greater_than_equal": "a number that is not negative",
    "less_than_equal": "a percentage, at most 100",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": 'a list such as ["one", "two"]',
    "string_type": "a text in quotes",
}
"""pydantic's errors in words for someone who writes TOML."""
