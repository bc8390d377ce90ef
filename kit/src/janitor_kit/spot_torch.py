"""
The state of a training with torch, so that what is resumed equals bit for bit what was never interrupted.

    state = TorchState(model=model, optimizer=optimizer, scheduler=scheduler, loader=loader)

Any object with `state_dict` and `load_state_dict` can be given under a name of its own (a GradScaler, an
average of the weights). Beside them it keeps gradients that are being accumulated, buffers that differ
between ranks, and every rank's random numbers and position in its loader, a torchdata `StatefulDataLoader`.
Files are read with `weights_only`: a checkpoint cannot run code.
"""

from __future__ import annotations

import importlib
import os
import random
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from janitor_kit.parts import Alone, Group, State

SHARDED = {
    "FullyShardedDataParallel",
    "DTensor",
    "ShardedTensor",
    "ZeroRedundancyOptimizer",
    "DeepSpeedEngine",
}
RANKS = "ranks"


class Ranks:
    """The ranks of torch.distributed's default group."""

    alone = False

    def __init__(self) -> None:
        self.first = dist.get_rank() == 0
        self.first_here = int(os.environ.get("LOCAL_RANK", dist.get_rank())) == 0

    def most(self, values: Sequence[float]) -> list[float]:
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        all_ranks = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(all_ranks, op=dist.ReduceOp.MAX)
        result: list[float] = all_ranks.tolist()
        return result


class TorchState(State):
    """Content of a checkpoint of a training with torch: *model*, *loader*, and all *parts* with a state."""

    def __init__(self, *, model: torch.nn.Module, loader: Any = None, **parts: Any) -> None:
        self.parts: dict[str, Any] = {"model": model, **parts}
        for name, part in self.parts.items():
            if not hasattr(part, "state_dict") or name == RANKS:
                raise TypeError(f"{name} ({type(part).__name__}) has no state_dict, or a reserved name")
            refuse_sharded(name, part)
        if loader is not None and not hasattr(loader, "load_state_dict"):
            raise TypeError(
                f"{type(loader).__name__} cannot say where it is in an epoch: "
                "use torchdata.stateful_dataloader.StatefulDataLoader, which takes the same arguments"
            )
        self.loader = loader
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
            raise RuntimeError("this is one of several ranks: make TorchState after init_process_group()")
        self.group: Group = Ranks() if dist.is_available() and dist.is_initialized() else Alone()
        self._proven = False
        self._numbers: dict[str, Any] = {}
        self._generator: torch.Tensor | None = None

    def save(self, folder: Path | None) -> None:
        ranks = self._gather()
        if folder is None:
            return
        for name, part in self.parts.items():
            write(part.state_dict(), folder / f"{name}.pt")
        write(ranks, folder / f"{RANKS}.pt")
        if not self._proven:  # once: better now than when it is needed
            for path in folder.glob("*.pt"):
                load_tensors(path)
            self._proven = True

    def load(self, folder: Path) -> None:
        ranks = load_tensors(folder / f"{RANKS}.pt")
        size = 1 if self.group.alone else dist.get_world_size()
        if len(ranks) != size:
            raise RuntimeError(
                f"{folder} was written by {len(ranks)} ranks, and this run has {size}: "
                "each rank's place in the data is its own, so resume with as many"
            )
        for name, part in self.parts.items():
            path = folder / f"{name}.pt"
            if not path.exists():
                raise RuntimeError(f"{folder} has no {name}: it was written without one")
            part.load_state_dict(load_tensors(path))
        own = ranks[0 if self.group.alone else dist.get_rank()]
        tensors = {**ranks[0]["tensors"], **own["tensors"]}
        with torch.no_grad():
            for name, buffer in self.parts["model"].named_buffers():
                if f"buffer.{name}" in tensors:
                    buffer.copy_(tensors[f"buffer.{name}"])
            for name, parameter in self.parts["model"].named_parameters():
                gradient = tensors.get(f"grad.{name}")
                parameter.grad = None if gradient is None else gradient.to(parameter.device)
        if (self.loader is None) != (own["loader"] is None):
            raise RuntimeError(f"{folder} was written {'without' if self.loader else 'with'} a loader")
        if self.loader is not None:
            self.loader.load_state_dict(own["loader"])
        self._numbers = own["numbers"]
        self._generator = own["generator"]
        self.sought()

    def seeks(self, source: Iterable[Any]) -> bool:
        if self.loader is not None and source is not self.loader:
            raise TypeError(
                "steps() takes the loader that TorchState has, itself: put tqdm and the like around steps()"
            )
        if self.loader is None and isinstance(source, torch.utils.data.DataLoader):
            raise TypeError("TorchState needs the loader: TorchState(..., loader=loader)")
        return self.loader is not None

    def sought(self) -> None:
        """Set the random numbers as they were: to make a loader's iterator draws some."""
        set_numbers(self._numbers)
        if self._generator is not None:
            self.loader.generator.set_state(self._generator)

    def _gather(self) -> list[Any]:
        """Collect what each rank has of its own; of tensors, only those that differ from the first rank's."""
        model = self.parts["model"]
        tensors = {f"buffer.{name}": buffer for name, buffer in model.named_buffers()}
        tensors |= {
            f"grad.{name}": parameter.grad
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        generator = getattr(self.loader, "generator", None)
        own: dict[str, Any] = {
            "numbers": numbers(),
            "generator": None if generator is None else generator.get_state(),
            "loader": None if self.loader is None else self.loader.state_dict(),
            "tensors": {name: tensor.detach().cpu() for name, tensor in tensors.items()},
        }
        if self.group.alone:
            return [own]
        sums = {name: checksum(tensor) for name, tensor in own["tensors"].items()}
        firsts = [sums]
        dist.broadcast_object_list(firsts, src=0)
        if not self.group.first:
            own["tensors"] = {
                name: tensor for name, tensor in own["tensors"].items() if firsts[0].get(name) != sums[name]
            }
        everyone: list[Any] | None = [None] * dist.get_world_size() if self.group.first else None
        dist.gather_object(own, everyone, dst=0)
        return everyone or []


def refuse_sharded(name: str, part: Any) -> None:
    """Raise where *part* is spread over ranks, because the first rank has only its share of it."""
    found = [part]
    if isinstance(part, torch.nn.Module):
        found += [*part.modules(), *part.parameters()]
    else:
        found += [parameter for group in getattr(part, "param_groups", ()) for parameter in group["params"]]
    sharded = {base.__name__ for parameter in found for base in type(parameter).__mro__} & SHARDED
    if sharded:
        raise TypeError(
            f"{name} is sharded over ranks ({', '.join(sorted(sharded))}), and this saves only what "
            "every rank has whole: use torch.distributed.checkpoint for it"
        )


def write(value: Any, path: Path) -> None:
    """Save *value*; raises OSError where the disk is full, which torch calls a RuntimeError."""
    try:
        torch.save(value, path)
    except RuntimeError as error:
        raise OSError(f"{path} was not written: {error}") from error


def load_tensors(path: Path) -> Any:
    """Load tensors and plain values, and nothing that could run code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RuntimeError(
            f"{path.stem} cannot be loaded with weights_only: "
            f"its state_dict may hold tensors and plain values only ({error})"
        ) from error


def numbers() -> dict[str, Any]:
    """Read the state of every generator of random numbers that this process uses."""
    states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if "numpy" in sys.modules:
        kind, keys, *rest = sys.modules["numpy"].random.get_state()
        states["numpy"] = (kind, torch.from_numpy(keys.astype("int64")), *rest)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_numbers(states: dict[str, Any]) -> None:
    """Set what `numbers` read."""
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))
    torch.set_rng_state(states["torch"])
    if "numpy" in states:
        np = importlib.import_module("numpy")
        kind, keys, *rest = states["numpy"]
        np.random.set_state((kind, keys.numpy().astype("uint32"), *rest))
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])


def checksum(tensor: torch.Tensor) -> int:
    """Compute a checksum that tells whether two ranks have the same bits."""
    return zlib.crc32(bytes(tensor.detach().cpu().contiguous().untyped_storage()))
