"""
Whole checkpoints for Lightning's `Trainer`.

    trainer = Trainer(..., callbacks=[WholeCheckpoints("checkpoints", every=500)], enable_checkpointing=False)
    trainer.fit(module, loader, ckpt_path=newest_whole("checkpoints"))

A checkpoint is a file of Lightning's in a folder that gets its name when the file is on the disk, with its
size and SHA-256 in a manifest. A torn or changed one is passed over. After SIGTERM it saves at the end of
the batch, and ends the program with status 143. Needs lightning (extra `lightning`).
"""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch import Callback

from janitor_kit.checkpoint import Checkpoints, Progress
from janitor_kit.parts import Alone, Group
from janitor_kit.spot import Interrupted
from janitor_kit.spot_torch import Ranks

_log = logging.getLogger(__name__)
FILE = "lightning.ckpt"
SHARDED_STRATEGIES = {"FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy"}


class WholeCheckpoints(Callback):  # type: ignore[misc]
    """A callback that saves after each *every* steps and after SIGTERM; the last *keep* checkpoints stay."""

    def __init__(self, folder: str | Path, *, every: int, keep: int = 3) -> None:
        if every < 1:
            raise ValueError(f"every is {every}: it has to be positive")
        self._checkpoints, self._every = Checkpoints(Path(folder), keep=keep), every
        self._signalled = False
        self._saved = -1
        self._previous: Any = None
        self._group: Group = Alone()

    def on_train_start(self, trainer: Any, _module: Any) -> None:
        strategy = type(trainer.strategy).__name__
        if strategy in SHARDED_STRATEGIES:
            raise TypeError(f"{strategy} spreads a checkpoint over ranks, and this keeps one file")
        self._group = Ranks() if dist.is_available() and dist.is_initialized() else Alone()
        self._saved = trainer.global_step
        if self._group.first:
            self._checkpoints.hold()
            self._checkpoints.clean()
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._flag)

    def on_train_batch_end(self, trainer: Any, _module: Any, *_: Any) -> None:
        """Save where it is time; stop in every process where one was signalled."""
        step = trainer.global_step
        stop = bool(self._group.most([float(self._signalled)])[0])
        if step != self._saved and (stop or step % self._every == 0):
            self._save(trainer, step)
        if stop:
            raise Interrupted(step)

    def on_train_end(self, trainer: Any, _module: Any) -> None:
        if trainer.global_step != self._saved:
            self._save(trainer, trainer.global_step)

    def teardown(self, _trainer: Any, _module: Any, stage: str) -> None:
        if stage != "fit":
            return
        self._checkpoints.release()
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _save(self, trainer: Any, step: int) -> None:
        self._saved = step
        if not self._group.first:
            trainer.save_checkpoint(self._checkpoints.folder / FILE)  # takes part, and writes nothing
            return
        with self._checkpoints.writing(Progress(step=step, epoch=trainer.current_epoch)) as folder:
            trainer.save_checkpoint(folder / FILE)
        self._checkpoints.prune()

    def _flag(self, *_: object) -> None:
        self._signalled = True


def newest_whole(folder: str | Path) -> str | None:
    """
    Return Lightning's file in the newest whole checkpoint; None where the folder has no checkpoint.

    Warns of each newer one that is torn; raises RuntimeError where all of them are.
    """
    checkpoints = Checkpoints(Path(folder))
    found = checkpoints.newest()
    if found is None and checkpoints.names():
        raise RuntimeError(f"no checkpoint in {folder} is whole: remove them to start from the beginning")
    return None if found is None else str(found.path / FILE)
