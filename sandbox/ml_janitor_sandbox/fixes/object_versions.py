"""Versions of an object that are made while the clock stands still: the last one made is the latest."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from moto.s3.models import FakeDeleteMarker

from ml_janitor_sandbox.patches import replaces

_made = itertools.count()
_init = FakeDeleteMarker.__init__
SECOND = 1_000_000


def apart(moment: dt.datetime) -> dt.datetime:
    """
    The moment with microseconds that grow: moto orders versions by time alone, and calls the first of
    equals the latest. S3 tells whole seconds, so nobody sees them.
    """
    return moment.replace(microsecond=0) + dt.timedelta(microseconds=next(_made) % SECOND)


@replaces("moto.s3.models:FakeDeleteMarker.__init__", was="8ee72589c1b1")
def marked(self: Any, key: Any) -> None:
    """As moto's, after whatever it hides."""
    _init(self, key)
    self.last_modified = apart(self.last_modified)
