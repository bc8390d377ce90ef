"""
Collects the names that deployments, tables, scripts and dashboards use: no refactoring may change them.

`make names` writes them to stable_names.toml: a change there has to be meant.
"""

import pkgutil
import re
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from json import loads
from pathlib import Path
from textwrap import wrap
from typing import Any

import typer

from conftest import ACCOUNT, NOW, REGION
from fakes import UNTELLABLE, because, target_at, thing, waste
from memory_table import MemoryTable
from ml_janitor.config import events
from ml_janitor.config.sections import SECTIONS, DetectorSection, section_model
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Change, Cost, Mode
from ml_janitor.core.results import Outcome, Sweep
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.findings import Ledger, MessageRef
from ml_janitor.ledger.latest import LastBill, LastRun, LatestRecords, LatestRuns
from ml_janitor.ledger.limits import Leases
from ml_janitor.ledger.requests import ButtonRequests, Holds
from ml_janitor.report.telemetry import measure_acts, measure_detectors, measure_lost_events, measure_missed
from ml_janitor.report.warnings import Button
from ml_janitor.slack.digest import day_metrics
from ml_janitor_cli.main import app
from ml_janitor_cli.template import member
from standin import DAY, HOUR, Nights, in_memory, with_request
from synthesis import BUTTONS, EVERY_ACCOUNT, TODAY, Synthesised, synthesise

ABROAD = "eu-west-1"
PINNED = Path(__file__).with_suffix(".toml")

ARMED = {one.name: {"mode": "act", "act_in": [ACCOUNT]} for one in DETECTORS if one.cleanup is not None}
BILL = {"enabled": True, "monthly_budget": 100, "budgets": {"project=churn": 10}, "anomaly_monitor": "create"}
DEPLOYMENTS: Mapping[str, Any] = {
    "default": {},
    "armed": {"janitor": BUTTONS, "bill": BILL, "detectors": ARMED},
    "organization": {"janitor": BUTTONS, "organization": EVERY_ACCOUNT, "detectors": ARMED},
}

type Names = dict[str, list[str]]
"""Names under a heading, in the order in which they are written."""


# --- what is deployed ------------------------------------------------------------------------------


def stack_names(folder: Path) -> Names:
    """Logical ids and outputs of the default stack, and those that the other ones add to it."""
    found, known = dict[str, list[str]](), set[str]()
    for name, made in _stacks(folder).items():
        ids = {*made.template["Resources"], *made.template["Outputs"]}
        found[name] = sorted(ids - known)
        known |= ids
    settings = Settings.parse(DEPLOYMENTS["organization"])
    for name, roles in member.member_stacks(settings, TODAY).items():
        made_of = member.member_template(settings, name, roles)["Resources"]
        found[name] = [f"{id_}={role['Properties']['RoleName']}" for id_, role in sorted(made_of.items())]
    return found


def function_names(folder: Path) -> Names:
    """The handlers of the functions, and the variables of their environment."""
    functions = [
        one for made in _stacks(folder).values() for one in made.of_type("AWS::Lambda::Function").values()
    ]
    variables = {name for one in functions for name in one["Environment"]["Variables"]}
    handlers = sorted({one["Handler"] for one in functions})
    for handler in handlers:
        pkgutil.resolve_name(handler)  # raises if there is no such function
    return {
        "handlers": handlers,
        "environment": sorted(name for name in variables if name.startswith("JANITOR_")),
    }


def _stacks(folder: Path) -> dict[str, Synthesised]:
    return {name: synthesise(folder, Settings.parse(tables)) for name, tables in DEPLOYMENTS.items()}


# --- what is typed, set and sent -------------------------------------------------------------------


def command_names() -> Names:
    """Every command with its arguments and options."""
    return dict(_commands(typer.main.get_command(app), "janitor"))


def _commands(command: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    yield path, [name for one in command.params for name in (*one.opts, *one.secondary_opts)]
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, f"{path} {name}")


def setting_names() -> Names:
    """The keys of every section, and of every detector those that it alone has."""
    shared = _members(DetectorSection)
    own = {each.name: _members(section_model(each)) for each in DETECTORS}
    return {
        **{name: _members(model) for name, model in SECTIONS.items()},
        "hours": [one.value for one in Change],
        "detectors": shared,
        **{f"detectors.{name}": [key for key in keys if key not in shared] for name, keys in own.items()},
    }


def event_names() -> Names:
    """The members of every event."""
    models: dict[str, Any] = {
        "sweep": events.SweepEvent,
        "digest and bill": events.DigestEvent,
        "accounts": events.AccountsEvent,
        "press": events.SignedPressEvent,
        "undo": events.UndoEvent,
    }
    return {
        **{name: _members(model) for name, model in models.items()},
        "buttons": [one.value for one in Button],
    }


def _members(model: Any) -> list[str]:
    return [one.alias or name for name, one in model.model_fields.items()]


# --- what is measured ------------------------------------------------------------------------------


def metric_names() -> Names:
    """The metrics with their units, under their namespace and dimension."""
    with redirect_stdout(StringIO()) as written:
        measure_acts([Sweep(detector="shelf", region=REGION, mode=Mode.ACT, account=ACCOUNT, results=())])
        measure_missed(1)
        measure_lost_events(1)
        measure_detectors(day_metrics(["shelf"], (), whole=True))
    found = defaultdict[str, set[str]](set)
    for line in map(loads, written.getvalue().splitlines()):
        for one in line["_aws"]["CloudWatchMetrics"]:
            place = " ".join([one["Namespace"], *one["Dimensions"][0]])
            found[place] |= {f"{metric['Name']}={metric['Unit']}" for metric in one["Metrics"]}
    return {place: sorted(names) for place, names in found.items()}


# --- what is remembered ----------------------------------------------------------------------------


class RecordingTable(MemoryTable):
    """A table that knows every item with all attributes that it ever had, with a value that is not empty."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)

    def put(self, pk: str, sk: str, attributes: Mapping[str, Any], **how: Any) -> None:
        """... and note it."""
        super().put(pk, sk, attributes, **how)
        self._note(pk, sk)

    def change(self, pk: str, sk: str, **how: Any) -> dict[str, Any]:
        """... and note it."""
        answer = super().change(pk, sk, **how)
        self._note(pk, sk)
        return answer

    def _note(self, pk: str, sk: str) -> None:
        known = self.items[pk, sk]
        known |= {name: one for name, one in (self.get(pk, sk) or {}).items() if one or name not in known}


def table_names() -> Names:
    """The attributes of each kind of item, without its key."""
    found = defaultdict[str, set[str]](set)
    for (pk, _), item in remembered().items():
        found[pk.partition("#")[0]] |= {re.sub("^step_.*", "step_", name) for name in item} - {"pk", "sk"}
    return {kind: sorted(names) for kind, names in sorted(found.items())}


READERS: Mapping[str, Callable[[MemoryTable], object]] = {
    "finding": lambda table: Ledger(table).everywhere(),
    "action": lambda table: Actions(table).everywhere(),
    "hold": lambda table: Holds(table).all(ACCOUNT, REGION),
    "sweep": lambda table: [
        LatestRecords(table).sweep("cellar", ACCOUNT, region) for region in (REGION, ABROAD)
    ],
    "digest": lambda table: LatestRecords(table).digest(ACCOUNT),
    "bill": lambda table: LatestRecords(table).bill(ACCOUNT),
    "organization": lambda table: LatestRuns(table).last("cellar"),
}


def unread_names() -> Names:
    """The attributes without which an item is read as it is with them: names that nobody relies on."""
    found = defaultdict[str, dict[str, bool]](dict)
    for (pk, sk), item in remembered().items():
        kind = pk.partition("#")[0]
        if read := READERS.get(kind):
            whole = _read(read, pk, sk, item)
            for name in item.keys() - {"pk", "sk"}:
                rest = {key: one for key, one in item.items() if key != name}
                same = _read(read, pk, sk, rest) == whole
                found[kind][name] = found[kind].get(name, True) and same
    return {
        kind: sorted(name for name, unread in names.items() if unread)
        for kind, names in sorted(found.items())
    }


def _read(read: Callable[[MemoryTable], object], pk: str, sk: str, item: Mapping[str, Any]) -> object:
    table = MemoryTable()
    table.put(pk, sk, item)
    try:
        return read(table)
    except (KeyError, ValueError) as error:
        return repr(error)


def remembered() -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """Every item of a deployment that lived through all there is."""
    table = RecordingTable()
    with in_memory(table) as nights, redirect_stdout(StringIO()):
        _through_the_night(nights)
    _of_others(table)
    return table.items


def _through_the_night(nights: Nights) -> None:
    """Findings that are warned about, refused, held up, cleaned up, undone and closed."""
    cost = Cost(
        monthly_usd=Decimal(10),
        accrued_usd=Decimal(3),
        hourly_usd=Decimal(1),
        once_usd=Decimal(2),
        until=NOW + 9 * DAY,
        shares={"arn:a": Decimal(10)},
    )
    dear = replace(waste(), cost=cost, since=NOW - DAY, missing_for_undo="undo_roles")
    ledger, actions, requests = (
        nights.ledger,
        nights.actions,
        ButtonRequests(nights.table, nights.actions.signatures),
    )
    nights.world.things["lamp"] = replace(
        thing("lamp", dear, {"owner": "maria"}),
        takes_along=(target_at("thing/plug"),),
        belongs_to=(target_at("thing/room"),),
    )
    (result,) = nights.sweep().report.results
    (entry,) = ledger.entries("cellar", ACCOUNT, REGION)
    ledger.void_warning(entry, because("another one follows"))
    due, sent = NOW + DAY, MessageRef("C1", "1.0")
    entry = ledger.warned(entry, now=NOW, due=due, message=sent, said="a warning")
    ledger.messaged(entry, MessageRef("D1", "1.0"), late=due, due=due)
    (entry,) = ledger.entries("cellar", ACCOUNT, REGION)
    ledger.unmessaged(entry, because("unknown to Slack"))
    ledger.approve(entry, by="maria")
    (entry,) = ledger.entries("cellar", ACCOUNT, REGION)
    ledger.record_not_done(entry, because("the limit"), nights.clock)
    ledger.save_memo(entry, {"read": 1})
    requests.make_due(entry, by="maria", now=nights.clock)
    nights.after(3 * DAY)
    action = nights.of("lamp")
    actions.message_updated(action)
    requests.undo(action, by="maria", press="1", now=nights.clock)
    action = actions.request_undo(
        *with_request(actions.unfinished(action, because("waits")), "maria", nights.clock)
    )
    actions.undone(
        actions.begin_undo(*with_request(action, "maria", nights.clock), nights.clock),
        nights.clock,
        became="another lamp",
    )
    actions.undo_failed(actions.resume(nights.of("lamp"), nights.clock), because("broke"))
    unknown = replace(result, verdict=UNTELLABLE, outcome=Outcome.KEPT)
    other = replace(result, target=target_at("thing/tap"), change=Change.TAG)
    sweep = Sweep(
        detector="cellar",
        region=REGION,
        account=ACCOUNT,
        mode=Mode.ACT,
        results=(other, unknown),
        error="broke",
    )
    ledger.record(nights.aws, sweep, nights.clock)
    unpriced = replace(other, verdict=waste(None))
    elsewhere = replace(sweep, region=ABROAD, results=(other, unknown, unpriced))
    ledger.latest.remember(elsewhere, nights.clock, enabled=False)
    ledger.record_refusal(entry, because("unknown format"), nights.clock)
    nights.world.things.clear()
    nights.after(DAY)
    ledger.record(nights.aws, sweep, nights.clock)


def _of_others(table: MemoryTable) -> None:
    """What else is remembered."""
    latest, runs = LatestRecords(table), LatestRuns(table)
    hold = Hold(key="arn:a", how=HoldKind.SNOOZED, by="maria", given=NOW, until=NOW + DAY, why="demo")
    Holds(table).put(ACCOUNT, REGION, hold)
    latest.digested(ACCOUNT, NOW)
    of_bill = LastBill(
        time=NOW, kept="k", text="t", paragraphs=("p",), picture="p", picture_words="w", posted=True
    )
    latest.billed(ACCOUNT, of_bill)
    runs.begun(
        LastRun(detector="cellar", time=NOW, key="k", accounts=2, begun=NOW, unread=1, regions=(REGION,))
    )
    runs.ended("cellar", NOW, at=NOW + HOUR, unread=3)
    leases, where = Leases(table), ("cellar", ACCOUNT, REGION)
    leases.take(*where, holder="a", now=NOW, until=NOW + timedelta(minutes=15))
    leases.swept(*where, holder="a", now=NOW)


# --- the file --------------------------------------------------------------------------------------

SECTIONS_OF_FILE: Mapping[str, tuple[str, Callable[[Path], Names]]] = {
    "stack": ("Logical ids and outputs; of the roles in member accounts, the names too.", stack_names),
    "functions": ("Handlers, and the environment.", function_names),
    "commands": ("Arguments and options of each command.", lambda _: command_names()),
    "settings": ("Keys of janitor.toml.", lambda _: setting_names()),
    "events": (
        "Members of the events that functions get, and what buttons in Slack say.",
        lambda _: event_names(),
    ),
    "metrics": ("By namespace and dimension, with units.", lambda _: metric_names()),
    "table": ("Attributes of the items of the table, by kind.", lambda _: table_names()),
    "unread": ("Attributes that no reader uses.", lambda _: unread_names()),
}


def pinned() -> dict[str, Names]:
    """What the file says."""
    found = tomllib.loads(PINNED.read_text(encoding="utf-8"))
    return {
        section: {heading: text.split() for heading, text in about.items()}
        for section, about in found.items()
    }


def _file(found: Mapping[str, Names]) -> Iterable[str]:
    yield "# Names that outlive a release. Written by `make names`: read what that changes."
    for section, names in found.items():
        yield f"\n# {SECTIONS_OF_FILE[section][0]}\n[{section}]"
        for heading, each in names.items():
            lines = wrap(" ".join(each), 118, break_long_words=False, break_on_hyphens=False)
            text = "\n".join(lines)
            yield f'"{heading}" = """\n{text}"""' if len(lines) > 1 else f'"{heading}" = "{text}"'


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        found = {section: collect(Path(folder)) for section, (_, collect) in SECTIONS_OF_FILE.items()}
    PINNED.write_text("\n".join(_file(found)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
