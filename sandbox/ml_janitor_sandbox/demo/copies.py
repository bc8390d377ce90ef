"""Model artifacts in S3 that lie there more than once, and some that only seem to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from ml_janitor_sandbox.demo.people import JONAS, PIPELINE, RAVI
from ml_janitor_sandbox.demo.plan import Plan
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET, store
from ml_janitor_sandbox.demo.times import workday
from ml_janitor_sandbox.demo.truth import Truth, lookalike, waste

DETECTOR = "duplicate-artifacts"

SIZE = 1024 * 1024 + 4096
"""Bytes: just above what is small enough to be ignored, so that seeding stays quick."""

RANKER = "search-ranker 2026-07"
"""The artifact that has copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An object, *age* days old, whose bytes are those of some *content*."""

    key: str
    by: str
    age: float
    content: str = RANKER
    tags: Mapping[str, str] = field(default_factory=dict)
    truth: Truth | None = None

    @property
    def name(self) -> str:
        return f"{MODEL_BUCKET}/{self.key}"

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.name}"

    def plan(self, plan: Plan) -> None:
        """Have it stored."""
        at, tags = workday(self.age, self.key), urlencode(self.tags)
        store(plan, at, self.by, MODEL_BUCKET, self.key, size=SIZE, seed=self.content, tags=tags)


ARTIFACTS = (
    Artifact(key="search-relevance/search-ranker/model.tar.gz", by=PIPELINE, age=77),
    Artifact(
        key="search-relevance/ranker-staging/model.tar.gz",
        by=RAVI,
        age=26,
        truth=lookalike("the same bytes, but a model refers to this copy, too"),
    ),
    Artifact(
        key="backup/2026-08/search-ranker/model.tar.gz",
        by=JONAS,
        age=55,
        truth=waste("a copy made before a deployment that went well"),
    ),
    Artifact(
        key="scratch/ravi/ranker-promoted.tar.gz",
        by=RAVI,
        age=40,
        truth=waste("somebody's own copy of what is in production"),
    ),
    Artifact(
        key="search-relevance/ranker-2026-06/model.tar.gz",
        by=PIPELINE,
        age=108,
        content="search-ranker 2026-06",
        truth=lookalike("as large to the byte, but another model"),
    ),
    Artifact(
        key="audit/2026-q3/search-ranker.tar.gz",
        by=JONAS,
        age=9,
        tags={"keep": "true"},
        truth=lookalike("a copy for the auditors, with a keep tag"),
    ),
)
