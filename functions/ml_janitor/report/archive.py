"""The archive of whole reports in the janitor's own bucket: one JSON document and one page per sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_janitor.core.results import Report
from ml_janitor.report import json as document
from ml_janitor.report.html import render_html

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Archive:
    """An archive in *bucket*, through *client*."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(self, report: Report, *, folder: str) -> str:
        """
        Put *report* under *folder*, by its time; return its address.

        The same run put again replaces itself, so a retry leaves one report.
        """
        where = f"{folder}/{report.time:%Y-%m-%dT%H-%M-%SZ}"
        for ending, kind, text in (
            ("json", "application/json", document.report_json(report, every=True)),
            ("html", "text/html; charset=utf-8", render_html(report)),
        ):
            self._client.put_object(
                Bucket=self._bucket, Key=f"{where}.{ending}", Body=text.encode(), ContentType=kind
            )
        return f"s3://{self._bucket}/{where}.html"
