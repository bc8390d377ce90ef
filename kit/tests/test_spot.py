"""Training that is interrupted between any two steps, for a state of one number."""

from __future__ import annotations

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from janitor_kit.checkpoint import Checkpoints
from janitor_kit.spot import Alone, Interrupted, State, Training, interval

SOURCE = str(Path(__file__).parents[1] / "src")

FORKED = """
import os, signal, sys
from janitor_kit.spot import State, Training

with Training(State(), sys.argv[1]) as training:
    ready, say = os.pipe()
    child = os.fork()
    if not child:
        os.write(say, b"x")
        while True:
            signal.pause()
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), training.stopping, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print(training.stopping, flush=True)
    os._exit(0)
"""


class Sum(State):
    """Adds up what it is given; saving takes *save_s* of its clock."""

    def __init__(self, save_s: float = 0.0) -> None:
        self.total, self.now, self.saves = 0, 0.0, 0
        self.save_s = save_s
        self.during_save: Callable[[], Any] = lambda: None

    def save(self, folder: Path | None) -> None:
        assert folder
        (folder / "total").write_text(str(self.total))
        self.now += self.save_s
        self.saves += 1
        self.during_save()

    def load(self, folder: Path) -> None:
        self.total = int((folder / "total").read_text())


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
    command = [sys.executable, "-c", FORKED, str(tmp_path)]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": SOURCE}
    )

    assert (ran.stdout.split(), ran.stderr) == (["-15", "False", "True"], "")


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
    with Training(Sum(), tmp_path) as training:
        list(training.steps(range(2)))
        with pytest.raises(RuntimeError, match=r"training\.epochs"):
            list(training.steps(range(2)))


def test_a_finished_run_without_epochs_trains_no_more_either(tmp_path: Path) -> None:
    class Seeking(Sum):
        def seeks(self, source: object) -> bool:  # noqa: ARG002 - as torchdata's loader, which begins anew at its end
            return True

    def trained() -> int:
        with Training(Seeking(), tmp_path) as training:
            return len(list(training.steps(range(5))))

    assert (trained(), trained()) == (5, 0)


def test_a_folder_that_cannot_be_written_is_an_error_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=r"no checkpoint can be written to .*/file .*give a folder"):
        train(tmp_path / "file")


def test_a_folder_belongs_to_one_run_at_a_time(tmp_path: Path) -> None:
    script = f"from test_spot import *; train(Path({str(tmp_path)!r}))"
    other = [sys.executable, "-c", script]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join((SOURCE, str(Path(__file__).parent)))}
    with Training(Sum(), tmp_path):
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


def test_a_save_that_failed_is_tried_again_after_a_minute(tmp_path: Path) -> None:
    state, at = Sum(), []

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


def test_it_saves_after_the_first_step_and_then_by_what_that_took(tmp_path: Path) -> None:
    state, at = Sum(save_s=20.0), []
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


def test_nobody_downloads_before_the_first_process_has_cleaned_up(tmp_path: Path) -> None:
    class Second(Alone):
        """The process that downloads for the second machine."""

        first = alone = False

        def most(self, values: Sequence[float]) -> list[float]:
            noted.append("all are here")
            return list(values)

    noted: list[str] = []
    state = Sum()
    state.group = Second()
    training = Training(state, tmp_path, remote=Elsewhere(noted=noted))
    training.__enter__()
    training._leave()

    assert noted[:3] == ["all are here", "fetch", "all are here"]


@pytest.mark.parametrize(("save_s", "warned"), [(99.0, 0), (101.0, 1)])
def test_a_save_too_long_for_an_interruption_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, save_s: float, warned: int
) -> None:
    state = Sum(save_s=save_s)
    with (
        caplog.at_level(logging.WARNING),
        Training(state, tmp_path, every=1, clock=lambda: state.now) as training,
    ):
        list(training.steps(range(3)))

    assert [f"a save takes {save_s:.0f} s" in record.getMessage() for record in caplog.records] == [
        True
    ] * warned


def test_the_interval_is_the_cheapest_that_a_search_finds() -> None:
    def waste(every: float, save_s: float, mean_s: float) -> float:
        """Expected seconds for one second of work, with interruptions at random (Daly 2006, equation 13)."""
        return mean_s * (math.exp((every + save_s) / mean_s) - 1) / every

    for save_s, mean_s in ((5, 3_600), (60, 24_000), (300, 24_000), (900, 7_200)):
        best = min(waste(every, save_s, mean_s) for every in range(10, 30_000, 10))
        assert waste(interval(save_s, mean_s), save_s, mean_s) <= 1.0005 * best
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
