"""Lives through random nights: the same seed, the same nights."""

from __future__ import annotations

from datetime import timedelta

from conftest import ACCOUNT, MINUTE, REGION
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.limits import LeaseTakenError
from properties.nightly.people import People
from properties.nightly.wire import KINDS, PLACES, Mishap
from standin import HOUR


class Driver(People):
    """Night after night of an account."""

    def evening(self) -> None:
        """People at work, before any sweep."""
        for _ in range(self.random.randrange(1, 4)):
            self.life_goes_on()
        for _ in range(self.random.randrange(3)):
            self.make_one()
        if self.chance(0.3):
            self.operator_changes()
        self.presses()

    def night(self) -> None:
        """One event, and what comes of it."""
        self.swept()
        self.asked_back()
        if self.chance(0.5):
            self.somebody_undoes()

    def swept(self) -> None:
        """One event, with whatever goes wrong, and its retries."""
        self.common.events += 1
        stale = self.random.choice([timedelta(), timedelta(), 50 * MINUTE, 5 * HOUR])
        event, now = f"event-{self.common.events}", self.clock - stale
        dry = stale > HOUR or self.chance(0.05)
        self.store.breaks_after = (
            self.random.randrange(len(self.store.items)) if self.store.items and self.chance(0.1) else None
        )
        self.slack = self.random.choice(["well"] * 7 + ["ill", "half", "killed before", "killed after"])
        for attempt in range(3):
            trouble = self.brew(attempt)
            self.tell(f"{event} of {now} begins{', dry' if dry else ''}: {trouble}, Slack is {self.slack}")
            died = self.attempt(event, now, dry=dry)
            self.calm()
            if not died or self.chance(0.2):
                break
            self.clock += MINUTE

    def brew(self, attempt: int) -> str:
        """What will go wrong."""
        what = self.random.choice(["nothing", "wire", "wire", "step", "step", "step", "other", "pause"])
        if attempt == 2:
            return "nothing"
        if what == "wire":
            mishap = Mishap(
                self.random.choice(KINDS),
                self.random.choice(PLACES),
                self.random.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 11]),
            )
            self.wire.mishap = mishap
            return str(mishap)
        if what == "step":
            kind = self.random.choice(["killed before", "killed after", "lost", "denied"])
            step, skip = (
                self.random.choice(["unplug", self.last_step, self.last_step]),
                self.random.choice([0, 0, 1, 2]),
            )
            self.store.before, self.store.after = self.trip(kind, step, skip)
            return f"{kind} {step} after {skip}"
        if what == "other":
            self.store.before = self.meanwhile
        if what == "pause":
            self.trouble = [self.life_goes_on, self.presses]
        return what

    def meanwhile(self, step: str, name: str) -> None:
        """In the middle of one action something else happens: to another item, or another sweep begins."""
        if self.chance(0.4):
            self.life_goes_on(besides=name)
            return
        if self.chance(0.3):
            self.other_sweeps()
            return
        run, self.oracle.run = self.oracle.run, None
        self.tell(f"another sweep begins at {step} {name}")
        try:
            self.at_once()
        finally:
            self.oracle.run = run

    def other_sweeps(self) -> None:
        """The other detector's sweep begins and ends, while an action of this one is under way."""
        other = next(each for each in self.common.drivers if each is not self)
        if other.oracle.run is not None:
            return
        self.common.events += 1
        self.tell(f"{other.name} is swept meanwhile")
        if other.attempt(f"event-{self.common.events}", self.clock, dry=False):
            self.wire.die()
        self.oracle.counts["side by side"] += 1

    def at_once(self) -> None:
        """A second sweep, and an undo, while a sweep is at work."""
        try:
            self.runner(event="another").sweep(self.detector, [self.aws], now=self.clock)
            self.oracle.say("two sweeps at once")
        except LeaseTakenError:
            self.oracle.counts["second sweeps"] += 1
        known = Actions(self.mine).all(self.name, ACCOUNT, REGION)
        if known and self.took_back(known[-1], by="maria"):
            self.oracle.say("a sweep and an undo at once")

    def _pause(self) -> None:
        for trouble in self.trouble:
            trouble()
