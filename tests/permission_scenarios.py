"""What is done under the roles of a deployment or of a person, mode by mode; `recorder` records it."""

import json
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import commands
import one_of_each
from commands import Janitor
from conftest import ACCOUNT, REGION
from declared import Declared, Permission, granted, listed
from hosted import ARMED, ARMS, MINUTE, REFUSAL, Call, Host, Ran, Roles, broken, handed, now, told
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.client import scratch_folder
from ml_janitor.aws.tags import Arn
from ml_janitor.config.member_roles import RoleKind, member_role_name, role_arn
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Confidence, Finding, Target
from ml_janitor.core.results import Outcome, Result
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Actions, Stage
from ml_janitor.ledger.files import DESCRIPTIONS_KEY, FILE_KEY
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.requests import Holds
from ml_janitor.report.causes import cause_text
from ml_janitor.slack.client import UNFINISHED_REPLY
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET
from ml_janitor_sandbox.deployment import SIGNING
from ml_janitor_sandbox.function_url import event as url_event
from ml_janitor_sandbox.iam import IamControl
from ml_janitor_sandbox.slack import SlackControl
from narrowing import not_none
from one_of_each import SCRATCH
from recorder import IN_LAMBDAS_HANDS, Missed, Recording, Step, Wanted, nothing, runs_of
from standin import EMAILS, EVENTS, MEMBER, OWNER, STRANGER, event, own_signatures, undo_event

# --- every function with every event, where nothing is armed -------------------------------------------


def _keeps(one: Permission, detector: str) -> bool:
    """Whether a permission is for going on, in a next part, with a listing that ran out of time."""
    items = [value for _, _, values in one.when for value in values]
    reads = one.action == "s3:GetObject" and scratch_folder(detector) in one.resource
    writes = one.action == "dynamodb:PutItem" and any(item.startswith(FILE_KEY) for item in items)
    return reads or writes or one.action == "lambda:InvokeFunction"


def _spares_calls(one: Permission) -> bool:
    """Whether a permission is for kept descriptions: without them a run reads the same, in more calls."""
    items = [value for _, _, values in one.when for value in values]
    return f"/{DESCRIPTIONS_KEY}/" in one.resource or any(item.startswith(DESCRIPTIONS_KEY) for item in items)


DIGEST, BILL = "digest", "bill"
OF_ALL = {DIGEST, BILL}
"""The functions that are for all sweeps, and take a time only."""
FUNCTIONS = [*(detector.name for detector in DETECTORS), DIGEST, BILL]

FILES = sorted(path.stem for path in EVENTS.glob("*.json"))
OF_OTHERS = {"interact", "pressed", "undo"}
"""Events of functions that have no schedule, which make no sense to these."""

LIKE_SCHEDULED = {"manual-dry-run", "one-region", "stale"}
"""Events that have everything read once more; one detector's function stands for the handler of them all."""

AT = "2026-10-06T03:00:00Z"

SECRET_READ = "secretsmanager:GetSecretValue"
"""What a function needs only to tell Slack something."""

OF_FINDINGS = {"sagemaker:ListTags", "tag:GetResources"}
"""What is missed only of what would be found: whatever is kept anyway is kept whatever its tags say."""


@dataclass(frozen=True, slots=True)
class Invocations:
    """
    The function of *name* gets each file of events/, then an event for each kind of resource in its reports.

    Each comes as if it came first. Last, where Slack refuses the message: an event that failed after it was
    begun is forgotten. The bill then goes on with the one that was kept before.
    """

    name: str
    waste: tuple[str, ...] = ()
    idle: frozenset[tuple[str, str]] = frozenset()

    def steps(self, host: Host) -> Iterator[Step]:
        found = dict[tuple[str, ...], str]()
        for number, file in enumerate(self._files()):
            yield self._first(event(file), nothing if number else self._before)
            found = arn_of_each_kind(host.reports(host.function(self.name))) | found
        for arn in found.values():
            yield self._first({"time": AT, "resource": arn})
        if self.name not in OF_ALL:  # an event that fails is forgotten
            function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:janitor"
            yield self._first({"time": AT, "resource": function}, self._after)
        if found and any(one.name == self.name and one.cleanup for one in DETECTORS):
            yield Step(function=self.name, event=partial(self._back_again, next(iter(found.values()))))
        if self.name == BILL:
            yield self._next("2026-10-06T02:59:59Z")
        if self.name in OF_ALL:  # on the day of the weekly advice, and of the bill's table
            yield self._next("2026-10-05T03:00:02Z")
        if self.name in OF_ALL:
            yield self._next(
                "2026-10-06T03:00:01Z", lambda host: SlackControl(host.url).fault("error", times=0)
            )

    def wanted(self, host: Host, recording: Recording) -> list[Wanted]:
        """All that is declared; what tells Slack, and what only findings need, where there was a finding."""
        function = host.function(self.name)
        declared = host.declared.of_function(function)
        goes_on = {one for one in declared if _keeps(one, self.name)}  # no listing here runs out of time
        needs = declared - goes_on
        if self._had_to_tell(recording):
            sought = {one for one in needs if not _spares_calls(one)}
            return [Wanted(name=self.name, role=function.role, needs=needs, also=goes_on, sought=sought)]
        told_of = {one for one in needs if one.action not in {SECRET_READ, *OF_FINDINGS}}
        sought = {one for one in told_of if not _spares_calls(one)}
        needs = {one for one in needs if one.action != SECRET_READ}
        return [Wanted(name=self.name, role=function.role, needs=needs, also=goes_on, sought=sought)]

    def check(self, _: Host, recording: Recording) -> None:
        """Each event ended as it should."""
        for file, ran in zip(self._files(), runs_of(recording, self.name), strict=False):
            assert type(ran.error) is (self._failure(file) or type(None)), file

    def heard(self, host: Host, one: Missed) -> bool:
        return told(host, one)

    def _files(self) -> list[str]:
        """The files of events/ that it is invoked with; first what shows it everything."""
        all_of_them = self.name in {"idle-notebooks", *OF_ALL}
        files = [file for file in FILES if all_of_them or file not in LIKE_SCHEDULED]
        return sorted(files, key=lambda file: file != "scheduled")

    def _first(self, asked: dict[str, Any], arranged: Callable[[Host], object] = nothing) -> Step:
        """An event, where nothing is left of those before."""

        def forgotten(host: Host) -> dict[str, Any]:
            host.forget(host.function(self.name))
            return asked

        return Step(function=self.name, event=forgotten, arranged=arranged)

    def _next(self, at: str, arranged: Callable[[Host], object] = nothing) -> Step:
        return Step(function=self.name, event=lambda _: {"time": at}, arranged=arranged)

    def _before(self, host: Host) -> None:
        """There is something to sum up, of which something is due; and a bill that Slack did not take."""
        if self.name == DuplicateArtifacts.name:  # it asks CloudTrail what such an endpoint loads
            one_of_each.without_configuration(host.root("sagemaker"))
        host.invoke(host.function(DETECTORS[0].name), event("scheduled"))
        host.table.delete(f"{DESCRIPTIONS_KEY}#{ACCOUNT}", REGION)  # so that it is searched and kept anew
        ledger = Ledger(host.table, own_signatures())
        entry = next(iter(ledger.entries(DETECTORS[0].name, ACCOUNT, REGION)))
        ledger.warned(entry, now=host.now, due=host.now)  # which is due, unless somebody keeps it
        if self.name == DIGEST:
            pressed = Hold(key=f"{entry.arn}@before", how=HoldKind.KEPT, by="maria", given=host.now)
            Holds(host.table).put(ACCOUNT, REGION, pressed)  # of a version that held for good
            SlackControl(host.url).fault("error", times=0)
            host.invoke(host.function(BILL), {"time": "2026-10-06T02:59:59Z"})
            SlackControl(host.url).clear_faults()

    def _after(self, host: Host) -> None:
        if self.name == DuplicateArtifacts.name:
            host.root("sagemaker").delete_endpoint(EndpointName="rare-lost")

    def _back_again(self, arn: str, host: Host) -> dict[str, Any]:
        """What it did when it was armed saves nothing any more: the resource *arn* is there again."""
        host.forget(host.function(self.name))
        parts, earlier = Arn.parse(arn), host.now - timedelta(days=40)
        target = Target(
            arn=arn, name=parts.name, kind=parts.kind, account=ACCOUNT, region=REGION, created=earlier
        )
        verdict = Finding(reason="idle", confidence=Confidence.PROVEN, action="delete it", evidence=())
        result = Result(detector=self.name, target=target, verdict=verdict, outcome=Outcome.WAITING)
        done = Actions(host.table, own_signatures())
        done.acted(done.begin(result, {}, warned=earlier, now=earlier), earlier)
        return event("scheduled")

    def _failure(self, file: str) -> type[Exception] | None:
        """How it ends with a file of events/."""
        asked = event(file)
        if file == "malformed" or file in OF_OTHERS or (self.name in OF_ALL and set(asked) - {"time"}):
            return InvalidInputError
        detectors = [detector for detector in DETECTORS if detector.name == self.name]
        if "resource" in asked and not any(one.judges(Arn.parse(asked["resource"])) for one in detectors):
            return RunFailedError
        return None

    def _had_to_tell(self, recording: Recording) -> bool:
        """Whether it had anything to tell Slack: a sweep that found nothing in the demo has not."""
        answers = [ran.answer or {} for ran in runs_of(recording, self.name)]
        return self.name in OF_ALL or any(
            sweep["found"] for one in answers for sweep in one.get("sweeps", ())
        )


def arn_of_each_kind(reports: list[str]) -> dict[tuple[str, ...], str]:
    """
    An ARN of each kind in *reports* as JSON.

    Apps of different types belong to different things, and endpoints may have components, with tags.
    """
    found: dict[tuple[str, ...], str] = {}
    for text in reports:
        for result in json.loads(text).get("results", ()):
            kind, parts = Arn.parse(result["arn"]).kind, result["arn"].split("/")
            shared = any("inference component" in one["signal"] for one in result["evidence"])
            kinds = (kind, *(parts[3:4] if kind == "app" else ()), "shared" if shared else "")
            found.setdefault(kinds, result["arn"])
    return found


# --- what each armed detector does and somebody takes back ---------------------------------------------

UNDO = "undo"
OWN = {"dynamodb", "logs", "secretsmanager", "sqs"}
"""Services of which the undo function has something of its own; it undoes nothing there."""

TAGS = (("s3", "TagResource"), ("ecr", "TagResource"), ("sagemaker", "AddTags"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ActAndUndo:
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
        """By a command, somebody asks for what has that *name*; by a press, for the next that is not back."""
        host.later(MINUTE)
        wanted = next(
            one
            for one in sorted(host.actions(self.detector), key=lambda action: action.target.name)
            if (name in one.target.name if name else one.target.name != self.lost)
            if one.stage is not Stage.UNDONE
        )
        variables = host.function(UNDO).environment
        return undo_event(wanted, host.root("kms"), variables, at=host.now, by_hand=bool(name))

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
        reads |= {one for one in needs if one in pressing(host)}
        if not self.spared:  # nothing half done is reverted
            reads |= {one for one in needs if one.resource == host.deployed.signing_keys()["RequestKey"]}
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


ACTS_AND_UNDOS = {
    "idle-notebooks": ActAndUndo(
        detector="idle-notebooks",
        waste=["idle-notebooks"],
        breaks=[call("StopNotebookInstance")],
        first="notebook",
        halts=call("StartNotebookInstance"),
        own=True,
    ),
    "idle-studio-apps": ActAndUndo(
        detector="idle-studio-apps",
        waste=["idle-studio-apps"],
        breaks=[call("DeleteApp")],
        first="gpu",
        halts=call("CreateApp"),
    ),
    "idle-endpoints": ActAndUndo(
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
    "hung-training-jobs": ActAndUndo(
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
    "untagged-resources": ActAndUndo(
        detector="untagged-resources",
        waste=["untagged-resources"],
        further="untagged-kinds",
        breaks=one_by_one([(*each, key) for key in ("team", "owner") for each in TAGS]),
        first="untagged",
        halts=call("DeleteTags"),
    ),
    "duplicate-artifacts": ActAndUndo(
        detector="duplicate-artifacts",
        waste=["duplicate-artifacts"],
        breaks=[call("DeleteObject", "s3")],
        first="large",
        halts=call("CompleteMultipartUpload", "s3"),
    ),
    "storage-tiering": ActAndUndo(
        detector="storage-tiering",
        waste=["storage-tiering"],
        breaks=[call("PutBucketLifecycleConfiguration", "s3")],
        first=SCRATCH,
        halts=[*call("PutBucketLifecycleConfiguration", "s3"), *call("DeleteBucketLifecycle", "s3")],
        spared="",
    ),
    "unversioned": ActAndUndo(
        detector="duplicate-artifacts",
        waste=["unversioned"],
        breaks=[[]],
        first="large",
        halts=call("CompleteMultipartUpload", "s3"),
        spared="",
        idle=frozenset({("duplicate-artifacts", "s3:ListBucketVersions"), (UNDO, "s3:GetObjectVersion")}),
    ),
    "forgotten-leftovers": ActAndUndo(
        detector="forgotten-leftovers",
        waste=["forgotten-leftovers"],
        breaks=[call("PutRetentionPolicy", "logs")],
        first="kept-for-ever",
        halts=call("DeleteRetentionPolicy", "logs"),
    ),
}


# --- what is pressed below messages, by those who may and by those who may not -------------------------

RECEIVER, WORKER = "interact", "pressed"
NOTEBOOK = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/spared"


@dataclass(frozen=True, slots=True)
class Presses:
    """What is pressed: each word, by those who may and by those who may not. Untagged things abound."""

    waste: Sequence[str] = field(default_factory=lambda: [one for one in ARMS if one != "untagged-resources"])
    idle: frozenset[tuple[str, str]] = frozenset()

    def steps(self, _: Host) -> Iterator[Step]:
        """Everything is warned about; then each word is said."""
        for number, name in enumerate(ARMS):
            yield Step(function=name, event=now, arranged=nothing if number else owned)
        yield from said("keep", STRANGER, "idle-notebooks", "spared")
        yield from said("keep", OWNER, "idle-notebooks", "spared")
        yield from said("snooze", MEMBER, "idle-endpoints", "spared")
        for name in ARMS:
            yield from said("now", MEMBER, name, breaks=name == "idle-notebooks")
        yield Step(function="idle-notebooks", event=handed("IdleNotebooks"))
        starts = call("StartNotebookInstance")
        yield Step(function=UNDO, event=by_command, arranged=partial(broken, starts))
        for _asked_by in ("a command", "a press"):
            yield from said("undo", MEMBER, "idle-notebooks", "notebook")
            yield Step(function=UNDO, event=handed("Undo"), arranged=partial(broken, starts))
        yield Step(function=UNDO, event=handed("Undo"), arranged=unheard)
        yield Step(function="idle-notebooks", event=now, arranged=heard_again)

    def wanted(self, host: Host, _: Recording) -> list[Wanted]:
        """All of the two that hear a press; of a sweep, what it takes to grant one and to say what became."""
        functions = [host.function(name) for name in (RECEIVER, WORKER)]
        sweep = host.function("idle-notebooks")
        needs, all_of_it = pressing(host), host.declared.of_function(sweep)
        return [
            *(
                Wanted(name=one.name, role=one.role, needs=host.declared.of_function(one))
                for one in functions
            ),
            Wanted(name=sweep.name, role=sweep.role, needs=needs, also=all_of_it - needs),
        ]

    def check(self, host: Host, recording: Recording) -> None:
        """Each press had its effect, but for the stranger's."""
        error, *halted = [str(ran.error) for _, ran in recording if ran.error is not None]
        assert "ResourceNotFoundException" in error
        assert len(halted) == 3
        assert all("could not be brought back" in one for one in halted), halted
        slack = SlackControl(host.url)
        *refused, unfinished = [answer["text"] for answer in slack.responses()]
        assert {one.partition(" and ")[0] for one in refused} == {"Nothing was changed: only its owner"}
        assert unfinished == UNFINISHED_REPLY
        texts = {message["text"].partition(" (UTC)")[0] for message in slack.messages()}
        assert [one for one in texts if one.startswith("spared: Kept until Sun 4 Apr")]
        assert len([one for one in texts if "Do it now, said Dina Okafor" in one]) == len(ARMS) - 1
        (back,) = [one for one in texts if one.startswith("notebook: Stopped")]
        assert "because Dina Okafor pressed Do it now. Brought back on" in back

    def heard(self, host: Host, one: Missed) -> bool:
        """Who pressed does if nothing comes of that: by Slack itself, unless the press was taken."""
        if one.function == RECEIVER:
            in_its_hands = not set(listed(one.statement["Action"])) <= IN_LAMBDAS_HANDS
            assert not_none(one.ran.answer)["statusCode"] == (503 if in_its_hands else 200)
        signing = any(SIGNING in resource for _, resource in one.ran.denied)
        if (
            one.function == WORKER and one.ran.answer is None and not signing
        ):  # nobody answers what may be forged
            assert SlackControl(host.url).responses()[-1]["text"] == UNFINISHED_REPLY
        return told(host, one)


def pressing(host: Host) -> set[Permission]:
    """What verifies requests and undos."""
    keys = host.deployed.signing_keys()
    return {Permission("kms:VerifyMac", keys[key]) for key in ("RequestKey", "UndoProgressKey")}


def by_command(host: Host) -> dict[str, Any]:
    host.later(MINUTE)
    (done,) = host.actions("idle-notebooks")
    variables = host.function(UNDO).environment
    return undo_event(done, host.root("kms"), variables, at=host.now, by_hand=True)


def unheard(host: Host) -> None:
    """AWS works again, and Slack takes no change of a message."""
    broken((), host)
    SlackControl(host.url).fault("error", method="chat.update", times=0)


def heard_again(host: Host) -> None:
    SlackControl(host.url).clear_faults()


def owned(host: Host) -> None:
    owner = [{"Key": "owner", "Value": EMAILS[OWNER]}]
    host.root("sagemaker").add_tags(ResourceArn=NOTEBOOK, Tags=owner)


def said(word: str, user: str, detector: str, about: str = "", *, breaks: bool = False) -> Iterator[Step]:
    """A press at the URL, and what is done with it: twice, as Lambda may; the first time may *break* off."""
    yield Step(function=RECEIVER, event=partial(pressed, word, user, detector, about))
    yield Step(function=WORKER, event=handed("SlackWorker"), arranged=gone if breaks else nothing)
    yield Step(function=WORKER, event=handed("SlackWorker"), arranged=partial(broken, ()))


def pressed(word: str, user: str, detector: str, about: str, host: Host) -> dict[str, Any]:
    """
    The event of a press on the newest button *word* below a finding of *detector*.

    *about* is what the message says of it.
    """
    host.later(MINUTE)
    slack = SlackControl(host.url)
    found = (
        message["ts"]
        for message in reversed(slack.messages())
        for block in message["blocks"]
        for button in block.get("elements", ())
        if button.get("action_id") == f"janitor:{word}"
        if button["value"].startswith(f"{detector} ")
        if about in message["text"]
    )
    signed = slack.press(next(found), f"janitor:{word}", user=user)
    return url_event(signed.headers, signed.body, at=host.now)


def gone(host: Host) -> None:
    """What a press is handed to is not there for a moment."""
    code = "ResourceNotFoundException"
    Control(host.url).fault("lambda", "Invoke*", "error", status=404, code=code, times=0)


# --- somebody at a laptop, whose role holds what `janitor doctor --policy` prints ----------------------

PERSON = f"arn:aws:iam::{ACCOUNT}:role/auditor"
CONTENTS = f'duplicate-artifacts.read_contents_in=["{MODEL_BUCKET}", "rare-encrypted"]'
WITH_CONTENTS = ("--set", CONTENTS)
OPENS = {"s3:GetObject", "kms:Decrypt"}
"""What only the contents of objects need."""

READS = {grant.action for one in DETECTORS for grant in one().reads}

ASKED = {(grant.action, grant.on) for one in DETECTORS for grant in one().reads}


def judged_by(one: Permission) -> bool:
    """Whether the action is judged by that resource: statements of whole kinds name those of others too."""
    on = one.resource.split(":", 5)[-1]
    return one.action not in {action for action, _ in ASKED if action.startswith("sagemaker:")} or bool(
        {(one.action, on), (one.action, one.resource)} & ASKED
    )


READS_LEDGER = {"cloudformation:ListStackResources", "dynamodb:Query"}
"""What `explain` finds a deployment and reads its ledger with; the account of these scenarios has none."""


class Person:
    """Types commands under the policy for detectors of these *names*, or all, with these *options*."""

    def __init__(self, box: Control, janitor: Janitor, patch: pytest.MonkeyPatch) -> None:
        self.url, self.iam, self.janitor, self.patch = box.url, IamControl(box.url), janitor, patch
        self.policies: list[dict[str, Any]] = []
        self.ran = commands.Ran(0, "", "")

    def prints(self, *args: str) -> list[dict[str, Any]]:
        """What doctor prints, without credentials and without a call: from now on that is the policy."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            self.patch.delenv(name, raising=False)
        Control(self.url).clear_calls()
        ran = self.janitor("doctor", *args, "--policy")
        assert ran.status == 0
        assert Control(self.url).calls() == {}
        assert ran.err == ""
        self.policies = [ran.document]
        return self.policies

    def roles(self) -> Roles:
        return {PERSON: {"policies": self.policies, "trust": None}}

    def role_of(self, _: str) -> str:
        return PERSON

    def enforce(self, roles: Roles | None = None) -> None:
        self.iam.enforce(self.roles() if roles is None else roles)

    def run(self, name: str, asked: tuple[str, ...]) -> Ran:
        """One command; what it printed is its log."""
        for key, value in self.iam.credentials(PERSON).items():
            self.patch.setenv(key.upper(), str(value))
        self.iam.forget()
        self.ran = self.janitor(name, *asked)
        return Ran.of(PERSON, self.iam.record(), answer={"status": self.ran.status}, log=self.ran.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """
    An audit by detectors of these *names*, or all, and an explanation of one of each kind that it looked at.

    Its policy is for *allowed* detectors. Of a policy for more than it does, only the *actions* are needed.
    """

    names: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    actions: frozenset[str] = frozenset()
    waste: tuple[str, ...] = ()
    idle: frozenset[tuple[str, str]] = frozenset()

    def steps(self, person: Person) -> Iterator[Step]:
        yield Step(function="audit", event=lambda _: (*self.names, "--json", "--all", *self.options))
        if not self.actions:
            for arn in arn_of_each_kind([person.ran.out]).values():
                yield Step(function="explain", event=partial(self._about, arn))

    def _about(self, arn: str, _: Person) -> tuple[str, ...]:
        return (arn, "--json", *self.options)

    def wanted(self, person: Person, _: Recording) -> list[Wanted]:
        held = granted(person.roles()[PERSON])
        needs = {one for one in held if not self.actions or one.action in self.actions}
        needs = {one for one in needs if judged_by(one) and one.action not in READS_LEDGER}
        return [Wanted(name="person", role=PERSON, needs=needs, also=held - needs, merged=True)]

    def check(self, person: Person, recording: Recording) -> None:
        """The policy is that of what is read, and no answer was half of one."""
        assert recording[0][1].answer == {"status": 0}
        reads = {
            grant.action
            for one in DETECTORS
            if not self.allowed or one.name in self.allowed
            for grant in one().reads
        }
        opens = OPENS if self.options else set()
        assert {one.action for one in granted(person.roles()[PERSON])} == reads | READS_LEDGER | opens

    def heard(self, _: Person, one: Missed) -> bool:
        """What it prints is not what it prints with all of the policy."""
        return one.ran.log != one.complete.log
