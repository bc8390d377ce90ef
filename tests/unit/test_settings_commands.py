"""`janitor settings` and `janitor init`: what is explained, and what the file that is written says."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from commands import Janitor, janitor, refused
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor_cli import edge, settings
from ml_janitor_cli.settings import ANY_DETECTOR, REFERENCE, setting_entries
from tables import cases

__all__ = ["janitor"]

UPGRADE = Path(__file__).parents[1] / "upgrade" / "settings-0.1.0.toml"


def test_all_settings_are_listed_with_their_defaults_and_what_is_set_here(
    janitor: Janitor, tmp_path: Path
) -> None:
    (tmp_path / "janitor.toml").write_text(
        '[janitor]\nregions = ["eu-west-1"]\nundo_days = 30\nread_logs = false\nholidays = [2026-12-25]\n'
    )
    ran = janitor("settings", "--set", "idle-endpoints.window=14d", "--set", "bill.budgets={'team=a'=5}")

    lines = ran.out.splitlines()
    assert (ran.status, ran.err) == (0, "")
    assert (lines[0], lines[-1]) == ("[janitor]", "To explain a setting or a table: janitor settings NAME")
    assert [line for line in lines if "# here:" in line] == [
        'regions = []  # here: ["eu-west-1"]',
        "read_logs = true  # here: false",
        "holidays = []  # here: [2026-12-25]",
        'window = "7d"  # here: "14d"',
        'budgets = {}  # here: { "team=a" = 5.0 }',
    ]
    assert {entry.line for entry in setting_entries()} <= {line.partition("  # here:")[0] for line in lines}
    assert len([line for line in lines if line.startswith("[")]) == len(
        {entry.table for entry in setting_entries()}
    )


@cases(
    "name, tables, keys",
    ("slack_secret", ["janitor"], ["slack_secret"]),
    ("bill.max_requests", ["bill"], ["max_requests"]),
    ("idle-endpoints.window", ["detectors.idle-endpoints"], ["window"]),
    ("detectors.idle-endpoints.window", ["detectors.idle-endpoints"], ["window"]),
    ("idle-endpoints.grace", [ANY_DETECTOR], ["grace"]),
    ("mode", [ANY_DETECTOR], ["mode"]),
    ("patience", ["detectors.idle-notebooks", "detectors.idle-studio-apps"], ["patience", "patience"]),
    ("folders", ["detectors.storage-tiering"], ["folders"]),
    (
        "policies",
        ["detectors.storage-tiering", "policies"],
        ["policies", "max_runtime", "max_keep_alive", "instance_types", "exempt_roles"],
    ),
    ("slack.routes", ["slack.routes"], ['"team:vision"', '"account:210987654321"']),
    ("regions", ["janitor", "organization"], ["regions", "regions"]),
)
def test_a_setting_is_explained_by_any_of_its_names(
    janitor: Janitor, name: str, tables: list[str], keys: list[str]
) -> None:
    lines = janitor("settings", name).out.splitlines()
    assert [line.strip("[]") for line in lines if line.startswith("[")] == tables
    named = [line.removeprefix("# ").partition(" = ")[0] for line in lines if " = " in line]
    assert [each for each in named if each in keys] == keys
    for entry in settings.named_settings(name, DETECTORS):
        assert entry.text in " ".join(line.removeprefix("# ") for line in lines)
    assert max(len(line) for line in lines if " = " not in line) <= 100


def test_a_detector_shows_what_every_detector_has(janitor: Janitor) -> None:
    assert {entry.table for entry in settings.named_settings("commitments", DETECTORS)} == {ANY_DETECTOR}
    assert "no setting is called slak_secret; did you mean slack_secret?" in refused(
        janitor("settings", "slak_secret")
    )
    assert "no setting is called xyzzy; the list: janitor settings" in refused(janitor("settings", "xyzzy"))


def test_a_removed_setting_is_one_line_of_warning(janitor: Janitor, tmp_path: Path) -> None:
    (tmp_path / "janitor.toml").write_text("[plan]\nhours = {}\n[bill]\ndays = 7\n")
    ran = janitor("settings", "bill.enabled")

    assert ran.status == 0
    (line,) = ran.err.splitlines()
    assert line.startswith(
        "janitor: warning: ignored, because version 0.2.0 has no such setting: plan, bill.days"
    )


def test_the_schema_takes_every_file_that_settings_take_and_names_a_wrong_key(janitor: Janitor) -> None:
    ran = janitor("settings", "--schema")
    schema = ran.document
    assert ran.status == 0
    assert schema == json.loads(json.dumps(settings.json_schema()))  # else: make docs
    jsonschema.Draft7Validator.check_schema(schema)
    check = jsonschema.Draft7Validator(schema)
    reference: dict[str, Any] = tomllib.loads(REFERENCE.read_text())
    for detector in DETECTORS:
        reference["detectors"].setdefault(detector.name, {}).update(reference["detectors"]["NAME"])
    del reference["detectors"]["NAME"]
    known = {"idle-notebooks": {"act_on": "likely", "grace": "1d12h", "business_days": True}}
    removed = tomllib.loads(UPGRADE.read_text())

    for right in (reference, {}, {"detectors": known}):
        assert [error.message for error in check.iter_errors(json.loads(json.dumps(right)))] == []
    wrongs: list[dict[str, Any]] = [
        {"detectors": {"idle-endpoints": {"window": "7 days"}}},
        {"detectors": {"idle-endpoints": {"mode": "delete"}}},
        {"bill": {"max_reqests": 8}},
        {"janitors": {}},
        removed,
    ]
    for wrong in wrongs:
        assert len([*check.iter_errors(wrong)]) == 1
    assert schema["properties"]["bill"]["properties"]["max_requests"]["description"].startswith(
        "Pages of Cost"
    )


class Typed:
    """A terminal in which somebody types these answers, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: str | list[str]) -> None:
        self.asked: list[str] = []
        self.answers = {words: [said] if isinstance(said, str) else said for words, said in answers.items()}
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr(edge, "ask_text", self.answer)

    def answer(self, question: str) -> str:
        """Answer the question that has the words of one of the answers."""
        self.asked.append(question)
        return next((said.pop(0) for words, said in self.answers.items() if words in question and said), "")


@pytest.fixture
def somewhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An AWS configuration with a region, on a computer whose time zone is known."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(settings, "local_time_zone", lambda: "Europe/Berlin")
    return monkeypatch


def test_init_asks_only_for_what_it_cannot_find_out(
    janitor: Janitor, tmp_path: Path, somewhere: pytest.MonkeyPatch
) -> None:
    typed = Typed(somewhere, channel="#ml-costs", owner="ml-platform@example.com", team="ml platform")
    ran = janitor("init")

    assert (ran.status, ran.err) == (0, "")
    assert (
        "Written: janitor.toml\nNext: janitor docs operating Deploying (the secret ml-janitor/slack)"
        in ran.out
    )
    found = Settings.load(files=[tmp_path / "janitor.toml"]).janitor
    assert (found.regions, found.time_zone) == (["eu-central-1"], "Europe/Berlin")
    assert (found.slack_channel, found.slack_secret) == ("#ml-costs", "ml-janitor/slack")
    assert found.tags == {
        "managed-by": "ml-janitor", "team": "ml platform", "owner": "ml-platform@example.com",
    }  # fmt: skip
    assert not [question for question in typed.asked if "egion" in question or "zone" in question]
    assert len(typed.asked) == 7


def test_init_asks_for_region_and_time_zone_where_nothing_tells_them(
    janitor: Janitor, tmp_path: Path, somewhere: pytest.MonkeyPatch
) -> None:
    somewhere.delenv("AWS_DEFAULT_REGION")
    somewhere.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    somewhere.setattr(settings, "local_time_zone", lambda: "")
    Typed(somewhere, Regions="eu-west-1, us-east-1", zone="Asia/Tokyo")
    assert janitor("init", "mine.toml").status == 0

    found = Settings.load(files=[tmp_path / "mine.toml"]).janitor
    assert (found.regions, found.time_zone) == (["eu-west-1", "us-east-1"], "Asia/Tokyo")
    assert not found.model_fields_set & {"slack_channel", "slack_secret", "tags"}


@cases(
    "link, zone",
    ("zoneinfo/Europe/Berlin", "Europe/Berlin"),
    ("zoneinfo/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"),
    ("zoneinfo/Etc/UTC", ""),  # of a server or a container, not of people
    ("zoneinfo/UTC", ""),
    ("zoneinfo/Europe/Atlantis", ""),
    ("localtime", ""),
)
def test_a_time_zone_is_that_of_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str, zone: str
) -> None:
    monkeypatch.setattr(settings, "LOCAL_TIME", tmp_path / "now")
    (tmp_path / "now").symlink_to(tmp_path / link)

    assert settings.local_time_zone() == zone


def test_init_without_a_terminal_asks_nothing_and_overwrites_nothing(
    janitor: Janitor, tmp_path: Path, somewhere: pytest.MonkeyPatch
) -> None:
    somewhere.setattr("sys.stdin.isatty", lambda: False)
    (tmp_path / "janitor.toml").write_text(settings.short_file({}))  # as a clone has it
    assert janitor("init").out == "Written: janitor.toml\nNext: janitor audit\n"

    text = (tmp_path / "janitor.toml").read_text()
    assert Settings.load(files=[tmp_path / "janitor.toml"]).janitor.model_fields_set == {
        "regions",
        "time_zone",
    }
    assert refused(janitor("init")) == "janitor.toml exists: edit it, or name another: janitor init FILE"
    assert (tmp_path / "janitor.toml").read_text() == text


def test_a_wrong_answer_is_asked_for_again_at_once(
    janitor: Janitor, tmp_path: Path, somewhere: pytest.MonkeyPatch
) -> None:
    Typed(somewhere, channel="#ml-costs", secret=["xoxb-123", "ml/slack"], team=["#", "ml"])
    ran = janitor("init")

    wrong, unfit = ran.err.splitlines()
    assert wrong.startswith("janitor: janitor.slack_secret: expected the name of a secret")
    assert unfit.startswith("janitor: janitor.tags.team: expected the value of a tag")
    assert "xoxb" not in ran.err
    found = Settings.load(files=[tmp_path / "janitor.toml"]).janitor
    assert (found.slack_secret, found.tags["team"]) == ("ml/slack", "ml")
    assert refused(janitor("init", "none/janitor.toml")).startswith(
        "FILE: none/janitor.toml cannot be written"
    )
