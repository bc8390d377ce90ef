"""Training that is interrupted between any two steps, for a state of one number."""

import hashlib
import itertools
import logging
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from janitor_kit import spot
from janitor_kit.checkpoint import Checkpoints, Progress, check
from janitor_kit.spot import Alone, Interrupted, Snapshot, State, Training, interval
from tables import cases

SOURCE = str(Path(__file__).parents[1] / "src")


class Sum(State):
    """Adds up what it is given; saving takes *save_s* of its clock."""

    def __init__(self, save_s: float = 0.0) -> None:
        self.total, self.now, self.saves = 0, 0.0, 0
        self.save_s = save_s
        self.during_save: Callable[[], Any] = lambda: None

    def save(self, folder: Path | None) -> None:
        if self.group.first:
            assert folder
            (folder / "total").write_text(str(self.total))
        else:
            assert folder is None
        self.now += self.save_s
        self.saves += 1
        self.during_save()

    def load(self, folder: Path) -> None:
        self.total = int((folder / "total").read_text())


class Peers(Alone):
    """A group whose other processes answer what *others* makes of the values that this process *asked*."""

    alone = False

    def __init__(
        self,
        others: Callable[[list[float]], Sequence[float]] = list,
        *,
        first: bool = True,
        here: bool = True,
    ) -> None:
        self.first, self.first_here, self.others = first, here, others
        self.asked: list[list[float]] = []

    def most(self, values: Sequence[float]) -> list[float]:
        self.asked.append([*values])
        return [max(pair) for pair in zip(values, self.others([*values]), strict=True)]


GROUPS = pytest.mark.parametrize("group", [Alone, Peers])


def train(
    folder: Path, *, stop_at: int | None = None, epochs: int = 2, **settings: Any
) -> tuple[Sum, list[int]]:
    """Add 0 to 4 in each epoch; the state and the steps that were trained."""
    state, trained = Sum(), []
    with Training(state, folder, **settings) as training:
        for epoch in training.epochs(epochs):
            for number in training.steps(range(5)):
                state.total += number * 10**epoch
                trained.append(training.step)
                if training.step == stop_at:
                    os.kill(os.getpid(), signal.SIGTERM)
    return state, trained


@pytest.mark.parametrize("stop_at", range(10))
def test_interrupted_after_any_step_it_goes_on_with_the_next(tmp_path: Path, stop_at: int) -> None:
    with pytest.raises(Interrupted) as stopped:
        train(tmp_path, stop_at=stop_at)

    assert (stopped.value.code, stopped.value.step) == (143, stop_at + 1)
    state, trained = train(tmp_path)
    assert (state.total, trained) == (110, list(range(stop_at + 1, 10)))
    assert train(tmp_path)[1] == []


def test_a_finished_run_trains_only_the_epochs_that_are_asked_for_on_top(tmp_path: Path) -> None:
    train(tmp_path)
    assert train(tmp_path, epochs=1)[1] == []

    state, trained = train(tmp_path, epochs=3)

    assert (state.total, trained) == (1110, list(range(10, 15)))
    assert train(tmp_path, epochs=3)[1] == []


def test_a_run_that_ended_early_is_finished_too(tmp_path: Path) -> None:
    def until_three() -> int:
        state = Sum()
        with Training(state, tmp_path) as training:
            for _ in training.epochs(5):
                for number in training.steps(range(5)):
                    state.total += 1
                    if number == 2:
                        break
                break
        return state.total

    assert until_three() == 3
    assert until_three() == 3


def test_the_handler_that_was_there_comes_back(tmp_path: Path) -> None:
    mine = lambda *_: None  # noqa: E731 - a handler
    before = signal.signal(signal.SIGTERM, mine)
    try:
        train(tmp_path)
        assert signal.getsignal(signal.SIGTERM) is mine
        with pytest.raises(ZeroDivisionError), Training(Sum(), tmp_path / "other"):
            1 / 0  # noqa: B018
        assert signal.getsignal(signal.SIGTERM) is mine
        (tmp_path / "file").touch()
        with pytest.raises(FileExistsError), Training(Sum(), tmp_path / "file"):
            pass
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_forked_worker_ends_by_sigterm_and_its_parent_does_not(tmp_path: Path) -> None:
    with Training(Sum(), tmp_path) as training:
        if not (child := os.fork()):
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)  # it lives on
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert training.stopping is False
        os.kill(os.getpid(), signal.SIGTERM)
        assert training.stopping is True
        spot._in_forked_child()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        other = Checkpoints(tmp_path)
        other.hold()
        other.release()


def test_outside_the_main_thread_it_says_why_not(tmp_path: Path) -> None:
    caught: list[str] = []

    def enter() -> None:
        try:
            with Training(Sum(), tmp_path):
                pass
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "main thread" in caught[0]


def test_an_exception_saves_nothing_because_a_step_may_be_half_done(tmp_path: Path) -> None:
    state = Sum()
    with pytest.raises(ValueError, match="nan"), Training(state, tmp_path, every=2) as training:
        for number in training.steps(range(5)):
            state.total += number
            if number == 3:
                raise ValueError("nan")

    assert train(tmp_path, epochs=1)[1] == [2, 3, 4]


def test_two_loops_in_one_epoch_are_refused(tmp_path: Path) -> None:
    with Training(Sum(), tmp_path, every=1) as training:
        list(training.steps(range(5)))
        with pytest.raises(RuntimeError, match=r"training\.epochs"):
            list(training.steps(range(2)))
    assert [int(name[5:17]) for name in Checkpoints(tmp_path).names()] == [4, 5, 5]  # the last three stay


def progress(folder: Path) -> Progress:
    newest = Checkpoints(folder).newest()
    assert newest
    return newest.progress


class Seeking(Sum):
    """Moves its source to its old place itself, as torchdata's loader does."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.sought_at = iter(range(5)), list[int]()

    def seeks(self, source: object) -> bool:
        return source is self.source

    def load(self, folder: Path) -> None:
        super().load(folder)
        list(zip(range(self.total), self.source))  # noqa: B905 - as many as were done

    def sought(self) -> None:
        self.sought_at.append(self.total)


def test_a_source_that_is_moved_by_the_state_loses_no_batch_and_is_told_once_when_it_is_there(
    tmp_path: Path,
) -> None:
    def trained(stop_at: int | None = None) -> tuple[list[int], list[int]]:
        state, found = Seeking(), []
        with suppress(Interrupted), Training(state, tmp_path, clock=lambda: 0.0) as training:
            for _ in training.epochs(1):
                for number in training.steps(state.source):
                    state.total += 1
                    found.append(number)
                    training._signalled = number == stop_at
        return found, state.sought_at

    assert trained(stop_at=2) == ([0, 1, 2], [])
    assert trained(stop_at=3) == ([3], [3])
    assert progress(tmp_path) == Progress(4, epoch=0, batch=4, planned=1, save_s=0.0)
    assert trained() == ([4], [4])
    assert progress(tmp_path) == Progress(5, epoch=1, batch=0, planned=1, finished=True, save_s=0.0)
    assert trained() == ([], [])


def test_a_finished_run_without_epochs_trains_no_more_either(tmp_path: Path) -> None:
    def trained() -> int:
        state = Seeking()
        with Training(state, tmp_path, clock=lambda: 0.0) as training:
            return len(list(training.steps(state.source)))

    assert (trained(), trained()) == (5, 0)
    assert progress(tmp_path) == Progress(5, batch=5, finished=True, save_s=0.0)


def test_a_folder_that_cannot_be_written_is_an_error_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=r"no checkpoint can be written to .*/file .*give a folder"):
        train(tmp_path / "file")


def test_what_is_typed_has_no_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    assert spot.entry_point() == {"entry point": "interactive"}


def test_a_folder_belongs_to_one_run_at_a_time(tmp_path: Path) -> None:
    script = f"from test_spot import *; train(Path({str(tmp_path)!r}), fingerprint={{'entry point': 'ours'}})"
    other = [sys.executable, "-c", script]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join((SOURCE, str(Path(__file__).parent)))}
    with Training(Sum(), tmp_path, fingerprint={"entry point": "ours"}):
        refused = subprocess.run(other, env=paths, capture_output=True, text=True, timeout=60, check=False)

    assert "another process trains with" in refused.stderr.splitlines()[-1]
    assert subprocess.run(other, env=paths, capture_output=True, timeout=60, check=False).returncode == 0


def test_a_worker_that_outlives_its_killed_parent_does_not_keep_the_folder(tmp_path: Path) -> None:
    holder = Checkpoints(tmp_path)
    holder.hold()
    (gate, open_gate), (begun, begin) = os.pipe(), os.pipe()
    if not (child := os.fork()):
        os.write(begin, b"x")
        os.read(gate, 1)  # lives on, with what it inherited
        os._exit(0)
    try:
        os.read(begun, 1)  # until it runs, it holds what its parent holds
        os.close(holder._held.pop())  # as the end of its parent does, without a word
        Checkpoints(tmp_path).hold()
    finally:
        os.write(open_gate, b"x")
        os.waitpid(child, 0)


def test_checkpoints_of_another_script_are_named_as_such(tmp_path: Path) -> None:
    class Other(Sum):
        def load(self, folder: Path) -> None:
            (folder / "weights").read_bytes()

    train(tmp_path)
    there = sorted(tmp_path.rglob("*"))

    with pytest.raises(RuntimeError, match=r"step-0.* does not fit .*give this run a folder of its own"):
        Training(Other(), tmp_path).__enter__()
    assert sorted(tmp_path.rglob("*")) == there


@pytest.mark.parametrize("finished", [True, False])
@cases(
    "theirs, ours, said",
    ({"entry point": "a.py"}, {"entry point": "b.py"}, "entry point was a.py and is b.py. Give"),
    ({"data": "v1"}, {"data": "v2"}, "data was v1 and is v2. Give"),
    ({"data": [1, 2.5]}, {}, r"data was \[1, 2.5\] and is None. Give"),
    ({}, {"data": "v2"}, "data was None and is v2. Give"),
    (dict.fromkeys("abc", 1), {}, "a was 1 and is None; b .*; c was 1 and is None. Give"),
    (
        dict.fromkeys("edcba", 1),
        dict.fromkeys("bcdea", 2),
        "a was 1 and is 2; b .*; c .*; 2 more differences",
    ),
)
def test_a_checkpoint_of_another_run_is_refused_with_both_values_unless_it_is_named(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    theirs: dict[str, Any],
    ours: dict[str, Any],
    *,
    said: str,
    finished: bool,
) -> None:
    with nullcontext() if finished else pytest.raises(Interrupted):
        train(tmp_path, fingerprint=theirs, stop_at=None if finished else 6)
    there = sorted(tmp_path.rglob("*"))
    named = Checkpoints(tmp_path).names()[-1]
    with pytest.raises(
        RuntimeError, match=rf"^another run wrote .*/{named}: {said}.* CONTINUE_FROM={named}$"
    ):
        train(tmp_path, fingerprint=ours)
    with pytest.raises(RuntimeError, match="another run wrote"):
        train(tmp_path, fingerprint=ours, continue_from="step-000000000001-000")
    assert sorted(tmp_path.rglob("*")) == there
    assert caplog.text == ""

    monkeypatch.setenv("CONTINUE_FROM", named)
    with pytest.raises(Interrupted) if not finished else nullcontext():
        train(tmp_path, fingerprint=ours, stop_at=7)
    assert f"goes on, as CONTINUE_FROM says, though another run wrote {tmp_path / named}" in caplog.text
    assert ("trained nothing: the run in" in caplog.text) is finished
    caplog.clear()
    if not finished:  # an interrupted job is started again with what it was started with
        assert train(tmp_path, fingerprint=ours)[1] == [8, 9]
        assert caplog.text == ""


def test_a_run_that_should_go_on_from_a_checkpoint_does_not_begin_without_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"no checkpoint in .* to go on from: CONTINUE_FROM is step-1$"):
        train(tmp_path, continue_from="elsewhere/step-1")


def test_a_changed_script_goes_on_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, fingerprint={spot.SCRIPT: "one", "entry point": "a"}, stop_at=6)

    assert train(tmp_path, fingerprint={spot.SCRIPT: "two", "entry point": "a"})[1] == [7, 8, 9]
    assert "the script was changed since it wrote" in caplog.text


SCRIPT = """
from pathlib import Path
from types import ModuleType
from test_spot import Sum, Training
state = Sum()
with Training(state, Path(__file__).parent / "checkpoints") as training:
    for number in training.steps(range(5)):
        state.total += number
"""


def test_two_scripts_with_states_of_one_shape_are_told_apart_and_a_changed_script_is_not(
    tmp_path: Path,
) -> None:
    def run(script: Path) -> list[str]:
        paths = {"PYTHONPATH": os.pathsep.join((SOURCE, str(Path(__file__).parent)))}
        done = subprocess.run(
            [sys.executable, str(script)], env=paths, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stderr.splitlines()[-2:]

    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text(SCRIPT)
    two.write_text(SCRIPT)
    assert run(one) == []
    assert "trained nothing" in run(one)[-1]
    assert "entry point was one.py and is two.py" in run(two)[-1]
    one.write_text(f"{SCRIPT}# a word\n")
    changed, nothing = run(one)
    assert ("the script was changed since" in changed, "trained nothing" in nothing) == (True, True)


def test_a_checkpoint_of_the_first_version_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as old:
        old.setattr("janitor_kit.checkpoint.FORMAT", 1)
        with Checkpoints(tmp_path).writing(Progress(3, epoch=0, batch=3)) as folder:
            (folder / "total").write_text("3")

    assert train(tmp_path, epochs=1)[1] == [3, 4]
    [warned] = caplog.messages
    assert "has format 1, which does not say which run wrote it" in warned


class Copied(Sum):
    """Is copied in memory; *writing* is called where the copy is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writing: Callable[[], Any] = lambda: None
        self.copies: list[bool] = []

    def snapshot(self, *, copy: bool) -> Snapshot:
        total = self.total
        self.copies.append(copy)

        def write(folder: Path | None) -> dict[str, str]:
            assert folder
            self.writing()
            (folder / "total").write_text(str(total))
            return {}

        return Snapshot(write, copied=copy)


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Ctrl-C interrupts, also where whoever started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, ValueError, None])
def test_training_goes_on_while_a_copy_is_written_and_whatever_ends_it_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: Any, default_signals: None
) -> None:
    del default_signals
    gate, state, done = threading.Event(), Copied(), list[str]()

    def write() -> None:
        if threading.current_thread() is threading.main_thread():
            return
        assert gate.wait(60)
        done.append("written")

    state.writing = write
    ends = {signal.SIGTERM: Interrupted, signal.SIGINT: KeyboardInterrupt, ValueError: ValueError}
    with (
        nullcontext() if ending is None else pytest.raises(ends[ending]),
        Training(state, tmp_path, every=2) as training,
    ):
        for number in training.steps(range(4)):
            state.total += 10**number
            if number == 2:
                assert done == []
                threading.Timer(0.05, gate.set).start()
                if ending is ValueError:
                    raise ValueError("nan")
                if ending:
                    os.kill(os.getpid(), ending)

    found = {check(path).progress.step: (path / "total").read_text() for path in tmp_path.glob("step-*")}
    expected = {signal.SIGTERM: {2: "11", 3: "111"}, None: {2: "11", 4: "1111"}}
    assert found == expected.get(ending, {2: "11"})
    assert done == ["written"] * (2 if ending is None else 1)
    assert ("waiting until the checkpoint of step 2 is written" in caplog.text) is (ending == signal.SIGINT)
    assert state.copies == {signal.SIGTERM: [True, False], None: [True, True, False]}.get(ending, [True])
    Checkpoints(tmp_path).hold()


def test_a_copy_that_could_not_be_written_is_written_again_and_any_other_error_ends_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, errors = Copied(), [OSError("the disk is full"), OSError("and still")]

    def write() -> None:
        if errors:
            raise errors.pop(0)

    state.writing = write
    with pytest.raises(Interrupted), Training(state, tmp_path, every=2) as training:
        for number in training.steps(range(9)):
            state.total += 1
            training._signalled = number == 4
    assert [record.getMessage() for record in caplog.records] == [
        "no checkpoint at step 2: the disk is full",
        "no checkpoint at step 4: and still",
    ]
    assert progress(tmp_path).step == 5

    errors.append(ValueError("no state"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no state"), Training(state, tmp_path, every=2) as training:
        for _ in training.steps(range(99)):
            state.total += 1
    assert training.step <= 8


def test_no_save_is_due_before_the_last_one_is_written(tmp_path: Path) -> None:
    gate, state, at = threading.Event(), Copied(), list[int]()
    state.writing = lambda: gate.wait(60)
    with Training(state, tmp_path, clock=lambda: state.now) as training:
        for _ in training.steps(range(9)):
            if len(state.copies) > len(at):
                at.append(training.step)
            state.now += 1_000_000.0
            if training.step == 4:
                gate.set()
                training._writer.join(60)  # type: ignore[union-attr]
    assert at[:2] == [1, 5]


def test_a_handler_set_later_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Training(Sum(), tmp_path, every=1) as training:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in training.epochs(1):
            for _ in training.steps(range(3)):
                pass
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    [warned] = [one.message for one in caplog.records if "SIGTERM" in one.message]
    assert "set that handler before `with Training`" in warned


@pytest.mark.parametrize("bad", [{"every": 0}, {"mean_uptime_s": 0}, {"keep": 0}])
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    Training(Sum(), tmp_path, every=1, mean_uptime_s=0.5, keep=1)
    with pytest.raises(ValueError, match=next(iter(bad))):
        Training(Sum(), tmp_path, **bad)


def test_sigterm_in_a_save_stops_without_another(tmp_path: Path) -> None:
    state = Sum()
    state.during_save = lambda: os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted), Training(state, tmp_path, every=3) as training:
        for _ in training.steps(range(9)):
            state.total += 1

    assert (state.saves, state.total) == (1, 3)


def test_a_full_disk_does_not_end_training_but_is_no_success_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = Sum()

    def full() -> None:
        raise OSError("the disk is full")

    state.during_save = full
    with pytest.raises(OSError, match="full"), Training(state, tmp_path, every=2) as training:
        for _ in training.steps(range(5)):
            state.total += 1

    assert state.total == 5
    assert "no checkpoint at step 2: the disk is full" in caplog.text
    assert list(tmp_path.iterdir()) == []


@GROUPS
def test_a_save_that_failed_is_tried_again_after_a_minute(tmp_path: Path, group: type[Alone]) -> None:
    state, at = Sum(), []
    state.group = group()

    def full() -> None:
        at.append(state.now)
        if len(at) < 3:
            raise OSError("the disk is full")

    state.during_save = full
    with Training(state, tmp_path, clock=lambda: state.now) as training:
        for _ in training.steps(range(30)):
            state.now += 10.0

    assert at[:3] == [10.0, 70.0, 130.0]
    assert train(tmp_path, epochs=1)[1] == []


@GROUPS
def test_it_saves_after_the_first_step_and_then_by_what_that_took(tmp_path: Path, group: type[Alone]) -> None:
    state, at = Sum(save_s=20.0), []
    state.group = group()
    with Training(state, tmp_path, mean_uptime_s=10_000.0, clock=lambda: state.now) as training:
        saves = 0
        for _ in training.steps(range(700)):
            if state.saves > saves:
                saves = state.saves
                at.append(training.step)
            state.now += 10.0

    every = interval(20.0, 10_000.0) / 10
    assert 60 < every < 64
    assert at[0] == 1
    assert {after - before for before, after in itertools.pairwise(at)} == {-int(-every // 1)}


class Elsewhere:
    """A place for copies to which an upload takes *upload_s*; it notes what is asked of it."""

    busy: str | None = None

    def __init__(self, upload_s: float = 0.0, noted: list[str] | None = None) -> None:
        self.upload_s = upload_s
        self.noted = [] if noted is None else noted

    def fetch(self, checkpoints: Checkpoints) -> None:
        self.noted.append("fetch")
        assert checkpoints.folder.exists()

    def offer(self, path: Path) -> None:
        self.noted.append(path.name)

    def close(self, within_s: float) -> None:
        self.noted.append(f"close {within_s:.0f}")


def test_the_next_save_waits_until_the_upload_of_the_last_one_is_over(tmp_path: Path) -> None:
    state, remote = Sum(save_s=1.0), Elsewhere(upload_s=5_000.0)
    with Training(state, tmp_path, remote=remote, notice_s=9_000.0, clock=lambda: state.now) as training:
        for _ in training.steps(range(120)):
            state.now += 100.0

    assert interval(1.0) < 300
    saved = [int(name[5:17]) for name in remote.noted if name.startswith("step")]
    assert saved == [1, 51, 101, 120]
    assert remote.noted[-1] == "close 9000"


def test_an_upload_that_failed_is_an_error_at_the_end_and_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Elsewhere):
        def close(self, within_s: float) -> None:
            raise ConnectionError(f"S3 is not there for {within_s:.0f} s")

    with (
        pytest.raises(ConnectionError, match="not there for 120 s"),
        Training(Sum(), tmp_path, remote=Broken()),
    ):
        pass
    assert caplog.text == ""
    with pytest.raises(ValueError, match="nan"), Training(Sum(), tmp_path, remote=Broken()):
        raise ValueError("nan")
    assert "the last checkpoint was not written or uploaded: S3 is not there" in caplog.text
    with Training(Sum(), tmp_path):
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


# --- several processes -----------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "here"), [(True, True), (False, True), (False, False)])
def test_the_first_process_cleans_up_before_a_machine_downloads_and_all_wait_for_it(
    tmp_path: Path, *, first: bool, here: bool
) -> None:
    def others(values: list[float]) -> list[float]:
        noted.append(f"{len(values)} with {len(list(tmp_path.glob('.writing-*')))} left")
        return values

    noted: list[str] = []
    state, remote = Sum(), Elsewhere(noted=noted)
    state.group = Peers(others, first=first, here=here)
    (tmp_path / ".writing-left").mkdir()
    with nullcontext() if first else Training(Sum(), tmp_path):  # which holds the folder, as the first does
        (tmp_path / ".writing-left").mkdir(exist_ok=True)
        with Training(state, tmp_path, remote=remote) as training:
            entered = noted.copy()
            training._signalled = True

    all_here = f"1 with {int(not first)} left"
    assert entered == [all_here, *["fetch"] * here, all_here, all_here.replace("1", "2", 1)]
    assert ("close 120" in noted, any(name.startswith("step") for name in noted)) == (first, first)


@cases(
    "first_here, here, others, expected",
    (True, [3, 5], [-3_000, 3_000], 3),  # another machine has an older one at most
    (False, [3, 5], [-3_000, 3_000], 3),
    (True, [3, 5], [-9_000, 9_000], 5),
    (True, [0], [-5_000, 5_000], 0),
    (True, [0], [0, 0], 0),
    (True, [], [1, -1], None),
    (True, [3], [1, -1], 3),  # a machine with none says so:
    (True, [], [-5_000, 5_000], "not every rank has a whole .*/step-000000000005-000 "),
)
def test_all_processes_resume_from_the_newest_checkpoint_that_each_machine_has(
    tmp_path: Path,
    here: list[int],
    others: list[float],
    *,
    expected: int | str | None,
    first_here: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    for step in here:
        with Checkpoints(tmp_path).writing(Progress(step, epoch=1, batch=2)) as folder:
            (folder / "total").write_text(f"{step}")
    state = Sum()
    group = state.group = Peers(lambda values: others if len(values) == 2 else values, here=first_here)
    training = Training(state, tmp_path)
    if isinstance(expected, str):
        with pytest.raises(RuntimeError, match=expected):
            training.__enter__()
        return
    training.__enter__()
    training._leave()
    newest = here[-1] * 1_000 if here else -1
    assert group.asked[-1] == ([-newest, newest] if first_here else [-math.inf, -1])
    assert (state.total, training.step) == (expected or 0, expected or 0)
    assert (training.epoch, training.batch) == ((0, 0) if expected is None else (1, 2))
    assert (f"resumed from {tmp_path}/step-00000000000{expected}-000: " in caplog.text) is (
        expected is not None
    )


@cases(
    "step_s, slowest_s, every, looked",
    (0.125, 0.0, 999, [1, 5, 9, 13]),  # each half second ...
    (0.25, 0.0, 999, [1, 3, 5, 7, 9, 11, 13]),
    (1.0, 0.0, 999, [*range(1, 15)]),
    (0.125, 0.25, 999, [1, 3, 5, 7, 9, 11, 13]),  # ... of the slowest process
    (1 / 512, 0.0, 999, [1, 31, 61]),  # or each 30 steps
    (0.0, 0.0, 999, [1, 31, 61]),
    (0.0, 0.0, 4, [1, 4, 4, 5, 8, 8, 9, 12, 12, 13]),  # and before and after each save,
)
@pytest.mark.parametrize("resumed", [0, 100])
def test_processes_ask_each_other_twice_a_second_or_every_30_steps(
    tmp_path: Path, step_s: float, slowest_s: float, *, every: int, looked: list[int], resumed: int
) -> None:
    def others(values: list[float]) -> list[float]:
        if len(values) == 3:
            found.append(training.step - resumed)
            return [0.0, 0.0, slowest_s]
        return values

    if resumed:
        with Checkpoints(tmp_path).writing(Progress(resumed)) as folder:
            (folder / "total").write_text("0")
    found: list[int] = []
    state = Sum()
    state.now, state.group = 1_000.0, Peers(others)
    with Training(state, tmp_path, every=every, clock=lambda: state.now) as training:
        for _ in training.steps(range(14 if looked[-1] < 15 else 90)):
            state.now += step_s
    assert found == looked
    assert state.saves == len(found) - len({*found}) + 1


def test_a_process_stops_where_another_was_signalled(tmp_path: Path) -> None:
    state = Sum()
    state.group = Peers(
        lambda values: [float(training.step == 3), *values[1:]] if len(values) == 3 else values
    )
    with (
        pytest.raises(Interrupted) as stopped,
        Training(state, tmp_path, every=999, clock=lambda: state.now) as training,
    ):
        for _ in training.steps(range(9)):
            state.now += 1.0

    assert (stopped.value.step, state.saves, progress(tmp_path).step) == (3, 1, 3)


def test_a_save_that_failed_in_the_first_process_is_an_error_in_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = Sum()
    state.group = Peers(lambda values: [1.0] if len(values) == 1 and state.saves else values, first=False)
    with (
        pytest.raises(OSError, match=r"^the first rank could not write the checkpoint$"),
        Training(state, tmp_path, every=2) as training,
    ):
        for _ in training.steps(range(5)):
            state.total += 1

    assert (state.total, state.saves) == (5, 3)
    assert caplog.text == ""  # only the first knows


def test_a_state_has_to_say_how_it_is_saved_and_loaded(tmp_path: Path) -> None:
    for asked in (State().save, State().load):
        with pytest.raises(NotImplementedError):
            asked(tmp_path)
    assert State().seeks([]) is False


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("save_s", "upload_s", "warned"), [(100.0, 0.0, 0), (101.0, 0.0, 1), (60.0, 40.0, 0), (60.0, 41.0, 1)]
)
def test_a_save_too_long_for_an_interruption_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, save_s: float, upload_s: float, warned: int
) -> None:
    state, remote = Sum(save_s=save_s), Elsewhere(upload_s)
    with (
        caplog.at_level(logging.WARNING),
        Training(state, tmp_path, every=1, remote=remote, clock=lambda: state.now) as training,
    ):
        list(training.steps(range(3)))

    said = f"a save takes {save_s:.0f} s and its upload {upload_s:.0f} s"
    assert [said in record.getMessage() for record in caplog.records] == [True] * warned


def test_the_interval_is_the_cheapest_that_a_search_finds() -> None:
    def waste(every: float, save_s: float, mean_s: float) -> float:
        """Expected seconds for one second of work, with interruptions at random (Daly 2006, equation 13)."""
        return mean_s * (math.exp((every + save_s) / mean_s) - 1) / every

    for save_s, mean_s in ((5, 3_600), (60, 24_000), (300, 24_000), (900, 7_200)):
        best = min(waste(every, save_s, mean_s) for every in range(10, 30_000, 10))
        assert waste(interval(save_s, mean_s), save_s, mean_s) <= 1.0005 * best
    assert interval(900, 7_200) == pytest.approx(3_600 * (1 + 1 / 12 + 1 / 144) - 900)
    assert interval(99.0, 50.0) == pytest.approx(44.443605518834815)
    assert interval(100.0, 50.0) == 50.0


def season(folder: Path, save_s: float, ends: list[float], every: int | None = None) -> float:
    """Train through interruptions at *ends* with the real thing; seconds of saving and of repeated work."""
    done, lost, now, saving = 0, 0.0, 0.0, 0.0
    for end in ends:
        state = Sum(save_s)
        state.now = now
        try:
            with Training(
                state, folder, keep=1, every=every, clock=lambda state=state: state.now
            ) as training:  # type: ignore[misc]
                begun = training.step
                lost += 60.0 * (done - begun)
                for _ in training.steps(range(10**9)):
                    done = training.step + 1
                    state.now += 60.0
                    if state.now >= end:
                        raise KeyboardInterrupt  # the machine is gone: no notice, nothing saved
        except KeyboardInterrupt:
            saving += state.saves * save_s
            now = state.now
    return saving + lost


def test_saving_and_rework_cost_at_most_a_tenth_more_than_the_best_in_hindsight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("janitor_kit.checkpoint.flush", lambda _: None)  # a thousand saves of a few bytes
    for seed, save_s in enumerate((300.0, 900.0)):
        chance, now, ends = random.Random(seed), 0.0, []  # noqa: S311 - no secret
        while now < 14 * 86_400:
            now += chance.expovariate(1 / 24_000)
            ends.append(now)
        ours = season(tmp_path / f"{seed}", save_s, ends)

        best_guess = interval(save_s) / 60
        tried = [int(best_guess * factor) for factor in (0.6, 0.8, 1, 1.25, 1.6)]
        best = min(season(tmp_path / f"{seed}-{every}", save_s, ends, every) for every in tried)
        assert ours <= 1.1 * best, (seed, ours, best)


@pytest.mark.long
def test_steps_that_do_not_save_cost_at_most_a_hundredth(tmp_path: Path) -> None:
    block, steps = bytes(1_000_000), range(20)  # a step of about half a millisecond: a short one

    def bare() -> None:
        for _ in steps:
            hashlib.sha256(block).digest()

    def safe(training: Training) -> None:
        training.batch = 0
        for _ in training.steps(steps):
            hashlib.sha256(block).digest()

    with Training(Sum(), tmp_path) as training:
        safe(training)  # saves once, and not again for minutes
        training._due = math.inf
        seconds: dict[str, list[float]] = {"bare": [], "safe": []}
        for _ in range(500):  # short rounds: a busy machine leaves some of them alone
            for name, loop in (("bare", bare), ("safe", lambda: safe(training))):
                began = time.process_time()
                loop()
                seconds[name].append(time.process_time() - began)
    ratio = min(seconds["safe"]) / min(seconds["bare"])
    assert ratio <= 1.01, ratio
