"""
Runs the kit's example in the sandbox, once undisturbed and once interrupted, and compares both: `make kit`.

Prints what each was billed, and draws into the file that is its argument the loss of each epoch in both, and
where the interrupted one began again.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from ml_janitor_sandbox.control import Control

ROOT = Path(__file__).parent.parent
JOB = ROOT / "kit" / "examples" / "churn" / "job.toml"
GROUP = "/aws/sagemaker/TrainingJobs"
INTERRUPT_AFTER = (3, 10)
"""The spot instance is taken away when these epochs are over."""
EXAMPLES = 200
"""And as many steps in an epoch."""
PATIENCE = 300.0
OVER = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class Trained:
    """What became of a job."""

    job: dict[str, Any]
    log: list[str]
    losses: list[float]
    usd: float

    @property
    def begins(self) -> list[int]:
        """The step at which each attempt began."""
        return [int(line.split()[-1]) for line in self.log if line.startswith("begins at step")]


def main(drawing: Path) -> int:
    """Run both jobs, say how they compare, and draw the picture; 1 if the losses differ."""
    control = Control(os.environ["AWS_ENDPOINT_URL"])
    control.set_durations({"training.capacity": 300})
    s3 = client("s3")
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="data/examples.csv", Body=examples().encode())
    calm = follow(control, launch("--on-demand"))
    spot = follow(control, launch(), interrupt_after=INTERRUPT_AFTER)
    print(compared(calm, spot))
    if calm.losses != spot.losses or len(spot.begins) != len(INTERRUPT_AFTER) + 1:
        print("\n".join([*calm.log, "", *spot.log]))
        return 1
    drawing.write_text(picture(calm.losses, [step / EXAMPLES - 1 for step in spot.begins[1:]]))
    print(f"The same loss in each of {len(calm.losses)} epochs, bit for bit: {drawing}")
    return 0


@cache
def client(service: str) -> Any:
    """A client against the sandbox."""
    return boto3.Session().client(service)  # type: ignore[call-overload]  # by a name that is a variable


def examples() -> str:
    """Customers by three features, and whether they leave, which the first two decide with some noise."""
    drawn = random.Random(7)  # noqa: S311 - no secret
    rows = []
    for _ in range(EXAMPLES):
        features = [drawn.gauss(0, 1) for _ in range(3)]
        leaves = 1.5 * features[0] - features[1] + drawn.gauss(0, 0.7) > 0
        rows.append(",".join(f"{one:.6f}" for one in (*features, leaves)))
    return "\n".join(rows) + "\n"


def launch(*flags: str) -> str:
    """The ARN of a job that `janitor-kit launch` created; its estimate is printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "kit" / "src")}
    command = [sys.executable, "-m", "janitor_kit.cli", "launch", str(JOB), *flags]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
    print(f"$ janitor-kit launch job.toml {' '.join(flags)}\n{done.stdout}")
    return done.stdout.split()[-1]


def follow(control: Control, arn: str, interrupt_after: Sequence[int] = ()) -> Trained:
    """Wait for a job, and interrupt it whenever one of these epochs is over."""
    sagemaker, name, waiting = client("sagemaker"), arn.rpartition("/")[2], list(interrupt_after)
    deadline = time.monotonic() + PATIENCE
    while (job := sagemaker.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] not in OVER:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is still {job['SecondaryStatus']}")
        if waiting and any(line.startswith(f"epoch {waiting[0]} ") for line in log(name)):
            waiting.pop(0)
            control.interrupt(arn)
        time.sleep(0.05)
    if job["TrainingJobStatus"] != "Completed":
        raise RuntimeError(f"{name}: {job.get('FailureReason')}\n" + "\n".join(log(name)))
    billed = [one for one in control.charges() if one.get("resource") == arn]
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    packed = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile("model.json")
        assert member is not None  # noqa: S101 - for the type checker
        losses = json.loads(member.read())["losses"]
    return Trained(dict(job), log(name), losses, sum(dollars(one) for one in billed))


def dollars(charge: dict[str, Any]) -> float:
    """What a charge comes to: its hours at its price."""
    hours = (datetime.fromisoformat(charge["end"]) - datetime.fromisoformat(charge["start"])) / timedelta(
        hours=1
    )
    return float(charge["hourly"]) * float(charge["price"]) * hours


def log(name: str) -> list[str]:
    """What a job has printed, attempt after attempt."""
    logs = client("logs")
    streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
    lines: list[str] = []
    for stream in sorted(one["logStreamName"] for one in streams):
        found = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
        lines += [one["message"] for one in found["events"]]
    return lines


def compared(calm: Trained, spot: Trained) -> str:
    """Both runs side by side, and what spot saved."""
    rows = [
        ("", "undisturbed, on demand", "interrupted, on spot"),
        ("status", *(one.job["TrainingJobStatus"] for one in (calm, spot))),
        ("begun at steps", *(", ".join(map(str, one.begins)) for one in (calm, spot))),
        ("last loss", *(f"{one.losses[-1]:.6f}" for one in (calm, spot))),
        ("trained", *(f"{one.job['TrainingTimeInSeconds']} s" for one in (calm, spot))),
        ("billed", *(f"{one.job['BillableTimeInSeconds']} s" for one in (calm, spot))),
        ("cost", *(f"${one.usd:.4f}" for one in (calm, spot))),
    ]
    saved = 1 - spot.usd / calm.usd
    table = "\n".join(f"{name:16}{left:>24}{right:>24}" for name, left, right in rows)
    return f"{table}\n\nSpot saved {saved:.0%} of the cost, its {len(spot.begins) - 1} restarts included."


# --- the picture ---------------------------------------------------------------------------------

WIDE, HIGH, LEFT, TOP, BOTTOM = 760, 300, 56, 40, 44
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #5b6470 }
  .calm { fill: none; stroke: #e2811d; stroke-width: 7; opacity: .45 }
  .spot { fill: none; stroke: #424fc9; stroke-width: 2 }
  .grid { stroke: #dfe3e8 } .cut { stroke: #8a929c; stroke-dasharray: 4 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9aa4b1 } .calm { stroke: #f2ae25 } .spot { stroke: #6eb0f2 } .grid { stroke: #313842 }
  }
"""


def picture(losses: Sequence[float], interrupted: Sequence[float]) -> str:
    """The loss at the end of each epoch as SVG: the undisturbed run broad, and the interrupted one on it."""
    most, least = max(losses) * 1.05, min(losses) * 0.9
    across = (WIDE - LEFT - 20) / (len(losses) - 1)

    def at(epoch: float, loss: float) -> str:
        return (
            f"{LEFT + epoch * across:.1f},{TOP + (most - loss) / (most - least) * (HIGH - TOP - BOTTOM):.1f}"
        )

    points = " ".join(at(epoch, loss) for epoch, loss in enumerate(losses))
    parts = [f'<polyline class="{kind}" points="{points}"/>' for kind in ("calm", "spot")]
    for one in interrupted:
        x = at(one, least).partition(",")[0]
        parts += [
            f'<line class="cut" x1="{x}" x2="{x}" y1="{TOP}" y2="{HIGH - BOTTOM}"/>',
            f'<text x="{x}" y="{TOP - 6}" text-anchor="middle">interrupted, resumed</text>',
        ]
    for tick in range(5):
        loss = least + (most - least) * tick / 4
        y = at(0, loss).partition(",")[2]
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{WIDE - 20}" y1="{y}" y2="{y}"/>',
            f'<text x="{LEFT - 8}" y="{y}" dy="4" text-anchor="end">{loss:.2f}</text>',
        ]
    label = "Loss by epoch: the interrupted run and the undisturbed one are the same line"
    parts += [
        f'<text x="{LEFT}" y="{HIGH - 14}">epoch 0</text>',
        f'<text x="{WIDE - 20}" y="{HIGH - 14}" text-anchor="end">{len(losses) - 1}</text>',
        f'<text x="{WIDE / 2}" y="{HIGH - 14}" text-anchor="middle">broad: undisturbed, thin: spot</text>',
    ]
    about = f'viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{label}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {about}>'
    return re.sub(r"\n\s*\n", "\n", "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
