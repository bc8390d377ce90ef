"""The engine's laws: what a failure may hide, what unknown means, what a dry run may do."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from conftest import DAY, NOW
from fakes import UNTELLABLE, USED, Cupboard, Shelf, Thing, raising, thing, waste
from ml_janitor.aws.calls import ReadError, UnreadEntriesError, UnreadEntry
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import (
    Change,
    Evidence,
    Finding,
    Kept,
    Mode,
    NotRead,
    Signal,
    SweepNote,
    Tags,
    Unreadable,
    Value,
)
from ml_janitor.core.ownership import Exemptions
from ml_janitor.core.results import CauseCode, Outcome, Sweep
from ml_janitor.engine.policy import Arming, Hold, HoldKind, RunPolicy
from ml_janitor.engine.run import run_detectors, sweep_region, sweep_resource
from narrowing import not_none, of_type
from scripted import Script
from tables import cases

BROKEN_OFF = ReadError("sagemaker:ListThings broke off after 2: ThrottlingException: Rate exceeded")


@pytest.fixture
def aws() -> Aws:
    """An account that no detector of these tests asks anything."""
    return Script({}).aws()


def swept(shelf: Shelf, aws: Aws, policy: RunPolicy | None = None) -> Sweep:
    """One sweep of *shelf*."""
    return sweep_region(shelf, aws, now=NOW, policy=policy or RunPolicy())


def names(done: Sweep) -> list[str]:
    """The names of the results, in their order."""
    return [result.target.name for result in done.results]


def test_one_detector_that_fails_hides_nobody_elses_findings(aws: Aws) -> None:
    broken, healthy = Shelf(breaks=RuntimeError("a bug")), Cupboard(things=(thing("a", waste()),))

    report = run_detectors([broken, healthy], [aws], now=NOW, policy=RunPolicy())

    assert [sweep.error for sweep in report.sweeps] == ["RuntimeError: a bug", None]
    assert [result.target.name for result in report.findings] == ["a"]


def test_a_detector_that_fails_before_its_first_candidate_is_an_error_too(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shelf, "find", raising(RuntimeError("not even an iterator")))

    assert swept(Shelf(), aws).error == "RuntimeError: not even an iterator"


def test_what_was_read_before_a_listing_broke_off_is_judged(aws: Aws) -> None:
    done = swept(Shelf(things=(thing("a", waste()), thing("b", USED)), breaks=BROKEN_OFF), aws)

    assert done.error == str(BROKEN_OFF)
    assert (done.looked_at, done.found, done.kept) == (2, 1, 1)


@cases(
    "entry, error",
    ({"ThingArn": "arn:aws:sagemaker:us-east-1:123456789012:thing/odd", "CreationTime": NOW}, None),
    ({"ThingArn": "arn:aws:sagemaker:us-east-1:123456789012:thing/odd"}, None),
    ({"ThingArn": "arn:aws:sagemaker:us-east-1:123456789012:thing/odd", "CreationTime": ""}, None),
    ({"OtherArn": "arn:aws:sagemaker:us-east-1:123456789012:app/odd", "CreationTime": NOW}, "1 of 3 entries"),
)
def test_an_entry_that_could_not_be_read_is_unknown_and_the_others_are_judged(
    aws: Aws, entry: dict[str, Any], error: str | None
) -> None:
    """Of another kind, an entry may concern any candidate: an error."""
    unread = UnreadEntriesError("1 of 3 entries", (UnreadEntry(entry, "it has no Status"),))

    done = swept(Shelf(things=(thing("a", waste()), thing("b", USED)), breaks=unread), aws)

    assert (done.error, done.found) == (error, 1)
    odd = [result for result in done.results if result.target.name == "odd"]
    reason = "its entry in the listing could not be read (it has no Status)"
    created = entry.get("CreationTime") or None
    assert [(one.verdict.reason, one.target.created) for one in odd] == (
        [(reason, created)] if error is None else []
    )
    assert all(isinstance(one.verdict, Kept) and one.verdict.unknown for one in odd)
    assert done.unidentified == 0


@cases("entry", {"ThingArn": "cut"}, {"ThingName": "odd"}, "odd")
def test_an_entry_that_does_not_say_which_resource_it_is_about_is_counted(aws: Aws, entry: object) -> None:
    unread = UnreadEntriesError("1 of 3 entries", (UnreadEntry(entry, "it has no ThingArn"),))

    done = swept(Shelf(things=(thing("a", waste()), thing("b", USED)), breaks=unread), aws)

    assert (done.error, done.found, done.looked_at) == (None, 1, 2)
    assert (done.unidentified, done.notices) == (1, ("1 of 3 entries",))


def test_a_rule_that_fails_on_one_candidate_keeps_it_as_unknown_and_judges_the_rest(aws: Aws) -> None:
    done = swept(Shelf(things=(thing("bad", ZeroDivisionError("by zero")), thing("good", waste()))), aws)

    verdicts = {result.target.name: result.verdict for result in done.results}
    assert verdicts["bad"] == Kept(reason="the rule failed: ZeroDivisionError: by zero", unknown=True)
    assert verdicts["good"] == waste()
    assert done.error == (
        "the rule failed on arn:aws:sagemaker:us-east-1:123456789012:thing/bad: ZeroDivisionError: by zero"
    )


def test_the_same_rule_failure_is_said_once_for_all_candidates(aws: Aws) -> None:
    things = tuple(thing(f"t{number}", ValueError("no")) for number in range(2))

    assert not_none(swept(Shelf(things=things), aws).error).endswith("thing/t0 and 1 more: ValueError: no")


def test_failures_of_listing_and_rule_are_both_said_on_one_line(aws: Aws) -> None:
    done = swept(Shelf(things=(thing("a", ValueError("two\nlines")),), breaks=BROKEN_OFF), aws)

    assert done.error is not None
    assert done.error.startswith(f"{BROKEN_OFF}; the rule failed on ")
    assert done.error.endswith("ValueError: two lines")


@pytest.mark.parametrize("things", [(), (thing("a", USED),)])
def test_notes_of_the_reading_are_reported_with_or_without_candidates(
    aws: Aws, things: tuple[Thing, ...]
) -> None:
    notes = (
        SweepNote("read a list of yesterday"),
        SweepNote(looked_through=300),
        SweepNote(looked_through=24),
    )

    whole = swept(Shelf(things=things, notes=(*notes, notes[0])), aws)
    broken = swept(Shelf(things=things, notes=notes, breaks=BROKEN_OFF), aws)

    assert whole.notices == broken.notices == ("read a list of yesterday",)
    assert (whole.looked_at, whole.looked_through, whole.share_base) == (len(things), 324, 324)
    assert swept(Shelf(things=things), aws).share_base == len(things)


def test_counts_add_up(aws: Aws) -> None:
    things = (
        thing("a", waste()),
        thing("b", USED),
        thing("c", UNTELLABLE),
        thing("d", waste(), {"keep": "true"}),
        thing("e", waste(), Unreadable("AccessDenied")),
    )

    done = swept(Shelf(things=things), aws)

    assert (done.looked_at, done.found, done.kept, done.unknown) == (5, 1, 4, 2)
    assert done.looked_at == done.found + done.kept


def test_an_exempt_candidate_is_kept_even_if_the_rule_breaks_on_it(aws: Aws) -> None:
    done = swept(Shelf(things=(thing("a", RuntimeError("a bug"), {"Janitor:x": "", "keep": "TRUE"}),)), aws)

    assert done.error is None
    assert done.results[0].verdict == Kept(reason="tagged keep=TRUE", steps=("kept: tagged keep=TRUE",))


def test_the_operator_can_ignore_by_arn(aws: Aws) -> None:
    policy = RunPolicy(Exemptions(ignore=("*:thing/prod-*",)))
    things = (thing("prod-a", waste()), thing("test-a", waste()))

    done = swept(Shelf(things=things), aws, policy)

    assert [result.target.name for result in done.findings] == ["test-a"]
    assert done.unknown == 0


@pytest.mark.parametrize("tags", [Unreadable("AccessDenied"), NotRead()])
def test_a_finding_whose_tags_were_not_read_is_unknown(aws: Aws, tags: Unreadable | NotRead) -> None:
    (result,) = swept(Shelf(things=(thing("a", waste(), tags),)), aws).results

    assert isinstance(result.verdict, Kept)
    assert result.verdict.unknown
    assert "a keep tag may be there" in result.verdict.reason
    assert result.verdict.steps[-1].startswith("kept as unknown: ")
    assert result.outcome is Outcome.KEPT


def test_unreadable_tags_do_not_turn_a_kept_candidate_into_an_unknown_one(aws: Aws) -> None:
    (result,) = swept(Shelf(things=(thing("a", USED, Unreadable("AccessDenied")),)), aws).results

    assert result.verdict == USED


KIN = thing("kin", waste()).target
IGNORED = RunPolicy(Exemptions(ignore=("*/kin",)))
SNOOZED = RunPolicy(
    holds={KIN.key: (Hold(key=KIN.key, how=HoldKind.SNOOZED, by="ravi", given=NOW, until=NOW + DAY),)}
)


@cases("relation, said", ("takes_along", "it would take along kin"), ("belongs_to", "it belongs to kin"))
@cases(
    "tags, policy, unknown, why",
    (Value({"keep": "true"}), RunPolicy(), False, "which is tagged keep=true"),
    (Unreadable("no"), RunPolicy(), True, "and its tags could not be read, so a keep tag may be there (no)"),
    (NotRead(), RunPolicy(), True, "and its tags were not read, so a keep tag may be there"),
    (Value({}), IGNORED, False, "which is ignored by the operator (*/kin)"),
    (Value({}), SNOOZED, False, "which is snoozed by ravi until 2026-10-07 03:00 UTC"),
)
def test_who_keeps_its_kin_keeps_it_too(
    aws: Aws, relation: str, said: str, tags: Signal[Tags], policy: RunPolicy, *, unknown: bool, why: str
) -> None:
    related: Any = {relation: (thing("other", waste()).target, replace(KIN, tags=tags))}
    (result,) = swept(Shelf(things=(replace(thing("a", waste()), **related),)), aws, policy).results

    assert isinstance(result.verdict, Kept)
    assert (result.verdict.unknown, result.verdict.reason) == (unknown, f"{said}, {why}")
    assert result.verdict.steps[-1].startswith("kept as unknown: " if unknown else "kept: ")


@pytest.mark.parametrize("relation", ["takes_along", "belongs_to"])
def test_kin_need_not_be_read_where_nothing_is_found(aws: Aws, relation: str) -> None:
    kin = thing("kin", USED, NotRead()).target
    related: Any = {relation: (kin,)}
    (result,) = swept(Shelf(things=(replace(thing("a", USED), **related),)), aws).results

    assert result.verdict == USED


def test_a_resource_that_a_shifting_listing_names_twice_counts_once(aws: Aws) -> None:
    made_again = thing("a", waste(), created=NOW)

    assert swept(Shelf(things=(thing("a", waste()), thing("a", waste()), made_again)), aws).looked_at == 2


def test_results_stand_by_dollars_then_arn_and_unknown_prices_last(aws: Aws) -> None:
    things = (
        thing("kept", USED),
        thing("unpriced", waste(None)),
        thing("cheap", waste("1.004")),
        thing("also-cheap", waste("1.001")),
        thing("job", waste(accrued="500")),
        thing("dear", waste("900")),
    )

    assert names(swept(Shelf(things=things), aws)) == [
        "dear", "job", "also-cheap", "cheap", "kept", "unpriced",
    ]  # fmt: skip


def test_sweeps_stand_in_the_order_of_detectors_then_regions() -> None:
    report = run_detectors(
        [Cupboard(), Shelf()],
        [Script({}).aws("us-west-2"), Script({}).aws("eu-west-1")],
        now=NOW,
        policy=RunPolicy(),
    )

    assert [(sweep.detector, sweep.region) for sweep in report.sweeps] == [
        ("cupboard", "us-west-2"),
        ("cupboard", "eu-west-1"),
        ("shelf", "us-west-2"),
        ("shelf", "eu-west-1"),
    ]
    assert report.account == "123456789012"
    assert report.time == NOW


@dataclass(frozen=True)
class Buyer(Shelf):
    """Commits to what the others leave."""

    name = "buyer"
    asks_for = Change.COMMIT

    def leaving(self, candidate: Thing, named: frozenset[str] | None) -> Thing:
        return replace(candidate, verdict=Kept(reason="not known" if named is None else " ".join(named)))


@cases(
    "others, left",
    ([Shelf(things=(thing("a", waste()), thing("b", USED))), Cupboard()], thing("a", USED).target.arn),
    ([Cupboard(), Shelf(things=(thing("a", waste()),), breaks=BROKEN_OFF)], "not known"),
    ([], "not known"),
    ids=["complete", "broken off", "alone"],
)
def test_what_commits_is_judged_by_what_all_others_name(aws: Aws, others: list[Shelf], left: str) -> None:
    heard: list[str] = []
    detectors = [Buyer(things=(thing("year", waste()),)), *others]

    report = run_detectors(
        detectors, [aws], now=NOW, policy=RunPolicy(), swept=lambda s: heard.append(s.detector)
    )

    assert [sweep.detector for sweep in report.sweeps] == [each.name for each in detectors]
    assert report.sweeps[0].results[0].verdict == Kept(reason=left)
    assert (heard[-1], len(heard), report.account) == ("buyer", len(detectors), "123456789012")


ARMS = RunPolicy(arming={"shelf": Arming(mode=Mode.ACT, act_in=("123456789012",))})


def test_a_dry_run_acts_on_nothing(aws: Aws) -> None:
    shelf = Shelf(things=(thing("a", waste()), thing("b", USED)))
    with pytest.raises(AssertionError, match="acted"):
        shelf.act()

    done = sweep_region(shelf, aws, now=NOW, policy=ARMS.dry())

    assert done.mode is Mode.DRY_RUN
    assert done.error is None
    assert [result.outcome for result in done.results] == [Outcome.WOULD_ACT, Outcome.KEPT]
    assert [result.due for result in done.results] == [None, None]


@cases(
    "policy, tags, outcome, why, missing",
    (ARMS, {}, Outcome.WAITING, CauseCode.UNWARNED, "undo_roles"),
    (ARMS, {"environment": "prod"}, Outcome.ADVISED, CauseCode.PRODUCTION, ""),
    (RunPolicy(), {}, Outcome.WOULD_ACT, None, ""),
)
def test_what_its_undo_lacks_is_told_only_of_what_will_be_acted_on(
    aws: Aws,
    policy: RunPolicy,
    tags: dict[str, str],
    outcome: Outcome,
    why: CauseCode | None,
    *,
    missing: str,
) -> None:
    found = thing("a", replace(waste(), missing_for_undo="undo_roles"), tags)

    (result,) = swept(Shelf(things=(found,)), aws, policy).findings

    assert (result.outcome, result.why) == (outcome, why)
    assert of_type(Finding, result.verdict).missing_for_undo == missing


@cases(
    "tags, owner",
    ({"owner": "maria"}, "maria"),
    ({"Owner": " maria "}, "maria"),
    ({"team": "nlp", "owner": "maria"}, "maria"),
    ({"team": "nlp", "owner": "  "}, "nlp"),
    ({"project": "x"}, None),
    ({}, None),
    (Unreadable("no"), None),
)
def test_the_owner_is_the_first_that_the_tags_name(aws: Aws, tags: Any, owner: str | None) -> None:
    policy = RunPolicy(owner_tags=("owner", "team"))

    (result,) = swept(Shelf(things=(thing("a", USED, tags),)), aws, policy).results

    assert result.owner == owner


# --- one resource -----------------------------------------------------------------------------------

ARN = "arn:aws:sagemaker:us-east-1:123456789012:thing/a"


def test_one_resource_is_judged_as_in_a_sweep(aws: Aws) -> None:
    shelf = Shelf(things=(thing("a", waste(), {"owner": "maria"}), thing("b", waste())))

    done = sweep_resource(shelf, aws, ARN, now=NOW, policy=RunPolicy())

    assert done.results == tuple(one for one in swept(shelf, aws).results if one.target.name == "a")
    assert (done.detector, done.account, done.region, done.error) == (
        "shelf",
        "123456789012",
        "us-east-1",
        None,
    )


def test_one_resource_that_is_gone_is_no_error_and_an_unreadable_one_is(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = sweep_resource(Shelf(), aws, ARN, now=NOW, policy=RunPolicy())
    monkeypatch.setattr(Shelf, "look", raising(BROKEN_OFF))
    unread = sweep_resource(Shelf(), aws, ARN, now=NOW, policy=RunPolicy())

    assert [(done.results, done.error) for done in (gone, unread)] == [((), None), ((), str(BROKEN_OFF))]


def test_a_rule_that_fails_on_the_one_resource_keeps_it_as_unknown(aws: Aws) -> None:
    shelf = Shelf(things=(thing("a", ZeroDivisionError("by zero")),))

    done = sweep_resource(shelf, aws, ARN, now=NOW, policy=RunPolicy())

    assert done.unknown == 1
    assert done.error == f"the rule failed on {ARN}: ZeroDivisionError: by zero"


NOT_HERE = "is not in account 123456789012 and region us-east-1"


@cases(
    "arn, error",
    ("a", "'a' is not an ARN (arn:partition:service:region:account:resource)"),
    ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/a", "shelf does not judge {arn}"),
    ("arn:aws:eks:us-east-1:123456789012:thing/a", "shelf does not judge {arn}"),
    ("arn:aws:sagemaker:us-east-1:999999999999:thing/a", NOT_HERE),
    ("arn:aws:sagemaker:eu-west-1:123456789012:thing/a", NOT_HERE),
)
def test_a_namesake_from_elsewhere_is_not_looked_at(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, arn: str, error: str
) -> None:
    monkeypatch.setattr(Shelf, "look", raising(AssertionError("it was looked at")))
    done = sweep_resource(Shelf(), aws, arn, now=NOW, policy=RunPolicy())

    assert done.results == ()
    assert not_none(done.error).endswith(error.format(arn=arn))


def test_an_exempt_resource_is_kept_with_what_the_rule_saw_and_would_say(aws: Aws) -> None:
    seen = (Evidence("requests", 0),)
    found = replace(waste(), evidence=seen, steps=("found, proven: nobody uses it",))

    (result,) = swept(Shelf(things=(thing("a", found, {"keep": "true"}),)), aws).results

    assert result.outcome is Outcome.KEPT
    assert result.verdict == Kept(
        reason="tagged keep=true",
        evidence=seen,
        steps=("found, proven: nobody uses it", "kept: tagged keep=true"),
    )
