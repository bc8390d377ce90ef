"""
A training for the proofs: dropout, AdamW, a schedule, accumulation, a shuffled loader with two workers.

It reads one order a line, forks a process per rank (so that torch is imported once for all runs), and answers
with their exit statuses. An order can end a rank by SIGKILL in its nth step, or at its nth operation on a
file of the checkpoints or of the bucket, which this program sees through Python's audit hooks.
"""

import hashlib
import json
import os
import random
import signal
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # what an optimizer imports when it is made: here once for all runs
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler
from torchdata.stateful_dataloader import StatefulDataLoader

from disk_s3 import DiskS3
from janitor_kit.spot import Interrupted, Training
from janitor_kit.spot_s3 import S3Copies
from janitor_kit.spot_torch import TorchState

SAMPLES, BATCH, ACCUMULATE, SEED = 40, 4, 3, 7
FILES = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "shutil.rmtree",
    "os.listdir",
    "os.scandir",
}


class Samples(torch.utils.data.Dataset[tuple[int, torch.Tensor, torch.Tensor]]):
    """Forty samples, augmented by (seed, epoch, index)."""

    epoch = 0

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        noise = torch.Generator().manual_seed(SEED * 1_000_003 + self.epoch * 10_007 + index)
        features = torch.full((8,), index / SAMPLES) + torch.randn(8, generator=noise)
        return index, features, features.sum().reshape(1)


class Events:
    """Counts one process's steps and operations on checkpoints and the bucket; one can be its last."""

    def __init__(self, kill: list[Any] | None, folder: str, bucket: str) -> None:
        self.counts = {"step": 0, "save": 0, "upload": 0}
        self._kill, self._roots, self._pid = kill, {"save": folder, "upload": bucket}, os.getpid()
        fsync = os.fsync
        os.fsync = lambda handle: (self.happen("save"), fsync(handle))[1]
        sys.addaudithook(self._audited)

    def happen(self, kind: str) -> None:
        if os.getpid() != self._pid:
            return
        self.counts[kind] += 1
        if [kind, self.counts[kind]] == self._kill:
            os.kill(self._pid, signal.SIGKILL)

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in FILES:
            return
        for kind, root in self._roots.items():
            if str(args[0]).startswith(root):
                self.happen(kind)


def digest(value: Any) -> str:
    """One number for all bits of nested tensors and plain values."""
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return digest([(str(key), digest(one)) for key, one in value.items()])
    if isinstance(value, (list, tuple)):
        return hashlib.sha256(
            "".join(one if isinstance(one, str) else digest(one) for one in value).encode()
        ).hexdigest()
    return hashlib.sha256(repr(value).encode()).hexdigest()


def train(order: dict[str, Any], rank: int) -> None:
    """Train as one rank, and write what came of it."""
    folder, ranks = Path(order["folder"]), order["ranks"]
    if order.get("machines"):  # a rank each
        folder = folder.with_name(f"{folder.name}-{rank}")
        os.environ["LOCAL_RANK"] = "0"
    if ranks > 1:
        dist.init_process_group("gloo", init_method=f"file://{order['meet']}", rank=rank, world_size=ranks)
    random.seed(SEED + rank)
    np.random.seed(SEED + rank)
    torch.manual_seed(SEED)
    core = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))
    model: nn.Module = DistributedDataParallel(core, broadcast_buffers=False) if ranks > 1 else core
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    samples = Samples()
    sampler = DistributedSampler(samples, ranks, rank, seed=SEED) if ranks > 1 else None
    own = torch.Generator().manual_seed(SEED) if order.get("generator") else None
    shuffled = {"sampler": sampler, "shuffle": sampler is None, "generator": own}
    loader = StatefulDataLoader(samples, BATCH, num_workers=order["workers"], **shuffled)
    torch.manual_seed(SEED + 100 + rank)

    state = TorchState(model=model, optimizer=optimizer, scheduler=scheduler, loader=loader)
    bucket = order.get("bucket")
    remote = (
        S3Copies("s3://bucket/run", client=DiskS3(Path(bucket)), keep=2) if bucket and rank == 0 else None
    )
    if ranks > 1 and bucket:
        remote = remote or S3Copies("s3://bucket/run", client=DiskS3(Path(bucket)))
    victim, *kill = order.get("kill") or [-1]
    events = Events(kill if victim == rank else None, str(folder), bucket or "none")
    log = open(f"{order['result']}-{rank}.log", "a", buffering=1)  # noqa: PTH123, SIM115 - it lives as long as we
    with Training(state, folder, every=order.get("every", 4), remote=remote) as training:
        for epoch in training.epochs(order["epochs"]):
            samples.epoch = epoch
            if sampler:
                sampler.set_epoch(epoch)
            for indices, features, wanted in training.steps(loader):
                update = (training.step + 1) % ACCUMULATE == 0
                with nullcontext() if update or ranks == 1 else model.no_sync():  # type: ignore[operator]
                    guess = model(features * (1 + 0.01 * random.random() + 0.01 * np.random.rand()))  # noqa: S311
                    loss = nn.functional.mse_loss(guess, wanted)
                    (loss / ACCUMULATE).backward()
                events.happen("step")
                if update:
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
                log.write(f"{training.step} {loss.item().hex()} {indices.tolist()}\n")
                if order.get("sigterm") == [rank, training.step]:
                    os.kill(os.getpid(), signal.SIGTERM)
    final = {
        "weights": digest(core.state_dict()),
        "gradients": digest([one.grad for one in core.parameters()]),
        "optimizer": digest(optimizer.state_dict()),
        "scheduler": digest(scheduler.state_dict()),
        "random": digest([random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()]),
        "step": training.step,
    }
    Path(f"{order['result']}-{rank}.json").write_text(json.dumps({**final, "events": events.counts}))


def rank_process(order: dict[str, Any], rank: int) -> None:
    os.setpgid(0, 0)
    signal.alarm(120)
    status = 1
    try:
        train(order, rank)
        status = 0
    except Interrupted as stopped:
        status = int(stopped.code or 0)
    except BaseException as error:  # its text is the answer
        Path(f"{order['result']}-{rank}.error").write_text(f"{type(error).__name__}: {error}")
    os._exit(status)


def run(order: dict[str, Any]) -> list[int]:
    """Fork the ranks, and take the machine away where one of them was killed."""
    children = []
    for rank in range(order["ranks"]):
        child = os.fork()
        if not child:
            rank_process(order, rank)
        children.append(child)
    statuses = dict.fromkeys(children, 0)
    left = set(children)
    while left:
        pid, status = os.wait()
        statuses[pid] = os.waitstatus_to_exitcode(status)
        left.discard(pid)
        for child in children if statuses[pid] < 0 else [pid]:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # with its loader's workers
    return [statuses[child] for child in children]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(line))) + "\n")
        sys.stdout.flush()
