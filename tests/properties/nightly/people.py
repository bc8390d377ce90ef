"""What people do with warnings and with what was done: presses, approvals and undos."""

from __future__ import annotations

from contextlib import suppress

from conftest import ACCOUNT, REGION
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.ledger.actions import Action, Actions, BegunBeforeError
from ml_janitor.ledger.findings import Entry, Ledger
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.ledger.table import ConditionFailedError
from properties.nightly.life import Life
from properties.nightly.oracle import REST, identity_of
from properties.nightly.store import Identity
from properties.nightly.wire import KINDS, Mishap
from standin import KilledError, own_signatures


class People(Life):
    """An account whose warnings are read."""

    def presses(self) -> None:
        """*Do it now* on one warning, perhaps on an old message, or a word for all of them."""
        entries = [entry for entry in self.on_record() if entry.warned is not None]
        self.old_entries += entries
        if self.old_entries and self.chance(0.3):
            entry = self.random.choice(self.old_entries[-30:])
            identity = self.known(entry.key)
            try:
                Ledger(self.mine, own_signatures()).make_due(entry, by="maria", now=self.clock)
            except ConditionFailedError:
                self.tell(f"now is refused for {identity}")
            else:
                self.tell(f"now is pressed for {identity}")
                self.pressed(entry, "hurried")
        if entries and self.chance(0.3):
            self.tell("all that was warned about is approved")
            for entry in [entry for entry in self.on_record() if entry.warned is not None]:
                Ledger(self.mine, own_signatures()).approve(entry, by="maria")
                self.pressed(entry, "approved")

    def on_record(self) -> list[Entry]:
        return Ledger(self.mine).entries(self.name, ACCOUNT, REGION)

    def pressed(self, entry: Entry, how: str) -> None:
        """The ledger took it; a warning that was acted on already may still stand in there."""
        identity = self.known(entry.key)
        warned = self.oracle.warnings.get(identity)
        if warned is None and not self.oracle.used_up(identity, entry.warned):
            self.oracle.say(f"{identity} has no warning, and yet it is {how}")
        elif warned is not None:
            setattr(warned, how, True)
            self.oracle.counts[how] += 1

    def known(self, key: str) -> Identity:
        """The identity that a key of the ledger means."""
        arn, _, created = key.rpartition("@")
        return arn.rpartition("/")[2], created

    def asked_back(self) -> None:
        """What sweeps asked to be put back is put back, by a function that may die, too."""
        asked, self.put_back = self.put_back, []
        for action in asked:
            self.take_back(action, by="the janitor")

    def somebody_undoes(self) -> None:
        """An undo of anything that was ever done, also of what was undone."""
        known = Actions(self.mine).all(self.name, ACCOUNT, REGION)
        if known:
            self.take_back(self.random.choice(known[-8:]), by="maria")

    def take_back(self, action: Action, *, by: str) -> None:
        """Until it is done, however often its function dies."""
        identity = identity_of(action.target)
        for attempt in range(4):
            if attempt < 3 and self.chance(0.4):
                kind = self.random.choice(KINDS)
                self.wire.mishap = Mishap(kind, b'"action#', self.random.choice([0, 1, 2, 3, 4, 5]))
            elif attempt < 3 and self.chance(0.4):
                kind = self.random.choice(["killed before", "killed after", "lost", "denied"])
                self.store.before, self.store.after = self.trip(
                    kind, self.random.choice([self.undo_step, "plug in"]), 0
                )
            self.oracle.undoing = identity
            try:
                self.took_back(action, by=by)
            except KilledError:
                self.tell("its function was killed")
            hit = self.wire.met or self.wire.dead
            self.oracle.undoing = None
            self.calm()
            if hit:
                self.oracle.interrupted(ledger=False)
                continue
            if attempt == 3 or self.chance(0.7):
                break

    def took_back(self, action: Action, *, by: str) -> bool:
        """One call of the undo function; the answer is whether it got to work."""
        identity = identity_of(action.target)
        self.tell(f"{by} undoes {identity}")
        leases, holder = Leases(self.table), f"undo {action.id}"
        try:
            until = self.clock + self.runner().patience
            leases.take(self.name, ACCOUNT, REGION, holder=holder, now=self.clock, until=until)
        except LeaseTakenError:
            self.oracle.counts["undo waited"] += 1
            return False
        except Exception as error:  # the function fails, and is called again
            self.tell(f"it failed: {error!r}")
            return False
        try:
            found = self.undoing.find(self.name, ACCOUNT, REGION, action.id)
            self.undoing.undo(self.detector, self.aws, found, by=by)
            self.restored(found, identity)
        except (CannotUndoError, BegunBeforeError) as error:
            self.tell(f"it could not: {error}")
        except Exception as error:  # the function fails, and is called again
            self.tell(f"it failed: {error!r}")
        with suppress(Exception):
            leases.release(self.name, ACCOUNT, REGION, holder=holder)
        return True

    def restored(self, action: Action, identity: Identity) -> None:
        """It is as its undo says: there, plugged in, with its tags; and rests."""
        item = self.store.items.get(identity[0])
        self.oracle.counts["undone"] += 1
        self.oracle.rests[identity[0]] = self.clock + REST
        if item is None:
            self.oracle.say(f"{identity} was undone, and is not there")
        elif not item.plugged or not item.lit:
            self.oracle.say(f"{identity} was undone, and is not plugged in and lit")
        elif identity[1] not in {item.identity[1], item.origin}:
            self.oracle.say(f"{identity} was undone, and another is there")
        elif item.identity != identity and not item.relabelled and item.label.tags != action.undo["tags"]:
            self.oracle.say(f"{identity} was undone, and has other tags")
