"""`janitor findings, keep, snooze, approve, sweep, undo`: a person at the ledger."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from fakes import UNTELLABLE, because, thing, waste
from ml_janitor.core.model import Cost
from ml_janitor.deployment import ACTION_PAUSE_SECONDS, AWS_WAIT_SECONDS
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.findings import Entry
from ml_janitor.ledger.latest import LastRun, LatestRuns
from ml_janitor.ledger.limits import Leases
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge
from ml_janitor_cli.ledger_session import STACK_KEYS, make_wait
from ml_janitor_cli.main import main
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, KEYS, TABLE
from reports import schema_problems
from standin import DAY, DENIED, HOUR, Cleaner, Nights
from tables import cases

ARMED = f"""
[detectors.cellar]
mode = "act"
act_in = ["{ACCOUNT}"]
business_days = false
schedule = "rate(7 days)"
"""


class Desk:
    """The command line in a directory with a janitor.toml, beside a deployment."""

    def __init__(
        self, nights: Nights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.nights, self._monkeypatch, self._capsys = nights, monkeypatch, capsys
        self.naps: list[float] = []
        self.unnamed = False
        monkeypatch.setattr(edge, "sleep", self.naps.append)

    def due(self, *names: str) -> None:
        """Waste that was warned about four days ago."""
        self.nights.warned(*names)
        self.nights.clock += 4 * DAY

    def entry(self, name: str = "lamp") -> Entry:
        """What the ledger has of a finding."""
        return self.nights.entries()[name]

    def __call__(self, *argv: str, typed: str | None = None) -> tuple[int, str]:
        """The status of one command, and all that it said."""
        self._monkeypatch.setenv("JANITOR_NOW", self.nights.clock.isoformat())
        for variable, named in [("JANITOR_TABLE", TABLE), *KEYS.items()]:
            self._monkeypatch.setenv(variable, "" if self.unnamed else named)
        if typed is not None:
            self._monkeypatch.setattr("sys.stdin", _Typed(typed))
        status = main(list(argv), registry=(Cleaner,))
        said = self._capsys.readouterr()
        return status, said.out + said.err


class _Typed:
    """Somebody types one line, after *thinking*."""

    def __init__(self, line: str, thinking: Callable[[], None] = lambda: None) -> None:
        self._lines = [f"{line}\n"]
        self._thinking = thinking

    def readline(self) -> str:
        self._thinking()
        return self._lines.pop(0) if self._lines else ""


@pytest.fixture
def desk(
    nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    (tmp_path / "janitor.toml").write_text(ARMED)
    monkeypatch.chdir(tmp_path)
    return Desk(nights, monkeypatch, capsys)


def arn(name: str) -> str:
    return thing(name, waste()).target.arn


def test_findings_says_what_waits_for_whom(desk: Desk) -> None:
    assert desk("findings") == (0, "Nothing is open, and nothing can be undone.\n")
    desk.nights.warned("lamp")

    status, said = desk("findings")

    assert status == 0
    assert "lamp  us-east-1" in said
    assert "warned 2026-10-06 03:00 UTC, due 2026-10-09 03:10 UTC" in said
    document = json.loads(desk("findings", "--json")[1])
    assert schema_problems("findings", document) == []
    (line,) = document["findings"]
    assert (line["detector"], line["arn"], line["state"], line["due"]) == (
        "cellar",
        arn("lamp"),
        "warned",
        "2026-10-09T03:10:00Z",
    )
    assert line["id"] in said


def test_without_regions_of_its_organization_another_account_is_listed_where_runs_look(
    desk: Desk, tmp_path: Path
) -> None:
    other, far, now = "210987654321", "eu-central-1", desk.nights.clock
    (tmp_path / "janitor.toml").write_text(
        f"""{ARMED}
[organization]
accounts = ["{other}"]
external_id = "ml-janitor-7f3a"
callers = ["arn:aws:iam::{ACCOUNT}:role/platform"]
"""
    )
    lamp = arn("lamp").replace(ACCOUNT, other).replace(REGION, far)
    hold = Hold(key=f"{lamp}@x", how=HoldKind.KEPT, by="maria", given=now, why="the fair")
    desk.nights.holds.put(other, far, hold)
    assert lamp not in desk("findings", "--account", other)[1]

    run = LastRun(detector="cellar", time=now, key="", accounts=1, begun=now, regions=("ap-northeast-1", far))
    LatestRuns(desk.nights.table).begun(run)

    assert lamp in desk("findings", "--account", other, "--json")[1]
    assert lamp not in desk("findings", "--account", other, "--region", REGION, "--json")[1]
    assert lamp not in desk("findings", "--json")[1]


def test_a_longer_word_stands_unless_somebody_means_to_shorten_it(desk: Desk) -> None:
    desk.nights.warned("lamp")
    desk("snooze", arn("lamp"), "30", "--reason", "the fair")

    status, said = desk("snooze", arn("lamp"), "5")
    assert status == 0
    assert "until 2026-11-05 03:00 UTC: the fair.\nThat hold is longer and stands; " in said
    assert "to shorten it, repeat the command with --shorten." in said
    status, said = desk("snooze", arn("lamp"), "5", "--shorten")
    assert (status, said.count("\n")) == (0, 1)
    assert "until 2026-10-11 03:00 UTC." in said
    desk("keep", arn("lamp"), "--reason", "a demo")
    assert "to end it, janitor keep ... --until DATE --shorten." in desk("snooze", arn("lamp"), "5")[1]
    desk("keep", arn("lamp"), "--reason", "over", "--until", "2026-10-07", "--shorten")
    desk.nights.clock += 4 * DAY
    assert "snoozed by" in desk("findings")[1]


def test_a_hold_on_what_one_detector_says_keeps_it_from_nothing_else(desk: Desk) -> None:
    desk.nights.warned("lamp")

    status, said = desk("keep", arn("lamp"), "--only", "cellar", "--reason", "not for us")

    assert (status, "kept by" in said) == (0, True)
    assert "not for us" in desk("findings")[1]
    again = ("--reason", "x", "--until", "2026-10-07", "--shorten")
    status, said = desk("keep", arn("lamp"), "--only", "cellar", *again)
    assert (status, "until 2026-10-08" in said) == (0, True)
    assert "has no finding of cellar about" in desk("snooze", arn("nobody"), "3", "--only", "cellar")[1]


@cases(
    "arn, said",
    (
        "arn:aws:sagemaker:us-east-1:999999999999:thing/lamp",
        "is in account 999999999999; the credentials are of 123456789012",
    ),
    ("arn:aws:sagemaker:us-east-1:123456789012:thing/gone", "(any more), looked for in us-east-1"),
    (
        "arn:aws:lambda:us-east-1:123456789012:function:x",
        "which is of kind function of lambda; these kinds are judged: thing",
    ),
    ("lamp", "lamp"),
)
def test_nobody_keeps_what_is_not_there(desk: Desk, arn: str, said: str) -> None:
    status, heard = desk("keep", arn, "--reason", "why not")

    assert status == 2
    assert said in heard


def test_what_was_due_and_is_not_any_more_is_named(desk: Desk) -> None:
    """`findings` lists it as due until the next sweep of the deployment."""
    desk.nights.warned("bath", "lamp", "sofa", "vase")
    desk.nights.world.judge("bath", UNTELLABLE)
    desk.nights.world.use("lamp")
    del desk.nights.world.things["sofa"]
    kept = "by moto until 2026-12-01 00:00 UTC: a gift"
    assert kept in desk("keep", arn("vase"), "--until", "2026-11-30", "--reason", "a gift")[1]
    assert kept in " ".join(desk("findings")[1].split())
    desk.nights.clock += 4 * DAY

    status, said = desk("sweep", "--act", "--yes")

    assert (status, desk.nights.world.done) == (0, [])
    assert "cellar in us-east-1: 0 due, 0 waiting.\n" in said
    assert "  lamp was due, and is not now: it is used.\n" in said
    assert "  sofa was due, and is not now: it is no longer there.\n" in said
    assert f"  bath was due, and is not now: {UNTELLABLE.reason}.\n" in said
    assert f"  vase was due, and is not now: kept {kept}.\n" in said


def test_why_something_due_was_not_done_last_time_is_shown(desk: Desk) -> None:
    desk.nights.warned("lamp", "vase")
    desk.nights.arming = replace(desk.nights.arming, max_actions=0)
    assert "not done" not in desk("findings")[1]
    desk.nights.after(4 * DAY)

    why = "not done on 2026-10-10 03:00 UTC: held back by max_actions = 0 for one sweep"
    assert " ".join(desk("findings")[1].split()).count(f"due now; {why}") == 2
    assert " ".join(desk("sweep")[1].split()).count(why) == 2
    desk.nights.world.use("lamp")
    desk.nights.arming = replace(desk.nights.arming, max_actions=5)
    desk.nights.after(DAY)
    assert [entry.not_done for entry in desk.nights.ledger.entries("cellar", ACCOUNT, REGION)] == [None, None]


def test_why_acting_by_hand_left_something_due_is_shown_next_time(desk: Desk) -> None:
    desk.due("lamp", "vase")

    def refuse(name: str) -> None:
        if name.endswith("lamp"):
            raise DENIED

    desk.nights.world.before = refuse
    status, said = desk("sweep", "--act", "--yes")
    assert (status, "vase: done." in said) == (1, True)

    said = " ".join(desk("findings")[1].split())
    assert re.search(r"not done on 2026-10-10 03:00 UTC: .*AccessDenied", said)
    assert desk.entry().not_done_at == desk.nights.clock
    assert desk.entry("vase").not_done_at is None


def test_acting_by_hand_wants_the_account_typed_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipeline there is no terminal; on one, Ctrl-D and Ctrl-C are no answer either."""
    desk.due("lamp")
    nobody = "\njanitor: nobody answered, so nothing was done; --yes goes on without asking\n"
    for command in (("sweep", "--act"), ("approve", "cellar")):
        monkeypatch.setattr("sys.stdin", StringIO(""))
        status, said = desk(*command)
        assert (status, said.endswith(nobody), desk.entry().approved) == (2, True, "")

    status, said = desk("sweep")
    assert (status, said.count("lamp")) == (0, 1)
    assert said.endswith("Nothing was done: --act does what is due.\n")
    status, said = desk("sweep", "--act", typed="123")
    assert (status, f"account {ACCOUNT}, type the account id: " in said) == (2, True)
    assert desk.nights.world.done == []
    status, said = desk("sweep", "--act", typed=ACCOUNT)

    assert status == 0
    assert "lamp: done. undo: janitor undo" in said
    assert desk.nights.world.things == {}


def test_ctrl_c_in_the_middle_of_an_act_says_what_becomes_of_it(desk: Desk) -> None:
    desk.due("lamp")

    def stop(_: str) -> None:
        raise KeyboardInterrupt

    desk.nights.world.before = stop

    status, said = desk("sweep", "--act", "--yes")

    assert status == 130
    assert said.endswith(
        "\njanitor: interrupted; janitor findings lists what was begun, "
        "and the next sweep goes on with it or puts it back\n"
    )
    desk.nights.world.before = lambda _: None
    assert "begun 2026-10-10 03:00 UTC, and not finished" in desk("findings")[1]
    assert "lamp: done." in desk("sweep", "--act", "--yes")[1]


def test_ctrl_c_anywhere_else_is_one_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object, __: str) -> Iterator[Mapping[str, Any]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Table, "query", stop)

    assert desk("findings") == (130, "\njanitor: interrupted\n")


def test_acting_by_hand_obeys_the_same_laws(desk: Desk) -> None:
    desk.nights.world.add("lamp")
    desk.nights.sweep()
    desk.nights.world.add("chair")

    status, said = desk("sweep", "--act", "--yes")

    assert (status, desk.nights.world.done) == (0, [])
    assert "0 due, 2 waiting" in said


type Thinking = Callable[[Callable[[], None]], None]


@pytest.fixture
def thinking(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Thinking:
    """What happens while a person is asked for the account id; the clock is the real one, and runs."""

    def while_asked(happens: Callable[[], None]) -> None:
        monkeypatch.setattr(edge, "command_clock", lambda _: lambda: desk.nights.clock)
        monkeypatch.setattr("sys.stdin", _Typed(ACCOUNT, happens))

    return while_asked


def passing(nights: Nights, span: timedelta) -> Callable[[], None]:
    def passes() -> None:
        nights.clock += span

    return passes


def test_what_was_done_is_said_although_the_ledger_fails_after_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.due("lamp")

    def denied(*_: object) -> None:
        raise DENIED

    monkeypatch.setattr("ml_janitor.acting.acting.ArmedSweep._prepare_again", denied)

    status, said = desk("sweep", "--act", "--yes")

    assert status == 1
    assert "lamp: done. undo: janitor undo" in said
    assert "AccessDeniedException" in said


def test_an_answer_that_took_too_long_does_nothing(desk: Desk, thinking: Thinking) -> None:
    desk.due("lamp")
    thinking(passing(desk.nights, 2 * HOUR))

    status, said = desk("sweep", "--act")

    assert (status, "more than an hour" in said) == (2, True)
    assert desk.nights.world.done == []


def test_a_warning_that_became_void_meanwhile_is_not_acted_on(desk: Desk, thinking: Thinking) -> None:
    desk.due("lamp")
    entry = desk.entry()
    thinking(lambda: desk.nights.ledger.void_warning(entry, because("it is only reported now")))

    assert desk("sweep", "--act")[0] == 0

    assert desk.nights.world.done == []


def test_only_what_was_shown_is_acted_on_and_looked_at_again_with_the_time_of_that_moment(
    desk: Desk, thinking: Thinking
) -> None:
    desk.due("lamp")
    desk.nights.world.add("chair")
    desk.nights.sweep(dry=True)
    due = desk.nights.clock + timedelta(minutes=10)
    desk.nights.ledger.warned(desk.entry("chair"), now=desk.nights.clock - 4 * DAY, due=due)
    thinking(passing(desk.nights, timedelta(minutes=30)))

    assert desk("sweep", "--act")[0] == 0

    assert list(desk.nights.world.things) == ["chair"]
    assert desk.naps == []
    assert desk.nights.world.looked_at == [desk.nights.clock]
    assert desk.nights.of("lamp").began == desk.nights.clock


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_nobody_acts_at_a_time_to_come(desk: Desk, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    desk.nights.warned("lamp")
    flag = ("--now", (desk.nights.clock + 4 * DAY).isoformat()) if how == "flag" else ()
    if how == "environment":
        desk.nights.clock += 4 * DAY
        monkeypatch.delenv("AWS_ENDPOINT_URL")

    assert desk("sweep", "--act", "--yes", *flag)[0] == 2

    assert desk.nights.world.done == []


def test_one_person_in_two_terminals_is_two(desk: Desk) -> None:
    """Both would act on the same at once, if a person were the holder of a lease."""
    desk.due("lamp")
    second: list[tuple[int, str]] = []

    def meanwhile(_: str) -> None:
        desk.nights.world.before = lambda _: None
        second.append(desk("sweep", "--act", "--yes"))

    desk.nights.world.before = meanwhile

    assert desk("sweep", "--act", "--yes")[0] == 0

    ((status, said),) = second
    assert (status, "by another run" in said) == (1, True)


def test_an_undo_waits_for_nobody_who_is_at_work_on_it(desk: Desk) -> None:
    """A sweep under way would go on deleting what the undo brought back."""
    desk.nights.warned("lamp")
    desk.nights.after(4 * DAY)
    now = desk.nights.clock
    Leases(desk.nights.table).take("cellar", ACCOUNT, REGION, holder="a sweep", now=now, until=now + HOUR)

    status, said = desk("undo", desk.nights.of("lamp").id)

    assert (status, "by another run" in said) == (1, True)
    assert desk.nights.of("lamp").stage is Stage.ACTED


def test_what_is_not_armed_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "janitor.toml").write_text("")

    assert desk("sweep", "cellar", "--act", "--yes")[0] == 2
    status, said = desk("sweep", "--act", "--yes")

    assert (status, "no detector is armed" in said) == (2, True)


def test_what_was_done_is_listed_and_undone(desk: Desk) -> None:
    desk.nights.warned("lamp")
    desk.nights.after(4 * DAY)
    finding = desk.nights.of("lamp").id
    assert f"janitor undo {finding}" in desk("findings")[1]

    status, said = desk("restart", finding)
    assert (status, said) == (2, f"janitor: lamp is not a job; to bring it back: janitor undo {finding}\n")
    status, said = desk("undo", finding)

    assert (status, said) == (0, "lamp is back. Not brought back: the dust on it.\n")
    assert list(desk.nights.world.things) == ["lamp"]
    said = desk("findings")[1]
    assert said.count("lamp") == 1
    assert "no open finding; snoozed by moto until 2026-10-17 03:00 UTC: it was brought back" in said
    status, said = desk("undo", finding)
    assert (status, "brought back before" in said) == (2, True)
    for command in ("undo", "restart"):
        status, said = desk(command, "deadbeef00")
        assert (status, said.count("\n")) == (2, 1)
        assert said.endswith(f"deadbeef00 in {ACCOUNT}, us-east-1; janitor findings lists what was\n")


def test_a_forged_record_is_refused_as_what_was_asked_wrong_is(desk: Desk) -> None:
    """Status 1 would say that trying again may help."""
    desk.nights.warned("lamp")
    desk.nights.after(4 * DAY)
    lamp = desk.nights.of("lamp")
    desk.nights.table.change(lamp.pk, lamp.sk, set_to={"undo": '{"name": "prey"}'})

    status, said = desk("undo", lamp.id)

    assert (status, "somebody changed it" in said) == (2, True), said
    assert desk.nights.of("lamp").stage is Stage.ACTED


def test_what_was_withdrawn_leaves_nothing_to_undo(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.nights.warned("lamp")

    def act(*_: object) -> None:
        raise CannotActError("it was overwritten in the last moment")

    monkeypatch.setattr(Cleaner, "act", act)
    desk.nights.after(4 * DAY)
    desk.nights.world.things.clear()
    desk.nights.after(DAY)

    status, said = desk("findings")
    assert (status, said.splitlines()[-1]) == (0, "Nothing is open, and nothing can be undone.")
    assert "nothing was done: it was overwritten in the last moment" in desk("findings", "--all")[1]


def test_many_at_once_are_approved_by_a_person(desk: Desk) -> None:
    desk.due("a", "b", "c", "d")
    assert "janitor approve cellar" in desk("sweep", "--act", "--yes")[1]
    assert desk.nights.world.done == []

    assert "Nothing was approved" in desk("approve", "cellar", typed="n")[1]
    status, said = desk("approve", "cellar", "--yes")
    assert (status, "Approved 4" in said) == (0, True)
    desk.nights.clock += DAY
    desk("sweep", "--act", "--yes")

    assert desk.nights.world.things == {}
    assert desk.naps == [ACTION_PAUSE_SECONDS] * 3


def test_nothing_waits_for_approval_before_there_is_a_warning_or_after_it_is_approved(desk: Desk) -> None:
    nothing = "No warning of cellar waits for approval.\n"
    assert desk("approve", "cellar") == (0, nothing)
    desk.nights.world.add("sofa")
    desk.nights.sweep(dry=True)
    assert desk("approve", "cellar")[1].endswith(nothing)
    desk.due("lamp", "vase")
    desk.nights.world.use("vase")
    desk.nights.sweep(dry=True)
    assert "Approved 2 by" in desk("approve", "cellar", "--yes")[1]
    assert desk("approve", "cellar") == (0, nothing)


def test_a_person_is_forgotten_in_the_ledger_and_in_the_reports(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.nights.warned("lamp")
    desk.nights.hold("lamp", how=HoldKind.KEPT, why="ask maria")
    monkeypatch.delenv("JANITOR_BUCKET", raising=False)
    assert "give --bucket NAME or set JANITOR_BUCKET" in desk("forget", "maria")[1]
    monkeypatch.setenv("JANITOR_BUCKET", BUCKET)
    assert desk("forget", " ") == (2, "janitor: PERSON: it is empty\n")

    status, said = desk("forget", "maria")

    assert (status, "It cannot reach: DynamoDB's point-in-time recovery" in said) == (0, True)
    assert re.match(r"maria is (person-[0-9a-f]{8}) in 1 item of the ledger and 0 reports\.\n", said)
    assert re.search(r"kept by person-[0-9a-f]{8}: ask person-", desk("findings")[1])
    desk.nights.ledger.make_due(desk.entry(), by="anna", now=desk.nights.clock)
    desk.nights.table.change(desk.entry().pk, desk.entry().sk, set_to={"hurried": "bob"})
    status, said = desk("forget", "bob")
    assert (status, said.count("Left as it is: ")) == (1, 1)


@pytest.mark.usefixtures("desk")
def test_a_ledger_is_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("JANITOR_TABLE")

    assert main(["findings"], registry=(Cleaner,)) == 2
    assert "LedgerTable" in capsys.readouterr().err


def test_the_stack_names_the_ledger_and_its_keys(desk: Desk, box: Control) -> None:
    desk.due("lamp")
    desk("sweep", "--act", "--yes")
    keys = {f"{STACK_KEYS[key][0]}0A1B2C3D": (alias, "AWS::KMS::Key") for key, alias in KEYS.items()}
    listed = {"Ledger0A1B2C3D": (TABLE, "AWS::DynamoDB::Table")} | keys
    box.stack(
        "MlJanitor", [{"logical": name, "physical": of, "type": kind} for name, (of, kind) in listed.items()]
    )
    desk.unnamed = True

    assert "lamp" in desk("findings")[1]
    status, said = desk("undo", "lamp")
    assert (status, "lamp is back" in said) == (0, True)
    assert set(desk.nights.world.things) == {"lamp"}
    other = desk("undo", "lamp", "--table", "another")
    assert (other[0], "no signing key: the stack MlJanitor in us-east-1 has none" in other[1]) == (2, True)
    box.fault("cloudformation", "ListStackResources", "deny", times=0)
    assert "no ledger: the stack MlJanitor could not be read: " in desk("findings")[1]


def test_names_will_do_and_two_of_one_name_are_refused(desk: Desk) -> None:
    desk.nights.warned("lamp", "vase")
    assert f"{arn('lamp')}: kept by" in desk("keep", "lamp", "--reason", "the fair")[1]
    assert f"{arn('vase')}: snoozed by" in desk("snooze", "vase", "2")[1]
    assert "the ledger has no finding about sofa in" in desk("keep", "sofa", "--reason", "x")[1]
    far = arn("lamp").replace(REGION, "eu-west-1")
    now = desk.nights.clock
    hold = Hold(key=f"{far}@x", how=HoldKind.KEPT, by="maria", given=now, why="the fair")
    desk.nights.holds.put(ACCOUNT, "eu-west-1", hold)

    both = ("--region", REGION, "--region", "eu-west-1")
    status, said = desk("keep", "lamp", "--reason", "the fair", *both)

    assert status == 2
    assert f"2 findings are called lamp; give an ARN: {far}, {arn('lamp')}" in " ".join(said.split())
    assert "no detector is called lampp" in desk("approve", "lampp")[1]


def test_a_warning_that_is_not_signed_is_not_approved_beside_others(desk: Desk) -> None:
    desk.due("lamp", "vase")
    vase = desk.entry("vase")
    desk.nights.table.change(vase.pk, vase.sk, set_to={"mac": ""})

    said = desk("approve", "cellar", "--yes")[1]

    assert "vase: not approved, its warning is not signed: a new one follows.\n" in said
    assert [desk.entry(name).approved for name in ("lamp", "vase")] == ["moto", ""]


def test_one_warning_is_approved_by_its_name(desk: Desk) -> None:
    desk.due("a", "b", "c", "d")

    status, said = desk("approve", "b", "--yes")

    assert (status, said.endswith("Approved 1 by moto; the next sweep of cellar acts on what is due.\n")) == (
        0,
        True,
    )
    assert [name for name in "abcd" if desk.entry(name).approved] == ["b"]
    assert "No warning of b waits for approval" in desk("approve", "b")[1]


def test_the_most_expensive_finding_comes_first(desk: Desk) -> None:
    for name, usd in {"cheap": 1, "free": 0, "dear": 70}.items():
        desk.nights.world.add(name)
        desk.nights.world.judge(name, replace(waste(), cost=Cost.standing(Decimal(usd), "a list")))
    desk.nights.sweep()

    said = desk("findings")[1]
    listed = json.loads(desk("findings", "--json")[1])["findings"]

    assert [line["name"] for line in listed] == ["dear", "cheap", "free"]
    assert [line["monthly_usd"] for line in listed] == [51_100, 730, 0]
    assert said.index("dear") < said.index("cheap")


def test_a_day_that_is_over_keeps_nothing(desk: Desk) -> None:
    desk.nights.world.add("lamp")

    status, said = desk("keep", arn("lamp"), "--reason", "x", "--until", "2026-10-01")

    assert (status, said) == (2, "janitor: --until: 2026-10-01 is over; nothing was kept\n")
    status, said = desk("keep", arn("lamp"), "--reason", "x", "--until", "9999-12-31")
    assert (status, said) == (2, "janitor: --until: expected a date such as 2027-01-31, got 9999-12-31\n")
    assert desk.nights.holds.all(ACCOUNT, REGION) == {}


def test_the_region_of_what_is_kept_is_that_of_its_arn(desk: Desk) -> None:
    desk.nights.world.add("lamp")
    assert desk("keep", arn("lamp").replace("us-east-1", "eu-west-1"), "--reason", "x")[0] == 0
    assert list(desk.nights.holds.all(ACCOUNT, REGION)) == []
    assert [key.partition("@")[0] for key in desk.nights.holds.all(ACCOUNT, "eu-west-1")] == [arn("lamp")]


def test_whoever_waits_for_aws_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    naps: list[float] = []
    wait = make_wait(naps.append)
    wait()
    wait()

    said = capsys.readouterr()
    assert naps == [AWS_WAIT_SECONDS, AWS_WAIT_SECONDS]
    assert (said.out, said.err.count("AWS takes its time")) == ("", 1)
