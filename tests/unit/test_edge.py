"""What the command line takes from flags, the environment, the clock and people, before AWS is asked."""

import errno
import io
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from rich.text import Text

from conftest import ACCOUNT, NOW
from fakes import TRUST, raising, refusal
from ml_janitor.aws.client import DEFAULT_ATTEMPTS
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor_cli import edge, entry, screen
from ml_janitor_cli.edge import NO_TABLE_ADVICE, FailedError, end_on_interrupt, one_line_errors
from ml_janitor_cli.ledger_commands import arn_place, end_of_day
from scripted import Script
from tables import cases

# --- time -------------------------------------------------------------------------------------------


@cases(
    "flag, environment, at",
    ("2026-10-06T03:00:00Z", "2025-01-01T00:00:00Z", NOW),
    (" 2026-10-06T12:00:00+09:00 ", None, NOW),
    ("2026-10-06T03:00:00", None, NOW),
    (None, "2026-10-06", datetime(2026, 10, 6, tzinfo=UTC)),
    ("", "2026-10-06", datetime(2026, 10, 6, tzinfo=UTC)),
)
def test_now_is_the_flag_then_the_environment(
    monkeypatch: pytest.MonkeyPatch, flag: str | None, environment: str | None, at: datetime
) -> None:
    if environment:
        monkeypatch.setenv("JANITOR_NOW", environment)
    with monkeypatch.context() as far:
        far.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        read = edge.judging_time(flag)
    time.tzset()
    assert (read, read.tzinfo) == (at, UTC)
    assert edge.command_clock(flag)() == at


def test_else_it_is_the_clock() -> None:
    for at in (edge.judging_time(None), edge.command_clock(None)()):
        assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)
        assert at.tzinfo is UTC
    assert edge.judging_time(None).microsecond == 0
    assert edge.call_pace() is not None


@cases("name, text", ("--now", "soon"), ("JANITOR_NOW", "2026-13-01"), ("--now", "0001-01-01T00:00+14:00"))
def test_what_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    if name == "JANITOR_NOW":
        monkeypatch.setenv(name, text)
    with pytest.raises(
        edge.CommandRefusedError, match=f"{name}: expected a time such as .*, got {text.partition('+')[0]}"
    ):
        edge.judging_time(text if name == "--now" else None)


def test_nothing_is_done_at_another_time_than_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    edge.check_real_time(None)
    with pytest.raises(edge.CommandRefusedError, match="--now does not go with --act"):
        edge.check_real_time("2026-10-06")
    monkeypatch.setenv("JANITOR_NOW", "2026-10-06")
    assert edge.call_pace() is None
    with pytest.raises(edge.CommandRefusedError, match="this is not a sandbox"):
        edge.check_real_time(None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    edge.check_real_time(None)


@cases(
    "day, zone, end",
    ("2026-10-06", "UTC", datetime(2026, 10, 7, tzinfo=UTC)),
    ("2026-10-06", "Asia/Tokyo", datetime(2026, 10, 6, 15, tzinfo=UTC)),
    ("2026-12-31", "Europe/Berlin", datetime(2026, 12, 31, 23, tzinfo=UTC)),
)
def test_a_hold_lasts_through_its_last_day(day: str, zone: str, end: datetime) -> None:
    assert end_of_day(day, zone) == end
    assert end_of_day(day, zone).tzinfo is UTC


def test_a_day_that_is_none_is_refused() -> None:
    with pytest.raises(
        edge.CommandRefusedError, match=r"--until: expected a date such as 2027-01-31, got 31\.1\.2027"
    ):
        end_of_day("31.1.2027", "UTC")


# --- where, which and how often -----------------------------------------------------------------------


@cases(
    "flags, toml, session, found",
    (["eu-west-1", " eu-west-1 ", "us-east-1"], ["eu-north-1"], "us-west-2", ("eu-west-1", "us-east-1")),
    (None, ["eu-north-1"], "us-west-2", ("eu-north-1",)),
    ([], [], "us-west-2", ("us-west-2",)),
)
def test_regions_are_the_flags_then_the_settings_then_the_sessions(
    flags: list[str] | None, toml: list[str], session: str, found: tuple[str, ...]
) -> None:
    settings = Settings.parse({"janitor": {"regions": toml}})
    assert edge.choose_regions(flags, settings, boto3.Session(region_name=session)) == found


def test_a_region_must_exist_behind_an_endpoint_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    settings, session = Settings.parse({}), boto3.Session(region_name="us-east-1")
    with pytest.raises(
        edge.CommandRefusedError, match=r"AWS has no region eu-wset-1 .*did you mean eu-west-1"
    ):
        edge.choose_regions(["eu-wset-1"], settings, session)
    for none in ([""], [" "]):
        with pytest.raises(edge.CommandRefusedError, match="no region: give --region"):
            edge.choose_regions(none, settings, session)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        with pytest.raises(edge.CommandRefusedError, match="AWS has no region"):
            edge.choose_regions(["moon-1"], settings, session)


def test_all_regions_are_the_enabled_ones_that_have_sagemaker() -> None:
    names = ("eu-west-1", "eu-nowhere-1", "us-east-1")
    enabled = [{"RegionName": name, "OptInStatus": "opted-in"} for name in names]
    session = Script({"ec2:DescribeRegions": {"Regions": enabled}}).session()

    assert edge.choose_regions(["all"], Settings.parse({}), session) == ("eu-west-1", "us-east-1")


def test_detectors_are_those_that_are_named_or_switched_on() -> None:
    settings = Settings.parse({"detectors": {"idle-endpoints": {"enabled": False}}})
    names = [one.name for one in DETECTORS]

    assert [one.name for one in edge.choose_detectors(None, settings)] == [
        n for n in names if n != "idle-endpoints"
    ]
    asked = ["idle-notebooks", "idle-endpoints", "idle-endpoints"]
    assert [one.name for one in edge.choose_detectors(asked, settings)] == [
        "idle-endpoints",
        "idle-notebooks",
    ]
    with pytest.raises(edge.CommandRefusedError, match="called idle-endpoint; did you mean idle-endpoints"):
        edge.choose_detectors(["idle-endpoint"], settings)
    with pytest.raises(edge.CommandRefusedError, match="called xyzzy; janitor detectors lists them all"):
        edge.choose_detectors(["xyzzy"], settings)


@cases("text, attempts", ("", DEFAULT_ATTEMPTS), (" ", DEFAULT_ATTEMPTS), ("1", 1), (" 7 ", 7))
def test_the_environment_sets_attempts(monkeypatch: pytest.MonkeyPatch, text: str, attempts: int) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", text)
    assert edge.read_attempts() == attempts


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_no_attempts_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", text)
    with pytest.raises(edge.CommandRefusedError, match=f"from 1 on, got {text}"):
        edge.read_attempts()


@pytest.mark.parametrize("url", ["127.0.0.1:5000", "ftp://x", "http://", "https:/x"])
def test_an_endpoint_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", url)
    with pytest.raises(edge.CommandRefusedError, match="AWS_ENDPOINT_URL_SAGEMAKER: expected a URL"):
        edge.open_session(None)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "https://sagemaker.example")
    assert edge.open_session(None).region_name == "us-east-1"


def test_an_unknown_profile_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile platform]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    assert edge.open_session("platform").profile_name == "platform"
    with pytest.raises(
        edge.CommandRefusedError, match="no AWS profile is called platfrom; did you mean platform"
    ):
        edge.open_session("platfrom")
    monkeypatch.setenv("AWS_PROFILE", "platfomr")
    with pytest.raises(edge.CommandRefusedError, match="called platfomr"):
        edge.open_session(None)
    (tmp_path / "config").write_text("[profile platform\n")
    with pytest.raises(
        edge.CommandRefusedError, match="the AWS configuration cannot be used: Unable to parse"
    ):
        edge.open_session("platform")


def test_settings_that_are_wrong_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "janitor.toml").write_text('[janitor]\nregions = ["eu-west-1"]\nundo_days = 7\n')
    (tmp_path / "other.toml").write_text("[janitor]\nundo_days = 9\n")

    found = edge.load_settings(tmp_path / "other.toml", ["idle-endpoints.window=14d"], DETECTORS)
    assert (found.janitor.regions, found.janitor.undo_days) == (["eu-west-1"], 9)
    assert found.sections["idle-endpoints"].window == timedelta(days=14)  # type: ignore[attr-defined]
    with pytest.raises(edge.CommandRefusedError, match="window"):
        edge.load_settings(None, ["idle-endpoints.window=soon"], DETECTORS)
    context: Any = SimpleNamespace(obj=DETECTORS)
    made = edge.make_setup(context, None, None, profile=None, now="2026-10-06T03:00:00Z")
    assert (made.now, made.attempts, made.settings.janitor.undo_days) == (NOW, DEFAULT_ATTEMPTS, 7)
    assert (made.regions(None), made.regions(["us-west-2"])) == (("eu-west-1",), ("us-west-2",))


@pytest.mark.parametrize("used", [False, True])
def test_an_account_counts_in_an_organization_alone(*, used: bool) -> None:
    settings = Settings.parse({"organization": {"accounts": [ACCOUNT], **TRUST}} if used else {})
    arn = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:endpoint/a"
    assert arn_place(arn, settings) == {"region": "eu-west-1", "account": ACCOUNT if used else ""}


# --- questions ----------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A person's terminal, or what only looks like input."""

    tty = True

    def isatty(self) -> bool:
        return self.tty


def asked(monkeypatch: pytest.MonkeyPatch, answer: str, *, tty: bool = True) -> None:
    terminal = Terminal(answer)
    terminal.tty = tty
    monkeypatch.setattr(sys, "stdin", terminal)


def test_options_have_numbers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for number, option in (("1", "a"), ("3", "c")):
        asked(monkeypatch, f"{number}\n")
        assert edge.ask_choice("several stacks", ["a", "b", "c"]) == option
    said = capsys.readouterr()
    question = "several stacks:\n  1  a\n  2  b\n  3  c\nType its number:"
    assert (said.out.strip(), said.err) == ("", question * 2)
    for wrong in ("0", "4", "a", "-1"):
        asked(monkeypatch, f"{wrong}\n")
        with pytest.raises(edge.CommandRefusedError, match=f"expected a number from 1 to 3, got {wrong}"):
            edge.ask_choice("several stacks", ["a", "b", "c"])
    asked(monkeypatch, "1\n", tty=False)
    with pytest.raises(edge.CommandRefusedError, match="several stacks; name one of them: a, b, c"):
        edge.ask_choice("several stacks", ["a", "b", "c"])


def test_silence_does_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked(monkeypatch, " 123 \n")
    assert edge.ask_text("the account") == "123"
    assert capsys.readouterr().out == "the account: "
    for text, answer in (("y\n", True), ("n\n", False)):
        asked(monkeypatch, text)
        assert edge.ask_yes("Approve?") is answer
    asked(monkeypatch, "")
    for ask in (edge.ask_text, edge.ask_yes):
        with pytest.raises(edge.CommandRefusedError, match="nobody answered, so nothing was done"):
            ask("?")
    said = capsys.readouterr()
    assert (said.out.split(), said.err) == (["?:"], "Approve? [y/N]:" * 2 + "\n? [y/N]:\n")


# --- ends ---------------------------------------------------------------------------------------------


@cases(
    "error, said",
    (refusal("AccessDenied", operation="Query"), "the ledger: Query: AccessDenied"),
    *(
        (refusal("ResourceNotFoundException", operation=name), f"the ledger: {NO_TABLE_ADVICE}")
        for name in ("Query", "GetItem", "UpdateItem")
    ),
    (
        refusal("ResourceNotFoundException", operation="DescribeEndpoint"),
        "the ledger: DescribeEndpoint: Resource",
    ),
)
def test_a_call_that_failed_is_one_line(error: Exception, said: str) -> None:
    with pytest.raises(FailedError) as raised, one_line_errors("the ledger"):
        raise error
    assert str(raised.value.message).startswith(said)
    assert raised.value.exit_code == 1


def test_a_fault_of_ours_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors("the ledger"):
        raise ZeroDivisionError


def test_ctrl_c_is_given_back_when_reading_is_over() -> None:
    before = signal.getsignal(signal.SIGINT)
    with end_on_interrupt():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
    seen = list[Any]()

    def elsewhere() -> None:
        with end_on_interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before], "only the main thread may set a handler"


@cases(
    "raised, status, said",
    (None, 7, ""),
    (KeyboardInterrupt(), 130, "\njanitor: interrupted\n"),
    (BrokenPipeError(), 141, ""),
    (
        OSError(errno.ENOSPC, "No space left on device"),
        1,
        "janitor: the output cannot be written: No space left on device\n",
    ),
)
def test_a_program_ends_with_the_status_that_a_shell_expects(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException | None,
    status: int,
    said: str,
) -> None:
    def run() -> int:
        if raised is not None:
            raise raised
        return 7

    discarded = list[bool]()
    monkeypatch.setattr(entry, "run_command", run)
    monkeypatch.setattr(entry, "discard_output", lambda: discarded.append(True))
    assert entry.main() == status
    assert capsys.readouterr().err == said
    assert bool(discarded) is isinstance(raised, OSError)


def test_other_errors_are_raised(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(entry, "run_command", raising(PermissionError(errno.EACCES, "no")))
    with pytest.raises(PermissionError):
        entry.main()
    monkeypatch.setattr(sys, "stdout", None)
    assert entry.main() == 1
    assert capsys.readouterr().err == "janitor: there is no standard output to write to\n"


def test_the_version_is_quick(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["janitor", "--version"])
    assert entry.run_command() == 0
    assert capsys.readouterr().out == f"{entry.version_line()}\n"
    assert entry.version_line().startswith("janitor ")


@cases(
    "name, found, problem",
    ("botocore", "1.44.7", "janitor: botocore 1.44.7 is too old: pip install --upgrade 'boto3>=1.44.8'\n"),
    ("boto3", "1.9.300", "janitor: boto3 1.9.300 is too old: pip install --upgrade 'boto3>=1.44.8'\n"),
    ("boto3", "1.44.10", ""),
    ("boto3", "2.0.0", ""),
)
def test_an_older_boto3_is_refused_because_it_drops_fields(
    name: str, found: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = version
    monkeypatch.setattr(entry, "version", lambda of: found if of == name else real(of))
    monkeypatch.setattr(sys, "argv", ["janitor", "docs", "api"])

    assert entry.run_command() == (2 if problem else 0)
    assert capsys.readouterr().err == problem


def test_what_cannot_be_written_any_more_goes_nowhere(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        kept = os.dup(out.fileno())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            entry.discard_output()
        out.write("lost")
    os.close(kept)
    assert (tmp_path / "out").read_text() == ""


# --- the screen ---------------------------------------------------------------------------------------


@cases(
    "columns, tty, width",
    ("", False, 100),
    ("80", False, 80),
    ("10", False, 60),
    ("999", True, 140),
    ("0", False, 100),
    ("wide", False, 100),
)
def test_a_page_is_as_wide_as_its_reader_can_use(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int, *, tty: bool
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    stream = Terminal()
    stream.tty = tty
    assert screen.make_console(stream).width == width


def test_blocks_stand_apart_and_lines_end_without_blanks() -> None:
    stream = io.StringIO()
    screen.print_blocks(
        ["a   ", Text("b\n\n\n\nc"), screen.draw_facts([("name", "[bold]x"), ("n", Text("y"))])],
        screen.make_console(stream),
    )
    assert stream.getvalue() == "a\n\nb\n\nc\n\nname  [bold]x\nn     y\n"
    stream = io.StringIO()
    screen.print_blocks(
        [screen.draw_beside_ids([("id1", ["first", "second"]), ("i2", ["third"])])],
        screen.make_console(stream),
    )
    assert stream.getvalue() == "  id1  first\n       second\n  i2   third\n"


def test_progress_is_shown_to_a_person_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for tty in (False, True):
        stream = Terminal()
        stream.tty = tty
        monkeypatch.setattr(sys, "stderr", stream)
        with screen.show_progress("reading") as say:
            say("still reading")
        assert bool(stream.getvalue()) is tty


# --- files --------------------------------------------------------------------------------------------


def test_outputs_that_cannot_be_written_are_refused_before_any_work(tmp_path: Path) -> None:
    there, folder = tmp_path / "report.json", tmp_path / "folder"
    there.write_text("old")
    folder.mkdir()
    edge.check_outputs(json=True, files={"--html": tmp_path / "new.html", "--json-file": None})
    edge.check_outputs(json=False, files={"--json-file": there})
    for how, said in (
        ({"json": True, "files": {"--json-file": there}}, "--json and --json-file exclude each other"),
        ({"json": False, "files": {"--html": folder}}, "--html: .*folder cannot be written: Is a directory"),
        ({"json": False, "files": {"--html": tmp_path / "no" / "a"}}, "cannot be written: No such file"),
    ):
        with pytest.raises(edge.CommandRefusedError, match=said):
            edge.check_outputs(**how)  # type: ignore[arg-type]


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "report.html", tmp_path / "link.html"
    path.write_text("old")
    link.symlink_to(path)

    assert edge.replace_file(link, "new \u00e4") is None
    assert (path.read_text(encoding="utf-8"), link.is_symlink()) == ("new \u00e4", True)
    assert edge.replace_file(tmp_path / "made.html", "made") is None

    def full(self: Path, contents: str, **_: Any) -> int:
        self.write_bytes(contents[:1].encode())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    assert edge.replace_file(path, "newer") == "No space left on device"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.html", "made.html", "report.html"]
    assert path.read_bytes() == "new \u00e4".encode()


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert edge.replace_file(pipe, "report") is None
    reader.join()
    assert (read, [one.name for one in tmp_path.iterdir()]) == (["report"], ["pipe"])
