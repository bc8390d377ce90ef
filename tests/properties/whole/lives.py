"""Lives through the nights of one whole account: the same seed, the same nights."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from random import Random

import boto3
from moto.moto_api._internal import mock_random

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.acting.warning import WARNINGS_PER_SWEEP
from ml_janitor.aws.calls import make_client
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import TABLE, deploy
from ml_janitor_sandbox.process_kill import end_when_killed
from properties.whole.deployment import FILLED, TICK, Deployment
from properties.whole.estate import some_estate
from properties.whole.judge import Judge, Place, tags_filled
from properties.whole.snapshot import changes, snapshot
from properties.whole.taking_back import TakingBack
from properties.whole.trouble import KEY, Trouble
from properties.whole.watch import watch
from properties.worlds.base import UNTAGGED


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
        self.judge = Judge(claims=claims, before=self.before)
        session = boto3.Session(region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key="its secret")
        watch(session, self.judge)
        end_when_killed(session)
        self.trouble = Trouble(control, session, self.random)
        mine = Table(make_client(theirs, "dynamodb", REGION, 1), TABLE)
        self.deployment = Deployment(control, session, mine, self.judge, self.trouble)
        self.back = TakingBack(self.deployment)
        self.deployment.tell(f"{len(world.things)} things")

    def live(self) -> None:
        """All of its nights. Raises AssertionError at the first wrong deed."""
        self.night(rough=self.trouble.chance(0.3))
        self.press()
        for rough in (True, True, False):
            self.night(rough=rough)
        self.cleaned()
        self.back.everything()
        self.all_back()

    def press(self) -> None:
        """*Do it now* on most warnings, so that what is claimed of this moment still holds."""
        ledger = Ledger(self.deployment.mine)
        for name in self.deployment.shifts:
            for entry in ledger.entries(name, ACCOUNT, REGION):
                if entry.warned is not None and self.trouble.chance(0.9):
                    ledger.make_due(entry, by="maria", now=self.deployment.clock)
                    self.judge.pressed.add((name, entry.arn.lower()))

    def night(self, *, rough: bool) -> None:
        """Every detector sweeps, in any order; what is asked back is brought back."""
        shifts = list(self.deployment.shifts.values())
        self.random.shuffle(shifts)
        self.judge.faults = self.trouble.refuse_reads() if rough else ()
        self.judge.doubt()
        for shift in shifts:
            carried = len(shift.postman.carried)
            self.deployment.sweep(shift, rough=rough)
            if len(shift.postman.carried) - carried == WARNINGS_PER_SWEEP:  # there may be more to warn about
                self.deployment.sweep(shift, rough=False)
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
        """What was pressed for and is there as it was, although it is certain."""
        judge, there = self.judge, snapshot()
        for place in sorted(judge.pressed - judge.begun - judge.doubted):
            arn = place[1]
            claim = judge.claims.get(place)
            if claim is not None and claim.must and arn in there and not self._trial(arn):
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
