"""Model artifacts in S3: their recognition by name, models of several files, and the listing of buckets."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Protocol

from ml_janitor.aws.calls import ReadError, read_signal
from ml_janitor.aws.client import Aws, FileChangedError, FolderScratch, Scratch
from ml_janitor.aws.s3 import LIST_OBJECTS, KeyRange, RangedListing, page_objects
from ml_janitor.core.model import Signal
from ml_janitor.core.text import count_noun

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef

# --- recognition by name --------------------------------------------------------------------------

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
    with a model's index. *weights* counts, by folder, the artifacts of any size that are not
    archives; *objects* counts all objects, *looked_through* the artifacts among them. *error* says
    where the listing broke off. *stale* says how old the listing is, if it is too old to prove anything.
    """

    bucket: str
    region: str
    artifacts: list[StoredObject] = field(default_factory=list)
    mixed: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    weights: dict[str, int] = field(default_factory=dict)
    objects: int = 0
    looked_through: int = 0
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
        self.looked_through += len(found)
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
    Return one object as it is now; None if it is gone. Its own key is
    the first of all keys with its beginning.
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
    """Return whether *file* may belong to the model beside it: it is neither a folder's marker nor a note."""
    return bool(file) and not _NOTE_NAME.fullmatch(file)


# --- candidates -----------------------------------------------------------------------------------

MOST_COMPARED = 50_000
"""Most artifacts that one survey compares: each takes some kilobytes until the report is written."""


def artifact_order(artifact: StoredObject) -> tuple[int, str, str, str]:
    """Return the sort key: the largest first, then by ETag, so that likely copies stand together."""
    return -artifact.size, artifact.etag, artifact.bucket, artifact.key


class ArtifactSource(Protocol):
    """
    The artifacts of some buckets, wherever they were listed.

    A survey reads each source once: first `artifacts`, then `notice`.
    """

    @property
    def shelves(self) -> Mapping[str, BucketIndex]:
        """The buckets by name, each with the reason why it could not be read to its end, if any."""

    def artifacts(self) -> Iterator[StoredObject]:
        """
        Yield every artifact that may share its size with another, each once, in `artifact_order`.

        An artifact may be left out only if no other artifact of its buckets has its size.
        """

    def notice(self, folders: AbstractSet[FolderKey]) -> None:
        """Put the facts about *folders* on the shelves: `mixed`, `models` and `weights`."""


@dataclass(frozen=True, slots=True)
class CopyCandidates:
    """The artifacts that share their size with another, and the number that were too many to compare."""

    artifacts: tuple[StoredObject, ...]
    left_out: int


def find_candidates(
    streams: Iterable[Iterator[StoredObject]],
    only: AbstractSet[int] | None = None,
    *,
    most: int = MOST_COMPARED,
) -> CopyCandidates:
    """
    Return the artifacts of *streams*, which are in `artifact_order`, that share their size with another.

    With *only*, return the artifacts of these sizes, alone or not. At most *most* are taken, the
    largest: all of a size, or none. Nothing else stays in memory.
    """
    found: list[StoredObject] = []
    left_out = 0
    for size, group in groupby(heapq.merge(*streams, key=artifact_order), key=lambda artifact: artifact.size):
        if only is not None and size not in only:
            continue
        members = iter(group)
        some = list(islice(members, most - len(found)))
        more = sum(1 for _ in members)
        if more:
            left_out += len(some) + more if only is not None or len(some) + more > 1 else 0
        elif only is not None or len(some) > 1:
            found += some
    return CopyCandidates(tuple(found), left_out)


def relevant_folders(found: Sequence[StoredObject]) -> frozenset[FolderKey]:
    """Return the folders that show whether *found* are models by themselves: their own, and those above."""
    return frozenset(
        (artifact.bucket, artifact.key[:end])
        for artifact in found
        for end in (0, *(at for at, letter in enumerate(artifact.key, 1) if letter == "/"))
    )


# --- listing --------------------------------------------------------------------------------------
# Sorted files hold a survey's listed artifacts, and the position from which the next run continues.

_MOST_HELD = 50_000
"""Artifacts and folders that memory holds before they are written to files."""

_LISTING_FORMAT = 3
"""Version of the position's and the files' format."""

_LISTING_LASTS = timedelta(days=1)
"""Time for which a run continues an earlier one: half a listing of last week says nothing of today."""


_ARTIFACTS_FILE, _FOLDERS_FILE = "artifacts", "folders"
"""The ends of the names of files: artifacts in `artifact_order`, and facts about folders."""


@dataclass(slots=True)
class BucketListing:
    """
    Buckets that were listed to their ends, or as far as time allowed.

    Memory does not grow with the number of keys: each `HELD` artifacts and folders are
    written to sorted *files*, which `artifacts` merges as it reads them. Where the files
    last, so does the position: the next run of the same day goes on exactly there, and
    `done` ends that. *only* keeps artifacts of these sizes alone.
    """

    aws: Aws
    names: ArtifactNames
    now: datetime
    shelves: Mapping[str, BucketIndex]
    scratch: Scratch
    only: AbstractSet[int] | None = None
    _begun: datetime = field(init=False)
    _files: list[str] = field(default_factory=list)
    _listing: RangedListing = field(init=False)
    _resumed: bool = False

    def __post_init__(self) -> None:
        """List as much as there is time for."""
        self._begun = self.now
        ranges = self._left()
        regions = {name: shelf.region for name, shelf in self.shelves.items()}
        self._listing = RangedListing(self.aws, regions, ranges)
        held = 0
        for bucket, page in self._listing.pages():
            shelf = self.shelves[bucket]
            before = shelf.held
            found = shelf.put(page, self.names)
            shelf.artifacts += [
                artifact for artifact in found if self.only is None or artifact.size in self.only
            ]
            held += shelf.held - before
            if held >= _MOST_HELD:
                self._write()
                held = 0
        late = self._listing.late and bool(self._listing.read)
        if self._files or (late and self.scratch.lasting):
            self._write()
        self._say_what_is_missing()

    # --- as a source of artifacts -------------------------------------------------------------

    def artifacts(self) -> Iterator[StoredObject]:
        """
        Return every artifact, in `artifact_order`.

        Returns none if files were written and the time ran out: nothing more could be read about them.
        """
        if self._files and self._listing.late:
            return iter(())
        held = sorted(
            (artifact for shelf in self.shelves.values() for artifact in shelf.artifacts), key=artifact_order
        )
        files = [map(_artifact, self._lines(file)) for file in self._files if file.endswith(_ARTIFACTS_FILE)]
        every = heapq.merge(held, *files, key=artifact_order)
        return (artifact for artifact in every if artifact.bucket in self.shelves)

    def notice(self, folders: AbstractSet[FolderKey]) -> None:
        """Record on the shelves the files' facts about *folders*."""
        for file in self._files:
            for bucket, folder, mixed, model, weights in (
                map(json.loads, self._lines(file)) if file.endswith(_FOLDERS_FILE) else ()
            ):
                if (bucket, folder) in folders and bucket in self.shelves:
                    self.shelves[bucket].add(folder, mixed=mixed, model=model, weights=weights)

    def done(self) -> None:
        """Forget the position, because the listing has been judged: the next run lists anew."""
        if self.scratch.lasting and (self._files or self._resumed):
            self.scratch.keep(self._place, None)

    # --- the files ----------------------------------------------------------------------------

    def _write(self) -> None:
        """
        Write the held artifacts and folders, and then the position.

        A run that is killed in between writes the same files again.
        """
        shelves = self.shelves.values()
        found = sorted((artifact for shelf in shelves for artifact in shelf.artifacts), key=artifact_order)
        self._put(_ARTIFACTS_FILE, map(_line, found))
        self._put(
            _FOLDERS_FILE,
            (json.dumps([shelf.bucket, *facts]) for shelf in shelves for facts in shelf.folders()),
        )
        for shelf in shelves:
            shelf.clear()
        if self.scratch.lasting:
            position = {
                "of": self._settings,
                "begun": self._begun.isoformat(),
                "files": self._files,
                "objects": {shelf.bucket: [shelf.objects, shelf.looked_through] for shelf in shelves},
                "left": [[keys.bucket, keys.after, keys.upto, keys.shared] for keys in self._listing.ranges],
            }
            self.scratch.keep(self._place, position)

    def _put(self, kind: str, lines: Iterable[str]) -> None:
        """Write a file of *lines*, if there are any."""
        if body := "".join(f"{line}\n" for line in lines).encode():
            name = f"{self._place}/{self._begun:%Y-%m-%dT%H-%M-%SZ}/{len(self._files):04}-{kind}"
            self.scratch.put(name, body)
            self._files.append(name)

    def _lines(self, file: str) -> Iterator[bytes]:
        """Yield the lines of *file*. Raises ReadError; if the file was changed, the next run lists anew."""
        rest = b""
        try:
            for block in self.scratch.blocks(file):
                *lines, rest = (rest + block).split(b"\n")
                yield from lines
        except FileChangedError:
            self.done()
            raise

    # --- the position -------------------------------------------------------------------------

    @property
    def _place(self) -> str:
        return f"{self.aws.account}/{self.aws.region}"

    @property
    def _settings(self) -> list[Any]:
        """The settings that define an artifact: with other settings, an earlier listing does not count."""
        return [_LISTING_FORMAT, *sorted(self.names.extensions), self.names.min_size]

    def _left(self) -> list[KeyRange]:
        """Return the rest to list: everything, or the rest of an earlier run of the day."""
        known = self.scratch.kept(self._place)
        if known is None or known["of"] != self._settings:
            return [KeyRange(name) for name in self.shelves]
        begun = datetime.fromisoformat(known["begun"])
        if not timedelta(0) <= self.now - begun <= _LISTING_LASTS:
            return [KeyRange(name) for name in self.shelves]
        self._begun, self._resumed = begun, True
        self._files = list(known["files"])
        for name, (objects, artifacts) in known["objects"].items():
            if name in self.shelves:
                self.shelves[name].objects, self.shelves[name].looked_through = objects, artifacts
        left = [KeyRange(*keys) for keys in known["left"] if keys[0] in self.shelves]
        return [*left, *(KeyRange(name) for name in self.shelves if name not in known["objects"])]

    def _say_what_is_missing(self) -> None:
        """
        Record, on the shelves of buckets that were not listed to their ends,
        the reason and the progress.
        """
        for bucket in {keys.bucket for keys in self._listing.ranges}:
            shelf = self.shelves[bucket]
            if (problem := self._listing.errors.get(bucket)) is not None:
                shelf.error = f"{LIST_OBJECTS} of {bucket} broke off after {shelf.objects:,}: {problem}"
            else:
                kept = ", and the next try goes on there" if self.scratch.lasting else ""
                shelf.error = (
                    f"{bucket} could not be read in time: S3 listed "
                    f"{count_noun(shelf.objects, 'object')}{kept}"
                )


def list_buckets(
    aws: Aws,
    places: Mapping[str, str],
    names: ArtifactNames,
    now: datetime,
    *,
    only: AbstractSet[int] | None = None,
) -> BucketListing:
    """
    Return the listing of the buckets in *places*, which maps them to regions.

    *only* keeps artifacts of these sizes alone, and no position: that is for a look at one artifact.
    """
    shelves = {name: BucketIndex(bucket=name, region=region) for name, region in places.items()}
    scratch = aws.scratch if aws.scratch is not None and only is None else FolderScratch()
    return BucketListing(aws, names, now, shelves, scratch, only)


def _line(artifact: StoredObject) -> str:
    return json.dumps(
        [
            artifact.size,
            artifact.etag,
            artifact.bucket,
            artifact.key,
            artifact.modified.isoformat(),
            artifact.storage_class,
        ]
    )


def _artifact(line: bytes) -> StoredObject:
    size, etag, bucket, key, modified, storage_class = json.loads(line)
    return StoredObject(
        bucket=bucket,
        key=key,
        size=size,
        etag=etag,
        modified=datetime.fromisoformat(modified),
        storage_class=storage_class,
    )
