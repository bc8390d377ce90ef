"""Whoever writes into the ledger's table cannot have anything done: attacks on the records of actions."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, NOW, REGION
from fakes import thing, waste
from ml_janitor import handlers
from ml_janitor.acting.undoing import CannotUndoError, Undoing
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.core.results import UNVERIFIED_RECORD_CODES, CauseCode, Outcome
from ml_janitor.ledger import actions
from ml_janitor.ledger.actions import Stage, signed_content
from ml_janitor.ledger.signatures import KmsMacs, Signatures, SignedKind, SigningKey, kms_signatures
from ml_janitor.ledger.table import Table, format_stamp, item_key, partition_key
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import KEYS, TABLE
from ml_janitor_sandbox.iam import IamControl
from narrowing import not_none
from policies import allow, role
from standin import DAY, DENIED, MEMBER, Cleaner, Deployment, Nights, OwnMacs, in_memory, said
from tables import cases

PLACE = partition_key("action", "cellar", ACCOUNT, REGION)
DEVELOPER = f"arn:aws:iam::{ACCOUNT}:role/developer"

type Attack = Callable[[Nights], None]


@pytest.fixture
def nights() -> Iterator[Nights]:
    """Nights that sign on their own, with their ledger in memory."""
    with in_memory() as nights:
        yield nights


@pytest.fixture
def with_kms(table: Table, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """Nights whose actions KMS signs."""
    nights = Nights(
        table, session, aws, signatures=kms_signatures(make_client(session, "kms", REGION, 2), KEYS)
    )
    monkeypatch.setattr(Cleaner, "world", nights.world)
    return nights


def records(table: Table) -> dict[str, dict[str, Any]]:
    """The items of the cellar's actions, by the name of their resource."""
    return {item["name"]: item for item in table.query(PLACE)}


def put(table: Table, item: dict[str, Any], **changes: Any) -> None:
    """Write *item* with *changes*, as whoever may write to the table can."""
    table.put(**{name: item[name] for name in ("pk", "sk")} | {"attributes": {**item, **changes}})


def acted(nights: Nights, *names: str) -> None:
    """The janitor cleaned them up."""
    nights.warned(*names)
    nights.after(4 * DAY)
    assert {nights.of(name).stage for name in names} == {Stage.ACTED}


def half_done(nights: Nights, name: str) -> None:
    """The janitor unplugged it, and AWS refused to remove it."""
    nights.warned(name)

    def refuses(step: str) -> None:
        if step.startswith("remove"):
            raise DENIED

    nights.world.before = refuses
    nights.after(4 * DAY)
    nights.world.before = lambda _: None
    assert nights.of(name).stage is Stage.FAILED


def forged(stage: Stage) -> Attack:
    """An action that never was, at *stage*: on waste, with what undoes something else."""

    def attack(nights: Nights) -> None:
        nights.world.add("a")
        target = nights.world.things["a"].target
        item = {
            **item_key(PLACE, f"{target.key}#{format_stamp(nights.clock)}"),
            "detector": "cellar",
            "arn": target.arn,
            "name": target.name,
            "kind": target.kind,
            "account": ACCOUNT,
            "region": REGION,
            "created": target.created.isoformat() if target.created else None,
            "stage": stage,
            "attempts": 1,
            "warned": format_stamp(nights.clock),
            "began": format_stamp(nights.clock),
            "undo": json.dumps({"name": "prey"}),
            "step_0": json.dumps(["act: unplug", "begun"]),
        }
        put(nights.table, item)

    return attack


def another_code(nights: Nights) -> None:
    """The code of a valid record, in another one."""
    acted(nights, "a", "b")
    stood = records(nights.table)
    put(nights.table, stood["a"], mac=stood["b"]["mac"], undo=json.dumps({"name": "prey"}))


def another_payload(nights: Nights) -> None:
    """One byte of what undoes it."""
    acted(nights, "a")
    put(nights.table, records(nights.table)["a"], undo=json.dumps({"name": "b"}))


def half_done_with_another_payload(nights: Nights) -> None:
    """One byte of what is acted with."""
    half_done(nights, "a")
    put(nights.table, records(nights.table)["a"], undo=json.dumps({"name": "b"}))


def another_resource(nights: Nights) -> None:
    """A valid record, of which another resource of the same age is said to be the target."""
    acted(nights, "a")
    stood = records(nights.table)["a"]
    put(nights.table, stood, arn=thing("b", waste()).target.arn)


def without_steps(item: dict[str, Any]) -> dict[str, Any]:
    """*item* as if nothing had been done yet: the steps are not signed."""
    return {name: value for name, value in item.items() if not name.startswith("step_")}


def another_warning(nights: Nights) -> None:
    """A valid record under the key of a later warning: the same is done again."""
    acted(nights, "a")
    stood = records(nights.table)["a"]
    sk = f"{stood['sk'].rpartition('#')[0]}#{format_stamp(nights.clock + DAY)}"
    put(
        nights.table,
        {**without_steps(stood), "sk": sk},
        stage=Stage.FAILED,
        warned=format_stamp(nights.clock + DAY),
    )
    nights.world.add("a")


def done_to_half_done(nights: Nights) -> None:
    """What is done is said to be half done, and the resource is there again."""
    acted(nights, "a")
    put(nights.table, without_steps(records(nights.table)["a"]), stage=Stage.FAILED)
    nights.world.things["a"] = thing("a", waste())


def half_done_to_done(nights: Nights) -> None:
    """What is half done is said to be done."""
    half_done(nights, "a")
    put(nights.table, records(nights.table)["a"], stage=Stage.ACTED)


def signature_of_an_undo(nights: Nights) -> None:
    """The stage that a signature is said to be of is none that is ever signed."""
    acted(nights, "a")
    put(nights.table, records(nights.table)["a"], stage=Stage.UNDOING, signed=Stage.UNDOING)


def no_code(nights: Nights) -> None:
    """The code is taken away, so that the record looks like one of an earlier version."""
    acted(nights, "a")
    put(nights.table, {**records(nights.table)["a"], "mac": "", "undo": json.dumps({"name": "b"})})


RESUMED: dict[str, Attack] = {
    "forged acting": forged(Stage.ACTING),
    "forged failed": forged(Stage.FAILED),
    "another payload": half_done_with_another_payload,
    "done to half done": done_to_half_done,
    "another warning": another_warning,
}
UNDONE: dict[str, Attack] = {
    "forged acting": forged(Stage.ACTING),
    "forged acted": forged(Stage.ACTED),
    "forged failed": forged(Stage.FAILED),
    "forged undoing": forged(Stage.UNDOING),
    "another code": another_code,
    "another payload": another_payload,
    "another resource": another_resource,
    "half done to done": half_done_to_done,
    "signature of an undo": signature_of_an_undo,
    "no code": no_code,
}


def swept(nights: Nights) -> set[tuple[Outcome, bool]]:
    """The outcome of the next sweep for `a`, and whether it is that the record does not verify."""
    result = nights.after(timedelta(minutes=1))["a"]
    return {(result.outcome, result.cause is not None and result.cause.why in UNVERIFIED_RECORD_CODES)}


def undo(nights: Nights) -> None:
    nights.undoing.undo(Cleaner(), nights.aws, nights.of("a"), by="mallory")


@pytest.mark.parametrize("attack", RESUMED.values(), ids=RESUMED)
def test_a_record_that_was_not_signed_so_is_not_resumed(nights: Nights, attack: Attack) -> None:
    attack(nights)
    before = list(nights.world.done)

    assert swept(nights) == {(Outcome.FAILED, True)}
    assert nights.world.done == before
    assert nights.put_back == []


@pytest.mark.parametrize("attack", UNDONE.values(), ids=UNDONE)
def test_a_record_that_was_not_signed_so_is_not_undone(nights: Nights, attack: Attack) -> None:
    attack(nights)
    before, holds = list(nights.world.done), nights.holds.all(ACCOUNT, REGION)
    stage = nights.of("a").stage

    with pytest.raises(CannotUndoError, match=r"a: mac (invalid|missing)"):
        undo(nights)

    assert nights.world.done == before
    assert nights.holds.all(ACCOUNT, REGION) == holds
    assert nights.of("a").stage is stage


@pytest.mark.mutants
@cases(
    "attack, then",
    *((attack, swept) for attack in RESUMED.values()),
    *((attack, undo) for attack in UNDONE.values()),
    ids=[*(f"resumed: {name}" for name in RESUMED), *(f"undone: {name}" for name in UNDONE)],
)
def test_without_verification_it_would_be_resumed_or_undone(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, attack: Attack, then: Callable[[Nights], object]
) -> None:
    monkeypatch.setattr(actions, "verify_record", lambda *_: None)
    attack(nights)
    before = list(nights.world.done)
    then(nights)
    assert nights.world.done != before


def test_a_forged_undo_that_broke_off_is_not_asked_for_again(nights: Nights) -> None:
    forged(Stage.UNDOING)(nights)
    assert swept(nights) == {(Outcome.FAILED, True)}
    assert nights.put_back == []


def test_a_record_of_another_detector_does_not_verify_under_this_one(nights: Nights) -> None:
    acted(nights, "a")
    stood = records(nights.table)["a"]
    put(nights.table, {**stood, "pk": partition_key("action", "loft", ACCOUNT, REGION)})
    (moved,) = nights.actions.all("loft", ACCOUNT, REGION)
    with pytest.raises(CannotUndoError):
        nights.undoing.undo(Cleaner(), nights.aws, moved, by="mallory")


def test_what_is_changed_while_it_is_verified_is_not_acted_with(nights: Nights) -> None:
    """It is verified as it was read, and acted with only as it was verified."""
    half_done(nights, "a")
    stood, before = records(nights.table)["a"], list(nights.world.done)
    keys = dict(nights.actions.signatures.keys)

    class Meddling(OwnMacs):
        def verify(self, content: bytes, mac: str) -> bool:
            put(nights.table, stood, undo=json.dumps({"name": "b"}))
            return super().verify(content, mac)

    nights.actions.signatures = Signatures(keys | {SigningKey.RECORDS: Meddling()})
    assert swept(nights) == {(Outcome.FAILED, True)}
    assert nights.world.done == before


def unsigned(nights: Nights) -> Undoing:
    """What `janitor undo --unsigned` does."""
    return Undoing(
        actions=nights.actions, holds=nights.holds, clock=lambda: nights.clock, within=30 * DAY, unsigned=True
    )


def test_an_unsigned_record_is_undone_only_by_a_person_who_says_so(
    with_kms: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    acted(with_kms, "a", "b")
    key = with_kms.actions.signatures.provider(SigningKey.RECORDS)
    assert key.since() < with_kms.of("a").began  # KMS says so
    monkeypatch.setattr(KmsMacs, "since", lambda _: with_kms.clock)
    for name in ("a", "b"):
        put(with_kms.table, {**records(with_kms.table)[name], "mac": "", "signed": ""})
    put(with_kms.table, records(with_kms.table)["b"], mac="bm90IGEgbWFj")
    by_hand = unsigned(with_kms)
    with pytest.raises(CannotUndoError, match="a: mac missing"):
        undo(with_kms)

    by_hand.undo(Cleaner(), with_kms.aws, with_kms.of("a"), by="maria")
    with pytest.raises(CannotUndoError, match="b: mac invalid"):
        by_hand.undo(Cleaner(), with_kms.aws, with_kms.of("b"), by="maria")

    assert (with_kms.of("a").stage, with_kms.of("b").stage) == (Stage.UNDONE, Stage.ACTED)


def test_what_cannot_be_signed_is_not_begun(with_kms: Nights, box: Control) -> None:
    with_kms.warned("a")
    box.fault("kms", "GenerateMac", "deny", times=0)
    result = with_kms.after(4 * DAY)["a"]
    assert (result.outcome, with_kms.world.done) == (Outcome.FAILED, [])
    assert not_none(result.cause).why is CauseCode.NOTHING_DONE


def test_a_developer_who_may_write_to_the_table_can_have_nothing_undone(
    notebook: Deployment, table: Table
) -> None:
    notebook.press("now", MEMBER)
    (action,) = actions.Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    iam = IamControl(notebook.box.url)
    iam.enforce({DEVELOPER: role(allow("dynamodb:*"))})
    theirs = boto3.Session(**iam.credentials(DEVELOPER, service=None), region_name=REGION)
    kms = kms_signatures(make_client(theirs, "kms", REGION, 2), KEYS)
    with pytest.raises(ClientError, match="not authorized to perform: kms:GenerateMac"):
        kms.sign(SignedKind.ACTION, signed_content(action, action.stage))
    item = not_none(table.get(action.pk, action.sk))
    put(Table(make_client(theirs, "dynamodb", REGION, 2), TABLE), item, undo=json.dumps({"name": "x"}))

    answer = handlers.undo(event(action.id), notebook.context())

    assert not answer["done"]
    assert "not the one that was signed" in answer["why"]
    assert "*Could not be" in said(notebook.warnings()[-1]) or action.message


def event(finding: str) -> dict[str, str]:
    return {"detector": "idle-notebooks", "region": REGION, "finding": finding, "by": "mallory"}


def test_a_refusal_is_counted_and_said_in_slack(
    notebook: Deployment, table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.press("now", MEMBER)
    (action,) = actions.Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    item = not_none(table.get(action.pk, action.sk))
    put(table, item, undo=json.dumps({"name": "x"}))
    capsys.readouterr()

    notebook.press("undo", MEMBER)

    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "RecordsRefused" in line]
    assert [one["RecordsRefused"] for one in counted] == [[1.0]]
    assert "*Could not be brought back" in said(notebook.warnings()[-1])
    assert "not the one that was signed" in said(notebook.warnings()[-1])

    notebook.later(timedelta(minutes=5))
    notebook.sweep("idle-notebooks")
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "RecordsRefused" in line]
    assert [one["RecordsRefused"] for one in again] == [[1.0]]
    assert notebook.now > NOW
