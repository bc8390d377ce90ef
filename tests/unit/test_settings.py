"""Settings: what may be written, where it may be written, and what is said about anything else."""

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from fakes import TRUST, Shelf, Tunable
from ml_janitor.bill.reading import request_warnings
from ml_janitor.config.sections import SECTIONS, DetectorSection, tunable_fields
from ml_janitor.config.settings import Settings, ignored_warnings, tag_warnings
from ml_janitor.config.values import REMOVED_SETTINGS, InvalidInputError
from ml_janitor.core.durations import WorkingHours
from ml_janitor.core.ownership import Exemptions, ManagerPolicy
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor_cli.settings import ANY_DETECTOR, REFERENCE, setting_entries, short_file
from narrowing import not_none, of_type
from tables import cases

ROOT = Path(__file__).parents[2]
REGISTRY = (Tunable,)


def load(text: str = "", *overrides: str, over: str | None = None, tmp_path: Path | None = None) -> Settings:
    """Settings from one TOML text, one that is laid over it, and overrides."""
    if tmp_path is None:
        assert not text
        return Settings.load(overrides=overrides, registry=REGISTRY)
    files = []
    for number, content in enumerate(each for each in (text, over) if each is not None):
        files.append(tmp_path / f"{number}.toml")
        files[-1].write_text(content)
    return Settings.load(files=files, overrides=overrides, registry=REGISTRY)


def tuned(settings: Settings) -> Tunable:
    """The detector as set."""
    return of_type(Tunable, settings.detector(Tunable))


def refusal(*overrides: str) -> str:
    """What is said about *overrides*; always one line."""
    with pytest.raises(InvalidInputError) as refused:
        load("", *overrides)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@cases(
    "override, field, value",
    ("window=14d", "window", timedelta(days=14)),
    ('window="1d12h"', "window", timedelta(hours=36)),
    ("window=90m", "window", timedelta(minutes=90)),
    ("factor=5", "factor", 5),
    ("share=0.25", "share", 0.25),
    ("share=1", "share", 1),
    ("deep=true", "deep", True),
    ("label=a plain text", "label", "a plain text"),
    ('label="true"', "label", "true"),
    ("label=", "label", ""),
    ("label=a=b", "label", "a=b"),
    ("label=1\nfactor=9", "label", "1\nfactor=9"),
    ('suffixes=[".pt", ".bin"]', "suffixes", (".pt", ".bin")),
    ("suffixes=[]", "suffixes", ()),
    ('patience={Canvas="1h", JupyterLab="2h"}', "patience",
     {"Canvas": timedelta(hours=1), "JupyterLab": timedelta(hours=2)}),
    ("patience.Canvas=1h", "patience", {"Canvas": timedelta(hours=1)}),
)  # fmt: skip
def test_set_takes_toml_and_else_the_text(override: str, field: str, value: object) -> None:
    for prefix in ("tunable-things.", "detectors.tunable-things."):
        assert getattr(tuned(load("", prefix + override)), field) == value


def test_each_key_comes_from_the_last_layer_that_has_it(tmp_path: Path) -> None:
    local = (
        '[detectors.tunable-things]\nwindow = "1d"\nfactor = 1\nshare = 0.1\n[janitor]\nignore = ["*/a"]\n'
    )
    given = "[detectors.tunable-things]\nfactor = 2\nshare = 0.2\n"

    settings = load(local, "tunable-things.share=0.3", over=given, tmp_path=tmp_path)

    assert tuned(settings) == Tunable(window=timedelta(days=1), factor=2, share=0.3)
    assert settings.janitor.ignore == ["*/a"]


def test_the_last_override_of_a_key_wins() -> None:
    assert tuned(load("", "tunable-things.factor=4", "tunable-things.factor=5")).factor == 5


def test_what_holds_for_all_detectors(tmp_path: Path) -> None:
    settings = load(
        """
        [janitor]
        keep_tags = ["stay"]
        keep_until_tag = "stay-until"
        ignore = ["*prod*"]
        owner_tags = ["who"]
        tools = ["backstage"]
        time_zone = "Europe/Berlin"
        working_hours = "Sun-Thu 07-18"
        holidays = [2026-12-25, "2027-01-01"]
        """,
        tmp_path=tmp_path,
    )

    assert settings.policy.exemptions == Exemptions(("stay",), "stay-until", ("*prod*",), "Europe/Berlin")
    assert settings.policy.owner_tags == ("who",)
    assert settings.managers == ManagerPolicy(tools=("backstage",), people=("who",))
    expected = WorkingHours(
        frozenset({6, 0, 1, 2, 3}), 7, 18, "Europe/Berlin", (date(2026, 12, 25), date(2027, 1, 1))
    )
    assert tuned(settings).working_hours == settings.working_hours == expected


def test_what_is_filled_in_as_managed_by_is_known_to_every_detector() -> None:
    fill = {"managed-by": "unclear", "team": "ml"}
    settings = Settings.parse({"detectors": {"untagged-resources": {"fill_tags": fill}}})

    arming = {settings.arming(one).managers for one in DETECTORS if one.cleanup}
    assert arming == {ManagerPolicy(people=("owner", "created-by", "team"), filled=("unclear",))}


@cases(
    "override, said",
    ("tunable-thing.window=1d", "unknown setting detectors.tunable-thing; did you mean tunable-things?"),
    ("tunable-things.windw=1d",
     "unknown setting detectors.tunable-things.windw; did you mean window?"),
    ("janitor.holyday=[]", "unknown setting janitor.holyday; did you mean holidays?"),
    ("tunable-things.zzz=1", "unknown setting detectors.tunable-things.zzz"),
    ("tunable-things.working_hours=x",
     "unknown setting detectors.tunable-things.working_hours"),
    ("tunable-things.window=7",
     'window: expected a duration such as "7d", "6h" or "90m", and at most "3650d", got 7'),
    ("tunable-things.window=7x",
     'window: expected a duration such as "7d", "6h" or "90m", and at most "3650d", got "7x"'),
    ("tunable-things.window=0d",
     'detectors.tunable-things.window: expected a duration longer than nothing, got "0d"'),
    ("tunable-things.window=3651d", 'such as "7d", "6h" or "90m", and at most "3650d", got "3651d"'),
    ("tunable-things.window=99999999999999d", "expected a duration such as"),
    ("tunable-things.factor=2.5", "detectors.tunable-things.factor: expected a whole number, got 2.5"),
    ("tunable-things.factor=many", 'factor: expected a whole number, got "many"'),
    ("tunable-things.factor=true", "factor: expected a whole number, got true"),
    ("tunable-things.factor=0", "detectors.tunable-things: factor must be at least 1"),
    ("tunable-things.share=half", 'share: expected a number, got "half"'),
    ("tunable-things.deep=1", "deep: expected true or false, got 1"),
    ("tunable-things.label=1", "label: expected a text in quotes, got 1"),
    ("tunable-things.suffixes=.pt", 'suffixes: expected a list such as ["one", "two"], got ".pt"'),
    ("tunable-things.suffixes=[1]", "suffixes[0]: expected a text in quotes, got 1"),
    ("tunable-things.patience=1h", 'patience: expected a table, got "1h"'),
    ('tunable-things.patience={Canvas="soon"}', "patience.Canvas: expected a duration such as"),
    ("tunable-things.enabled=no", 'enabled: expected true or false, got "no"'),
    ("tunable-things.mode=delete",
     'detectors.tunable-things.mode: expected "dry-run" or "act", got "delete"'),
    ('tunable-things.act_in=["eu-west-1"]', 'act_in[0]: expected an account such as "123456789012", or'),
    ("tunable-things.act_on=sure", 'act_on: expected "proven" or "likely", got "sure"'),
    ("tunable-things.max_actions=-1", "max_actions: expected a number that is not negative, got -1"),
    ("tunable-things.max_share=120", "max_share: expected a percentage, at most 100, got 120"),
    ("tunable-things.schedule=hourly", 'schedule: expected a schedule such as "rate(1 hour)" or'),
    (
        "tunable-things.schedule=cron(0 25 * * ? *)",
        '"cron(0 3 * * ? *)" whose hour is within 0-23, not "25", got "cron(0 25 * * ? *)"',
    ),
    ("janitor.time_zone=Europe/Berlyn",
     'janitor.time_zone: expected a time zone such as "Europe/Berlin"; did you mean Europe/Berlin?'),
    ("janitor.working_hours=always", 'expected working hours such as "Mon-Fri 08-20", got "always"'),
    ('janitor.holidays=["soon"]', "janitor.holidays[0]: expected a date such as 2026-12-25"),
    ("janitor.holidays=[5]", "janitor.holidays[0]: expected a date such as 2026-12-25, got 5"),
    ("janitor.regions=us-east-1", "janitor.regions: expected a list such as"),
    ('janitor.regions=["us-east1"]',
     'janitor.regions[0]: expected a region such as "eu-west-1", got "us-east1"'),
    ("janitor.slack_group=@ml-ops",
     'janitor.slack_group: expected the id of a user group, such as "S0123456789", got "@ml-ops"'),
    ("window=1d", "--set window=1d: write it as DETECTOR.FIELD=VALUE"),
    ("tunable-things.window", "--set tunable-things.window: write it as DETECTOR.FIELD=VALUE"),
    (".window=1d", "--set .window=1d: write it as DETECTOR.FIELD=VALUE"),
    ("tunable-things.=1", "--set tunable-things.=1: write it as DETECTOR.FIELD=VALUE"),
)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_was_expected(override: str, said: str) -> None:
    assert said in refusal(override)


@cases(
    "text, said",
    ("[janitor", "is not valid TOML: "),
    ("[other]\n", "unknown setting other"),
    ("janitor = 3\n", "janitor: expected a table, got 3"),
    ("detectors = []\n", "detectors: expected a table, got []"),
    ("[detectors]\ntunable-things = true\n", "detectors.tunable-things: expected a table, got true"),
)
def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        load(text, tmp_path=tmp_path)

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'[janitor]\nignore = ["\xe4"]\n')

    with pytest.raises(InvalidInputError, match=r"absent.toml cannot be read: No such file"):
        Settings.load(files=[tmp_path / "absent.toml"])
    with pytest.raises(InvalidInputError, match="it is not written in UTF-8"):
        Settings.load(files=[tmp_path / "latin"])


def test_what_only_a_detector_can_refuse_is_refused_but_not_where_it_was_checked_before() -> None:
    wrong = ["untagged-resources.fill_tags={floor='2'}"]

    with pytest.raises(InvalidInputError, match="fill_tags: 'floor' is none of"):
        Settings.load(overrides=wrong)
    assert Settings.load(overrides=wrong, bundled=True)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf[janitor]\n")

    Settings.load(files=[tmp_path / "bom.toml"], registry=REGISTRY)


def test_what_is_likely_falls_due_in_the_operators_working_hours() -> None:
    endpoints = next(one for one in DETECTORS if one.name == "idle-endpoints")
    where = ["janitor.time_zone=Europe/Berlin", 'janitor.working_hours="Sun-Thu 07-15"']
    settings = Settings.load(overrides=[*where, "idle-endpoints.grace_likely=5d"])

    arming, unset = settings.arming(endpoints), Settings.load().arming(endpoints)

    assert (arming.grace_likely, arming.time_zone_set) == (timedelta(days=5), True)
    assert arming.working_hours == WorkingHours.parse("Sun-Thu 07-15", "Europe/Berlin")
    assert (unset.grace_likely, unset.time_zone_set) == (timedelta(days=1), False)
    assert Settings.load(overrides=["janitor.time_zone=UTC"]).arming(endpoints).time_zone_set


def test_settings_of_detectors_that_are_not_in_the_registry_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"unknown setting detectors.tunable-things"):
        Settings.parse({"detectors": {"tunable-things": {}}}, registry=(Shelf,))


def test_the_file_in_the_repository_loads_and_changes_nothing() -> None:
    assert Settings.load(files=[ROOT / "janitor.toml"]).janitor == Settings.load().janitor


def test_the_reference_has_every_key_with_its_default_and_its_text() -> None:
    tables = tomllib.loads(REFERENCE.read_text())
    common = tables["detectors"].pop("NAME")
    settings, standard = Settings.parse(tables), Settings.load()

    routes, tables["slack"] = tables["slack"].pop("routes"), {"routes": {}}
    assert (routes, settings.ignored) == ({}, [])
    for name, section in SECTIONS.items():
        assert getattr(settings, name) == getattr(standard, name)
        assert set(tables[name]) == set(section.model_fields)
    for detector in DETECTORS:
        assert settings.detector(detector) == standard.detector(detector) == detector()
        own = {field.name for field, _ in tunable_fields(detector)}
        assert set(tables["detectors"].get(detector.name, {})) == own
    shared = Settings.parse({"detectors": {"idle-endpoints": common}}).sections["idle-endpoints"]
    assert shared == standard.sections["idle-endpoints"]
    unset = {"act_on", "grace", "business_days", "armed_until"}
    assert set(common) | unset == set(DetectorSection.model_fields)
    said = {(entry.table, entry.key): entry for entry in setting_entries()}
    assert {key for table, key in said if table == ANY_DETECTOR} == set(DetectorSection.model_fields)
    for entry in said.values():
        assert entry.text[0].isupper() or entry.text.startswith(("false ", '"act"'))
        assert entry.text.endswith((".", "]", "}"))
        assert bool(entry.default) is not bool(entry.example)


MOST_SETTINGS = 80
"""Settings besides the 13 that every detector has. Version 0.1 had 145. One more has to replace another."""


def test_the_settings_are_few() -> None:
    own = [list(section.model_fields) for section in SECTIONS.values()]
    own += [[field.name for field, _ in tunable_fields(detector)] for detector in DETECTORS]

    assert sum(map(len, own)) <= MOST_SETTINGS
    assert len(DetectorSection.model_fields) == 13


def test_the_file_in_the_repository_is_what_init_writes_without_an_answer() -> None:
    text = (ROOT / "janitor.toml").read_text()

    assert text == short_file({})
    assert sum(" = " in line for line in text.splitlines()) <= 12


DEFAULTS: dict[str, dict[str, object]] = {
    "janitor": {
        "regions": [],
        "tags": {"managed-by": "ml-janitor"},
        "keep_tags": ["janitor:keep", "keep"],
        "keep_until_tag": "janitor:keep-until",
        "read_logs": True,
        "owner_tags": ["owner", "created-by", "team"],
        "tools": [],
        "ignore": [],
        "time_zone": "UTC",
        "working_hours": "Mon-Fri 08-20",
        "holidays": [],
        "slack_channel": "",
        "slack_secret": "",
        "slack_signing_secret": "",
        "slack_group": "",
        "slack_concurrency": 5,
        "max_actions_per_night": 50,
        "undo_days": 30,
        "hold_days": 180,
        "undo_roles": [],
        "digest_schedule": "cron(0 7 * * ? *)",
        "permissions_boundary": "",
        "role_path": "/",
        "subnets": [],
        "security_groups": [],
        "alarm_email": "",
        "kms_key": "",
        "ledger_writers": [],
        "administrators": [],
    },
    "slack": {"routes": {}},
    "notify": {"email": "", "events": ""},
    "bill": {
        "enabled": False,
        "monthly_budget": 0,
        "budgets": {},
        "anomaly_monitor": "off",
        "max_requests": 8,
        "tags": {name: name for name in ("project", "owner", "environment", "team", "cost-center")},
        "services": [],
    },
    "policies": {
        "max_runtime": timedelta(days=1),
        "max_keep_alive": timedelta(minutes=30),
        "instance_types": [],
        "exempt_roles": [],
    },
    "organization": {
        "id": "",
        "external_id": "",
        "callers": [],
        "accounts": [],
        "units": [],
        "all_accounts": False,
        "without": [],
        "regions": [],
        "at_once": 20,
    },
    "detectors.tunable-things": {
        "enabled": True,
        "mode": "dry-run",
        "schedule": "",
        "act_in": [],
        "act_on": None,
        "grace": None,
        "grace_likely": timedelta(days=1),
        "business_days": None,
        "max_actions": 10,
        "max_share": 20,
        "act_on_managed": [],
        "act_on_environments": [],
        "armed_until": None,
    }
    | {field.name: getattr(Tunable(), field.name) for field, _ in tunable_fields(Tunable)}
    | {"suffixes": [".bin"]},
}
"""What holds where nobody sets anything, written by hand: changing a limit's default is a decision."""


def test_every_default_is_as_it_was_decided() -> None:
    settings = load()
    found = {name: getattr(settings, name) for name in SECTIONS}
    found |= {f"detectors.{name}": section for name, section in settings.sections.items()}

    assert {name: section.model_dump() for name, section in found.items()} == DEFAULTS


LIMITS = {
    "janitor.slack_concurrency": (0, None),
    "janitor.max_actions_per_night": (0, None),
    "janitor.undo_days": (1, 90),
    "bill.monthly_budget": (0, None),
    "bill.max_requests": (1, 100),
    "organization.at_once": (1, 1000),
    "tunable-things.max_actions": (0, None),
    "tunable-things.max_share": (0, 100),
}
"""The least and the most that a number may be."""


@pytest.mark.parametrize(("key", "least", "most"), [(key, *limits) for key, limits in LIMITS.items()])
def test_a_number_is_refused_beyond_its_limits(key: str, least: int, most: int | None) -> None:
    for allowed in (least, least if most is None else most):
        load("", f"{key}={allowed}")
    for beyond in (least - 1, *(() if most is None else (most + 1,))):
        assert refusal(f"{key}={beyond}").endswith(f", got {beyond}")


@pytest.mark.parametrize(
    ("value", "span"), [("1", timedelta(days=1)), ("3650", timedelta(days=3650)), ('"forever"', None)]
)
def test_keep_lasts_for_days_or_for_good(value: str, span: timedelta | None) -> None:
    assert load("", f"janitor.hold_days={value}").hold_time == span


@pytest.mark.parametrize("value", ["0", "3651", '"180"', '"never"'])
def test_no_other_time_is_one_for_keep(value: str) -> None:
    assert 'a number of days from 1 to 3650, or "forever"' in refusal(f"janitor.hold_days={value}")


ACCOUNTS = {**TRUST, "accounts": ["210987654321"]}


@cases(
    "changed, message",
    ({"all_accounts": True}, "organization.accounts and all_accounts exclude each other"),
    ({"accounts": [], "units": ["ou-ab12-c3d4e5f6"]}, "organization.units needs id too"),
    ({"external_id": ""}, "organization.accounts needs external_id too"),
    ({"callers": [], "external_id": ""}, "organization.accounts needs external_id and callers too"),
    ({"without": ["210987654321"]}, "organization.without needs units or all_accounts"),
    (
        {"callers": [*ACCOUNTS["callers"], "arn:aws:iam::999999999999:role/platform"]},
        "organization.callers: arn:aws:iam::999999999999:role/platform is not in account 123456789012",
    ),
    ({"accounts": ["21098765432"]}, 'organization.accounts[0]: expected an account such as "123456789012"'),
    ({"units": ["r-ab12"]}, "organization.units[0]: expected the id of an organizational unit"),
    ({"id": "o-short"}, "organization.id: expected the id of an organization"),
    ({"external_id": "${x}secret"}, "organization.external_id: expected at least 8 letters"),
)
def test_an_organization_names_its_accounts_and_trust(changed: dict[str, object], message: str) -> None:
    assert Settings.parse({"organization": ACCOUNTS}).organization.used
    assert not Settings.parse({"organization": {**ACCOUNTS, "accounts": []}}).organization.used
    with pytest.raises(InvalidInputError) as refused:
        Settings.parse({"organization": ACCOUNTS | changed})
    assert str(refused.value).startswith(message)


@cases(
    "tables, message",
    ({"bill": {"budgets": {"project=churn": 100}}}, None),
    ({"bill": {"budgets": {"project": 100}}}, 'bill.budgets: "project" is not a part of a bill'),
    ({"bill": {"budgets": {"project=": 100}}}, 'bill.budgets: "project=" is not a part of a bill'),
    ({"bill": {"budgets": {"projekt=a": 1}}}, 'such as "project=churn"; did you mean project?'),
    ({"bill": {"budgets": {"project=a": 1}, "tags": {"project": "", "team": "t"}}}, 'such as "team=churn"'),
    ({"bill": {"budgets": {"project=a": 0}}}, "expected dollars a month, more than 0, got 0"),
    ({"janitor": {"subnets": ["subnet-0a1b2c3d"]}}, "janitor.subnets needs security_groups too"),
    ({"janitor": {"security_groups": ["sg-0a1b2c3d"]}}, "janitor.security_groups needs subnets too"),
    ({"janitor": {"subnets": ["subnet-0a1b2c3d"], "security_groups": ["sg-0a1b2c3d"]}}, None),
    ({"slack": {"routes": {"team:a": "#a"}}}, "slack.routes needs janitor.slack_secret"),
    ({"janitor": {"ignore": ["ranker"]}}, 'janitor.ignore: "ranker" matches no ARN'),
    ({"policies": {"max_runtime": "28d", "max_keep_alive": "6h"}}, None),
    ({"policies": {"max_runtime": "28d1m"}}, 'a duration of at most "28d", as SageMaker has it'),
    ({"policies": {"max_keep_alive": "6h1m"}}, 'a duration of at most "6h", as SageMaker has it'),
    ({"policies": {"exempt_roles": ["arn:aws:iam::*:role/break-*"]}}, None),
    ({"policies": {"exempt_roles": ["arn:aws:iam::*:role/*"]}}, "every role of every account"),
    ({"janitor": {"administrators": ["arn:aws:iam::123456789012:role/platform-*"]}}, None),
    ({"janitor": {"administrators": ["arn:aws:iam::123456789012:role/*"]}}, "everybody in the account"),
    ({"janitor": {"ledger_writers": ["arn:aws:iam::123456789012:user/*/?*"]}}, "everybody in the account"),
    ({"janitor": {"slack_channel": "xoxb-1"}}, 'expected a channel such as "#ml-costs"'),
    ({"janitor": {"holidays": ["2026-13-01"]}}, 'expected a date such as 2026-12-25, got "2026-13-01"'),
    ({"bill": {"budgets": {"project=a": float("inf")}}}, "expected a number, got inf"),
    ({"policies": {"max_runtime": timedelta(hours=2)}}, None),
    ({"janitor": {"slack_channel": "#ml-costs"}}, "janitor.slack_channel needs slack_secret too"),
    ({"janitor": {"slack_secret": "ml-janitor/slack"}}, None),
    ({"janitor": {"tags": {"aws:team": "ml"}}}, "janitor.tags: expected at most 50 tags, whose keys"),
    ({"janitor": {"tags": {str(number): "" for number in range(50)}}}, None),
    ({"janitor": {"tags": {str(number): "" for number in range(51)}}}, "janitor.tags: expected at most 50"),
    ({"janitor": {"tags": {"team": "x" * 257}}}, "janitor.tags.team: expected the value of a tag"),
    ({"detectors": {"idle-endpoints": {"mode": "act"}}}, 'mode = "act" needs act_in'),
    ({"detectors": {"idle-endpoints": {"mode": "act", "act_in": ["123456789012"]}}}, None),
    ({"organization": {"accounts": [], "without": ["123456789012"]}}, "without needs units or all"),
)
def test_what_does_not_fit_together_is_refused(tables: dict[str, object], message: str | None) -> None:
    if message is None:
        Settings.parse(tables)
        return
    with pytest.raises(InvalidInputError) as refused:
        Settings.parse(tables)
    assert message in str(refused.value)


def test_a_base_lies_between_files_and_overrides(tmp_path: Path) -> None:
    file, days = tmp_path / "janitor.toml", []
    file.write_text("[janitor]\nundo_days = 1\nhold_days = 1\n")

    for overrides in ((), ("janitor.undo_days=3",)):
        found = Settings.load(files=[file], base={"janitor": {"undo_days": 2}}, overrides=overrides).janitor
        days.append((found.undo_days, found.hold_days))

    assert days == [(2, 1), (3, 1)]


@pytest.mark.parametrize(("length", "shown"), [(58, f'"{"x" * 58}"'), (59, f'"{"x" * 56}...')])
def test_a_long_value_is_cut_in_a_message(length: int, shown: str) -> None:
    assert refusal(f"janitor.working_hours={'x' * length}").endswith(f"got {shown}")


HERE, ELSEWHERE = "123456789012", "210987654321"
TODAY = date(2026, 10, 6)


@cases(
    "section, undone",
    ({}, ()),
    ({"mode": "act", "act_in": [HERE]}, (HERE,)),
    ({"mode": "act", "act_in": [f"{HERE}/eu-west-1"]}, (HERE,)),
    ({"mode": "act", "act_in": [HERE], "armed_until": "2026-10-01"}, (HERE, ELSEWHERE)),
    ({"act_in": [HERE], "armed_until": "2026-09-06"}, (HERE,)),
    ({"armed_until": "2026-09-06"}, (HERE, ELSEWHERE)),
    ({"armed_until": "9999-12-31"}, (HERE, ELSEWHERE)),
    ({"armed_until": "2026-09-05"}, ()),  # undo_days ago and a day
)
def test_an_armed_act_is_undone_for_undo_days(section: dict[str, object], undone: tuple[str, ...]) -> None:
    settings = Settings.parse({"detectors": {"idle-endpoints": section}})
    armed = section.get("mode") == "act"

    assert [one.name for one in settings.undoable(TODAY)] == (["idle-endpoints"] if undone else [])
    assert [one.name for one in settings.armed()] == (["idle-endpoints"] if armed else [])
    reached = [
        account
        for account in (HERE, ELSEWHERE)
        if not settings.why_not_allowed("idle-endpoints", account, "eu-west-1", home=account, undo_on=TODAY)
    ]
    assert tuple(reached) == undone
    assert settings.undoes_elsewhere("idle-endpoints") is (armed and "armed_until" in section)


EVERYWHERE = {"all_accounts": True, "id": "o-a1b2c3d4e5"}
DISARMED = {"armed_until": "2026-09-06"}


@cases(
    "organization, section, acts, undoes",
    (EVERYWHERE, {}, None, None),
    ({"accounts": [HERE]}, {}, None, None),
    (EVERYWHERE | {"without": [HERE]}, {}, "[organization] leaves that account out", "leaves"),
    ({"accounts": [ELSEWHERE]}, {}, "[organization] leaves that account out", "leaves"),
    (EVERYWHERE | {"regions": ["us-east-1"]}, {}, "only us-east-1 is swept", "only us-east-1"),
    (EVERYWHERE, {"act_in": [ELSEWHERE]}, "act_in of idle-endpoints does not name it", "does not name"),
    (EVERYWHERE, {"act_in": [f"{HERE}/us-east-1"]}, "act_in of idle-endpoints does not name it", None),
    (EVERYWHERE, {"mode": "dry-run"}, "a dry run", "not armed, nor was it in the last 30 days"),
    (EVERYWHERE | {"without": [HERE]}, DISARMED, "leaves that account out", None),
    (EVERYWHERE | {"without": [HERE]}, {"armed_until": "2026-09-05"}, "leaves that account out", "leaves"),
    (EVERYWHERE, DISARMED | {"act_in": [ELSEWHERE]}, "does not name it", None),
    (EVERYWHERE, DISARMED | {"act_in": [ELSEWHERE], "mode": "dry-run"}, "a dry run", "does not name"),
    ({}, {}, None, None),
)
def test_settings_of_today_allow_acts_and_undos(
    organization: dict[str, object], section: dict[str, object], acts: str | None, undoes: str | None
) -> None:
    settings = Settings.parse(
        {
            "organization": TRUST | organization if organization else {},
            "detectors": {"idle-endpoints": {"mode": "act", "act_in": [HERE]} | section},
        }
    )
    where = ("idle-endpoints", HERE, "eu-west-1")

    act = settings.why_not_allowed(*where, home=HERE)
    undo = settings.why_not_allowed(*where, home=HERE, undo_on=TODAY)

    for why, expected in ((act, acts), (undo, undoes)):
        assert (why is None, str(expected) in str(why)) == (expected is None, True)
    if settings.armed():
        assert settings.policy.armed("idle-endpoints").within(HERE, "eu-west-1") is (acts is None)
    if not organization:
        other = settings.why_not_allowed(*where, home=ELSEWHERE, undo_on=TODAY)
        assert other == f"account {HERE} is no longer looked at from account {ELSEWHERE}"


def test_an_adviser_cannot_be_armed() -> None:
    (adviser, *_) = (one for one in DETECTORS if one.cleanup is None)

    with pytest.raises(
        InvalidInputError, match=f"{adviser.name}: it only advises, so there is nothing to arm"
    ):
        Settings.load().arming(adviser)


def test_grace_is_the_detectors_own_where_it_is_not_set() -> None:
    endpoints = next(one for one in DETECTORS if one.name == "idle-endpoints")

    own, longer = Settings.load(), Settings.load(overrides=["idle-endpoints.grace=9d"])

    assert own.arming(endpoints).grace == not_none(endpoints.cleanup).grace
    assert longer.arming(endpoints).grace == timedelta(days=9)
    copies = next(one for one in DETECTORS if one.name == "duplicate-artifacts")
    assert [own.arming(one).business_days for one in (endpoints, copies)] == [
        one.cleanup.effect.removes_data for one in (endpoints, copies) if one.cleanup
    ]
    for name, wanted in (("idle-endpoints", True), ("duplicate-artifacts", False)):
        settings = Settings.load(overrides=[f"{name}.business_days={str(wanted).lower()}"])
        detector = next(one for one in DETECTORS if one.name == name)
        assert settings.arming(detector).business_days is wanted


def test_routes_are_those_of_slack_with_the_main_channel() -> None:
    janitor = {"slack_channel": "#ml-costs", "slack_secret": "ml-janitor/slack"}
    slack = {"routes": {"team:a": "#a", "team:b": "#ml-costs"}}
    routes = Settings.parse({"janitor": janitor, "slack": slack}).routes

    assert routes.teams == {"a": "#a", "b": ""}


GONE = sorted(
    f"{table}.{key}".lstrip(".") for table, keys in REMOVED_SETTINGS.items() for key in keys.split() if table
)


def tables_with(name: str, value: object) -> dict[str, Any]:
    """Tables that set *name*, a setting with its table."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return cast("dict[str, Any]", value)


def test_a_setting_that_went_is_ignored_with_one_warning() -> None:
    plan = {"hours": {"spot": 3}, "weekly_advice": ""}
    assert Settings.parse({"plan": plan}).ignored == ["plan"]
    for name in GONE:
        assert Settings.parse(tables_with(name, "x")).ignored == [name]
    two = {"bill": {"days": 7, "metric": "auto"}, "detectors": {"idle-endpoints": {"window": "9d"}}}
    settings = Settings.parse(two)

    (warning,) = ignored_warnings(settings)
    assert "has no such setting: bill.days, bill.metric. Delete them: 0.4 refuses them" in warning
    assert settings.sections["idle-endpoints"].model_fields_set == {"window"}
    assert ignored_warnings(Settings.load()) == []
    assert two["bill"] == {"days": 7, "metric": "auto"}  # the caller's tables stay


@cases(
    "name, accepted, refused",
    ("duplicate-artifacts.compare_up_to", (20 * 1024**3, 10**12), (0, 1024**3, "20")),
    ("duplicate-artifacts.inventory_max_age", ("2d", "72h"), ("1d",)),
    ("forgotten-leftovers.min_gb", (0, 1, 0.5), (1.5, 10)),
    ("hung-training-jobs.grace_pool", ("15m", "1m"), ("16m",)),
    ("hung-training-jobs.overrun", ("1h", "5m"), ("2h",)),
    ("hung-training-jobs.pool_patience", ("1h",), ("61m", "x")),
    ("hung-training-jobs.silence_without_rhythm", ("24h", "6h"), ("2d", 3)),
    ("hung-training-jobs.times_longest_pause", (3, 1), (4, "3")),
    ("idle-notebooks.grace_outside_hours", ("30m", "1h"), ("2h",)),
    ("storage-tiering.min_gb", (50.0, 1), (51, None)),
    ("storage-tiering.payback", ("180d", "365d"), ("90d",)),
    ("storage-tiering.read_tags_up_to", (1000, 5000), (0, 999)),
    ("storage-tiering.uploads", ("7d", "1d"), ("8d",)),
    ("untagged-resources.recent", ("7d", "30d"), ("1d",)),
)
def test_a_setting_that_restricted_a_detector_is_refused_where_it_went(
    name: str, accepted: tuple[object, ...], refused: tuple[object, ...]
) -> None:
    for value in accepted:
        assert Settings.parse(tables_with(f"detectors.{name}", value)).ignored == [f"detectors.{name}"]
    for value in refused:
        with pytest.raises(InvalidInputError, match=f"detectors.{name} was removed and is always .* now"):
            Settings.parse(tables_with(f"detectors.{name}", value))


def test_all_that_is_missing_is_named_at_once() -> None:
    tables = {
        "janitor": {"slack_channel": "#ml-costs", "subnets": ["subnet-0a1b2c3d"]},
        "organization": {"all_accounts": True},
        "detectors": {
            "idle-endpoints": {"mode": "act"},
            "idle-notebooks": {"mode": "act", "stop_outside_hours": ["team-a-*"]},
        },
    }
    named = [
        "janitor.slack_channel needs slack_secret",
        "janitor.subnets needs security_groups",
        "organization.all_accounts needs external_id and callers and id too",
        'detectors.idle-endpoints: mode = "act" needs act_in',
        'detectors.idle-notebooks: mode = "act" needs act_in',
    ]
    for deploying, more in ((False, []), (True, ["set janitor.ledger_writers", "set janitor.time_zone"])):
        with pytest.raises(InvalidInputError) as refused:
            Settings.parse(tables, deploying=deploying)

        said = str(refused.value).split("; ")
        assert len(said) == len(named) + len(more)
        assert all(start in line for start, line in zip([*named, *more], said, strict=True))


def test_the_default_of_max_requests_fits_the_reading() -> None:
    on, tags = {"enabled": True}, {name: name for name in "abcdefg"}
    organization: dict[str, Any] = {"organization": ACCOUNTS}
    for tables, pages in (
        ({"bill": on}, 8),
        ({"bill": on, **organization}, 10),
        ({"bill": {**on, "tags": tags}}, 10),
    ):
        settings = Settings.parse(tables)
        assert (settings.bill.max_requests, request_warnings(settings)) == (pages, [])
    assert Settings.parse({**organization, "bill": {"max_requests": 8}}).bill.max_requests == 8


def test_tags_that_the_own_stack_lacks_are_one_warning() -> None:
    (said,) = tag_warnings(Settings.load())
    assert said.endswith(
        'add team = "...", project = "...", environment = "...", cost-center = "...", owner = "..."'
    )
    tags = {"Managed-By": "terraform", "team": "ml", "owner": ""}
    settings = Settings.parse(
        {"janitor": {"tags": tags}, "detectors": {"untagged-resources": {"required": ["team", "owner"]}}}
    )
    (said,) = tag_warnings(settings)
    assert said.endswith('add owner = "..."')
    assert settings.janitor.tags == tags
    assert tag_warnings(Settings.load(overrides=['untagged-resources.required=["managed-by"]'])) == []


def test_settings_in_a_bundle_build_no_detector_until_one_is_asked_for() -> None:
    tables = {
        "detectors": {"idle-studio-apps": {"patience": {"Paint": "1d"}}, "idle-notebooks": {"enabled": False}}
    }

    with pytest.raises(InvalidInputError, match="no app type Paint"):
        Settings.parse(tables)

    settings = Settings.parse(tables, bundled=True)
    assert isinstance(settings.detector_called("idle-endpoints"), IdleEndpoints)
    assert settings.detector_called("idle-horses") is None
    with pytest.raises(InvalidInputError, match="no app type Paint"):
        settings.detector_called("idle-studio-apps")
