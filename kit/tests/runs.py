"""Orders to trainer.py, and what became of them."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass
class Trainers:
    """The program that forks a process for each rank."""

    process: subprocess.Popen[str]

    def train(self, home: Path, **order: Any) -> list[int]:
        """Run once, with its checkpoints, bucket and results in *home*; the ranks' exit statuses."""
        home.mkdir(exist_ok=True)
        (home / "meet").unlink(missing_ok=True)
        defaults = {
            "ranks": 1,
            "workers": 2,
            "epochs": 2,
            "meet": str(home / "meet"),
            "result": str(home / "rank"),
        }
        order = {**defaults, "folder": str(home / "checkpoints"), **order}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        statuses: list[int] = json.loads(self.process.stdout.readline())
        if not any(status < 0 for status in statuses):  # else the others only say that they lost a peer
            errors = [error.read_text() for error in home.glob("*.error")]
            assert not errors, errors
        return statuses


@contextmanager
def trainers() -> Iterator[Trainers]:
    path = os.pathsep.join((str(HERE), str(HERE.parent / "src")))
    command = [sys.executable, "-W", "ignore", str(HERE / "trainer.py")]
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        yield Trainers(process)
        assert process.stdin
        process.stdin.close()


def outcome(home: Path, ranks: int) -> list[tuple[dict[str, Any], list[str]]]:
    """What each rank ended with, and its losses and samples by step: a repeated step gives the same."""
    results = []
    for rank in range(ranks):
        final = json.loads((home / f"rank-{rank}.json").read_text())
        final.pop("events")
        results.append((final, sorted(set((home / f"rank-{rank}.log").read_text().splitlines()))))
    return results


def damage(home: Path, chance: random.Random) -> str:
    """Do to the newest checkpoint, or to the whole disk, what a lost machine may do."""
    folder = home / "checkpoints"
    kept = sorted(folder.glob("step-*")) if folder.exists() else []
    what = chance.choice(["nothing", "nothing", "truncated", "zeroed", "half-renamed", "disk lost"])
    if what == "disk lost":
        shutil.rmtree(folder, ignore_errors=True)
    elif what == "nothing" or not kept:
        return "nothing"
    elif what == "half-renamed":
        if (kept[-1] / "manifest.json").exists():
            (kept[-1] / "manifest.json").rename(kept[-1] / "manifest.json.new")
    else:
        file = chance.choice(sorted(kept[-1].iterdir()))
        size = file.stat().st_size
        file.write_bytes(file.read_bytes()[: size // 2] if what == "truncated" else bytes(size))
    return what


def survive(trainers: Trainers, home: Path, *, ranks: int, kills: int, seed: int) -> dict[str, int]:
    """Kill runs *kills* times, and compare each with an undisturbed one; what happened how often."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    bucket = str(home / "bucket")
    assert trainers.train(home / "whole", ranks=ranks, bucket=bucket + "-whole") == [0] * ranks
    undisturbed = outcome(home / "whole", ranks)
    events = json.loads((home / "whole" / "rank-0.json").read_text())["events"]
    killed = dict.fromkeys(("step", "save", "upload"), 0)
    damaged: dict[str, int] = {}
    run = in_this_run = 0
    while sum(killed.values()) < kills or in_this_run:
        here = home / f"run-{run}"
        order: dict[str, Any] = {"ranks": ranks, "bucket": f"{bucket}-{run}"}
        if in_this_run < 4 and sum(killed.values()) < kills:
            kind = min(killed, key=lambda kind: (killed[kind], chance.random()))
            victim = chance.randrange(ranks) if kind == "step" else 0
            order["kill"] = [victim, kind, chance.randint(1, max(1, events[kind] // 2))]
        statuses = trainers.train(here, **order)
        if statuses == [0] * ranks:
            assert outcome(here, ranks) == undisturbed, f"seed {seed}, run {run}"
            run, in_this_run = run + 1, 0
            continue
        assert -9 in statuses
        killed[order["kill"][1]] += 1
        in_this_run += 1
        done = damage(here, chance)
        damaged[done] = damaged.get(done, 0) + 1
        for error in here.glob("*.error"):
            error.unlink()
    return {**killed, **damaged}
