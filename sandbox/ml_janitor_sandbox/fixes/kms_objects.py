"""S3 objects encrypted with SSE-KMS: their ETag is not the MD5 of their bytes."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from moto.s3.models import FakeKey

from ml_janitor_sandbox.fixes.object_versions import apart
from ml_janitor_sandbox.patches import replaces

KMS = ("aws:kms", "aws:kms:dsse")
_puts = itertools.count()
_init = FakeKey.__init__


@replaces("moto.s3.models:FakeKey.__init__", was="cd9d1347667a")
def born(self: Any, *args: Any, **members: Any) -> None:
    """
    As moto's, and under a KMS key with an ETag that differs from put to put, also for equal bytes.

    "Objects ... encrypted by SSE-C or SSE-KMS have ETags that are not an MD5 digest of their object
    data" (API reference of Object). That of a multipart upload goes on ending in the number of parts.
    """
    _init(self, *args, **members)
    self.last_modified = apart(self.last_modified)
    if self.encryption in KMS:
        _, dash, parts = (self._etag or "").partition("-")
        opaque = hashlib.sha256(f"{self.bucket_name}/{self.name}/{next(_puts)}".encode()).hexdigest()[:32]
        self._etag = f"{opaque}{dash}{parts}"
