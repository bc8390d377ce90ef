"""S3 as a folder: what the kit asks of boto3's client, with objects that are there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class DiskS3:
    """A client whose buckets are folders of *root*."""

    def __init__(self, root: Path, *, page: int = 3) -> None:
        self._root = root
        self._page = page

    def upload_file(self, filename: str, bucket: str, key: str) -> None:
        target = self._root / bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        part = self._root / "parts" / f"{len(key)}-{target.name}"
        part.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(filename, part)
        part.rename(target)

    def download_file(self, bucket: str, key: str, filename: str) -> None:
        shutil.copyfile(self._root / bucket / key, filename)

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803 - boto3's names
        (self._root / Bucket / Key).unlink(missing_ok=True)

    def get_paginator(self, operation: str) -> DiskS3:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        bucket = self._root / Bucket
        keys = sorted(str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())
        keys = [key for key in keys if key.startswith(Prefix)]
        for start in range(0, len(keys), self._page):
            yield {"Contents": [{"Key": key} for key in keys[start : start + self._page]]}
        if not keys:
            yield {}
