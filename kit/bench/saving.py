"""
Measures a save beside torch.save, and how long training waits for it beside one copy of the state in memory.

The ways of saving take turns, in another order in each round, so that what else the machine does meets all of
them. Each number is the least, the median and the most of the rounds, as a ratio within one round. A save
includes what makes it last (flush of files and folders, manifest, SHA-256); torch.save is measured with and
without a flush of its file, and torch.distributed.checkpoint as it comes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from janitor_kit.checkpoint import Checkpoints, Progress
from janitor_kit.spot_torch import TorchState

BARE, FLUSHED, DISTRIBUTED, OURS = (
    "torch.save",
    "torch.save, flushed",
    "torch.distributed.checkpoint",
    "a save",
)
COPY, BLOCKED = "one copy in memory", "training waits"


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    made = work()
    took = time.perf_counter() - began
    del made
    return took


def ways(folder: Path, megabytes: int) -> dict[str, Callable[[], Any]]:
    """Ways to save and to copy one model and its optimizer."""
    model = torch.nn.ModuleList([torch.nn.Linear(1024, 1024) for _ in range(max(1, megabytes // 12))])
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    state, checkpoints = TorchState(model=model, optimizer=optimizer), Checkpoints(folder / "ours", keep=1)
    state.snapshot(copy=False)  # the first one proves that the state can be loaded

    def parts() -> dict[str, Any]:
        return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}

    def flushed() -> None:
        torch.save(parts(), folder / "bare.pt")
        handle = os.open(folder / "bare.pt", os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)

    def distributed() -> None:
        import torch.distributed.checkpoint as dcp

        shutil.rmtree(folder / "dcp", ignore_errors=True)
        dcp.save(parts(), checkpoint_id=folder / "dcp", no_dist=True)

    def ours() -> None:
        digests: dict[str, str] = {}
        with checkpoints.writing(Progress(), None, digests) as into:
            digests.update(state.snapshot(copy=False).write(into))
        checkpoints.prune()

    def cloned() -> list[torch.Tensor]:
        tensors = [*model.state_dict().values()]
        tensors += [value for each in optimizer.state.values() for value in each.values()]
        return [tensor.clone() for tensor in tensors]

    return {
        BARE: lambda: torch.save(parts(), folder / "bare.pt"),
        FLUSHED: flushed,
        DISTRIBUTED: distributed,
        OURS: ours,
        COPY: cloned,
        BLOCKED: lambda: state.snapshot(copy=True),
    }


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rounds", type=int, default=25)
    given.add_argument("--megabytes", type=int, default=96)
    given.add_argument("--folder", help="where to write; else the folder for temporary files")
    options = given.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    order = random.Random(7)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        tried = ways(Path(folder), options.megabytes)
        took: dict[str, list[float]] = {name: [] for name in tried}
        for number in range(options.rounds + 1):
            for name in order.sample(list(tried), len(tried)):
                spent = seconds(tried[name])
                if number:  # the first round warms up
                    took[name].append(spent)
    sys.stdout.write(f"a state of {options.megabytes} MB, {options.rounds} rounds\n")
    for name, rounds in took.items():
        sys.stdout.write(
            f"{name:30} {min(rounds) * 1000:6.0f} / {median(rounds) * 1000:6.0f} ms (least, median)\n"
        )
    for name, beside, limit in (
        (OURS, BARE, "1.3"),
        (OURS, FLUSHED, "1.3"),
        (DISTRIBUTED, BARE, ""),
        (BLOCKED, COPY, "1.5"),
    ):
        ratios = [spent / other for spent, other in zip(took[name], took[beside], strict=True)]
        least = min(took[name]) / min(took[beside])
        sys.stdout.write(
            f"{name}, of {beside}: {min(ratios):.2f} / {median(ratios):.2f} / {max(ratios):.2f} times, "
            f"{least:.2f} of the least{f' (at most {limit})' if limit else ''}\n"
        )


if __name__ == "__main__":
    main()
