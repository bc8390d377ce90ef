"""One act or undo of a real detector on the sandbox, without the engine around it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conftest import NOW
from fakes import candidates
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding, Target
from ml_janitor.engine.detector import Detector
from ml_janitor_sandbox.iam import s3
from narrowing import not_none, of_type
from standin import KilledError

_S3 = {**s3.BUCKET, **{name: actions[-1] for name, actions in s3.OBJECT.items()}}
_S3 |= {"ListBuckets": "ListAllMyBuckets", "CopyObject": "PutObject", "UploadPartCopy": "PutObject"}
IAM_NAMES = {f"s3:{operation}": f"s3:{action}" for operation, action in _S3.items()}
"""The actions that S3's operations need, where they are called differently."""


@dataclass
class Memory:
    """The steps of one act, as the ledger remembers them; the process *dies* after the call of that step."""

    dies: str = ""
    done: list[str] = field(default_factory=list)

    def do(self, name: str, call: Callable[[], object]) -> None:
        """Do the step *name* unless it was done; whoever dies has no time to write it down."""
        if name in self.done:
            return
        call()
        if name == self.dies:
            self.dies = ""
            raise KilledError
        self.done.append(name)

    def begun(self, name: str) -> bool:
        del name
        return True

    def forget(self, name: str) -> None:
        if name in self.done:
            self.done.remove(name)


@dataclass
class RecordedAct:
    """What was found and prepared, to be acted on and undone."""

    detector: Detector[Any]
    aws: Aws
    target: Target
    finding: Finding
    record: Mapping[str, Any]

    def act(self, memory: Memory | None = None) -> None:
        """Do it, with write access as the engine gives it."""
        self.detector.act(self.aws.armed(), self.target, self.record, memory or Memory())

    def settled(self) -> bool:
        """Whether it is as an act leaves it."""
        return self.detector.is_done(self.aws, self.target, self.record)

    def undo(self, memory: Memory | None = None) -> str | None:
        """Take it back, as another process does that has nothing but the record; what it says of that."""
        return self.detector.revert(self.aws.armed(), self.target, self.record, memory or Memory())


def found(detector: Detector[Any], aws: Aws, name: str) -> Target:
    """The one that a sweep finds under *name*."""
    targets: list[Target] = [one.target for one in candidates(detector, aws, NOW)]
    return next(target for target in targets if target.name == name)


def prepared(detector: Detector[Any], aws: Aws, target: Target) -> RecordedAct:
    """Look again, judge and prepare, all at NOW; the record goes through JSON as in the ledger."""
    candidate = not_none(detector.look(aws, target, NOW))
    assert candidate.target.key == target.key
    finding = of_type(Finding, detector.decide(candidate, NOW))
    record = detector.prepare(aws, candidate, {})
    stored = json.loads(json.dumps(record))
    assert stored == record
    return RecordedAct(detector, aws, candidate.target, finding, stored)
