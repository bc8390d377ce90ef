"""Acts, undos and presses under the template's roles: nothing is missing, and nothing is held in vain."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import boto3
import pytest
from botocore.exceptions import ClientError

from condemned import ATOMIC, BUCKET, ROLE, SCRATCH
from conftest import ACCOUNT, REGION
from declared import Declared, Permission, granted, granted_by, listed, used
from hosted import LAMBDA, Host
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.client import Aws
from ml_janitor.config.member_roles import Kind, role_arn, role_name
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.holds import Hold, How
from ml_janitor.ledger.action import Stage
from ml_janitor.ledger.holds import Holds
from ml_janitor.slack.webhook import UNFINISHED
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.deployment import SIGNING
from ml_janitor_sandbox.function_url import event as url_event
from ml_janitor_sandbox.slack import SlackControl
from organization import Organization, OrganizationHost
from recorder import (
    ARMED,
    ARMS,
    IN_EVERY_RUN,
    IN_LAMBDAS_HANDS,
    MINUTE,
    REFUSAL,
    Call,
    Missed,
    Recording,
    Step,
    Theatre,
    actions,
    broken,
    check,
    exactly,
    handed,
    missed,
    mutants,
    nothing,
    now,
    record,
    runs_of,
)
from samples import share
from slackside import EMAILS, MEMBER, OWNER, STRANGER

UNDO, RECEIVER, WORKER = "undo", "interact", "pressed"
OWN = {"dynamodb", "logs", "secretsmanager", "sqs"}
"""Services of which the undo function has something of its own; it undoes nothing there."""

TAGS = (("s3", "TagResource"), ("ecr", "TagResource"), ("sagemaker", "AddTags"))
NOTEBOOK = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/spared"

type Needs = Mapping[str, set[Permission]]
"""By function."""


class Play(Protocol):
    """
    What happens in an account with *waste*, and what functions *need* for it.

    Each statement for what is *sought* is missed. What is *resting* or *idle* none of it needs.
    """

    @property
    def waste(self) -> Sequence[str]: ...
    @property
    def idle(self) -> frozenset[tuple[str, str]]: ...
    def steps(self, host: Host) -> Iterable[Step]: ...
    def needs(self, theatre: Theatre) -> Needs: ...
    def resting(self, theatre: Theatre) -> Needs: ...
    def sought(self, theatre: Theatre) -> Needs: ...
    def check(self, host: Host, recording: Recording) -> None: ...


# --- acts, and undos -------------------------------------------------------------------------------


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
        yield Step(function=UNDO, event=first, arranged=partial(_breaks, self.halts))
        yield Step(function=self.detector, event=now, arranged=partial(_breaks, ()))
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
        left = [one for one in actions(host, self.detector) if one.stage is not Stage.UNDONE]
        for _ in range(len(left) - bool(self.lost)):
            yield Step(function=UNDO, event=partial(self._wanted_back, ""))

    def _works(self, host: Host) -> None:
        """Somebody keeps what is half done by now."""
        broken(host, [])
        if self.spared:
            (half,) = (one for one in actions(host, self.detector) if self.spared in one.target.name)
            hold = Hold(key=half.target.key, how=How.KEPT, by="maria", given=host.now)
            Holds(host.table).put(ACCOUNT, REGION, hold)

    def _wanted_back(self, name: str, host: Host) -> dict[str, Any]:
        """Somebody asks for what has that *name*, or for the next that is not back."""
        host.later(MINUTE)
        wanted = next(
            one
            for one in sorted(actions(host, self.detector), key=lambda action: action.target.name)
            if (name in one.target.name if name else one.target.name != self.lost)
            if one.stage is not Stage.UNDONE
        )
        return {"detector": self.detector, "region": REGION, "finding": wanted.id, "by": "maria"}

    def needs(self, theatre: Theatre) -> Needs:
        """Of its own function, and of the undo function if this detector alone were armed."""
        tables = tomllib.loads(ARMED)
        tables["detectors"] = {self.detector: tables["detectors"][self.detector]}
        deployed = theatre.armed.deployed
        alone = Declared(deployed, Settings.parse(tables))
        by_name = {one.name: one for one in deployed.functions()}
        return {
            self.detector: theatre.armed.of_function(by_name[self.detector]),
            UNDO: alone.of_function(by_name[UNDO]),
        }

    def resting(self, theatre: Theatre) -> Needs:
        """What reading needs as well: dry runs over more than is here try that."""
        return {self.detector: theatre.reading(self.detector), UNDO: set()}

    def sought(self, theatre: Theatre) -> Needs:
        needs, reads = self.needs(theatre), self.resting(theatre)[self.detector]
        undoes = {one for one in needs[UNDO] if self.own or one.action.partition(":")[0] not in OWN}
        return {self.detector: needs[self.detector] - reads, UNDO: undoes}

    def check(self, host: Host, recording: Recording) -> None:
        """All was done, and all came back but what is lost."""
        assert runs_of(recording, self.detector)[1 + len(self.breaks)].error is None
        done = actions(host, self.detector)
        assert len(done) > 1
        assert {one.target.name for one in done if one.stage is not Stage.UNDONE} == {self.lost} - {""}
        broke = [ran.error for ran in runs_of(recording, UNDO) if ran.error is not None]
        assert len(broke) == 1 + len(self.unlucky) + bool(self.lost), broke


def _breaks(calls: Sequence[Call], host: Host, *, first: bool = False) -> None:
    """AWS fails these; before the *first* of them, the grace goes by."""
    host.meanwhile = lambda: None
    if first:
        _grace_is_over(host)
    broken(host, calls)


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


# --- presses ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Presses:
    """What is pressed: each word, by those who may and by those who may not. Untagged things abound."""

    waste: Sequence[str] = field(default_factory=lambda: [one for one in ARMS if one != "untagged-resources"])
    idle: frozenset[tuple[str, str]] = frozenset()

    def steps(self, _: Host) -> Iterator[Step]:
        """Everything is warned about; then each word is said."""
        for name in ARMS:
            yield Step(function=name, event=now)
        yield from said("keep", STRANGER, "idle-notebooks", "spared")
        yield from said("keep", OWNER, "idle-notebooks", "spared")
        yield from said("snooze", MEMBER, "idle-endpoints", "spared")
        yield Step(function=WORKER, event=not_for_us)
        for name in ARMS:
            yield from said("now", MEMBER, name, breaks=name == "idle-notebooks")
        yield Step(function="idle-notebooks", event=handed("IdleNotebooks"))
        yield from said("undo", MEMBER, "idle-notebooks", "notebook")
        yield Step(function=UNDO, event=handed("Undo"))

    def needs(self, theatre: Theatre) -> Needs:
        functions = {one.name: one for one in theatre.armed.deployed.functions()}
        return {name: theatre.armed.of_function(functions[name]) for name in (RECEIVER, WORKER)}

    def resting(self, _: Theatre) -> Needs:
        return {RECEIVER: set(), WORKER: set()}

    def sought(self, theatre: Theatre) -> Needs:
        return self.needs(theatre)

    def check(self, host: Host, recording: Recording) -> None:
        """Each press had its effect, but for the stranger's."""
        (error,) = [str(ran.error) for _, ran in recording if ran.error is not None]
        assert "ResourceNotFoundException" in error
        slack = SlackControl(host.url)
        answers = [answer["text"] for answer in slack.responses()]
        *refused, unfinished = [one for one in answers if "newer message of advice" not in one]
        assert len(answers) == len(refused) + 2
        assert {one.partition(" and ")[0] for one in refused} == {"Nothing was changed: only its owner"}
        assert unfinished == UNFINISHED
        texts = {message["text"].partition(" (UTC)")[0] for message in slack.messages()}
        assert [one for one in texts if one.startswith("spared: Kept for good by Maria Lopez on Tue 6 Oct")]
        assert len([one for one in texts if "Do it now, said Dina Okafor" in one]) == len(ARMS) - 1
        (back,) = [one for one in texts if one.startswith("notebook: Stopped")]
        assert "because Dina Okafor pressed Do it now. Brought back on" in back


def not_for_us(host: Host) -> dict[str, Any]:
    """The last press again, as if on a piece of advice in a message that is not the newest."""
    return handed("SlackWorker")(host) | {"action": "janitor:not-for-us"}


def said(word: str, user: str, detector: str, about: str = "", *, breaks: bool = False) -> Iterator[Step]:
    """A press at the URL, and what is done with it: twice, as Lambda may; the first time may *break* off."""
    yield Step(function=RECEIVER, event=partial(pressed, word, user, detector, about))
    yield Step(function=WORKER, event=handed("SlackWorker"), arranged=gone if breaks else nothing)
    yield Step(function=WORKER, event=handed("SlackWorker"), arranged=partial(_breaks, ()))


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


# --- what is needed, and what for ------------------------------------------------------------------

PLAYS: Mapping[str, Play] = {**REGRETS, "presses": Presses()}


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    return Theatre(tmp_path_factory.mktemp("task"))


@pytest.fixture
def staged(
    theatre: Theatre, box: Control, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Play], Host]:
    """The deployment in an account with waste; one notebook is Maria's."""
    monkeypatch.setattr("ml_janitor.detectors.duplicate_artifacts.copy_return.ATOMIC", ATOMIC)

    def made(play: Play) -> Host:
        host = theatre.host(box, session, aws, *play.waste)
        if isinstance(play, Presses):
            owner: Any = [{"Key": "owner", "Value": EMAILS[OWNER]}]
            session.client("sagemaker").add_tags(ResourceArn=NOTEBOOK, Tags=owner)
        return host

    return made


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    """What was recorded before."""
    return {}


def test_every_detector_that_acts_is_regretted() -> None:
    assert {one.detector for one in REGRETS.values()} == {one.name for one in DETECTORS if one.cleanup}


@pytest.mark.parametrize("name", share(PLAYS, 5, always={IN_EVERY_RUN}))
def test_functions_ask_for_all_that_is_declared_and_for_nothing_else(
    theatre: Theatre, staged: Callable[[Play], Host], recordings: dict[str, Recording], name: str
) -> None:
    play = PLAYS[name]
    host = staged(play)

    recording = recordings[name] = record(host, play.steps(host))

    assert [ran.denied for _, ran in recording if ran.denied] == []
    play.check(host, recording)
    unused = set()
    for function, needs in play.needs(theatre).items():
        uses = exactly(host, function, recording)
        assert uses <= needs
        unused |= {(function, one.action) for one in needs - uses - play.resting(theatre)[function]}
    assert unused == play.idle


class OfOrganization(Theatre):
    """The same for an organization of which the janitor's own account is a member, looked at as all are."""

    kind = OrganizationHost
    toml = f"""{ARMED}
[organization]
accounts = ["{ACCOUNT}"]
janitor_account = "{ACCOUNT}"
callers = ["arn:aws:iam::{ACCOUNT}:role/platform"]
external_id = "ml-janitor-7f3a"
regions = ["{REGION}"]
"""


@pytest.fixture(scope="module")
def organization(tmp_path_factory: pytest.TempPathFactory) -> OfOrganization:
    return OfOrganization(tmp_path_factory.mktemp("task"))


@pytest.fixture
def in_accounts(
    organization: OfOrganization,
    box: Control,
    session: boto3.Session,
    aws: Aws,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Play], Host]:
    """The deployment for an organization, and the roles of its account."""
    monkeypatch.setattr("ml_janitor.detectors.duplicate_artifacts.copy_return.ATOMIC", ATOMIC)

    def made(play: Play) -> Host:
        host = organization.host(box, session, aws, *play.waste)
        accounts = Organization(url=box.url, id="", members=(ACCOUNT,), units={})
        host.members = accounts.granted(host.declared.settings, ACCOUNT)
        return host

    return made


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "idle-notebooks" else pytest.mark.long)
        for name, play in PLAYS.items()
        if isinstance(play, Regret)
    ],
)
def test_roles_of_an_organization_act_and_undo_and_hold_nothing_else(
    in_accounts: Callable[[Play], Host], name: str
) -> None:
    play = REGRETS[name]
    host = in_accounts(play)
    settings, roles = host.declared.settings, host.members

    recording = record(host, play.steps(host))

    assert [ran.denied for _, ran in recording if ran.denied] == []
    play.check(host, recording)
    detector = next(one for one in settings.armed() if one.name == play.detector)
    declared = {
        role_name(detector.name, Kind.ACT): (detector.acts, detector.name),
        role_name(detector.name, Kind.UNDO): (detector.undoes, UNDO),
    }
    for role, (grants, function) in declared.items():
        arn = role_arn(settings, role, account=ACCOUNT, partition="aws")
        uses = {use for _, ran in recording for use in ran.elsewhere.get(arn, ())}
        by = {use: used(roles[arn], use) for use in uses}
        assert {use: found for use, found in by.items() if len(found) != 1} == {}
        changing = {one.action for one in grants}
        unused = granted(roles[arn]) - {one for found in by.values() for one in found}
        idle = {action for each, action in play.idle if each == function}
        assert {one.action for one in unused if one.action in changing} == idle
    own = host.deployed.one("AWS::S3::Bucket")
    for use in {use for _, ran in recording for use in ran.uses}:
        service = use.action.partition(":")[0]
        assert service not in {"ecr", "sagemaker"}
        assert service != "s3" or use.resource.startswith(own), use


@pytest.mark.parametrize("name", mutants(name for name, play in PLAYS.items() if not play.idle))
def test_each_statement_is_missed_and_the_refusal_is_told(
    theatre: Theatre, staged: Callable[[Play], Host], recordings: dict[str, Recording], name: str
) -> None:
    play = PLAYS[name]
    recording = recordings.get(name) or record(first := staged(play), play.steps(first))
    host, sought = staged(play), play.sought(theatre)

    def concerned(function: str, statement: Mapping[str, Any]) -> bool:
        return bool(granted_by(statement) & sought.get(function, set()))

    check(host, heard(host, missed(host, recording, concerned)), concerned, of=sought)


def heard(host: Host, tried: Iterator[Missed]) -> Iterator[Missed]:
    """
    Those who asked hear of it.

    Who pressed does if nothing comes of that: by Slack itself, unless the press was taken. What cannot be
    brought back says so in the ledger and in its message, each with the call refused.
    """
    for one in tried:
        in_its_hands = not set(listed(one.statement["Action"])) <= IN_LAMBDAS_HANDS
        if one.function == RECEIVER:
            assert one.ran.answer is not None
            assert one.ran.answer["statusCode"] == (503 if in_its_hands else 200)
        if one.function == WORKER and one.ran.answer is None:
            assert SlackControl(host.url).responses()[-1]["text"] == UNFINISHED
        tells_only = listed(one.statement["Action"]) == ["secretsmanager:GetSecretValue"]
        if isinstance(one.ran.error, CannotUndoError) and in_its_hands and not tells_only:
            refusal = str(one.ran.error)
            known = (each for name in ARMS for each in actions(host, name))
            (broke,) = (each for each in known if each.broke and each.error in refusal)
            (text,) = (
                each["text"] for each in SlackControl(host.url).messages() if each["ts"] == broke.message
            )
            for words in (broke.error, text):
                assert REFUSAL.search(words), f"{sorted(one.ran.denied)}: {words}"
        yield one


# --- what those that hear presses cannot do --------------------------------------------------------

every_end = pytest.mark.parametrize("name", [RECEIVER, WORKER])


def held(theatre: Theatre, name: str) -> set[Permission]:
    """What the role of a function allows, but for its own log and queue, which Lambda writes to."""
    deployed = theatre.armed.deployed
    (function,) = (one for one in deployed.functions() if one.name == name)
    allowed = granted(deployed.roles()[function.role])
    return {one for one in allowed if one.action not in IN_LAMBDAS_HANDS}


def test_the_worker_holds_and_asks_and_writes_nothing_else(theatre: Theatre) -> None:
    functions = {one.name: one.arn for one in theatre.armed.deployed.functions()}
    own = held(theatre, WORKER)
    invokes = {one for one in own if one.action == "lambda:InvokeFunction"}
    of_ledger = {
        (one.action, keys)
        for one in own
        for _, key, values in one.when
        if key == "dynamodb:LeadingKeys"
        for keys in values
    }

    assert {one.resource for one in invokes} == {functions[name] for name in (*ARMS, UNDO)}
    assert {keys for action, keys in of_ledger if action != "dynamodb:Query"} == {
        "hold#*",
        "request#*",
        "idempotency#press",
    }
    left = {one.action for one in own - invokes if not one.when}
    assert left == {"secretsmanager:GetSecretValue"}


# --- each function turned against the items of others ----------------------------------------------

OTHERS = [
    f"{kind}#{name}#{ACCOUNT}#{REGION}"
    for kind in ("action", "finding", "lease", "request", "sweep")
    for name in ("idle-endpoints", "idle-notebooks")
]
KEYS = [
    *OTHERS,
    *(f"hold#{ACCOUNT}#{REGION}", f"digest#{ACCOUNT}", f"bill#{ACCOUNT}", "limit", "limits", "other"),
    *(f"idempotency#{name}" for name in ("idle-endpoints", "idle-notebooks", "press", "undo", "digest")),
]
WRITES: Mapping[str, set[str]] = {
    "idle-notebooks": {
        *(key for key in KEYS if "idle-notebooks" in key and not key.startswith("request")),
        "limit",
    },
    UNDO: {*(key for key in KEYS if key.startswith(("action", "lease", "hold"))), "idempotency#undo"},
    WORKER: {*(key for key in KEYS if key.startswith(("request", "hold"))), "idempotency#press"},
    "digest": {f"digest#{ACCOUNT}", "idempotency#digest"},
    RECEIVER: set(),
}


def test_no_function_writes_the_items_of_another_or_reads_the_whole_table(
    staged: Callable[[Play], Host],
) -> None:
    host = staged(REGRETS["idle-notebooks"])
    host.enforce()
    table = host.deployed.one("AWS::DynamoDB::Table").rpartition("/")[2]

    def allowed(operation: str, **asked: Any) -> bool:
        with suppress(ClientError):
            getattr(client, operation)(TableName=table, **asked)
            return True
        return False

    for name, own in WRITES.items():
        client = host.session(host.function(name).role, LAMBDA).client("dynamodb", endpoint_url=host.url)
        written = set()
        for pk in KEYS:
            key: Any = {"pk": {"S": pk}, "sk": {"S": "forged"}}
            put = allowed("put_item", Item=key)
            changed = allowed(
                "update_item",
                Key=key,
                UpdateExpression="SET x = :x",
                ExpressionAttributeValues={":x": {"S": "x"}},
            )
            deleted = allowed("delete_item", Key=key)
            written |= {pk} if put or changed or deleted else set()
        assert written == own, name
        assert not allowed("scan"), name
        assert not allowed(
            "query", KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": "other"}}
        )


def test_the_receiver_reads_its_secret_and_invokes_the_worker_and_that_is_all(theatre: Theatre) -> None:
    functions = {one.name: one.arn for one in theatre.armed.deployed.functions()}
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SIGNING}-??????"

    assert held(theatre, RECEIVER) == {
        Permission("lambda:InvokeFunction", functions[WORKER]),
        Permission("secretsmanager:GetSecretValue", secret),
    }


@every_end
def test_neither_can_change_anything_that_is_not_the_janitors_own(theatre: Theatre, name: str) -> None:
    deployed = theatre.armed.deployed
    changing = {one for one in held(theatre, name) if one.action != "secretsmanager:GetSecretValue"}
    table, functions = deployed.one("AWS::DynamoDB::Table"), {one.arn for one in deployed.functions()}

    assert {one.resource for one in changing} <= {table, *functions}
    for detector in theatre.armed.settings.armed():
        deeds = {grant.action for grant in (*detector.acts, *detector.undoes)}
        assert deeds
        assert not deeds & {one.action for one in held(theatre, name)}


def test_the_undo_function_can_have_nothing_run_under_a_role_that_is_not_listed(
    staged: Callable[[Play], Host],
) -> None:
    host = staged(REGRETS["idle-notebooks"])
    host.enforce()
    session = host.session(host.function(UNDO).role, LAMBDA)
    sagemaker = session.client("sagemaker", endpoint_url=host.url)
    for role in (f"{ROLE}-2", "arn:aws:iam::210987654321:role/ml"):
        with pytest.raises(ClientError, match=f"iam:PassRole on resource: {role}"):
            sagemaker.create_training_job(
                TrainingJobName="mine",
                RoleArn=role,
                AlgorithmSpecification={"TrainingImage": "mine", "TrainingInputMode": "File"},
                OutputDataConfig={"S3OutputPath": "s3://mine/"},
                ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
                StoppingCondition={"MaxRuntimeInSeconds": 60},
            )


@every_end
def test_what_detectors_do_is_refused_to_either(staged: Callable[[Play], Host], name: str) -> None:
    host = staged(REGRETS["idle-notebooks"])
    host.enforce()
    session = host.session(host.function(name).role, LAMBDA)
    sagemaker = session.client("sagemaker", endpoint_url=host.url)
    s3 = session.client("s3", endpoint_url=host.url)
    calls: tuple[Callable[[], object], ...] = (
        lambda: sagemaker.delete_endpoint(EndpointName="spared"),
        lambda: sagemaker.stop_notebook_instance(NotebookInstanceName="spared"),
        lambda: sagemaker.describe_notebook_instance(NotebookInstanceName="spared"),
        lambda: s3.delete_object(Bucket=BUCKET, Key="spared.tar.gz"),
        lambda: s3.get_object(Bucket=BUCKET, Key="spared.tar.gz"),
    )
    for call_ in calls:
        with pytest.raises(ClientError, match="AccessDenied"):
            call_()
