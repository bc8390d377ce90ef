"""
The stand-in deployment: its detector acts on a world in memory, or its functions on the sandbox.

`Nights` is the engine with one armed detector, whose nights a test lives through. `Deployment` is all
functions, run in this process as Lambda runs them; presses go the way they go in Lambda.
"""

import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters
from boto3.dynamodb.types import TypeDeserializer

from conftest import ACCOUNT, NOW, REGION, once
from fakes import USED, Thing, because, logger_to, refusal, thing, waste
from memory_table import MemoryTable
from ml_janitor import handlers
from ml_janitor.acting.acting import Acting, ArmedSweep
from ml_janitor.acting.undoing import Undoing
from ml_janitor.acting.warning import Warner, WarningDeliveries
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.core.model import Confidence, Effect, Mode, SweepNote, Target, Value, Verdict
from ml_janitor.core.results import Outcome, Report, Result, Sweep
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import CannotActError, Cleanup, Detector, NotFinishedError, Steps, allow
from ml_janitor.engine.policy import Arming, Hold, RunPolicy
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.files import DESCRIPTIONS_KEY
from ml_janitor.ledger.findings import Entry, Ledger, MessageRef
from ml_janitor.ledger.limits import ActionLimits, Leases
from ml_janitor.ledger.requests import ButtonRequests, Holds, undo_request
from ml_janitor.ledger.signatures import Request, Signatures, SigningKey, kms_signatures, named_keys
from ml_janitor.ledger.table import Table
from ml_janitor.report.html import Archive
from ml_janitor.scheduled.invocation import Environment, Invocation
from ml_janitor.scheduled.sweep_run import SweepRunner, SweepRunResult
from ml_janitor.slack import ingress
from ml_janitor.slack.client import SenderClock
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, SECRET, SIGNING, TABLE, UNDO, WORKER, deploy
from ml_janitor_sandbox.function_url import event as url_event
from ml_janitor_sandbox.slack import CHANNEL, Signed, SlackControl
from sagemaker_requests import configure, hosting, notebook_request

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TUESDAY = NOW


# --- a world in memory, and a detector that acts on it ------------------------------------------------


DENIED = refusal("AccessDeniedException")
"""A definite refusal of AWS, after which nothing was done."""


class KilledError(BaseException):
    """The process ends here: nothing of the program's own gets to run any more."""


class LostError(ConnectionError):
    """AWS did it, and its answer was lost."""


@dataclass
class World:
    """
    What there is: things by name, and the plugs that are still in. *done* is what happened to it.

    *before* and *after* are called with the name of each step, and may raise.
    """

    things: dict[str, Thing] = field(default_factory=dict)
    looked_through: int = 0
    unplugged: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    looked_at: list[datetime] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None
    after: Callable[[str], None] = lambda _: None
    refuses: Exception | None = None
    broken: Exception | None = None

    def add(self, *names: str, **about: Any) -> None:
        """Waste that is a quarter old."""
        for name in names:
            self.things[name] = thing(name, waste(), **about)

    def judge(self, name: str, verdict: Verdict) -> None:
        """From now on, *name* is judged so."""
        self.things[name] = replace(self.things[name], verdict=verdict)

    def use(self, name: str) -> None:
        """Somebody uses *name*."""
        self.judge(name, USED)

    def do(self, what: str, call: Callable[[], object]) -> None:
        """One call that changes the world."""
        self.before(what)
        call()
        self.done.append(what)
        self.after(what)


@dataclass(frozen=True)
class Cleaner(Detector[Thing]):
    """Removes things in two steps, under a name that a ledger of 0.1.0 holds."""

    name = "cellar"
    schedule = "rate(1 day)"
    kinds = ("thing",)
    reads = (allow("sagemaker:ListEndpoints"),)
    acts = (allow("sagemaker:DeleteEndpoint", on="endpoint/*"),)
    cleanup = Cleanup(
        effect=Effect.DELETE, grace=timedelta(days=3), act_on=Confidence.PROVEN, lost="the dust on it"
    )
    world: ClassVar[World] = World()

    def find(self, aws: Aws, now: datetime) -> Iterator[Thing | SweepNote]:  # noqa: ARG002
        yield SweepNote(looked_through=self.world.looked_through)
        yield from self.world.things.values()
        if self.world.broken is not None:
            raise self.world.broken

    def look(self, aws: Aws, target: Target, now: datetime) -> Thing | None:  # noqa: ARG002
        self.world.looked_at.append(now)
        return self.world.things.get(target.name)

    def decide(self, candidate: Thing, now: datetime) -> Verdict:  # noqa: ARG002
        if isinstance(candidate.verdict, Exception):
            raise candidate.verdict
        return candidate.verdict

    def prepare(self, aws: Aws, candidate: Thing, memo: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002
        if isinstance(self.world.refuses, NotFinishedError):
            self.world.refuses.memo = {"read": memo.get("read", 0) + 1}
        if self.world.refuses is not None:
            raise self.world.refuses
        return {"name": candidate.target.name}

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        if not aws.may_write:
            raise CannotActError("this only reads")
        world, name = self.world, str(record["name"])
        steps.do("unplug", lambda: world.do(f"unplug {name}", lambda: world.unplugged.add(name)))
        steps.do("remove", lambda: world.do(f"remove {name}", lambda: world.things.pop(target.name, None)))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return target.name not in self.world.things

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        if not aws.may_write:
            raise CannotActError("this only reads")
        world, name = self.world, str(record["name"])
        if name not in world.things:
            steps.do("bring back", lambda: world.do(f"bring back {name}", lambda: world.add(name)))
        steps.do("plug in", lambda: world.do(f"plug in {name}", lambda: world.unplugged.discard(name)))
        del target


@dataclass(frozen=True)
class SecondCleaner(Cleaner):
    """Clears out the same things, and is another detector."""

    name = "loft"


@dataclass(frozen=True)
class Sparing(Cleaner):
    """Spares what undos need, which is their own resource."""

    spares_undos = True

    def undo_needs(self, target: Target, record: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG002
        return (target.arn,)


def tagged(name: str, **tags: str) -> Thing:
    return thing(name, waste(), Value(dict(tags)))


KEY = b"the key of this test"
NOT_YET = datetime(9999, 1, 1, tzinfo=UTC)


class OwnMacs:
    """HMAC-SHA-256 under a key of one's own."""

    def __init__(self, key: bytes = KEY, made: datetime = NOT_YET) -> None:
        self._key, self.made = key, made

    def sign(self, content: bytes) -> str:
        """The code of *content*."""
        return hmac.new(self._key, content, "sha256").hexdigest()

    def since(self) -> datetime:
        """When the key was made: after everything, unless a test says otherwise."""
        return self.made

    def verify(self, content: bytes, mac: str) -> bool:
        """Whether *mac* is the code of *content*."""
        return hmac.compare_digest(self.sign(content), mac)


def own_signatures(
    *only: SigningKey, key: bytes = KEY, made: datetime = NOT_YET, by_hand: bool = False
) -> Signatures:
    """Signatures with keys of a test: all of them, or *only* some. The key of records is *key* itself."""
    own = {of: b"" if of is SigningKey.RECORDS else of.encode() for of in only or SigningKey}
    macs = {of: OwnMacs(key + more, made) for of, more in own.items()}
    return Signatures(dict(macs), by_hand)


def with_request(action: Action, by: str, at: datetime) -> tuple[Action, Request]:
    """*action* and the request of *by* for its undo."""
    return action, undo_request(action, by=by, now=at).sign(own_signatures())


def undo_event(
    action: Action, kms: Any, variables: Mapping[str, str], *, at: datetime, by_hand: bool = False
) -> dict[str, Any]:
    """
    What the undo function, with these *variables*, is invoked with once Maria asks for *action* back, by a
    press or *by hand*.
    """
    signatures = kms_signatures(kms, named_keys(variables), by_hand=by_hand)
    request = undo_request(action, by="maria", now=at).sign(signatures)
    where = {"account": action.target.account, "region": action.target.region}
    return {"detector": action.detector, **where, "finding": action.id, "asked": request.as_json()}


# --- the engine around it -----------------------------------------------------------------------------


ARMED = Arming(
    mode=Mode.ACT, effect=Effect.DELETE, every=7 * DAY, act_in=(ACCOUNT,), grace=3 * DAY, business_days=False
)


@dataclass
class Postman:
    """Carries the warnings into *thread*; while *ill* none, and no direct message if *unmessaged*."""

    ill: bool = False
    unmessaged: str = ""
    thread: str = "ts"
    carried: list[str] = field(default_factory=list)
    dues: dict[str, datetime] = field(default_factory=dict)

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        del sweep, now
        for result in warnings:
            if self.ill:
                return [f"{result.target.name} was not delivered"]
            self.carried.append(result.target.name)
            self.dues[result.target.name] = deliveries.due(result, messaged=not self.unmessaged)
            message = f"{self.thread}-{result.target.name}"
            deliveries.delivered(result, because(self.unmessaged or "not yet"), MessageRef("C1", message))
            if not self.unmessaged:
                deliveries.messaged(result, MessageRef("D1", message))
        return ()


class Nights:
    """A deployment with one armed detector, and a clock that a test moves."""

    def __init__(
        self,
        table: Table,
        session: boto3.Session,
        aws: Aws,
        detector: Detector[Any] | None = None,
        *,
        world: World | None = None,
        box: Any = None,
        archive: Archive | None = None,
        signatures: Signatures | None = None,
    ) -> None:
        self.table, self.session, self.aws = table, session, aws
        self.world, self.box = world or World(), box
        self.detector: Detector[Any] = detector or Cleaner()
        self.clock = TUESDAY
        self.arming = ARMED
        self.postman = Postman()
        self.at_most = 50
        self.undoable = True
        self.regions: Sequence[str] = ()
        self.pauses = 0
        self.put_back: list[Action] = []
        self.archive = archive or Archive(session.client("s3"), BUCKET)
        self.ledger, self.actions, self.holds = (
            Ledger(table, signatures or own_signatures()),
            Actions(table, signatures or own_signatures()),
            Holds(table),
        )
        self.wait: Callable[[], None] | None = None
        """How a sweep waits for what AWS is at; without it, none does."""
        self.undoing = Undoing(
            actions=self.actions, holds=self.holds, clock=lambda: self.clock, within=30 * DAY
        )

    def runner(self, *, dry: bool = False, event: str = "") -> SweepRunner:
        """What one invocation works with."""
        return SweepRunner(
            policy=RunPolicy(arming={self.detector.name: self.arming}),
            ledger=self.ledger,
            leases=Leases(self.table),
            archive=self.archive,
            tell=None,
            logger=logger_to(),
            clock=lambda: self.clock,
            holder=event or f"event-{self.clock}",
            patience=timedelta(minutes=15),
            sleep=lambda _: None,
            acting=Acting(
                ledger=self.ledger,
                actions=self.actions,
                holds=self.holds,
                limits=ActionLimits(self.table, "UTC", self.actions.signatures),
                requests=ButtonRequests(self.table, self.actions.signatures),
                clock=lambda: self.clock,
                pause=self._pause,
                revert=self.put_back.append,
                undoable=lambda *_: self.undoable,
                max_actions_per_night=self.at_most,
                together=False,
                regions=self.regions,
                wait=self.wait,
            ),
            warner=Warner(ledger=self.ledger, warn=self.postman, clock=lambda: self.clock),
            dry=dry,
        )

    def armed_sweep(self, sweep: Sweep | None = None, *, together: bool = False) -> ArmedSweep:
        """*sweep*, or one that found nothing, as what acts."""
        acting, name = self.runner().acting, self.detector.name
        assert acting is not None
        found = sweep or Sweep(detector=name, account=ACCOUNT, region=REGION, mode=Mode.ACT)
        return ArmedSweep(
            replace(acting, together=together),
            self.detector,
            self.aws,
            found,
            entries={},
            now=self.clock,
            policy=RunPolicy(arming={found.detector: self.arming}),
        )

    def _pause(self) -> None:
        self.pauses += 1

    def sweep(self, **how: Any) -> SweepRunResult:
        """One night's run."""
        return self.runner(**how).sweep(self.detector, [self.aws], now=self.clock)

    def pass_by(self, span: timedelta) -> None:
        """Time goes on, also that of *box*."""
        self.clock += span
        if self.box is not None:
            self.box.set_clock(self.clock)

    def after(self, span: timedelta, **how: Any) -> dict[str, Result]:
        """The results of a run *span* later, by name."""
        self.pass_by(span)
        return by_name(self.sweep(**how))

    def warned(self, *names: str, **about: Any) -> None:
        """Waste that was warned about now, and is due in three days."""
        self.world.add(*names, **about)
        results = by_name(self.sweep())
        assert {results[name].outcome for name in names} == {Outcome.WARNED}

    def of(self, name: str) -> Action:
        """The newest action on *name*."""
        return [a for a in self.actions.all(self.detector.name, ACCOUNT, REGION) if a.target.name == name][-1]

    def undo(self, name: str = "lamp", *, by: str = "maria", **how: Any) -> Action:
        """Take the newest action on *name* back, as the undo function does."""
        found = self.undoing.find(self.detector.name, ACCOUNT, REGION, self.of(name).id)
        return self.undoing.undo(self.detector, self.aws, found, by=by, **how)

    def entries(self) -> dict[str, Entry]:
        """What the ledger remembers of each finding, by name."""
        return {one.name: one for one in self.ledger.entries(self.detector.name, ACCOUNT, REGION)}

    def sign_warnings(self) -> None:
        """Every warning in the table is signed as it is: as if the janitor had given it so."""
        for entry in self.ledger.everywhere():
            if entry.warned is not None:
                self.table.change(entry.pk, entry.sk, set_to=self.ledger._mac(entry))

    def hold(self, name: str, **how: Any) -> None:
        """Somebody's word on *name*."""
        key = self.world.things[name].target.key
        self.holds.put(ACCOUNT, REGION, Hold(key=key, by="maria", given=self.clock, **how))


def by_name(ran: SweepRunResult) -> dict[str, Result]:
    return {result.target.name: result for result in ran.report.results}


class NoArchive(Archive):
    """Keeps reports in memory."""

    def __init__(self) -> None:
        super().__init__(cast("Any", None), "")
        self.kept: list[Report] = []

    def keep(self, report: Report, *, folder: str) -> str:  # noqa: ARG002
        self.kept.append(report)
        return ""


@contextmanager
def in_memory(table: Table | None = None) -> Iterator[Nights]:
    """Nights without a sandbox: their ledger is in memory (*table*), and so is the account."""
    session, world = boto3.Session(region_name=REGION), World()
    with ThreadPoolExecutor(4) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cleaner, "world", world)
        prices = Prices(lambda: make_client(session, "pricing", REGION, 1))
        aws = Aws(session, region=REGION, account=ACCOUNT, prices=prices, pool=pool, attempts=1)
        yield Nights(table or MemoryTable(), session, aws, world=world, archive=NoArchive())


# --- functions as Lambda runs them --------------------------------------------------------------------

ROOT = Path(__file__).parent.parent
EVENTS = ROOT / "events"

WITH_SLACK = f"""
[janitor]
slack_channel = "{CHANNEL}"
slack_secret = "{SECRET}"
"""


@dataclass
class Context:
    """A Lambda context whose time goes by as it is looked at: *milliseconds* is what it says, in turn."""

    aws_request_id: str = "11111111-1111-1111-1111-111111111111"
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:janitor"
    function_name: str = "janitor"
    milliseconds: Iterator[int] | int = 900_000
    log_stream_name: str = field(default="stream")

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds if isinstance(self.milliseconds, int) else next(self.milliseconds)


SLACK_TOML = '[janitor]\nslack_channel = "C0123456789"\nslack_secret = "ml-janitor/slack"\n'
ORGANIZATION_TOML = f"""[organization]
accounts = ["210987654321"]
external_id = "ml-janitor-7f3a"
callers = ["arn:aws:iam::{ACCOUNT}:role/platform"]
"""
OWN_VARIABLES = {"JANITOR_TABLE": "ledger", "JANITOR_BUCKET": "reports", "JANITOR_DETECTOR": "idle-endpoints"}


def own_invocation(
    region: str, folder: Path, toml: str = "", *, milliseconds: int = 900_000, **variables: str
) -> Invocation:
    """An invocation in *region* with this janitor.toml, environment and time left."""
    if toml:
        (folder / "janitor.toml").write_text(toml)
    environment = Environment.read(
        {**OWN_VARIABLES, "AWS_REGION": region, "LAMBDA_TASK_ROOT": str(folder), **variables}
    )
    arn = f"arn:aws:lambda:{region}:{ACCOUNT}:function:janitor"
    context: Any = Context(invoked_function_arn=arn, milliseconds=milliseconds)
    seconds = SenderClock(clock=lambda: 1000.0, sleep=lambda _: None)
    return Invocation(environment, context, clock=lambda: NOW, seconds=seconds)


def event(name: str) -> dict[str, Any]:
    """One of the real payloads."""
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return loaded


def quiet(ledger: Ledger, aws: Aws) -> None:
    """Every detector has just run, and found nothing."""
    for one in DETECTORS:
        sweep = Sweep(detector=one.name, account=aws.account, region=aws.region, mode=Mode.DRY_RUN)
        ledger.record(aws, sweep, NOW - HOUR)


def items(session: boto3.Session) -> dict[str, list[dict[str, Any]]]:
    """The whole table by kind of item."""
    read = TypeDeserializer()
    found: dict[str, list[dict[str, Any]]] = {}
    for page in session.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE):
        for item in page["Items"]:
            plain = {name: read.deserialize(value) for name, value in item.items()}
            found.setdefault(plain["pk"].split("#")[0], []).append(plain)
    return found


def reports(session: boto3.Session) -> Mapping[str, str]:
    """Every object of the report bucket as text, by key, but for kept descriptions."""
    s3 = session.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {
        each["Key"]: s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read().decode()
        for each in listed
        if not each["Key"].startswith(f"{DESCRIPTIONS_KEY}/")
    }


def handed_press(signed: Signed) -> dict[str, str]:
    """The worker's event of a press that Slack *signed*."""
    stamp, signature = (signed.headers[f"X-Slack-{name}"] for name in ("Request-Timestamp", "Signature"))
    return {"body": signed.body.decode(), "stamp": stamp, "signature": signature}


def assumed(arn: str) -> boto3.Session:
    """A session of the role *arn*."""
    given = boto3.client("sts", region_name=REGION).assume_role(RoleArn=arn, RoleSessionName="seed")
    of = given["Credentials"]
    return boto3.Session(of["AccessKeyId"], of["SecretAccessKey"], of["SessionToken"], region_name=REGION)


def idle_endpoints(
    session: boto3.Session, box: Control, *names: str, owner: str = "maria@acme.example"
) -> None:
    """Endpoints that are a month old and have had no request for nine days."""
    sagemaker = session.client("sagemaker")
    with box.at(NOW - timedelta(days=30)):
        configure(sagemaker, hosting("m", VariantName="blue"))
        tags: Any = [{"Key": "owner", "Value": owner}]
        for name in names:
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="m", Tags=tags)
    unused(box, *names)


def unused(box: Control, *names: str, at: datetime = NOW) -> None:
    """The metrics of these endpoints say that nobody used them in the nine days before."""
    series = {"metric": "Invocations", "start": at - timedelta(days=9), "step": 3600, "values": [0.0] * 216}
    about = [{"dimensions": {"EndpointName": name, "VariantName": "blue"}} for name in names]
    box.metrics("AWS/SageMaker", [series | each for each in about])


def idle_notebook(
    session: boto3.Session, box: Control, name: str = "churn", *, hours: float | None = 9, **tags: str
) -> None:
    """A notebook instance that is a month old, in which nobody has worked for so many *hours*, or ever."""
    sagemaker, logs = session.client("sagemaker"), session.client("logs")
    with box.at(NOW - timedelta(days=30)):
        labels = [{"Key": key, "Value": value} for key, value in tags.items()]
        sagemaker.create_notebook_instance(**notebook_request(name, Tags=labels))
    if hours is None:
        return
    where: Any = {"logGroupName": "/aws/sagemaker/NotebookInstances"}
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(**where)
    where["logStreamName"] = f"{name}/jupyter.log"
    logs.create_log_stream(**where)
    wrote = int((NOW - timedelta(hours=hours)).timestamp() * 1000)
    logs.put_log_events(**where, logEvents=[{"timestamp": wrote, "message": "Saving /eda.ipynb"}])


GROUP = "S0JANITORS"
OWNER, MEMBER, STRANGER = "U0MARIA", "U0DINA", "U0EVE"
EMAILS = {OWNER: "maria@acme.example", MEMBER: "dina@acme.example", STRANGER: "eve@acme.example"}
NAMES = {OWNER: "Maria Lopez", MEMBER: "Dina Okafor", STRANGER: "Eve"}
ZONE = "Europe/Berlin"

ARMED_TOML = f"""
[janitor]
slack_channel = "{CHANNEL}"
slack_secret = "{SECRET}"
slack_signing_secret = "{SIGNING}"
slack_group = "{GROUP}"
time_zone = "{ZONE}"

[detectors.idle-endpoints]
mode = "act"
act_in = ["{ACCOUNT}"]

[detectors.idle-notebooks]
mode = "act"
act_in = ["{ACCOUNT}"]
act_on = "likely"
"""

REQUESTS = count()


class Deployment:
    """All functions of a deployment, with people and buttons in its Slack; time passes as a test says."""

    def __init__(
        self,
        box: Control,
        patch: pytest.MonkeyPatch,
        folder: Path,
        toml: str = WITH_SLACK,
        now: datetime = NOW + timedelta(seconds=30),
    ) -> None:
        self.box, self.slack, self.patch, self.folder = box, SlackControl(box.url), patch, folder
        self.session, self.delivered = boto3.Session(region_name=REGION), 0
        self.settings(toml)
        empty = box.clock() == NOW and not box.calls()
        environment = {
            **(once(box, "deployed", partial(deploy, box.url)) if empty else deploy(box.url)),
            "AWS_REGION": REGION,
            "LAMBDA_TASK_ROOT": str(folder),
            "JANITOR_DETECTOR": "idle-endpoints",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        ingress.ingress_client.cache_clear()
        ingress.read_signing_secret.cache_clear()
        patch.setattr(ingress, "INGRESS_TIMEOUT", 30.0)  # whatever else this machine has to do meanwhile
        self.at(now)
        box.clear_calls()

    def settings(self, toml: str) -> None:
        """Another janitor.toml."""
        (self.folder / "janitor.toml").write_text(toml)

    def arm(self, toml: str = ARMED_TOML) -> Self:
        """Arm it, with people in its Slack; no function waits."""
        self.settings(toml)
        for user, email in EMAILS.items():
            self.slack.add_user(user, email, name=NAMES[user])
        self.slack.add_usergroup(GROUP, "ml-janitors", MEMBER)
        time = SenderClock(clock=lambda: 0.0, sleep=lambda _: None)
        self.patch.setattr(handlers, "slack_time", lambda: time)
        return self

    def at(self, moment: datetime) -> None:
        """It is *moment*, for the functions."""
        self.now = moment
        self.patch.setenv("JANITOR_NOW", moment.isoformat())

    def later(self, span: timedelta) -> None:
        """Time passes, in the sandbox and for the functions."""
        self.at(self.now + span)
        self.box.set_clock(self.now)

    def sweep(self, detector: str = "idle-endpoints", **event: Any) -> dict[str, Any]:
        """One run of a detector's function, as of now."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JANITOR_DETECTOR", detector)
            return handlers.sweep(event, self.context())

    def context(self) -> Context:
        return Context(aws_request_id=f"request-{next(REQUESTS)}")

    def press(self, word: str, user: str, *, ts: str = "", deliver: bool = True) -> dict[str, Any]:
        """*user* presses a button of the newest message that has it; then Lambda does its part."""
        return self.send(self.signed(word, user, ts=ts), deliver=deliver)

    def signed(self, word: str, user: str, *, ts: str = "", **how: Any) -> Signed:
        ts = ts or next(each["ts"] for each in reversed(self.slack.messages()) if word in buttons(each))
        return self.slack.press(ts, f"janitor:{word}", user=user, **how)

    def send(self, signed: Signed, *, deliver: bool = True, **how: Any) -> dict[str, Any]:
        """A request arrives at the function URL."""
        event = url_event(signed.headers, signed.body, at=self.now, **how)
        answer = handlers.interact(event, self.context())
        if deliver:
            self.deliver()
        return answer

    def deliver(self) -> None:
        """Lambda runs what was handed over, until nothing is left."""
        while len(made := self.box.invocations()) > self.delivered:
            self.delivered += 1
            self.run(**made[self.delivered - 1])

    def run(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """One asynchronous invocation."""
        if function == WORKER:
            return handlers.pressed(event, self.context())
        if function == UNDO:
            return handlers.undo(event, self.context())
        return self.sweep(function.removeprefix("ml-janitor-"), **event)

    @property
    def notebook_status(self) -> str:
        """That of the notebook "churn"."""
        found = self.session.client("sagemaker").describe_notebook_instance(NotebookInstanceName="churn")
        return str(found["NotebookInstanceStatus"])

    def table(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that is remembered."""
        return items(self.session)

    def warnings(self) -> list[dict[str, Any]]:
        """The messages that are about one finding each."""
        return [
            each
            for each in self.slack.messages()
            if len(each["blocks"]) in {2, 3}
            and all(block["type"] in {"section", "actions"} for block in each["blocks"])
        ]


def buttons(message: Mapping[str, Any]) -> list[str]:
    """The buttons that it shows, by their words."""
    return [
        element["action_id"].removeprefix("janitor:")
        for block in message["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
    ]


def said(message: Mapping[str, Any]) -> str:
    """What it says of where the finding stands."""
    return str(message["blocks"][1]["text"]["text"])
