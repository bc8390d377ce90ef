"""The kit's copies of checkpoints, by boto3 against the sandbox's S3."""

from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from janitor_kit.checkpoint import Checkpoints, Progress
from janitor_kit.spot_s3 import S3Copies

BIG = 9 * 1024 * 1024
"""More than boto3 sends in one piece."""


def save(checkpoints: Checkpoints, step: int) -> Path:
    with checkpoints.writing(Progress(step=step, epoch=1)) as folder:
        (folder / "model.pt").write_bytes(bytes([step]) * BIG)
    assert checkpoints.latest
    return checkpoints.latest


def test_checkpoints_go_to_s3_and_return_to_another_machine(session: boto3.Session, tmp_path: Path) -> None:
    s3 = session.client("s3")
    s3.create_bucket(Bucket="runs")
    here, there = Checkpoints(tmp_path / "here"), Checkpoints(tmp_path / "there")
    for machine in (here, there):
        machine.clean()
    for step in (1, 2, 3):
        copies = S3Copies("s3://runs/a/b", client=s3, keep=2)
        copies.offer(save(here, step))
        copies.close(60)
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="runs")["Contents"]]
    assert keys == [
        f"a/b/step-{step:012d}-000/{file}" for step in (2, 3) for file in ("manifest.json", "model.pt")
    ]
    s3.delete_object(Bucket="runs", Key="a/b/step-000000000003-000/manifest.json")

    S3Copies("s3://runs/a/b", client=s3).fetch(there)

    found = there.newest()
    assert found
    assert found.progress == Progress(step=2, epoch=1)
    assert (found.path / "model.pt").read_bytes() == bytes([2]) * BIG


def test_a_missing_bucket_is_an_error_before_training_begins(session: boto3.Session, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)

    with pytest.raises(ClientError, match="NoSuchBucket"):
        S3Copies("s3://nowhere/a", client=session.client("s3")).fetch(checkpoints)
