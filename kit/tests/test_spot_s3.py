"""Copies of checkpoints in S3: whole as soon as their manifest is there."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disk_s3 import DiskS3
from janitor_kit import checkpoint
from janitor_kit.checkpoint import MANIFEST, Checkpoints, Progress
from janitor_kit.spot import Interrupted, State, Training
from janitor_kit.spot_s3 import S3Copies


class Recorder(DiskS3):
    """Remembers the order of calls; an upload can wait, and can fail."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.calls: list[str] = []
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        self.broken = False

    def upload_file(self, filename: str, bucket: str, key: str) -> None:
        self.begun.set()
        self.gate.wait()
        if self.broken:
            raise ConnectionError("S3 is not there")
        self.calls.append(f"put {key}")
        super().upload_file(filename, bucket, key)

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        self.calls.append(f"delete {Key}")
        super().delete_object(Bucket=Bucket, Key=Key)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path / "s3")
    yield made
    made.gate.set()


def copies(s3: Recorder, **settings: Any) -> S3Copies:
    return S3Copies("s3://bucket/runs/1/", client=s3, **settings)


def machine(folder: Path) -> Checkpoints:
    made = Checkpoints(folder)
    made.clean()
    return made


def save(checkpoints: Checkpoints, step: int) -> Path:
    with checkpoints.writing(Progress(step=step)) as folder:
        (folder / "adam").write_text("sorted before the manifest")
        (folder / "model").write_text(f"weights {step}")
        (folder / "zeta").write_text("sorted behind the manifest")
    assert checkpoints.latest
    return checkpoints.latest


def test_the_manifest_is_put_last_and_removed_first(s3: Recorder, tmp_path: Path) -> None:
    checkpoints = machine(tmp_path / "a")
    for step in (1, 2):
        remote = copies(s3, keep=1, clock=iter((100.0, 105.0)).__next__)
        remote.offer(save(checkpoints, step))
        remote.close(60)
        assert remote.upload_s == 5.0

    name = "runs/1/step-00000000000{}-000"
    one, two = name.format(1), name.format(2)
    assert [*sorted(s3.calls[:3]), s3.calls[3], *sorted(s3.calls[4:7]), *s3.calls[7:]] == [
        *(f"put {one}/{file}" for file in ("adam", "model", "zeta", MANIFEST)),
        *(f"put {two}/{file}" for file in ("adam", "model", "zeta", MANIFEST)),
        *(f"delete {one}/{file}" for file in (MANIFEST, "adam", "model", "zeta")),
    ]


def test_files_in_folders_come_along_and_none_is_put_outside_the_checkpoint(
    s3: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, other = (machine(tmp_path / name) for name in "abc")
    with here.writing(Progress(step=1)) as folder:
        (folder / "adapter" / "first").mkdir(parents=True)
        (folder / "adapter" / "first" / "weights").write_text("low rank")
    remote = copies(s3)
    remote.offer(path := here.newest().path)
    remote.close(60)
    copies(s3).fetch(there)
    assert (there.folder / path.name / "adapter" / "first" / "weights").read_text() == "low rank"

    (name,) = there.names()
    body = json.loads((path / MANIFEST).read_text()) | {"files": {"../../own": {"bytes": 0, "sha256": ""}}}
    body["sha256"] = checkpoint._seal({key: value for key, value in body.items() if key != "sha256"})
    at = tmp_path / "s3" / "bucket" / "runs" / "1" / name
    (at / MANIFEST).write_text(json.dumps(body))
    (at / "../../own").write_text("")
    keys = [{"Key": f"runs/1/{name}/{file}"} for file in (MANIFEST, "../../own")]
    monkeypatch.setattr(s3, "paginate", lambda **_: [{"Contents": keys}])
    copies(s3).fetch(other)
    assert "../../own is not there" in caplog.text
    assert not (tmp_path / "own").exists()


def test_three_stay_unless_it_is_said(s3: Recorder, tmp_path: Path) -> None:
    checkpoints = machine(tmp_path / "a")
    for step in range(5):
        remote = copies(s3)
        remote.offer(save(checkpoints, step))
        remote.close(60)
    names = {path.parent.name for path in (tmp_path / "s3" / "bucket").rglob(MANIFEST)}
    assert names == {f"step-00000000000{step}-000" for step in (2, 3, 4)}


def test_an_empty_machine_gets_the_newest_whole_one(
    s3: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = machine(tmp_path / "a")
    for step in (1, 2, 3, 4):
        remote = copies(s3, keep=9)
        remote.offer(save(here, step))
        remote.close(60)
    prefix = tmp_path / "s3" / "bucket" / "runs" / "1"
    (prefix / "step-000000000004-000" / MANIFEST).unlink()
    (prefix / "step-000000000003-000" / "model").write_text("weights x")
    (prefix / "step-000000000002-000" / "zeta").unlink()
    (prefix / "notes.txt").write_text("not ours")

    there = machine(tmp_path / "b")
    copies(s3).fetch(there)

    assert there.names() == ["step-000000000001-000"]
    assert (there.folder / there.names()[0] / "model").read_text() == "weights 1"
    assert [record.getMessage().partition(" (")[2].partition(")")[0] for record in caplog.records] == [
        "model is not what was written",
        "zeta is not there",
    ]
    assert not list(there.folder.glob(".*"))


def test_what_is_here_and_as_new_is_not_downloaded_and_what_is_torn_is(s3: Recorder, tmp_path: Path) -> None:
    here = machine(tmp_path / "a")
    remote = copies(s3)
    path = save(here, 1)
    remote.offer(path)
    remote.close(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3, "download_file", None)
        copies(s3).fetch(here)
    (path / "model").write_text("weights 2")
    copies(s3).fetch(here)
    assert here.newest()
    assert (path / "model").read_text() == "weights 1"

    save(here, 2)
    s3.download_file = None  # type: ignore[assignment, method-assign]
    copies(s3).fetch(here)


def test_while_one_is_uploaded_only_the_newest_waits_and_none_of_them_is_removed(
    s3: Recorder, tmp_path: Path
) -> None:
    class Nothing(State):
        def save(self, folder: Path | None) -> None:
            assert folder
            (folder / "model").touch()

        def load(self, folder: Path) -> None:
            pass

    s3.gate.clear()
    remote = copies(s3, keep=9)
    with Training(Nothing(), tmp_path / "a", every=1, keep=1, remote=remote) as training:
        for number in training.steps(range(5)):
            if number == 1:
                assert s3.begun.wait(60)
            if number == 4:
                assert [path.name[5:17] for path in sorted((tmp_path / "a").glob("step-*"))] == [
                    "000000000001",
                    "000000000004",
                ]
                s3.gate.set()

    uploaded = {call.split("/")[2][5:17] for call in s3.calls}
    assert {"000000000001", "000000000005"} <= uploaded
    assert "000000000002" not in uploaded


def test_a_checkpoint_is_uploaded_as_soon_as_it_is_offered(s3: Recorder, tmp_path: Path) -> None:
    class Watched(threading.Condition):
        """Tells when the uploading thread waits for the next checkpoint."""

        def wait(self, timeout: float | None = None) -> bool:
            idle.set()
            return super().wait(timeout)

    idle, checkpoints, remote = threading.Event(), machine(tmp_path / "a"), copies(s3)
    remote._change = Watched()
    for step in (1, 2):
        s3.begun.clear()
        idle.clear()
        remote.offer(save(checkpoints, step))
        assert s3.begun.wait(60)
        assert idle.wait(60)
    remote.close(60)


def test_an_upload_that_fails_is_tried_with_the_next_and_the_last_one_is_an_error(
    s3: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = machine(tmp_path / "a")
    s3.broken = True
    remote = copies(s3)
    remote.offer(save(checkpoints, 1))
    with pytest.raises(ConnectionError, match="not there"):
        remote.close(60)
    assert "was not uploaded: S3 is not there" in caplog.text


def test_an_interrupted_run_waits_for_its_upload_and_another_machine_goes_on(
    s3: Recorder, tmp_path: Path
) -> None:
    class Count(State):
        steps = 0

        def save(self, folder: Path | None) -> None:
            assert folder
            (folder / "steps").write_text(str(self.steps))

        def load(self, folder: Path) -> None:
            self.steps = int((folder / "steps").read_text())

    state = Count()
    with pytest.raises(Interrupted), Training(state, tmp_path / "a", every=2, remote=copies(s3)) as training:
        for number in training.steps(range(9)):
            state.steps += 1
            training._signalled = number == 4

    elsewhere = Count()
    with Training(elsewhere, tmp_path / "b", remote=copies(s3)) as training:
        left = list(training.steps(range(9)))

    assert (elsewhere.steps, left) == (5, [5, 6, 7, 8])


def test_an_upload_that_hangs_does_not_hold_the_end_forever(s3: Recorder, tmp_path: Path) -> None:
    s3.gate.clear()
    remote = copies(s3)
    remote.offer(save(machine(tmp_path / "a"), 1))

    assert remote._thread
    assert remote._thread.daemon
    with pytest.raises(TimeoutError, match="s3://bucket/runs/1/ did not end in 0 s"):
        remote.close(0)


@pytest.mark.parametrize(
    "uri", ["bucket/prefix", "s3://bucket", "s3://bucket/", "s3:///prefix", "gs://bucket/x"]
)
def test_an_address_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is not like s3://bucket/prefix"):
        S3Copies(uri, client=object())
    with pytest.raises(ValueError, match="keep is 0: at least one"):
        S3Copies("s3://bucket/prefix", client=object(), keep=0)


def test_without_a_client_boto3_makes_one_or_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert S3Copies("s3://bucket/prefix")._client.meta.service_model.service_name == "s3"

    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(RuntimeError, match="pip install boto3"):
        S3Copies("s3://bucket/prefix")
