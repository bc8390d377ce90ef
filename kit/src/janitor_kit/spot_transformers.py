"""
Whole checkpoints for `transformers.Trainer`.

    trainer = Trainer(..., callbacks=[SealedCheckpoints()])
    trainer.train(resume_from_checkpoint=newest_sealed(args.output_dir))

The Trainer writes its checkpoints itself. The callback seals each with a manifest of sizes and SHA-256, so
that a torn or changed one is passed over. After SIGTERM it saves at the end of the step, and ends the
program with status 143. Needs transformers (extra `transformers`).
"""

from __future__ import annotations

import logging
import re
import signal
import threading
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers import TrainerCallback

from janitor_kit.checkpoint import Progress, TornError, check_files, write_manifest
from janitor_kit.parts import Alone, Group
from janitor_kit.spot import Interrupted
from janitor_kit.spot_torch import Ranks

_log = logging.getLogger(__name__)
SAVED = re.compile(r"checkpoint-(\d+)")


class SealedCheckpoints(TrainerCallback):  # type: ignore[misc]
    """A callback that seals each checkpoint, and saves and stops after SIGTERM."""

    def __init__(self) -> None:
        self._signalled = self._stopped = False
        self._previous: Any = None
        self._group: Group = Alone()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._group = Ranks() if dist.is_available() and dist.is_initialized() else Alone()
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._flag)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop at one step in every process, though only one process was signalled."""
        if self._group.most([float(self._signalled)])[0]:
            control.should_save = control.should_training_stop = True
            self._stopped = state.global_step < state.max_steps

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Seal the checkpoint that was written just now, by all processes."""
        self._group.most([0.0])
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_manifest(folder, Progress(step=state.global_step), None, {})
        self._group.most([0.0])

    def on_train_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
        if self._stopped:
            raise Interrupted(state.global_step)

    def _flag(self, *_: object) -> None:
        self._signalled = True


def newest_sealed(folder: str | Path) -> str | None:
    """
    Return the newest whole checkpoint of a Trainer; None where the folder has no checkpoint.

    Warns of each newer one that is torn; raises RuntimeError where all of them are.
    """
    found = {int(named[1]): path for path in Path(folder).glob("*") if (named := SAVED.fullmatch(path.name))}
    for step in sorted(found, reverse=True):
        if (problem := _problem(found[step], step)) is None:
            return str(found[step])
        _log.warning("checkpoint %s is torn (%s): falling back to an older one", found[step], problem)
    if found:
        raise RuntimeError(
            f"no checkpoint in {folder} is whole: remove them to start from the beginning, or name one that "
            "was written without SealedCheckpoints yourself"
        )
    return None


def _problem(path: Path, step: int) -> str | None:
    """Return why a checkpoint is not whole, or None."""
    try:
        manifest = check_files(path)
    except TornError as torn:
        return str(torn)
    return None if manifest["progress"]["step"] == step else "its manifest is of another step"
