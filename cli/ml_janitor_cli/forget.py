"""`janitor forget`: a random id takes the place of a person's name in the ledger and in the kept reports."""

from __future__ import annotations

import gzip
import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Any

import typer
from boto3.dynamodb.conditions import And, Attr, ConditionBase

from ml_janitor.aws.calls import make_client
from ml_janitor.core.text import count_noun, escape_text
from ml_janitor.ledger.actions import Stage, UnverifiedError, sign_again
from ml_janitor.ledger.requests import REQUEST_KEY
from ml_janitor.ledger.signatures import Signatures
from ml_janitor.ledger.table import ConditionFailedError, Table
from ml_janitor_cli import edge
from ml_janitor_cli.ledger_session import LedgerAccess, ledger_command
from ml_janitor_cli.replay import BUCKET_VARIABLE

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

RESOURCE_ATTRIBUTES = {"pk", "sk", "arn", "key", "name"}
"""Attributes that name resources. A resource keeps its name."""

REPORT_ENDINGS = (".json", ".jsonl", ".html", ".csv")
HASHED_KEY = re.compile(r"\.[0-9a-f]{64}\.json$")
PACKED_ENTRIES = re.compile(r"H4sI[A-Za-z0-9+/]{20,}={0,2}")
"""The findings that a page holds as gzip in base64: its first three bytes are always the same."""

OUT_OF_REACH = (
    "It cannot reach: DynamoDB's point-in-time recovery (35 days), the functions' log groups (90 days), the "
    "queues of failed runs (14 days), presses of the last 7 days, messages in Slack, pictures of bills, "
    "lists of accounts and of objects in the report bucket (90 days), tags and names of resources, "
    "CloudTrail, and files that somebody downloaded."
)


@dataclass(frozen=True, slots=True)
class Replacement:
    """The id *instead* of *person*, a name or an address; the id of their Slack account goes with it."""

    person: str
    instead: str

    def text(self, text: str) -> str:
        """Return *text* with the id; a longer name that has the person's as a part stays."""
        whole = rf"(?<![\w.@+/:-]){re.escape(self.person)}(?: \([UW][A-Z0-9]+\))?(?![\w@/-]|\.\w)"
        return re.sub(whole, self.instead, text, flags=re.IGNORECASE)

    def value(self, value: Any) -> Any:
        """Return an attribute with the id, whatever its type; JSON in a text stays JSON."""
        match value:
            case str() if value[:1] in {"{", "["}:
                try:
                    inside = json.loads(value)
                except ValueError:
                    return self.text(value)
                return value if (again := self.value(inside)) == inside else json.dumps(again)
            case str():
                return self.text(value)
            case Mapping():
                return {key: self.value(own) for key, own in value.items()}
            case list() | set():
                return type(value)(map(self.value, value))
        return value

    def report(self, text: str) -> str:
        """Return a report with the id, its packed entries included."""

        def unpacked(found: re.Match[str]) -> str:
            entries = self.text(gzip.decompress(b64decode(found[0])).decode())
            return b64encode(gzip.compress(entries.encode(), mtime=0)).decode()

        return PACKED_ENTRIES.sub(unpacked, self.text(text))


@ledger_command
def forget(
    access: LedgerAccess,
    person: Annotated[str, edge.argument("PERSON", "A name or an address, as the ledger has it.")],
    *,
    bucket: Annotated[str | None, edge.option("NAME", f"The report bucket; else {BUCKET_VARIABLE}.")] = None,
    undo_key: edge.UndoKeyArn = None,
) -> int:
    """
    Replace a person's name by a random id in what is kept.

    That is the ledger and the kept reports. Signed records are verified first and signed again. Prints
    what it cannot reach.

    Exit status: 0, it is replaced; 1, not everywhere; 2, a key or the bucket is missing.
    """
    if not (reports := bucket or os.environ.get(BUCKET_VARIABLE)):
        raise edge.CommandRefusedError(
            f"no report bucket: give --bucket NAME or set {BUCKET_VARIABLE}; the deployment's output "
            "ReportBucket names it"
        )
    if not person.strip():
        raise edge.CommandRefusedError("PERSON: it is empty")
    replacement = Replacement(person.strip(), f"person-{token_hex(4)}")
    with access.open(f"forgetting {person}", undo_key=undo_key) as at:
        items, left = forget_in_ledger(at.table, at.signatures, replacement)
        region = at.table.client.meta.region_name
        client = make_client(edge.open_session(access.profile), "s3", region, edge.read_attempts())
        files = forget_in_reports(client, reports, replacement)
    shown = escape_text(person)
    typer.echo(
        f"{shown} is {replacement.instead} in {count_noun(items, 'item')} of the ledger and "
        f"{count_noun(files, 'report')}."
    )
    for why in left:
        typer.echo(f"Left as it is: {escape_text(why, 1000)}")
    typer.echo(OUT_OF_REACH)
    return int(bool(left))


def forget_in_ledger(table: Table, signatures: Signatures, replacement: Replacement) -> tuple[int, list[str]]:
    """Replace the person in the items of *table*. Return how many changed, and why the others did not."""
    changed, left = 0, list[str]()
    for item in table.scan():
        new = {
            name: again
            for name, value in item.items()
            if name not in RESOURCE_ATTRIBUTES and (again := replacement.value(value)) != value
        }
        if not new or item["pk"].startswith(f"{REQUEST_KEY}#"):  # a request is of a week at most, and signed
            continue
        where = f"{item['pk']} {item['sk']}"
        if item.get("stage") == Stage.UNDOING:
            left.append(f"{where}: it is being undone; run this again afterwards")
            continue
        try:
            new |= sign_again(signatures, item, {**item, **new})
            table.change(item["pk"], item["sk"], set_to=new, only_if=_as_read(item, new))
        except UnverifiedError:
            left.append(f"{where}: its signature does not verify, so it would not be the janitor's any more")
        except LookupError as error:
            left.append(f"{where}: it is signed, and {error.args[0]}")
        except ConditionFailedError:
            left.append(f"{where}: it was changed meanwhile; run this again")
        else:
            changed += 1
    return changed, left


def _as_read(item: Mapping[str, Any], names: Mapping[str, Any]) -> ConditionBase:
    """Return the condition that the attributes *names* are as in *item*."""
    first, *rest = (Attr(name).eq(item[name]) for name in names)
    condition: ConditionBase = first
    for other in rest:
        condition = And(condition, other)
    return condition


def forget_in_reports(client: S3Client, bucket: str, replacement: Replacement) -> int:
    """
    Replace the person in every report of *bucket*, and return how many changed.

    Files that the ledger names by their hash (`ledger.files`) stay: they hold accounts and keys, and changed
    they would count as missing.
    """
    changed = 0
    for key in _report_keys(client, bucket):
        answer = client.get_object(Bucket=bucket, Key=key)
        text = answer["Body"].read().decode()
        if (again := replacement.report(text)) != text:
            client.put_object(Bucket=bucket, Key=key, Body=again.encode(), ContentType=answer["ContentType"])
            changed += 1
    return changed


def _report_keys(client: S3Client, bucket: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = (entry["Key"] for entry in page.get("Contents", ()))
        yield from (key for key in keys if key.endswith(REPORT_ENDINGS) and not HASHED_KEY.search(key))
