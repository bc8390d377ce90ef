"""
Evenings of an armed detector, which leave every kind of cause in the ledger; versions take turns at them.

`python -m upgrade.evenings VERSION` in the tests of a version records what its evenings leave: f11e1957 was
the last that stored sentences. The table of one evening is all that the next one knows.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from fakes import raising
from ml_janitor.core.model import Mode
from ml_janitor.engine.detector import CannotActError
from standin import ARMED, DAY, HOUR, TUESDAY, Nights, by_name, in_memory

EVERYTHING = replace(ARMED, max_share=100, max_actions=2)
RECORDED = Path(__file__).parent / "evenings-f11e1957.json"
WATCHED = "it is watched"
CAUSES = ("close_reason", "error", "not_done", "refused", "unmessaged", "untold_why")

type Left = dict[str, Any]
"""What an evening leaves: its results, the table, and which things there are."""


def all_are_warned_about(nights: Nights) -> None:
    nights.world.add("acts", "breaks", "gone", "late", "used")


def one_breaks_off_and_one_is_held_back(nights: Nights) -> None:
    nights.world.use("used")
    del nights.world.things["gone"]
    nights.world.before = raising(RuntimeError("throttled"), at="remove breaks")


def an_undo_fails(nights: Nights) -> None:
    nights.world.before = raising(RuntimeError("no capacity"), at="plug in acts")
    undo(nights, "acts")
    nights.world.before = lambda _: None


def it_is_undone_and_owners_get_no_message(nights: Nights) -> None:
    undo(nights, "acts")
    nights.world.add("refused", "unsaid")
    nights.postman.unmessaged = "unknown to Slack"


def one_is_refused(nights: Nights) -> None:
    nights.world.refuses = CannotActError(WATCHED)


def it_is_refused_no_more(nights: Nights) -> None:
    del nights


def the_detector_is_disarmed(nights: Nights) -> None:
    nights.arming = replace(EVERYTHING, mode=Mode.DRY_RUN)


def it_is_armed_again(nights: Nights) -> None:
    nights.world.add("new")


def nothing_was_found_for_weeks(nights: Nights) -> None:
    nights.world.things.pop("refused", None)


EVENINGS: Sequence[tuple[timedelta, Callable[[Nights], None]]] = [
    (timedelta(), all_are_warned_about),
    (4 * DAY, one_breaks_off_and_one_is_held_back),
    (HOUR, an_undo_fails),
    (HOUR, it_is_undone_and_owners_get_no_message),
    (8 * DAY, one_is_refused),
    (8 * DAY, it_is_refused_no_more),
    (HOUR, the_detector_is_disarmed),
    (HOUR, it_is_armed_again),
    (60 * DAY, nothing_was_found_for_weeks),
]


def undo(nights: Nights, name: str) -> None:
    """A person undoes the action on *name*; a failure is recorded."""
    with suppress(Exception):
        nights.undoing.undo(nights.detector, nights.aws, nights.of(name), by="maria")


def live(number: int, before: Left) -> Left:
    """One evening after the evening *before*."""
    with in_memory() as nights:
        for item in before.get("table", ()):
            plain = {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
            nights.table.put(plain.pop("pk"), plain.pop("sk"), plain)
        nights.sign_warnings()  # whose signatures an earlier version did not give: test_upgrade.py
        nights.arming = EVERYTHING
        for name in before.get("things", ()):
            nights.world.add(name)
        nights.world.unplugged |= {*before.get("unplugged", ())}
        nights.clock = TUESDAY + sum((span for span, _ in EVENINGS[: number + 1]), timedelta())
        EVENINGS[number][1](nights)
        results = {name: result.outcome.value for name, result in sorted(by_name(nights.sweep()).items())}
        items = sorted(nights.table.scan(""), key=lambda item: (item["pk"], item["sk"]))
        return {
            "results": results,
            "table": [
                {name: TypeSerializer().serialize(value) for name, value in sorted(item.items())}
                for item in items
            ],
            "things": sorted(nights.world.things),
            "unplugged": sorted(nights.world.unplugged),
        }


def states(left: Left) -> Mapping[str, Any]:
    """
    What a version without causes knows of what an evening *left*.

    Of a cause, that is whether there is one; messages, marks of writes and signatures are not a state.
    """
    known: dict[str, Any] = {"results": left["results"], "things": left["things"]}
    for item in left["table"]:
        plain = {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
        if not plain["pk"].startswith(("finding#", "action#")):
            continue
        causes = {name: bool(plain.pop(name, "")) for name in CAUSES}
        rest = {
            name: one
            for name, one in plain.items()
            if name not in {"written", "counter", "mac", "origin", "progress"} and not name.endswith("_cause")
        }
        known[f"{plain['pk']} {plain['sk']}"] = rest | causes
    return known


def main(version: str) -> None:
    evenings: list[Left] = []
    for number in range(len(EVENINGS)):
        evenings.append(live(number, evenings[-1] if evenings else {}))
    text = [json.dumps(left, default=list, sort_keys=True, separators=(",", ":")) for left in evenings]
    (RECORDED.parent / f"evenings-{version}.json").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
