"""What happens in an account by itself: things come and go, are used and labelled; settings change."""

from __future__ import annotations

from datetime import date

from conftest import ACCOUNT, REGION
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.requests import Holds
from properties.nightly.account import Account
from properties.nightly.labels import BOUND, FREE
from properties.nightly.store import Item
from properties.nightly.truth import Operator
from standin import DAY, HOUR

PLACES_TO_ACT = (
    ((ACCOUNT,), True),
    ((f"{ACCOUNT}/{REGION}", "999999999999"), True),
    ((f"{ACCOUNT}/eu-west-1",), False),
    ((), False),
)


class Life(Account):
    """An account that is lived in."""

    def settle(self) -> None:
        """What there is at the beginning."""
        for _ in range(self.random.randrange(5, 16)):
            self.make_one()

    def make_one(self) -> None:
        """Something new, under a name of its own."""
        self.make(f"{'item' if self.oracle.deletes else 'lamp'}-{self.made}")

    def make(self, name: str) -> None:
        """Something new, under a new name or an old one."""
        self.made += 1
        self.store.items[name] = Item(
            name=name,
            created=self.clock - 90 * DAY * self.random.random() if not name.endswith("0") else None,
            label=self.random.choice(BOUND if self.chance(0.2) else FREE),
            used=self.chance(0.2),
            proven=self.chance(0.85),
            watched=self.chance(0.05),
            slow=self.chance(0.1),
        )
        self.tell(f"{name} is made: {self.store.items[name]}")

    def one(self) -> Item | None:
        """Some item; what is half done, or out, more often than others."""
        items = list(self.store.items.values())
        half = [item for item in items if not item.plugged or not item.lit]
        return self.random.choice(half if half and self.chance(0.5) else items) if items else None

    def life_goes_on(self, besides: str = "") -> None:
        """One thing happens to one item, except to the one named."""
        item = self.one()
        if item is None or item.name == besides:
            return
        what = self.random.choice(
            [
                "use",
                "leave",
                "leave",
                "leave",
                "label",
                "label",
                "hide",
                "show",
                "show",
                "again",
                "delete",
                "hold",
            ]
        )
        self.tell(f"{item.name}: {what}")
        match what:
            case "use" | "leave" if not item.lit:
                self.light(item, used=what == "use")
            case "use" | "leave":
                item.used = what == "use"
            case "label":
                item.label, item.relabelled = self.random.choice(BOUND if self.chance(0.4) else FREE), True
                self.tell(f"{item.name} is labelled {item.label.tags}")
            case "hide":
                item.untold, item.tags_hidden = self.random.choice([(True, False), (False, True)])
            case "show":
                item.untold, item.tags_hidden = False, False
            case "again":
                self.make(item.name)
            case "delete" if self.chance(0.3):
                del self.store.items[item.name]
            case "hold":
                self.hold_one(item)

    def light(self, item: Item, *, used: bool) -> None:
        """Its owner lights it again, and perhaps uses it."""
        item.lit = item.plugged = True
        item.used = used
        self.oracle.lit_again(item.identity)
        self.tell(f"{item.name} is lit again")

    def hold_one(self, item: Item) -> None:
        until = self.clock + self.random.choice([1, 3, 7]) * DAY if self.chance(0.6) else None
        how = HoldKind.KEPT if until is None else HoldKind.SNOOZED
        key = item.candidate.target.key
        hold = Hold(key=key, how=how, by="maria", given=self.clock, until=until)
        Holds(self.mine).put(ACCOUNT, REGION, hold)
        self.oracle.holds.setdefault(item.identity, []).append(until)
        self.tell(f"{item.name} is {how} until {until}")

    def operator_changes(self) -> None:
        act_in, inside = self.random.choice((*[PLACES_TO_ACT[0]] * 10, *PLACES_TO_ACT))
        self.operator = Operator(
            armed=self.chance(0.9),
            act_in=act_in,
            inside=inside,
            likely_too=self.chance(0.5),
            grace=self.random.choice([HOUR, HOUR, DAY, DAY, 2 * DAY, 3 * DAY]),
            business_days=self.chance(0.3),
            holidays=(date(2026, 10, 12),),
            max_actions=self.random.choice([0, 1, 2, 5, 10, 10, 10]),
            max_share=self.random.choice([0, 20, 20, 50, 100, 100, 100]),
            at_most=min(self.random.choice([0, 3, 6, 50, 50, 50, 50]), self.common.at_most),
            managed_too=self.random.choice([(), (), (), ("terraform",), ("cloudformation",)]),
            serving_too=self.random.choice([(), (), ("prod",)]),
        )
        for each in self.common.drivers:  # max_actions_per_night is one for all
            each.operator.at_most = self.operator.at_most
        self.tell(f"{self.operator}")
