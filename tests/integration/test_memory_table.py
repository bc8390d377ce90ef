"""The table that tests keep in memory answers, writes and refuses as the one in the sandbox does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from boto3.dynamodb.conditions import Attr

from conftest import NOW
from memory_table import MemoryTable
from ml_janitor.ledger.table import IF_ABSENT, WRITTEN_ATTRIBUTE, ConditionFailedError, Table

LATER = NOW + timedelta(hours=1)
TAKEN = Attr("taken")

# moto takes an attribute that is missing for None, which DynamoDB and the table in memory do not.
WORK: tuple[Callable[[Table], Any], ...] = (
    lambda table: table.get("p", "1"),
    lambda table: table.change("p", "1", set_to={"at": NOW, "none": None}, at_first={"n": 1}),
    lambda table: table.change("p", "1", set_to={"text": "b"}, at_first={"n": 2}, add={"taken": {"x"}}),
    lambda table: table.change("p", "1", add={"taken": {"x", "y"}}, remove=("text", "never")),
    lambda table: table.change("p", "1", set_to={"n": 3}, only_if=IF_ABSENT),
    lambda table: table.change("p", "2", set_to={"n": 3}, only_if=IF_ABSENT),
    lambda table: table.change("p", "2", set_to={"n": 4}, only_if=TAKEN.not_exists() | TAKEN.size().lt(2)),
    lambda table: table.change("p", "1", set_to={"n": 4}, only_if=TAKEN.size().lt(2) | TAKEN.contains("z")),
    lambda table: table.change("p", "1", set_to={"n": 5}, only_if=TAKEN.size().lt(3)),
    lambda table: table.change("p", "1", set_to={"n": 5}, only_if=TAKEN.size().lt(2) | TAKEN.contains("y")),
    lambda table: table.change("p", "1", set_to={"n": 6}, only_if=Attr("at").lte(LATER) & ~Attr("n").eq(4)),
    lambda table: table.change("p", "1", set_to={"n": 7}, only_if=Attr("at").gt(LATER), signed=True),
    lambda table: table.change("p", "1", set_to={"n": 8}, only_if=Attr("none").eq(None), signed=True),
    lambda table: table.change("p", "1", set_to={"n": 9}, only_if=Attr("none").lte("z")),
    lambda table: table.change("p", "2", set_to={"n": 9}, only_if=Attr("n").ne(4)),
    lambda table: table.change("p", "2", set_to={"n": 9}, only_if=Attr("other").ne(4) & Attr("n").exists()),
    lambda table: table.change("p", "2", set_to={"n": 10}, only_if=Attr("other").lt(4)),
    lambda table: table.put("q", "s" * 2000, {"at": NOW, "list": ["a", {"b": 1}]}),
    lambda table: table.put("q", "s" * 2000, {"n": 1}, only_if=IF_ABSENT, signed=True),
    lambda table: table.delete("p", "2", only_if=Attr("n").lt(9)),
    lambda table: table.delete("p", "2", only_if=Attr("n").eq(9)),
    lambda table: table.delete("p", "2"),
    lambda table: list(table.query("p")),
    lambda table: list(table.query("nobody")),
    lambda table: sorted(table.scan(""), key=str),
    lambda table: list(table.scan("q")),
    lambda table: table.get("q", "s" * 2000),
    lambda table: list(table.get_many([("p", "1"), ("p", "2")], sleep=lambda _: None).values()),
)


def _done(work: Callable[[Table], Any], table: Table) -> Any:
    try:
        done = work(table)
    except ConditionFailedError as refused:
        done = ("refused", dict(refused.item))
    if isinstance(done, tuple | dict) and (item := done[1] if isinstance(done, tuple) else done):
        item.pop(WRITTEN_ATTRIBUTE, None)
    return [{**one, WRITTEN_ATTRIBUTE: ""} for one in done] if isinstance(done, list) else done


def test_both_tables_do_the_same(table: Table) -> None:
    memory = MemoryTable()

    for number, work in enumerate(WORK):
        assert _done(work, memory) == _done(work, table), number
