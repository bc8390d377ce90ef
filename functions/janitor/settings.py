"""Settings: janitor.toml and overrides, validated once, the same for the command line, Lambda and CDK."""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, create_model

from janitor.detector import Detector
from janitor.detectors import DETECTORS
from janitor.durations import WorkingHours, parse_duration
from janitor.engine import Policy
from janitor.exemptions import Exemptions
from janitor.model import Mode

FILE = "janitor.toml"


class SettingsError(ValueError):
    """A setting is wrong; the message is one line that says which, and what was expected."""


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("a duration must be longer than nothing")
    return value


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        near = difflib.get_close_matches(value, available_timezones(), 1)
        raise ValueError(f"{value!r} is no time zone" + (f"; did you mean {near[0]!r}?" if near else ""))
    ZoneInfo(value)
    return value


def _hours(value: str) -> str:
    WorkingHours.parse(value)
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Hours = Annotated[str, AfterValidator(_hours)]

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


class JanitorSection(BaseModel):
    """`[janitor]`: what holds for all detectors."""

    model_config = STRICT

    regions: list[str] = []
    keep_tags: list[str] = ["janitor:keep", "keep"]
    keep_until_tag: str = "janitor:keep-until"
    owner_tags: list[str] = ["owner", "created-by", "team"]
    ignore: list[str] = []
    time_zone: TimeZone = "UTC"
    working_hours: Hours = "Mon-Fri 08-20"
    holidays: list[date] = []


class DetectorSection(BaseModel):
    """`[detectors.NAME]`: what every detector has; its own tunables come from its dataclass fields."""

    model_config = STRICT

    enabled: bool = True
    mode: Literal["dry-run"] = "dry-run"
    schedule: str = ""


SHARED = {"working_hours"}
"""Detector fields that are made from `[janitor]`, not set per detector."""


class Settings:
    """Everything an operator can tune, read and checked."""

    def __init__(self, janitor: JanitorSection, sections: Mapping[str, DetectorSection]) -> None:
        self.janitor = janitor
        self.sections = sections

    @classmethod
    def load(
        cls,
        *,
        files: Sequence[Path] = (),
        overrides: Iterable[str] = (),
        base: Mapping[str, Any] | None = None,
    ) -> Settings:
        """
        Settings from *files* (later ones win, key by key) and *overrides* ("idle-endpoints.window=14d").

        Raises SettingsError.
        """
        tables: dict[str, Any] = {}
        for path in files:
            _merge(tables, _read(path))
        if base:
            _merge(tables, base)
        for override in overrides:
            _merge(tables, _override(override))
        return cls.parse(tables)

    @classmethod
    def parse(cls, tables: Mapping[str, Any]) -> Settings:
        """Settings from the tables of a TOML document. Raises SettingsError."""
        _known("", tables, ["janitor", "detectors"])
        janitor = _validate(JanitorSection, tables.get("janitor", {}), "janitor")
        given = tables.get("detectors", {})
        _known("detectors.", given, [detector.name for detector in DETECTORS])
        sections = {
            detector.name: _validate(
                section_model(detector), given.get(detector.name, {}), f"detectors.{detector.name}"
            )
            for detector in DETECTORS
        }
        return cls(janitor, sections)

    def detector(self, detector: type[Detector[Any]]) -> Detector[Any]:
        """*detector* with its tunables set."""
        section = self.sections[detector.name]
        values: dict[str, Any] = {}
        for field in fields(detector):
            if field.name == "working_hours":
                values[field.name] = self.working_hours
            else:
                values[field.name] = _plain(getattr(section, field.name))
        return detector(**values)

    def enabled(self) -> list[Detector[Any]]:
        """Every detector that is not switched off, in the registry's order."""
        return [self.detector(detector) for detector in DETECTORS if self.sections[detector.name].enabled]

    @property
    def working_hours(self) -> WorkingHours:
        """When people are expected at work."""
        return WorkingHours.parse(self.janitor.working_hours, self.janitor.time_zone, self.janitor.holidays)

    @property
    def policy(self) -> Policy:
        """What the engine applies to every detector."""
        section = self.janitor
        exemptions = Exemptions(tuple(section.keep_tags), section.keep_until_tag, tuple(section.ignore))
        return Policy(exemptions, tuple(section.owner_tags))

    def mode(self, detector: str) -> Mode:
        """What the deployment allows *detector*."""
        return Mode(self.sections[detector].mode)

    def schedule(self, detector: type[Detector[Any]]) -> str:
        """When *detector* runs: its own schedule, unless the operator set another."""
        return self.sections[detector.name].schedule or detector.schedule


def section_model(detector: type[Detector[Any]]) -> type[DetectorSection]:
    """The model of `[detectors.NAME]`: the common keys and the detector's own fields."""
    hints = typing.get_type_hints(detector)
    own: dict[str, Any] = {
        field.name: (_accepts(hints[field.name]), _default(field))
        for field in fields(detector)
        if field.name not in SHARED
    }
    return create_model(f"{detector.__name__}Section", __base__=DetectorSection, **own)


def _accepts(hint: Any) -> Any:
    """What an operator may write for a field of type *hint*: durations as text, tuples as lists."""
    if hint is timedelta:
        return Duration
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return types.GenericAlias(list, (_accepts(args[0]),))
    if args and origin in {dict, Mapping}:
        return types.GenericAlias(dict, (args[0], _accepts(args[1])))
    return hint


def _default(field: Field[Any]) -> Any:
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    return list(value) if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _override(text: str) -> dict[str, Any]:
    """Tables for "idle-endpoints.window=14d": the value is TOML, else the text as a string."""
    path, equals, value = text.partition("=")
    section, dot, key = path.strip().rpartition(".")
    if not (equals and dot and section and key):
        raise SettingsError(f"--set {text!r}: write it as DETECTOR.FIELD=VALUE")
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    if section == "janitor":
        return {"janitor": {key: parsed}}
    return {"detectors": {section.removeprefix("detectors."): {key: parsed}}}


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _known(prefix: str, table: object, names: Sequence[str]) -> None:
    if not isinstance(table, Mapping):
        raise SettingsError(f"[{prefix.rstrip('.')}] must be a table")
    for key in table:
        if key not in names:
            raise SettingsError(f"unknown setting {prefix}{key}{_nearest(key, names)}")


def _nearest(key: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(names), 1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _validate[M: BaseModel](model: type[M], table: object, where: str) -> M:
    _known(f"{where}.", table, list(model.model_fields))
    try:
        return model.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{where}.{key}: {said[0].lower()}{said[1:]} (got {first['input']!r})") from error
