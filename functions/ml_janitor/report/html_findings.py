"""Findings of the HTML report: the fields of a row, and the data for the page's script."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ml_janitor.aws.arns import Arn
from ml_janitor.core.money import ranking_usd
from ml_janitor.core.ownership import protection_evidence, team_of
from ml_janitor.core.results import Result
from ml_janitor.core.signals import Evidence
from ml_janitor.core.text import escape_text, format_time
from ml_janitor.report.finding_words import (
    cost_text,
    instead_sentence,
    place_text,
    require_finding,
    work_text,
)
from ml_janitor.report.outcomes import needs_attention, outcome_text, status_word

if TYPE_CHECKING:
    from markupsafe import Markup

COMMAND_PATTERN = re.compile(r"(janitor (?:approve|undo|restart) [a-z0-9-]+)")

CONSOLE_PAGES = {
    "endpoint": "endpoints",
    "endpoint-config": "endpointConfig",
    "model": "models",
    "notebook-instance": "notebook-instances",
    "training-job": "jobs",
    "processing-job": "processing-jobs",
    "transform-job": "transform-jobs",
    "hyper-parameter-tuning-job": "hyper-tuning-jobs",
    "app": "studio",
    "space": "studio",
    "domain": "studio",
}
"""Pages of the SageMaker console; apps and spaces link to the page of their domain."""

CONSOLE_HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}

TABLE_FILTERS = ("detector", "account", "owner", "team", "confidence", "status")


def finding_fields(number: int, result: Result, *, accounts: bool = False) -> dict[str, Any]:
    """Return the fields that a table row shows, and by which the page's script sorts and filters."""
    verdict = require_finding(result)
    amount, worth = ranking_usd(result), result.usd_per_hour
    return {
        "number": number,
        "detector": result.detector,
        "name": escape_text(result.target.name),
        "arn": escape_text(result.target.arn),
        "link": console_link(result.target.arn, result.target.name, result.target.region),
        "account": escape_text(result.target.account),
        "place": place_text(result.target, accounts=accounts),
        "owner": escape_text(result.owner or ""),
        "team": escape_text(team_of(result.target) or ""),
        "confidence": verdict.confidence.value,
        "reason": escape_text(verdict.reason),
        "status": status_word(result),
        "urgent": needs_attention(result),
        "became": mark_commands(outcome_text(result)),
        "since": format_time(verdict.since) if verdict.since else "",
        "created": format_time(result.target.created) if result.target.created else "",
        "cost": cost_text(result),
        "work": work_text(result),
        "worth": float(worth) if worth is not None else -1.0,
        "instead": instead_sentence(result),
        "usd": float(amount) if amount is not None else -1.0,
        "marks": [escape_text(f"{mark.signal}: {mark.value}") for mark in protection_evidence(result.target)],
        "evidence": [signal_fields(item) for item in verdict.evidence],
    }


def signal_fields(item: Evidence) -> dict[str, str]:
    """Return the name of one signal, and its value or why it could not be read."""
    value = f"could not be read: {item.error}" if item.error else str(item.value)
    return {"signal": escape_text(item.signal), "value": escape_text(value)}


def script_entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by which the page's script sorts, filters, finds and unfolds a table row."""
    known = ("number", "name", "usd", "worth", *TABLE_FILTERS, "evidence", "arn")
    parts = ("name", "detector", "place", "owner", "team", "reason")
    text = " ".join([*(row[part] for part in parts), row["became"].striptags()])
    return {**{name: row[name] for name in known}, "text": text}


def pack_entries(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return *entries* as compressed JSON in ASCII: a page with 20,000 findings opens without delay."""
    if not entries:
        return ""
    return b64encode(gzip.compress(json.dumps(entries).encode(), mtime=0)).decode()


def mark_commands(text: str) -> Markup:
    """Return *text* without markup, and with terminal commands marked as code."""
    from markupsafe import Markup, escape

    return Markup(COMMAND_PATTERN.sub(r"<code>\1</code>", str(escape(escape_text(text, 1500)))))  # noqa: S704 - escaped here


def console_link(arn: str, name: str, region: str) -> str:
    """Return the console address of the resource *arn*, called *name*; by ARN where its page is not known."""
    parsed = Arn.parse(arn)
    host = CONSOLE_HOSTS.get(parsed.partition, CONSOLE_HOSTS["aws"])
    first, _, rest = parsed.name.partition("/")
    match parsed.service, parsed.kind:
        case "sagemaker", kind if kind in CONSOLE_PAGES:
            shown = first if CONSOLE_PAGES[kind] == "studio" else name
            path = f"sagemaker/home?region={region}#/{CONSOLE_PAGES[kind]}/{quote(shown, safe='')}"
        case "s3", "bucket":
            path = f"s3/buckets/{quote(first)}?region={region}"
        case "s3", "object":
            path = f"s3/object/{quote(first)}?region={region}&prefix={quote(rest, safe='')}"
        case "ecr", _:
            repository = f"{parsed.account}/{quote(parsed.name, safe='')}"
            path = f"ecr/repositories/private/{repository}?region={region}"
        case _:
            return f"https://{host}/go/view?arn={quote(arn, safe='')}"
    return f"https://{region}.{host}/{path}"
