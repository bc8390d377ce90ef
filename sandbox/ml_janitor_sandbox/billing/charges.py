"""The bill of one account: charges that run on by the hour, and what is visible of them at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any

from moto.organizations.models import organizations_backends

from moto_corrections import clock, state
from moto_corrections.patches import AwsError, Call

HOUR = dt.timedelta(hours=1)
LAST = dt.datetime.max.replace(tzinfo=dt.UTC)
LAG = 3 * HOUR
"""How long after its hour usage is visible; AWS says "at least once every 24 hours"."""
SAGEMAKER = "Amazon SageMaker"

PREFIXES = {
    "eu-central-1": "EUC1",
    "eu-west-1": "EU",
    "us-east-1": "USE1",
    "us-east-2": "USE2",
    "us-west-2": "USW2",
}
"""How usage types begin ("Understanding your AWS billing and usage reports", Amazon S3 user guide)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """
    One line of the bill: *hourly* units at a *price* each, in every hour from *start* until *end*.

    *amortized* is the price of a unit where commitments are spread over their days; else it is the same.
    *tags* are those of the resource. A charge that is *posted* at a time, such as a late
    correction, is visible from then on; everything else hour by hour, after the lag.
    """

    service: str
    usage_type: str
    start: dt.datetime
    end: dt.datetime | None = None
    hourly: Decimal
    price: Decimal
    amortized: Decimal | None = None
    unit: str = "Hrs"
    account: str = ""
    region: str = "us-east-1"
    operation: str = "RunInstance"
    record_type: str = "Usage"
    resource: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    posted: dt.datetime | None = None

    @classmethod
    def declared(cls, given: Mapping[str, Any]) -> Charge:
        """Parse JSON: the fields, or *usd*, *amortized_usd* and *quantity* (default 1) of the whole span."""
        members = dict(given)
        for name in ("start", "end", "posted"):
            if members.get(name):
                members[name] = clock.parse(members[name])
        if "usd" in members:
            hours = Decimal((members["end"] - members["start"]) / HOUR)
            quantity = Decimal(str(members.pop("quantity", 1)))
            members["price"] = Decimal(str(members.pop("usd"))) / quantity
            members["hourly"] = quantity / hours
            if "amortized_usd" in members:
                members["amortized"] = Decimal(str(members.pop("amortized_usd"))) / quantity
        members |= {name: Decimal(str(members[name])) for name in ("hourly", "price")}
        if unknown := set(members) - {member.name for member in fields(cls)}:
            raise ValueError(f"a charge has no {', '.join(sorted(unknown))}")
        return cls(**members)

    @property
    def amortized_price(self) -> Decimal:
        """Return the price of a unit with commitments spread over their days."""
        return self.price if self.amortized is None else self.amortized

    def quantity(self, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> Decimal:
        """Return the units of [*start*, *end*) that are visible at *now*."""
        since, until = self.visible(now)
        seconds = (min(end, until) - max(start, since)).total_seconds()
        return self.hourly * Decimal(seconds) / 3600 if seconds > 0 else Decimal(0)

    def visible(self, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
        """Return from when until when its units are visible at *now*."""
        if self.posted is not None and now < self.posted:
            return self.start, self.start
        seen = whole(now - LAG) if self.posted is None else LAST
        return self.start, seen if self.end is None else min(seen, self.end)

    def members(self) -> dict[str, Any]:
        """Return the charge as JSON, in the words of `declared`."""
        values = {member.name: getattr(self, member.name) for member in fields(self)}
        return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return clock.text(value)
    return str(value) if isinstance(value, Decimal) else value


def whole(moment: dt.datetime) -> dt.datetime:
    """Return the beginning of that hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


@dataclass(slots=True)
class Bill:
    """
    The charges of one account, and the settings of its Cost Explorer.

    *active* are its cost allocation tags and since when: they show on what is used from then on. *since* is
    when its data begins, *page* how many groups a page holds. *members* are accounts that it pays for, in
    its *currency*.
    """

    charges: list[Charge] = field(default_factory=list)
    running: dict[str, tuple[tuple[Any, ...], list[Charge]]] = field(default_factory=dict)
    """What each metered resource was seen to use, and the charges for that; only their ends are not known."""
    requests: dict[dt.datetime, int] = field(default_factory=dict)
    """How many requests Cost Explorer answered in each hour."""
    active: dict[str, dt.datetime] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    """Its Savings Plans, as DescribeSavingsPlans answers them."""
    enabled: bool = True
    hourly: bool = False
    since: dt.datetime | None = None
    page: int = 5000
    currency: str = "USD"

    def set(self, given: Mapping[str, Any]) -> None:
        """Change the setup; *tags* are active from the beginning, or each from a time."""
        members = dict(given)
        if (tags := members.pop("tags", None)) is not None:
            since = tags if isinstance(tags, dict) else dict.fromkeys(tags, "2000-01-01")
            self.active = {key: clock.parse(at) for key, at in since.items()}
        if members.get("since"):
            members["since"] = clock.parse(members["since"])
        if unknown := set(members) - {"currency", "enabled", "hourly", "members", "page", "plans", "since"}:
            raise ValueError(f"a bill has no {', '.join(sorted(unknown))}")
        for name, value in members.items():
            setattr(self, name, value)

    def all(self, account: str) -> Iterator[Charge]:
        """List every charge of the account itself, those for Cost Explorer's own requests among them."""
        yield from self.charges
        for _, charges in self.running.values():
            yield from charges
        for hour, count in self.requests.items():
            yield Charge(
                service="AWS Cost Explorer",
                account=account,
                usage_type="USE1-APIRequest",
                operation="GetCostAndUsage",
                start=hour,
                end=hour + HOUR,
                hourly=Decimal(count),
                price=Decimal("0.01"),
                unit="Requests",
            )

    def cut(self, charge: Charge) -> Iterator[Charge]:
        """Cut the charge into parts, during each of which a tag is either active or not."""
        for since in sorted(self.active.values()):
            if charge.start < since and (charge.end is None or since < charge.end):
                yield replace(charge, end=since)
                charge = replace(charge, start=since)
        yield charge

    def meter(self, resource: str, used: tuple[Any, ...], charges: Iterable[Charge], at: dt.datetime) -> None:
        """End the charges of a *resource* that uses something else from now on, and begin others."""
        if resource not in self.running or self.running[resource][0] != used:
            self.stop([resource], at)
            self.running[resource] = used, list(charges)

    def stop(self, resources: Iterable[str], at: dt.datetime) -> None:
        """End the charges for *resources*, which use nothing from now on."""
        for resource in resources:
            for charge in self.running.pop(resource, ((), []))[1]:
                if charge.start < at:
                    self.charges.append(replace(charge, end=at))


def payer(account: str) -> str:
    """Return the account that pays for *account*: the management account of its organization, or itself."""
    if managed := organizations_backends.master_accounts.get(account):
        return str(managed[0])
    return next((paying for paying, _, own in state.every(Bill) if account in own.members), account)


def paid_for(account: str) -> dict[str, str]:
    """Map the accounts that *account* pays for, itself among them, to their names."""
    organization = organizations_backends[account]["aws"]
    members = {member.id: member.name for member in organization.accounts} if organization.org else {}
    return {account: "demo", **dict.fromkeys(bill(account).members, ""), **members}


def shown(account: str) -> Bill:
    """Return the bill as the account's Cost Explorer has it: its payer activates the cost allocation tags."""
    own, paying = bill(account), payer(account)
    return own if paying == account else replace(own, active=bill(paying).active)


def opened(call: Call) -> Bill:
    """Return the bill as the caller's Cost Explorer has it; refuse an account without Cost Explorer."""
    own = shown(call.account)
    if not own.enabled:
        raise AwsError("AccessDeniedException", "User not enabled for cost explorer access")
    return own


def seed(account: str, charges: list[dict[str, Any]]) -> None:
    """Charge an account by hand: see `Charge.declared`."""
    bill(account).charges += [Charge.declared({"account": account} | charge) for charge in charges]


def bill(account: str) -> Bill:
    """Return the bill of one account, over all regions."""
    return state.at(Bill, account, "")
