"""The sections of janitor.toml: their keys, and the messages for invalid values."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from dataclasses import Field as DataclassField
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from ml_janitor.config import values
from ml_janitor.config.values import (
    SLACK_CREDENTIAL,
    InvalidInputError,
    check_keys,
    format_toml,
    suggest_nearest,
)
from ml_janitor.core.model import Mode, Target
from ml_janitor.core.ownership import normalised_key, team_of
from ml_janitor.engine.detector import Constant, Detector

# --- routes to Slack channels ---------------------------------------------------------------------
#
# A finding goes to the channel of the team that owns the resource, or of its account.

TEAM_ROUTE, ACCOUNT_ROUTE = "team", "account"

CHANNEL_NAME = re.compile(r"[^\sA-Z#@.,:;<>&\"'`*/\\]{1,80}")
"""A channel's name: up to 80 characters, no capitals, blanks and points (Slack's help center)."""

CHANNEL_ID = re.compile(r"[CG][A-Z0-9]{8,}")
"""The id of a public or private channel; people (U...) and direct messages (D...) are excluded."""


def _channel(value: str) -> str:
    if SLACK_CREDENTIAL.search(value) or not (
        CHANNEL_NAME.fullmatch(value.removeprefix("#")) or CHANNEL_ID.fullmatch(value)
    ):
        raise ValueError('a channel such as "#ml-costs", or its id, such as "C0123456789"')
    if not value.startswith("#") and not CHANNEL_ID.fullmatch(value):
        raise ValueError(f'a channel such as "#ml-costs", or its id; did you mean "#{value}"?')
    return value


RoutedChannel = Annotated[str, AfterValidator(_channel)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """
    Channels by team and by account; a team's name is compared like a tag's key, in any spelling.

    The team comes before the account: its tag is on the resource and names who has to keep it or let
    it go, and an account may be shared by many teams. If tags could not be read, the account's route
    counts. Without a route the channel is "": `janitor.slack_channel`.
    """

    teams: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, routes: Mapping[str, str], *, main: str) -> Routes:
        """Return the routes of `[slack.routes]`; a route to the *main* channel becomes ""."""
        kinds: dict[str, dict[str, str]] = {TEAM_ROUTE: {}, ACCOUNT_ROUTE: {}}
        for key, channel in routes.items():
            kind, _, name = key.partition(":")
            kinds[kind][normalised_key(name)] = "" if channel == main else channel
        return cls(teams=kinds[TEAM_ROUTE], accounts=kinds[ACCOUNT_ROUTE])

    def channel(self, target: Target) -> str:
        """Return the channel for findings on *target*; "" is `janitor.slack_channel`."""
        by_account = self.accounts.get(target.account, "")
        return self.teams.get(normalised_key(team_of(target) or ""), by_account)


NO_ROUTES = Routes()


def check_routes(
    routes: Mapping[str, str],
    *,
    channel: str,
    secret: str,
    accounts: Sequence[str] = (),
    without: Sequence[str] = (),
) -> None:
    """
    Refuse routes that lead nowhere: an unknown kind, a second route of a team, an account that is not swept.

    *channel* and *secret* are those of `[janitor]`, *accounts* are all swept accounts, if they are
    named, and *without* are left out. Raises InvalidInputError.
    """
    where, seen = "slack.routes", dict[tuple[str, str], str]()
    if routes and not secret:
        raise InvalidInputError(
            f"{where} needs janitor.slack_secret: the secret with the bot token of Slack's app"
        )
    if routes and not channel:
        raise InvalidInputError(
            f"{where} needs janitor.slack_channel, for all that has no route, and the app's bot: an incoming "
            "webhook posts to one channel only"
        )
    for key in routes:
        kind, colon, name = key.partition(":")
        if not colon or kind not in {TEAM_ROUTE, ACCOUNT_ROUTE} or not normalised_key(name):
            raise InvalidInputError(
                f'{where}: "{key}" is not a route; expected "team:NAME", with the value of the team tag, or '
                f'"account:123456789012"{suggest_nearest(kind, [TEAM_ROUTE, ACCOUNT_ROUTE])}'
            )
        if (twin := seen.setdefault((kind, normalised_key(name)), key)) != key:
            raise InvalidInputError(f'{where}: "{twin}" and "{key}" are the same team: leave one of them')
        if kind == ACCOUNT_ROUTE and not re.fullmatch(r"\d{12}", name, re.ASCII):
            raise InvalidInputError(
                f'{where}: "{key}" names no account; expected 12 digits: "account:123456789012"'
            )
        if kind == ACCOUNT_ROUTE and (name in without or (accounts and name not in accounts)):
            why = "without leaves it out" if name in without else "accounts does not name it"
            raise InvalidInputError(
                f'{where}: "{key}" matches nothing, because organization.{why}'
                f"{suggest_nearest(name, accounts)}"
            )


def unmatched_routes(routes: Mapping[str, str], account: str) -> list[str]:
    """Return a line for each route of another account, where only *account* is swept."""
    return [
        f"{key} matches nothing: only account {account} is looked at"
        for key in routes
        if key.startswith(f"{ACCOUNT_ROUTE}:") and key != f"{ACCOUNT_ROUTE}:{account}"
    ]


# --- sections -------------------------------------------------------------------------------------

STRICT_MODEL = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

NEVER_REPEATED = {"slack_secret", "slack_signing_secret"}
"""Keys whose refused value may be the secret itself."""


class JanitorSection(BaseModel):
    """`[janitor]`: settings for all detectors."""

    model_config = STRICT_MODEL

    regions: list[Annotated[str, values.REGION_CHECK]] = []
    tags: Annotated[dict[str, Annotated[str, values.TAG_VALUE_CHECK]], values.TAG_KEYS_CHECK] = {
        "managed-by": "ml-janitor"
    }
    keep_tags: list[str] = ["janitor:keep", "keep"]
    keep_until_tag: str = "janitor:keep-until"
    owner_tags: list[str] = ["owner", "created-by", "team"]
    tools: list[str] = []
    ignore: list[str] = []
    read_logs: bool = True
    time_zone: values.TimeZone = "UTC"
    working_hours: values.WorkingHoursText = "Mon-Fri 08-20"
    holidays: list[values.Day] = []
    slack_channel: Annotated[str, values.SLACK_CHANNEL_CHECK] = ""
    slack_secret: Annotated[str, values.SECRET_NAME_CHECK] = ""
    slack_signing_secret: Annotated[str, values.SECRET_NAME_CHECK] = ""
    slack_group: Annotated[str, values.SLACK_GROUP_CHECK] = ""
    slack_concurrency: values.Count = 5
    max_actions_per_night: values.Count = 50
    undo_days: Annotated[int, Field(ge=1, le=90)] = 30
    hold_days: Annotated[int | str, values.HOLD_DAYS_CHECK] = 180
    undo_roles: list[Annotated[str, values.UNDO_ROLE_CHECK]] = []
    digest_schedule: values.ScheduleExpression = "cron(0 7 * * ? *)"
    permissions_boundary: Annotated[str, values.BOUNDARY_CHECK] = ""
    role_path: Annotated[str, values.ROLE_PATH_CHECK] = "/"
    subnets: list[Annotated[str, values.SUBNET_CHECK]] = []
    security_groups: list[Annotated[str, values.SECURITY_GROUP_CHECK]] = []
    kms_key: Annotated[str, values.KMS_KEY_CHECK] = ""
    alarm_email: Annotated[str, values.EMAIL_CHECK] = ""
    ledger_writers: list[Annotated[str, values.PRINCIPAL_CHECK, values.NOT_EVERYBODY_CHECK]] = []
    administrators: list[Annotated[str, values.PRINCIPAL_CHECK, values.NOT_EVERYBODY_CHECK]] = []


class SlackSection(BaseModel):
    """
    `[slack]`: the channels of findings.

    *routes* are channels by "team:NAME", the value of a resource's team tag, and by "account:123456789012".
    Findings without a route go to `janitor.slack_channel`.
    """

    model_config = STRICT_MODEL

    routes: dict[str, RoutedChannel] = {}


class NotifySection(BaseModel):
    """
    `[notify]`: ways to people and programs beside Slack.

    The digest and warnings go by mail to the SNS topic *email*; without `janitor.slack_secret` such a mail is
    the delivery of a warning. Events go to the event bus *events*.
    """

    model_config = STRICT_MODEL

    email: Annotated[str, values.TOPIC_CHECK] = ""
    events: Annotated[str, values.EVENT_BUS_CHECK] = ""


class BillSection(BaseModel):
    """
    `[bill]`: reading and explaining the bill.

    *max_requests* is the most pages of Cost Explorer for one reading, each of which costs a cent. *tags*
    are cost allocation tags by their names here, the most important first; "" removes a tag. *services*
    are the only services that count, as Cost Explorer spells them. With *enabled*, a function reads the
    bill each morning; once a week its message has the table by the first tag, and the
    function checks the names of tags instead of reading the last two. *monthly_budget* is in dollars, 0 for
    none; *budgets* are those of parts, by tag and value ("project=churn"). *anomaly_monitor* is "off",
    "create", or the ARN of an existing monitor.
    """

    model_config = STRICT_MODEL

    enabled: bool = False
    schedule: ClassVar[str] = "cron(30 6 * * ? *)"
    monthly_budget: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    budgets: dict[str, Annotated[float, values.FINITE_CHECK, values.BUDGET_CHECK]] = {}
    anomaly_monitor: Annotated[str, values.ANOMALY_MONITOR_CHECK] = "off"
    max_requests: Annotated[int, values.accept_range(1, 100)] = 8
    tags: dict[str, str] = {
        "project": "project",
        "owner": "owner",
        "environment": "environment",
        "team": "team",
        "cost-center": "cost-center",
    }
    services: list[str] = []


def bill_tags(section: BillSection) -> Mapping[str, str]:
    """Return the cost allocation tags by their names, without those that are set to ""."""
    return {name: key for name, key in section.tags.items() if key}


def bill_pages(section: BillSection, *, in_organization: bool) -> int:
    """Return the pages of Cost Explorer that one reading asks for at least."""
    besides = 3  # services, record types, forecast
    if in_organization:
        besides += 2  # accounts, and movements of some
    return len(bill_tags(section)) + besides


class OrganizationSection(BaseModel):
    """
    `[organization]`: the accounts that the janitor sweeps from one account.

    They are *accounts*, or those in *units* and below, or *all_accounts* of the organization *id*;
    accounts in *without* are left out of the last two. *regions* are the swept regions, every enabled one
    if empty. Each account grants roles to *callers*, roles and users of the janitor's account, who send
    *external_id*. The functions sweep *at_once* accounts side by side.
    """

    model_config = STRICT_MODEL

    id: Annotated[str, values.ORGANIZATION_CHECK] = ""
    external_id: Annotated[str, values.EXTERNAL_ID_CHECK] = ""
    callers: list[Annotated[str, values.PRINCIPAL_CHECK]] = []
    accounts: list[Annotated[str, values.ACCOUNT_CHECK]] = []
    units: list[Annotated[str, values.UNIT_CHECK]] = []
    all_accounts: bool = False
    without: list[Annotated[str, values.ACCOUNT_CHECK]] = []
    regions: list[Annotated[str, values.REGION_CHECK]] = []
    at_once: Annotated[int, values.accept_range(1, 1000)] = 20

    @property
    def used(self) -> bool:
        """Return whether there are other accounts to sweep than the session's own."""
        return bool(self.accounts or self.units or self.all_accounts)

    @property
    def janitor_account(self) -> str:
        """Return the account that the janitor is in, that of *callers*; "" without any."""
        return self.callers[0].split(":")[4] if self.callers else ""


class PoliciesSection(BaseModel):
    """
    `[policies]`: the limits that `janitor policies write` adds to the tags of untagged-resources.

    Jobs may state a MaxRuntime of at most *max_runtime* and keep their instances for at most *max_keep_alive*
    after it, on *instance_types* only, if any are set. *exempt_roles* are refused nothing.
    """

    model_config = STRICT_MODEL

    max_runtime: Annotated[values.Duration, values.RUNTIME_CHECK] = timedelta(days=1)
    max_keep_alive: Annotated[values.Duration, values.KEEP_ALIVE_CHECK] = timedelta(minutes=30)
    instance_types: list[Annotated[str, values.INSTANCE_TYPE_CHECK]] = []
    exempt_roles: list[Annotated[str, values.EXEMPT_ROLE_CHECK, values.NOT_EVERY_ROLE_CHECK]] = []


class DetectorSection(BaseModel):
    """
    `[detectors.NAME]`: the keys of every detector; its own tunables come from its dataclass fields.

    *act_on*, *grace* and *business_days* default to the detector's own.
    *armed_until* is the day on which it was disarmed: its actions can still be undone for undo_days.
    """

    model_config = STRICT_MODEL

    enabled: bool = True
    mode: Annotated[str, values.MODE_CHECK] = Mode.DRY_RUN.value
    schedule: values.ScheduleExpression = ""
    act_in: list[Annotated[str, values.PLACE_CHECK]] = []
    act_on: Annotated[str, values.CONFIDENCE_CHECK] | None = None
    grace: values.Duration | None = None
    grace_likely: values.Duration = timedelta(days=1)
    business_days: bool | None = None
    max_actions: values.Count = 10
    max_share: Annotated[int, Field(ge=0, le=100)] = 20
    act_on_managed: list[str] = []
    act_on_environments: list[str] = []
    armed_until: values.Day | None = None


SECTIONS: Mapping[str, type[BaseModel]] = {
    "janitor": JanitorSection,
    "slack": SlackSection,
    "notify": NotifySection,
    "bill": BillSection,
    "policies": PoliciesSection,
    "organization": OrganizationSection,
}
"""All sections beside `[detectors]`."""

JANITOR_FIELDS = {"working_hours", "undo_roles", "keep_tags", "keep_until_tag", "read_logs"}
"""Detector fields that come from `[janitor]` and are not set per detector."""


def accounts_of(places: Iterable[str]) -> list[str]:
    """Return the accounts of *places* (as in `act_in`), each once."""
    return sorted({place.partition("/")[0] for place in places})


def tunable_fields(detector: type[Detector[Any]]) -> Iterator[tuple[DataclassField[Any], Any]]:
    """Yield the fields of *detector* that an operator may set under its name, with their types."""
    hints = typing.get_type_hints(detector)
    for each in fields(detector):
        hint = hints[each.name]
        if each.name not in JANITOR_FIELDS and typing.get_origin(hint) is not Constant:
            yield each, hint


@cache
def section_model(detector: type[Detector[Any]]) -> type[DetectorSection]:
    """Return the model of `[detectors.NAME]`: the common keys and the detector's own fields."""
    own: dict[str, Any] = {
        field.name: (_accepts(hint), _default(field)) for field, hint in tunable_fields(detector)
    }
    return create_model(f"{detector.__name__}Section", __base__=DetectorSection, **own)


def _accepts(hint: Any) -> Any:
    """Return the type that an operator may write for *hint*: durations as text, tuples as lists."""
    if hint is timedelta:
        return values.Duration
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return types.GenericAlias(list, (_accepts(args[0]),))
    if origin in {dict, Mapping}:
        return types.GenericAlias(dict, (args[0], _accepts(args[1])))
    return hint


def _default(field: DataclassField[Any]) -> Any:
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    return list(value) if isinstance(value, tuple) else value


def validate_section[M: BaseModel](model: type[M], table: object, where: str) -> M:
    """Validate *table*, which stands at *where*, as a *model*. Raises InvalidInputError."""
    checked = check_keys(where, table, list(model.model_fields))
    try:
        return model.model_validate(checked)
    except ValidationError as error:
        message = _message(error.errors()[0])
    raise InvalidInputError(f"{where}.{message}")  # outside the handler: no traceback shows the refused value


def _message(error: ErrorDetails) -> str:
    """Format one of pydantic's errors as "key: expected ..., got ..."."""
    key = ".".join(str(part) for part in error["loc"] if isinstance(part, str))
    place = "".join(f"[{part}]" for part in error["loc"] if isinstance(part, int))
    expected = values.EXPECTED_WORDS.get(error["type"], error["msg"].removeprefix("Value error, "))
    if key in NEVER_REPEATED:
        return (
            f"{key}: expected {expected}; what it was set to is not repeated here, in case it is the secret"
        )
    return f"{key}{place}: expected {expected}, got {format_toml(error['input'])}"
