"""Checks of the bill's function: access to Cost Explorer, and the activation of the tags of [bill]."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3

from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.cost_explorer import COST_EXPLORER_REGION, CostExplorer, RefusedError, group_by_dimension
from ml_janitor.bill.asking import BILL_DAYS, bill_tags, chosen_tags
from ml_janitor.bill.model import PRICE_PER_REQUEST, BillGap, BillReading, GapCause
from ml_janitor.bill.reading import GAP_CAUSES, tag_gaps
from ml_janitor.config.sections import BillSection
from ml_janitor.report.bill_gaps import gap_sentence
from ml_janitor_cli.stack import Check

CHECK_REQUESTS = 10
"""Request limit of the checks: they need two, unless an account has hundreds of tags."""

TAG_FAULTS = {
    GapCause.TAG_NOT_ACTIVE: "not an active cost allocation tag",
    GapCause.NO_SUCH_TAG: "a tag that nothing has ever had",
}
BILL_GUIDE = "docs/operating.md, The bill each morning"


def check_bill(
    session: boto3.Session, section: BillSection, *, attempts: int, now: datetime
) -> Iterator[Check]:
    """Check Cost Explorer and its tags, if the function is on: each of two or three requests costs a cent."""
    if not section.enabled:
        return
    explorer = CostExplorer(
        make_client(session, "ce", COST_EXPLORER_REGION, attempts), max_requests=CHECK_REQUESTS
    )
    today = now.astimezone(UTC).date()
    try:
        explorer.daily(today - timedelta(days=1), today, group_by_dimension("SERVICE"))
    except RefusedError as refused:
        yield _missing("Cost Explorer", BillReading.SERVICES, refused)
        return
    night = section.max_requests * PRICE_PER_REQUEST
    yield Check.fine("Cost Explorer", f"it answers; reading the bill costs up to ${night} a night")
    keys = list(bill_tags(section).values())
    if not keys:
        return
    try:
        active = explorer.tags_active(keys)
        unknown = [key for key in keys if key in chosen_tags(section) and key not in active]
        used = explorer.tag_keys(today - timedelta(days=BILL_DAYS), today) if unknown else frozenset()
    except RefusedError as refused:
        yield _missing("cost tags", BillReading.ACTIVE_TAGS, refused)
        return
    gaps = list(tag_gaps(keys, chosen_tags(section), active, used))
    if fine := [key for key in keys if active.get(key)]:
        yield Check.fine("cost tags", f"active: {', '.join(fine)}")
    if unused := [gap.subject for gap in gaps if gap.cause is GapCause.TAG_NOT_USED]:
        yield Check.fine("cost tags", f"not used here: {', '.join(unused)}")
    for gap in gaps:
        if gap.cause is not GapCause.TAG_NOT_USED:
            yield Check.wrong(
                "cost tags",
                f"{gap.subject} is {TAG_FAULTS[gap.cause]}",
                f'{gap_sentence(gap)} Or leave it out: set it to "" in tags of [bill].',
            )


def _missing(what: str, reading: BillReading, refused: RefusedError) -> Check:
    gap = BillGap(reading=reading, cause=GAP_CAUSES[refused.cause], detail=str(refused))
    return Check.wrong(what, gap_sentence(gap), f"see {BILL_GUIDE}")
