"""The tags of things, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Tags, and what they say: whether they keep, until when (that day included), whose it is."""

    tags: Mapping[str, str]
    keeps: bool = False
    until: date | None = None
    managed: str = ""
    serves: str = ""


FREE = (
    Label(tags={}),
    Label(tags={"owner": "maria"}),
    Label(tags={"keep": "false", "managed-by": "manual", "environment": "dev"}),
    Label(tags={"managed-by": "maria.lopez@example.com", "team": "nlp"}),
    Label(tags={"ManagedBy": "Data Science", "team": "data-science"}),
    Label(tags={"janitor:keep-until": "2026-01-31"}, until=date(2026, 1, 31)),
)
BOUND = (
    Label(tags={"keep": "true"}, keeps=True),
    Label(tags={"Janitor:Keep": " TRUE "}, keeps=True),
    Label(tags={"janitor:keep-until": "2026-10-14"}, until=date(2026, 10, 14)),
    Label(tags={"janitor:keep-until": "someday"}, keeps=True),
    Label(tags={"managed-by": "terraform"}, managed="terraform"),
    Label(tags={"managed-by": "backstage", "owner": "maria"}, managed="backstage"),
    Label(tags={"aws:cloudformation:stack-name": "web"}, managed="cloudformation"),
    Label(tags={"environment": "Prod"}, serves="prod"),
)
LABELS = (*FREE, *BOUND)
