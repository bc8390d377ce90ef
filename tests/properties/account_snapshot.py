"""Everything that there is in an account, read from the sandbox's own shelves: no call can miss it."""

from collections.abc import Mapping
from copy import deepcopy
from hashlib import sha256
from typing import Any

from moto.logs.models import logs_backends
from moto.s3.models import FakeDeleteMarker, s3_backends

from conftest import ACCOUNT, REGION
from moto_corrections import state
from moto_corrections.sagemaker.store import Resource, SageMakerStore
from properties.worlds.artifacts import STORES

MADE_ANEW = (
    "CreationTime",
    "LastHealthCheckTimestamp",
    "LastModifiedTime",
    "LastUserActivityTimestamp",
    "ResolutionTime",
)
"""What is of one creation alone."""

OF_REQUEST = "x-amz-content-sha256"
"""A header of the request that moto keeps with the object."""

GONE = ("Deleted", "Deleting")

type Snapshot = Mapping[str, Any]
"""What is shown of a thing, by its ARN in lower case; its tags stand under "tags"."""


def snapshot() -> Snapshot:
    """What there is now."""
    found = {one.arn.lower(): _shown(one) for one in state.at(SageMakerStore, ACCOUNT, REGION) if _there(one)}
    return found | _objects() | _log_groups()


def _there(one: Resource) -> bool:
    return one.status not in GONE and one.members.get("Status") not in GONE


def _shown(one: Resource) -> dict[str, Any]:
    members = {
        name: _without(value) for name, value in deepcopy(one.members).items() if name not in MADE_ANEW
    }
    return members | {"tags": dict(one.tags), "kind": one.kind.noun}


def _without(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {key: _without(value) for key, value in shown.items() if key not in MADE_ANEW}
    return [_without(value) for value in shown] if isinstance(shown, list) else shown


def _objects() -> dict[str, Any]:
    backend, found = s3_backends[ACCOUNT]["aws"], dict[str, Any]()
    for store in STORES:
        bucket = backend.buckets[store]
        found[f"arn:aws:s3:::{store}"] = {"tags": dict(backend.tagger.get_tag_dict_for_resource(bucket.arn))}
        for key, stored in bucket.keys.items():
            if not isinstance(stored, FakeDeleteMarker):
                found[f"arn:aws:s3:::{store}/{key}".lower()] = {
                    "sha256": sha256(stored.value).hexdigest(),
                    "metadata": {
                        name: value for name, value in stored.metadata.items() if name != OF_REQUEST
                    },
                    "class": stored.storage_class,
                    "tags": dict(backend.tagger.get_tag_dict_for_resource(stored.arn)),
                }
    return found


def _log_groups() -> dict[str, Any]:
    backend = logs_backends[ACCOUNT][REGION]
    return {
        group.arn.removesuffix(":*").lower(): {
            "retention": group.retention_in_days,
            "tags": dict(backend.tagger.get_tag_dict_for_resource(group.arn)),
        }
        for group in backend.groups.values()
        if hasattr(group, "sandbox_stored")
    }


def changes(before: Snapshot, after: Snapshot) -> dict[str, tuple[Any, Any]]:
    """What is not as it was, as it was and as it became; None for what is not there."""
    places = sorted({*before, *after})
    return {at: (before.get(at), after.get(at)) for at in places if before.get(at) != after.get(at)}
