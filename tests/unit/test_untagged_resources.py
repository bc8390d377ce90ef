"""Required tags: what lacks them, how that is said, and what is filled in under which permission."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import NOW
from fakes import target_at
from ml_janitor.aws import tags
from ml_janitor.core.model import Absent, Confidence, Finding, Kept, NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.detectors.untagged_resources import reading, rule
from ml_janitor.detectors.untagged_resources.reading import JUDGED_KINDS, Creator, TaggableResource
from ml_janitor.detectors.untagged_resources.rule import (
    TagFault,
    TaggedResource,
    UntaggedResources,
    additions_text,
    fill_undo_text,
    find_tag_lacks,
    is_filled,
    is_possible_value,
    owner_of_creator,
    tag_adding_grants,
    tag_additions,
    tag_lack_reason,
    tag_remedy,
    tag_removing_grants,
)
from ml_janitor.engine.detector import CannotActError, Condition
from narrowing import of_type
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


@cases(
    "required, tags, lacking",
    (("b", "c", "a"), {"c": "x"}, [("b", TagFault.MISSING), ("a", TagFault.MISSING)]),  # in their order
    (("aws:owner",), {"aws:owner": "x"}, [("aws:owner", TagFault.MISSING)]),  # what AWS sets is nobody's
    ((), {}, []),
)
def test_what_is_lacking_of_any_required_tags(required: Any, tags: Tags, lacking: Any) -> None:
    assert [(lack.key, lack.fault) for lack in find_tag_lacks(required, tags)] == lacking


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


DETECTOR = UntaggedResources()
COMPLETE = dict.fromkeys(DETECTOR.required, "x")
UNTAGGED: Tags = {}
NONE_OF_SIX = (
    "this model lacks 6 of 6 required tags: "
    "team, project, environment, cost-center, owner and managed-by are missing"
)
ANNA = Creator(name="anna@example.com", role="single sign-on as DataScientist", person=True)
PIPELINE = Creator(name="SageMaker", role="role pipeline", person=False)


def candidate(**signals: Any) -> TaggedResource:
    target = target_at("model/churn", NOW)
    return TaggedResource(target=target, **signals)


def without(*keys: str, **other: str) -> Tags:
    return {key: value for key, value in COMPLETE.items() if key not in keys} | other


def exact(own: Tags) -> TaggedResource:
    return candidate(bulk=Value({}, "tag:GetResources"), exact=Value(own, "sagemaker:ListTags"))


def found(verdict: object) -> Finding:
    return of_type(Finding, verdict)


def seen(verdict: Finding | Kept) -> dict[str, Any]:
    return {one.signal: one.value if one.error is None else f"error: {one.error}" for one in verdict.evidence}


@cases(
    "bulk, own, reason, unknown",
    (Value(COMPLETE), NotRead(), "it has every required tag", False),
    (Value(UNTAGGED), Value(COMPLETE), "it has every required tag", False),
    (NotRead(), Value(COMPLETE), "it has every required tag", False),
    (Unreadable("denied"), Value(COMPLETE), "it has every required tag", False),
    (Value(UNTAGGED), Unreadable("denied"), "its tags could not be read: denied", True),
    (Value(COMPLETE), Unreadable("denied"), "its tags could not be read: denied", True),
    (NotRead(), Unreadable("denied"), "its tags could not be read: denied", True),
    (Unreadable("denied"), NotRead(), "its tags could not be read: denied", True),
    (NotRead(), NotRead(), "its tags could not be read", True),
    (Value(UNTAGGED), Absent(), "its tags could not be read", True),
    (Value(UNTAGGED), NotRead(), "it seems to lack tags, but its own list of tags was not read", True),
)
def test_what_is_kept(bulk: Signal[Tags], own: Signal[Tags], reason: str, *, unknown: bool) -> None:
    verdict = of_type(Kept, DETECTOR.decide(candidate(bulk=bulk, exact=own), NOW))

    assert (verdict.reason, verdict.unknown) == (reason, unknown)


def test_what_a_sweep_would_not_list_is_kept_whatever_its_tags() -> None:
    verdict = of_type(Kept, DETECTOR.decide(replace(exact({}), outside="it is long over"), NOW))

    assert (verdict.reason, verdict.unknown) == ("it is long over", False)


@cases(
    "own, reason, action",
    ({}, NONE_OF_SIX, "add the missing tags"),
    (without("owner"), "this model lacks 1 of 6 required tags: owner is missing", "add the missing tags"),
    (
        without("owner", owner=""),
        "this model lacks 1 of 6 required tags: owner is empty",
        "fill in the empty tags",
    ),
    (
        without("team", Team="vision"),
        "this model lacks 1 of 6 required tags: team is written as 'Team'",
        "add the missing tags",
    ),
    (
        without("team", **{"aws:team": "vision"}),
        "this model lacks 1 of 6 required tags: team is missing",
        "add the missing tags",
    ),
)
def test_what_is_found_is_proven_and_has_no_price(own: Tags, reason: str, action: str) -> None:
    verdict = found(DETECTOR.decide(exact(own), NOW))

    assert verdict.reason == reason
    assert verdict.action == action
    assert verdict.confidence is Confidence.PROVEN
    assert verdict.cost is None
    assert verdict.steps[0] == "its own list of tags was read, and does not hold every required one"


def test_another_set_of_tags_can_be_required() -> None:
    detector = UntaggedResources(required=("Team",))

    assert isinstance(detector.decide(exact({"Team": "vision"}), NOW), Kept)
    assert found(detector.decide(exact({"team": "vision"}), NOW)).reason == (
        "this model lacks 1 of 1 required tag: Team is written as 'team'"
    )


def test_every_fault_is_evidence_with_the_keys_that_are_there_but_not_their_values() -> None:
    verdict = found(DETECTOR.decide(exact(without("owner", "team", Owner="secret", team=" ")), NOW))

    assert seen(verdict) == {
        "tags": "Owner, cost-center, environment, managed-by, project, team",
        "tag team": "empty",
        "tag owner": "written as 'Owner'",
    }
    assert {one.source for one in verdict.evidence if one.signal.startswith("tag")} == {"sagemaker:ListTags"}


@cases(
    "creator, own, said, suggestion",
    (Value(ANNA), {}, str(ANNA), "owner = anna@example.com?"),
    (Value(ANNA), without("owner", Owner="bob"), str(ANNA), "owner = anna@example.com?"),
    (Value(ANNA), without("team"), str(ANNA), None),
    (Value(PIPELINE), {}, "SageMaker (role pipeline)", None),
    (Absent(), {}, "not in CloudTrail, which remembers 90 days", None),
    (Unreadable("denied"), {}, "error: denied", None),
    (NotRead(), {}, None, None),
)
def test_the_creator_is_evidence_and_a_suggestion_only_as_a_person(
    creator: Signal[Creator], own: Tags, said: str | None, suggestion: str | None
) -> None:
    shown = seen(found(DETECTOR.decide(replace(exact(own), creator=creator), NOW)))

    assert (shown.get("created by"), shown.get("suggestion")) == (said, suggestion)


FILLING = UntaggedResources(fill_tags={"environment": "unknown"}, fill_owner=True)


def test_what_would_be_filled_in_is_the_action() -> None:
    one = replace(exact(without("owner", "environment", "team")), creator=Value(ANNA))

    verdict = found(FILLING.decide(one, NOW))

    assert verdict.action == "add environment = unknown and owner = anna@example.com"
    assert verdict.spared is None


def test_what_is_added_has_to_have_room() -> None:
    def prepared(count: int) -> Any:
        own = {**without("environment"), **{f"note-{n}": "x" for n in range(count)}}
        return FILLING.prepare(None, exact(own), {})  # type: ignore[arg-type]

    assert prepared(44)["add"] == {"environment": "unknown"}
    with pytest.raises(CannotActError, match="it has 50 tags, and AWS takes 50"):
        prepared(45)
    with pytest.raises(CannotActError, match="its own list of tags was not read"):
        FILLING.prepare(None, candidate(bulk=Value({}), exact=NotRead()), {})  # type: ignore[arg-type]


def test_tags_and_creators_are_read_only_for_open_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bulk, one is complete; by their own lists one lacks a tag, one does not, and one is unknown."""
    own: dict[str, Signal[Tags]] = {
        "lacking": Value(UNTAGGED),
        "lagging": Value(COMPLETE),
        "unread": Unreadable("denied"),
    }
    asked: list[str] = []
    names = ["complete", *own]
    model = next(kind for kind in JUDGED_KINDS if kind.type == "model")
    resources = [TaggableResource(kind=model, arn=name, name=name, created=NOW) for name in names]

    def read(_aws: Any, some: Sequence[TaggableResource], _now: datetime) -> dict[str, Any]:
        asked.extend(one.arn for one in some)
        return {}

    monkeypatch.setattr(tags, "read_exact_tags", lambda _aws, arn: own[arn])
    monkeypatch.setattr(reading, "read_creators", read)
    aws: Any = SimpleNamespace(account="1", region="r", map=lambda read, some: [read(one) for one in some])
    bulk: list[Signal[Tags]] = [Value(COMPLETE), *([Value(UNTAGGED)] * 3)]

    found = {one.target.name: one for one in DETECTOR._candidates(aws, resources, bulk, NOW)}

    assert {name: one.exact for name, one in found.items()} == {"complete": NotRead(), **own}
    assert found["unread"].target.tags == Value(UNTAGGED)
    assert found["lagging"].target.tags == Value(COMPLETE)
    assert asked == ["lacking"]


def test_an_undo_says_what_it_does_and_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "is_same_resource", lambda *_: True)
    aws: Any = None
    target, record = exact({}).target, {"add": {"owner": "anna"}}
    steps: Any = SimpleNamespace(do=lambda _name, _call: None)

    assert DETECTOR.revert_effect(target, record) == rule.fill_undo_text("churn", record["add"], "is")
    assert DETECTOR.revert(aws, target, record, steps) == rule.fill_undo_text("churn", record["add"], "was")


def test_an_undo_reads_only_what_shows_whether_it_is_still_the_same() -> None:
    listings = {grant.action for grant in DETECTOR.undoes} & {grant.action for grant in DETECTOR.reads}

    assert listings == set(rule.TAG_UNDO_READS)
    assert (DETECTOR.cleanup.grace, DETECTOR.recent) == (timedelta(days=1), timedelta(days=7))


@cases(
    "own, creator, why",
    (without("team"), Absent(), "fill_tags has nothing for team"),
    (without("team", "project"), Absent(), "fill_tags has nothing for team and project"),
    (
        without("team", "project", "cost-center"),
        Absent(),
        "fill_tags has nothing for team, project and cost-center",
    ),
    (
        without("environment", environment=""),
        Absent(),
        "no tag is absent: only a person knows what belongs into those that are there",
    ),
    (without("owner"), Value(PIPELINE), "fill_tags has nothing for owner"),
    (without("owner"), Unreadable("denied"), "who created it could not be read (denied)"),
)
def test_nobody_is_warned_of_what_will_not_happen(own: Tags, creator: Signal[Creator], why: str) -> None:
    assert found(FILLING.decide(replace(exact(own), creator=creator), NOW)).spared == why


def test_whoever_is_filled_in_as_owner_has_an_address_by_which_slack_knows_them() -> None:
    short = Value(replace(ANNA, name="aisha.bello", role="IAM user"), "cloudtrail:LookupEvents")
    one = replace(exact(without("owner")), creator=short)

    verdict = found(replace(FILLING, owner_domain="example.com").decide(one, NOW))

    assert verdict.action == "add owner = aisha.bello@example.com"
    assert "owner = aisha.bello@example.com?" in {seen.value for seen in verdict.evidence}
    assert found(FILLING.decide(one, NOW)).action == "add owner = aisha.bello"


FILLED = ("team", "environment", "owner")
FILL = {"environment": "unknown", "owner": "nobody"}
LAB_ANNA = Creator(name="anna@example.com", role="single sign-on as Lab", person=True)
ROBOT = Creator(name="ci-deployer", role="role ci", person=False)
COMMA = Creator(name="menon,ravi", role="IAM user", person=True)


def adding(tags: Tags, creator: Signal[Creator] | None = None, **how: Any) -> dict[str, str]:
    arguments = {"creator_owns": True, **how}
    return tag_additions(find_tag_lacks(FILLED, tags), FILL, creator or Value(ROBOT), **arguments)


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
    (Value(LAB_ANNA), "anna@example.com"),
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
    creator: Signal[Creator] = Value(replace(LAB_ANNA, name=name), "trail")
    assert adding({}, owner_of_creator(creator, domain))["owner"] == owner
    assert owner_of_creator(creator, domain) == Value(replace(LAB_ANNA, name=owner), "trail")


@pytest.mark.parametrize("creator", [Value(ROBOT), Absent("t"), Unreadable("no", "t"), NotRead()])
def test_nobody_else_gets_an_address(creator: Signal[Creator]) -> None:
    assert owner_of_creator(creator, "example.com") == creator


def test_the_words_of_an_undo_name_keys_and_no_values() -> None:
    assert fill_undo_text("lamp", {"owner": "x", "team": "y"}, "is") == (
        "what was filled in is removed from lamp, unless it was changed since: owner, team"
    )


@cases("key, added", ("Owner", {"Owner": LAB_ANNA.name}), ("team", {}))
def test_a_creator_is_the_owner_in_any_spelling_and_never_another_tag(key: str, added: Tags) -> None:
    assert tag_additions(find_tag_lacks((key,), {}), {}, Value(LAB_ANNA), creator_owns=True) == added


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
    "given, said",
    ({"fill_tags": {"enviroment": "unknown"}}, "'enviroment' is none of the required tags (team"),
    ({"fill_tags": {"team": ""}}, "team cannot be ''"),
    ({"fill_tags": {"team": "a,b"}}, "team cannot be 'a,b'"),
    ({"fill_tags": {"aws:team": "x"}, "required": ("aws:team",)}, "is for AWS to set"),
    *(
        ({"owner_domain": domain}, "owner_domain: expected a domain")
        for domain in ("@example.com", "example", "https://a.example", "a.example ", "ex_a.b")
    ),
)
def test_settings_that_could_not_work_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        UntaggedResources(**given)


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
