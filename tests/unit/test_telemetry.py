"""The log and the metrics of a run: a line per sweep, values per run, and no name of a resource."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from fakes import UNTELLABLE, USED, logger_to, result_of, waste
from ml_janitor.core.model import Finding, Mode, Verdict
from ml_janitor.core.results import (
    Cause,
    CauseCode,
    LimitHit,
    Outcome,
    Result,
    Sweep,
    UnreachableUndos,
    make_cause,
)
from ml_janitor.report import telemetry
from tables import cases

HELD = (LimitHit(make_cause(CauseCode.MAX_ACTIONS, 2), 3), LimitHit(make_cause(CauseCode.SWEEP_INCOMPLETE)))
LOST = UnreachableUndos(detector="shelf", region=REGION, count=1, last="2026-10-01", until="2026-10-31")


def result(verdict: Verdict, outcome: Outcome | None = None, why: Cause | None = None) -> Result:
    usual = Outcome.WAITING if isinstance(verdict, Finding) else Outcome.KEPT
    return result_of("lamp of maria", verdict, outcome=outcome or usual, cause=why)


ALL = (
    result(waste("10"), Outcome.WARNED),
    result(waste("2"), Outcome.ACTED),
    result(waste(accrued="7.5"), Outcome.FAILED, make_cause(CauseCode.MAC_INVALID)),
    result(waste(None), Outcome.FAILED, make_cause(CauseCode.ACT_FAILED, "denied")),
    result(waste("1"), Outcome.WAITING, make_cause(CauseCode.MAC_MISSING, "12")),
    result(UNTELLABLE),
    result(USED),
)


def swept(*results: Result, mode: Mode = Mode.ACT, **more: Any) -> Sweep:
    return Sweep(detector="shelf", account=ACCOUNT, region=REGION, mode=mode, results=results, **more)


@pytest.mark.parametrize(("error", "level"), [(None, "INFO"), ("RuntimeError: broke", "ERROR")])
def test_the_log_has_one_line_of_counts_for_a_sweep(error: str | None, level: str) -> None:
    written = StringIO()
    logger = logger_to(written)
    sweep = swept(*ALL, error=error, held_back=HELD, unreachable=LOST)
    telemetry.log_sweep(logger, sweep, seconds=1.23456, new=2, note="a dry run")

    (line,) = map(json.loads, written.getvalue().splitlines())
    assert "maria" not in str(line)
    told = {key: one for key, one in line.items() if key not in {"location", "timestamp", "service"}}
    limits = told.pop("held_back")
    assert told == {
        "level": level,
        "message": "swept",
        "detector": "shelf",
        "account": ACCOUNT,
        "region": REGION,
        "mode": "act",
        "looked_at": 7,
        "found": 5,
        "new": 2,
        "kept": 2,
        "unknown": 1,
        "monthly_usd": 13.0,
        "accrued_usd": 7.5,
        "unpriced": 1,
        "seconds": 1.235,
        **({} if error is None else {"sweep_error": error}),
        "warned": 1,
        "acted": 1,
        "actionsfailed": 2,
        "note": "a dry run",
    }
    assert [one.split(" ")[0] for one in limits] == ["3", "nothing", "1"]


def metrics(
    capsys: pytest.CaptureFixture[str], write: Callable[[], None]
) -> list[tuple[str, dict[str, Any]]]:
    """The detector, if any, and the metrics of each line that *write* writes, with units but for counts."""
    write()
    found = []
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        (about,) = line["_aws"]["CloudWatchMetrics"]
        detector = line.get("detector", "")
        dimensions = [["detector"]] if detector else [[]]
        assert (about["Namespace"], about["Dimensions"]) == ("MLJanitor", dimensions)
        units = {one["Name"]: one["Unit"] for one in about["Metrics"]}
        values = {
            name: line[name][0] if unit == "Count" else (*line[name], unit) for name, unit in units.items()
        }
        found.append((detector, values))
    return found


def dry(*results: Result) -> Sweep:
    return swept(*results, mode=Mode.DRY_RUN)


@cases(
    "sweeps, expected",
    ([swept(*ALL, held_back=HELD)], [{"ActionsFailed": 2, "HeldBack": 2, "RecordsRefused": 2}]),
    ([dry(*ALL[5:]), dry(result(waste("1"), Outcome.WOULD_ACT))], []),
    ([dry(ALL[3])], [{"ActionsFailed": 1, "HeldBack": 0, "RecordsRefused": 0}]),
    ([swept(), dry()], [{"ActionsFailed": 0, "HeldBack": 0, "RecordsRefused": 0}]),
    ids=["armed", "dry", "what was disarmed fails to come back", "armed in one region"],
)
def test_alarms_watch_what_a_run_did_in_all_its_regions(
    capsys: pytest.CaptureFixture[str], sweeps: list[Sweep], expected: list[dict[str, int]]
) -> None:
    assert metrics(capsys, lambda: telemetry.measure_acts(sweeps)) == [("", each) for each in expected]


def test_the_other_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        telemetry.measure_detectors({"shelf": {"Found": 2, "MonthlyUsd": 10.5}, "loft": {"MonthlyUsd": 0.0}})
        telemetry.measure_refused()
        telemetry.measure_missed(3)

    assert metrics(capsys, write) == [
        ("shelf", {"Found": 2, "MonthlyUsd": (10.5, "None")}),
        ("loft", {"MonthlyUsd": (0.0, "None")}),
        ("", {"RecordsRefused": 1}),
        ("", {"SweepsMissed": 3}),
    ]
