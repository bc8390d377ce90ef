"""The Lambda edges: read the event, the environment and the settings; everything else happens below."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from janitor.account import identity, opened
from janitor.aws import DEFAULT_ATTEMPTS
from janitor.engine import run
from janitor.model import Report, Unreadable, Value
from janitor.settings import FILE, Settings


class SweepEvent(BaseModel):
    """
    What the schedule sends: *time* is the scheduler's, and becomes the sweep's `now`.

    *regions* replace the deployment's own for one run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: AwareDatetime
    regions: tuple[str, ...] = ()


def sweep(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Run the detector that JANITOR_DETECTOR names, and answer with its counts."""
    asked = SweepEvent.model_validate(event)
    root = Path(os.environ.get("LAMBDA_TASK_ROOT", "."))
    settings = Settings.load(files=[path for path in [root / FILE] if path.exists()])
    report = sweep_once(os.environ["JANITOR_DETECTOR"], settings, asked.regions, asked.time)
    return answer(report)


def sweep_once(name: str, settings: Settings, regions: tuple[str, ...], now: datetime) -> Report:
    """One detector over *regions*, else the settings' regions, else the function's own."""
    import boto3

    session = boto3.Session()
    where = regions or tuple(settings.janitor.regions) or (str(session.region_name),)
    whose = identity(session, where[0], DEFAULT_ATTEMPTS)
    match whose:
        case Value(account):
            detectors = [detector for detector in settings.enabled() if detector.name == name]
            with opened(session, account=account, regions=where, attempts=DEFAULT_ATTEMPTS) as accounts:
                return run(detectors, accounts, now=now, policy=settings.policy)
        case Unreadable(error):
            raise RuntimeError(f"the function's own account is unknown: {error}")
        case _:
            raise AssertionError("identity() answers Value or Unreadable")


def answer(report: Report) -> dict[str, Any]:
    """Counts only: an invocation's answer has a size limit, an account's waste has none."""
    return {
        "time": report.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "account": report.account,
        "sweeps": [
            {
                "detector": sweep.detector,
                "region": sweep.region,
                "looked_at": sweep.looked_at,
                "found": sweep.found,
                "kept": sweep.kept,
                "unknown": sweep.unknown,
                "error": sweep.error,
            }
            for sweep in report.sweeps
        ],
    }
