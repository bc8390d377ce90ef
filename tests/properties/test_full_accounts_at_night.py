"""
Whole accounts with every kind of resource, under the real detectors, killed and refused at calls that act.

Only waste is acted on, nothing certain is left, and all of it comes back, each job once. What the engine owes
to people, operators and limits is proven in `properties.nightly`, whose detectors cost no call. All runs in
one thread, so that `make soak SEED=17` lives through the same nights again.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from moto.moto_api._internal import mock_random

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.acting.warning import WARNINGS_PER_SWEEP
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Confidence, Mode
from ml_janitor.engine.detector import Detector, Grant
from ml_janitor.engine.policy import Arming
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Action, Actions, Stage
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import TABLE, deploy
from ml_janitor_sandbox.process_kill import Killed, end_when_killed
from properties.account_snapshot import Snapshot, changes, snapshot
from properties.conftest import LONG_IN_SOAK, SEED, SOAK, Unhurried
from properties.worlds import FAULTS, LISTINGS, NEAR_MISSES, World
from properties.worlds.artifacts import COPY, MIN_SIZE, STORES, Artifacts, Stores
from properties.worlds.base import COMPLETE, DAY, LABELS, LIKELY, NONE, TOOL, UNTAGGED, Claim, Fault
from standin import Nights, own_signatures

pytestmark = LONG_IN_SOAK

SEEDS = [SEED] if SEED else range(1, max(SOAK // 20, 1) + 1)

MOST = 20
"""Accounts in which everything that has to comes about."""

READING = ("throttle", "error", "deny", "truncate", "drop", "break-page")
CHANGING = ("throttle", "error", "deny", "drop", "lost-reply", "hang-up")
DEATHS = ("killed", "killed-before")
CALLS = sorted({fault.call for fault in FAULTS})
PAGED = sorted(set().union(*LISTINGS.values()) - {"s3:ListBuckets"})
JOBS = ("TrainingJob", "ProcessingJob", "TransformJob")
DELETED = ("App", "Endpoint", "InferenceComponent")
DONE = {
    *(f"sagemaker:{verb}{job}" for verb in ("Stop", "Create") for job in JOBS),
    *(f"sagemaker:{verb}{kind}" for verb in ("Delete", "Create") for kind in DELETED),
    *("sagemaker:StopNotebookInstance", "sagemaker:StartNotebookInstance", "sagemaker:UpdateTrainingJob"),
    *("sagemaker:StopHyperParameterTuningJob", "sagemaker:AddTags", "sagemaker:DeleteTags"),
    *("s3:TagResource", "s3:UntagResource", "s3:DeleteObject", "s3:CopyObject"),
    *("logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy"),
}
"""Every call that acts, and those that take it back."""
OWN = ("dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:Query", "s3:PutObject")
KEY = "AKIAJANITOR"
"""The janitor's access key: what strikes it spares the people."""

SETTINGS = Settings.load(
    overrides=[
        f"duplicate-artifacts.min_size={MIN_SIZE}",
        f"duplicate-artifacts.read_contents_in={json.dumps(STORES)}",
    ]
)
ACTING = {
    *("idle-endpoints", "idle-notebooks", "idle-studio-apps", "hung-training-jobs", UNTAGGED),
    *("duplicate-artifacts", "forgotten-leftovers"),
}
"""The detectors that act here; `test_tiering` has the rules of storage-tiering."""
FILLED = {"team": "unknown", "project": "unknown"}
TICK = timedelta(milliseconds=100)
"""How long the sandbox takes for what takes minutes on AWS: what is claimed of a night holds for seconds."""

FAILED = (ClientError, BotoCoreError, RunFailedError)
FOR_GOOD = ("a warm pool does not come back", "a tuning job is not submitted again")
ANOTHER = "it is gone, or another resource has its name now"
OF_A_JOB = ("RoleArn", "CheckpointConfig", "OutputDataConfig", "StoppingCondition", "ProcessingResources")
"""What a job that is submitted again has as it had."""


class OneThread(ThreadPoolExecutor):
    """Reads one after the other, so that the same seed makes the same calls in the same order."""

    def map(self, fn: Callable[..., Any], *iterables: Any, **_: Any) -> Iterator[Any]:
        return iter([fn(*each) for each in zip(*iterables, strict=True)])


def some_account(random: Random) -> World:
    """10 to 60 things, some of which are plain waste of most kinds; all chances come from *random*."""
    things = [thing for thing in NEAR_MISSES.things if not getattr(thing, "scheduled", False)]
    plain = {type(thing).__name__ + str(getattr(thing, "kind", "")): thing for thing in reversed(things)}
    waste = [
        replace(thing, labels=NONE)  # unmanaged
        for thing in random.sample([plain[name] for name in sorted(plain)], random.randint(5, len(plain)))
    ]
    young = next(COPY.near_misses())
    copies = [replace(young, age=60 * DAY), young]
    waste.append(Artifacts(folders=random.random() < 0.5, beside=False, copies=copies))
    others = random.sample(things, max(0, random.randint(10, 60) - len(waste)))
    mixed = random.sample([*waste, *others], len(waste) + len(others))
    above = random.choice([NONE, NONE, COMPLETE])
    stores = Stores(labels=(above, random.choice(LABELS)), versioned=random.random() < 0.7)
    return World(things=mixed, stores=stores, bucket=random.choice(LABELS))


class Life:
    """One account, from its first warning to when everything is back."""

    def __init__(self, box: Control, seed: int) -> None:
        self.box, self.seed = box, seed
        self.random = Random(seed)  # noqa: S311 - it has to come out the same again
        mock_random.seed(seed)
        box.reset()
        box.set_durations({"*": 0})
        theirs = boto3.Session(region_name=REGION)
        self.claims = {claim.key: claim for claim in some_account(self.random).build(theirs, box, NOW)}
        deploy(box.url)
        box.clear_calls()
        box.set_durations({"*": TICK.total_seconds()})
        self.before: Snapshot = dict(deepcopy(snapshot()))
        self.clock, self.refused = NOW, set[str]()
        self.struck, self.story = Counter[str](), list[str]()
        self.pressed = set[tuple[str, str]]()
        self.mine = Table(make_client(theirs, "dynamodb", REGION, 1), TABLE)
        session = boto3.Session(region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key="its secret")
        end_when_killed(session)
        prices = Prices(lambda: make_client(session, "pricing", REGION, 1))
        self.aws = Aws(session, region=REGION, account=ACCOUNT, prices=prices, pool=OneThread(1), attempts=1)
        table = Table(make_client(session, "dynamodb", REGION, 1), TABLE)
        unversioned = self.chance(0.5)
        acting = [generous(detector, unversioned) for detector in SETTINGS.enabled() if detector.cleanup]
        self.nights = [
            self._armed(Nights(table, session, self.aws, detector))
            for detector in acting
            if detector.acts and detector.never_acts() is None
        ]
        assert {nights.detector.name for nights in self.nights} == ACTING

    def _armed(self, nights: Nights) -> Nights:
        """May act wherever it can."""
        assert nights.detector.cleanup is not None
        nights.wait, nights.at_most = self.wait, 1000
        nights.undoing = replace(nights.undoing, wait=self.wait)
        nights.arming = Arming(
            mode=Mode.ACT,
            effect=nights.detector.cleanup.effect,
            act_in=(ACCOUNT,),
            act_on=Confidence.LIKELY,
            grace=nights.detector.cleanup.grace,
            business_days=False,
            max_actions=100,
            max_share=100,
            act_on_managed=(TOOL,),
        )
        return nights

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def wait(self) -> None:
        """AWS gets on with things."""
        self.clock += 2 * TICK
        self.box.set_clock(self.clock)
        for nights in self.nights:
            nights.clock = self.clock

    def live(self) -> None:
        """All of its nights. Raises AssertionError at the first wrong deed."""
        self.night(rough=self.chance(0.3))
        self.press()
        for rough in (True, True, False):
            self.night(rough=rough)
        self.right(self.cleaned())
        order = [(nights, action) for nights in self.nights for action in self.actions(nights)]
        for nights, action in sorted(order, key=lambda each: each[1].began, reverse=True):
            self.undo(nights, action)
        self.calm()
        for _ in range(3):
            self.wait()
        self.right(self.not_back())

    def right(self, wrong: Iterator[str]) -> None:
        found = list(wrong)
        story = "\n".join(self.story[-60:])
        assert not found, f"{found}\na whole account of: make soak SEED={self.seed}\n{story}"

    def press(self) -> None:
        """*Do it now* on most warnings, so that what is claimed of this moment still holds."""
        ledger = Ledger(self.mine, own_signatures())
        for nights in self.nights:
            for entry in ledger.entries(nights.detector.name, ACCOUNT, REGION):
                if entry.warned is not None and self.chance(0.9):
                    ledger.make_due(entry, by="maria", now=self.clock)
                    self.pressed.add((nights.detector.name, entry.arn.lower()))

    # --- what goes wrong ---

    def refuse_reads(self) -> None:
        """Calls that tell something about the account fail for a whole night, or once."""
        for _ in range(self.random.choice([1, 1, 2])):
            kind = self.random.choice(READING)
            call = self.random.choice(PAGED if kind == "break-page" else CALLS)
            kind = "deny" if call == "s3:HeadObject" else kind  # an answer to HEAD has no body to cut off
            skip = 0 if kind == "break-page" else self.random.choice([0, 0, 0, 1, 3])
            Fault(call, kind, lasting=self.chance(0.7), skip=skip).apply(self.box)
            self.refused.add(call)

    def strike(self, grants: Sequence[Grant]) -> None:
        """One call goes wrong, or ends the process: one of *grants*, of the table's, or any."""
        calls = sorted({grant.action.replace("PutObject", "CopyObject") for grant in grants} & DONE)
        call = self.random.choice([*calls, *calls, *OWN])
        kind = self.random.choice([*CHANGING, *DEATHS * 4])
        skip = self.random.choice([0, 0, 0, 1, 2, 4])
        if kind in DEATHS and self.chance(0.4):
            call, skip = "*:*", self.random.randrange(100)
        service, _, operation = call.partition(":")
        self.box.fault(service, operation, kind, skip=skip, principal=KEY)
        self.story.append(f"{kind} at {call} after {skip}")

    def calm(self) -> None:
        """Everything works again."""
        for fault in self.box.faults():
            self.struck[fault["kind"]] += fault["struck"]
        self.box.clear_faults()
        self.box.revive()

    # --- nights ---

    def night(self, *, rough: bool) -> None:
        """Every detector sweeps, in any order; what is asked back is brought back."""
        self.random.shuffle(self.nights)
        if rough:
            self.refuse_reads()
        for nights in self.nights:
            carried = len(nights.postman.carried)
            self.sweep(nights, rough=rough)
            if len(nights.postman.carried) - carried == WARNINGS_PER_SWEEP:  # there may be more to warn about
                self.sweep(nights, rough=False)
        self.calm()
        for nights in self.nights:
            asked, nights.put_back = nights.put_back, []
            for action in asked:
                self.undo(nights, action)
        self.calm()

    def sweep(self, nights: Nights, *, rough: bool) -> None:
        """One event and Lambda's retries; a lease of a run that was killed is the next run's own."""
        name, now = nights.detector.name, self.clock
        for attempt in range(3):
            self.story.append(f"{name} begins")
            if rough and attempt < 2 and self.chance(0.7):
                self.strike(nights.detector.acts)
            self.aws.lasting.clear()  # a run in Lambda has an `Aws` of its own
            try:
                nights.runner(event=name).sweep(nights.detector, [self.aws], now=now)
            except Killed:
                self.story.append("it was killed")
                self.box.revive()
            except FAILED as error:
                self.story.append(f"it failed: {error}")
                break
            else:
                break

    def actions(self, nights: Nights) -> list[Action]:
        """What it did and has not taken back."""
        known = Actions(self.mine).all(nights.detector.name, ACCOUNT, REGION)
        return [action for action in known if action.stage not in {Stage.WITHDRAWN, Stage.UNDONE}]

    def undo(self, nights: Nights, action: Action) -> None:
        """Take an action back, however often its function dies or fails; what comes back for nobody stays."""
        name, why = nights.detector.name, ""
        for attempt in range(6):
            if attempt < 4 and self.chance(0.4):
                self.strike(nights.detector.undoes)
            if attempt == 4:
                self.calm()
            self.story.append(f"{name} undoes {action.target.arn}: {why}")
            try:
                found = nights.undoing.find(name, ACCOUNT, REGION, action.id)
                nights.undoing.undo(nights.detector, nights.aws, found, by="maria")
            except Killed:
                self.box.revive()
                why = "its function was killed"
            except CannotUndoError as error:
                why = str(error)
                if " before, " in why or any(word in why for word in (*FOR_GOOD, ANOTHER)):
                    return
            except FAILED as error:
                why = f"it failed: {error}"
            else:
                return

    # --- what it comes to ---

    def begun(self) -> set[tuple[str, str]]:
        """What was acted on: detectors, and ARNs in lower case."""
        known = Actions(self.mine)
        return {
            (nights.detector.name, action.target.arn.lower())
            for nights in self.nights
            for action in known.all(nights.detector.name, ACCOUNT, REGION)
            if action.touched
        }

    def cleaned(self) -> Iterator[str]:
        """Whatever is changed was waste, and what was filled in is nothing but tags."""
        begun, now = self.begun(), snapshot()
        faults = [Fault(call, "error", lasting=True) for call in self.refused]
        for place in sorted(begun):
            if place not in self.pressed:
                yield f"{place} was acted on, and nobody pressed for it"
            if not (claim := self.claims.get(place)) or not (
                claim.allows(LIKELY, ()) or hidden(claim, faults)
            ):
                yield f"{place} was acted on, and is no waste"
        for arn, (was, became) in changes(self.before, now).items():
            mine = {detector for detector, of in begun if of == arn}
            if not mine and not ends_with_another(arn):
                yield f"{arn} was {was} and became {became}, and nobody did it"
            if mine == {UNTAGGED} and became is not None and not tags_filled(was, became):
                yield f"{arn} was {was} and became {became}, and was only tagged"
        for place in sorted(self.pressed - begun):
            claim = self.claims.get(place)
            doubted = claim is not None and any(map(claim.concerns, self.refused))
            over = ends_with_another(place[1]) or (
                TUNER in place[1] and any("/trial" in arn for _, arn in begun)
            )
            if claim and claim.must and not doubted and place[1] in now and not over:
                yield f"{place} is left, although nothing speaks for it"

    def not_back(self) -> Iterator[str]:
        """What is not as it was; jobs were submitted again, once each. Tags that were filled in may stay."""
        differs = changes(self.before, snapshot())
        ended = [was for arn, (was, became) in differs.items() if was is not None and "-job/" in arn]
        for arn, (was, became) in differs.items():
            if was is None and (twin := next((job for job in ended if is_same_job(job, became)), None)):
                ended.remove(twin)  # nobody else is submitted again as it
            elif not ("-job/" in arn and was) and not tags_filled(was, became):
                yield f"{arn} was {was} and is {became} after everything was undone"


def generous(detector: Detector[Any], allow_unversioned: bool) -> Detector[Any]:  # noqa: FBT001
    """A detector that may act wherever it can."""
    if detector.name == UNTAGGED:
        return replace(detector, fill_tags=FILLED)  # type: ignore[call-arg]
    if detector.name == "duplicate-artifacts":
        prefixes = tuple(f"s3://{store}/" for store in STORES)
        return replace(detector, act_on_prefixes=prefixes, allow_unversioned=allow_unversioned)  # type: ignore[call-arg]
    return detector


def hidden(claim: Claim, faults: Sequence[Fault]) -> bool:
    """Whether a fault hid the only sign of its use."""
    return bool(claim.hides & {fault.call for fault in faults})


TUNER = ":hyper-parameter-tuning-job/"
"""Of a job whose children were found and stopped one by one, none is running, and nothing is billed."""


def ends_with_another(arn: str) -> bool:
    """Whether it ends with something else: a training with its tuning job, or a component."""
    return "/trial" in arn or arn.endswith("-ic")


def tags_filled(was: Mapping[str, Any] | None, became: Mapping[str, Any] | None) -> bool:
    """Whether nothing but tags differs, and those were only filled in."""
    if was is None or became is None or {**was, "tags": {}} != {**became, "tags": {}}:
        return False
    added = became["tags"].keys() - was["tags"].keys()
    return bool(became["tags"].items() >= was["tags"].items() and added <= {*FILLED, "owner"})


def is_same_job(was: Any, job: Any) -> bool:
    """Whether *job* is what *was* is, submitted again."""
    own, given = (
        {key: value for key, value in each["tags"].items() if key not in {*FILLED, "owner"}}
        for each in (was, job)
    )
    return own == given and all(was.get(member) == job.get(member) for member in (*OF_A_JOB, "kind"))


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time", Unhurried)


@pytest.mark.parametrize("seed", SEEDS)
def test_only_waste_is_acted_on_and_all_of_it_comes_back(seed: int, box: Control) -> None:
    Life(box, seed).live()


@pytest.mark.long
def test_everything_is_done_and_undone_and_every_fault_strikes(box: Control) -> None:
    """In the first accounts, in as many as it takes."""
    came, wanted = Counter[str](), {*READING, *CHANGING, *DEATHS, *DONE}
    for seed in range(1, MOST + 1):
        life = Life(box, seed)
        life.live()
        came += Counter(box.calls()) + life.struck
        if not (missing := wanted - came.keys()):
            return
    pytest.fail(f"{sorted(missing)} did not come about in {MOST} accounts")
