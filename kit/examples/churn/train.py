"""
Logistic regression in plain Python that survives interruption: what `make kit` launches.

Its state is everything that the next step depends on: the weights, and the losses so far. The order of the
examples is that of (seed, epoch), so that a resumed epoch goes on in the same order.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import time
from pathlib import Path

from janitor_kit.spot import State, Training

RATE = 0.002


class Model(State):
    """Weights, and the mean loss of each epoch."""

    def __init__(self, features: int) -> None:
        self.weights = [0.0] * (features + 1)
        self.losses: list[float] = []
        self.running = [0.0, 0.0]

    def save(self, folder: Path | None) -> None:
        if folder is not None:
            self.write(folder / "model.json")

    def load(self, folder: Path) -> None:
        vars(self).update(json.loads((folder / "model.json").read_text()))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(vars(self)))

    def step(self, features: list[float], label: float) -> None:
        """One step of gradient descent."""
        inputs = [1.0, *features]
        guess = 1 / (1 + math.exp(-sum(w * x for w, x in zip(self.weights, inputs, strict=True))))
        self.running[0] -= math.log(guess if label else 1 - guess)
        self.running[1] += 1
        self.weights = [w + RATE * (label - guess) * x for w, x in zip(self.weights, inputs, strict=True)]

    def end_epoch(self, epoch: int) -> None:
        self.losses.append(self.running[0] / self.running[1])
        self.running = [0.0, 0.0]
        print(f"epoch {epoch} loss {self.losses[-1]:.4f}", flush=True)  # noqa: T201 - the job's log


def main() -> None:
    """Train as many epochs as asked for, and write the model."""
    options = argparse.ArgumentParser()
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--pause", type=float, default=0.0, help="seconds that each step takes longer")
    given = options.parse_args()
    data = Path(os.environ["SM_CHANNEL_TRAIN"]) / "examples.csv"
    with data.open(newline="") as lines:
        rows = [[float(one) for one in row] for row in csv.reader(lines)]

    model = Model(len(rows[0]) - 1)
    with Training(model, os.environ.get("CHECKPOINT_DIR", "/opt/ml/checkpoints")) as training:
        print(f"begins at step {training.step}", flush=True)  # noqa: T201 - the job's log
        for epoch in training.epochs(given.epochs):
            order = random.Random(f"{given.seed} {epoch}").sample(rows, len(rows))  # noqa: S311 - no secret
            for *features, label in training.steps(order):
                model.step(features, label)
                time.sleep(given.pause)
            model.end_epoch(epoch)
    model.write(Path(os.environ["SM_MODEL_DIR"]) / "model.json")


if __name__ == "__main__":
    main()
