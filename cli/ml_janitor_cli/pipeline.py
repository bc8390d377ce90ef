"""The gate that ends a pipeline after an audit, the findings as CSV, and a summary in Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from ml_janitor.core.model import Confidence
from ml_janitor.core.money import Totals, rank_by_cost
from ml_janitor.core.ownership import STAGE_KEYS, tag_called, team_of
from ml_janitor.core.results import Report, Result
from ml_janitor.core.text import count_noun, escape_markdown, escape_text, format_time, format_usd, quote_cell
from ml_janitor.report.finding_words import cost_text, owner_text, report_scope, require_finding, sums_text
from ml_janitor.report.json import REPORT_VERSION, hourly_usd, iso_time, usd_number
from ml_janitor_cli import edge

GATE_STATUS = 3
"""The exit status of an audit that its gate ended."""

# --- gate -----------------------------------------------------------------------------------------


class FailOn(StrEnum):
    """The findings that end a pipeline: the proven ones, or the likely ones too."""

    PROVEN = "proven"
    LIKELY = "likely"


SURE_WORDS = {FailOn.PROVEN: "proven", FailOn.LIKELY: "at least likely"}

type GateKey = tuple[str, str, str, str]
"""A finding by detector, account, ARN and creation time: what is created anew is a new finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """
    The findings that end a pipeline: those as sure as *on*, and all if they cost more than *over* a month.

    Findings in *known*, an earlier report, do not count.
    """

    on: FailOn | None = None
    over: Decimal | None = None
    known: frozenset[GateKey] = frozenset()

    def why(self, report: Report) -> str | None:
        """Say in a line why *report* does not pass; None if it passes."""
        new = [result for result in report.findings if gate_key(result) not in self.known]
        said = "new finding" if self.known else "finding"
        reasons = []
        if self.on is not None:
            sure = [
                result
                for result in new
                if self.on is FailOn.LIKELY or require_finding(result).confidence is Confidence.PROVEN
            ]
            if sure:
                first = min(sure, key=rank_by_cost)
                cost = sums_text(Totals.of(sure))
                reasons.append(
                    f"{count_noun(len(sure), said)} {SURE_WORDS[self.on]}{f', {cost}' if cost else ''}; "
                    f"the dearest is {first.target.name} ({first.detector})"
                )
        monthly = Totals.of(new).monthly_usd
        if self.over is not None and monthly > self.over:
            reasons.append(
                f"{count_noun(len(new), said)} for {format_usd(monthly)} a month, "
                f"more than {format_usd(self.over)}"
            )
        return "; ".join(reasons) or None


def make_gate(fail_on: FailOn | None, fail_over: float | None, new_since: Path | None) -> Gate | None:
    """Return the gate that the options describe, if any. Raises CommandRefusedError."""
    if fail_on is None and fail_over is None:
        if new_since is not None:
            raise edge.CommandRefusedError("--new-since goes with --fail-on or --fail-over")
        return None
    known = frozenset[GateKey]() if new_since is None else read_known(new_since)
    over = None if fail_over is None else Decimal(str(fail_over))
    return Gate(on=fail_on, over=over, known=known)


def gate_key(result: Result) -> GateKey:
    """Return the identity of the finding *result*."""
    target = result.target
    return result.detector, target.account, target.arn, iso_time(target.created) or ""


def read_known(path: Path) -> frozenset[GateKey]:
    """Read the findings of an earlier report, as --json-file wrote it. Raises CommandRefusedError."""
    try:
        text = path.read_text("utf-8")
        documents = (
            [json.loads(line) for line in text.splitlines()]
            if path.suffix == ".jsonl"
            else [json.loads(text)]
        )
        head, *lines = documents
        written = head["version"] if "version" in head else head["schema_version"]
        if written != REPORT_VERSION or "version" in head:
            release = "an earlier" if "version" in head or written < REPORT_VERSION else "a later"
            raise edge.CommandRefusedError(
                f"--new-since: {path} is from {release} version; write it again: "
                "janitor audit --json-file FILE"
            )
        return frozenset(
            (each["detector"], each["account"] or "", each["arn"], each["created"] or "")
            for each in (lines if path.suffix == ".jsonl" else head["results"])
            if each["confidence"] is not None
        )
    except OSError as error:
        raise edge.CommandRefusedError(f"--new-since: {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise edge.CommandRefusedError(
            f"--new-since: {path} is not a report that `janitor audit --json-file` wrote"
        ) from error


# --- files ----------------------------------------------------------------------------------------

CSV_COLUMNS = (
    "detector",
    "account",
    "region",
    "name",
    "arn",
    "owner",
    "team",
    "project",
    "environment",
    "confidence",
    "since",
    "monthly_usd",
    "accrued_usd",
    "hourly_usd",
    "once_usd",
    "exposure_usd",
    "hours_of_work",
    "reason",
    "action",
)

MARKDOWN_FINDINGS = 20
"""The findings of a summary: GitHub takes 1 MiB a step, and a reader less."""


def report_csv(report: Report) -> str:
    """Write the findings of *report* as CSV, the dearest first. No cell is taken for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow(CSV_COLUMNS)
    for result in sorted(report.findings, key=rank_by_cost):
        row = _row(result)
        cells = (row[name] for name in CSV_COLUMNS)
        writer.writerow([quote_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()


def _row(result: Result) -> dict[str, Any]:
    finding, target = require_finding(result), result.target
    return {
        "detector": result.detector,
        "account": target.account,
        "region": target.region,
        "name": target.name,
        "arn": target.arn,
        "owner": result.owner or "",
        "team": team_of(target) or "",
        "project": tag_called(target, "project") or "",
        "environment": next(filter(None, (tag_called(target, key) for key in sorted(STAGE_KEYS))), ""),
        "confidence": finding.confidence.value,
        "since": iso_time(finding.since) or "",
        "monthly_usd": usd_number(result.monthly_usd),
        "accrued_usd": usd_number(result.accrued_usd),
        "hourly_usd": usd_number(hourly_usd(result)),
        "once_usd": usd_number(result.cost.once_usd if result.cost else None),
        "exposure_usd": usd_number(result.cost.exposure_usd if result.cost else None),
        "hours_of_work": result.hours,
        "reason": finding.reason,
        "action": finding.action,
    }


def report_markdown(report: Report) -> str:
    """Write a summary of *report* in Markdown: its sums, what costs most, and what could not be read."""
    return "\n".join([*_markdown_lines(report), ""])


def _markdown_lines(report: Report) -> Iterator[str]:
    found = sorted(report.findings, key=rank_by_cost)
    sums = sums_text(Totals.of(report.results))
    yield f"## ML Janitor: {count_noun(len(found), 'finding')}{f', {sums}' if sums else ''}"
    yield ""
    yield f"{escape_markdown(report_scope(report))}, {format_time(report.time)}. Nothing was changed."
    if found:
        yield ""
        yield "| cost | resource | owner | detector | what would be done |"
        yield "| --- | --- | --- | --- | --- |"
        for result in found[:MARKDOWN_FINDINGS]:
            cells = (
                cost_text(result),
                result.target.name,
                owner_text(result),
                result.detector,
                require_finding(result).action,
            )
            yield f"| {' | '.join(escape_markdown(escape_text(cell, 200)) for cell in cells)} |"
        if (more := len(found) - MARKDOWN_FINDINGS) > 0:
            yield ""
            yield f"{more} more are in the report."
    if errors := [sweep for sweep in report.sweeps if sweep.error is not None]:
        yield ""
        yield f"**{count_noun(len(errors), 'sweep')} could not read everything:**"
        yield ""
        for sweep in errors[:MARKDOWN_FINDINGS]:
            said = f"{sweep.detector} in {sweep.region}: {sweep.error}"
            yield f"- {escape_markdown(escape_text(said, 300))}"
