"""The rule for artifacts stored more than once, signal by signal, at its exact boundaries."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from ml_janitor.aws.calls import Listing, ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.references import PlaceUser
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Cost,
    Finding,
    NotRead,
    Signal,
    Tags,
    Target,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.detectors.duplicate_artifacts import rule
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactUnit, StoredObject
from ml_janitor.detectors.duplicate_artifacts.buckets import DeletionRules, PolicyReader
from ml_janitor.detectors.duplicate_artifacts.contents import ContentMatch, Likeness, ObjectContents
from ml_janitor.detectors.duplicate_artifacts.copies import (
    ArtifactCopy,
    CopyRole,
    CopyStanding,
    checksum_job_notice,
    is_surplus,
    merge_object_tags,
)
from ml_janitor.detectors.duplicate_artifacts.rule import (
    ASK_FIRST_ACTION,
    DELETE_COPY_ACTION,
    ArtifactSurvey,
    DuplicateArtifacts,
)
from ml_janitor.engine.detector import CannotActError
from narrowing import not_none, of_type
from tables import cases
from verdicts import shown, word

NOW = datetime(2026, 10, 4, 4, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
MIB = 1024**2

DENIED = Unreadable("DescribeModel: AccessDeniedException")
PROVEN = ContentMatch(Likeness.PROVEN, "equal SHA-256")
LIKELY = ContentMatch(Likeness.LIKELY, "equal CRC64NVME")
UNKNOWN = ContentMatch(Likeness.UNKNOWN, "their bytes were not compared")


def stored(key: str = "backup/model.tar.gz", *, bucket: str = "models", **changed: Any) -> StoredObject:
    given: dict[str, Any] = {
        "size": 300 * MIB,
        "etag": '"e"',
        "modified": NOW - 40 * DAY,
        "storage_class": "STANDARD",
    }
    return StoredObject(bucket=bucket, key=key, **{**given, **changed})


def unit(*files: StoredObject, region: str = "us-east-1", **changed: Any) -> ArtifactUnit:
    return ArtifactUnit(bucket=files[0].bucket, region=region, files=files, **changed)


KEEPER = unit(stored("live/model.tar.gz", modified=NOW - 90 * DAY))
ENDED = PlaceUser("training job t-1, which ended", "training-job/t-1", in_use=False)
UNSERVED = PlaceUser("model m, which nothing serves", "model/m", in_use=False)
HABITS = DeletionRules(
    versioning=Absent(), lock=Absent(), lifecycle=Absent(), tags=Value({}), readers=Absent()
)


def copy(
    one: StoredObject | None = None,
    *,
    match: ContentMatch = PROVEN,
    role: CopyRole = CopyRole.SURPLUS,
    **signals: Any,
) -> ArtifactCopy:
    """A copy that nothing protects, of an older one in its bucket."""
    one = one or stored()
    given: dict[str, Any] = {
        "unit": Value(unit(one)),
        "contents": Value(ObjectContents(size=one.size)),
        "referred": Absent(),
        "standing": CopyStanding(role=role, keeper=KEEPER, match=match, others=1),
        "cost": Cost(monthly_usd=Decimal("6.9"), source="Price List API"),
        "habits": HABITS,
        "lock": Absent(),
    }
    return ArtifactCopy(
        target=Target(
            arn=f"arn:aws:s3:::{one.bucket}/{one.key}",
            name=f"{one.bucket}/{one.key}",
            kind="object",
            account="123456789012",
            region="us-east-1",
            created=one.modified,
            tags=Value({}),
        ),
        stored=one,
        **{**given, **signals},
    )


def aged(storage_class: str, age: timedelta) -> ArtifactCopy:
    return copy(stored(storage_class=storage_class, modified=NOW - age))


def alone(others: int = 0) -> ArtifactCopy:
    """One that is no copy of any of *others*."""
    return copy(standing=CopyStanding(role=CopyRole.ALONE, others=others))


def judged(candidate: ArtifactCopy, now: datetime = NOW, **tunables: Any) -> Verdict:
    return DuplicateArtifacts(**tunables).decide(candidate, now)


def crowded(one: StoredObject) -> Value[ArtifactUnit]:
    return Value(unit(one, crowded=True))


@cases(
    "candidate, expected",
    (copy(), "proven"),
    (copy(match=LIKELY), "likely"),
    (copy(role=CopyRole.ELSEWHERE), "likely"),
    (copy(unit=crowded(stored())), "likely"),
    (copy(match=UNKNOWN, role=CopyRole.UNSURE), "unknown"),
    (copy(referred=Value(("model churn",))), "kept"),
    (copy(needed_only_by=(ENDED,)), "likely"),
    (copy(needed_only_by=(ENDED,), referred=DENIED), "unknown"),
    (copy(gaps=("endpoint e uses model m, which exists no more",)), "likely"),
    (copy(stale="its inventory is 60 hours old"), "likely"),
    (copy(referred=DENIED), "unknown"),
    (copy(referred=NotRead()), "unknown"),
    (copy(lock=Value("under a legal hold")), "kept"),
    (copy(lock=DENIED), "unknown"),
    (copy(lock=NotRead()), "unknown"),
    (copy(contents=DENIED), "unknown"),
    (copy(unit=DENIED), "unknown"),
    (copy(unit=NotRead()), "unknown"),
    (copy(listing_error="ListObjectsV2 broke off"), "unknown"),
    (copy(archived="GLACIER"), "kept"),
    (copy(replica=True), "kept"),
    (alone(others=2), "kept"),
    (copy(standing=CopyStanding(role=CopyRole.STAYS, copies=(KEEPER,), others=1)), "kept"),
    (
        copy(standing=CopyStanding(role=CopyRole.STAYS, copies=(KEEPER,), others=1), referred=DENIED),
        "unknown",
    ),
    (copy(standing=CopyStanding(role=CopyRole.SURPLUS)), "unknown"),
    (copy(habits=replace(HABITS, versioning=DENIED, lifecycle=DENIED)), "proven"),
    # a minimum time is billed until then
    (aged("STANDARD", SECOND), "proven"),
    (aged("STANDARD", -SECOND), "proven"),
    (aged("STANDARD_IA", 30 * DAY - SECOND), "kept"),
    (aged("STANDARD_IA", 30 * DAY), "proven"),
    (aged("GLACIER_IR", 90 * DAY - SECOND), "kept"),
    (aged("GLACIER_IR", 90 * DAY), "proven"),
    (aged("INTELLIGENT_TIERING", SECOND), "proven"),
    # only model artifacts are judged
    (copy(stored("a/model.tar.gz", size=MIB)), "proven"),
    (copy(stored("a/model.tar.gz", size=MIB - 1)), "kept"),
    (copy(stored("a/MODEL.TAR.GZ", size=MIB)), "proven"),
    (copy(stored("a/model.csv", size=MIB)), "kept"),
)
def test_every_signal_has_its_say(candidate: ArtifactCopy, expected: str) -> None:
    assert word(judged(candidate)) == expected


@cases(
    "candidate, says",
    (copy(), "(equal SHA-256), which stays; nothing refers to this one; deleting it frees its bytes at once"),
    (
        copy(match=LIKELY),
        "it very likely has the same bytes as s3://models/live/model.tar.gz (equal CRC64NVME)",
    ),
    (copy(role=CopyRole.ELSEWHERE), "another bucket: it may be a replica that somebody wants"),
    (
        copy(role=CopyRole.ELSEWHERE, unit=Value(unit(stored(), region="eu-west-1"))),
        "another region (us-east-1): it may be a replica",
    ),
    (copy(unit=crowded(stored())), "other weights lie in its folder"),
    (
        copy(unit=Value(unit(stored(), stored("backup/x"), root="backup/"))),
        "its folder (2 files) has the same",
    ),
    (copy(referred=Value(("model a", "pipeline b"))), "model a (and 1 more) refers to it"),
    (copy(needed_only_by=(ENDED,)), "which stays; needed only by training job t-1, which ended; deleting"),
    (
        copy(needed_only_by=(ENDED,), standing=CopyStanding(role=CopyRole.STAYS, copies=(KEEPER,))),
        "it stays: of 2 copies, training job t-1, which ended refers to this one, and nothing in use",
    ),
    (copy(gaps=("a, which is gone",)), "; any copy may be in use, though: a, which is gone; "),
    (copy(stale="its inventory is 60 hours old"), "refers to this one; its inventory is 60 hours old; "),
    (copy(archived="DEEP_ARCHIVE"), "it is archived (DEEP_ARCHIVE)"),
    (copy(standing=CopyStanding(role=CopyRole.STAYS, copies=(KEEPER,))), "the oldest of 2 copies"),
    (copy(standing=CopyStanding(role=CopyRole.STAYS)), "bytes as another one, but of the two none is sure"),
    (copy(habits=None), "when its bytes would be freed was not read"),
    (alone(others=2), "differ from those of 2 other artifacts"),
    (alone(), "no other artifact of its size is a model by itself"),
    (alone(others=1), "differ from those of 1 other artifact of"),
    (copy(referred=DENIED), "something may refer to it: DescribeModel: AccessDeniedException"),
    (copy(lock=Value("retained until 2027-01-01 (compliance)")), "it is retained until 2027-01-01"),
    (
        copy(match=UNKNOWN, role=CopyRole.UNSURE),
        "nobody knows whether it is the same as s3://models/live/model",
    ),
)
def test_the_reason_says_it_in_a_sentence(candidate: ArtifactCopy, says: str) -> None:
    assert says in judged(candidate).reason


@cases(
    "candidate, surplus",
    (copy(), True),
    (copy(role=CopyRole.ELSEWHERE), True),
    (copy(role=CopyRole.STAYS), False),
    (copy(referred=Value(("model churn",))), False),
    (copy(referred=DENIED), False),
    (copy(listing_error="ListObjectsV2 broke off"), False),
    (copy(replica=True), False),
)
def test_only_what_may_be_found_is_read_further(candidate: ArtifactCopy, *, surplus: bool) -> None:
    assert is_surplus(candidate) is surplus


def test_the_evidence_names_copies_users_and_expiry_where_there_are_any() -> None:
    standing = CopyStanding(role=CopyRole.STAYS, copies=(unit(stored("a.pt")), unit(stored("b.pt"))))
    expiring = Value(ObjectContents(size=MIB, expires="Sat, 10 Oct 2026"))
    more = {
        "needed only by": "training job t-1, which ended",
        "copy 1": "s3://models/a.pt",
        "copy 2": "s3://models/b.pt",
        "expires": "Sat, 10 Oct 2026",
    }

    seen = shown(judged(copy(standing=standing, needed_only_by=(ENDED,), contents=expiring)))

    assert {name: seen[name] for name in more} == more
    assert more.keys().isdisjoint(shown(judged(copy())))


def test_the_evidence_names_ten_copies_at_most() -> None:
    copies = tuple(unit(stored(f"{number}.pt")) for number in range(11))
    keeper = copy(standing=CopyStanding(role=CopyRole.STAYS, copies=copies))

    named = [name for name in shown(judged(keeper)) if name.startswith("copy ")]

    assert named == [f"copy {number}" for number in range(1, 11)]


@cases(
    "known, checksums",
    ({}, "none that tells anything"),
    ({"allowed": False}, 'ETag "listed"'),
    ({"md5": "d41d8"}, "ETag d41d8"),
    ({"parts_etag": "d41d8-2"}, "ETag d41d8-2"),
    (
        {"whole": {"SHA256": "w=="}, "parts": {"CRC32": "p=="}, "md5": "d41d8"},
        "SHA256 w==, CRC32 of parts p==, ETag d41d8",
    ),
)
def test_the_evidence_shows_the_checksums_that_tell_something(known: dict[str, Any], checksums: str) -> None:
    contents = Value(ObjectContents(size=MIB, etag='"listed"', **known))

    assert shown(judged(copy(contents=contents)))["checksums"] == checksums


def test_the_tunables_say_what_an_artifact_is() -> None:
    data = copy(stored("a/data.parquet", size=100))

    assert word(judged(data, extensions=(".parquet",), min_size=100)) == "proven"
    assert word(judged(data, extensions=(".parquet",), min_size=101)) == "kept"


def test_a_finding_carries_its_keeper_its_price_and_since_when_there_are_two() -> None:
    found = of_type(Finding, judged(copy()))

    assert {seen.signal: seen.value for seen in found.evidence}["keeper"] == "s3://models/live/model.tar.gz"
    assert not_none(found.cost).monthly_usd == Decimal("6.9")
    assert found.since == NOW - 40 * DAY
    assert found.action == DELETE_COPY_ACTION
    assert found.steps[:-1] == (
        "everything about it could be read",
        "another artifact of its size may be the same",
        "it is like s3://models/live/model.tar.gz: equal SHA-256",
        "nothing in use refers to it",
        "it is not locked, nor billed for a minimum time that has yet to pass",
    )


def test_two_of_many_files_are_named_that_may_not_be_read() -> None:
    folder = copy(unit=Value(unit(stored(), stored("backup/x"), root="backup/")))
    assert of_type(Finding, judged(folder, act_on_prefixes=BACKUP)).spared == (
        "the contents of s3://models/backup/model.tar.gz and s3://models/backup/x may not be read, so nothing"
        " proves it a copy"
    )


def test_what_is_asked_and_done_without_a_setting() -> None:
    plain = DuplicateArtifacts()
    looks = {"s3:GetInventoryConfiguration", "s3:GetBucketMetadataTableConfiguration"}

    assert looks.isdisjoint(grant.action for grant in plain.reads)
    assert (plain.compare_up_to, plain.cleanup.grace) == (20 * 2**30, 3 * DAY)
    assert plain.keeps_files
    assert plain.keeps_descriptions
    with pytest.raises(ValueError, match=r"inventories.models.table: expected"):
        DuplicateArtifacts(inventories={"models": {}})
    listed = {"location": "s3://inventories/models/", "table": "models"}
    with pytest.raises(ValueError, match=r'inventories.models.table: .* like "s3.models", got "models"'):
        DuplicateArtifacts(inventories={"models": listed})
    with pytest.raises(ValueError, match=r"inventories.models.output: expected where Athena leaves"):
        DuplicateArtifacts(inventories={"models": listed | {"table": "s3.models"}})


@cases(
    "bucket, changed, says",
    ("my/models", {}, r'inventories: expected the name of a bucket like "models", got "my/models"'),
    ("models", {"folder": "x"}, r'inventories.models: expected table, .* output, got "folder"'),
    ("models", {"location": "s3://lists/all"}, r'inventories.models.location: .* got "s3://lists/all"'),
    ("models", {"output": "answers/"}, r'inventories.models.output: expected a folder .* got "answers/"'),
    ("models", {"workgroup": "my group"}, r'inventories.models.workgroup: .* of one, got "my group"'),
)
def test_an_inventory_that_cannot_be_asked_is_refused(
    bucket: str, changed: dict[str, str], says: str
) -> None:
    whole = {"table": "s3.models", "location": "s3://lists/all/", "output": "s3://answers/"}
    DuplicateArtifacts(inventories={"models": whole})

    with pytest.raises(ValueError, match=says):
        DuplicateArtifacts(inventories={bucket: whole | changed})


def test_a_job_of_checksums_is_priced_by_objects_and_bytes() -> None:
    assert "computes their checksums costs about $5.16;" in checksum_job_notice([MIB] * 1_000_000)


def test_it_has_been_waste_since_the_younger_of_both_was_written() -> None:
    younger = unit(stored("live/model.tar.gz", modified=NOW - 3 * DAY))
    found = judged(copy(standing=CopyStanding(role=CopyRole.SURPLUS, keeper=younger, match=PROVEN)))

    assert isinstance(found, Finding)
    assert found.since == NOW - 3 * DAY


@cases(
    "layers, expected",
    (({"environment": "prod"}, {"environment": "dev"}), {"environment": "prod"}),
    (({"ManagedBy": "terraform"}, {"ManagedBy": "manual"}), {"ManagedBy": "terraform"}),
    (({"environment": "dev"}, {"environment": "prod"}), {"environment": "prod"}),
    (({"keep": "true"}, {"keep": "false"}), {"keep": "false"}),
    (({"owner": "a"}, {}, {"owner": "b", "team": "c"}), {"owner": "b", "team": "c"}),
)
def test_an_object_leaves_its_bucket_in_production(layers: tuple[Tags, ...], expected: Tags) -> None:
    assert merge_object_tags(*(Value(tags) for tags in layers)) == Value(expected, "s3:GetObjectTagging")


def test_tags_that_are_unknown_in_one_layer_are_unknown() -> None:
    assert merge_object_tags(Value({}), DENIED, Value({"keep": "true"})) == DENIED


def test_a_copy_in_another_bucket_is_only_asked_about() -> None:
    found = of_type(Finding, judged(copy(role=CopyRole.ELSEWHERE)))

    assert (found.action, found.confidence) == (ASK_FIRST_ACTION, Confidence.LIKELY)


def test_when_bytes_are_freed_is_said_for_versioned_buckets() -> None:
    rule = {"ID": "old", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    versioned = replace(HABITS, versioning=Value("Enabled"))

    assert "never freed" in judged(copy(habits=versioned)).reason
    expiring = replace(versioned, lifecycle=Value((rule,)))
    assert "freed 30 days later, by lifecycle rule old" in judged(copy(habits=expiring)).reason
    unread = replace(HABITS, versioning=DENIED)
    assert "unknown, since its versioning" in judged(copy(habits=unread)).reason
    tagged = replace(versioned, lifecycle=Value(({**rule, "Filter": {"Tag": {"Key": "a", "Value": "1"}}},)))
    one = copy(habits=tagged)
    for tags, expected in ((Value({"a": "1"}), "30 days later"), (DENIED, "never freed")):
        assert expected in judged(replace(one, target=replace(one.target, tags=tags))).reason


VERSIONED = replace(HABITS, versioning=Value("Enabled"))
SUSPENDED = replace(HABITS, versioning=Value("Suspended"))
BACKUP = ("s3://models/backup/",)
STRANGER = Value((PolicyReader(who="account 999999999999", what=("arn:aws:s3:::models/*",)),))


def versioned(**signals: Any) -> ArtifactCopy:
    """A copy whose bucket keeps versions."""
    return copy(habits=VERSIONED, **signals)


def read_by(readers: Signal[tuple[PolicyReader, ...]]) -> ArtifactCopy:
    """A copy that the policy of its bucket lets others read."""
    return copy(habits=replace(VERSIONED, readers=readers))


NEEDED = versioned(needed_only_by=(ENDED, UNSERVED))


@cases(
    "candidate, tunables, expected",
    (versioned(), {}, None),
    (versioned(), {"act_on_prefixes": ()}, "it lies under none of act_on_prefixes"),
    (versioned(), {"act_on_prefixes": ("s3://models/live/",)}, "under none of act_on_prefixes"),
    (copy(), {}, "its bucket keeps no versions, and allow_unversioned is off"),
    (copy(), {"allow_unversioned": True}, None),
    (read_by(STRANGER), {}, "lets account 999999999999 read it, which may"),
    (read_by(DENIED), {}, "whom its bucket's policy lets read it is unknown"),
    (read_by(NotRead()), {}, "was not read"),
    (
        versioned(needed_only_by=(ENDED,)),
        {},
        "needed by training job t-1, which ended, and act_on_needed_by names no training-job/t-1",
    ),
    (NEEDED, {"act_on_needed_by": ("training-job/*",)}, "needed by model m, which nothing serves"),
    (NEEDED, {"act_on_needed_by": ("training-job/t-*", "model/m")}, None),
    (
        versioned(gaps=("endpoint e uses model m",)),
        {"act_on_needed_by": ("model/*",)},
        "any copy may be in use: endpoint e uses model m",
    ),
    (copy(habits=SUSPENDED), {}, "versioning is suspended, and allow_unversioned is off"),
    (copy(habits=SUSPENDED), {"allow_unversioned": True}, None),
    (copy(habits=replace(HABITS, versioning=DENIED)), {}, "keeps versions is unknown"),
    (copy(habits=replace(HABITS, versioning=NotRead())), {}, "keeps versions was not read"),
    (versioned(), {"buckets": ()}, "model.tar.gz may not be read, so nothing proves it a copy"),
    (
        versioned(),
        {"buckets": (), "read_contents_in": ("models/backup/",)},
        "the contents of s3://models/live/model.tar.gz may not be read",
    ),
    (versioned(role=CopyRole.ELSEWHERE), {}, "lies in another bucket"),
    (versioned(unit=crowded(stored())), {}, "may belong to the same model"),
    (versioned(unit=Value(unit(stored(), root="backup/"))), {}, "one of several files"),
)
def test_what_may_never_be_deleted_is_found_all_the_same_and_only_reported(
    candidate: ArtifactCopy, tunables: dict[str, Any], expected: str | None
) -> None:
    verdict = judged(candidate, **{"act_on_prefixes": BACKUP, "buckets": ("models",), **tunables})

    assert isinstance(verdict, Finding)
    if expected is None:
        assert verdict.spared is None
    else:
        assert expected in str(verdict.spared)


def test_what_a_broken_listing_does_not_show_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    one = stored()
    monkeypatch.setattr(rule, "find_object", lambda *_: one)
    monkeypatch.setattr(ArtifactSurvey, "read", lambda *_, **__: Listing((), "broke off"))

    with pytest.raises(ReadError, match="broke off"):
        DuplicateArtifacts(buckets=("models",)).look(cast("Aws", None), copy(one).target, NOW)


def test_what_has_no_keeper_is_not_deleted() -> None:
    without = copy(standing=CopyStanding(role=CopyRole.SURPLUS))

    with pytest.raises(CannotActError, match="nothing says what it is a copy of"):
        DuplicateArtifacts().prepare(None, without, {})  # type: ignore[arg-type]


def test_nothing_is_alone_where_other_buckets_may_hold_the_same() -> None:
    alone = copy(role=CopyRole.ALONE, standing=CopyStanding(role=CopyRole.ALONE))

    kept = judged(alone)
    assert (word(kept), kept.reason) == ("kept", "no other artifact of its size is a model by itself")
    unknown = judged(replace(alone, unsearched="DescribeModel: AccessDeniedException"))
    assert word(unknown) == "unknown"
    assert "a bucket that was not searched may hold the same" in unknown.reason


@pytest.mark.parametrize("glob", ["*", "training-job", "training-job/", "endpoint/live", "job/x", ""])
def test_what_can_name_nothing_that_a_copy_is_needed_by_is_refused(glob: str) -> None:
    with pytest.raises(ValueError, match=r"act_on_needed_by: expected a kind \(model, model-package, train"):
        DuplicateArtifacts(act_on_needed_by=(glob,))
