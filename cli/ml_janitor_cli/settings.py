"""`janitor settings` and `janitor init`: every setting explained, and a short janitor.toml to begin with."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import available_timezones

import typer
from pydantic import BaseModel

from ml_janitor.config.sections import (
    SECTIONS,
    DetectorSection,
    JanitorSection,
    section_model,
    validate_section,
)
from ml_janitor.config.settings import SETTINGS_FILE, DetectorRegistry, Settings
from ml_janitor.config.values import InvalidInputError, suggest_nearest
from ml_janitor.core.durations import format_duration
from ml_janitor.core.model import Confidence, Mode
from ml_janitor.core.text import escape_text, quote_toml
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.untagged_resources.rule import UntaggedResources
from ml_janitor_cli import edge

# --- the reference --------------------------------------------------------------------------------

REFERENCE = Path(__file__).with_name("settings.toml")
SCHEMA = Path(__file__).with_name("janitor.schema.json")

ANY_DETECTOR = "detectors.NAME"
"""The table of the settings that every detector has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingEntry:
    """A setting of the reference: *default* and *example* are TOML; it has one of them."""

    table: str
    key: str
    text: str
    default: str = ""
    example: str = ""

    @property
    def line(self) -> str:
        """Return the setting as janitor.toml has it; an example is a comment."""
        return f"{self.key} = {self.default}" if self.default else f"# {self.key} = {self.example}"


@cache
def setting_entries() -> tuple[SettingEntry, ...]:
    """Return every setting of the reference, in its order."""
    found, table, words = list[SettingEntry](), "", list[str]()
    for line in REFERENCE.read_text("utf-8").splitlines():
        if header := re.fullmatch(r"\[(.+)\]", line):
            table, words = header[1], []
        elif setting := re.fullmatch(r"(# )?([a-z_]+|\"[^\"]+\") = (.+)", line):
            value = {"example": setting[3]} if setting[1] else {"default": setting[3]}
            text = " ".join(words) or found[-1].text
            found.append(SettingEntry(table=table, key=setting[2], text=text, **value))
            words = []
        elif line and table:
            words.append(line.removeprefix("# "))
    return tuple(found)


def setting_names() -> list[str]:
    """Return the names that `janitor settings` takes: tables, their settings, and keys alone."""
    tables = [(entry.table.removeprefix("detectors."), entry.key) for entry in setting_entries()]
    names = [name for table, key in tables for name in (table, f"{table}.{key}", key)]
    return [name for name in dict.fromkeys(names) if name not in {ANY_DETECTOR, "NAME"}]


def settings(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        edge.argument(
            "NAME", "A setting such as bill.max_requests, or a table of them.", complete=setting_names
        ),
    ] = None,
    *,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
    schema: Annotated[bool, edge.flag("--schema", "Print the JSON Schema for editors instead.")] = False,
) -> int:
    """
    List every setting with its default, or explain some.

    \b
    Examples:
      janitor settings
      janitor settings slack_secret
      janitor settings idle-endpoints.window
      janitor settings bill
    """  # noqa: D301 - \b keeps the lines below it as they are
    if schema:
        sys.stdout.write(SCHEMA.read_text("utf-8"))
        return 0
    own = edge.load_settings(config, overrides, ctx.obj)
    chosen = setting_entries() if name is None else named_settings(name, ctx.obj)
    table = ""
    for entry in chosen:
        if entry.table != table:
            table = entry.table
            sys.stdout.write(f"\n[{table}]\n" if entry is not chosen[0] else f"[{table}]\n")
        if name is not None:
            sys.stdout.write(f"{comment(entry.text)}\n")
        here = value_here(entry, own)
        sys.stdout.write(f"{entry.line}{f'  # here: {escape_text(here)}' if here else ''}\n")
    if name is None:
        sys.stdout.write("\nTo explain a setting or a table: janitor settings NAME\n")
    return 0


def named_settings(name: str, registry: DetectorRegistry) -> list[SettingEntry]:
    """
    Return the settings that *name* means: a key, a table, or both with a dot between them.

    A detector has the settings of every detector besides its own. Raises CommandRefusedError.
    """
    wanted, found = name.removeprefix("detectors."), list[SettingEntry]()
    for entry in setting_entries():
        tables = [entry.table.removeprefix("detectors.")]
        if entry.table == ANY_DETECTOR:
            tables += [detector.name for detector in registry]
        if wanted in {entry.key, *tables, *(f"{table}.{entry.key}" for table in tables)}:
            found.append(entry)
    if not found:
        known = [part for entry in setting_entries() for part in (entry.key, f"{entry.table}.{entry.key}")]
        hint = suggest_nearest(name, known) or "; the list: janitor settings"
        raise edge.CommandRefusedError(f"no setting is called {name}{hint}")
    return found


def comment(text: str, width: int = 100) -> str:
    """Return *text* as lines of a comment of TOML."""
    lines, line = [], "#"
    for word in text.split():
        if len(line) + 1 + len(word) > width:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return "\n".join([*lines, line])


def value_here(entry: SettingEntry, own: Settings) -> str:
    """Return the value of *entry* as TOML where *own* sets another than its default, else ""."""
    section, _, detector = entry.table.partition(".")
    model = own.sections.get(detector) if section == "detectors" else getattr(own, section)
    if model is None or entry.key not in model.model_fields_set:
        return ""
    value, default = (to_toml(getattr(each, entry.key)) for each in (model, type(model)()))
    return "" if value == default else value


def to_toml(value: object) -> str:  # noqa: PLR0911 - a return for each kind
    """Return *value* as one line of TOML: of the kinds that settings have."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quote_toml(value)
        case timedelta():
            return quote_toml(format_duration(value))
        case Mapping():
            pairs = (f"{toml_key(key)} = {to_toml(item)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case list() | tuple():
            return f"[{', '.join(map(to_toml, value))}]"
        case date():
            return value.isoformat()
        case _:
            return str(value)


def toml_key(name: str) -> str:
    """Return *name* as a key of TOML."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else quote_toml(name)


# --- the schema -----------------------------------------------------------------------------------

DURATION = {"type": "string", "pattern": r"^(\d+d)?(\d+h)?(\d+m)?$"}
CHOICES = {"mode": {"enum": [*map(str, Mode)]}, "act_on": {"enum": [*map(str, Confidence)]}}


def json_schema(registry: DetectorRegistry = DETECTORS) -> dict[str, Any]:
    """Return the JSON Schema of janitor.toml, for editors."""
    tables = {name: table_schema(properties_of(name, model)) for name, model in SECTIONS.items()}
    common = properties_of(ANY_DETECTOR, DetectorSection)
    shared = {key: {"$ref": f"#/definitions/{key}"} for key in common}
    detectors = {
        detector.name: table_schema(
            properties_of(f"detectors.{detector.name}", section_model(detector)) | shared
        )
        for detector in registry
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "janitor.toml: the settings of ML Janitor",
        **table_schema(tables | {"detectors": table_schema(detectors)}),
        "definitions": common,
    }


def table_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a table that has *properties* and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def properties_of(table: str, model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of each key of *model*, with the reference's text for it in *table*."""
    texts = {entry.key: entry.text for entry in setting_entries() if entry.table == table}
    properties = model.model_json_schema()["properties"]
    more = {key: {"description": text} for key, text in texts.items()}
    return {
        key: durations_as_text({**found, **more.get(key, {}), **CHOICES.get(key, {})})
        for key, found in properties.items()
    }


def durations_as_text(schema: Any) -> Any:
    """Return *schema* with durations as janitor.toml has them, "7d", and no titles and defaults of null."""
    if isinstance(schema, list):
        return [durations_as_text(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "duration":
        return {key: value for key, value in schema.items() if key not in {"format", "default"}} | DURATION
    return {
        key: durations_as_text(value)
        for key, value in schema.items()
        if key != "title" and not (key == "default" and value is None)
    }


# --- init -----------------------------------------------------------------------------------------

SHORT_FILE = """\
# The settings of ML Janitor, which `make deploy` puts into the functions. Every other setting has a default:
# `janitor settings` lists them all, and `janitor settings NAME` explains one.

[janitor]
# Regions to sweep. When empty: the region of the command's session, or of the deployment.
{regions}
# The time zone of working hours and of the functions' schedules.
{time_zone}
# Where the janitor reports in Slack. Without both, it acts only if [notify] names a topic for mail.
{slack_channel}
{slack_secret}
# Tags of the janitor's own stack.
{tags}
# Globs over ARNs that are always kept.
# ignore = ["arn:aws:sagemaker:*:*:endpoint/prod-*"]
# The roles of those who use janitor keep, undo or sweep --act. An armed deployment needs them.
# ledger_writers = ["arn:aws:iam::123456789012:role/ROLE"]

[detectors.untagged-resources]
# The tags that every resource needs.
# required = {required}

# What to arm later, one detector after the other: janitor docs arming
# [detectors.idle-notebooks]
# mode = "act"
# act_in = ["123456789012/us-east-1"]

[bill]
# Read the bill each morning in a function: about $2.40 a month for Cost Explorer.
# enabled = true
"""

EXAMPLE_ANSWERS: Mapping[str, Any] = {
    "regions": ["us-east-1"],
    "time_zone": "Europe/Berlin",
    "slack_channel": "#ml-costs",
    "slack_secret": "ml-janitor/slack",
}

REQUIRED = UntaggedResources().required
SECRET_NAME = "ml-janitor/slack"  # noqa: S105 - the name of a secret
CREATE_SECRET = "janitor docs operating Deploying"  # noqa: S105 - a command


def init(
    file: Annotated[Path, edge.argument("FILE", "The file to write.")] = Path(SETTINGS_FILE),
    profile: edge.Profile = None,
) -> int:
    """
    Write a short janitor.toml, after a few questions.

    An empty answer leaves a setting out. Without a terminal, nothing is asked. An edited
    file is never replaced.
    """
    if file.exists() and file.read_text("utf-8", "replace") != short_file({}):
        raise edge.CommandRefusedError(f"{file} exists: edit it, or name another: janitor init FILE")
    edge.check_outputs(files={"FILE": file}, json=False)
    answers = found_answers(profile)
    if sys.stdin.isatty():
        answers |= ask_answers(answers)
    text = short_file(answers)
    if why := edge.replace_file(file, text):
        raise edge.FailedError(f"{file} cannot be written: {why}")
    steps = ["janitor audit"]
    if "slack_secret" in answers:
        steps.insert(0, f"{CREATE_SECRET} (the secret {answers['slack_secret']})")
    sys.stdout.write(f"Written: {escape_text(str(file))}\nNext: {', then '.join(steps)}\n")
    return 0


def found_answers(profile: str | None) -> dict[str, Any]:
    """Return what the AWS configuration and the computer's clock tell."""
    found: dict[str, Any] = {}
    if region := edge.open_session(profile).region_name:
        found["regions"] = [region]
    if zone := local_time_zone():
        found["time_zone"] = zone
    return found


LOCAL_TIME = Path("/etc/localtime")


def local_time_zone() -> str:
    """Return the time zone of this computer, or "": UTC is a server's, and says nothing of working hours."""
    name = str(LOCAL_TIME.resolve()).partition("zoneinfo/")[2]
    place = "/" in name and not name.startswith("Etc/")
    return name if place and name in available_timezones() else ""


def ask_answers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for what was not *found*. Raises CommandRefusedError."""
    answers: dict[str, Any] = {}
    if "regions" not in found:
        answers["regions"] = ask_setting("regions", "Regions to sweep, such as eu-west-1", list_of_words)
    if "time_zone" not in found:
        answers["time_zone"] = ask_setting("time_zone", "Your time zone, such as Europe/Berlin")
    answers["slack_channel"] = ask_setting(
        "slack_channel", "The Slack channel to report to, such as #ml-costs (empty: none)"
    )
    if answers["slack_channel"]:
        question = f"The name of its secret in Secrets Manager (empty: {SECRET_NAME})"
        answers["slack_secret"] = ask_setting("slack_secret", question) or SECRET_NAME
    for tag in own_tags():
        question = f"The tag {tag} of the janitor's own stack (empty: none)"
        answers["tags"] = answers.get("tags", {}) | (
            ask_setting("tags", question, partial(one_tag, tag)) or {}
        )
    return {key: value for key, value in answers.items() if value}


def ask_setting(key: str, question: str, read: Callable[[str], Any] = str) -> Any:
    """Return the value of *key* of `[janitor]` that somebody typed, as often as it takes; None if empty."""
    while text := edge.ask_text(question):
        try:
            validate_section(JanitorSection, {key: read(text)}, "janitor")
        except InvalidInputError as error:
            typer.echo(f"janitor: {escape_text(str(error))}", err=True)
        else:
            return read(text)
    return None


def list_of_words(text: str) -> list[str]:
    """Return the words of *text*, between blanks or commas."""
    return re.findall(r"[^\s,]+", text)


def one_tag(key: str, value: str) -> dict[str, str]:
    """Return the tag *key* with *value*."""
    return {key: value}


def own_tags() -> list[str]:
    """Return the required tags that no default of `tags` has."""
    return [tag for tag in REQUIRED if tag not in JanitorSection().tags]


def short_file(answers: Mapping[str, Any]) -> str:
    """Return a janitor.toml with *answers*; what was not answered is an example in a comment."""
    given = dict(answers)
    if given.get("tags"):
        given["tags"] = JanitorSection().tags | given["tags"]
    examples: dict[str, Any] = {
        **EXAMPLE_ANSWERS,
        "tags": JanitorSection().tags | {tag: tag.upper() for tag in own_tags()},
    }
    lines = {
        key: f"{key} = {to_toml(given[key])}" if given.get(key) else f"# {key} = {to_toml(example)}"
        for key, example in examples.items()
    }
    return SHORT_FILE.format(**lines, required=to_toml(REQUIRED))
