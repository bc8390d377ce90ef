"""The digest's function over HTTP: all sweeps in one message, and which of them did not run."""

from datetime import timedelta

import pytest

from conftest import ACCOUNT, NOW
from ml_janitor import handlers
from ml_janitor.aws.client import Aws
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.findings import Ledger
from ml_janitor_sandbox.slack import SlackControl
from standin import Context, event, quiet

NAMES = [one.name for one in DETECTORS]


pytestmark = pytest.mark.usefixtures("log")


def test_a_quiet_day_is_one_short_message(deployed: SlackControl, ledger: Ledger, aws: Aws) -> None:
    quiet(ledger, aws)

    answer = handlers.digest(event("scheduled"), Context())

    nothing = dict.fromkeys(("did_not_run", "found", "new", "acted", "failed", "undone", "due", "advice"), 0)
    assert answer == {"sweeps": len(NAMES), **nothing}
    assert [one["text"] for one in deployed.messages()] == [
        f"Nothing new today. All {len(NAMES)} sweeps ran."
    ]
    assert ledger.latest.digest(ACCOUNT) == NOW, "the time of its event"


def test_a_digest_that_is_delivered_twice_is_posted_once(
    deployed: SlackControl, ledger: Ledger, aws: Aws
) -> None:
    quiet(ledger, aws)

    first = handlers.digest(event("scheduled"), Context())

    assert handlers.digest(event("scheduled"), Context(aws_request_id="another")) == first
    assert len(deployed.messages()) == 1


def test_an_event_for_the_schedules_counts_what_did_not_run_and_posts_nothing(deployed: SlackControl) -> None:
    early = (NOW - timedelta(days=60)).isoformat()

    first = handlers.digest({"time": early, "only": "schedules"}, Context())
    later = handlers.digest({"only": "schedules"}, Context())

    assert (first, later) == ({"missed": []}, {"missed": ["digest", *NAMES]})
    assert deployed.messages() == []
