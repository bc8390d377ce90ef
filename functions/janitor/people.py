"""What people are called who said something. Pure."""

from __future__ import annotations

import re

SLACK_ID = re.compile(r" \([UW][A-Z0-9]+\)$")


def named(by: str) -> str:
    """
    A person's name as it was stored, without the id of their Slack account.

    The ledger and the log keep the id, which tells namesakes apart; a reader only stumbles over it.
    """
    return SLACK_ID.sub("", by)
