"""`janitor audit` against the sandbox: what it prints, where, and with which exit status."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import Janitor, Ran, refused
from conftest import ACCOUNT, REGION
from ml_janitor.detectors import DETECTORS
from ml_janitor_cli.main import main
from ml_janitor_sandbox.control import Control
from narrowing import not_none
from reports import schema_problems
from tables import cases

NAMES = [detector.name for detector in DETECTORS]
AT = "2026-10-06T03:00:00Z"


def valid(ran: Ran) -> dict[str, Any]:
    """The report that was printed, which fits the schema."""
    read: dict[str, Any] = ran.document
    assert schema_problems("report", read) == []
    return read


# --- the program itself ------------------------------------------------------------------------


@pytest.mark.usefixtures("notebooks")
def test_the_installed_command_reports_and_exits(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "janitor"

    done = subprocess.run(
        [program, "audit", "idle-notebooks", "--json-file", "report.jsonl"],
        env={**os.environ, "JANITOR_NOW": AT},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "left-on" in done.stdout
    *drawn, _, wrote, hint = done.stdout.splitlines()
    assert max(map(len, drawn)) == 100
    assert wrote == "Written: report.jsonl"
    assert hint == (
        f"To see how the first finding was judged: janitor explain "
        f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/left-on"
    )
    _, *written = map(json.loads, (tmp_path / "report.jsonl").read_text().splitlines())
    assert [each["name"] for each in written] == ["left-on"]


@pytest.mark.usefixtures("notebooks")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    program = Path(sys.executable).parent / "janitor"

    with subprocess.Popen(
        [program, "audit", "idle-notebooks", "--json", "--all"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        not_none(running.stdout).close()
        assert not_none(running.stderr).read() == ""


@pytest.mark.usefixtures("notebooks")
@cases(
    "command, said",
    ("janitor audit idle-notebooks --json-file r.json > /dev/full", "the output cannot be written: No space"),
    ("janitor audit idle-notebooks --json-file r.json >&-", "there is no standard output to write to"),
    ("janitor --version > /dev/full", "the output cannot be written: No space left on device"),
    ("janitor --version >&-", "there is no standard output to write to"),
    ("janitor audit idle-notebooks --json-file /dev/full", "/dev/full cannot be written: No space left on"),
    ("janitor audit idle-notebooks 2>&- --json-file none/r.json", ""),
)
def test_an_empty_output_is_one_line_and_no_file(tmp_path: Path, command: str, said: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "JANITOR_NOW": AT, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode in {1, 2}
    assert len(done.stderr.splitlines()) == bool(said)
    assert said in done.stderr
    assert [each for each in tmp_path.iterdir() if not each.stat().st_size] == []


@pytest.mark.usefixtures("notebooks")
def test_the_report_ends_with_lines_to_copy(janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/left-on"

    out = janitor("audit", "idle-notebooks", "untagged-resources", "--arns", "--html", "r.html").out

    ends = out[out.index("The ARNs of the findings") :].splitlines()
    assert ends[1:3] == [arn, f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/in-use"]
    assert ends[-3:] == [
        "",
        "Written: r.html",
        f"To see how the first finding was judged: janitor explain {arn}",
    ]
    assert "The ARNs" not in janitor("audit", "idle-notebooks").out
    assert "How the first" not in janitor("audit", "idle-endpoints").out


# --- reports -------------------------------------------------------------------------------------


def test_json_is_exactly_one_document(notebooks: Control, janitor: Janitor) -> None:  # noqa: ARG001
    ran = janitor("audit", "--json")

    assert (ran.status, ran.err) == (0, "")
    shown = valid(ran)
    assert (shown["time"], shown["account"]) == (AT, ACCOUNT)
    assert [each["detector"] for each in shown["sweeps"]] == NAMES
    assert {each["region"] for each in shown["sweeps"]} == {REGION}
    found, plan = (
        next(each for each in shown["results"] if each["detector"] == name and each["outcome"] != "kept")
        for name in ("idle-notebooks", "commitments")
    )
    assert (found["name"], found["owner"], found["outcome"]) == ("left-on", "maria", "would-act")
    assert found["created"] == "2026-09-06T03:00:00Z"
    assert shown["totals"]["monthly_usd"] == pytest.approx(found["monthly_usd"] + plan["monthly_usd"])
    assert min(found["monthly_usd"], plan["monthly_usd"]) > 0


@pytest.mark.usefixtures("notebooks")
def test_an_audit_is_a_dry_run_where_the_deployment_acts(janitor: Janitor) -> None:
    armed = ("idle-notebooks.mode=act", f'idle-notebooks.act_in=["{ACCOUNT}"]')
    ran = janitor("audit", "idle-notebooks", "--json", *(word for one in armed for word in ("--set", one)))

    assert {one["mode"] for one in ran.document["sweeps"]} == {"dry-run"}
    assert {one["outcome"] for one in ran.document["results"]} == {"would-act"}


@pytest.mark.usefixtures("notebooks")
def test_a_plan_stands_below_the_report_and_in_its_files(janitor: Janitor, tmp_path: Path) -> None:
    """A file that ends in .jsonl has a line for each finding."""
    ran = janitor("audit", "idle-notebooks", "--plan", "--json-file", "r.jsonl")

    assert (ran.status, ran.err) == (0, "")
    assert ran.out.index("left-on") < ran.out.index("Plan for six weeks  1 change")
    head, found = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert (len(head["plan"]), found["name"]) == (6, "left-on")
    assert janitor("audit", "idle-notebooks", "--json-file", "r.json").status == 0
    assert [one["name"] for one in json.loads((tmp_path / "r.json").read_text())["results"]] == ["left-on"]


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_listing_that_fails_is_an_error_of_its_sweep_only(notebooks: Control, janitor: Janitor) -> None:
    notebooks.fault("sagemaker", "ListEndpoints", "deny", times=0)

    ran = janitor("audit", "idle-endpoints", "idle-notebooks", "hung-training-jobs", "--json")

    assert ran.status == 1
    errors = {each["detector"]: each["error"] for each in valid(ran)["sweeps"]}
    assert "ListEndpoints" in errors.pop("idle-endpoints")
    assert set(errors.values()) == {None}
    assert [each["name"] for each in valid(ran)["results"]] == ["left-on"]


def test_no_credentials_are_an_error(box: Control, janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    box.clear_calls()

    ran = janitor("audit", "--json")

    assert (ran.status, ran.err) == (1, "")
    assert valid(ran)["account"] is None
    assert len(valid(ran)["sweeps"]) == len(NAMES)
    for each in valid(ran)["sweeps"]:
        assert each["error"].startswith("there are no AWS credentials: sign in")
    assert box.calls() == {}


def test_a_silent_endpoint_makes_all_sweeps_errors(janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    ran = janitor("audit")

    assert ran.status == 1
    assert ran.headline == "Nothing could be read."
    assert "nothing answers at http://127.0.0.1:9: start what should listen there, or unset AWS_E" in ran.flat
    assert "looked at" not in ran.out
    assert len(ran.out.splitlines()) <= 6


def test_an_expired_token_says_where_it_came_from(box: Control, janitor: Janitor) -> None:
    box.fault("sts", "GetCallerIdentity", "error", status=403, code="ExpiredToken", message="", times=0)

    assert "the credentials in the environment have expired: export new ones" in janitor("audit").flat


def test_a_profile_of_sso_is_signed_in_again(
    box: Control, janitor: Janitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aws").write_text(
        "[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n"
        "[profile dev]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Reader\n"
        "region = us-east-1\n"
        "[profile audit]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = dev\n"
        "region = us-east-1\n"
        "[profile old]\nregion = us-east-1\naws_access_key_id = AKIAOLD\naws_secret_access_key = old\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    for profile in ("dev", "audit"):
        ran = janitor("audit", "--profile", profile)
        assert "you are not signed in: aws sso login --profile dev (" in ran.flat
        assert ran.status == 1
    for command in (["explain", "a"], ["findings", "--table", "t"]):
        ran = janitor(*command, "--profile", "dev")
        assert (ran.status, len(ran.err.splitlines())) == (1, 1)
        assert "aws sso login --profile dev" in ran.err
    box.fault("sts", "GetCallerIdentity", "error", status=403, code="ExpiredToken", message="", times=0)
    old = janitor("audit", "--profile", "old")
    assert "the credentials of profile old have expired: get new ones" in old.flat


def test_a_disabled_region_is_told_from_bad_credentials(notebooks: Control, janitor: Janitor) -> None:
    invalid = {"status": 403, "code": "InvalidClientTokenId", "message": "The security token is invalid."}
    notebooks.fault("*", "*", "error", region="eu-central-2", times=0, **invalid)

    ran = janitor("audit", "idle-notebooks", "--region", "eu-central-2", "--region", REGION)

    assert ran.status == 1
    assert f"region eu-central-2 is not enabled in account {ACCOUNT}: enable it" in ran.flat
    assert "left-on" in ran.out
    notebooks.fault("*", "*", "error", times=0, **invalid)
    ran = janitor("audit", "--region", "eu-central-2")
    assert ran.headline == "Nothing could be read."
    assert "AWS does not know these credentials" in ran.flat


@pytest.mark.usefixtures("notebooks")
def test_a_gate_ends_with_three_after_the_report_is_written(janitor: Janitor, tmp_path: Path) -> None:
    files = ("--csv", "found.csv", "--markdown", "summary.md", "--json-file", "report.json")

    ran = janitor("audit", "idle-notebooks", "--fail-on", "likely", *files)

    assert ran.status == 3
    assert re.fullmatch(r"janitor: \d+ findings? at least likely, .*the dearest is .*\n", ran.err)
    assert "left-on" in (tmp_path / "found.csv").read_text()
    assert "left-on" in (tmp_path / "summary.md").read_text()
    again = janitor("audit", "idle-notebooks", "--fail-on", "likely", "--new-since", "report.json")
    assert (again.status, again.err) == (0, "")


def test_every_enabled_region_is_looked_at(notebooks: Control, janitor: Janitor) -> None:
    document = janitor("audit", "idle-notebooks", "--region", "all", "--json").document

    regions = {sweep["region"] for sweep in document["sweeps"]}
    assert {REGION, "eu-west-1", "sa-east-1"} <= regions
    assert "me-central-1" not in regions, "not enabled"
    assert "ec2:DescribeRegions" in janitor("doctor", "idle-notebooks", "--policy", "--region", "all").out
    assert "ec2:DescribeRegions" not in janitor("doctor", "idle-notebooks", "--policy").out
    notebooks.fault("ec2", "DescribeRegions", "deny", times=0)
    refused_ = janitor("audit", "--region", "all")
    assert refused_.status == 1
    assert "--region all, which asks ec2:DescribeRegions: DescribeRegions: " in refused_.err


@cases(
    "args, said",
    ((), "missing command (see janitor --help)"),
    (("adit",), "no such command 'adit'. Did you mean 'audit'? (see janitor --help)"),
    (("estimate", "job"), "no such command 'job'; did you mean training?"),
    (("estimate", "lunch"), "no such command 'lunch'; there are training, "),
    (("audit", "--jsn"), "no such option: --jsn"),
    (("audit", "--region"), "option '--region' requires an argument"),
    (("audit", "idle-notebook"), "no detector is called idle-notebook; did you mean idle-notebooks?"),
    (("audit", "x\ny\x1b[2J"), r"no detector is called x y\x1b[2J; janitor detectors lists them all"),
    (("audit", "--set", "idle-notebooks.patence=1d"),
     "unknown setting detectors.idle-notebooks.patence; did you mean patience?"),
    (("audit", "--set", "idle-notebooks.patience=soon"),
     "detectors.idle-notebooks.patience: expected a duration such as"),
    (("audit", "--set", "idle-notebooks.mode=act"), "needs act_in, the accounts and regions to act in"),
    (("audit", "--set", "patience"), "--set patience: write it as DETECTOR.FIELD=VALUE"),
    (("audit", "--config", "absent.toml"), "absent.toml cannot be read: No such file or directory"),
    (("audit", "--now", "tonight"), "--now: expected a time such as 2026-10-06T03:00:00Z, got tonight"),
    (("audit", "--now", "0001-01-01T00:00+14:00"), "--now: expected a time such as"),
    (("audit", "--json", "--json-file", "x"), "--json and --json-file exclude each other"),
    (("audit", "--json-file", "no/such/place"), "--json-file: no/such/place cannot be written: No such"),
    (("audit", "--json-file", "/"), "--json-file: / cannot be written: Is a directory"),
    (("audit", "--profile", "nobody"), "no AWS profile is called nobody"),
    (("audit", "--region", "us-east-9"), "AWS has no region us-east-9 that this version knows; did you"),
    (("audit", "--region", "us east"), "AWS has no region us east"),
    (("audit", "--region", ""), "no region: give --region"),
    (("audit", "--organization", "--bill"), "--organization and --bill exclude each other: a bill is"),
    (("audit", "--json", "--bill"), "janitor bill --json"),
    (("detectors", "--set", "x"), "--set x: write it as DETECTOR.FIELD=VALUE"),
)  # fmt: skip
def test_a_misuse_is_one_line(
    janitor: Janitor, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], said: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")  # any region may be at another address
    assert said in refused(janitor(*args))


# --- the other commands --------------------------------------------------------------------------


def test_detectors_lists_schedules_and_tunables(janitor: Janitor) -> None:
    ran = janitor("detectors", "--set", "idle-notebooks.patience=1d")

    assert (ran.status, ran.err) == (0, "")
    for detector in DETECTORS:
        assert f"{detector.name}  {detector.schedule}\n  {detector.summary()[:60]}" in ran.out
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["patience", "1d", "default", "12h"] in lines
    assert ["patience_outside_hours", "2h"] in lines


@pytest.mark.parametrize("command", ["audit", "detectors", "sandbox", "explain"])
def test_help_is_complete(janitor: Janitor, command: str) -> None:
    ran = janitor(command, "--help")
    assert "list[" not in ran.out

    assert (ran.status, ran.err) == (0, "")
    assert re.match(rf"Usage: janitor {command} [\[\]\w .-]+\n", ran.out)
    assert "\\b" not in ran.out


def test_a_shell_completes_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "_JANITOR_COMPLETE": "complete_bash",
        "COMP_WORDS": "janitor exp",
        "COMP_CWORD": "1",
    }.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == "explain\n"


@pytest.mark.parametrize("command", ["audit", "doctor", "explain my-endpoint", "doctor --policy"])
def test_a_region_that_does_not_exist_is_refused_in_a_sandbox_too(
    janitor: Janitor, box: Control, command: str
) -> None:
    """A sandbox answers for any region, so nothing else would say that it was misspelt."""
    ran = janitor(*command.split(), "--region", "us-esat-1")
    assert (ran.status, ran.out) == (2, "")
    assert "AWS has no region us-esat-1 that this version knows; did you mean us-" in ran.err
    assert box.url
