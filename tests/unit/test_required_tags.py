"""What counts as a required tag, and how what is wrong with one is said."""

from __future__ import annotations

from ml_janitor.detectors.untagged_resources.rule import TagFault, find_tag_lacks, tag_lack_reason, tag_remedy
from tables import cases

REQUIRED = ("team", "cost-center")
TEAM = {"team": "vision"}


@cases(
    "tags, expected",
    ({"cost-center": "4711"}, None),
    ({"cost-center": " 4711 "}, None),
    ({"cost-center": "4711", "Cost-Center": "4712"}, None),
    ({}, (TagFault.MISSING, ())),
    ({"cost_center": "4711"}, (TagFault.MISSPELT, ("cost_center",))),
    ({"CostCenter": "4711"}, (TagFault.MISSPELT, ("CostCenter",))),
    ({"cost-center": "4711", "CostCenter": ""}, None),
    ({"cost": "4711"}, (TagFault.MISSING, ())),
    ({"cost-centers": "4711"}, (TagFault.MISSING, ())),
    ({"aws:cost-center": "4711"}, (TagFault.MISSING, ())),
    ({"AWS: cost-center": "4711"}, (TagFault.MISSING, ())),
    ({"cost-center": ""}, (TagFault.EMPTY, ())),
    ({"cost-center": " \t"}, (TagFault.EMPTY, ())),
    ({"cost-center": "", "Cost-Center": "4711"}, (TagFault.EMPTY, ("Cost-Center",))),
    ({"Cost-Center": ""}, (TagFault.MISSPELT, ("Cost-Center",))),
    ({"Cost-Center": "4711"}, (TagFault.MISSPELT, ("Cost-Center",))),
    ({" cost-center ": "4711"}, (TagFault.MISSPELT, (" cost-center ",))),
    ({"cost- center": "4711"}, (TagFault.MISSPELT, ("cost- center",))),
    (
        {"COST-CENTER": "1", "Cost-Center": "2", "cost-Center": " "},
        (TagFault.MISSPELT, ("COST-CENTER", "Cost-Center", "cost-Center")),
    ),
)
def test_one_required_tag(tags: dict[str, str], expected: tuple[TagFault, tuple[str, ...]] | None) -> None:
    found = [(lack.key, lack.fault, lack.spelt) for lack in find_tag_lacks(REQUIRED, TEAM | tags)]

    assert found == ([] if expected is None else [("cost-center", *expected)])


def test_the_order_is_that_of_the_required_tags() -> None:
    assert [lack.key for lack in find_tag_lacks(("b", "c", "a"), {"c": "x"})] == ["b", "a"]


def test_tags_that_aws_sets_are_nobody_s_even_if_required() -> None:
    (lack,) = find_tag_lacks(("aws:owner",), {"aws:owner": "x"})

    assert lack.fault is TagFault.MISSING


def test_nothing_is_required_of_anything() -> None:
    assert find_tag_lacks((), {}) == ()


@cases(
    "tags, said",
    ({}, "lacks 3 of 3 required tags: team, project and owner are missing"),
    ({"team": "a", "project": "b"}, "lacks 1 of 3 required tags: owner is missing"),
    (
        {"project": "", "Owner": "anna"},
        "lacks 3 of 3 required tags: team is missing; project is empty; owner is written as 'Owner'",
    ),
    (
        {"team": "a", "project": "b", "owner": " ", "Owner": "anna"},
        "lacks 1 of 3 required tags: owner is empty, and also written as 'Owner'",
    ),
    (
        {"team": "a", "project": "b", "Owner ": ""},
        "lacks 1 of 3 required tags: owner is written as 'Owner ', and empty",
    ),
)
def test_what_is_wrong_is_one_sentence(tags: dict[str, str], said: str) -> None:
    assert tag_lack_reason(find_tag_lacks(("team", "project", "owner"), tags), 3) == said


@cases(
    "tags, help_",
    ({}, "add the missing tags"),
    ({"team": "", "Owner": "anna"}, "add the missing tags"),
    ({"team": "", "owner": " "}, "fill in the empty tags"),
)
def test_only_a_person_can_fill_in_what_is_empty(tags: dict[str, str], help_: str) -> None:
    assert tag_remedy(find_tag_lacks(("team", "owner"), tags)) == help_
