"""The decide table of studio-without-idle-shutdown, place by place."""

import json
import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

from conftest import NOW
from fakes import target_at
from ml_janitor.core.model import Confidence, Finding, Signal, Unreadable, Value
from ml_janitor.detectors.studio_without_idle_shutdown import (
    ShutdownPlace,
    ShutdownSetting,
    StudioWithoutIdleShutdown,
)
from narrowing import of_type
from past_jobs import word
from tables import cases
from verdicts import expect_verdict

DENIED: Signal[Any] = Unreadable("DescribeUserProfile: AccessDeniedException")
NOTHING: Any = {}
OFF = {"LifecycleManagement": "DISABLED", "IdleTimeoutInMinutes": 60}
SOON = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 24 * 60}
LATE = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 24 * 60 + 1}
ON = {"LifecycleManagement": "ENABLED"}


def said(member: str, idle: Any) -> Signal[Any]:
    """What Describe answers where both types of apps have these settings."""
    settings = {"AppLifecycleManagement": {"IdleSettings": idle}}
    return Value({member: {"JupyterLabAppSettings": settings, "CodeEditorAppSettings": settings}})


def domain(idle: Any, *profiles: Any, **more: Any) -> ShutdownPlace:
    read = tuple(one if isinstance(one, Unreadable) else said("UserSettings", one) for one in profiles)
    settings = tuple(
        ShutdownSetting("default-user-settings", app, followers=read) for app in ("JupyterLab", "CodeEditor")
    )
    return place("domain/d-1", said("DefaultUserSettings", idle), settings=settings, **more)


def profile(idle: Any, above: Any = OFF) -> ShutdownPlace:
    settings = tuple(ShutdownSetting("user-settings", app) for app in ("JupyterLab", "CodeEditor"))
    both = said("DefaultUserSettings", above), said("UserSettings", idle)
    return place("user-profile/d-1/anna", *both, settings=settings)


def space(idle: Any, above: Any = ON, app: str = "JupyterLab", *, shared: bool = False) -> ShutdownPlace:
    member = "DefaultSpaceSettings" if shared else "DefaultUserSettings"
    both = said(member, above), said("SpaceSettings", {key: idle[key] for key in idle if "Minutes" in key})
    own = (ShutdownSetting("space-settings", app, shared=shared),)
    return place("space/d-1/desk", *both, settings=own)


def place(path: str, *above: Signal[Any], **more: Any) -> ShutdownPlace:
    target = target_at(path, NOW)
    fields: dict[str, Any] = {"target": target, "status": "InService", "above": above}
    return ShutdownPlace(**(fields | more))


@cases(
    "judged, verdict, reason",
    (domain(OFF), "found", "does not stop idle JupyterLab apps and CodeEditor apps of this domain"),
    (domain(NOTHING), "found", "within 24 hours"),
    (domain(LATE), "found", "of this domain"),
    (domain(SOON), "kept", "Studio stops idle apps"),
    (domain(ON), "unknown", "nothing says after how long"),
    (domain(OFF, NOTHING, SOON), "found", "of this domain"),
    (domain(OFF, SOON, LATE), "kept", "Studio stops idle apps"),
    (domain(OFF, SOON, DENIED), "unknown", "a description could not be read"),
    (domain(OFF, NOTHING, DENIED), "found", "of this domain"),
    (domain(OFF, SOON, unread="ListUserProfiles: denied"), "unknown", "ListUserProfiles: denied"),
    (domain(OFF, unread="ListSpaces: denied"), "unknown", "ListSpaces: denied"),
    (domain(SOON, unread="ListSpaces: denied"), "unknown", "not everything that may follow it"),
    (domain(OFF, status="Deleting"), "kept", "its status is Deleting"),
    (profile(NOTHING), "kept", "wherever its own settings count"),
    (profile(OFF, SOON), "found", "of this user profile"),
    (profile(LATE, SOON), "found", "of this user profile"),
    (profile(SOON), "kept", "wherever its own settings count"),
    (space(LATE), "found", "of this space"),
    (space(LATE, OFF), "kept", "wherever its own settings count"),
    (space(NOTHING, OFF), "kept", "wherever its own settings count"),
    (space(SOON, LATE), "kept", "wherever its own settings count"),
    (space(NOTHING, NOTHING, "CodeEditor", shared=True), "found", "CodeEditor apps in shared spaces"),
    (space(SOON, NOTHING, "CodeEditor", shared=True), "kept", "wherever its own settings count"),
    (replace(space(LATE), settings=()), "kept", "a type that has no idle shutdown"),
    (replace(profile(OFF), above=(DENIED, said("UserSettings", OFF))), "unknown", "AccessDenied"),
)
def test_studio_without_idle_shutdown(judged: ShutdownPlace, verdict: str, reason: str) -> None:
    expect_verdict(StudioWithoutIdleShutdown().decide(judged, NOW), verdict, reason)


def test_what_is_written_is_proven_and_what_is_not_is_likely() -> None:
    written, silent = (StudioWithoutIdleShutdown().decide(domain(idle), NOW) for idle in (OFF, NOTHING))

    assert isinstance(written, Finding)
    assert isinstance(silent, Finding)
    assert (written.confidence, silent.confidence) == (Confidence.PROVEN, Confidence.LIKELY)
    assert (written.to_prove, "default is off" in silent.to_prove) == ("", True)


def test_the_longest_time_is_the_rules() -> None:
    assert word(StudioWithoutIdleShutdown(longest=timedelta(days=2)).decide(domain(LATE), NOW)) == "kept"


@cases(
    "judged, command, member",
    (domain(OFF), "update-domain --domain-id d-1 --default-user-settings", "JupyterLabAppSettings"),
    (
        profile(OFF),
        "update-user-profile --domain-id d-1 --user-profile-name anna --user-settings",
        "CodeEditorAppSettings",
    ),
    (space(LATE), "update-space --domain-id d-1 --space-name desk --space-settings", "JupyterLabAppSettings"),
)
def test_the_change_is_a_command(judged: ShutdownPlace, command: str, member: str) -> None:
    decided = of_type(Finding, StudioWithoutIdleShutdown(proposed_minutes=90).decide(judged, NOW))

    *words, settings = shlex.split(decided.action)
    assert " ".join(words) == f"stop idle apps after 90 minutes: aws sagemaker {command}"
    idle = json.loads(settings)[member]["AppLifecycleManagement"]["IdleSettings"]
    own: dict[str, Any] = {} if judged.target.kind == "space" else {"LifecycleManagement": "ENABLED"}
    assert idle == own | {"IdleTimeoutInMinutes": 90}


@cases(
    "judged, confidence",
    (profile({"LifecycleManagement": "DISABLED"}), Confidence.PROVEN),
    (space({"IdleTimeoutInMinutes": 24 * 60 + 1}), Confidence.PROVEN),
    (domain({"LifecycleManagement": "DISABLED"}, NOTHING), Confidence.PROVEN),
    (domain(NOTHING, NOTHING), Confidence.LIKELY),
)
def test_a_word_of_either_kind_is_written(judged: ShutdownPlace, confidence: Confidence) -> None:
    assert of_type(Finding, StudioWithoutIdleShutdown().decide(judged, NOW)).confidence is confidence


def test_what_was_passed_on_the_way() -> None:
    followed, own = (
        StudioWithoutIdleShutdown().decide(one, NOW) for one in (profile(SOON), domain(OFF, SOON))
    )

    assert followed.steps[0] == "nothing here keeps Studio from stopping idle JupyterLab apps"
    assert own.steps[0] == "whatever could follow its setting for JupyterLab apps has one of its own"


def test_two_hours_are_proposed() -> None:
    assert StudioWithoutIdleShutdown().proposed_minutes == 120
