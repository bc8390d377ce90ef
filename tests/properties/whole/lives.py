"""Lives through the nights of one whole account: the same seed, the same nights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from random import Random

import boto3
from moto.moto_api._internal import mock_random

from conftest import NOW, REGION
from ml_janitor.acting.warning import AT_ONCE
from ml_janitor.aws.boto_client import make_client
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import TABLE, deploy
from ml_janitor_sandbox.process_kill import end_when_killed
from properties.whole.deployment import FILLED, TICK, Deployment
from properties.whole.estate import some_estate
from properties.whole.judge import Judge, Operator, Place, tags_filled
from properties.whole.people import People
from properties.whole.snapshot import changes, snapshot
from properties.whole.taking_back import TakingBack
from properties.whole.trouble import KEY, Trouble
from properties.whole.watch import watch
from properties.worlds.base import UNTAGGED

NIGHTS = 5
"""Of each account at least: one that warns, two in which everything breaks, a calm one, one at last."""


class Life:
    """One account, from its first warning to when everything is back."""

    def __init__(self, control: Control, seed: int) -> None:
        self.control, self.seed = control, seed
        self.random = Random(seed)  # noqa: S311 - it has to come out the same again
        mock_random.seed(seed)
        control.reset()
        control.set_durations({"*": 0})
        theirs = boto3.Session(region_name=REGION)
        world = some_estate(self.random)
        claims = {claim.key: claim for claim in world.build(theirs, control, NOW)}
        deploy(control.url)
        control.set_durations({"*": TICK.total_seconds()})
        self.before = dict(deepcopy(snapshot()))
        self.judge = Judge(claims=claims, before=self.before, operator=self._operator())
        session = boto3.Session(region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key="its secret")
        watch(session, self.judge)
        end_when_killed(session)
        self.trouble = Trouble(control, session, self.random)
        mine = Table(make_client(theirs, "dynamodb", REGION, 1), TABLE)
        self.deployment = Deployment(control, session, mine, self.judge, self.trouble)
        self.people = People(self.deployment, theirs)
        self.back = TakingBack(self.deployment)
        self.deployment.tell(f"{self.judge.operator}, {len(world.things)} things")

    def live(self) -> None:
        """All of its nights. Raises AssertionError at the first wrong deed."""
        self.night(rough=self.trouble.chance(0.3))
        self.people.press()
        self.something_else()
        self.people.second_thoughts()
        self.deployment.amid = [self.people.meanwhile]
        self.night(rough=True)
        self.night(rough=True)
        self.deployment.amid = []
        self.night(rough=False)
        self.cleaned()
        self.back.everything()
        self.all_back()
        self.night(rough=False)  # what is back rests; what had found no place is cleaned up now
        self.back.everything()
        self.all_back()

    def night(self, *, rough: bool, dry: bool = False) -> None:
        """Every detector sweeps, in any order; what is asked back is brought back."""
        shifts = list(self.deployment.shifts.values())
        self.random.shuffle(shifts)
        self.judge.faults = self.trouble.refuse_reads() if rough else ()
        self.judge.doubt()
        for shift in shifts:
            carried = len(shift.postman.carried)
            self.deployment.sweep(shift, rough=rough, dry=dry)
            if len(shift.postman.carried) - carried == AT_ONCE:  # there may be more to warn about
                self.deployment.sweep(shift, rough=False, dry=dry)
        self.trouble.end()
        self.judge.faults = ()
        for shift in shifts:
            self.back.asked(shift)
        self.right()

    def right(self) -> None:
        assert self.judge.wrong == [], self.said()

    def said(self) -> str:
        """What a failed test tells."""
        story = "\n".join(self.deployment.story[-60:])
        return f"{self.judge.wrong}\na whole account of: make soak SEED={self.seed}\n{story}"

    def something_else(self) -> None:
        """A night of another deployment: a dry one, a disarmed one, or one that may not act here."""
        what = self.random.choice(["dry", "disarmed", "elsewhere", ""])
        if not what:
            return
        self.deployment.tell(f"a night of something else: {what}")
        operator = self.judge.operator
        operator.armed, operator.inside = what != "disarmed", what != "elsewhere"
        self.night(rough=False, dry=what == "dry")
        assert changes(self.before, snapshot()) == {}, self.said()
        operator.armed = operator.inside = True
        if what != "dry":  # the warnings are void, and so is what was pressed
            self.judge.pressed.clear()
            self.night(rough=False)
            self.people.press()

    def _operator(self) -> Operator:
        tight = self.random.random() < 0.25
        return Operator(
            managed_too=self.random.random() < 0.7,
            likely_too=self.random.random() < 0.85,
            max_actions=self.random.choice([1, 2, 3]) if tight else 100,
            at_most=self.random.choice([2, 5, 1000]) if tight else 1000,
        )

    # --- what it comes to -----------------------------------------------------------------------

    def cleaned(self) -> None:
        """Whatever is changed was waste, and what was filled in is nothing but tags."""
        for arn, (was, became) in changes(self.before, snapshot()).items():
            mine = {detector for detector, of in self.judge.begun if of == arn}
            if not mine and not self._trial(arn):
                self.judge.say(f"{arn} was {was} and became {became}, and nobody did it")
            if mine != {UNTAGGED} or (
                became is None and self._trial(arn)
            ):  # it went with what it is a part of
                continue
            if was is None or became is None or not tags_filled(was, became, {**FILLED, "owner": ""}):
                self.judge.say(f"{arn} was {was} and became {became}, and was only tagged")
        self.judge.wrong += [f"{place} is left, although nothing speaks for it" for place in self._left()]
        self.right()

    def _left(self) -> Iterator[Place]:
        """What was pressed for and is there as it was, although it is certain and no limit held it back."""
        judge, there = self.judge, snapshot()
        if judge.operator.tight:
            return
        for place in sorted(judge.pressed - judge.begun - judge.doubted):
            detector, arn = place
            claim, shift = judge.claims.get(place), self.deployment.shifts[detector]
            sure = claim is not None and claim.must and claim.allows(self.deployment.act_on(shift), ())
            free = arn not in judge.kept and (judge.operator.managed_too or not judge.manager(arn))
            if sure and free and arn in there and not self._trial(arn):
                yield place

    def _trial(self, arn: str) -> bool:
        """Whether it ends with something else: a training with its tuning job, or a component."""
        return "/trial" in arn or arn.endswith("-ic")

    def all_back(self) -> None:
        """
        Everything is as it was, but for jobs: those were submitted again, once each.

        And for tags that were filled in on what was then deleted: what is made anew in its place has them,
        and is another thing, of which the janitor takes nothing away.
        """
        for _ in range(3):
            self.deployment.wait()
        for arn, (was, became) in changes(self.before, snapshot()).items():
            if was is None and self.back.submitted(arn, became):
                continue
            filled = arn in self.back.filled_for_good and was is not None and became is not None
            if filled and tags_filled(was, became, {**FILLED, "owner": ""}):
                continue
            if was is None or "-job/" not in arn:
                self.judge.say(f"{arn} was {was} and is {became} after everything was undone")
        self.right()


def told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
