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
from ml_janitor.core.model import Finding
from ml_janitor.core.money import dollars
from ml_janitor.core.ownership import marks, team
from ml_janitor.core.results import Result
from ml_janitor.core.signals import Evidence
from ml_janitor.core.text import moment, plain
from ml_janitor.report.finding_words import instead_of, place, price, work
from ml_janitor.report.outcomes import became, needs_a_look, status

if TYPE_CHECKING:
    from markupsafe import Markup

COMMAND = re.compile(r"(janitor (?:approve|undo|restart) [a-z0-9-]+)")

PAGES = {
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

HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}

FILTERS = ("detector", "account", "owner", "team", "confidence", "status")


def row(number: int, result: Result, *, accounts: bool = False) -> dict[str, Any]:
    """Return the fields that a table row shows, and by which the page's script sorts and filters."""
    verdict = result.verdict
    if not isinstance(verdict, Finding):
        raise TypeError("only findings have a row")
    amount, worth = dollars(result), result.usd_per_hour
    return {
        "number": number,
        "detector": result.detector,
        "name": plain(result.target.name),
        "arn": plain(result.target.arn),
        "link": console_link(result.target.arn, result.target.name, result.target.region),
        "account": plain(result.target.account),
        "place": place(result.target, accounts=accounts),
        "owner": plain(result.owner or ""),
        "team": plain(team(result.target) or ""),
        "confidence": verdict.confidence.value,
        "reason": plain(verdict.reason),
        "status": status(result),
        "urgent": needs_a_look(result),
        "became": commands(became(result)),
        "since": moment(verdict.since) if verdict.since else "",
        "created": moment(result.target.created) if result.target.created else "",
        "cost": price(result),
        "work": work(result),
        "worth": float(worth) if worth is not None else -1.0,
        "instead": instead_of(result),
        "usd": float(amount) if amount is not None else -1.0,
        "marks": [plain(f"{mark.signal}: {mark.value}") for mark in marks(result.target)],
        "evidence": [shown(item) for item in verdict.evidence],
    }


def shown(item: Evidence) -> dict[str, str]:
    """Return the name of one signal, and its value or why it could not be read."""
    value = f"could not be read: {item.error}" if item.error else str(item.value)
    return {"signal": plain(item.signal), "value": plain(value)}


def entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by which the page's script sorts, filters, finds and unfolds a table row."""
    known = ("number", "name", "usd", "worth", *FILTERS, "evidence", "arn")
    parts = ("name", "detector", "place", "owner", "team", "reason")
    text = " ".join([*(row[part] for part in parts), row["became"].striptags()])
    return {**{name: row[name] for name in known}, "text": text}


def packed(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return *entries* as compressed JSON in ASCII: a page with 20,000 findings opens without delay."""
    if not entries:
        return ""
    return b64encode(gzip.compress(json.dumps(entries).encode(), mtime=0)).decode()


def commands(text: str) -> Markup:
    """Return *text* without markup, and with terminal commands marked as code."""
    from markupsafe import Markup, escape

    return Markup(COMMAND.sub(r"<code>\1</code>", str(escape(plain(text, 1500)))))  # noqa: S704 - escaped here


def console_link(arn: str, name: str, region: str) -> str:
    """Return the console address of the resource *arn*, called *name*; by ARN where its page is not known."""
    parsed = Arn.parse(arn)
    host = HOSTS.get(parsed.partition, HOSTS["aws"])
    first, _, rest = parsed.name.partition("/")
    match parsed.service, parsed.kind:
        case "sagemaker", kind if kind in PAGES:
            shown = first if PAGES[kind] == "studio" else name
            path = f"sagemaker/home?region={region}#/{PAGES[kind]}/{quote(shown, safe='')}"
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
