"""Lifecycle rules are added to a bucket's and taken out again, and nothing of the others changes."""

import json
import random
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from conftest import NOW
from lifecycle_simulator import OURS, random_text
from ml_janitor.aws import storage
from ml_janitor.aws.client import Aws
from ml_janitor.core.tiering import LifecycleRule
from ml_janitor.detectors.storage_tiering import act
from ml_janitor.detectors.storage_tiering.act import find_rule_conflict
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor_sandbox.control import Control
from recorded_acts import Memory
from tables import cases

BUCKET = "ml-scratch"
RULES = [
    LifecycleRule(id=f"{OURS}0", prefix="runs/<&>/", transitions=((30, "STANDARD_IA"), (90, "GLACIER_IR"))),
    LifecycleRule(id=f"{OURS}1", prefix="scratch/", expire_after=7, abort_uploads_after=7),
]
OTHER = {"ID": "theirs", "Filter": {"Prefix": "x/"}, "Status": "Enabled", "Expiration": {"Days": 9}}


class Account:
    """A bucket whose lifecycle configuration others write too."""

    def __init__(self, box: Control, session: boto3.Session, aws: Aws) -> None:
        self.box, self.aws, self.writing = box, aws, aws.armed()
        self.s3: Any = session.client("s3")
        box.set_clock(NOW)
        self.s3.create_bucket(Bucket=BUCKET)

    def put(self, *rules: Any, minimum: str = "all_storage_classes_128K") -> None:
        self.s3.put_bucket_lifecycle_configuration(
            Bucket=BUCKET,
            LifecycleConfiguration={"Rules": list(rules)},
            TransitionDefaultMinimumObjectSize=minimum,
        )

    @property
    def there(self) -> storage.LifecycleConfiguration:
        return storage.read_lifecycle(self.aws, BUCKET)

    def prepared(self, rules: list[LifecycleRule] | None = None) -> Any:
        record = act.prepare_rules(self.aws, BUCKET, rules or RULES)
        stored = json.loads(json.dumps(record))
        assert stored == record
        assert act.recorded_rules(stored) == (rules or RULES)
        return stored

    def act(self, record: Any, memory: Memory | None = None) -> None:
        act.act(self.writing, record, memory or Memory())

    def undo(self, record: Any, memory: Memory | None = None) -> str:
        return act.revert(self.writing, record, memory or Memory())


@pytest.fixture
def account(box: Control, session: boto3.Session, aws: Aws) -> Account:
    return Account(box, session, aws)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has something happen right before or after the next configuration is written."""

    def register(what: Callable[[], object], *, before: bool = False) -> None:
        real, calls = storage.write_lifecycle, [what]

        def write(*given: Any) -> None:
            happens = [calls.pop()] if calls else []
            if before:
                happens[0]()
            real(*given)
            for happening in happens if not before else []:
                happening()

        monkeypatch.setattr(storage, "write_lifecycle", write)

    return register


def test_rules_are_added_and_taken_out_beside_those_of_others(account: Account) -> None:
    account.put(OTHER, minimum="varies_by_storage_class")
    before, record = account.there, account.prepared()
    assert not act.is_done(account.aws, record)
    account.act(record)
    after = account.there
    assert (after.minimum, len(after.rules)) == ("varies_by_storage_class", 3)
    assert after.without(after.own(RULES)) == before
    assert act.is_done(account.aws, record)
    account.act(record)
    assert account.there == after
    for _ in range(2):
        assert account.undo(record).startswith(
            "the lifecycle rules ml-janitor-0, ml-janitor-1 were taken out of"
        )
        assert account.there == before
        assert not act.is_done(account.aws, record)


def test_where_there_was_none_there_is_none_again(account: Account) -> None:
    record = account.prepared()
    account.act(record)
    assert len(account.there.rules) == 2
    account.undo(record)
    with pytest.raises(account.s3.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        account.s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)


def test_three_dozen_configurations_of_others_stay_as_they_are(account: Account) -> None:
    dice, done = random.Random(17), 0  # noqa: S311 - no secret
    while done < 36:
        text = random_text(dice)
        minimum = dice.choice(("varies_by_storage_class", "all_storage_classes_128K"))
        theirs = storage.LifecycleConfiguration(text.encode(), minimum)
        if find_rule_conflict(theirs, RULES) is not None:
            continue
        try:
            storage.write_lifecycle(account.writing, BUCKET, theirs)
        except account.s3.exceptions.ClientError:  # S3 would not have it
            continue
        before, record = account.there, account.prepared()
        assert before.digest() == theirs.digest()
        account.act(record)
        own = account.there.own(RULES)
        assert len(own) == 2
        assert account.there.without(own) == before
        account.undo(record)
        assert account.there == before
        done += 1


def test_a_dry_run_cannot_write(account: Account) -> None:
    with pytest.raises(PermissionError, match="changes something"):
        act.act(account.aws, account.prepared(), Memory())


@cases("rules", [], [OTHER | {"Expiration": {"Days": 10}}], [OTHER, OTHER | {"ID": "new"}])
def test_what_changes_after_it_was_prepared_stays(account: Account, rules: list[Any]) -> None:
    account.put(OTHER)
    record = account.prepared()
    if rules:
        account.put(*rules)
    else:
        account.s3.delete_bucket_lifecycle(Bucket=BUCKET)
    theirs = account.there
    with pytest.raises(CannotActError, match="changed in the last moment"):
        account.act(record)
    assert account.there == theirs


def test_the_minimum_size_counts_as_a_change(account: Account) -> None:
    account.put(OTHER)
    record = account.prepared()
    account.put(OTHER, minimum="varies_by_storage_class")
    with pytest.raises(CannotActError):
        account.act(record)


def test_what_is_written_right_after_it_stays(account: Account, meanwhile: Callable[..., None]) -> None:
    account.put(OTHER)
    record = account.prepared()
    meanwhile(lambda: account.put(OTHER | {"ID": "later"}))
    with pytest.raises(CannotActError, match="theirs stay"):
        account.act(record)
    assert [rule.first("ID") for rule in account.there.rules] == ["later"]


def test_its_rules_go_although_others_were_added(account: Account, meanwhile: Callable[..., None]) -> None:
    """They read ours, and added one of theirs, beside which nobody judged ours."""

    def add() -> None:
        found = account.s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
        account.put(*found, OTHER | {"ID": "later", "Filter": {"Prefix": "scratch/"}})

    account.put(OTHER)
    record = account.prepared()
    meanwhile(add)
    with pytest.raises(CannotActError, match="theirs stay"):
        account.act(record)
    assert [rule.first("ID") for rule in account.there.rules] == ["theirs", "later"]


def test_what_s3_does_not_show_yet_is_waited_for(account: Account, meanwhile: Callable[..., None]) -> None:
    account.put(OTHER)
    record = account.prepared()
    meanwhile(lambda: account.put(OTHER))  # as if the reading came from before
    memory = Memory()
    with pytest.raises(NotFinishedError, match="does not show"):
        account.act(record, memory)
    account.act(record, memory)
    assert act.is_done(account.aws, record)
    shown = account.s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    meanwhile(lambda: account.put(*shown))
    with pytest.raises(NotFinishedError, match="S3 still shows"):
        account.undo(record)


def test_a_rule_that_was_changed_since_stays(account: Account) -> None:
    account.put(OTHER)
    record = account.prepared()
    account.act(record)
    rules = account.s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    rules[2]["Expiration"]["Days"] = 14
    account.put(*rules, OTHER | {"ID": "new"})
    assert not act.is_done(account.aws, record)
    assert account.undo(record).endswith("; ml-janitor-1 was changed since, and stays")
    assert [rule.first("ID") for rule in account.there.rules] == ["theirs", "ml-janitor-1", "new"]


def test_a_bucket_that_is_gone_is_left_alone(account: Account) -> None:
    record = account.prepared()
    account.s3.delete_bucket(Bucket=BUCKET)
    assert act.is_done(account.aws, record)
    with pytest.raises(CannotActError, match="deleted"):
        account.act(record)
    with pytest.raises(CannotActError, match="deleted since"):
        account.undo(record)


def test_prepare_refuses_what_cannot_stand_beside_the_others(account: Account) -> None:
    account.put(OTHER | {"Filter": {"Prefix": "scratch/a/"}})
    with pytest.raises(CannotActError, match="its lifecycle rule theirs deletes objects after 9 days"):
        account.prepared()
    account.put(*(OTHER | {"ID": str(number)} for number in range(999)))
    with pytest.raises(CannotActError, match="has 999 of 1000 rules"):
        account.prepared()
    account.prepared(RULES[:1])


@cases(
    "bucket, named, why",
    (BUCKET, [], "act_on_buckets does not name it"),
    (BUCKET, [BUCKET], None),
    ("aws-glue-assets-1", ["aws-glue-assets-1"], "belongs to a service"),
    ("awsome", ["awsome"], None),
)
def test_who_may_be_given_rules(bucket: str, named: list[str], why: str | None) -> None:
    found = act.why_bucket_spared(bucket, named, storage.LifecycleConfiguration(), RULES)
    many = [RULES[0]] * 1001
    assert act.why_bucket_spared(bucket, named, storage.LifecycleConfiguration(), many) is not None
    assert (found is None) is (why is None)
    assert why is None or why in str(found)
