"""
Files of an unfinished listing decide nothing unless they are the files that the janitor wrote.

The attacker may write to the report bucket, and wants waste to look as if it were gone.
"""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor import handlers
from ml_janitor.detectors.duplicate_artifacts import artifacts
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET
from ml_janitor_sandbox.slack import SlackControl
from standin import WITH_SLACK, Context, items

FOLDER = f"duplicate-artifacts/listing/{ACCOUNT}/{REGION}/"
SETTINGS = f"""{WITH_SLACK}
[detectors.duplicate-artifacts]
buckets = ["first", "second"]
"""


class ShortOfTime(Context):
    """A context in which the time for reading is over after the first page of a listing."""

    left = 900_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left


@pytest.fixture(autouse=True)
def found(
    session: boto3.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deployed: SlackControl
) -> None:
    """A function that has found a copy."""
    assert deployed
    monkeypatch.setenv("JANITOR_DETECTOR", "duplicate-artifacts")
    (tmp_path / "janitor.toml").write_text(SETTINGS)
    s3 = session.client("s3")
    for name in ("first", "second"):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="churn.tar.gz", Body=b"model" * 2**18)
    sweep(0)
    assert [finding["closed"] for finding in findings(session)] == [None]


def sweep(hour: int, context: Context | None = None) -> dict[str, Any]:
    time = NOW.replace(hour=NOW.hour + hour, second=30).isoformat()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JANITOR_NOW", time)
        (swept,) = handlers.sweep({"time": time}, context or Context())["sweeps"]
    return dict(swept)


def findings(session: boto3.Session) -> list[dict[str, Any]]:
    return [{"closed": None, **item} for item in items(session)["finding"]]


def break_off(hour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep with time for the first bucket only: the next part goes on."""
    late, put = ShortOfTime(), artifacts.BucketIndex.put

    def last(*given: Any) -> Any:
        late.left = 60_000
        return put(*given)

    with monkeypatch.context() as patch:
        patch.setattr("ml_janitor.aws.s3.PAGES_AT_ONCE", 1)
        patch.setattr(artifacts.BucketIndex, "put", last)
        assert sweep(hour, late)["looked_at"] == 0


def test_a_forged_position_closes_nothing(session: boto3.Session) -> None:
    names = artifacts.ArtifactNames()
    position = {
        "of": [1, *sorted(names.extensions), names.min_size],
        "begun": NOW.isoformat(),
        "files": [],
        "objects": {"first": 0, "second": 0},
        "left": [],
    }
    session.client("s3").put_object(
        Bucket=BUCKET, Key=f"{FOLDER}position.json", Body=json.dumps(position).encode()
    )

    assert sweep(1)["looked_at"] == 2
    assert [finding["closed"] for finding in findings(session)] == [None]


@pytest.mark.parametrize("changed", ["manifest.", "-artifacts", "nothing"])
def test_a_listing_whose_files_were_changed_begins_again(
    changed: str, session: boto3.Session, box: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(1, monkeypatch)
    s3 = session.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=FOLDER)["Contents"]]
    for key in keys:
        if changed in key.removeprefix(FOLDER):
            body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            s3.put_object(Bucket=BUCKET, Key=key, Body=body.replace(b"first", b"other"))
    assert changed == "nothing" or any(changed in key.removeprefix(FOLDER) for key in keys)
    box.clear_calls()

    assert sweep(2)["looked_at"] == 2
    assert box.calls()["s3:ListObjectsV2"] == (
        1 if changed == "nothing" else 2 if changed == "manifest." else 3
    )
    assert [finding["closed"] for finding in findings(session)] == [None]
