"""What the settings ask of a bill: which pages are read, and which spans are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ml_janitor.bill.accounts import Accounts
from ml_janitor.bill.model import Metric, Span
from ml_janitor.bill.reading import DAYS, Wanted
from ml_janitor.bill.report import Question

if TYPE_CHECKING:
    from ml_janitor.config.sections import BillSection, OrganizationSection

METRICS = {"unblended": Metric.UNBLENDED, "amortized": Metric.AMORTIZED, "auto": None}


def tags(section: BillSection) -> Mapping[str, str]:
    """The cost allocation tags by their names, without those that are set to ""."""
    return {name: key for name, key in section.tags.items() if key}


def chosen(section: BillSection) -> frozenset[str]:
    """The keys of tags that are not the default ones: somebody takes them for used."""
    default = type(section)().tags
    return frozenset(key for name, key in tags(section).items() if default.get(name) != key)


def accounts(section: OrganizationSection, names: Mapping[str, str]) -> Accounts | None:
    """
    The accounts of an organization whose bill is read, of which *names* says those that are known.

    None if they are not: those of units are known once they were listed.
    """
    named = {**dict.fromkeys(section.accounts, ""), **names}
    if not named and not section.all_accounts:
        return None
    return Accounts(names=named, everything=section.all_accounts, without=tuple(section.without))


def wanted(
    section: BillSection,
    *,
    days: int = 0,
    first: Sequence[str] = (),
    check_tags: bool = False,
    accounts: Accounts | None = None,
) -> Wanted:
    """
    What to read to compare the last *days* with those before.

    *first* are tags that are shown; so are those that have a budget. *check_tags* and *accounts* are as in
    `Wanted`.
    """
    return Wanted(
        days=max(DAYS, 2 * (days or section.days)),
        tags=tags(section),
        services=tuple(section.services),
        check_tags=check_tags,
        chosen=chosen(section),
        first=(*first, *(part.partition("=")[0] for part in section.budgets)),
        metric=METRICS[section.metric],
        accounts=accounts,
        span=days or section.days,
    )


def question(section: BillSection, *, days: int = 0, against: Span | None = None) -> Question:
    """What to compare: the last *days*, *against* a span or those right before them."""
    return Question(
        days=days or section.days,
        settling_days=section.settling_days,
        tags=tuple(tags(section)),
        against=against,
    )
