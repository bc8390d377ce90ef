"""Copies in the armed order of things: warned, looked at again, deleted, and brought back."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import boto3
import pytest

from conftest import ACCOUNT, NOW
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Confidence
from ml_janitor.core.results import Outcome
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.ledger.table import Table
from ml_janitor.report.causes import outcome_note
from ml_janitor_sandbox.control import Control
from sagemaker_requests import package_request
from standin import DAY, Nights

MIB = 1024**2
BUCKET = "models"


class Copies(Nights):
    """A bucket that keeps versions, in which copies may be deleted."""

    def __init__(self, box: Control, table: Table, session: boto3.Session, aws: Aws) -> None:
        detector = DuplicateArtifacts(buckets=(BUCKET,), act_on_prefixes=(f"s3://{BUCKET}/",))
        super().__init__(table, session, aws, detector, box=box)
        self.s3, self.sagemaker = session.client("s3"), session.client("sagemaker")
        self.happens: list[Callable[[], object]] = []
        self.s3.create_bucket(Bucket=BUCKET)
        self.versions("Enabled")

    def _pause(self) -> None:
        super()._pause()
        for each in self.happens:
            each()

    def tuned(self, **tunables: Any) -> None:
        self.detector = replace(self.detector, **tunables)

    def versions(self, status: Literal["Enabled", "Suspended"]) -> None:
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})

    def put(self, key: str, *, age: int = 40, body: bytes = b"m" * MIB, **given: Any) -> None:
        with self.box.at(NOW - age * DAY):
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, **given)

    def keys(self) -> list[str]:
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=BUCKET, Key=key)

    def outcomes(self, results: dict[str, Any]) -> dict[str, Outcome]:
        return {name.removeprefix(f"{BUCKET}/"): result.outcome for name, result in results.items()}

    def night(self, days: int = 0) -> dict[str, Outcome]:
        return self.outcomes(self.after(days * DAY))

    def undo_of(self, key: str) -> None:
        self.undo(f"{BUCKET}/{key}")


@pytest.fixture
def copies(box: Control, table: Table, session: boto3.Session, aws: Aws) -> Copies:
    return Copies(box, table, session, aws)


def test_a_copy_is_warned_about_deleted_and_brought_back(copies: Copies) -> None:
    copies.put("a.tar.gz", age=50)
    copies.put("b.tar.gz", Metadata={"run": "7"}, Tagging="team=nlp")

    assert copies.night() == {"a.tar.gz": Outcome.KEPT, "b.tar.gz": Outcome.WARNED}
    assert copies.night(4) == {"a.tar.gz": Outcome.KEPT, "b.tar.gz": Outcome.ACTED}

    assert copies.keys() == ["a.tar.gz"]
    (marker,) = copies.s3.list_object_versions(Bucket=BUCKET)["DeleteMarkers"]
    action = copies.of(f"{BUCKET}/b.tar.gz")
    assert action.steps == {"act: delete": "done", f"act: delete marker {marker['VersionId']}": "done"}
    assert (action.undo["metadata"], action.undo["tags"]) == ({"run": "7"}, {"team": "nlp"})
    assert action.undo["keeper"]["key"] == "a.tar.gz"

    copies.undo_of("b.tar.gz")

    assert copies.keys() == ["a.tar.gz", "b.tar.gz"]
    assert copies.s3.head_object(Bucket=BUCKET, Key="b.tar.gz")["Metadata"] == {"run": "7"}


def test_what_another_account_may_read_after_the_warning_is_only_reported(copies: Copies) -> None:
    copies.put("a.tar.gz", age=50)
    copies.put("b.tar.gz")
    copies.put("public/c.tar.gz", age=30)
    copies.night()
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::999999999999:root"},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/b*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    copies.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))

    done = copies.after(4 * DAY)

    assert copies.outcomes(done) == {
        "a.tar.gz": Outcome.KEPT,
        "b.tar.gz": Outcome.ADVISED,
        "public/c.tar.gz": Outcome.ACTED,
    }
    assert outcome_note(done[f"{BUCKET}/b.tar.gz"]) == (
        "only reported: the bucket's policy lets account 999999999999 read it, which may use this copy"
    )


def test_a_package_that_was_updated_since_search_saw_it_keeps_what_it_loads_now(copies: Copies) -> None:
    copies.put("a.tar.gz", age=50)
    copies.put("b.tar.gz")
    copies.put("c.tar.gz", age=30)
    made = [
        copies.sagemaker.create_model_package(**package_request("s3://other/m.tar.gz", ModelPackageName=name))
        for name in ("one", "two")
    ]
    assert copies.night()["b.tar.gz"] is Outcome.WARNED
    assert copies.box.calls().get("sagemaker:DescribeModelPackage") is None, "Search tells"
    copies.box.freeze_search()
    loads = package_request(f"s3://{BUCKET}/b.tar.gz")["InferenceSpecification"]
    copies.sagemaker.update_model_package(
        ModelPackageArn=made[1]["ModelPackageArn"], InferenceSpecification=loads
    )

    copies.aws.aided = True  # another run
    assert copies.night(4) == {
        "a.tar.gz": Outcome.KEPT,
        "b.tar.gz": Outcome.CHANGED,
        "c.tar.gz": Outcome.ACTED,
    }


@pytest.mark.parametrize("ages", [(50, 40, 30), (30, 50, 40), (40, 30, 50), (50, 30, 40)])
def test_of_several_copies_due_at_once_the_oldest_stays(copies: Copies, ages: tuple[int, ...]) -> None:
    for key, age in zip("abc", ages, strict=True):
        copies.put(f"{key}.tar.gz", age=age)
    oldest = f"{'abc'[ages.index(50)]}.tar.gz"
    copies.night()

    assert sorted(copies.night(4).values()) == [Outcome.ACTED, Outcome.ACTED, Outcome.KEPT]
    assert copies.keys() == [oldest]


@pytest.mark.parametrize("ages", [(50, 40, 30), (50, 30, 40), (30, 40, 50)])
def test_a_deleted_keeper_leaves_the_last_copy_alone(copies: Copies, ages: tuple[int, ...]) -> None:
    for key, age in zip("abc", ages, strict=True):
        copies.put(f"{key}.tar.gz", age=age)
    oldest = f"{'abc'[ages.index(50)]}.tar.gz"
    copies.night()
    copies.happens.append(lambda: copies.delete(oldest))

    done = copies.night(4)

    assert sorted(one for key, one in done.items() if key != oldest) == [Outcome.ACTED, Outcome.CHANGED]
    assert len(copies.keys()) == 1


def test_a_copy_that_a_model_wants_in_between_becomes_the_keeper(copies: Copies) -> None:
    for key, age in zip("abc", (50, 40, 30), strict=True):
        copies.put(f"{key}.tar.gz", age=age)
    copies.night()
    container: Any = {"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/c.tar.gz"}
    role = f"arn:aws:iam::{ACCOUNT}:role/ml"
    copies.happens.append(
        lambda: copies.sagemaker.create_model(
            ModelName="churn", ExecutionRoleArn=role, PrimaryContainer=container
        )
    )

    assert copies.night(4)["c.tar.gz"] is Outcome.CHANGED
    assert copies.keys() == ["a.tar.gz", "c.tar.gz"]


def test_a_keeper_goes_only_in_a_later_night_than_its_copy_and_all_come_back(copies: Copies) -> None:
    """c is proven to be b, by SHA-256; b is only likely to be a, by ETag."""
    copies.versions("Suspended")
    copies.s3.delete_bucket(Bucket=BUCKET)
    copies.s3.create_bucket(Bucket=BUCKET)
    copies.tuned(compare_up_to=0, allow_unversioned=True)
    copies.arming = replace(copies.arming, act_on=Confidence.LIKELY)
    copies.put("a.tar.gz", age=50)
    copies.put("b.tar.gz", ChecksumAlgorithm="SHA256")
    copies.put("c.tar.gz", age=30, ChecksumAlgorithm="SHA256")

    first = copies.night()
    assert (first["b.tar.gz"], first["c.tar.gz"]) == (Outcome.KEPT, Outcome.WARNED)
    assert copies.night(4)["c.tar.gz"] is Outcome.ACTED
    assert copies.keys() == ["a.tar.gz", "b.tar.gz"]
    assert copies.night(1)["b.tar.gz"] is Outcome.WARNED
    assert copies.night(4)["b.tar.gz"] is Outcome.ACTED
    assert copies.of(f"{BUCKET}/b.tar.gz").undo["proof"].startswith("every byte read")

    with pytest.raises(CannotUndoError, match=r"its bytes are gone: no longer s3://models/b\.tar\.gz"):
        copies.undo_of("c.tar.gz")
    copies.undo_of("b.tar.gz")
    copies.undo_of("c.tar.gz")
    assert copies.keys() == ["a.tar.gz", "b.tar.gz", "c.tar.gz"]


def test_lost_answers_are_settled_by_looking(copies: Copies) -> None:
    copies.put("a.tar.gz", age=50)
    copies.put("b.tar.gz")
    copies.night()
    copies.box.fault("s3", "DeleteObject", "lost-reply", times=1)
    copies.box.fault("s3", "DeleteObject", "error", times=1)

    assert copies.night(4)["b.tar.gz"] is Outcome.ACTED
    assert copies.keys() == ["a.tar.gz"]

    copies.box.fault("s3", "CopyObject", "lost-reply", times=1)
    copies.box.fault("s3", "CopyObject", "error", times=1)
    with pytest.raises(CannotUndoError, match="could not be brought back"):
        copies.undo_of("b.tar.gz")
    copies.undo_of("b.tar.gz")

    versions = copies.s3.list_object_versions(Bucket=BUCKET, Prefix="b.tar.gz")
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (2, 1)
