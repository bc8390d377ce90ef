"""studio-without-idle-shutdown over the sandbox: which descriptions, levels, units and pages decide."""

from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW
from loaded_endpoints import told
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Value
from ml_janitor.core.results import Result
from ml_janitor.detectors.studio_without_idle_shutdown import StudioWithoutIdleShutdown
from ml_janitor_sandbox.control import Control
from studio_seed import Studio, spelled
from verdicts import shown, sweep_once

OFF = {"LifecycleManagement": "DISABLED"}
LAB, EDITOR = "JupyterLab", "CodeEditor"
UNREAD = ("unknown", "")


def after(minutes: int) -> Mapping[str, Any]:
    return {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": minutes}


def idle(*kinds: str, **settings: Any) -> dict[str, Any]:
    """What a level says of the apps of these *kinds*."""
    return {f"{kind}AppSettings": {"AppLifecycleManagement": {"IdleSettings": settings}} for kind in kinds}


def both(settings: Mapping[str, Any]) -> dict[str, Any]:
    return idle(LAB, EDITOR, **settings)


class Levels(Studio):
    """A domain whose user profiles and spaces say something of their own, or nothing."""

    def desk(
        self, name: str, owner: str, kind: str = LAB, *, minutes: int | None = None, **more: Any
    ) -> None:
        own = {} if minutes is None else idle(kind, IdleTimeoutInMinutes=minutes)
        self.space(name, owner, {"AppType": kind, **own}, **more)


def swept(aws: Aws) -> tuple[dict[str, Result], str | None]:
    """By the name of the domain, user profile or space; and why the sweep is not complete."""
    sweep = sweep_once(StudioWithoutIdleShutdown(), aws)
    return {one.target.name: one for one in sweep.results}, sweep.error


def test_the_nearest_level_with_a_value_decides(box: Control, session: boto3.Session, aws: Aws) -> None:
    levels = Levels(box, session, **both(after(1441)))
    for name, own in (
        ("silent", None), ("day", both(after(1440))), ("late", both(after(1441))), ("off", both(OFF)),
        ("half", idle(LAB, **after(60))),
    ):  # fmt: skip
        levels.profile(name, own)
    for name, owner, kind, minutes in (
        ("follows-day", "day", LAB, None), ("late-desk", "day", LAB, 1441), ("soon-desk", "late", EDITOR, 60),
        ("off-desk", "off", LAB, 60), ("other-app", "silent", "KernelGateway", None),
    ):  # fmt: skip
        levels.desk(name, owner, kind, minutes=minutes)
    box.set_pages(1)
    box.clear_calls()

    found, error = swept(aws)

    clean = ("kept", "wherever its own settings count, Studio stops idle apps")
    apps = "Studio does not stop idle JupyterLab apps and CodeEditor apps of this"
    expected = {
        "research": ("found", f"{apps} domain within 24 hours"),
        "silent": clean,
        "day": clean,
        "late": ("found", f"{apps} user profile within 24 hours"),
        "off": ("found", apps),
        "half": clean,
        "follows-day": clean,
        "late-desk": ("found", "Studio does not stop idle JupyterLab apps of this space"),
        "soon-desk": clean,
        "off-desk": clean,
        "other-app": ("kept", "its apps are of a type that has no idle shutdown"),
    }
    assert (told(found, expected), error) == (expected, None)
    assert shown(found["late-desk"]) == {"idle shutdown of JupyterLab apps": "after 24 hours"}
    assert shown(found["off"])["idle shutdown of CodeEditor apps"] == "none"
    late = found["late"].target
    assert late.arn == f"arn:aws:sagemaker:{aws.region}:{ACCOUNT}:user-profile/{levels.domain}/late"
    assert {call: count for call, count in box.calls().items() if "sagemaker:" in call} == {
        "sagemaker:ListDomains": 1, "sagemaker:ListUserProfiles": 5, "sagemaker:ListSpaces": 5,
        "sagemaker:DescribeDomain": 1, "sagemaker:DescribeUserProfile": 5, "sagemaker:DescribeSpace": 5,
    }  # fmt: skip


def test_a_domain_is_found_only_for_its_own_followers(box: Control, session: boto3.Session, aws: Aws) -> None:
    """All users of the first say something themselves; the second's only user says nothing."""
    own, silent = Levels(box, session, **both(OFF)), Levels(box, session, **both(OFF))
    own.profile("anna", both(after(60)))
    silent.profile("ben")
    box.patch("sagemaker", ["domains", own.domain], DomainName="own")
    box.patch("sagemaker", ["domains", silent.domain], DomainName="silent")

    found, _ = swept(aws)
    assert {name: one.verdict.reason[:7] for name, one in found.items() if name in {"own", "silent"}} == {
        "own": "whereve",
        "silent": "Studio ",
    }

    own.desk("together", "anna", sharing="Shared")
    found, _ = swept(aws)
    assert "idle JupyterLab apps in shared spaces of this domain" in found["own"].verdict.reason

    box.patch("sagemaker", ["domains", own.domain], Status="Updating")
    assert "its status is Updating" in swept(aws)[0]["own"].verdict.reason


@pytest.mark.parametrize("kind", ["UserProfile", "Space", "Domain"])
def test_a_denied_read_decides_nothing(box: Control, session: boto3.Session, aws: Aws, kind: str) -> None:
    levels = Levels(box, session, **both(OFF))
    levels.profile("anna", both(after(60)))
    levels.desk("desk", "anna")
    known, _ = swept(aws)
    assert known["research"].verdict.reason.startswith("wherever")

    box.fault("sagemaker", f"Describe{kind}", "deny", times=0)
    denied, error = swept(aws)
    own = {"UserProfile": "anna", "Space": "desk", "Domain": "research"}[kind]
    assert told({own: denied[own]}, {own: UNREAD}) == {own: UNREAD}
    assert "AccessDenied" in denied[own].verdict.reason
    assert error is None

    box.clear_faults()
    box.fault("sagemaker", f"List{kind}s", "deny", times=0)
    broken, error = swept(aws)
    assert f"sagemaker:List{kind}s broke off" in (error or "")
    if kind != "Domain":
        assert told({"research": broken["research"]}, {"research": UNREAD}) == {"research": UNREAD}


def test_tags_of_domain_and_profile_are_read_with_it(box: Control, session: boto3.Session, aws: Aws) -> None:
    levels = Levels(box, session)
    levels.profile("anna", team="risk")
    levels.desk("desk", "anna")
    arn = f"arn:aws:sagemaker:{aws.region}:{ACCOUNT}"
    levels.sagemaker.add_tags(ResourceArn=f"{arn}:domain/{levels.domain}", Tags=spelled({"team": "platform"}))

    (space,) = (one for one in StudioWithoutIdleShutdown().find(aws, NOW) if one.target.kind == "space")

    assert space.target.tags == Value({}, "tag:GetResources")
    assert [(one.arn, one.tags.value) for one in space.belongs_to if isinstance(one.tags, Value)] == [
        (f"{arn}:domain/{levels.domain}", {"team": "platform"}),
        (f"{arn}:user-profile/{levels.domain}/anna", {"team": "risk"}),
    ]
