"""What people do with warnings, and what else happens while a sweep is at work."""

from __future__ import annotations

from typing import Any

import boto3

from conftest import ACCOUNT, REGION
from ml_janitor.engine.holds import Hold, How
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.holds import Holds
from ml_janitor.ledger.leases import LeaseTakenError
from ml_janitor_sandbox import state
from ml_janitor_sandbox.sagemaker_store import SageMakerStore
from properties.whole.deployment import Deployment, Shift
from properties.whole.snapshot import snapshot


class People:
    """Those who get the warnings of *deployment*, with credentials of their own."""

    def __init__(self, deployment: Deployment, session: boto3.Session) -> None:
        self.deployment, self.session = deployment, session
        self.mine = deployment.mine
        self.judge, self.trouble = deployment.judge, deployment.trouble

    def press(self) -> None:
        """*Do it now* on most warnings, so that what is claimed of this moment still holds."""
        ledger = Ledger(self.mine)
        for name in self.deployment.shifts:
            for entry in ledger.entries(name, ACCOUNT, REGION):
                if entry.warned is not None and self.trouble.chance(0.9):
                    ledger.make_due(entry, by="maria", now=self.deployment.clock)
                    self.judge.pressed.add((name, entry.arn.lower()))

    def second_thoughts(self) -> None:
        """Some of what would be cleaned up is kept after all."""
        for _ in range(self.trouble.random.randrange(4)):
            self.keep()

    def keep(self) -> None:
        """By a tag, or by a word to the janitor; of tuning jobs and their trainings one would keep others."""
        ledger = Ledger(self.mine)
        known = [
            entry
            for name in self.deployment.shifts
            for entry in ledger.entries(name, ACCOUNT, REGION)
            if (name, entry.arn.lower()) in self.judge.pressed and entry.arn.lower() in snapshot()
            if not any(begun == entry.arn.lower() for _, begun in self.judge.begun)
            if "/trial" not in entry.arn and "/sweep" not in entry.arn
        ]
        if not known:
            return
        entry = self.trouble.random.choice(known)
        arn = entry.arn.lower()
        self.deployment.tell(f"{arn} is kept")
        self.judge.kept.add(arn)
        if ":sagemaker:" in arn and self.trouble.chance(0.5):
            tags: Any = [{"Key": "janitor:keep", "Value": "true"}]
            spelt = next(
                one.arn for one in state.at(SageMakerStore, ACCOUNT, REGION) if one.arn.lower() == arn
            )
            self.session.client("sagemaker").add_tags(ResourceArn=spelt, Tags=tags)
            self.judge.before[arn]["tags"]["janitor:keep"] = "true"
        else:
            hold = Hold(key=entry.key, how=How.KEPT, by="maria", said=self.deployment.clock)
            Holds(self.mine).put(ACCOUNT, REGION, hold)

    def meanwhile(self, shift: Shift) -> None:
        """Between two actions somebody keeps something, or a sweep of this detector or another begins."""
        what = self.trouble.random.choice(["keep", "again", "other", "nothing", "nothing"])
        amid, self.deployment.amid = self.deployment.amid, []
        if what == "keep":
            self.keep()
        elif what == "again":
            self.at_once(shift)
        elif what == "other":
            others = [one for one in self.deployment.shifts.values() if one is not shift]
            self.deployment.sweep(self.trouble.random.choice(others), rough=False)
        self.deployment.amid = amid

    def at_once(self, shift: Shift) -> None:
        """A second sweep of the same detector, which has to find its lease taken."""
        try:
            shift.runner(event="another").sweep(shift.detector, [shift.aws], now=self.deployment.clock)
        except LeaseTakenError:
            self.judge.counts["second sweeps"] += 1
        else:
            self.judge.say("two sweeps at once")
