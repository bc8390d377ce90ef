"""A person's name leaves the ledger and the reports: what is signed stays signed, resources keep names."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fakes import result_of
from memory_table import MemoryTable
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.actions import Actions, Stage, verify_record
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.signatures import Signatures
from ml_janitor.report.html import pack_entries
from ml_janitor_cli.forget import Replacement, forget_in_ledger
from reports import NOW
from standin import Nights, own_signatures
from tables import cases

ANNA = Replacement("anna", "person-1")


@cases(
    "text, shown",
    ("anna", "person-1"),
    ("Anna (U0123ABC)", "person-1"),
    ("opened by anna, and by bob", "opened by person-1, and by bob"),
    ("ask anna.", "ask person-1."),
    ("anna.lopez", "anna.lopez"),
    ("anna@example.com", "anna@example.com"),
    ("joanna and anna-notebook", "joanna and anna-notebook"),
    ("arn:aws:iam::123456789012:user/anna", "arn:aws:iam::123456789012:user/anna"),
)
def test_a_name_is_replaced_where_it_is_the_persons(text: str, shown: str) -> None:
    assert ANNA.text(text) == shown
    assert ANNA.value({"a": [text], "b": json.dumps({"tag": text})}) == {
        "a": [shown],
        "b": json.dumps({"tag": shown}),
    }


def test_the_findings_that_a_page_packs_are_replaced_too() -> None:
    page = f"<p>anna</p><script>{pack_entries([{'owner': 'anna', 'name': 'x' * 50}])}</script>"
    packed = pack_entries([{"owner": "person-1", "name": "x" * 50}])
    assert ANNA.report(page) == f"<p>person-1</p><script>{packed}</script>"


def owned(actions: Actions) -> None:
    """An action that would bring anna's tag back."""
    actions.begin(result_of("lamp"), {"tags": {"owner": "anna"}}, warned=NOW, now=NOW)


def test_what_was_signed_verifies_afterwards_and_what_was_forged_stays_as_it_is() -> None:
    table, signatures = MemoryTable(), own_signatures()
    actions = Actions(table, signatures)
    owned(actions)
    kept = Hold(key="arn:anna", how=HoldKind.KEPT, by="Anna (U1)", given=NOW, why="ask anna")
    Holds(table).put("1", "r", kept)

    assert forget_in_ledger(table, signatures, ANNA) == (2, [])
    (again,) = actions.everywhere()
    assert again.undo == {"tags": {"owner": "person-1"}}
    verify_record(signatures, again)
    (held,) = Holds(table).all("1", "r")["arn:anna"]
    assert (held.by, held.why) == ("person-1", "ask person-1")

    table.change(again.pk, again.sk, set_to={"undo": json.dumps({"tags": {"owner": "bob"}})})
    changed, (left,) = forget_in_ledger(table, signatures, Replacement("bob", "person-2"))
    assert (changed, "does not verify" in left) == (0, True)
    table.change(again.pk, again.sk, set_to={"undo": json.dumps(again.undo), "stage": Stage.UNDONE})
    table.change(again.pk, again.sk, set_to={"undone_by": "bob"})
    changed, (left,) = forget_in_ledger(table, signatures, Replacement("bob", "person-2"))
    assert (changed, "does not verify" in left) == (0, True)


def test_a_warning_that_names_the_person_verifies_afterwards(nights: Nights) -> None:
    table, signatures = nights.table, own_signatures()
    nights.warned("lamp")
    nights.ledger.make_due(nights.entries()["lamp"], by="anna", now=nights.clock)

    assert forget_in_ledger(table, signatures, ANNA)[1] == []
    again = nights.entries()["lamp"]
    assert (again.hurried, nights.ledger.is_signed(again)) == ("person-1", True)
    table.change(again.pk, again.sk, set_to={"hurried": "bob"})
    changed, (left,) = forget_in_ledger(table, signatures, Replacement("bob", "person-2"))
    assert (changed, "does not verify" in left) == (0, True)


@cases(
    "value, shown",
    ('{"b":1,"a":["x"]}', '{"b":1,"a":["x"]}'),
    (json.dumps({"tag": "Zoë"}), '{"tag": "person-1"}'),
    (json.dumps(["Zoë"]), '["person-1"]'),
    ("[Zoë] said", "[person-1] said"),
    pytest.param({"Zoë", "bob"}, {"person-1", "bob"}, id="a set"),  # whose order is no name of a test
    (3, 3),
    ids=str,
)
def test_json_in_a_text_stays_json_and_what_names_nobody_stays_to_the_letter(
    value: object, shown: object
) -> None:
    assert Replacement("Zoë", "person-1").value(value) == shown


class Busy(MemoryTable):
    """A table in which somebody else changes every item just after it was read."""

    def scan(self, start: str = "") -> Iterator[dict[str, Any]]:
        for item in super().scan(start):
            self.change(item["pk"], item["sk"], set_to={"why": "anna again"})
            yield item


def test_what_is_being_undone_or_was_changed_meanwhile_is_left_for_the_next_time() -> None:
    table, signatures = MemoryTable(), own_signatures()
    owned(Actions(table, signatures))
    (action,) = Actions(table, signatures).everywhere()
    table.change(action.pk, action.sk, set_to={"stage": Stage.UNDOING})
    changed, (left,) = forget_in_ledger(table, signatures, ANNA)
    assert (changed, left) == (0, f"{action.pk} {action.sk}: it is being undone; run this again afterwards")

    busy = Busy()
    Holds(busy).put("1", "r", Hold(key="arn:x", how=HoldKind.KEPT, by="Anna (U1)", given=NOW, why="ask anna"))
    changed, (left,) = forget_in_ledger(busy, signatures, ANNA)
    assert (changed, "it was changed meanwhile; run this again" in left) == (0, True)


def test_a_signed_record_without_its_key_is_left_and_named() -> None:
    table = MemoryTable()
    owned(Actions(table, own_signatures()))
    before = list(table.scan())

    changed, (left,) = forget_in_ledger(table, Signatures(), ANNA)

    assert (changed, "JANITOR_UNDO_KEY is not set" in left, list(table.scan())) == (0, True, before)
