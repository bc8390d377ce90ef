"""Which items of the ledger each function may read and write, written by hand; and statements from grants."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fakes import Shelf, Tunable
from ml_janitor.config.member_roles import (
    deny_kept_resources,
    group_conditions,
    group_grants,
    is_changing_action,
    tag_spellings,
)
from ml_janitor.core.model import Change
from ml_janitor.core.ownership import NEGATIONS
from ml_janitor.engine.detector import Condition, Grant, allow
from ml_janitor.ledger import uses
from tables import cases

PUT, UPDATE, DELETE, GET, QUERY = "PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query"


@dataclass(frozen=True)
class Commits(Tunable):
    """Asks for commitments."""

    name = "commits"
    asks_for = Change.COMMIT


@dataclass(frozen=True)
class Spares(Tunable):
    """Leaves alone what undos need."""

    name = "spares"
    spares_undos = True


def once(name: str) -> dict[str, tuple[str, ...]]:
    return {f"idempotency#{name}": (PUT, UPDATE, DELETE)}


def sweep(name: str) -> dict[str, tuple[str, ...]]:
    return {
        f"finding#{name}#*": (QUERY, UPDATE),
        f"sweep#{name}#*": ("BatchGetItem", PUT),
        f"lease#{name}#*": (PUT, DELETE),
        "hold#*": (QUERY,),
        **once(name),
    }


SHELF = sweep("shelf") | {"action#shelf#*": (QUERY, UPDATE), "request#shelf#*": (QUERY,)}
ARMED = SHELF | {"action#shelf#*": (QUERY, UPDATE, PUT), "limit": (UPDATE,)}
DIGEST: dict[str, tuple[str, ...]] = {
    "finding#*": (QUERY,),
    "action#*": (QUERY,),
    "hold#*": (QUERY, UPDATE),
    "sweep#*": (GET,),
    "digest#*": (GET, PUT),
    **once("digest"),
}
BILL: dict[str, tuple[str, ...]] = {
    "finding#*": (QUERY,),
    "action#*": (QUERY,),
    "bill#*": (GET, PUT),
    "digest#*": (GET,),
    **once("bill"),
}


UNDO: dict[str, tuple[str, ...]] = {
    "action#*": (QUERY, UPDATE),
    "finding#*": (QUERY,),
    "lease#*": (GET, PUT, DELETE),
    "hold#*": (PUT,),
    **once("undo"),
}
PRESS: dict[str, tuple[str, ...]] = {
    "finding#*": (QUERY,),
    "action#*": (QUERY,),
    "hold#*": (QUERY, PUT),
    "request#*": (PUT,),
    **once("press"),
}
COMMITS = sweep("commits") | {"finding#commits#*": (UPDATE,), "finding#*": (QUERY,)}
DIGEST_OF_ALL = DIGEST | {"sweep#*": ("BatchGetItem",), "organization": (GET,), "bill#*": (GET, PUT)}


@cases(
    "used, expected",
    (lambda: uses.sweep_uses(Tunable(), armed=False), sweep("tunable-things")),
    (lambda: uses.sweep_uses(Shelf(), armed=False), SHELF),
    (lambda: uses.sweep_uses(Shelf(), armed=True), ARMED),
    (lambda: uses.sweep_uses(Shelf(), armed=False, organization=True), SHELF | {"organization": (GET,)}),
    (lambda: uses.sweep_uses(Commits(), armed=False), COMMITS),
    (lambda: uses.sweep_uses(Spares(), armed=False), sweep("spares") | {"action#*": (QUERY,)}),
    (uses.accounts_uses, {"sweep#*": ("BatchGetItem", PUT), "organization": (GET, PUT, UPDATE)}),
    (lambda: uses.digest_uses(bill=False), DIGEST),
    (lambda: uses.digest_uses(bill=True, organization=True), DIGEST_OF_ALL),
    (uses.bill_uses, BILL),
    (lambda: uses.bill_uses(organization=True), BILL | {"organization": (GET,)}),
    (uses.undo_uses, UNDO),
    (uses.press_uses, PRESS),
)
def test_what_each_function_uses_of_the_ledger(
    used: Callable[[], Mapping[str, tuple[str, ...]]], expected: dict[str, tuple[str, ...]]
) -> None:
    assert dict(used()) == expected


def test_uses_are_granted_by_their_partition_keys() -> None:
    table = "arn:aws:dynamodb:us-east-1:123456789012:table/ledger"

    found = uses.table_grants({"hold#*": (QUERY, PUT), "limit": (UPDATE,)}, table)

    assert [(one.action, one.on) for one in found] == [
        ("dynamodb:Query", table),
        ("dynamodb:PutItem", table),
        ("dynamodb:UpdateItem", table),
    ]
    keys = [
        Condition("ForAllValues:StringLike", "dynamodb:LeadingKeys", (key,)) for key in ("hold#*", "limit")
    ]
    assert [one.when for one in found] == [(keys[0],), (keys[0],), (keys[1],)]
    assert {GET, "BatchGetItem", QUERY} == uses.TABLE_READS
    merged = uses.merged_table_grants(({"hold#*": (QUERY, PUT)}, {"hold#*": (PUT,), "limit": (PUT,)}), table)
    both = Condition("ForAllValues:StringLike", "dynamodb:LeadingKeys", ("hold#*", "limit"))
    assert merged == (
        allow("dynamodb:Query", on=table, when=(keys[0],)),
        allow("dynamodb:PutItem", on=table, when=(both,)),
    )


# --- statements ---------------------------------------------------------------------------------

HERE = (Condition("StringEquals", "aws:RequestedRegion", ("eu-west-1",)),)


def on(grant: Grant) -> Iterator[tuple[str, tuple[Condition, ...]]]:
    yield f"arn:{grant.on}", HERE if grant.on == "b" else ()
    if grant.on == "c":
        yield "arn:d", ()


def test_grants_are_grouped_by_resources_and_conditions_and_sorted() -> None:
    grants = [allow("s3:PutObject", on="a"), allow("s3:GetObject", on="a"), allow("s3:GetObject", on="b")]
    grants += [allow("s3:GetObject", on="c"), allow("s3:GetObject", on="a")]

    assert list(group_grants(grants, on)) == [
        (("s3:GetObject", "s3:PutObject"), (), ["arn:a"]),
        (("s3:GetObject",), (), ["arn:c", "arn:d"]),
        (("s3:GetObject",), HERE, ["arn:b"]),
    ]
    assert list(group_grants(reversed(grants), on)) == list(group_grants(grants, on))


def test_merged_statements_are_those_of_one_service_each() -> None:
    def every(grant: Grant) -> Iterator[tuple[str, tuple[Condition, ...]]]:
        yield f"arn:aws:{grant.action.partition(':')[0]}:*:1:{grant.on}", ()

    reads = [("sagemaker:DescribeModel", "model/*"), ("sagemaker:DescribeApp", "app/*")]
    grants = [allow(action, on=on) for action, on in (*reads, ("ecr:ListImages", "repository/*"))]

    models, apps, images = (
        f"arn:aws:{name}:*:1:{on}"
        for name, on in (("sagemaker", "model/*"), ("sagemaker", "app/*"), ("ecr", "repository/*"))
    )
    alone, both = (("ecr:ListImages",), (), [images]), ("sagemaker:DescribeApp", "sagemaker:DescribeModel")
    assert list(group_grants(grants, every, merged=True)) == [alone, (both, (), [apps, models])]
    assert list(group_grants(grants, every)) == [alone, ((both[0],), (), [apps]), ((both[1],), (), [models])]


def test_all_conditions_of_a_statement_hold() -> None:
    both = (
        *HERE,
        Condition("StringEquals", "aws:ResourceAccount", ("1",)),
        Condition("Null", "x", ("true",)),
    )

    assert group_conditions(both) == {
        "StringEquals": {"aws:RequestedRegion": ["eu-west-1"], "aws:ResourceAccount": ["1"]},
        "Null": {"x": ["true"]},
    }


def test_what_is_tagged_to_be_kept_is_denied_to_what_changes_something() -> None:
    grants = [allow(name) for name in ("sagemaker:StopApp", "sagemaker:ListApps", "sagemaker:DeleteApp")]

    found = deny_kept_resources(grants, ["janitor:keep"])

    tags = ["janitor:keep", "janitor-keep", "janitor_keep"]
    assert [one["Effect"] for one in found] == ["Deny"] * 3
    assert [one["Action"] for one in found] == [["sagemaker:DeleteApp", "sagemaker:StopApp"]] * 3
    expected: list[dict[str, Any]] = [
        {
            "Null": {f"aws:ResourceTag/{tag}": "false"},
            "StringNotEqualsIgnoreCase": {f"aws:ResourceTag/{tag}": sorted(NEGATIONS)},
        }
        for tag in tags
    ]
    assert [one["Condition"] for one in found] == expected
    assert deny_kept_resources([allow("sagemaker:ListApps")], ["keep"]) == []


def test_a_keep_tag_is_spelled_in_its_own_way_first() -> None:
    assert tag_spellings(["a_b-c", "keep"]) == ["a_b_c", "a-b-c", "a:b:c", "keep"]
    assert [is_changing_action(name) for name in ("s3:PutObject", "s3:GetObject", "ecr:BatchGetImage")] == [
        True,
        False,
        False,
    ]
