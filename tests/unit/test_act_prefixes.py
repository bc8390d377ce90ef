"""Where copies may be deleted, and which never may."""

import re
from dataclasses import replace
from typing import Any

import pytest

from ml_janitor.aws.locations import is_under
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Target
from ml_janitor.detectors.duplicate_artifacts import rule
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from tables import cases


@cases("prefix", "s3://models", "s3://models/", "s3://models/a/", "s3://my.models-1/a/b c/")
def test_buckets_and_folders_are_prefixes(prefix: str) -> None:
    assert DuplicateArtifacts(act_on_prefixes=(prefix,)).act_on_prefixes == (prefix,)


@cases(
    "prefix",
    "",
    "s3://",
    "models/",
    "s3://models/a",
    "s3://models/*/",
    "s3://mo*els/",
    "s3://M/",
    "s3://models/${x}/",
)
def test_what_is_neither_is_refused_in_one_line(prefix: str) -> None:
    tables = {"detectors": {"duplicate-artifacts": {"act_on_prefixes": ["s3://fine/", prefix]}}}

    with pytest.raises(
        InvalidInputError, match=r"detectors\.duplicate-artifacts: act_on_prefixes: expected"
    ) as said:
        Settings.parse(tables)

    assert str(said.value).endswith(f'got "{prefix}"')
    assert "\n" not in str(said.value)


@cases(
    "prefix, uri, expected",
    ("s3://models", "s3://models/a.tar.gz", True),
    ("s3://models", "s3://models-v2/a.tar.gz", False),
    ("s3://models/a/", "s3://models/a/b/c.tar.gz", True),
    ("s3://models/a/", "s3://models/a.tar.gz", False),
    ("s3://models/a/", "s3://models/ab/c.tar.gz", False),
    ("s3://models/a/", "s3://other/a/c.tar.gz", False),
)
def test_a_prefix_ends_at_its_slash(prefix: str, uri: str, *, expected: bool) -> None:
    assert is_under((prefix,), uri) is expected


def test_none_means_none() -> None:
    assert not is_under((), "s3://models/a.tar.gz")
    assert DuplicateArtifacts().never_acts() == "act_on_prefixes is empty, so no object may be deleted"
    armed = DuplicateArtifacts(act_on_prefixes=("s3://models/",), buckets=("models",))
    assert armed.never_acts() is None
    assert replace(armed, act_on_prefixes=("s3://models",)).acts == armed.acts
    assert replace(armed, buckets=(), read_contents_in=("models/a/",)).never_acts() is None
    assert "name its bucket in read_contents_in" in str(replace(armed, buckets=("model",)).never_acts())


def deletes(detector: DuplicateArtifacts) -> list[tuple[str, Any]]:
    return [(grant.on, grant.when[:-1]) for grant in detector.acts if grant.action == "s3:DeleteObject"]


def test_deleting_is_granted_there_only_and_with_an_etag_only() -> None:
    detector = DuplicateArtifacts(
        act_on_prefixes=("s3://models", "s3://runs/old/"), buckets=("models", "runs")
    )

    assert deletes(detector) == [
        ("arn:aws:s3:::models/*", rule.BY_ETAG_CONDITION),
        ("arn:aws:s3:::runs/old/*", rule.BY_ETAG_CONDITION),
    ]
    assert deletes(replace(detector, act_on_prefixes=())) == []
    narrowed = replace(detector, buckets=(), read_contents_in=("s3://models/a/", "runs"))
    assert [on for on, _ in deletes(narrowed)] == ["arn:aws:s3:::runs/old/*", "arn:aws:s3:::models/a/*"]
    assert deletes(replace(detector, buckets=())) == []


def test_no_object_is_read_or_decrypted_by_default() -> None:
    contents = {"s3:GetObject", "kms:Decrypt"}

    assert contents.isdisjoint(grant.action for grant in DuplicateArtifacts().reads)
    assert contents <= {grant.action for grant in DuplicateArtifacts(buckets=("models",)).reads}


def test_objects_are_written_again_only_where_copies_are_deleted_or_were() -> None:
    detector = DuplicateArtifacts(act_on_prefixes=("s3://models/a/",), undo_prefixes=("s3://runs",))
    writes = {"s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"}

    def places(one: DuplicateArtifacts) -> set[tuple[str, str]]:
        return {(grant.action, grant.on) for grant in one.undoes if grant.action in writes}

    here = ("arn:aws:s3:::models/a/*", "arn:aws:s3:::runs/*")
    assert places(detector) == {(action, on) for action in writes for on in here}
    assert places(DuplicateArtifacts(buckets=("models",))) == set()


def test_an_undo_reads_only_in_the_buckets_in_which_it_writes() -> None:
    detector = DuplicateArtifacts(act_on_prefixes=("s3://models/a/",), undo_prefixes=("s3://runs",))
    reads = {one.action: set[str]() for one in detector.undoes if not one.action.startswith("s3:Put")}
    for one in detector.undoes:
        reads.setdefault(one.action, set()).add(one.on)

    assert (
        reads["s3:GetObject"]
        == reads["s3:GetObjectVersion"]
        == {"arn:aws:s3:::models/*", "arn:aws:s3:::runs/*"}
    )
    assert reads["s3:ListBucket"] == {"arn:aws:s3:::models", "arn:aws:s3:::runs"}
    (decrypts,) = (one for one in detector.undoes if one.action == "kms:Decrypt")
    where = {condition.key: condition.values for condition in decrypts.when}
    assert set(where["kms:EncryptionContext:aws:s3:arn"]) == reads["s3:GetObject"] | reads["s3:ListBucket"]
    assert DuplicateArtifacts(buckets=("models",)).undoes == ()


@cases(
    "setting, value",
    ("buckets", "s3://models"),
    ("buckets", "models/a"),
    ("read_contents_in", "models/a"),
    ("read_contents_in", "models/*/"),
    ("undo_prefixes", "models"),
)
def test_contents_are_read_in_buckets_and_folders(setting: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{setting}: expected .* got \"{re.escape(value)}\""):
        DuplicateArtifacts(**{setting: (value,)})  # type: ignore[arg-type]


def test_a_key_is_used_for_the_objects_that_are_read_and_their_buckets() -> None:
    reads = DuplicateArtifacts(buckets=("models",), read_contents_in=("runs/a/",)).reads
    (decrypts,) = (grant for grant in reads if grant.action == "kms:Decrypt")

    assert {one.key: set(one.values) for one in decrypts.when}["kms:EncryptionContext:aws:s3:arn"] == {
        f"arn:aws:s3:::{one}" for one in ("models/*", "models", "runs/a/*", "runs")
    }


def test_what_cannot_be_written_again_any_more_names_the_setting() -> None:
    detector = DuplicateArtifacts(act_on_prefixes=("s3://models/a/",), undo_prefixes=("s3://runs/",))

    def lacks(path: str) -> str:
        arn = f"arn:aws:s3:::{path}"
        target = Target(arn=arn, name=path, kind="object", account="1", region="us-east-1", created=None)
        return detector.missing_for_undo(target, {})

    assert [lacks(path) for path in ("models/a/x", "runs/y")] == ["", ""]
    expected = 'undo_prefixes = ["s3://models/ab/"] in detectors.duplicate-artifacts'
    assert lacks("models/ab/x") == expected


def test_nothing_deletes_for_good() -> None:
    detector = DuplicateArtifacts(act_on_prefixes=("s3://models",), buckets=("models",))
    granted = {grant.action for grant in (*detector.acts, *detector.undoes)}

    assert not [action for action in granted if "Delete" in action and action != "s3:DeleteObject"]
    assert "s3:DeleteObject" not in {grant.action for grant in detector.undoes}
