"""
Training that survives interruption, for any framework.

    with Training(state, "/opt/ml/checkpoints") as training:
        for epoch in training.epochs(10):
            for batch in training.steps(batches):
                ...

SIGTERM only sets a flag: the state is saved between two steps, never in a signal handler. Then `Interrupted`
ends the program with status 143. The next start loads the newest whole checkpoint and goes on with the batch
after it; a run that was finished does not train again. AWS's own images do not pass SIGTERM on to the script
(docs/kit.md): there the next start goes on from the last save.

It saves as often as Young's and Daly's formula asks for, from what a save was measured to cost and from
the mean time between interruptions. Where the state can be copied in memory, training waits for the copy
alone, and another thread writes it; whatever ends the program waits until it is written. *state* is a
`State`; for torch, `janitor_kit.spot_torch.TorchState`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

from janitor_kit.checkpoint import Checkpoint, Checkpoints, Progress
from janitor_kit.parts import Alone, Group, Remote, Snapshot, State

__all__ = ["Alone", "Group", "Interrupted", "Remote", "Snapshot", "State", "Training", "interval"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

MEAN_UPTIME_S = 24_000.0
"""Assumed mean time between interruptions: 0.15 an hour. Four times too long, it costs a quarter more."""
NOTICE_S = 120.0
"""Seconds between SIGTERM and SIGKILL on SageMaker and, by the interruption notice, on EC2."""
SHARE = 5 / 6
"""Of these seconds, as many may go into save and upload (100): a step has to end first."""
RETRY_S = 60.0
"""Seconds after a save that failed until the next is tried."""
LOOK_S = 0.5
"""Ranks ask each other about this often whether one was signalled, because every step would cost too much."""
LOOK_STEPS = 30
CONTINUE_FROM = "CONTINUE_FROM"
"""The variable that names a checkpoint of another run to go on from; `janitor-kit launch` sets it."""
SCRIPT = "content of the script"
"""Of the fingerprint, what only warns: a corrected line is no other run."""
SHOWN = 3
"""Differences between two runs that a refusal shows."""


class Interrupted(SystemExit):
    """The run had to stop, and is saved. Status 143, that of a program that SIGTERM ended: not finished."""

    def __init__(self, step: int) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.step = step


def interval(save_s: float, mean_uptime_s: float = MEAN_UPTIME_S) -> float:
    """
    Seconds to train between two saves, for the least saving and repeated work together.

    Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps" (2006), equation 37;
    its first term is Young's sqrt(2 x cost x mean time).
    """
    if save_s >= 2 * mean_uptime_s:
        return mean_uptime_s
    ratio = save_s / (2 * mean_uptime_s)
    return math.sqrt(2 * save_s * mean_uptime_s) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - save_s


class Training:
    """
    A run that goes on where an earlier one was interrupted.

    *every* saves every so many steps instead of by time; *mean_uptime_s* is the mean time between
    interruptions, where it is known better than `MEAN_UPTIME_S`. *notice_s* are the
    seconds between SIGTERM and SIGKILL. The last *keep* checkpoints stay.

    A checkpoint belongs to the runs with its fingerprint: the script's name, the state's own facts, and
    *fingerprint*, plain values that you add. *continue_from*, else the variable CONTINUE_FROM, names a
    checkpoint to go on from although another run wrote it.
    """

    def __init__(
        self,
        state: State,
        folder: str | Path,
        *,
        remote: Remote | None = None,
        keep: int = 3,
        every: int | None = None,
        mean_uptime_s: float = MEAN_UPTIME_S,
        notice_s: float = NOTICE_S,
        fingerprint: Mapping[str, Any] | None = None,
        continue_from: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if mean_uptime_s <= 0 or (every is not None and every < 1):
            raise ValueError(
                f"mean_uptime_s is {mean_uptime_s} and every is {every}: both have to be positive"
            )
        self._state, self._group, self._remote, self._clock = state, state.group, remote, clock
        self._checkpoints = Checkpoints(Path(folder), keep=keep)
        self._every, self._mean_uptime_s, self._notice_s = every, mean_uptime_s, notice_s
        self.step = self.epoch = self.batch = 0
        self.finished = False
        """Whether an earlier run finished: there is nothing to train, and the state is its last one."""
        self._planned = 0
        self._seeking = True
        self._saved: tuple[int, int, bool] | None = None
        self._added = fingerprint or {}
        self._fingerprint: dict[str, Any] = {}
        self._continue_from = Path(continue_from or os.environ.get(CONTINUE_FROM, "")).name
        self._save_s: float | None = None
        """Seconds that training waited for the last save."""
        self._write_s = 0.0
        """Seconds until the last save was written."""
        self._writer: threading.Thread | None = None
        self._failed: Exception | None = None
        self._writing: int | None = None
        """The step whose checkpoint is being written, until `_settle`."""
        self._ended = 0.0
        self._due = 0.0
        self._warned = self._replaced = False
        self._signalled = False
        self._previous: Any = None

    @property
    def stopping(self) -> bool:
        """True once SIGTERM came to this process: long work between steps (an evaluation) should then end."""
        return self._signalled

    def __enter__(self) -> Training:  # noqa: PYI034 - Self is not in typing before Python 3.11
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "Training has to be entered in the main thread: Python allows signal handlers only there"
            )
        self._previous = signal.signal(signal.SIGTERM, self._flag)
        _entered.append(self)
        try:
            own = {**entry_point(), **self._state.fingerprint(), **self._added}
            self._fingerprint = json.loads(json.dumps(own))
            self._resume()
        except BaseException:
            self._leave()
            raise
        self._next_look, self._looked = self.step, (self.step, self._clock())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.finished:
                _log.warning(
                    "trained nothing: the run in %s was finished, and the state is its last one",
                    self._checkpoints.folder,
                )
            elif kind is None:
                self.finished = True
                self._save_last()
        finally:
            try:
                if kind is KeyboardInterrupt and self._writer:
                    _log.warning("waiting until the checkpoint of step %d is written", self._writing)
                self._settle()
                if self._remote and self._group.first:
                    self._remote.close(self._notice_s)
            except Exception as failed:
                if kind is None:
                    raise
                _log.error("the last checkpoint was not written or uploaded: %s", failed)
            finally:
                self._leave()

    def epochs(self, count: int) -> Iterator[int]:
        """Yield the epochs that are left of *count*, from 0."""
        if self.finished and count <= self._planned:
            return
        self.finished, self._planned = False, count
        for epoch in range(self.epoch, count):
            yield epoch
            self.epoch, self.batch = epoch + 1, 0

    def steps(self, source: Iterable[T]) -> Iterator[T]:
        """
        Yield the batches of *source* that are left of this epoch; save between them, and raise `Interrupted`.

        *source* has to give the same batches again, unless the state moves it (torch's StatefulDataLoader).
        """
        if self.finished:
            return
        seeks = self._state.seeks(source)
        batches = iter(source)
        if self._seeking:
            for _ in range(0 if seeks else self.batch):
                next(batches, None)
            if self.batch:
                self._state.sought()
        elif self.batch:
            raise RuntimeError(
                "steps() was called twice in one epoch: loop over training.epochs(n) around it"
            )
        self._seeking = False
        for batch in batches:
            yield batch
            self.step += 1
            self.batch += 1
            self._between()

    def _between(self) -> None:
        """Save if it is time, stop if a process was told to; on most steps this compares two numbers."""
        due = self._every is not None and self.step % self._every == 0
        if self.step < self._next_look and not due:
            return
        stop, late = self._look()
        if (due or late) and not stop:
            self._save()
            stop = self._look()[0]
        if stop:
            self._save_last()
            raise Interrupted(self.step)

    def _look(self) -> tuple[bool, bool]:
        """Agree whether SIGTERM came to any process, and whether a save is due: each gets the same answer."""
        now = self._clock()
        if self._writer and not self._writer.is_alive():
            self._settle()
        late = self._every is None and self._group.first and not self._writer and now >= self._due
        if self._group.alone:
            return self._signalled, late
        since, then = self._looked
        pace = (now - then) / (self.step - since) if self.step > since else math.inf
        stop, save, pace = self._group.most([float(self._signalled), float(late), pace])
        self._looked = self.step, now
        self._next_look = self.step + max(1, min(LOOK_STEPS, int(LOOK_S / max(pace, 1e-9))))
        return bool(stop), bool(save)

    def _save_last(self) -> None:
        """Save this step, unless it is saved, and wait for the write; raise in every process if it failed."""
        at = self.step, self.epoch, self.finished
        self._settle()
        if not self._group.most([float(self._saved != at)])[0]:
            return
        self._save(last=True)
        if self._group.most([float(self._saved != at)])[0]:
            raise self._failed or OSError("the first rank could not write the checkpoint")

    def _save(self, *, last: bool = False) -> None:
        """Save; training goes on before it is written, unless it is the *last* or the state has no copy."""
        self._settle()
        started = self._clock()
        snapshot = self._state.snapshot(copy=not last)
        progress = Progress(self.step, self.epoch, self.batch, self.finished, self._planned, self._save_s)
        self._saved = self.step, self.epoch, self.finished
        if not self._group.first:
            snapshot.write(None)
        else:
            self._writing, self._failed = self.step, None
            work = progress, snapshot, started
            if snapshot.copied and not last:
                self._writer = threading.Thread(target=self._write, args=work, name="checkpoint")
                self._writer.start()
            else:
                self._write(*work)
            self._ended = self._clock()
            self._save_s = self._ended - started
            if self._writer is None:
                self._settle()
        if signal.getsignal(signal.SIGTERM) != self._flag and not self._replaced:
            self._replaced = True
            _log.warning(
                "something else handles SIGTERM since training began: an interruption will not be noticed; "
                "set that handler before `with Training`"
            )

    def _write(self, progress: Progress, snapshot: Snapshot, started: float) -> None:
        """Write a checkpoint, offer it for copying, and remove older ones; `_settle` tells of a failure."""
        digests: dict[str, str] = {}
        try:
            with self._checkpoints.writing(progress, self._fingerprint, digests) as folder:
                digests.update(snapshot.write(folder))
            if self._remote and self._checkpoints.latest:
                self._remote.offer(self._checkpoints.latest)
            self._checkpoints.prune(busy=self._remote.busy if self._remote else None)
        except Exception as error:
            self._failed = error
        self._write_s = self._clock() - started

    def _settle(self) -> None:
        """Wait until the last checkpoint is written; where it could not be, log that and save again soon."""
        if self._writing is None:
            return
        if self._writer:
            self._writer.join()
        step, self._writing, self._writer = self._writing, None, None
        if self._failed is None:
            self._schedule(self._ended)
            return
        self._saved = None
        if not isinstance(self._failed, OSError):
            raise self._failed
        _log.error("no checkpoint at step %d: %s", step, self._failed)
        self._due = self._clock() + RETRY_S

    def _schedule(self, now: float) -> None:
        """Set when the next save is due, and warn where an interruption leaves too little time for one."""
        assert self._save_s is not None  # noqa: S101 - for the type checker
        upload_s = self._remote.upload_s if self._remote else 0.0
        write_s = max(self._save_s, self._write_s)
        self._due = now + max(interval(self._save_s, self._mean_uptime_s), write_s - self._save_s + upload_s)
        if write_s + upload_s > SHARE * self._notice_s and not self._warned:
            self._warned = True
            _log.warning(
                "a save takes %.0f s and its upload %.0f s, and SIGTERM leaves %.0f s: "
                "an interruption will lose what was trained since the checkpoint before it",
                write_s,
                upload_s,
                self._notice_s,
            )

    def _resume(self) -> None:
        if self._group.first:
            self._checkpoints.hold()
            self._checkpoints.clean()
        self._group.most([0.0])  # before anything is downloaded beside it
        if self._remote and self._group.first_here:
            self._remote.fetch(self._checkpoints)
        self._group.most([0.0])  # each machine has what it downloads
        own = self._checkpoints.newest() if self._group.first_here else None
        number = own.number if own else -1
        minus_oldest, newest = self._group.most([-number if self._group.first_here else -math.inf, number])
        if newest < 0:
            if self._continue_from:
                raise RuntimeError(
                    f"there is no checkpoint in {self._checkpoints.folder} to go on from: "
                    f"{CONTINUE_FROM} is {self._continue_from}"
                )
            return  # a save is due after the first step: it shows what saving costs, and that it works
        chosen = int(newest if minus_oldest > 0 else -minus_oldest)  # a machine with none says so next
        found = own if own and own.number == chosen else self._checkpoints.numbered(chosen)
        self._check_belongs(found)
        try:
            self._state.load(found.path)
        except Exception as error:
            problem = f"{found.path} does not fit this state ({error})"
            advice = "if another script or model wrote it, give this run a folder of its own"
            raise RuntimeError(f"{problem}: {advice}") from error
        at = found.progress
        self.step, self.epoch, self.batch = at.step, at.epoch, at.batch
        self.finished, self._planned = at.finished, at.planned
        self._saved, self._save_s = (at.step, at.epoch, at.finished), at.save_s
        if self._save_s is not None:
            self._schedule(self._clock())
        _log.info("resumed from %s: %s", found.path, asdict(at))

    def _check_belongs(self, found: Checkpoint) -> None:
        """Refuse a checkpoint that another run wrote, with both values of what differs."""
        if found.fingerprint is None:
            _log.warning(
                "%s has format 1, which does not say which run wrote it: "
                "if another script did, give this run a folder of its own",
                found.path,
            )
            return
        theirs, ours = found.fingerprint, self._fingerprint
        differing = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
        if SCRIPT in differing:
            differing.remove(SCRIPT)
            _log.warning("the script was changed since it wrote %s", found.path)
        if not differing:
            return
        shown = [f"{key} was {theirs.get(key)} and is {ours.get(key)}" for key in differing[:SHOWN]]
        if len(differing) > SHOWN:
            shown.append(f"{len(differing) - SHOWN} more differences")
        problem = f"another run wrote {found.path}: {'; '.join(shown)}"
        if found.path.name != self._continue_from:
            raise RuntimeError(
                f"{problem}. Give this run a folder of its own, "
                f"or go on from it all the same with {CONTINUE_FROM}={found.path.name}"
            )
        _log.warning("goes on, as %s says, though %s", CONTINUE_FROM, problem)

    def _flag(self, _number: int, _frame: FrameType | None) -> None:
        self._signalled = True

    def _leave(self) -> None:
        """Give the folder back, and SIGTERM, unless something else took it in between."""
        self._checkpoints.release()
        if self in _entered:
            _entered.remove(self)
        if signal.getsignal(signal.SIGTERM) == self._flag:
            signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)


def entry_point() -> dict[str, Any]:
    """Return the name of the script that runs, and the SHA-256 of its content."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if path is None:
        return {"entry point": "interactive"}
    try:
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        content = None
    return {"entry point": Path(path).name, SCRIPT: content}


_entered: list[Training] = []


def _in_forked_child() -> None:
    """Let SIGTERM end a loader's worker: with our handler it would live on, and its parent would hang."""
    while _entered:
        _entered[-1]._leave()  # noqa: SLF001 - its own class


os.register_at_fork(after_in_child=_in_forked_child)
