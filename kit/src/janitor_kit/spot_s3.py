"""
Checkpoints in S3, copied in the background, for a machine whose disk is lost with it.

    Training(state, "checkpoints", remote=S3Copies("s3://bucket/runs/17"))

A managed training job on SageMaker needs none of this: SageMaker copies `/opt/ml/checkpoints` to the job's
CheckpointConfig and back by itself, file by file, and what it tears is passed over. Here the manifest is put
last, so that a checkpoint is whole in S3 as soon as it has one. Needs boto3.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from janitor_kit.checkpoint import MANIFEST, NAME, Checkpoints, TornError, check, read_manifest

_log = logging.getLogger(__name__)


class S3Copies:
    """The checkpoints under one prefix, of which the newest *keep* stay."""

    def __init__(
        self, uri: str, *, client: Any = None, keep: int = 3, clock: Callable[[], float] = time.monotonic
    ) -> None:
        scheme, _, rest = uri.partition("://")
        self._bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not self._bucket or not prefix.strip("/"):
            raise ValueError(f"{uri!r} is not like s3://bucket/prefix")
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least one checkpoint has to be kept")
        self._prefix = prefix.strip("/") + "/"
        self._client = client or _client()
        self._keep, self._clock = keep, clock
        self._change = threading.Condition()
        self._waiting: Path | None = None
        self._working: Path | None = None
        self._failed: Exception | None = None
        self._ended = False
        self._thread: threading.Thread | None = None
        self.upload_s = 0.0
        """Seconds that the last upload took."""

    @property
    def busy(self) -> str | None:
        """The checkpoint that is being uploaded: it must not be removed."""
        with self._change:
            return self._working.name if self._working else None

    def fetch(self, checkpoints: Checkpoints) -> None:
        """Download the newest whole checkpoint, unless one as new is here; a torn one is passed over."""
        here = checkpoints.newest()
        for name in reversed(self._names()):
            if here and name <= here.path.name:
                return
            try:
                with checkpoints.hidden() as hidden:
                    self._download(name, hidden)
                    checkpoints.publish(hidden, name)
            except TornError as torn:
                _log.warning(
                    "checkpoint %s is torn (%s): falling back to an older one", self._uri(name), torn
                )
            else:
                return

    def offer(self, path: Path) -> None:
        """Upload a checkpoint in the background, as soon as the one before it is there."""
        with self._change:
            self._waiting = path
            self._change.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="s3-copies", daemon=True)
            self._thread.start()

    def close(self, within_s: float) -> None:
        """Wait for the last upload; raises what it failed with, or that it takes too long."""
        with self._change:
            self._ended = True
            self._change.notify_all()
        if self._thread:
            self._thread.join(within_s)
            if self._thread.is_alive():
                raise TimeoutError(f"the upload to {self._uri('')} did not end in {within_s:.0f} s")
        if self._failed:
            raise self._failed

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._ended)
                if self._waiting is None:
                    return
                self._working, self._waiting = self._waiting, None
            started = self._clock()
            try:
                self._upload(self._working)
                self._prune()
            except Exception as error:  # whatever it is, training goes on, and the next checkpoint is tried
                self._failed = error
                _log.error("checkpoint %s was not uploaded: %s", self._working, error)
            else:
                self._failed, self.upload_s = None, self._clock() - started
            with self._change:
                self._working = None

    def _upload(self, path: Path) -> None:
        names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        for file in sorted(names, key=lambda name: name == MANIFEST):  # the manifest makes a copy whole
            self._client.upload_file(str(path / file), self._bucket, f"{self._prefix}{path.name}/{file}")

    def _prune(self) -> None:
        """Remove all that is older than the newest *keep*, each manifest before its files."""
        whole = self._names()
        if len(whole) <= self._keep:
            return
        doomed = [key for key in self._keys() if key.removeprefix(self._prefix) < whole[-self._keep]]
        for key in sorted(doomed, key=lambda key: not key.endswith(f"/{MANIFEST}")):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def _download(self, name: str, folder: Path) -> None:
        """Download a checkpoint and check it; raises `TornError`."""
        own = f"{self._prefix}{name}/"
        present = {key.removeprefix(own) for key in self._keys() if key.startswith(own)}
        self._client.download_file(self._bucket, f"{own}{MANIFEST}", str(folder / MANIFEST))
        manifest = read_manifest((folder / MANIFEST).read_bytes())
        for file in sorted(manifest["files"]):
            target = folder / file
            if file not in present or not target.resolve().is_relative_to(folder.resolve()):
                raise TornError(f"{file} is not there")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._client.download_file(self._bucket, f"{own}{file}", str(target))
        check(folder)

    def _names(self) -> list[str]:
        """List the checkpoints that have a manifest, oldest first."""
        ends = [key.removeprefix(self._prefix).partition("/") for key in self._keys()]
        return sorted(name for name, _, file in ends if file == MANIFEST and NAME.fullmatch(name))

    def _keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [key for key in keys if NAME.match(key.removeprefix(self._prefix))]

    def _uri(self, name: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{name}"


def _client() -> Any:
    try:
        import boto3
    except ImportError as error:
        raise RuntimeError("S3Copies needs boto3: pip install boto3") from error
    return boto3.client("s3")
