"""Random model artifacts in S3: equal ones, equally large ones, and models of several files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import shake_128
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from properties.worlds.base import (
    ACCOUNT,
    DAY,
    KEEPING,
    LABELS,
    MINUTE,
    UNKEPT,
    Account,
    Kind,
    Labels,
    Thing,
    spans,
)
from properties.worlds.users import IN_USE, USERS, make_leftovers, make_manifest, make_model

DETECTOR = "duplicate-artifacts"
MIN_SIZE = 64
"""What the detector is told to look at from; a megabyte each would only take longer."""

STORES = (f"sagemaker-us-east-1-{ACCOUNT}", "model-store")
"""SageMaker's default bucket, and one that is only searched because something refers into it."""

WEIGHTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
CONFIG = "config.json"

LISTED = (
    # what has to be listed before anybody can say that nothing refers to an artifact
    "sagemaker:ListModels",
    "sagemaker:ListModelPackageGroups",
    "sagemaker:ListModelPackages",
    "sagemaker:ListPipelines",
    "sagemaker:ListEndpoints",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListInferenceComponents",
    "sagemaker:Search",
    "sagemaker:ListTrainingJobs",
    "sagemaker:ListProcessingJobs",
    "sagemaker:ListTransformJobs",
)
DESCRIBED = {
    # what has to be described, if there is any
    "model-package-group": ("sagemaker:DescribeModelPackage",),
    "pipeline": ("sagemaker:DescribePipeline",),
    "endpoint": ("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"),
    "inference-component": ("sagemaker:DescribeInferenceComponent",),
}
ENDED = {"Completed", "Failed", "Stopped"}
"""Of training jobs, only those that have not ended are described."""
LOOKED_AT = (
    "s3:ListBuckets",
    "s3:ListObjectsV2",
    "s3:HeadObject",
    "s3:GetObjectTagging",
    "s3:GetBucketTagging",
    "s3:GetObjectLockConfiguration",
)

ARCHIVE = "GLACIER"
BILLED_FOR_30_DAYS = "STANDARD_IA"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """
    One artifact of a set, stored so long ago in one of two buckets.

    *content* is what it holds; *twist* that the configuration beside weights is another one, as large
    to the byte. *used_by* is what refers to it, if anything does. *sealed* is encrypted so that its ETag
    says nothing.
    """

    store: int
    content: str
    twist: bool
    age: timedelta
    used_by: str
    keeping: tuple[Any, bool]
    storage: str
    checksum: str
    sealed: bool

    @property
    def in_use(self) -> bool:
        """Whether what refers to it is in use."""
        return self.used_by in IN_USE

    def rank(self, age: timedelta) -> tuple[bool, bool, timedelta]:
        """The smallest stays."""
        return not self.in_use, not self.used_by, -age

    def kept(self, bucket: Labels) -> bool:
        """By a tag of its own, or of its bucket that it does not overrule."""
        tags, exempt = self.keeping
        above, exempt_above = bucket.keeping
        return exempt or (exempt_above and not above.keys() & tags.keys())


@dataclass(frozen=True, kw_only=True)
class Artifacts(Thing):
    """
    A set of artifacts of one size; as *folders*, each is a model of several files.

    *beside* is whether other weights lie beside each, which might belong to it.
    """

    calls = (
        *LISTED,
        *(call for calls in DESCRIBED.values() for call in calls),
        "sagemaker:DescribeTrainingJob",
        *LOOKED_AT * 2,
        "s3:GetObject",
    )

    folders: bool
    beside: bool
    copies: Sequence[Copy]

    def build(self, account: Account) -> None:
        prefix = account.name("set")
        size = MIN_SIZE + 8 * len(account.claims)  # sets do not meet
        written = []
        for number, copy in enumerate(self.copies):
            place = f"{prefix}/{number}"
            self._store(account, place, copy, number, size)
            self._use(account, place, copy)
            written.append((copy, copy.age - number * MINUTE, place))
        account.be(timedelta())
        jobs = account.sagemaker.get_paginator("list_training_jobs").paginate()
        training = any(
            one["TrainingJobStatus"] not in ENDED for page in jobs for one in page["TrainingJobSummaries"]
        )
        for copy, age, place in written:
            others = [(other, theirs) for other, theirs, where in written if where != place]
            self._claim(account, place, copy, age, others, training=training)

    def files(self, copy: Copy, size: int) -> dict[str, bytes]:
        """What is stored, by name."""
        if not self.folders:
            return {"model.pt" if self.beside else "model.tar.gz": content(copy.content, size)}
        weights = {name: content(copy.content + name, size + n) for n, name in enumerate(WEIGHTS)}
        return weights | {CONFIG: content("twist" if copy.twist else "config", 40)}

    def artifacts(self) -> tuple[str, ...]:
        """The names of those that count as artifacts."""
        return WEIGHTS if self.folders else ("model.pt" if self.beside else "model.tar.gz",)

    def _store(self, account: Account, place: str, copy: Copy, number: int, size: int) -> None:
        account.be(copy.age - number * MINUTE)  # no two are of one age
        given: dict[str, Any] = {"ChecksumAlgorithm": copy.checksum} if copy.checksum else {}
        if copy.sealed:
            given["ServerSideEncryption"] = "aws:kms"
        for name, body in self.files(copy, size).items():
            tags = copy.keeping[0] if name == self.artifacts()[0] else {}
            account.s3.put_object(
                Bucket=STORES[copy.store],
                Key=f"{place}/{name}",
                Body=body,
                StorageClass=copy.storage,  # type: ignore[arg-type]  # one of them
                Tagging=urlencode(tags),
                **given,
            )
        if self.beside and not self.folders:
            other = content(place, size + 3)
            account.s3.put_object(Bucket=STORES[copy.store], Key=f"{place}/optimizer.pt", Body=other)

    def _use(self, account: Account, place: str, copy: Copy) -> None:
        """Have something refer to it: to one file, to the folder, or to what its key begins with."""
        if not copy.used_by:
            return
        folder = f"s3://{STORES[copy.store]}/{place}"
        file = f"{folder}/{self.artifacts()[0]}"
        account.be(50 * DAY)
        USERS[copy.used_by](account, folder, file)

    def _claim(
        self,
        account: Account,
        place: str,
        copy: Copy,
        age: timedelta,
        others: list[tuple[Copy, timedelta]],
        *,
        training: bool,
    ) -> None:
        """
        It may be found if nothing in use refers to it and another copy of the same bytes is sure to stay.

        That is one that something in use refers to, else one that anything refers to, else the oldest. A
        copy that stays only in another bucket is likely at most, and that bucket is searched only if what
        refers to it can be read. What is archived is compared with nothing.
        """
        same = [
            (other, theirs)
            for other, theirs in others
            if other.content == copy.content
            and other.storage != ARCHIVE
            and (not self.folders or other.twist == copy.twist)
        ]
        before = [other for other, theirs in same if other.in_use or other.rank(theirs) < copy.rank(age)]
        here = any(other.store == copy.store for other in before)
        waste = bool(before) and not (
            copy.in_use
            or copy.kept(account.buckets[STORES[copy.store]])
            or copy.storage == ARCHIVE
            or (copy.storage == BILLED_FOR_30_DAYS and age < 30 * DAY)
        )
        hashed = copy.checksum == "SHA256" and any(other.checksum == "SHA256" for other, _ in same)
        described = [call for kind in DESCRIBED.keys() & account.kinds for call in DESCRIBED[kind]]
        described += ["sagemaker:DescribeTrainingJob"] if training else []
        for name in self.artifacts():
            account.claim(
                DETECTOR,
                f"arn:aws:s3:::{STORES[copy.store]}/{place}/{name}",
                waste=waste,
                certain=here
                and not (copy.used_by or account.manifest)
                and not (self.beside and not self.folders),
                needs=frozenset((*LISTED, *LOOKED_AT, *described)),
                reveals=frozenset() if here else frozenset((*LISTED, *LOOKED_AT, *described)),
                supports=frozenset() if hashed else frozenset({"s3:GetObject"}),
            )


def content(seed: str, size: int) -> bytes:
    """Bytes that are the same for the same *seed*."""
    return shake_128(seed.encode()).digest(size)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """
    The buckets for artifacts, with labels that count for all in them, and what names what was deleted.

    With a *manifest* that nobody opens, every copy is likely at most.
    """

    labels: tuple[Labels, Labels]
    versioned: bool
    manifest: bool = False

    def build(self, account: Account) -> None:
        """Make them, with a model that refers into the second one, so that it is searched."""
        account.be(200 * DAY)
        for name, labels in zip(STORES, self.labels, strict=True):
            account.bucket(name, labels)
            if self.versioned:
                account.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        make_model(account, {"Image": "i", "ModelDataUrl": f"s3://{STORES[1]}/elsewhere/model.tar.gz"})
        make_leftovers(account)
        if self.manifest:
            make_manifest(account)


COPY = Kind.of(
    Copy,
    store=([0], [1]),
    content=(["a"], ["b"]),
    twist=([False], [True]),
    age=(spans(DAY, 40, 20, 60),),
    used_by=([""], sorted(USERS)),
    keeping=([KEEPING[0]], KEEPING[1:]),
    storage=(["STANDARD"], [BILLED_FOR_30_DAYS, ARCHIVE]),
    checksum=(["", "CRC32"], ["SHA256"]),
    sealed=([False, True],),
)
some_artifacts = st.builds(
    Artifacts,
    folders=st.booleans(),
    beside=st.sampled_from([False, False, True]),
    copies=st.lists(COPY.some, min_size=2, max_size=4),
)
some_stores = st.builds(
    Stores,
    labels=st.tuples(st.sampled_from(UNKEPT), st.sampled_from(LABELS)),
    versioned=st.booleans(),
    manifest=st.sampled_from([False, False, True]),
)


def near_misses() -> Iterator[Artifacts]:
    """Every near miss beside an older plain copy, and those that differ as the older one, or as a folder."""
    plain, *others = COPY.near_misses()
    older = replace(plain, age=60 * DAY)
    pairs = [(False, [older, other]) for other in others]
    pairs += [(False, [replace(older, storage=ARCHIVE), plain]), (False, [replace(older, store=1), plain])]
    pairs += [(False, [older, replace(plain, storage=BILLED_FOR_30_DAYS, age=20 * DAY)])]
    pairs += [(False, [replace(older, sealed=True), replace(plain, sealed=True, content="b")])]
    pairs += [
        (True, [older, other])
        for other in others
        if other.twist or other.used_by in {"model", "model of a prefix"} or other.keeping == KEEPING[2]
    ]
    pairs += [
        (folders, [replace(older, used_by=user), replace(plain, used_by=other)])
        for folders in (False, True)
        for user, other in (("pipeline", "training job"), ("training job", "model"), ("model", "pipeline"))
    ]
    for folders, copies in pairs:
        yield Artifacts(folders=folders, beside=False, copies=copies)
    yield Artifacts(folders=False, beside=True, copies=[older, plain])
