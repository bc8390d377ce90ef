"""What an operator may write as a setting; the messages complete the sentence "expected ..., got ..."."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from ml_janitor.aws.arns import REGION
from ml_janitor.config.layers import nearest
from ml_janitor.config.schedules import unusable
from ml_janitor.core.durations import LONGEST, WorkingHours, format_duration, parse_duration
from ml_janitor.core.model import Confidence, Mode


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        span = parse_duration(str(value))
    except ValueError as error:
        longest = format_duration(LONGEST)
        raise ValueError(f'a duration such as "7d", "6h" or "90m", and at most "{longest}"') from error
    if not span:
        raise ValueError("a duration longer than nothing")
    return span


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f'a time zone such as "Europe/Berlin"{nearest(value, available_timezones())}')
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


def _mode(value: str) -> str:
    if value not in set(Mode):
        raise ValueError('"dry-run" or "act"')
    return value


def _confidence(value: str) -> str:
    if value not in set(Confidence):
        raise ValueError('"proven" or "likely"')
    return value


def _region(value: str) -> str:
    if not re.fullmatch(REGION, value):
        raise ValueError('a region such as "eu-west-1"')
    return value


def _group(value: str) -> str:
    if value and not re.fullmatch(r"S[A-Z0-9]{1,30}", value):
        raise ValueError('the id of a user group, such as "S0123456789"')
    return value


def _place(value: str) -> str:
    if not re.fullmatch(rf"\d{{12}}(/{REGION})?", value):
        raise ValueError('an account such as "123456789012", or a region of one: "123456789012/eu-west-1"')
    return value


def _metric(value: str) -> str:
    if value not in METRICS:
        raise ValueError('"auto", "unblended" or "amortized"')
    return value


def _weekday(value: str) -> str:
    if value and value not in WEEKDAYS:
        raise ValueError('a day such as "Mon", or "" for never')
    return value


def _monitor(value: str) -> str:
    if value not in {"off", "create"} and not re.fullmatch(MONITOR, value):
        raise ValueError('"off", "create" or the ARN of an anomaly monitor')
    return value


def _budget(value: float) -> float:
    if not value > 0:
        raise ValueError("dollars a month, more than 0")
    return value


def _instance_type(value: str) -> str:
    if not re.fullmatch(r"ml\.[a-z0-9*?-]+(\.[a-z0-9*?-]+)?", value):
        raise ValueError('an instance type such as "ml.g5.xlarge", in which * may stand: "ml.g5.*"')
    return value


def _keep_alive(value: timedelta) -> timedelta:
    if value > LONGEST_POOL:
        raise ValueError(f'a duration of at most "{format_duration(LONGEST_POOL)}", as SageMaker has it')
    return value


def _runtime(value: timedelta) -> timedelta:
    if value > LONGEST_JOB:
        raise ValueError(f'a duration of at most "{format_duration(LONGEST_JOB)}", as SageMaker has it')
    return value


def _work(value: float) -> float:
    if not 0 < value <= 1000:
        raise ValueError("hours of work, more than 0 and at most 1000")
    return value


def _from_to(least: int, most: int) -> AfterValidator:
    def check(value: int) -> int:
        if not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return AfterValidator(check)


def _schedule(value: str) -> str:
    if value and (wrong := unusable(value)) is not None:
        raise ValueError(f'a schedule such as "rate(1 hour)" or "cron(0 3 * * ? *)"{wrong}')
    return value


METRICS = ("auto", "unblended", "amortized")
"""As charged, or with commitments spread over the days that they pay for; auto is that once there are any."""

MONITOR = r"arn:aws[a-z-]*:ce::\d{12}:anomalymonitor/[\w-]+"
LONGEST_POOL = timedelta(hours=6)
"""KeepAlivePeriodInSeconds is at most 21,600 (SageMaker API reference, ResourceConfig)."""

LONGEST_JOB = timedelta(days=28)
"""MaxRuntimeInSeconds of a training job is at most 28 days (SageMaker API reference, StoppingCondition)."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Duration = Annotated[timedelta, BeforeValidator(_duration)]
Runtime = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_runtime)]
KeepAlive = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_keep_alive)]
InstanceType = Annotated[str, AfterValidator(_instance_type)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Region = Annotated[str, AfterValidator(_region)]
Group = Annotated[str, AfterValidator(_group)]
Hours = Annotated[str, AfterValidator(_hours)]
Day = Annotated[date, BeforeValidator(_day)]
AllowedMode = Annotated[str, AfterValidator(_mode)]
AllowedConfidence = Annotated[str, AfterValidator(_confidence)]
AllowedMetric = Annotated[str, AfterValidator(_metric)]
Weekday = Annotated[str, AfterValidator(_weekday)]
AnomalyMonitor = Annotated[str, AfterValidator(_monitor)]
WorkHours = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_work)]
Budget = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_budget)]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Requests = Annotated[int, _from_to(1, 100)]
SettlingDays = Annotated[int, _from_to(0, 14)]
SpanDays = Annotated[int, _from_to(1, 180)]
Place = Annotated[str, AfterValidator(_place)]
Count = Annotated[int, Field(ge=0)]
AtOnce = Annotated[int, _from_to(1, 1000)]
Percent = Annotated[int, Field(ge=0, le=100)]
Schedule = Annotated[str, AfterValidator(_schedule)]

EXPECTED = {
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
"""What pydantic's errors mean to someone who writes TOML."""
