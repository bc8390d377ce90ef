"""Snapshots that keep the whole account under a name and bring it back, much faster than it is made."""

from __future__ import annotations

import copy
import copyreg
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Condition, Lock, RLock
from typing import Any
from weakref import WeakValueDictionary

from moto.awslambda.models import LambdaStorage
from moto.core.base_backend import BackendDict
from moto.core.model_instances import model_data
from moto.s3.models import s3_backends

from ml_janitor_sandbox.declared_objects import WITH_BYTES
from moto_corrections import clock, state
from moto_corrections.patches import PATCHES, Patch

# Nobody holds what moto locks while a snapshot is taken, and a copy has a lock of its own.
copyreg.pickle(type(Lock()), lambda _: (Lock, ()))
copyreg.pickle(type(RLock()), lambda _: (RLock, ()))
copyreg.pickle(Condition, lambda _: (Condition, ()))


def lambdas(self: LambdaStorage, memo: dict[int, Any]) -> LambdaStorage:
    """Return Lambda's functions; those found by ARN are the copies, which weak references are not."""
    twin: Any = object.__new__(type(self))
    memo[id(self)] = twin
    held: dict[str, Any] = dict(self.__dict__)
    by_arn = held.pop("_arns")
    twin.__dict__ |= copy.deepcopy(held, memo)
    twin._arns = WeakValueDictionary(copy.deepcopy(dict(by_arn), memo))
    return twin  # type: ignore[no-any-return]


def parameters(self: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of Parameter Store's parameters, which moto makes with an account and a region."""
    twin = type(self)(self.account_id, self.region_name)
    memo[id(self)] = twin
    twin.__dict__ |= self.__dict__
    twin.update({name: copy.deepcopy(kept, memo) for name, kept in self.items()})
    return twin


PATCHES.append(Patch("moto.awslambda.models:LambdaStorage.__deepcopy__", lambdas, was=None))
PATCHES.append(Patch("moto.ssm.models:ParameterDict.__deepcopy__", parameters, was=None))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the sandbox at a time: moto's backends, its own state, and the clock."""

    backends: list[tuple[BackendDict[Any], dict[str, Any]]]
    state: dict[Any, Any]
    buckets: dict[str, Any]
    now: dt.datetime

    @classmethod
    def take(cls) -> Snapshot:
        with state.LOCK:
            held = [(backend, dict(backend)) for backend in _backends()]
            tracked = [(model, list(model.instances_tracked)) for model in _models()]
            taken = cls(held, state.held(), s3_backends.bucket_accounts, clock.now())._copied()
            for model, instances in tracked:  # a reset of moto would close the files of all others
                model.instances_tracked = instances
            return taken

    def restore(self) -> None:
        """Put an emptied sandbox where it was; the snapshot stays as it is."""
        with state.LOCK:
            again = self._copied()
            for backend, accounts in again.backends:
                backend.update(accounts)
                if backend not in _backends():
                    _backends().append(backend)
            state.hold(again.state)
            s3_backends.bucket_accounts.update(again.buckets)
            clock.jump(again.now)

    def _copied(self) -> Snapshot:
        """Copy it so that what is one thing in two places still is; services themselves are not copied."""
        memo: dict[int, Any] = {id(backend): backend for backend, _ in self.backends}
        return copy.deepcopy(self, memo | {id(WITH_BYTES): WITH_BYTES})


def _backends() -> list[BackendDict[Any]]:
    """List moto's services that are in use."""
    found: Any = BackendDict
    used: list[BackendDict[Any]] = found._instances
    return used


def _models() -> Iterator[Any]:
    """List moto's classes that keep a list of their instances."""
    for models in model_data.values():
        yield from models.values()
