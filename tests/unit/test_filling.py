"""What is filled in, where, and under which permission."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ml_janitor.core.model import Absent, NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.detectors.untagged_resources.reading import Creator
from ml_janitor.detectors.untagged_resources.rule import (
    UntaggedResources,
    additions_text,
    fill_undo_text,
    find_tag_lacks,
    is_filled,
    is_possible_value,
    owner_of_creator,
    tag_adding_grants,
    tag_additions,
    tag_removing_grants,
)
from ml_janitor.engine.detector import Condition
from tables import cases

REQUIRED = ("team", "environment", "owner")
FILL = {"environment": "unknown", "owner": "nobody"}
ANNA = Creator(name="anna@example.com", role="single sign-on as Lab", person=True)
ROBOT = Creator(name="ci-deployer", role="role ci", person=False)
COMMA = Creator(name="menon,ravi", role="IAM user", person=True)


def adding(tags: Tags, creator: Signal[Creator] | None = None, **how: Any) -> dict[str, str]:
    arguments = {"creator_owns": True, **how}
    return tag_additions(find_tag_lacks(REQUIRED, tags), FILL, creator or Value(ROBOT), **arguments)


@cases(
    "tags, expected",
    ({}, {"environment": "unknown", "owner": "nobody"}),
    ({"environment": "prod"}, {"owner": "nobody"}),
    ({"environment": ""}, {"owner": "nobody"}),
    ({"environment": "  "}, {"owner": "nobody"}),
    ({"Environment": "prod"}, {"owner": "nobody"}),
    ({"ENVIRONMENT ": ""}, {"owner": "nobody"}),
    ({"environment": "prod", "owner": "kim"}, {}),
    ({"env": "prod", "aws:environment": "x"}, {"environment": "unknown", "owner": "nobody"}),
)
def test_only_what_is_absent_is_filled(tags: Tags, expected: dict[str, str]) -> None:
    assert adding(tags) == expected


@cases(
    "creator, owner",
    (Value(ANNA), "anna@example.com"),
    (Value(ROBOT), "nobody"),
    (Value(COMMA), "nobody"),
    (Absent(), "nobody"),
    (Unreadable("denied"), None),
    (NotRead(), None),
)
def test_the_creator_is_the_owner_if_it_is_a_person(creator: Signal[Creator], owner: str | None) -> None:
    assert adding({}, creator).get("owner") == owner
    assert adding({}, creator, creator_owns=False)["owner"] == "nobody"


@cases(
    "name, domain, owner",
    ("aisha.bello", "example.com", "aisha.bello@example.com"),
    ("aisha.bello", "", "aisha.bello"),
    ("anna@acme.example", "example.com", "anna@acme.example"),
)
def test_a_name_becomes_an_address_where_a_domain_is_set(name: str, domain: str, owner: str) -> None:
    creator: Signal[Creator] = Value(replace(ANNA, name=name), "trail")
    assert adding({}, owner_of_creator(creator, domain))["owner"] == owner
    assert owner_of_creator(creator, domain) == Value(replace(ANNA, name=owner), "trail")


@pytest.mark.parametrize("creator", [Value(ROBOT), Absent("t"), Unreadable("no", "t"), NotRead()])
def test_nobody_else_gets_an_address(creator: Signal[Creator]) -> None:
    assert owner_of_creator(creator, "example.com") == creator


@pytest.mark.parametrize("domain", ["@example.com", "example", "https://a.example", "a.example ", "ex_a.b"])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="owner_domain: expected a domain"):
        UntaggedResources(owner_domain=domain)


def test_the_words_of_an_undo_name_keys_and_no_values() -> None:
    assert fill_undo_text("lamp", {"owner": "x", "team": "y"}, "is") == (
        "what was filled in is removed from lamp, unless it was changed since: owner, team"
    )


def test_the_owner_may_be_required_in_another_spelling() -> None:
    assert tag_additions(find_tag_lacks(("Owner",), {}), {}, Value(ANNA), creator_owns=True) == {
        "Owner": ANNA.name
    }


def test_a_creator_is_never_another_tag() -> None:
    assert tag_additions(find_tag_lacks(("team",), {}), {}, Value(ANNA), creator_owns=True) == {}


@cases(
    "value, fits",
    ("unknown", True),
    ("Zürich_2 a.b:c/d=e+f-g@h", True),
    ("x" * 256, True),
    ("x" * 257, False),
    ("", False),
    ("  ", False),
    ("a,b", False),
    ("a\n", False),
)
def test_what_can_be_a_tag_s_value(value: str, *, fits: bool) -> None:
    assert is_possible_value(value) is fits


@cases(
    "fill, said",
    ({"enviroment": "unknown"}, "'enviroment' is none of the required tags (team"),
    ({"team": ""}, "team cannot be ''"),
    ({"team": "a,b"}, "team cannot be 'a,b'"),
)
def test_settings_that_could_not_work_are_refused(fill: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        UntaggedResources(fill_tags=fill)


def test_tags_that_are_aws_s_own_cannot_be_filled() -> None:
    with pytest.raises(ValueError, match="is for AWS to set"):
        UntaggedResources(required=("aws:team",), fill_tags={"aws:team": "x"})


def test_in_words() -> None:
    assert additions_text({"team": "ml"}) == "add team = ml"
    assert additions_text({"a": "1", "b": "2", "c": "3"}) == "add a = 1, b = 2 and c = 3"


def test_it_is_filled_once_each_key_is_there_in_any_spelling() -> None:
    assert is_filled({"team": "x"}, {"Team": ""})
    assert is_filled({"cost-center": "x"}, {"CostCenter": "4711"})
    assert not is_filled({"team": "x", "owner": "y"}, {"team": "x"})


def test_each_key_is_added_under_a_permission_of_its_own_and_only_where_it_is_absent() -> None:
    grants = list(tag_adding_grants(["team", "owner"]))

    assert {grant.action for grant in grants} == {"sagemaker:AddTags", "s3:TagResource", "ecr:TagResource"}
    assert {grant.when[:3] for grant in grants} == {
        (
            Condition("ForAllValues:StringEquals", "aws:TagKeys", (key,)),
            Condition("Null", "aws:TagKeys", ("false",)),
            Condition("Null", f"aws:ResourceTag/{key}", ("true",)),
        )
        for key in ("team", "owner")
    }


def test_only_required_keys_can_be_removed() -> None:
    (when,) = {grant.when[:2] for grant in tag_removing_grants(["team", "owner"])}

    assert when[0] == Condition("ForAllValues:StringEquals", "aws:TagKeys", ("team", "owner"))
    assert when[1] == Condition("Null", "aws:TagKeys", ("false",))


@cases(
    "tunables, keys",
    ({}, set()),
    ({"fill_owner": True}, {"owner"}),
    ({"fill_tags": {"team": "ml"}, "fill_owner": True}, {"owner", "team"}),
    ({"fill_tags": {"owner": "ml"}}, {"owner"}),
    ({"required": ("team",), "fill_owner": True}, set()),
    ({"required": ("Owner",), "fill_owner": True}, {"Owner"}),
)
def test_what_it_may_do_follows_its_settings(tunables: dict[str, Any], keys: set[str]) -> None:
    detector = UntaggedResources(**tunables)

    assert {key for grant in detector.acts for key in grant.when[0].values} == keys
    assert (detector.never_acts() is None) is bool(keys)
