"""What goes wrong, at any call: refused, broken off, lost, timed out, or the end of the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from ml_janitor_sandbox.control import Control
from properties.worlds import FAULTS, LISTINGS
from properties.worlds.base import Fault

READING = ("throttle", "error", "deny", "truncate", "drop", "break-page")
CHANGING = ("throttle", "error", "deny", "drop", "lost-reply", "hang-up", "timeout", "late")
DEATHS = ("killed", "killed-before")
EVERY = {*READING, *CHANGING, *DEATHS}
"""Every kind; all of them have to strike somewhere."""

CALLS = sorted({fault.call for fault in FAULTS})
PAGED = sorted(set().union(*LISTINGS.values()) - {"s3:ListBuckets"})

ACTS: Mapping[str, Sequence[str]] = {
    "idle-notebooks": ["sagemaker:StopNotebookInstance"],
    "idle-studio-apps": ["sagemaker:DeleteApp"],
    "idle-endpoints": ["sagemaker:DeleteEndpoint", "sagemaker:DeleteInferenceComponent"],
    "hung-training-jobs": [
        *(
            f"sagemaker:Stop{kind}Job"
            for kind in ("Training", "Processing", "Transform", "HyperParameterTuning")
        ),
        "sagemaker:UpdateTrainingJob",
    ],
    "untagged-resources": ["sagemaker:AddTags", "s3:TagResource"],
    "duplicate-artifacts": ["s3:DeleteObject"],
    "forgotten-leftovers": ["logs:PutRetentionPolicy"],
}
UNDOES: Mapping[str, Sequence[str]] = {
    "idle-notebooks": ["sagemaker:StartNotebookInstance"],
    "idle-studio-apps": ["sagemaker:CreateApp"],
    "idle-endpoints": ["sagemaker:CreateEndpoint", "sagemaker:CreateInferenceComponent"],
    "hung-training-jobs": [f"sagemaker:Create{kind}Job" for kind in ("Training", "Processing", "Transform")],
    "untagged-resources": ["sagemaker:DeleteTags", "s3:UntagResource"],
    "duplicate-artifacts": ["s3:CopyObject"],
    "forgotten-leftovers": ["logs:DeleteRetentionPolicy"],
}
KEY = "AKIAJANITOR"
"""The janitor's access key: what strikes it spares the people."""
OWN = ("dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:Query", "s3:PutObject")


@dataclass(slots=True)
class Clogged:
    """One call that times out; *late* is after it was done."""

    call: str
    skip: int
    late: bool


class Trouble:
    """All that goes wrong in one account, whose chances come from *random*; *struck* is what really did."""

    def __init__(self, control: Control, session: boto3.Session, random: Random) -> None:
        self.control, self.random = control, random
        self.struck: Counter[str] = Counter()
        self._clogged: Clogged | None = None
        session.events.register("before-send", self._send)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def refuse_reads(self) -> list[Fault]:
        """Calls that tell something about the account, and fail for a whole night, or once."""
        faults = [self._refusal() for _ in range(self.random.choice([1, 1, 2]))]
        for fault in faults:
            fault.apply(self.control)
        return faults

    def _refusal(self) -> Fault:
        kind = self.random.choice(READING)
        call = self.random.choice(PAGED if kind == "break-page" else CALLS)
        lasting, skip = self.chance(0.7), self.random.choice([0, 0, 0, 1, 3])
        if call == "s3:HeadObject":  # an answer to HEAD has no body to cut off
            kind = "deny"
        return Fault(call, kind, lasting=lasting, skip=0 if kind == "break-page" else skip)

    def strike(self, calls: Sequence[str], anywhere: int) -> str:
        """One call goes wrong: one that changes something, of the table's, or of the next *anywhere* ones."""
        call = self.random.choice([*calls, *calls, *OWN])
        kind = self.random.choice([*CHANGING, "timeout", "late", *DEATHS * 4])
        skip = self.random.choice([0, 0, 0, 1, 2, 4])
        if kind in DEATHS and self.chance(0.4):
            call, skip = "*:*", self.random.randrange(max(1, anywhere))
        if kind in {"timeout", "late"}:
            self._clogged = Clogged(call.partition(":")[2], skip, kind == "late")
        else:
            service, _, operation = call.partition(":")
            self.control.fault(service, operation, kind, skip=skip, principal=KEY)
        return f"{kind} at {call} after {skip}"

    def die(self) -> None:
        """The process that was killed is over, and the next one can begin; what else is wrong stays so."""
        self.control.revive()

    def end(self) -> None:
        """Everything works again."""
        for fault in self.control.faults():
            self.struck[fault["kind"]] += fault["struck"]
        self.control.clear_faults()
        self.control.revive()
        self._clogged = None

    def _send(self, request: AWSPreparedRequest, event_name: str = "", **_: Any) -> None:
        clogged = self._clogged
        if clogged is None or not event_name.endswith(f".{clogged.call}"):
            return
        if clogged.skip:
            clogged.skip -= 1
            return
        self._clogged = None
        self.struck["late" if clogged.late else "timeout"] += 1
        if not clogged.late:
            raise ConnectTimeoutError(endpoint_url=request.url)
        URLLib3Session().send(request)
        raise ReadTimeoutError(endpoint_url=request.url)
