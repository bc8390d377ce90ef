"""Validators of settings; their messages complete the sentence "expected ..., got ..."."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from ml_janitor.aws import arns
from ml_janitor.config.layers import SLACK_CREDENTIAL, suggest_nearest
from ml_janitor.config.schedules import schedule_fault
from ml_janitor.core.durations import (
    LONGEST_DURATION,
    WEEKDAYS,
    WorkingHours,
    format_duration,
    parse_duration,
)
from ml_janitor.core.model import Confidence, Mode

COST_METRICS = ("auto", "unblended", "amortized")
"""Cost as charged, or with commitments spread over their days; auto means amortized once there are any."""

LONGEST_KEEP_ALIVE = timedelta(hours=6)
"""KeepAlivePeriodInSeconds is at most 21,600 (SageMaker API reference, ResourceConfig)."""

LONGEST_MAX_RUNTIME = timedelta(days=28)
"""MaxRuntimeInSeconds of a training job is at most 28 days (SageMaker API reference, StoppingCondition)."""

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
BUDGET_CHECK = accept_if(lambda value: value > 0, "dollars a month, more than 0")
WORK_HOURS_CHECK = accept_if(lambda value: 0 < value <= 1000, "hours of work, more than 0 and at most 1000")
FINITE_CHECK = Field(allow_inf_nan=False)

MODE_CHECK = accept_values(set(Mode), '"dry-run" or "act"')
CONFIDENCE_CHECK = accept_values(set(Confidence), '"proven" or "likely"')
METRIC_CHECK = accept_values(COST_METRICS, '"auto", "unblended" or "amortized"')

ACCOUNT_CHECK = accept_pattern(f"{ACCOUNT_ID}|", 'an account such as "123456789012"')
PLACE_CHECK = accept_pattern(
    rf"{ACCOUNT_ID}(/{arns.REGION_PATTERN})?",
    'an account such as "123456789012", or a region of one: "123456789012/eu-west-1"',
)
REGION_CHECK = accept_pattern(arns.REGION_PATTERN, 'a region such as "eu-west-1"')
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
WRITER_CHECK = accept_pattern(
    rf"{IAM_ARN}{ACCOUNT_ID}:(role|user)/{IAM_NAMES}",
    "the ARN of a role or user, whose name may have * and ?, such as "
    '"arn:aws:iam::123456789012:role/platform-*"',
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
    rf"arn:aws[a-z-]*:kms:{arns.REGION_PATTERN}:{ACCOUNT_ID}:key/[\w-]{{1,128}}|",
    "the ARN of a key (not of an alias), such as "
    '"arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"',
)
ANOMALY_MONITOR_CHECK = accept_pattern(
    rf"off|create|arn:aws[a-z-]*:ce::{ACCOUNT_ID}:anomalymonitor/[\w-]+",
    '"off", "create" or the ARN of an anomaly monitor',
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
