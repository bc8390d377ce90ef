"""Checks of the bill's function: access to Cost Explorer, and the activation of the tags of [bill]."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3

from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.cost_explorer import REGION, CostExplorer, RefusedError, by_dimension
from ml_janitor.bill.asking import DAYS, chosen, tags
from ml_janitor.bill.model import PRICE_PER_REQUEST, Gap, GapCause, Reading
from ml_janitor.bill.reading import CAUSES, tag_gaps
from ml_janitor.config.sections import BillSection
from ml_janitor.report.bill_gaps import sentence
from ml_janitor_cli.stack import Check

MOST_REQUESTS = 10
"""Request limit of the checks: they need two, unless an account has hundreds of tags."""

SEEN = {
    GapCause.TAG_NOT_ACTIVE: "not an active cost allocation tag",
    GapCause.NO_SUCH_TAG: "a tag that nothing has ever had",
}
PAGE = "docs/operating.md, The bill each morning"


def bill_checks(
    session: boto3.Session, section: BillSection, *, attempts: int, now: datetime
) -> Iterator[Check]:
    """Check Cost Explorer and its tags, if the function is on: each of two or three requests costs a cent."""
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
    yield Check.fine("Cost Explorer", f"it answers; reading the bill costs up to ${night} a night")
    keys = list(tags(section).values())
    if not keys:
        return
    try:
        active = explorer.tags_active(keys)
        unknown = [key for key in keys if key in chosen(section) and key not in active]
        used = explorer.tag_keys(today - timedelta(days=DAYS), today) if unknown else frozenset()
    except RefusedError as refused:
        yield _missing("cost tags", Reading.ACTIVE_TAGS, refused)
        return
    gaps = list(tag_gaps(keys, chosen(section), active, used))
    if fine := [key for key in keys if active.get(key)]:
        yield Check.fine("cost tags", f"active: {', '.join(fine)}")
    if unused := [gap.subject for gap in gaps if gap.cause is GapCause.TAG_NOT_USED]:
        yield Check.fine("cost tags", f"not used here: {', '.join(unused)}")
    for gap in gaps:
        if gap.cause is not GapCause.TAG_NOT_USED:
            yield Check.wrong(
                "cost tags",
                f"{gap.subject} is {SEEN[gap.cause]}",
                f'{sentence(gap)} Or leave it out: set it to "" in tags of [bill].',
            )


def _missing(what: str, reading: Reading, refused: RefusedError) -> Check:
    gap = Gap(reading=reading, cause=CAUSES[refused.cause], detail=str(refused))
    return Check.wrong(what, sentence(gap), f"see {PAGE}")
