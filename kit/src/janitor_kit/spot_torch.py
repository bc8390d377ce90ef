"""
The state of a training with torch, so that what is resumed equals bit for bit what was never interrupted.

    state = TorchState(model=model, optimizer=optimizer, scheduler=scheduler, loader=loader)

Any object with `state_dict` and `load_state_dict` can be given under a name of its own (a GradScaler, an
average of the weights). Beside them it keeps gradients that are being accumulated, buffers that differ
between ranks, and every rank's random numbers and position in its loader, a torchdata `StatefulDataLoader`.
Files are read with `weights_only`: a checkpoint cannot run code.

A save copies the state in memory, and another thread writes the copy while training goes on. Where memory is
too short for a copy, the save writes the state itself, and training waits.
"""

from __future__ import annotations

import copy as copying
import importlib
import io
import logging
import os
import random
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from janitor_kit.checkpoint import HashedFile
from janitor_kit.parts import Alone, Group, Snapshot, State

_log = logging.getLogger(__name__)

SHARDED = {
    "FullyShardedDataParallel",
    "DTensor",
    "ShardedTensor",
    "ZeroRedundancyOptimizer",
    "DeepSpeedEngine",
}
RANKS = "ranks"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.frombuffer(
        b"\0", dtype=torch.uint8
    )  # warns once that it is read-only; `write_file` only asks for its address
CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Where Linux tells a container's limit of memory and the bytes taken of it: versions 2 and 1."""
SPARE = 0.1
"""Share of the available memory that a copy of the state has to leave."""


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
        self._proven = self._short_of_memory = False
        self._numbers: dict[str, Any] = {}
        self._generator: torch.Tensor | None = None

    def save(self, folder: Path | None) -> None:
        self.snapshot(copy=False).write(folder)

    def snapshot(self, *, copy: bool) -> Snapshot:
        ranks = self._gather()
        if not self.group.first:
            return Snapshot(lambda _: {}, copied=True)
        files = {f"{name}.pt": part.state_dict() for name, part in self.parts.items()}
        files[f"{RANKS}.pt"] = ranks
        if not self._proven:  # once: better now than when it is needed
            for name, value in files.items():
                prove_loadable(Path(name).stem, value)
            self._proven = True
        copied = self._copied(files) if copy else None

        def write(folder: Path | None) -> Mapping[str, str]:
            return (
                {name: write_file(value, folder / name) for name, value in (copied or files).items()}
                if folder
                else {}
            )

        return Snapshot(write, copied=copied is not None)

    def _copied(self, files: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Copy the state to main memory; None where memory is too short for a copy."""
        needed, available = sum(storage_bytes(files).values()), available_memory()
        problem = ""
        if available is not None and needed > available * (1 - SPARE):
            problem = f"{needed / 1e9:.1f} GB, and {available / 1e9:.1f} GB are available"
        else:
            try:
                copied: Mapping[str, Any] = copy_to_memory(files)
            except (MemoryError, RuntimeError) as error:
                problem = f"{needed / 1e9:.1f} GB ({error})"
            else:
                return copied
        if not self._short_of_memory:
            self._short_of_memory = True
            _log.warning(
                "training waits for each save: memory is too short for a copy of the state, %s", problem
            )
        return None

    def fingerprint(self) -> Mapping[str, Any]:
        facts: dict[str, Any] = {}
        for name, part in self.parts.items():
            facts[name] = type(part).__name__
            if isinstance(part, torch.nn.Module):
                facts |= {f"{name}.{at}": type(inner).__name__ for at, inner in part.named_modules() if at}
                facts |= {f"{name}.{at}": [*value.shape] for at, value in part.named_parameters()}
            for number, group in enumerate(getattr(part, "param_groups", ())):
                facts |= {
                    f"{name} group {number} {key}": plain(value)
                    for key, value in group.items()
                    if key != "params"
                }
        sampler = getattr(self.loader, "batch_sampler", None)
        size = getattr(self.loader, "batch_size", None) or getattr(sampler, "batch_size", None)
        return facts if size is None else {**facts, "batch size": size}

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


def plain(value: Any) -> Any:
    """Return a hyperparameter as a plain value; other than numbers and texts, as its class."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__


def write_file(value: Any, path: Path) -> str:
    """Save *value*, and return the file's SHA-256; raises OSError where the disk is full."""
    storages = storage_bytes(value)

    def lasts(piece: memoryview) -> bool:
        at = torch.frombuffer(piece, dtype=torch.uint8).data_ptr() if len(piece) else 0
        return storages.get(at, -1) >= len(piece)

    try:
        with HashedFile(path, lasts) as file:
            torch.save(value, file)
            return file.digest()
    except (OSError, RuntimeError) as error:  # the second by torch
        raise OSError(f"{path} was not written: {error}") from error


def map_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Copy nested containers with each tensor changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        copied = copying.copy(value)  # an OrderedDict's attributes too, in which a Module keeps versions
        copied.update((key, map_tensors(item, change)) for key, item in value.items())
        return copied
    if type(value) in (list, tuple):
        return type(value)(map_tensors(item, change) for item in value)
    return copying.deepcopy(value)


def is_plain(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is a view of a storage and nothing more."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout == torch.strided
        and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
    )


def copy_to_memory(value: Any) -> Any:
    """Copy nested containers and their tensors to main memory; shared storage stays shared."""
    storages: dict[int, torch.UntypedStorage] = {}

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        if not is_plain(tensor):
            return tensor.detach().to("cpu", copy=True)
        storage = tensor.untyped_storage()
        at = storage.data_ptr()
        if at not in storages:
            storages[at] = storage.clone() if storage.device.type == "cpu" else storage.cpu()
        place = tensor.storage_offset(), tensor.size(), tensor.stride()
        return torch.empty(0, dtype=tensor.dtype).set_(storages[at], *place)

    return map_tensors(value, copied)


def storage_bytes(value: Any) -> dict[int, int]:
    """Return the bytes of each storage in nested containers, by its address."""
    found: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if is_plain(tensor):
            storage = tensor.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
        else:
            found[id(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    map_tensors(value, note)
    return found


def prove_loadable(name: str, value: Any) -> None:
    """Raise RuntimeError where a file of *value* could not be loaded; tries it with empty tensors."""
    file = io.BytesIO()
    torch.save(map_tensors(value, lambda tensor: tensor.detach().new_empty(0)), file)
    file.seek(0)
    load_tensors(file, name)


def available_memory() -> int | None:
    """Return the bytes that the machine and the container leave this process; None if unknown."""
    found = []
    with suppress(OSError, KeyError, ValueError):
        rows = dict(row.split(":") for row in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(rows["MemAvailable"].split()[0]) * 1024)
    for folder, limit, used in CGROUPS:
        with suppress(OSError, KeyError, ValueError):  # no container, or one without a limit
            most, taken = (int(Path(folder, name).read_text()) for name in (limit, used))
            cache = dict(row.split() for row in Path(folder, "memory.stat").read_text().splitlines())
            found.append(most - taken + int(cache.get("total_inactive_file") or cache["inactive_file"]))
    return max(0, min(found)) if found else None


def load_tensors(file: Path | io.BytesIO, name: str = "") -> Any:
    """Load tensors and plain values, and nothing that could run code."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RuntimeError(
            f"{name or Path(str(file)).stem} cannot be loaded with weights_only: "
            f"its state_dict may hold tensors and plain values only ({error})"
        ) from error


def numbers() -> dict[str, Any]:
    """Read the state of every generator of random numbers that this process uses."""
    states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if "numpy" in sys.modules:
        kind, keys, *rest = sys.modules["numpy"].random.get_state()
        states["numpy"] = (kind, torch.from_numpy(keys.astype("int64")), *rest)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
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
    if "cuda" in states:  # of the first version, that of the current device alone
        devices = states["cuda"]
        if isinstance(devices, torch.Tensor):
            torch.cuda.set_rng_state(devices)
        else:
            for number, device in zip(range(torch.cuda.device_count()), devices, strict=False):
                torch.cuda.set_rng_state(device, number)


def checksum(tensor: torch.Tensor) -> int:
    """Compute a checksum that tells whether two ranks have the same bits."""
    return zlib.crc32(bytes(tensor.detach().cpu().contiguous().untyped_storage()))
