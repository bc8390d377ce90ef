"""The decide table of storage-tiering: what is old, what it costs to move, and what has to stay."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.activity import MetricSeries
from ml_janitor.aws.calls import Listing, ReadError
from ml_janitor.aws.tags import Arn
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Finding,
    Mode,
    Signal,
    SweepNote,
    Tags,
    Unreadable,
    Value,
)
from ml_janitor.core.money import count_once
from ml_janitor.core.results import Outcome, Report, Result, Sweep
from ml_janitor.core.tiering import GB, LifecycleRule
from ml_janitor.detectors.storage_tiering import act, reading
from ml_janitor.detectors.storage_tiering.reading import (
    CountedReads,
    JobInput,
    StoredVersion,
    TieringBucket,
    UnknownInputs,
    folder_tree,
    order_versions,
)
from ml_janitor.detectors.storage_tiering.rule import RULE_ID_PREFIX, StorageTiering, _versions_lost
from narrowing import not_none, of_type
from old_buckets import DAY, KEPT, RULE, UNREAD, bucket, held, job, of_it, rules
from past_jobs import word
from scripted import Script, Torn
from tables import cases
from verdicts import expect_verdict

TEAM: Signal[Tags] = Value({"team": "search"})
EXPIRES = {"Expiration": {"Days": 400}}


@cases(
    "candidate, verdict, reason",
    (bucket(), "found", "1,000 GB would be moved by 1 lifecycle rule: experiments/"),
    (bucket(), "found", "STANDARD_IA at 30 days, GLACIER_IR at 90 days, DEEP_ARCHIVE at 365 days"),
    # how much, and since when
    (bucket(stored=50.0 * GB - 1), "kept", "judged from 50 GB on"),
    (bucket(stored=Absent()), "kept", "0 bytes in STANDARD"),
    (bucket(stored=Unreadable("throttled")), "unknown", "throttled"),
    (bucket(held(size=50 * GB), stored=50.0 * GB), "found", "50 GB would be moved"),
    (bucket(held(size=50 * GB - 1)), "kept", "nothing in it is old enough"),
    (bucket(held(age=30)), "found", "1,000 GB would be moved"),
    (bucket(held(age=30 - 1e-5)), "kept", "0 bytes are 30 days old"),
    (bucket(held(age=29), held("experiments/old/", size=49 * GB)), "kept", "49 GB are 30 days old"),
    (bucket(held(held="GLACIER_IR")), "kept", "of 0 bytes in STANDARD"),
    # which policy
    (bucket(held("raw/a", age=90)), "found", "(policy other)"),
    (bucket(held("raw/a", age=89)), "kept", "90 days old"),
    (bucket(held("a", age=90)), "found", "the whole bucket: 1,000 GB now"),
    (bucket(held("team/processed/a", age=60)), "found", "team/processed/: 1,000 GB now"),
    (bucket(held("team/logs/a", age=90)).deletions, "found", "1,000 GB deleted by 1 lifecycle rule"),
    (bucket(held("team/logs/a", age=89)).deletions, "kept", "0 bytes are 90 days old"),
    (bucket(held("team/logs/a", age=90)), "kept", "policy logs moves nothing to another class"),
    (bucket(held("tmp/a", age=7)).deletions, "found", "deleted at 7 days"),
    (bucket(held("tmp/a", age=7, held="GLACIER_IR")).deletions, "found", "1,000 GB deleted"),
    (bucket(held("tmp/a", age=7, size=50 * GB)).deletions, "found", "50 GB deleted"),
    (bucket().deletions, "kept", "nothing in it is old enough"),
    (bucket(versioning=Unreadable("denied")), "unknown", "whether it keeps versions is unknown (denied)"),
    (bucket(versioning=Value("Enabled")), "found", "1,000 GB would be moved"),
    (
        bucket(held("tmp/a", age=7), versioning=Value("Suspended")).deletions,
        "found",
        "hidden at 7 days, versions that are hidden or replaced deleted after 90 days",
    ),
    (bucket(held("experiments/logs/a", age=100)), "found", "experiments/: 1,000 GB now, STANDARD_IA"),
    # what cannot pay back
    (bucket(held(many=1, size=100 * GB)), "found", "saves $1.90 a month"),
    (bucket(held(many=9, size=9 * 100_000), held("experiments/z")), "found", "1,000 GB now"),
    (
        bucket(held(size=40 * GB), held("experiments/z", many=200_000, size=20 * GB)),
        "kept",
        "what is old in it is in small objects",
    ),
    # who reads
    (bucket(counted=Absent()), "found", "INTELLIGENT_TIERING at 30 days"),
    (bucket(counted=Unreadable("denied")), "found", "INTELLIGENT_TIERING at 30 days"),
    (bucket(counted=Absent(), inputs=job("experiments/", 31)), "found", "1 jobs did in 90 days"),
    (bucket(counted=Absent(), inputs=job("experiments/", 30)), "kept", "training job churn-7 read it"),
    (bucket(counted=Absent(), inputs=job("experiments/", 3) * 2), "kept", "churn-7 read it"),
    (
        bucket(counted=Absent(), inputs=job("experiments/", 3) + job("", 5, name="churn-8")),
        "kept",
        "churn-7 and 1 more read it",
    ),
    (bucket(counted=Absent(), inputs=job("exp", 3)), "kept", "training job churn-7 read it"),
    (bucket(counted=Absent(), inputs=job("experiments/a0", 3)), "kept", "training job churn-7 read it"),
    (bucket(counted=Absent(), inputs=job("other/", 3)), "found", "INTELLIGENT_TIERING"),
    (bucket(inputs=job("experiments/", 3)), "found", "GLACIER_IR at 90 days"),
    (bucket(counted=(of_it(20.0 * GB, 90),)), "found", "at 90 days (policy"),
    (bucket(counted=(of_it(10.0 * GB, 90),)), "found", "DEEP_ARCHIVE at 365 days"),
    (bucket(counted=(of_it(700.0 * GB, 90),)), "found", "STANDARD_IA at 30 days (policy"),
    (bucket(counted=(of_it(2000.0 * GB, 90),)), "kept", "no move to another class pays"),
    (bucket(counted=(CountedReads("", 2000.0 * GB, 90),)), "kept", "no move to another class pays"),
    (
        bucket(held(), held("raw/a", age=1), counted=(CountedReads("", 2000.0 * GB, 90),)),
        "found",
        "INTELLIGENT_TIERING at 30 days",
    ),
    (bucket(counted=(CountedReads("logs/", 0.0, 90),)), "found", "INTELLIGENT_TIERING at 30 days"),
    # what has to stay
    (bucket(users={"experiments/a0": "model churn"}), "kept", "model churn refers to it"),
    (
        bucket(
            held("experiments/a"),
            held("experiments/b"),
            users={"experiments/a": "a model", "experiments/b": "x"},
        ),
        "kept",
        "a model and 1 more refers to it",
    ),
    (bucket(tagged=False), "found", "1,000 GB"),
    (
        bucket(held("raw/x", age=300, size=50 * GB, current=False, replaced=NOW - 90 * DAY)).deletions,
        "found",
        "old versions deleted after 90 days",
    ),
    (
        bucket(held("raw/x", age=300, size=50 * GB, current=False, replaced=NOW - 89 * DAY)).deletions,
        "kept",
        "0 bytes of old versions were replaced 90 days ago or earlier",
    ),
    (bucket(lock=Value("Enabled")), "kept", "Object Lock"),
    (bucket(lifecycle=rules({"Filter": {"Prefix": ""}, **EXPIRES})), "kept", "theirs applies already"),
    (bucket(lifecycle=rules({"Prefix": "exp", **EXPIRES})), "kept", "theirs applies already"),
    (bucket(lifecycle=rules({"Filter": {"Prefix": "experiments/b"}, **EXPIRES})), "kept", "theirs applies"),
    (bucket(lifecycle=rules({"Filter": {"Tag": {}}, **EXPIRES})), "kept", "theirs"),
    (bucket(lifecycle=rules({"Filter": {"Prefix": "logs/"}, **EXPIRES})), "found", "1,000 GB"),
    (bucket(lifecycle=rules({"Prefix": "", **EXPIRES, "Status": "Disabled"})), "found", "1,000 GB"),
    (
        bucket(lifecycle=rules({"Prefix": "", "Expiration": {"ExpiredObjectDeleteMarker": True}})),
        "found",
        "1,000 GB",
    ),
    # what could not be read
    (bucket(lifecycle=Unreadable("denied")), "unknown", "its lifecycle rules are unknown (denied)"),
    (bucket(lock=Unreadable("denied")), "unknown", "locked is unknown (denied)"),
    (bucket(uploads=Unreadable("denied")), "unknown", "uploaded is unknown (denied)"),
    (bucket(root=Unreadable("more than 200 pages")), "unknown", "more than 200 pages"),
    (bucket(unsearched="Search: denied"), "unknown", "refers to its objects is unknown (Search: denied)"),
    (bucket(rates={}), "unknown", "no price"),
)
def test_the_table(candidate: TieringBucket, verdict: str, reason: str) -> None:
    expect_verdict(RULE.decide(candidate, NOW), verdict, reason)


def finding(candidate: TieringBucket) -> Finding:
    return of_type(Finding, RULE.decide(candidate, NOW))


def test_fees_are_named_and_small_objects_pay_none() -> None:
    """A million objects of 1 MB: GLACIER_IR costs $20 to move them, and saves $18.55 a month."""
    decided = finding(bucket(held(many=1000, size=1000 * 1024**2 * 1000)))
    assert decided.cost is not None
    assert decided.cost.once_usd == Decimal("0.02")
    assert decided.cost.monthly_usd == Decimal("0.019") * 1000 * 1024**2 * 1000 / GB
    small = bucket(held(many=1000, size=1000 * 200 * 1024), held("experiments/z", size=60 * GB))
    assert finding(small).cost is not None


def test_a_folder_that_saves_cents_has_its_share() -> None:
    cost = not_none(
        finding(bucket(held("experiments/a/x", size=60 * GB), held("experiments/b/x", size=9 * GB))).cost
    )

    assert len(cost.shares) == 2
    assert sum(cost.shares.values()) == pytest.approx(cost.monthly_usd)


def test_a_class_whose_fees_come_back_too_late_is_left_out() -> None:
    """Of objects of 200 KB, moving them costs what it saves in 152 and 376 days, and then in eight years."""
    candidate = bucket(held(many=1000, size=1000 * 200 * 1024))
    found = {}
    for days in (151, 152, 375, 376, 2000):
        rule = replace(RULE, min_gb=0.01, payback=timedelta(days=days))
        found[days] = [one.transitions for one in rule.proposed(candidate, NOW)]

    rarely, instant = (30, "STANDARD_IA"), (90, "GLACIER_IR")
    assert found == {
        151: [],
        152: [(rarely,)],
        375: [(rarely,)],
        376: [(rarely, instant)],
        2000: [(rarely, instant)],
    }


@cases(
    "more, confidence, spared",
    ({}, Confidence.PROVEN, None),
    ({"counted": Absent()}, Confidence.LIKELY, None),
    ({"tagged": False}, Confidence.LIKELY, "the tags of 1 object in it were not read"),
    ({"gaps": ("endpoint x names no configuration",)}, Confidence.LIKELY, "endpoint x"),
)
def test_only_unread_data_is_proven(more: dict[str, Any], confidence: Confidence, spared: str | None) -> None:
    decided = finding(bucket(**more))

    assert decided.confidence is confidence
    assert (spared or "") in (decided.spared or "")
    assert (decided.spared is None) is (spared is None)


@cases(
    "candidate, to_prove",
    (bucket(), ""),
    (bucket(counted=Absent()), "that nothing reads it: switch on request metrics of meridian-lab"),
    (
        bucket(held("raw/x", age=300, size=70 * GB, current=False, replaced=NOW - 95 * DAY)).deletions,
        "that nobody needs an old version: their tags are not read",
    ),
)
def test_what_would_prove_it(candidate: TieringBucket, to_prove: str) -> None:
    said = finding(candidate).to_prove

    assert said.startswith(to_prove)
    assert bool(said) is bool(to_prove)


def test_three_of_many_reasons_and_rules_are_named() -> None:
    young = [one for name in ("raw", "features", "processed", "datasets") for one in held(f"{name}/x", age=1)]
    old = [one for name in "abcd" for one in held(f"{name}/experiments/x")]
    kept = RULE.decide(bucket(young, stored=4000.0 * GB), NOW)
    found = finding(bucket([*young, *old], stored=8000.0 * GB))

    assert kept.reason.count("in STANDARD, 0 bytes are") == 3
    assert "by 4 lifecycle rules: " in found.reason
    assert found.reason.count(": 1,000 GB now") == 3
    assert found.steps[0] == "it holds 7.8 TB in STANDARD"
    assert found.steps[1].count("in STANDARD, 0 bytes are") == 3
    assert finding(bucket()).steps[1] == "nothing in it has to stay as it is"
    shown = {one.signal: one.value for one in finding(bucket(held("a", age=90))).evidence}
    assert (shown["bytes in STANDARD"], shown["objects"]) == ("1,000 GB", 1)
    assert "the whole bucket" in shown


def test_only_named_buckets_are_given_rules_and_freed_of_them() -> None:
    def lacks(rule: StorageTiering) -> str:
        return rule.missing_for_undo(bucket().target, {})

    setting = 'undo_buckets = ["meridian-lab"] in detectors.storage-tiering'
    assert [lacks(one) for one in (RULE, replace(RULE, act_on_buckets=("other",)))] == ["", setting]
    assert lacks(StorageTiering(undo_buckets=("meridian-lab",))) == ""
    assert {(one.action, one.on) for one in RULE.acts} == {
        ("s3:PutLifecycleConfiguration", "arn:aws:s3:::meridian-lab")
    }
    record = {"bucket": "meridian-lab", "rules": [{"id": "ml-janitor-a"}]}
    assert RULE.revert_effect(bucket().target, record) == act.undo_rules_text(record)
    assert {(one.action, one.on) for one in StorageTiering(undo_buckets=("old",)).undoes} == {
        ("s3:GetLifecycleConfiguration", "arn:aws:s3:::old"),
        ("s3:PutLifecycleConfiguration", "arn:aws:s3:::old"),
    }
    assert RULE.never_acts() is None
    assert StorageTiering().never_acts() == "act_on_buckets is empty, so no bucket may be given rules"
    assert StorageTiering(uploads=DAY).uploads == DAY
    assert (RULE.cleanup.grace, RULE.payback) == (3 * DAY, 180 * DAY)


@pytest.mark.parametrize(
    ("most", "own", "along"), [(1, TEAM, 1), (1, Value({}), 0), (1, Unreadable("denied"), 1), (0, TEAM, 0)]
)
def test_tags_are_read_of_so_many_objects_and_those_that_have_some_go_along(
    monkeypatch: pytest.MonkeyPatch, most: int, own: Signal[Tags], along: int
) -> None:
    small, large = bucket(stored=1.0 * GB), bucket(tagged=False)

    def tagged(_aws: Any, _name: str, keys: Sequence[str]) -> dict[str, Signal[Tags]]:
        return dict.fromkeys(keys, own)

    monkeypatch.setattr(reading, "list_measured_buckets", lambda *_: Listing((small, large), "broke off"))
    monkeypatch.setattr(reading, "read_tiering_buckets", lambda _aws, some, _now: some)
    monkeypatch.setattr(reading, "read_tags_of_keys", tagged)
    aws: Any = SimpleNamespace(account=ACCOUNT, region=REGION)
    found: list[TieringBucket] = []

    with pytest.raises(ReadError, match="broke off"):
        found.extend(replace(RULE, read_tags_up_to=most).find_parts(aws, NOW))
    assert [len(one.takes_along) for one in found] == [0, along]


def test_of_a_folder_with_something_kept_the_other_folders_are_proposed() -> None:
    versions = [*held("experiments/a/x"), *held("experiments/b/x"), *held("experiments/c/deep/x")]
    users = {"experiments/a/": "model churn"}
    candidate = bucket(versions, users=users, stored=3000.0 * GB)
    candidate = replace(candidate, tagged={**candidate.tagged, "experiments/c/deep/x0": KEPT})

    (only,) = RULE.proposed(candidate, NOW)
    assert (only.prefix, only.id.startswith(RULE_ID_PREFIX)) == ("experiments/b/", True)
    assert len(only.id) == len(RULE_ID_PREFIX) + 12
    both = bucket(held("a/experiments/x", size=60 * GB), held("b/experiments/x"))
    assert [rule.prefix for rule in RULE.proposed(both, NOW)] == ["b/experiments/", "a/experiments/"]


def test_old_versions_and_uploads() -> None:
    versions = [
        StoredVersion("raw/x", NOW - DAY, GB),
        StoredVersion("raw/x", NOW - 95 * DAY, GB, current=False),
        StoredVersion("raw/x", NOW - 300 * DAY, 70 * GB, current=False),
    ]
    sequence = list(order_versions(reversed(versions)))
    assert [(one.current, one.replaced) for one in sequence] == [
        (True, None),
        (False, NOW - DAY),
        (False, NOW - 95 * DAY),
    ]
    at_once = (StoredVersion("raw/y", NOW, current=False), StoredVersion("raw/y", NOW, marker=True))
    assert [one.marker for one in order_versions(at_once)] == [True, False]
    uploads = Value((NOW - 7 * DAY, NOW - 6 * DAY))
    candidate = bucket(sequence, uploads=uploads)
    (old,), (upload,) = (RULE.proposed(part, NOW) for part in (candidate.deletions, candidate))
    assert old == LifecycleRule(id=old.id, prefix="raw/", noncurrent_expire_after=90)
    assert upload == LifecycleRule(id="ml-janitor-uploads", abort_uploads_after=7)
    assert "nobody completed 1 upload begun 7 days ago or earlier" in str(finding(candidate).evidence)
    aborts: dict[str, Any] = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}
    there = rules({"Prefix": "", **aborts})
    assert RULE.proposed(replace(candidate, lifecycle=there), NOW) == ()
    for other in (
        {"Prefix": "", **EXPIRES},
        {"Prefix": "raw/", **aborts},
        {"Prefix": "", "Status": "Disabled", **aborts},
    ):
        assert RULE.proposed(replace(candidate, lifecycle=rules(other)), NOW) == (upload,)
    alone = finding(bucket(held(age=1), uploads=uploads))
    assert not not_none(alone.cost).known


def test_the_size_of_a_bucket_is_its_last_measurement() -> None:
    points = MetricSeries(((NOW - 2 * DAY, 1.0), (NOW - DAY, 2.0)))

    assert reading._last(Value(points, "source")) == Value(2.0, "source", NOW - DAY)
    asked = reading._metric("BucketSizeBytes", "b", "StandardStorage")
    assert (asked.stat, asked.period) == ("Average", 86_400)


def test_filters_of_request_metrics_are_on_all_pages() -> None:
    def page(name: str, **more: Any) -> dict[str, Any]:
        filters = [{"Id": name, "Filter": {"Prefix": f"{name}/"}}, {"Id": "tag", "Filter": {"Tag": {}}}]
        return Torn({"IsTruncated": False, "MetricsConfigurationList": filters} | more)

    listed = "s3:ListBucketMetricsConfigurations"
    first = page("a", IsTruncated=True, NextContinuationToken="t")
    script = Script({listed: lambda asked: page("b") if "ContinuationToken" in asked else first})

    assert reading._filters(script.aws(), "lab") == Value({"a": "a/", "b": "b/"}, listed)
    assert [asked.get("ContinuationToken") for asked in script.asked(listed)] == [None, "t"]


def test_what_was_read_is_unknown_where_one_of_its_two_metrics_is() -> None:
    read, unread = Value(MetricSeries(((NOW - 60 * DAY, 3.0),))), Unreadable("throttled")

    assert [reading._counted({"": two}, NOW) for two in ((read, unread), (unread, read))] == [unread] * 2


def test_nothing_is_proven_to_be_deleted_that_may_be_read() -> None:
    def of(counted: object, **more: Any) -> TieringBucket:
        return bucket(held("tmp/a", age=90), counted=counted, **more).deletions

    assert finding(of(UNREAD)).confidence is Confidence.PROVEN
    for read in (Absent(), Unreadable("throttled"), (CountedReads("tmp/", 11.0 * GB, 90),)):
        assert finding(of(read)).confidence is Confidence.LIKELY
    for counted in (UNREAD, Absent()):
        verdict = RULE.decide(of(counted, inputs=job("tmp/", 29)), NOW)
        assert not isinstance(verdict, Finding)
        assert "training job churn-7 read it within 30 days" in verdict.reason


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_an_expiry_in_a_versioned_bucket_frees_bytes_only_with_a_rule_for_old_versions(status: str) -> None:
    tmp, moved = held("tmp/a", age=90), held("experiments/a")
    (plain,) = RULE.proposed(bucket(tmp).deletions, NOW)
    (rule,) = RULE.proposed(bucket(tmp, versioning=Value(status)).deletions, NOW)

    assert (plain.expire_after, plain.noncurrent_expire_after) == (7, None)
    assert (rule.expire_after, rule.noncurrent_expire_after) == (7, 90)
    assert finding(bucket(tmp).deletions).confidence is Confidence.PROVEN
    assert finding(bucket(tmp).deletions).lost is None
    both = bucket(tmp, moved, versioning=Value(status))
    assert finding(both).confidence is Confidence.PROVEN
    hidden = finding(both.deletions)
    assert hidden.confidence is Confidence.LIKELY
    assert str(hidden.lost).endswith(
        "in tmp/, objects that the rule hid at 7 days,"
        " and every version that was replaced or hidden for 90 days"
    )
    assert _versions_lost([plain]).endswith("in tmp/, objects that were 7 days old")


def test_moves_and_deletions_of_a_folder_are_two_findings() -> None:
    """Each with an identity and a rule of its own; neither rule keeps the other from being found."""
    rule = replace(RULE, policies={"all": "STANDARD_IA 30d, expire 365d"}, folders={"*": "all"})
    old = held("raw/a", age=400, size=100 * GB)
    candidate = bucket(old, held("raw/b"), counted=(CountedReads("", 50.0 * GB, 90),))
    parts = (candidate, candidate.deletions)
    moved, deleted = (rule.decide(part, NOW) for part in parts)

    assert isinstance(moved, Finding)
    assert isinstance(deleted, Finding)
    assert [moved.confidence, deleted.confidence] == [Confidence.PROVEN, Confidence.LIKELY]
    assert ("1.1 TB would be moved" in moved.reason, "100 GB deleted" in deleted.reason) == (True, True)
    assert "100 GB now, deleted at 365 days" in deleted.reason
    assert [moved.noun, deleted.noun] == ["bucket of old objects", "bucket of objects to delete"]
    assert [part.target.key.partition("@")[0] for part in parts] == [
        "arn:aws:s3:::meridian-lab",
        "arn:aws:s3:::meridian-lab/*",
    ]
    assert [part.belongs_to for part in parts] == [(), (candidate.target,)]
    assert rule.missing_for_undo(candidate.deletions.target, {}) == ""
    ((moves,), (deletes,)) = (rule.proposed(part, NOW) for part in parts)
    assert (moves.transitions, moves.expire_after) == (((30, "STANDARD_IA"),), None)
    assert (deletes.transitions, deletes.expire_after) == ((), 365)
    assert deletes.id == f"{moves.id}-deletes"

    def beside(part: TieringBucket, *there: dict[str, Any]) -> bool:
        return bool(rule.proposed(replace(part, lifecycle=rules(*there)), NOW))

    assert beside(candidate, deletes.as_json())
    assert beside(candidate.deletions, moves.as_json())
    assert not beside(candidate, deletes.as_json() | {"ID": "theirs"})
    assert not beside(candidate.deletions, moves.as_json() | {"ID": "theirs"})
    assert not beside(candidate.deletions, moves.as_json() | {"Expiration": {"Days": 365}})  # version 1's
    assert not beside(candidate, moves.as_json())
    assert not beside(candidate.deletions, deletes.as_json())


def test_of_one_byte_that_is_moved_and_deleted_one_saving_counts_and_of_two_both() -> None:
    """The dearer of two rules for the same objects counts; old versions are other bytes."""
    versions = held("raw/a", age=300, size=60 * GB, current=False, replaced=NOW - 95 * DAY)

    def counted(rule: StorageTiering, candidate: TieringBucket) -> list[Decimal | None]:
        found = []
        for part in (candidate, candidate.deletions):
            verdict = rule.decide(part, NOW)
            result = Result(
                detector=rule.name, target=part.target, verdict=verdict, outcome=Outcome.WOULD_ACT,
                wholes=tuple(whole.arn for whole in part.belongs_to),
            )  # fmt: skip
            found.append(result)
        swept = Sweep(
            detector=rule.name, account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN, results=tuple(found)
        )
        assert swept.share_base == 1
        done = count_once(Report(time=NOW, account=ACCOUNT, sweeps=(swept,))).results
        return [result.counted.monthly_usd if result.counted else None for result in done]

    mixed = replace(RULE, policies={"all": "STANDARD_IA 30d, expire 60d"}, folders={"*": "all"})
    moved, deleted = counted(mixed, bucket(held("raw/b")))
    assert [moved, deleted] == [0, Decimal("23.000")]
    moved, deleted = counted(RULE, bucket(held("raw/b"), versions))
    assert moved == Decimal("10.500")
    assert deleted == Decimal("1.380")


def test_deletions_are_a_candidate_where_something_could_be_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open finding of them is not closed as gone because the contents could not be read tonight."""
    candidates = {
        "moves": (bucket(), 1),
        "deletes": (bucket(held("tmp/a")), 2),
        "young": (bucket(held("tmp/a", age=1)), 2),
        "versions": (bucket(held("raw/a", age=300, current=False, replaced=NOW - DAY)), 2),
        "unread": (bucket(root=Unreadable("denied")), 2),
        "no price": (bucket(rates={}), 1),
    }
    for name, (candidate, number) in candidates.items():
        listing = Listing((candidate,))
        monkeypatch.setattr(reading, "list_measured_buckets", lambda *_, listing=listing: listing)
        monkeypatch.setattr(reading, "read_tiering_buckets", lambda _aws, some, _now: some)
        monkeypatch.setattr(reading, "read_tags_of_keys", lambda *_: {})
        found = list(RULE.find_parts(SimpleNamespace(account=ACCOUNT, region=REGION), NOW))  # type: ignore[arg-type]
        assert (name, len(found)) == (name, number)
    assert [word(RULE.decide(part, NOW)) for part in (candidates["unread"][0].deletions,)] == ["unknown"]


LIMIT = UnknownInputs(7, "processing job", "only the newest 200 of 90 days are described")


@cases(
    "versions, what",
    (held("tmp/a"), "objects"),
    (held("raw/x", age=300, size=70 * GB, current=False, replaced=NOW - 95 * DAY), "old versions"),
)
def test_nothing_is_deleted_that_an_unread_job_may_read(versions: list[StoredVersion], what: str) -> None:
    """Unless request metrics say that hardly anything is read; a move asks who reads, and goes on."""

    def judged(counted: object, *unknown: UnknownInputs) -> tuple[str, str]:
        decided = RULE.decide(bucket(versions, counted=counted, unknown_inputs=unknown).deletions, NOW)
        return word(decided), decided.reason

    unknown, why = judged(Absent(), LIMIT)
    assert unknown == "unknown", what
    assert why.endswith(
        ": the inputs of 7 processing jobs are unknown: only the newest 200 of 90 days are described"
    )
    assert [judged(Absent())[0], judged(UNREAD, LIMIT)[0]] == ["found", "found"]


@cases(
    "versions",
    held("experiments/a") + held("experiments/b", age=300, current=False, replaced=NOW - 95 * DAY),
    held("tmp/a"),
    held("tmp/a") + held("tmp/b", age=300, current=False, replaced=NOW - 95 * DAY),
)
def test_a_folder_that_a_job_read_keeps_its_objects_and_its_old_versions(
    versions: list[StoredVersion],
) -> None:
    """Whatever request metrics count: the job may read a version of its own."""
    folder = versions[0].key.partition("/")[0]
    for counted in (UNREAD, Absent()):
        late, old = (
            RULE.decide(bucket(versions, counted=counted, inputs=job(folder, days)).deletions, NOW)
            for days in (30, 31)
        )
        assert [word(late), word(old)] == ["kept", "found"]
        assert late.reason.endswith(f"{folder}/: training job churn-7 read it within 30 days")


def test_a_limit_of_reading_is_in_the_finding() -> None:
    moved = finding(bucket(counted=Absent(), unknown_inputs=(LIMIT,)))
    assert "(no described jobs did in 90 days; the inputs of 7 processing jobs are unknown: " in moved.reason
    deleted = finding(bucket(held("tmp/a"), unknown_inputs=(LIMIT,)).deletions)
    limits = [
        [each.value for each in one.evidence if each.signal == "limit of reading"] for one in (moved, deleted)
    ]
    assert limits == [[LIMIT.note]] * 2
    parts = bucket(
        [*held("tmp/a"), *held("logs/a")], counted=(CountedReads("logs/", 0, 90),), unknown_inputs=(LIMIT,)
    )
    both = finding(parts.deletions)
    assert both.steps[1].startswith("tmp/: the inputs of 7 processing jobs are unknown")


def listed_jobs(*jobs: dict[str, Any], kind: str = "Processing") -> list[dict[str, Any]]:
    return [
        {
            f"{kind}JobName": f"clean-{number}",
            f"{kind}JobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind.lower()}-job/clean-{number}",
            f"{kind}JobStatus": "Completed",
            **job,
        }
        for number, job in enumerate(jobs)
    ]


def jobs_script(*jobs: dict[str, Any], training: Sequence[dict[str, Any]] = ()) -> Script:
    entries = listed_jobs(*jobs)
    summaries = [{name: one[name] for name in one if name != "ProcessingInputs"} for one in entries]

    def described(asked: Mapping[str, Any]) -> dict[str, Any]:
        return Torn(next(one for one in entries if one["ProcessingJobName"] == asked["ProcessingJobName"]))

    return Script(
        {
            "sagemaker:Search": {"Results": [{"TrainingJob": one} for one in training]},
            "sagemaker:ListProcessingJobs": {"ProcessingJobSummaries": summaries},
            "sagemaker:DescribeProcessingJob": described,
            "sagemaker:ListTransformJobs": {"TransformJobSummaries": []},
        }
    )


def test_jobs_beyond_the_newest_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    script = jobs_script(*({"CreationTime": NOW - age * DAY} for age in (1, 2, 3)))
    assert reading.list_job_inputs(script.aws(), NOW).items == ()
    monkeypatch.setattr(reading, "_MOST_DESCRIBED", 1)
    (left,) = reading.list_job_inputs(script.aws(), NOW).items
    assert left == UnknownInputs(2, "processing job", "only the newest 1 of 90 days are described")

    found = bucket(unknown_inputs=(left,))
    monkeypatch.setattr(StorageTiering, "find_parts", lambda *_: iter((found, found.deletions)))
    notes = [part.text for part in RULE.find(script.aws(), NOW) if isinstance(part, SweepNote)]
    assert set(notes) == {
        "the inputs of 2 processing jobs are unknown: only the newest 1 of 90 days are described"
    }


def s3_input(uri: str, kind: str = "S3Prefix") -> list[dict[str, Any]]:
    return [{"InputName": "in", "S3Input": {"S3Uri": uri, "S3DataType": kind}}]


@cases(
    "more, until",
    ({"ProcessingEndTime": NOW - 29 * DAY}, 29),
    ({"ProcessingJobStatus": "InProgress"}, 0),
    ({"LastModifiedTime": NOW - 31 * DAY}, 31),
    ({}, 0),
)
def test_a_job_may_read_until_it_ends(more: dict[str, Any], until: int) -> None:
    created = {"CreationTime": NOW - 35 * DAY, "ProcessingInputs": s3_input("s3://lab/raw/")}
    (only,) = reading.list_job_inputs(jobs_script(created | more).aws(), NOW).items
    assert only == JobInput("processing job clean-0", "lab", "raw/", NOW - until * DAY)


def test_inputs_that_cannot_be_told_are_unknown_or_of_every_bucket() -> None:
    ended = {"ProcessingEndTime": NOW - DAY, "CreationTime": NOW - 2 * DAY}
    point = "arn:aws:s3:us-east-1:123456789012:accesspoint/lab"
    jobs = (
        {**ended, "ProcessingInputs": s3_input("s3://lab/files.manifest", "ManifestFile")},
        {**ended, "ProcessingInputs": s3_input(f"s3://{point}/raw/")},
        {
            "CreationTime": NOW - 32 * DAY,
            "ProcessingInputs": s3_input("s3://lab/b.manifest", "ManifestFile"),
            "ProcessingEndTime": NOW - 31 * DAY,
        },
    )
    items = reading.list_job_inputs(jobs_script(*jobs).aws(), NOW).items
    assert [one for one in items if isinstance(one, UnknownInputs)] == [
        UnknownInputs(1, "processing job", "they read what a manifest lists, and none is opened")
    ]
    assert JobInput("processing job clean-1", None, "raw/", NOW - DAY) in items


def test_a_training_job_reads_its_checkpoints() -> None:
    (record,) = listed_jobs({"CreationTime": NOW - DAY, "TrainingJobStatus": "InProgress"}, kind="Training")
    record["CheckpointConfig"] = {"S3Uri": "s3://lab/checkpoints/run"}
    items = reading.list_job_inputs(jobs_script(training=[record]).aws(), NOW).items
    assert JobInput("training job clean-0", "lab", "checkpoints/run", NOW) in items


@cases(
    "arn, judged",
    ("arn:aws:s3:::meridian-lab", True),
    ("arn:aws:s3:::meridian-lab/*", True),
    ("arn:aws:s3:::meridian-lab/logs/*", False),
    ("arn:aws:sns:us-east-1:123456789012:meridian-lab/*", False),
)
def test_which_arns_it_judges(arn: str, *, judged: bool) -> None:
    assert StorageTiering.judges(Arn.parse(arn)) is judged


def test_what_a_rule_saves_is_shared_out_by_folder() -> None:
    cost = not_none(
        finding(bucket(held("experiments/a"), held("experiments/run/b"), held("experiments/c", age=1))).cost
    )

    assert cost.shares == {
        f"arn:aws:s3:::meridian-lab/experiments/{place}*": pytest.approx((cost.monthly_usd or 0) / 2)
        for place in ("", "run/")
    }


def test_what_is_young_is_not_expired_for_the_sake_of_old_versions() -> None:
    old = held("logs/a", age=300, size=60 * GB, current=False, replaced=NOW - 95 * DAY)
    candidate = bucket([*old, *held("logs/b", age=1)]).deletions
    (rule,) = RULE.proposed(candidate, NOW)

    assert finding(candidate).confidence is Confidence.LIKELY  # the tags of old versions are not read
    assert (rule.expire_after, rule.noncurrent_expire_after) == (None, 90)


def test_small_objects_are_moved_to_archives_alone_and_only_if_the_bucket_says_so() -> None:
    """A thousand of 100 KB: five cents come back after more than two years."""
    patient = replace(RULE, min_gb=0.01, payback=timedelta(days=900))
    small = held(age=400, many=1000, size=1000 * 100 * 1024)

    assert patient.proposed(bucket(small), NOW) == ()
    there = rules(TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    (rule,) = patient.proposed(bucket(small, lifecycle=there), NOW)
    assert rule.transitions == ((365, "DEEP_ARCHIVE"),)


def test_the_command_keeps_what_is_there() -> None:
    there = rules(
        {"Filter": {"Prefix": "logs/"}, **EXPIRES},
        TransitionDefaultMinimumObjectSize="varies_by_storage_class",
    )
    action = finding(bucket(lifecycle=there)).action

    assert "--bucket meridian-lab --transition-default-minimum-object-size varies_by_storage_class" in action
    assert '"ID": "theirs"' in action
    assert action.index('"ID": "theirs"') < action.index('"ID": "ml-janitor-')
    many = [{"Filter": {"Prefix": f"logs/{n}"}, **EXPIRES} for n in range(20)]
    assert finding(bucket(lifecycle=rules(*many))).action.startswith(
        "move old objects to cheaper storage (1 lifecycle rule, added to the bucket's 20): [{"
    )
    shorter = finding(bucket(lifecycle=rules(*many[1:]))).action
    assert ", added to the bucket's 19): aws s3api put-bucket-lifecycle-configuration --bucket" in shorter


@cases(
    "setting, message",
    ({"policies": {"a": "STANDARD_IA 10d"}, "folders": {}}, "policies.a: .*after 30 days"),
    ({"policies": {"a": "expire"}, "folders": {}}, "expected steps like"),
    ({"policies": {"a": "FROZEN 30d"}, "folders": {}}, "expected steps like"),
    ({"policies": {"a": "expire soon"}, "folders": {}}, "expected steps like"),
    ({"policies": {"a": "expire 9d, expire 10d"}, "folders": {}}, "expected steps like"),
    ({"folders": {"*/x/": "nobody"}}, 'names the policy "nobody"'),
    ({"folders": {"*/x": "tmp"}}, "with its last slash"),
    ({"noncurrent": timedelta(days=89)}, "at least 90 days"),
    ({"uploads": timedelta(hours=23)}, "at least a day"),
    ({"act_on_buckets": ("models*",)}, "act_on_buckets: "),
    ({"undo_buckets": ("models*",)}, "undo_buckets: "),
)
def test_settings_that_make_no_sense(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StorageTiering(**setting)


def test_an_object_of_128_kilobytes_is_one_that_s3_moves() -> None:
    """S3 User Guide, "Transitioning objects": smaller ones stay by default."""
    versions = [StoredVersion("raw/a", NOW - DAY, 131_071), StoredVersion("raw/b", NOW - DAY, 131_072)]
    versions.append(StoredVersion("raw/c", NOW - DAY, 131_071, current=False, replaced=NOW - 2 * DAY))

    folder = folder_tree(versions, NOW, lambda _: ()).inside["raw/"]

    assert folder.held == {(1, True, "STANDARD"): (1, 131_071), (1, False, "STANDARD"): (1, 131_072)}
    assert folder.replaced == {(2, True, "STANDARD"): (1, 131_071)}
