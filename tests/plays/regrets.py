"""What each armed detector does and somebody takes back, in the janitor's account or in one of many."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from conftest import ACCOUNT, REGION
from declared import Declared, granted, listed
from hosted import Host
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.config.member_roles import RoleKind, member_role_name, role_arn
from ml_janitor.config.settings import Settings
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.requests import Holds
from ml_janitor.report.causes import cause_text
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.slack import SlackControl
from one_of_each import SCRATCH
from plays.dry import SECRET_READ
from recorder import IN_LAMBDAS_HANDS, Missed, Recording, Step, Wanted, nothing, runs_of
from theatre import ARMED, ARMS, MINUTE, REFUSAL, Call, broken, handed, now, told

UNDO = "undo"
OWN = {"dynamodb", "logs", "secretsmanager", "sqs"}
"""Services of which the undo function has something of its own; it undoes nothing there."""

TAGS = (("s3", "TagResource"), ("ecr", "TagResource"), ("sagemaker", "AddTags"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """
    What *detector* does, and somebody takes back.

    Before its acts come to work, they break off at *breaks*, night after night; that on what is called
    *spared* stays so. The undo of *first* breaks off: where something *unlucky* happens while it waits,
    and at the calls *halts*. *lost* cannot be brought back. *meanwhile* is what somebody does before.
    *further* waste needs no statement of its own, only resources in it: it appears once all is back, because
    each break is tried on all that is there.
    """

    detector: str
    waste: Sequence[str]
    breaks: Sequence[Sequence[Call]]
    first: str
    halts: Sequence[Call]
    further: str = ""
    spared: str = "spared"
    lost: str = ""
    meanwhile: Callable[[Host], None] = nothing
    unlucky: Sequence[Callable[[Host], None]] = ()
    idle: frozenset[tuple[str, str]] = frozenset()
    own: bool = False
    """Whether the statements for what is the undo function's own are missed here."""

    def steps(self, host: Host) -> Iterator[Step]:
        """Acts that break off, all but one resumed; that one put back, and then the others too."""
        yield Step(function=self.detector, event=now)
        for number, calls in enumerate(self.breaks):
            yield Step(function=self.detector, event=now, arranged=partial(_breaks, calls, first=not number))
        yield Step(function=self.detector, event=now, arranged=self._works)
        if self.spared:
            yield Step(function=UNDO, event=handed("Undo"), arranged=self.meanwhile)
        first = partial(self._wanted_back, self.first)
        for what in self.unlucky:
            yield Step(function=UNDO, event=first, arranged=partial(_happens, what))
        yield Step(function=UNDO, event=first, arranged=partial(broken, self.halts))
        yield Step(function=self.detector, event=now, arranged=partial(broken, ()))
        yield Step(function=UNDO, event=handed("Undo"))
        yield from self._all_back(host)
        if self.lost:
            yield Step(function=UNDO, event=partial(self._wanted_back, self.lost))
        if self.further:
            yield Step(function=self.detector, event=now, arranged=partial(_appears, self.further))
            yield Step(function=self.detector, event=now)  # warns of what one sweep does not
            yield Step(function=self.detector, event=now, arranged=_grace_is_over)
            yield from self._all_back(host)

    def _all_back(self, host: Host) -> Iterator[Step]:
        """One after the other is put back, but what is lost."""
        left = [one for one in host.actions(self.detector) if one.stage is not Stage.UNDONE]
        for _ in range(len(left) - bool(self.lost)):
            yield Step(function=UNDO, event=partial(self._wanted_back, ""))

    def _works(self, host: Host) -> None:
        """Somebody keeps what is half done by now."""
        broken((), host)
        if self.spared:
            (half,) = (one for one in host.actions(self.detector) if self.spared in one.target.name)
            hold = Hold(key=half.target.key, how=HoldKind.KEPT, by="maria", given=host.now)
            Holds(host.table).put(ACCOUNT, REGION, hold)

    def _wanted_back(self, name: str, host: Host) -> dict[str, Any]:
        """Somebody asks for what has that *name*, or for the next that is not back."""
        host.later(MINUTE)
        wanted = next(
            one
            for one in sorted(host.actions(self.detector), key=lambda action: action.target.name)
            if (name in one.target.name if name else one.target.name != self.lost)
            if one.stage is not Stage.UNDONE
        )
        return {"detector": self.detector, "region": REGION, "finding": wanted.id, "by": "maria"}

    def wanted(self, host: Host, _: Recording) -> list[Wanted]:
        """
        What its own function needs to act, and the undo function if this detector alone were armed.

        What reading needs is tried by dry runs over more than is here. Of an organization it is the roles of
        the account that hold what changes something.
        """

        if host.members:
            return list(self._of_members(host))
        tables = tomllib.loads(ARMED)
        tables["detectors"] = {self.detector: tables["detectors"][self.detector]}
        own, undo = host.function(self.detector), host.function(UNDO)
        needs, reads = host.declared.of_function(own), host.unarmed().of_function(own)
        undoes = Declared(host.deployed, Settings.parse(tables)).of_function(undo)
        sought = {one for one in undoes if self.own or one.action.partition(":")[0] not in OWN}
        return [
            Wanted(name=self.detector, role=own.role, needs=needs - reads, also=reads),
            Wanted(name=UNDO, role=undo.role, needs=undoes, sought=sought),
        ]

    def _of_members(self, host: Host) -> Iterator[Wanted]:
        settings = host.declared.settings
        (rule,) = (one for one in settings.armed() if one.name == self.detector)
        for kind, grants, function in (
            (RoleKind.ACT, rule.acts, rule.name),
            (RoleKind.UNDO, rule.undoes, UNDO),
        ):
            arn = role_arn(settings, member_role_name(rule.name, kind), account=ACCOUNT, partition="aws")
            held, changing = granted(host.members[arn]), {one.action for one in grants}
            needs = {one for one in held if one.action in changing}
            yield Wanted(name=function, role=arn, needs=needs, also=held - needs)

    def check(self, host: Host, recording: Recording) -> None:
        """All was done, and all came back but what is lost."""
        assert runs_of(recording, self.detector)[1 + len(self.breaks)].error is None
        done = host.actions(self.detector)
        assert len(done) > 1
        assert {one.target.name for one in done if one.stage is not Stage.UNDONE} == {self.lost} - {""}
        broke = [ran.error for ran in runs_of(recording, UNDO) if ran.error is not None]
        assert len(broke) == 1 + len(self.unlucky) + bool(self.lost), broke
        own = host.deployed.one("AWS::S3::Bucket")
        for use in {use for _, ran in recording for use in ran.uses if host.members}:
            service = use.action.partition(":")[0]
            assert service not in {"ecr", "sagemaker"}, "the account's own roles do that"
            assert service != "s3" or use.resource.startswith(own), use

    def heard(self, host: Host, one: Missed) -> bool:
        """What cannot be brought back says so in the ledger and in its message, with the call refused."""
        actions = set(listed(one.statement["Action"]))
        if isinstance(one.ran.error, CannotUndoError) and not actions <= {*IN_LAMBDAS_HANDS, SECRET_READ}:
            refusal = str(one.ran.error)
            known = (each for name in ARMS for each in host.actions(name))
            (broke,) = (
                each for each in known if each.broke and each.error is not None and str(each.error) in refusal
            )
            (text,) = (
                each["text"] for each in SlackControl(host.url).messages() if each["ts"] == broke.message
            )
            for words in (cause_text(broke.error), text):
                assert REFUSAL.search(words), f"{sorted(one.ran.denied)}: {words}"
        return told(host, one)


def _breaks(calls: Sequence[Call], host: Host, *, first: bool = False) -> None:
    """AWS fails these; before the *first* of them, the grace goes by."""
    if first:
        _grace_is_over(host)
    broken(calls, host)


def _grace_is_over(host: Host) -> None:
    host.later(75 * MINUTE)


def _appears(waste: str, host: Host) -> None:
    host.add(waste)
    host.later(0 * MINUTE)


def _happens(what: Callable[[Host], None], host: Host) -> None:
    host.meanwhile = lambda: what(host)


def configurations_are_deleted(host: Host) -> None:
    for name in ("churn", "second"):
        host.root("sagemaker").delete_endpoint_config(EndpointConfigName=name)


def failed(collection: str, name: str, member: str) -> Callable[[Host], None]:
    """AWS has no capacity for it."""

    def fails(host: Host) -> None:
        said = {member: "Failed", "FailureReason": "InsufficientInstanceCapacity"}
        with suppress(SandboxError):  # it is not created yet
            Control(host.url).patch("sagemaker", [collection, name], **said)

    return fails


def call(operation: str, service: str = "sagemaker") -> list[Call]:
    return [(service, operation, None)]


def one_by_one(calls: Sequence[Call]) -> list[Sequence[Call]]:
    """First all are broken, and then one after the other works again, but for the last."""
    return [calls[number:] for number in range(len(calls))]


REGRETS = {
    "idle-notebooks": Regret(
        detector="idle-notebooks",
        waste=["idle-notebooks"],
        breaks=[call("StopNotebookInstance")],
        first="notebook",
        halts=call("StartNotebookInstance"),
        own=True,
    ),
    "idle-studio-apps": Regret(
        detector="idle-studio-apps",
        waste=["idle-studio-apps"],
        breaks=[call("DeleteApp")],
        first="gpu",
        halts=call("CreateApp"),
    ),
    "idle-endpoints": Regret(
        detector="idle-endpoints",
        waste=["idle-endpoints"],
        breaks=[call("DeleteEndpoint")],
        first="second",
        halts=call("CreateInferenceComponent"),
        spared="gateway",
        meanwhile=configurations_are_deleted,
        unlucky=[
            failed("endpoints", "second", "EndpointStatus"),
            failed("inference_components", "only", "InferenceComponentStatus"),
        ],
    ),
    "hung-training-jobs": Regret(
        detector="hung-training-jobs",
        waste=["hung-training-jobs"],
        breaks=one_by_one(
            [
                ("sagemaker", f"{operation}Job", None)
                for operation in (
                    *("StopHyperParameterTuning", "StopProcessing", "StopTransform", "StopTraining"),
                    "UpdateTraining",
                )
            ]
        ),
        first="job",
        halts=call("CreateTrainingJob"),
        lost="search",
    ),
    "untagged-resources": Regret(
        detector="untagged-resources",
        waste=["untagged-resources"],
        further="untagged-kinds",
        breaks=one_by_one([(*each, key) for key in ("team", "owner") for each in TAGS]),
        first="untagged",
        halts=call("DeleteTags"),
    ),
    "duplicate-artifacts": Regret(
        detector="duplicate-artifacts",
        waste=["duplicate-artifacts"],
        breaks=[call("DeleteObject", "s3")],
        first="large",
        halts=call("CompleteMultipartUpload", "s3"),
    ),
    "storage-tiering": Regret(
        detector="storage-tiering",
        waste=["storage-tiering"],
        breaks=[call("PutBucketLifecycleConfiguration", "s3")],
        first=SCRATCH,
        halts=[*call("PutBucketLifecycleConfiguration", "s3"), *call("DeleteBucketLifecycle", "s3")],
        spared="",
    ),
    "unversioned": Regret(
        detector="duplicate-artifacts",
        waste=["unversioned"],
        breaks=[[]],
        first="large",
        halts=call("CompleteMultipartUpload", "s3"),
        spared="",
        idle=frozenset({("duplicate-artifacts", "s3:ListBucketVersions"), (UNDO, "s3:GetObjectVersion")}),
    ),
    "forgotten-leftovers": Regret(
        detector="forgotten-leftovers",
        waste=["forgotten-leftovers"],
        breaks=[call("PutRetentionPolicy", "logs")],
        first="kept-for-ever",
        halts=call("DeleteRetentionPolicy", "logs"),
    ),
}
