"""What is asked of DynamoDB and made of its answers; that it does as asked, the sandbox says."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError

from fakes import Answers
from ml_janitor.aws.calls import ReadError
from ml_janitor.ledger.table import (
    WRITTEN_ATTRIBUTE,
    ConditionFailedError,
    Table,
    format_stamp,
    item_key,
    partition_key,
)
from tables import cases

KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
FREE = Attr("holder").not_exists()


def refusal(
    code: str = "ConditionalCheckFailedException", item: Mapping[str, Any] | None = None
) -> ClientError:
    left = {} if item is None else {"Item": item}
    return ClientError({"Error": {"Code": code}, **left}, "PutItem")  # type: ignore[typeddict-item]


def table(client: Any) -> Table:
    return Table(client, "ledger")


# --- reading -----------------------------------------------------------------------------------------


def test_an_item_is_read_as_it_stands_now() -> None:
    client = Answers({"Item": {**KEY, "n": {"N": "1"}}}, {})
    assert [table(client).get("p", "s") for _ in range(2)] == [{"pk": "p", "sk": "s", "n": 1}, None]
    assert client.asked == [("get_item", {"TableName": "ledger", "Key": KEY, "ConsistentRead": True})] * 2


def everything(request: dict[str, Any]) -> dict[str, Any]:
    return {"Responses": {"ledger": request["RequestItems"]["ledger"]["Keys"]}, "UnprocessedKeys": {}}


@cases("keys, batches", (0, []), (1, [1]), (100, [100]), (101, [1, 100]), (250, [50, 100, 100]))
def test_many_items_are_read_by_the_hundred(keys: int, batches: list[int]) -> None:
    client, wanted = Answers(*[everything] * 3), [("p", f"{number:03}") for number in range(keys)]

    found = table(client).get_many(wanted, sleep=lambda _: None)

    assert found == {(pk, sk): {"pk": pk, "sk": sk} for pk, sk in wanted}
    asked = [request["RequestItems"]["ledger"] for _, request in client.asked]
    assert sorted(len(one["Keys"]) for one in asked) == batches
    assert {one["ConsistentRead"] for one in asked} <= {True}


def left_out(request: dict[str, Any]) -> dict[str, Any]:
    return {"Responses": {}, "UnprocessedKeys": request["RequestItems"]}


def test_what_was_left_out_is_asked_for_again_after_ever_longer_pauses() -> None:
    client, slept = Answers(*[left_out] * 11, everything), list[float]()

    assert list(table(client).get_many([("p", "s")], sleep=slept.append)) == [("p", "s")]
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5, 5]
    with pytest.raises(ReadError, match="left items out of 12 answers"):
        table(Answers(*[left_out] * 12, everything)).get_many([("p", "s")], sleep=lambda _: None)


def test_all_pages_are_read_as_they_stand_now() -> None:
    asked = list[dict[str, Any]]()

    def paginate(**request: Any) -> list[dict[str, Any]]:
        asked.append(request)
        return [{"Items": [KEY]}, {"Items": []}, {"Items": [KEY]}]

    client = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=paginate))

    assert [list(table(client).query("p")), list(table(client).scan("p"))] == [
        [{"pk": "p", "sk": "s"}] * 2
    ] * 2
    assert [request["ConsistentRead"] for request in asked] == [True] * 2


# --- writing -----------------------------------------------------------------------------------------


def put(client: Answers, **how: Any) -> None:
    table(client).put("p", "s", {"n": 1}, **how)


def change(client: Answers, **how: Any) -> dict[str, Any]:
    return table(client).change("p", "s", set_to={"n": 1}, **how)


def test_a_write_that_is_not_signed_asks_for_nothing_back() -> None:
    client = Answers({}, {"Attributes": {**KEY, "n": {"N": "1"}}}, {}, {})
    put(client)
    assert change(client) == {"pk": "p", "sk": "s", "n": 1}
    put(client, only_if=FREE)
    table(client).delete("p", "s", only_if=FREE)

    assert client.asked[0][1] == {"TableName": "ledger", "Item": {**KEY, "n": {"N": "1"}}}
    assert [sorted(request) for _, request in client.asked[2:]] == [
        ["ConditionExpression", "ExpressionAttributeNames", "Item", "TableName"],
        ["ConditionExpression", "ExpressionAttributeNames", "Key", "TableName"],
    ]


@pytest.mark.parametrize("write", [put, change])
def test_a_refusal_says_what_stands_there(write: Any) -> None:
    with pytest.raises(ConditionFailedError) as unsigned:
        write(Answers(refusal()), only_if=FREE)
    with pytest.raises(ConditionFailedError) as signed:
        write(
            Answers(refusal(item={WRITTEN_ATTRIBUTE: {"S": "another"}, "holder": {"S": "x"}})),
            only_if=FREE,
            signed=True,
        )
    with pytest.raises(ConditionFailedError) as older:
        write(Answers(refusal(item={"holder": {"S": "x"}})), only_if=FREE, signed=True)

    assert (unsigned.value.item, str(signed.value)) == ({}, ""), "no message repeats an item"
    assert signed.value.item == {WRITTEN_ATTRIBUTE: "another", "holder": "x"}
    assert older.value.item == {"holder": "x"}


def written_before(request: dict[str, Any]) -> ClientError:
    """The first try was carried out, and its answer was lost."""
    assert request["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    mark = (
        request["Item"][WRITTEN_ATTRIBUTE]
        if "Item" in request
        else request["ExpressionAttributeValues"][f":{WRITTEN_ATTRIBUTE}"]
    )
    return refusal(item={**KEY, "n": {"N": "1"}, WRITTEN_ATTRIBUTE: mark})


def test_a_signed_write_whose_answer_was_lost_has_succeeded() -> None:
    put(Answers(written_before), only_if=FREE, signed=True)
    left = change(Answers(written_before), only_if=FREE, signed=True)
    assert (left["n"], len(left[WRITTEN_ATTRIBUTE])) == (1, 32)


@pytest.mark.parametrize("write", [put, change])
def test_another_error_is_raised_as_it_is(write: Any) -> None:
    with pytest.raises(ClientError, match="Throttling"):
        write(Answers(refusal("ThrottlingException")), signed=True)
    with pytest.raises(ClientError, match="unknown"):
        write(Answers(ClientError({}, "unknown")), only_if=FREE)


# --- keys and times ------------------------------------------------------------------------------------


def test_a_long_key_is_cut_and_stays_one_of_its_own() -> None:
    """A sort key has at most 1,024 bytes; the text that is kept is whole."""
    assert item_key("p", "s" * 1000) == {"pk": "p", "sk": "s" * 1000}
    for long, readable in (("s" * 1001, "s" * 900), ("s" + "é" * 600, "s" + "é" * 449)):
        assert item_key("p", long) == {"pk": "p", "sk": f"{readable}...{sha256(long.encode()).hexdigest()}"}


def test_a_partition_is_named_so_that_a_person_can_read_it() -> None:
    assert (
        partition_key("lease", "shelf", "123456789012", "us-east-1") == "lease#shelf#123456789012#us-east-1"
    )


def test_a_time_is_utc_to_the_second() -> None:
    berlin = timezone(timedelta(hours=2))
    assert format_stamp(datetime(2026, 10, 6, 5, 0, 1, 999, tzinfo=berlin)) == "2026-10-06T03:00:01Z"


@cases(
    "verb, refused, calls",
    ("put", False, ["transact"] * 2),
    ("put", True, ["transact", *["put"] * 100, "transact", *["put"] * 30]),
    ("update", False, ["transact"] * 2),
    ("update", True, ["transact", *["update"] * 100, "transact", *["update"] * 30]),
)
def test_many_items_are_written_by_the_hundred_or_one_by_one(
    verb: str, *, refused: bool, calls: list[str]
) -> None:
    made, written = list[str](), list[dict[str, Any]]()

    class Client:
        def transact_write_items(self, *, TransactItems: Any) -> None:  # noqa: N803
            made.append("transact")
            if refused:
                raise refusal("TransactionCanceledException")
            written.extend(each[verb.capitalize()] for each in TransactItems)

        def put_item(self, **item: Any) -> None:
            made.append("put")
            if item["Item"]["sk"] == {"S": "7"}:
                raise refusal()
            written.append(item)

        def update_item(self, *, ReturnValues: str, **item: Any) -> Any:  # noqa: N803
            made.append("update")
            written.append(item)
            return {"Attributes": {"returned": {"S": ReturnValues}}}

    keys = [str(number) for number in range(130)]
    if verb == "put":
        table(Client()).put_all([("p", key, {"n": 1}) for key in keys], only_if=FREE)
        named = [item["Item"]["sk"]["S"] for item in written]
        assert {item["ConditionExpression"] for item in written} == {"attribute_not_exists(#n0)"}
    else:
        table(Client()).change_all([{"pk": "p", "sk": key, "set_to": {"n": 1}} for key in keys])
        named = [item["Key"]["sk"]["S"] for item in written]
        assert {item["UpdateExpression"] for item in written} == {"SET #n = :n"}

    assert made == calls
    assert {item["TableName"] for item in written} == {"ledger"}
    assert named == [key for key in keys if not (refused and verb == "put" and key == "7")]
