"""Judging tags: what is kept, what is found, and what nobody can tell."""

from __future__ import annotations

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
from ml_janitor.detectors.untagged_resources.rule import TaggedResource, UntaggedResources
from ml_janitor.engine.detector import CannotActError
from narrowing import of_type
from tables import cases

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
    assert isinstance(verdict, Finding)
    return verdict


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
        "this model lacks 1 of 1 required tags: Team is written as 'team'"
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
    verdict = found(FILLING.decide(replace(exact(own), creator=creator), NOW))

    assert verdict.spared == why


def test_whoever_is_filled_in_as_owner_has_an_address_by_which_slack_knows_them() -> None:
    short = Value(replace(ANNA, name="aisha.bello", role="IAM user"), "cloudtrail:LookupEvents")
    one = replace(exact(without("owner")), creator=short)

    verdict = found(replace(FILLING, owner_domain="example.com").decide(one, NOW))

    assert verdict.action == "add owner = aisha.bello@example.com"
    assert "owner = aisha.bello@example.com?" in {seen.value for seen in verdict.evidence}
    assert found(FILLING.decide(one, NOW)).action == "add owner = aisha.bello"
