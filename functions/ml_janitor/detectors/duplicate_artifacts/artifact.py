"""Model artifacts in S3: recognised by their names, and joined to models of several files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.key_ranges import page_objects
from ml_janitor.aws.s3 import LIST_OBJECTS
from ml_janitor.core.signals import Signal

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef


type FolderKey = tuple[str, str]
"""A bucket, and in it a key up to its last slash: "models/churn/", or "" for its root."""

_LARGEST_LISTING = 1000
"""Most entries on a page of S3's listings. The detector compares no model of more files."""

ARTIFACT_EXTENSIONS = (
    *(".bin", ".ckpt", ".gguf", ".h5", ".joblib", ".keras", ".nemo", ".onnx", ".pkl", ".pt", ".pth"),
    *(".safetensors", ".tar.gz", ".tgz"),
)

_WHOLE_MODEL_ENDINGS = (".keras", ".mar", ".nemo", ".tar", ".tar.gz", ".tgz", ".zip")
"""Endings of files that hold a whole model by themselves, whatever lies beside them."""

_SHARD_NAME = re.compile(
    r"\d+-of-\d+|(^|[-_.])(part|rank|shard)[-_.]?\d+|^consolidated\.\d+\.|^mp_rank_\d+|zero_pp_rank_\d+",
    re.IGNORECASE,
)
"""File names of one piece of a model, by Hugging Face, Megatron, DeepSpeed and Llama."""

_NOTE_NAME = re.compile(
    r"(readme|licen[cs]e|notice|use_policy).*|.*\.(md|log|md5|sha256|png|jpe?g)|\.\w+|_success", re.IGNORECASE
)
"""File names that may lie beside weights without belonging to the model."""

_INDEX_NAME = re.compile(
    r"(model_index|modules|config|adapter_config|generation_config|config_sentence_transformers|params)\.json"
    r"|.*\.index\.json|tokenizer.*|saved_model\.pb|config\.pbtxt|MLmodel"
)
"""File names that mark their folder, with all folders in it, as one model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object as a listing shows it."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime
    storage_class: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def folder(self) -> str:
        """The key up to its last slash: "models/churn/", or "" in the bucket's root."""
        return self.key[: self.key.rfind("/") + 1]

    @property
    def file(self) -> str:
        return self.key[self.key.rfind("/") + 1 :]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactNames:
    """The objects that count as model artifacts: by the end of their names, and from *min_size* bytes on."""

    extensions: tuple[str, ...] = ARTIFACT_EXTENSIONS
    min_size: int = 1024**2

    def end(self, key: str) -> bool:
        """Return whether *key* ends like a model artifact's, in any case."""
        return key.lower().endswith(_lower(self.extensions))

    def fit(self, key: str, size: int) -> bool:
        """Return whether an object of this *key* and *size* is a model artifact."""
        return size >= self.min_size and self.end(key)


@cache
def _lower(extensions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(extension.lower() for extension in extensions)


@dataclass(slots=True, kw_only=True)
class BucketIndex:
    """
    The artifacts in one bucket, and facts about their folders from the listing.

    *mixed* are folders with an object that is neither artifact nor note; *models* are folders
    with a model's index. *weights* counts, by folder, the artifacts of any size that are no
    archives; *objects* counts all objects. *error* says where the listing broke off. *stale*
    says how old the listing is, if it is too old to prove anything.
    """

    bucket: str
    region: str
    artifacts: list[StoredObject] = field(default_factory=list)
    mixed: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    weights: dict[str, int] = field(default_factory=dict)
    objects: int = 0
    error: str | None = None
    stale: str | None = None

    def put(self, page: ListObjectsV2OutputTypeDef, names: ArtifactNames) -> list[StoredObject]:
        """Return the artifacts on one page of the listing, and record facts about the other objects."""
        found = []
        self.objects += page["KeyCount"]
        for entry in page_objects(page):
            key = entry["Key"]
            start = key.rfind("/") + 1
            if names.end(key):
                if not is_whole_model(key):
                    folder = key[:start]
                    self.weights[folder] = self.weights.get(folder, 0) + 1
                if entry["Size"] >= names.min_size:
                    found.append(stored_object(self.bucket, entry))
            elif may_belong_to_model(file := key[start:]):
                self.mixed.add(folder := key[:start])
                if _INDEX_NAME.fullmatch(file):
                    self.models.add(folder)
        return found

    @property
    def held(self) -> int:
        return len(self.artifacts) + len(self.mixed) + len(self.models) + len(self.weights)

    def folders(self) -> Iterator[tuple[str, bool, bool, int]]:
        """Yield the facts about each folder: whether it is mixed, whether it is a model, and its weights."""
        for folder in sorted({*self.mixed, *self.models, *self.weights}):
            yield folder, folder in self.mixed, folder in self.models, self.weights.get(folder, 0)

    def add(self, folder: str, *, mixed: bool, model: bool, weights: int) -> None:
        """Record the facts of an earlier listing."""
        if mixed:
            self.mixed.add(folder)
        if model:
            self.models.add(folder)
        if weights:
            self.weights[folder] = self.weights.get(folder, 0) + weights

    def clear(self) -> None:
        for collection in (self.artifacts, self.mixed, self.models, self.weights):
            collection.clear()

    def root(self, artifact: StoredObject) -> str | None:
        """
        Return the folder of *artifact*'s model, or None if it is a model by itself.

        The highest folder above it with a model's index counts, since a model may consist of folders (a
        diffusion model's parts). The bucket's root counts only for artifacts directly in it.
        """
        if is_whole_model(artifact.key):
            return None
        steps = [end for end, letter in enumerate(artifact.key, 1) if letter == "/"]
        for above in (artifact.key[:end] for end in steps):
            if above in self.models:
                return above
        alone = artifact.folder not in self.mixed and not _SHARD_NAME.search(artifact.file)
        return None if alone else artifact.folder

    def crowded(self, artifact: StoredObject) -> bool:
        """
        Return whether other weights lie in the folder of *artifact*, which
        might belong to the same model.
        """
        return not is_whole_model(artifact.key) and self.weights.get(artifact.folder, 0) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactUnit:
    """
    A unit of comparison: one object, or all files of the model in folder *root*.

    A *crowded* object lies beside other weights: nobody can tell whether they belong together.
    """

    bucket: str
    region: str
    files: tuple[StoredObject, ...]
    root: str | None = None
    crowded: bool = False

    @property
    def uri(self) -> str:
        return self.files[0].uri if self.root is None else f"s3://{self.bucket}/{self.root}"

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """The relative names and sizes, which two copies share before any content is read."""
        if self.root is None:
            return (("", self.files[0].size),)
        return tuple((file.key.removeprefix(self.root), file.size) for file in self.files)

    @property
    def modified(self) -> datetime:
        """The time at which the last of its files was written."""
        return max(file.modified for file in self.files)


def read_model_folder(aws: Aws, bucket: str, region: str, root: str) -> Signal[ArtifactUnit]:
    """Return the model in folder *root* with all its files, without notes."""

    def listed() -> ArtifactUnit:
        page = aws.client("s3", region).list_objects_v2(Bucket=bucket, Prefix=root)
        if page["IsTruncated"]:
            raise ReadError(f"s3://{bucket}/{root} holds more than {_LARGEST_LISTING} objects")
        found = [stored_object(bucket, entry) for entry in page_objects(page)]
        files = sorted((file for file in found if may_belong_to_model(file.file)), key=lambda file: file.key)
        return ArtifactUnit(bucket=bucket, region=region, files=tuple(files), root=root)

    return read_signal(listed, source=LIST_OBJECTS)


def find_object(aws: Aws, bucket: str, key: str) -> StoredObject | None:
    """
    Return one object as it is now; None if it is gone. Of all keys with its
    beginning, its own comes first.
    """
    found = page_objects(aws.s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1))
    return stored_object(bucket, found[0]) if found and found[0]["Key"] == key else None


def stored_object(bucket: str, entry: ObjectTypeDef) -> StoredObject:
    """Return one entry of a listing; a missing member fails the read."""
    return StoredObject(
        bucket=bucket,
        key=entry["Key"],
        size=entry["Size"],
        etag=entry["ETag"],
        modified=entry["LastModified"],
        storage_class=entry.get("StorageClass", "STANDARD"),
    )


def is_whole_model(key: str) -> bool:
    """Return whether *key* is the name of a file that is a whole model by itself."""
    return key.lower().endswith(_WHOLE_MODEL_ENDINGS)


def may_belong_to_model(file: str) -> bool:
    """Return whether *file* may belong to the model beside it: it is no folder's marker and no note."""
    return bool(file) and not _NOTE_NAME.fullmatch(file)
