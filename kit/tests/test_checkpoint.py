"""A checkpoint is whole, or it is passed over."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from janitor_kit import checkpoint
from janitor_kit.checkpoint import MANIFEST, Checkpoint, Checkpoints, HashedFile, Progress, TornError, check

KILLED = """
import os, signal, sys
from pathlib import Path
from janitor_kit.checkpoint import Checkpoints, Progress

left = int(sys.argv[2])
def happen():
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
fsync = os.fsync
os.fsync = lambda handle: (happen(), fsync(handle))
def audited(event, args):
    if event.startswith(("open", "os.")) and sys.argv[1] in str(args[0]):
        happen()
sys.addaudithook(audited)
checkpoints = Checkpoints(Path(sys.argv[1]), keep=1)
checkpoints.clean()
with checkpoints.writing(Progress(step=2)) as folder:
    (folder / "a").write_text("new")
checkpoints.prune()
"""


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    made = Checkpoints(tmp_path / "checkpoints", keep=2)
    made.clean()
    return made


def save(checkpoints: Checkpoints, step: int, text: str = "weights") -> Path:
    with checkpoints.writing(Progress(step=step)) as folder:
        (folder / "model").write_text(text)
        (folder / "ranks").write_text("random numbers")
    assert checkpoints.latest
    return checkpoints.latest


def truncate(path: Path) -> None:
    os.truncate(path / "model", 3)


def zero(path: Path) -> None:
    (path / "model").write_bytes(bytes(7))


def lose(path: Path) -> None:
    (path / "model").unlink()


def lose_manifest(path: Path) -> None:
    (path / MANIFEST).rename(path / f"{MANIFEST}.new")


def zero_manifest(path: Path) -> None:
    (path / MANIFEST).write_bytes(bytes(100))


def change_manifest(path: Path) -> None:
    body = json.loads((path / MANIFEST).read_text())
    body["progress"]["epoch"] = 5
    (path / MANIFEST).write_text(json.dumps(body))


def take_another_name(path: Path) -> None:
    path.rename(path.with_name("step-000000000009-000"))


@pytest.mark.parametrize(
    ("tear", "why"),
    [
        (truncate, "model has 3 bytes, not 7"),
        (zero, "model is not what was written"),
        (lose, "No such file"),
        (lose_manifest, "No such file"),
        (zero_manifest, "is not a manifest"),
        (change_manifest, "manifest.json is not what was written"),
        (take_another_name, "its manifest is of step 2"),
    ],
)
def test_the_newest_whole_one_wins_and_a_torn_one_is_named(
    checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture, tear: Callable[[Path], None], why: str
) -> None:
    save(checkpoints, 1)
    tear(save(checkpoints, 2))

    found = checkpoints.newest()

    assert found
    assert found.progress == Progress(step=1)
    (record,) = caplog.records
    assert (record.levelname, why in record.getMessage()) == ("WARNING", True)


def test_where_none_is_whole_training_starts_over_and_says_so(
    checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    truncate(save(checkpoints, 1))

    assert checkpoints.newest() is None
    assert "starts from the beginning" in caplog.text


def test_all_processes_load_the_checkpoint_whose_number_they_agreed_on(checkpoints: Checkpoints) -> None:
    paths = [save(checkpoints, step) for step in (7, 7, 7, 12)]
    made = [check(path) for path in paths]

    assert [one.number for one in made] == [7000, 7001, 7002, 12000]
    assert Checkpoint(Path("step-123456789012-345"), Progress()).number == 123_456_789_012_345
    assert [checkpoints.numbered(one.number) for one in made] == made
    truncate(paths[1])
    with pytest.raises(RuntimeError, match=r"not every rank has a whole .*-001 \(model has 3 bytes"):
        checkpoints.numbered(7001)


def test_the_folder_is_made_held_against_others_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (Checkpoints(tmp_path / "not" / "there") for _ in range(2))
    first.hold()
    with pytest.raises(RuntimeError, match="another process trains with"):
        second.hold()
    assert second._held == []
    first.release()
    second.hold()
    handle = second._held[0]
    second.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)
    assert handle not in checkpoint._handles
    first.hold()
    checkpoint._in_forked_child()  # as a loader's worker does
    second.hold()
    second.release()

    def without_locks(_handle: int, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", without_locks)
    with caplog.at_level("INFO"):
        first.hold()
    first.release()
    assert "cannot be locked: [Errno 37] No locks available" in caplog.text


MANIFEST_OF_FORMAT_1 = """{
 "files": {
  "model": {"bytes": 7, "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"}
 },
 "format": 1,
 "progress": {"batch": 2, "epoch": 1, "finished": true, "planned": 4, "save_s": 0.5, "step": 3},
 "sha256": "80866851abaa02cec26c9f87be363bb12d35b89fe183abac39bea2398537c514"
}"""


def test_a_checkpoint_of_the_first_version_is_read(checkpoints: Checkpoints) -> None:
    path = checkpoints.folder / "step-000000000003-000"
    path.mkdir(parents=True)
    (path / MANIFEST).write_text(MANIFEST_OF_FORMAT_1)
    (path / "model").write_text("weights")
    (checkpoints.folder / "step-4").mkdir()  # not ours

    progress = Progress(step=3, epoch=1, batch=2, finished=True, planned=4, save_s=0.5)
    assert checkpoints.newest() == Checkpoint(path, progress)
    assert asdict(Progress()) == dict.fromkeys(("step", "epoch", "batch", "planned"), 0) | {
        "finished": False,
        "save_s": None,
    }


def test_a_newer_format_is_an_error_and_not_torn(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("janitor_kit.checkpoint.FORMAT", 3)
        save(checkpoints, 1)

    with pytest.raises(ValueError, match="has format 3, and this janitor_kit reads up to 2"):
        checkpoints.newest()


def test_three_are_kept_unless_it_is_said(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(5):
        save(checkpoints, step)
        checkpoints.prune()
    assert [int(name[5:17]) for name in checkpoints.names()] == [2, 3, 4]
    with pytest.raises(ValueError, match="keep is 0: at least one checkpoint has to be kept"):
        Checkpoints(tmp_path, keep=0)


def test_the_last_ones_are_kept_and_torn_ones_do_not_count(checkpoints: Checkpoints) -> None:
    for step in (1, 2, 3):
        save(checkpoints, step)
    truncate(checkpoints.folder / "step-000000000003-000")
    checkpoints.newest()
    checkpoints.prune()
    assert [int(name[5:17]) for name in checkpoints.names()] == [1, 2, 3]

    again = save(checkpoints, 3)
    checkpoints.prune()

    assert again.name == "step-000000000003-001"
    assert checkpoints.names() == ["step-000000000002-000", "step-000000000003-000", again.name]
    for step in (4, 5):
        save(checkpoints, step)
    checkpoints.prune(busy="step-000000000002-000")
    assert [int(name[5:17]) for name in checkpoints.names()] == [2, 4, 5]
    assert not list(checkpoints.folder.glob(".*"))


def test_a_save_that_fails_leaves_nothing(checkpoints: Checkpoints) -> None:
    (checkpoints.folder / ".writing-killed").mkdir(parents=True)
    (checkpoints.folder / ".writing-killed" / "model").touch()
    (checkpoints.folder / ".writing-file").touch()  # which is no directory, and stays
    checkpoints.clean()
    (checkpoints.folder / ".writing-file").unlink()
    with pytest.raises(OSError, match="full"), checkpoints.writing(Progress(step=1)) as folder:
        (folder / "model").write_text("half")
        raise OSError("the disk is full")

    assert list(checkpoints.folder.iterdir()) == []


def test_each_name_is_given_after_what_it_names_is_on_the_disk(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    handles: set[int] = set()
    fsync, rename = os.fsync, Path.rename

    def synced(handle: int) -> None:
        handles.add(handle)
        there = [checkpoints.folder, *checkpoints.folder.rglob("*")]
        done.extend(f"flush {path.name}" for path in there if os.path.samestat(path.stat(), os.fstat(handle)))
        fsync(handle)

    def renamed(path: Path, target: Path) -> Path:
        done.append(f"name {target.name}")
        return rename(path, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    with checkpoints.writing(Progress(step=1)) as folder:
        (folder / "model").write_text("weights")
        (folder / "ranks").write_text("random numbers")

    assert done == [
        "flush model",
        "flush ranks",
        f"flush {MANIFEST}.new",
        f"name {MANIFEST}",
        f"flush {folder.name}",
        "name step-000000000001-000",
        "flush checkpoints",
    ]
    for handle in handles:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


@pytest.mark.parametrize(
    "sizes", [[], [1], [checkpoint.PIECE - 1, checkpoint.PIECE, 3, 3 * checkpoint.PIECE + 1]]
)
def test_a_file_is_hashed_while_it_is_written_and_never_read_again(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    digests: dict[str, str] = {}
    with monkeypatch.context() as unread, checkpoints.writing(Progress(), None, digests) as folder:
        unread.setattr(checkpoint, "digest", None)
        with HashedFile(folder / "model") as file:
            for number, size in enumerate(sizes):
                piece = bytearray([number] * size)
                assert file.write(memoryview(piece)) == size
                piece[:] = bytes(size)  # the writer may have it back
        digests["model"] = file.digest()

    assert checkpoints.latest
    written = (checkpoints.latest / "model").read_bytes()
    assert written == b"".join(bytes([number]) * size for number, size in enumerate(sizes))
    assert check(checkpoints.latest) == Checkpoint(checkpoints.latest, Progress())
    truncate(checkpoints.latest)
    with pytest.raises(TornError):
        check(checkpoints.latest)


def test_a_writer_has_its_piece_back_once_it_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, whole = threading.Event(), hashlib.sha256()

    class Late:
        """Hashes a piece once its writer has changed it, or never will."""

        def update(self, piece: memoryview) -> None:
            changed.wait(0.05)
            whole.update(piece)

        def hexdigest(self) -> str:
            return whole.hexdigest()

    piece = bytearray(b"x" * checkpoint.PIECE)
    expected = hashlib.sha256(piece).hexdigest()
    monkeypatch.setattr(hashlib, "sha256", Late)
    with HashedFile(tmp_path / "model") as file:
        file.write(piece)
        piece[:] = bytes(len(piece))
        changed.set()

    assert "checkpoint-hash" not in {thread.name for thread in threading.enumerate()}
    assert file.digest() == expected


UNCLOSED = """
import sys
from pathlib import Path
from janitor_kit.checkpoint import HashedFile

file = HashedFile(Path(sys.argv[1]))
"""


def test_a_process_ends_though_nobody_closed_its_file(tmp_path: Path) -> None:
    source = str(Path(__file__).parents[1] / "src")
    command = [sys.executable, "-W", "ignore", "-c", UNCLOSED, str(tmp_path / "model")]

    assert subprocess.run(command, check=False, env={"PYTHONPATH": source}, timeout=60).returncode == 0


def test_killed_at_any_operation_a_whole_one_stays(tmp_path: Path) -> None:
    folder, killed = tmp_path / "checkpoints", 0
    source = str(Path(__file__).parents[1] / "src")
    while True:
        checkpoints = Checkpoints(folder, keep=1)
        checkpoints.clean()
        if not checkpoints.names():
            save(checkpoints, 1)
        command = [sys.executable, "-c", KILLED, str(folder), str(killed + 1)]
        status = subprocess.run(command, check=False, env={"PYTHONPATH": source}).returncode
        newest = Checkpoints(folder).newest()
        assert newest
        assert all(check(path) for path in folder.glob("step-*"))
        assert (newest.path / ("a" if newest.progress.step == 2 else "model")).exists()
        if status == 0:
            break
        killed += 1
        for path in folder.glob("step-000000000002-*"):
            (path / MANIFEST).unlink()
            (path / "a").unlink()
            path.rmdir()
    assert killed > 15
    assert checkpoints.names() == ["step-000000000002-000"]
    assert not list(folder.glob(".*"))
