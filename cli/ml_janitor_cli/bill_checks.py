"""Whether Cost Explorer would answer the bill's function, and whether the tags of [bill] are activated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.cost_explorer import REGION, CostExplorer, RefusedError, by_dimension
from ml_janitor.bill.asking import tags
from ml_janitor.bill.model import PRICE_PER_REQUEST, Gap, GapCause, Reading
from ml_janitor.bill.reading import CAUSES
from ml_janitor.report.bill_gaps import sentence
from ml_janitor_cli.stack import Check, Outcome

if TYPE_CHECKING:
    import boto3

    from ml_janitor.config.sections import BillSection

MOST_REQUESTS = 2
PAGE = "docs/operating.md, The bill each morning"


def bill_checks(
    session: boto3.Session, section: BillSection, *, attempts: int, now: datetime
) -> Iterator[Check]:
    """Nothing where the function is off: asking costs a cent for each of the two questions."""
    if not section.enabled:
        return
    explorer = CostExplorer(make_client(session, "ce", REGION, attempts), max_requests=MOST_REQUESTS)
    today = now.astimezone(UTC).date()
    try:
        explorer.daily(today - timedelta(days=1), today, by_dimension("SERVICE"))
    except RefusedError as refused:
        yield _missing("Cost Explorer", Reading.SERVICES, refused)
        return
    night = section.max_requests * PRICE_PER_REQUEST
    yield Check(
        what="Cost Explorer",
        outcome=Outcome.FINE,
        seen=f"it answers; reading the bill costs up to ${night} a night",
    )
    keys = list(tags(section).values())
    if not keys:
        return
    try:
        active = explorer.active_tags(keys)
    except RefusedError as refused:
        yield _missing("cost tags", Reading.ACTIVE_TAGS, refused)
        return
    for key in keys:
        if key not in active:
            gap = Gap(reading=Reading.TAG, cause=GapCause.TAG_NOT_ACTIVE, subject=key)
            yield Check(
                what="cost tags",
                outcome=Outcome.WRONG,
                seen=f"{key} is not an active cost allocation tag",
                to_do=f'{sentence(gap)} Or leave it out: set it to "" in tags of [bill].',
            )
    if active.issuperset(keys):
        yield Check(what="cost tags", outcome=Outcome.FINE, seen=f"{', '.join(keys)} are active")


def _missing(what: str, reading: Reading, refused: RefusedError) -> Check:
    gap = Gap(reading=reading, cause=CAUSES[refused.cause], detail=str(refused))
    return Check(what=what, outcome=Outcome.WRONG, seen=sentence(gap), to_do=f"see {PAGE}")
