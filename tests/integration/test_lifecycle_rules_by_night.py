"""Buckets given lifecycle rules in the armed order of things: warned, looked at again, written, taken out."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws import storage
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Effect
from ml_janitor.core.results import CauseCode, Outcome, Result
from ml_janitor.detectors.storage_tiering.act import recorded_rules
from ml_janitor.detectors.storage_tiering.reading import TieringBucket
from ml_janitor.detectors.storage_tiering.rule import StorageTiering
from ml_janitor.engine.policy import Hold, HoldKind, advice_hold_key
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.table import Table
from ml_janitor.report.causes import outcome_note
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.process_kill import Killed, end_when_killed
from one_of_each import SCRATCH, DueResources
from standin import ARMED, DAY, Nights
from tables import cases

OTHER = "second-scratch"
RULE = StorageTiering(act_on_buckets=(SCRATCH,))
CALLS = ["GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration"]


class Shift(Nights):
    """A deployment in which one of two buckets may be given rules; that has a rule of its own."""

    def __init__(self, box: Control, table: Table, session: boto3.Session, aws: Aws) -> None:
        super().__init__(table, session, aws, RULE, box=box)
        self.s3 = session.client("s3")
        self.arming = replace(ARMED, effect=Effect.TIER)
        self.due_resources = DueResources(box, session, aws)
        self.due_resources.add("storage-tiering")
        self.clock = NOW
        self.before = self.there

    @property
    def there(self) -> storage.LifecycleConfiguration:
        return storage.read_lifecycle(self.aws, SCRATCH)

    def run(self, days: float = 0) -> dict[str, Result]:
        """What a run makes of the buckets so many days later."""
        return self.after(days * DAY)

    def due(self) -> None:
        assert self.run()[SCRATCH].outcome is Outcome.WARNED


@pytest.fixture
def shift(box: Control, table: Table, session: boto3.Session, aws: Aws) -> Shift:
    return Shift(box, table, session, aws)


def test_it_is_warned_about_given_rules_and_these_are_taken_out(shift: Shift) -> None:
    first = shift.run()
    assert first[SCRATCH].outcome is Outcome.WARNED
    assert (first[OTHER].outcome, outcome_note(first[OTHER])) == (
        Outcome.ADVISED,
        "only reported: act_on_buckets does not name it",
    )
    assert shift.run(1)[SCRATCH].outcome is Outcome.WAITING
    assert shift.there == shift.before

    acted = shift.run(3)[SCRATCH]
    assert (acted.outcome, outcome_note(acted)) == (
        Outcome.ACTED,
        f"undo: janitor undo {shift.of(SCRATCH).id}",
    )
    there = shift.there
    (own,) = there.own(recorded_rules(shift.of(SCRATCH).undo))
    assert (own.first("Filter/Prefix"), there.without([own])) == ("experiments/", shift.before)
    assert shift.of(SCRATCH).hourly_usd is None, "nothing is claimed to be saved"

    again = shift.run(7)[SCRATCH]
    assert (again.outcome, shift.there) == (Outcome.KEPT, there)
    assert "were taken out of ml-scratch" in shift.undo(SCRATCH).became
    assert (shift.there, shift.of(SCRATCH).stage) == (shift.before, Stage.UNDONE)


@cases(
    "kill, call, skip",
    ("killed-before", CALLS[1], 0),
    ("killed", CALLS[1], 0),
    *(("killed", CALLS[0], n) for n in (2, 3, 4, 5)),
)
def test_the_next_run_finishes_a_run_killed_anywhere(shift: Shift, kill: str, call: str, skip: int) -> None:
    """After both buckets are read, one is read when judged again, prepared for, written, and read back."""
    shift.due()
    end_when_killed(shift.session)
    shift.box.fault("s3", call, kill, skip=skip)
    with pytest.raises((Killed, RunFailedError)):  # a reading that failed is looked over, until all fails
        shift.run(4)
    shift.box.revive()
    shift.box.clear_faults()
    shift.box.clear_calls()

    assert shift.run(0.5)[SCRATCH].outcome is Outcome.ACTED
    there = shift.there
    assert len(there.rules) == 2
    assert shift.box.calls().get(f"s3:{CALLS[1]}", 0) <= 1
    shift.undo(SCRATCH)
    assert (shift.there, shift.put_back) == (shift.before, [])


class OneFinding(StorageTiering):
    """The detector of an earlier version: what would be deleted is found under the bucket's identity."""

    def find_parts(self, aws: Aws, now: datetime, only: str | None = None) -> Iterator[TieringBucket]:
        for part in super().find_parts(aws, now, only):
            if part.deletes:
                yield replace(part, target=part.belongs_to[0], belongs_to=())


def test_moves_and_deletions_are_warned_of_acted_on_and_undone_each_by_itself(shift: Shift) -> None:
    """In one bucket; a warning that an earlier version gave of both ends, and each is warned of once more."""
    deletions = f"{SCRATCH}/*"
    with shift.box.at(NOW - 200 * DAY):
        shift.s3.put_object(Bucket=SCRATCH, Key="logs/old.log", Body=b"x")
        shift.box.declare([{"bucket": SCRATCH, "key": "logs/old.log", "size": 10**12}])
    shift.arming = replace(shift.arming, max_share=100)
    shift.detector = OneFinding(act_on_buckets=(SCRATCH,))
    shift.due()
    shift.detector = RULE
    first = shift.run(4)
    assert (first[SCRATCH].outcome, first[deletions].outcome) == (Outcome.ACTED, Outcome.WARNED)
    (moved,) = recorded_rules(shift.of(SCRATCH).undo)
    assert (moved.prefix, moved.expire_after) == ("experiments/", None)

    told = advice_hold_key(RULE.name, first[SCRATCH].target.key)
    hold = Hold(key=told, by="maria", given=shift.clock, how=HoldKind.SNOOZED)
    shift.holds.put(ACCOUNT, REGION, replace(hold, until=shift.clock + 5 * DAY))
    assert shift.run(4)[deletions].verdict.reason.startswith(f"it belongs to {SCRATCH}, which is snoozed by")
    assert shift.run(2)[deletions].outcome is Outcome.WARNED
    assert shift.run(4)[deletions].outcome is Outcome.ACTED
    (deleted,) = recorded_rules(shift.of(deletions).undo)
    assert (deleted.prefix, deleted.expire_after) == ("logs/", 90)
    shift.undo(SCRATCH)
    assert [rule.first("ID") for rule in shift.there.rules][1:] == [deleted.id]
    shift.undo(deletions)
    assert shift.there == shift.before


def test_an_undo_killed_at_its_call_is_finished_when_asked_again(shift: Shift) -> None:
    shift.due()
    shift.run(4)
    end_when_killed(shift.session)
    for kill in ("killed-before", "killed"):
        shift.box.fault("s3", CALLS[1], kill)
        with pytest.raises(Killed):
            shift.undo(SCRATCH)
        shift.box.revive()
        shift.box.clear_faults()
        shift.clock += DAY
    shift.undo(SCRATCH)
    assert (shift.there, shift.of(SCRATCH).stage) == (shift.before, Stage.UNDONE)


@cases(
    "rule, outcome, why",
    ({"Expiration": {"Days": 400}}, Outcome.KEPT, "lifecycle rule"),
    ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 9}}, Outcome.ACTED, ""),
    ({"Expiration": {"Date": "2030-01-01T00:00:00Z"}}, Outcome.KEPT, "lifecycle rule"),
)
def test_a_late_rule_is_judged_too(shift: Shift, rule: dict[str, Any], outcome: Outcome, why: str) -> None:
    shift.due()
    rules: Any = [{"ID": "new", "Filter": {"Prefix": "experiments/"}, "Status": "Enabled", **rule}]
    shift.s3.put_bucket_lifecycle_configuration(Bucket=SCRATCH, LifecycleConfiguration={"Rules": rules})
    ran = shift.run(4)[SCRATCH]
    assert ran.outcome is outcome
    assert why in ran.verdict.reason
    assert shift.there.rules[0].first("ID") == "new"
    assert len(shift.there.rules) == 1 + (outcome is Outcome.ACTED)


@cases(
    "tags, why",
    ({"managed-by": "terraform"}, CauseCode.MANAGED),
    ({"environment": "production"}, CauseCode.PRODUCTION),
    ({"keep": "true"}, None),
)
def test_a_managed_or_kept_one_stays(shift: Shift, tags: dict[str, str], why: CauseCode | None) -> None:
    shift.due()
    tagging: Any = {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
    shift.s3.put_bucket_tagging(Bucket=SCRATCH, Tagging=tagging)
    ran = shift.run(4)[SCRATCH]
    assert ran.outcome in {Outcome.ADVISED, Outcome.KEPT}
    assert why is None or (ran.cause is not None and ran.cause.why is why)
    assert shift.there == shift.before


def test_too_many_buckets_at_once_wait_for_a_person(shift: Shift) -> None:
    """Where more than `max_share` of all buckets, and more than three, would be given rules."""
    names = [f"scratch-{number}" for number in range(3)]
    for name in names:
        shift.due_resources.scratch(name)
    shift.detector = StorageTiering(act_on_buckets=(SCRATCH, *names))
    assert {one.outcome for name, one in shift.run().items() if name in {SCRATCH, *names}} == {Outcome.WARNED}
    held = shift.run(4)
    assert {held[name].outcome for name in (SCRATCH, *names)} == {Outcome.WAITING}
    assert "4 of 6 would be deleted or expire, more than max_share = 20 %" in outcome_note(held[SCRATCH])
    shift.arming = replace(shift.arming, max_share=100, max_actions=2)
    acted = shift.run(0.5)
    assert sorted(one.outcome for name, one in acted.items() if name in {SCRATCH, *names}) == sorted(
        [Outcome.ACTED] * 2 + [Outcome.WAITING] * 2
    )
