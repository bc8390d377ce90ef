"""The rule for Studio apps, signal by signal, at its exact boundaries."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from conftest import DAY, HOUR, MINUTE, NOW, SECOND
from fakes import target_at
from ml_janitor.aws.activity import LogNotRead, TrailEvent
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.studio_apps import StudioApp
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Finding,
    Kept,
    NotRead,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.detectors import idle_studio_apps
from ml_janitor.detectors.idle_studio_apps import IdleStudioApps, _metric, _price, read_own_shutdown
from narrowing import not_none, of_type
from scripted import Script, Torn
from tables import cases
from verdicts import shown, word

DENIED = Unreadable("GetLogEvents: AccessDeniedException")
NOT_LAB = {"type": "KernelGateway", "shutdown": NotRead()}


def app(**given: Any) -> StudioApp:
    """A JupyterLab app, started long ago, whose user and log have been silent for nine hours."""
    usual: dict[str, Any] = {
        "domain": "d-1",
        "type": "JupyterLab",
        "status": "InService",
        "profile": "anna",
        "space": "desk",
        "instance_type": "ml.g5.xlarge",
        "started": NOW - 30 * DAY,
        "activity": Value(NOW - 9 * HOUR),
        "checked": NOW,
        "log": Value(NOW - 9 * HOUR),
        "shutdown": Absent(),
        "price": Price(Decimal("1.40"), "Price List API"),
    }
    return StudioApp(target=target(), **usual | given)


def target() -> Target:
    return target_at("app/d-1/desk/jupyterlab/default", NOW - 30 * DAY, name="desk/JupyterLab/default")


def canvas(unused: timedelta, *, at: timedelta = 5 * MINUTE, **given: Any) -> StudioApp:
    """A Canvas app that published this idle time so long ago."""
    usual: dict[str, Any] = {
        "type": "Canvas",
        "space": None,
        "instance_type": None,
        "log": NotRead(),
        "shutdown": NotRead(),
    }
    usual |= {"activity": Absent(), "idle": Value(unused, "cloudwatch:GetMetricData", NOW - at)}
    return app(**usual | given)


def judged(candidate: StudioApp, **tunables: Any) -> Verdict:
    return IdleStudioApps(**tunables).decide(candidate, NOW)


@cases(
    "signals, expected",
    ({"activity": Value(NOW - 4 * HOUR)}, "likely"),
    ({"activity": Value(NOW - 4 * HOUR + SECOND)}, "kept"),
    ({"activity": Value(NOW + HOUR)}, "kept"),
    ({"log": Value(NOW - 4 * HOUR)}, "likely"),
    ({"log": Value(NOW - 4 * HOUR + SECOND)}, "kept"),
    ({"started": NOW - 4 * HOUR}, "likely"),
    ({"started": NOW - 4 * HOUR + SECOND}, "kept"),
    ({"activity": Absent()}, "likely"),
    ({"log": Absent()}, "likely"),
    ({"activity": Absent(), "log": Absent()}, "unknown"),
    ({"activity": Absent(), "log": Value(NOW - MINUTE)}, "kept"),
    ({"activity": DENIED}, "unknown"),
    ({"activity": DENIED, "log": Value(NOW - MINUTE)}, "kept"),
    ({"activity": NotRead()}, "unknown"),
    ({"log": DENIED}, "unknown"),
    ({"log": DENIED, "activity": Value(NOW - MINUTE)}, "kept"),
    ({"log": LogNotRead()}, "unknown"),
    ({"log": LogNotRead(), "idle": Value(9 * HOUR, "", NOW)}, "proven"),
    ({"log": Absent("read_logs = false"), "activity": Value(NOW - 9 * HOUR)}, "likely"),
    ({"log": LogNotRead(), "activity": Value(NOW - 9 * HOUR)}, "unknown"),
    ({"log": NotRead()}, "unknown"),
    ({"instance_type": None}, "unknown"),  # it may be the free one
    # only an idle time that its space publishes proves
    ({"idle": Value(8 * HOUR, "", NOW - 5 * MINUTE)}, "proven"),
    ({"idle": Value(8 * HOUR, "", NOW - 5 * MINUTE), "log": Absent(), "activity": Absent()}, "proven"),
    ({"idle": Value(8 * HOUR, "", NOW - 31 * MINUTE)}, "likely"),
    ({"idle": Value(timedelta(), "", NOW - 5 * MINUTE)}, "kept"),  # a silent kernel computes
    ({"idle": Value(4 * HOUR - MINUTE, "", NOW - 5 * MINUTE)}, "kept"),
    ({"idle": Value(4 * HOUR, "", NOW - 5 * MINUTE)}, "proven"),
    ({"idle": Value(8 * HOUR, "", NOW - 5 * MINUTE), "log": Value(NOW - HOUR)}, "kept"),
    ({"idle": Value(8 * HOUR, "", NOW - 5 * MINUTE), "log": DENIED}, "unknown"),
    ({"idle": DENIED}, "unknown"),
    ({"remote": True}, "unknown"),  # an editor on another machine need not write to its log
    ({"remote": True, "idle": Value(8 * HOUR, "", NOW - 5 * MINUTE)}, "unknown"),
    ({"remote": True, "session": DENIED}, "unknown"),
    ({"remote": True, "session": Absent()}, "likely"),
    ({"remote": True, "session": Absent(), "idle": Value(8 * HOUR, "", NOW - MINUTE)}, "likely"),
    ({"remote": True, "session": Value(NOW - 3 * HOUR)}, "kept"),
    ({"remote": True, "session": Value(NOW - 16 * HOUR + SECOND)}, "kept"),  # it may last twelve hours
    ({"remote": True, "session": Value(NOW - 16 * HOUR)}, "likely"),
)
def test_the_newest_sign_of_use_decides_to_the_second(signals: dict[str, Any], expected: str) -> None:
    assert word(judged(app(**signals))) == expected


@cases(
    "signals, reason",
    ({"status": "Deleted"}, "its status is Deleted, not InService"),
    ({"status": "Pending"}, "its status is Pending, not InService"),
    ({"type": "JupyterServer"}, "it is a JupyterServer app; only JupyterLab, CodeEditor"),
    ({"type": "RStudioServerPro"}, "it is a RStudioServerPro app"),
    ({"instance_type": "system"}, "it runs on the system instance, which is free"),
    ({"reserved": True}, "it runs on the reserved capacity of a training plan, which is paid for without"),
)
def test_what_is_no_waste_is_kept_with_the_reason(signals: dict[str, Any], reason: str) -> None:
    verdict = of_type(Kept, judged(app(**signals)))

    assert not verdict.unknown
    assert verdict.reason.startswith(reason)


@cases(
    "log, activity, expected",
    (NOW - 2 * DAY - SECOND, Absent(), "unknown"),
    (NOW - 2 * DAY, Absent(), "likely"),
    (NOW - 2 * DAY - SECOND, Value(NOW - 9 * HOUR), "likely"),
)
def test_a_log_from_before_does_not_arrive(log: datetime, activity: Signal[datetime], expected: str) -> None:
    verdict = judged(app(started=NOW - 2 * DAY, log=Value(log), activity=activity))

    assert word(verdict) == expected
    assert ("nothing was written to its log since it started" in verdict.reason) == (expected == "unknown")


@cases(
    "candidate, expected",
    (canvas(4 * HOUR - 5 * MINUTE), "proven"),
    (canvas(4 * HOUR - 5 * MINUTE - SECOND), "kept"),
    (canvas(9 * HOUR, at=30 * MINUTE), "proven"),
    (canvas(9 * HOUR, at=30 * MINUTE + SECOND), "unknown"),
    (canvas(MINUTE, at=2 * HOUR), "unknown"),
    (canvas(9 * HOUR, started=NOW - HOUR), "kept"),
    (canvas(9 * HOUR, instance_type="system"), "proven"),
    (canvas(9 * HOUR, activity=Value(NOW - MINUTE)), "kept"),
    (canvas(9 * HOUR, activity=DENIED), "unknown"),
    (canvas(9 * HOUR, idle=Absent()), "unknown"),
    (canvas(9 * HOUR, idle=DENIED), "unknown"),
    (canvas(9 * HOUR, idle=NotRead()), "unknown"),
    (canvas(9 * HOUR, idle=Absent(), activity=Value(NOW - 9 * HOUR)), "unknown"),
)
def test_canvas_goes_by_the_idle_time_that_it_publishes(candidate: StudioApp, expected: str) -> None:
    assert word(judged(candidate)) == expected


@pytest.mark.parametrize("kind", ["JupyterLab", "CodeEditor"])
@cases(
    "shutdown, quiet, expected",
    (Value(60 * MINUTE), 4 * HOUR, "likely"),
    (Value(60 * MINUTE), 3 * HOUR, "kept"),
    (Value(3 * HOUR), 6 * HOUR, "likely"),
    (Value(3 * HOUR), 6 * HOUR - SECOND, "kept"),
    (Value(7 * DAY), 13 * DAY, "kept"),
    (Absent(), 4 * HOUR, "likely"),
    (DENIED, 9 * HOUR, "unknown"),
    (NotRead(), 9 * HOUR, "unknown"),
)
def test_studio_s_own_idle_shutdown_gets_twice_its_time(
    kind: str, shutdown: Signal[timedelta], quiet: timedelta, expected: str
) -> None:
    silent = {"activity": Value(NOW - quiet), "log": Value(NOW - quiet)}
    verdict = judged(app(type=kind, shutdown=shutdown, **silent))

    assert word(verdict) == expected
    assert ("did not" in verdict.reason) == (isinstance(verdict, Finding) and isinstance(shutdown, Value))


def test_apps_that_studio_never_stops_itself_need_no_word_about_it() -> None:
    assert word(judged(app(**NOT_LAB))) == "likely"
    assert "Studio's own idle shutdown" not in shown(judged(app(**NOT_LAB)))


def test_patience_is_by_type() -> None:
    patience = {"JupyterLab": 10 * HOUR, "KernelGateway": 8 * HOUR}

    assert word(judged(app(), patience=patience)) == "kept"
    assert word(judged(app(**NOT_LAB), patience=patience)) == "likely"
    assert word(judged(app(type="CodeEditor"), patience=patience)) == "likely"


def test_patience_is_set_in_the_settings_and_a_wrong_type_is_refused() -> None:
    def settings(written: dict[str, str]) -> IdleStudioApps:
        tables = {"detectors": {"idle-studio-apps": {"patience": written}}}
        detector = Settings.parse(tables, registry=[IdleStudioApps]).detector(IdleStudioApps)
        assert isinstance(detector, IdleStudioApps)
        return detector

    assert word(settings({"JupyterLab": "10h"}).decide(app(), NOW)) == "kept"
    with pytest.raises(InvalidInputError, match="patience: no app type Jupyterlab; there are JupyterLab, "):
        settings({"Jupyterlab": "10h"})


def test_a_finding_says_what_how_long_and_what_it_costs() -> None:
    verdict = judged(app(activity=Value(NOW - 11 * HOUR), inherited={"user profile": ("owner",)}))

    assert isinstance(verdict, Finding)
    assert verdict.reason == "the last sign of use was a line in its log 9 hours ago; 4 hours are allowed"
    assert verdict.confidence is Confidence.LIKELY
    assert IdleStudioApps.cleanup.grace == DAY
    assert verdict.action == "stop the app (its space and volume stay; memory and running terminals do not)"
    assert verdict.since == NOW - 9 * HOUR
    assert not_none(verdict.cost).monthly_usd == Decimal("1022.00")
    said = shown(verdict)
    assert (said["user profile"], said["space"], said["instance type"]) == ("anna", "desk", "ml.g5.xlarge")
    assert "last session of a remote editor" not in said
    assert said["tags of its user profile"] == "owner"
    assert said["last activity of its user"] == "2026-10-05T16:00:00Z"
    assert said["Studio's own idle shutdown"] == "off"
    assert verdict.steps[:3] == (
        "it is a JupyterLab app in service, on an instance that costs money",
        "the last sign of use was a line in its log 9 hours ago",
        "nothing shows use, but a kernel may compute",
    )


def test_evidence_says_that_a_health_check_overwrote_the_activity() -> None:
    assert shown(judged(app(activity=Absent())))["last activity of its user"] == (
        "none apart from its last health check"
    )
    assert "last health check" not in shown(judged(app(activity=Absent(), checked=None)))


def test_evidence_says_that_canvas_spoke_too_long_ago() -> None:
    assert str(shown(judged(canvas(9 * HOUR, at=HOUR)))["idle time that Canvas published"]).endswith(
        "9 hours at 2026-10-06T02:00:00Z, too long ago to count"
    )


def test_evidence_has_the_log_of_all_but_canvas_which_writes_none() -> None:
    assert "last line in its log" not in shown(judged(canvas(9 * HOUR)))
    assert "last line in its log" in shown(judged(app()))


def test_a_sign_after_the_sweep_began_is_said_to_be_that() -> None:
    assert "which is after this sweep began" in judged(app(log=Value(NOW + SECOND))).reason
    assert "a line in its log less than a minute ago" in judged(app(log=Value(NOW))).reason


@cases(
    "candidate, what",
    (canvas(9 * HOUR), "activity that Canvas saw 9 hours"),
    (app(idle=Value(8 * HOUR, "", NOW)), "activity in a kernel or terminal 8 hours"),
)
def test_activity_is_what_the_publisher_of_the_idle_time_saw(candidate: StudioApp, what: str) -> None:
    assert f"the last sign of use was {what}" in judged(candidate).reason


def test_evidence_says_when_a_remote_editor_began() -> None:
    seen = shown(judged(app(remote=True, session=Value(NOW - 3 * HOUR))))

    assert seen["last session of a remote editor"] == "2026-10-06T00:00:00Z"


# --- Studio's own idle shutdown ---------------------------------------------------------------


def idle(kind: str = "JupyterLab", **settings: Any) -> dict[str, Any]:
    return {f"{kind}AppSettings": {"AppLifecycleManagement": {"IdleSettings": settings}}}


def test_the_stream_of_an_app_in_a_space_is_by_the_space() -> None:
    assert app().stream == "d-1/desk/JupyterLab/default"
    assert replace(app(), space=None).stream == "d-1/anna/JupyterLab/default"


SPACE = "arn:aws:sagemaker:us-east-1:123456789012:space/d-1"
OF_APP = "arn:aws:sagemaker:us-east-1:123456789012:app/d-1/desk/jupyterlab/default"


def session(hours: int, arn: str | None, **given: Any) -> TrailEvent:
    usual: dict[str, Any] = {"name": "StartSession", "user": "anna", "succeeded": True, "identity": {}}
    usual |= {"resources": frozenset(), "source": "sagemaker.amazonaws.com"}
    request = {"resourceIdentifier": arn} if arn else {}
    return TrailEvent(**usual | {"at": NOW - hours * HOUR, "request": request} | given)


@cases(
    "event, counts",
    (session(1, f"{SPACE}/desk"), True),
    (session(1, f"{SPACE}/Desk"), True),
    (session(1, OF_APP), True),
    (session(1, None, resources=frozenset({f"{SPACE}/desk"})), True),
    (session(1, None), True),  # CloudTrail leaves out what it must not show: any space may be meant
    (session(1, f"{SPACE}/desk-2"), False),
    (session(1, f"{SPACE[:-1]}2/desk"), False),
    (session(1, f"{SPACE}/desk", succeeded=False), False),
    (session(1, f"{SPACE}/desk", source="ssm.amazonaws.com"), False),
)
def test_a_session_counts_for_the_space_that_it_names(event: TrailEvent, *, counts: bool) -> None:
    listing = Listing((session(5, f"{SPACE}/desk"), event))

    began = of_type(Value, idle_studio_apps.newest_session(listing, app(remote=True)))

    assert began.value == NOW - (1 if counts else 5) * HOUR


def test_a_broken_off_trail_can_show_a_session_but_not_that_there_is_none() -> None:
    broken = Listing((session(1, f"{SPACE}/other"),), "LookupEvents broke off")
    seen = replace(broken, items=(session(1, f"{SPACE}/desk"),))

    assert isinstance(idle_studio_apps.newest_session(broken, app(remote=True)), Unreadable)
    assert idle_studio_apps.newest_session(replace(broken, error=None), app(remote=True)) == Absent(
        "cloudtrail:LookupEvents"
    )
    assert idle_studio_apps.newest_session(seen, app(remote=True)) == Value(
        NOW - HOUR, "cloudtrail:LookupEvents", NOW - HOUR
    )


def test_a_likely_finding_says_what_would_prove_it_and_what_would_do_instead() -> None:
    found = of_type(Finding, IdleStudioApps().decide(app(), NOW))

    assert found.to_prove == "let its space publish its idle time (janitor docs notebook-activity)"
    seen = {one.signal: one.value for one in found.evidence}
    assert seen["what would prove it"] == found.to_prove
    assert seen["what would do without this"] == "Studio's own idle shutdown would stop it from inside"


@cases(
    "signals, step",
    ({"idle": Value(8 * HOUR, "", NOW - MINUTE), "shutdown": Value(HOUR)}, "its own idle time says so"),
    ({**NOT_LAB, "space": None}, "nothing shows use, but a kernel may compute"),
)
def test_nothing_is_advised_that_would_not_help(signals: dict[str, Any], step: str) -> None:
    found = of_type(Finding, IdleStudioApps().decide(app(**signals), NOW))

    assert (found.to_prove, step in found.steps) == ("", True)
    assert not {"what would prove it", "what would do without this"} & {one.signal for one in found.evidence}


def test_where_the_idle_time_of_an_app_is_published() -> None:
    lab, of_canvas = _metric(app()), _metric(canvas(HOUR))

    assert lab is not None
    assert (lab.name, dict(lab.dimensions)) == ("IdleSeconds", {"DomainId": "d-1", "SpaceName": "desk"})
    assert dict(not_none(of_canvas).dimensions) == {"DomainId": "d-1", "UserProfileName": "anna"}
    assert _metric(app(space=None)) is None
    assert _metric(canvas(HOUR, profile=None)) is None


def test_what_has_been_quiet_for_exactly_so_long_is_read_on() -> None:
    quiet = app(activity=Value(NOW - 4 * HOUR), log=NotRead())

    assert IdleStudioApps()._open([quiet, app(activity=Value(NOW - HOUR))], NOW) == [quiet]


def test_what_runs_on_nobody_knows_what_has_no_price() -> None:
    assert [_price(cast("Aws", None), each) for each in (app(instance_type=None), canvas(HOUR))] == [
        Price(None, "nothing says which instance it runs on"),
        Price(None, "Canvas is billed by the session, which no instance price tells"),
    ]


@pytest.mark.parametrize("kind", ["RSessionGateway", "TensorBoard", "DetailedProfiler"])
def test_other_apps_on_billed_instances_are_only_reported(kind: str) -> None:
    found = of_type(Finding, IdleStudioApps().decide(app(type=kind, space=None, shutdown=NotRead()), NOW))

    assert found.confidence is Confidence.LIKELY
    assert found.spared == "nothing shows whether somebody uses an app of this type but its log"
    assert not_none(found.cost).known


@cases(
    "space, sharing, hours, remote",
    ("desk", "Private", 3, True),
    ("desk", "Shared", 2, True),
    (None, "", 3, False),
)
def test_a_private_space_has_the_idle_shutdown_of_its_owner_and_a_shared_one_that_of_spaces(
    space: str | None, sharing: str, hours: int, *, remote: bool
) -> None:
    def settings(hours: int) -> dict[str, Any]:
        idle = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 60 * hours}
        return {"JupyterLabAppSettings": {"AppLifecycleManagement": {"IdleSettings": idle}}}

    script = Script(
        {
            "sagemaker:DescribeDomain": Torn(
                DomainId="d-1", DefaultUserSettings=settings(1), DefaultSpaceSettings=settings(2)
            ),
            "sagemaker:DescribeUserProfile": Torn(DomainId="d-1", UserSettings=settings(3)),
            "sagemaker:DescribeSpace": Torn(
                DomainId="d-1",
                SpaceSharingSettings={"SharingType": sharing},
                OwnershipSettings={"OwnerUserProfileName": "owner"},
                SpaceSettings={"RemoteAccess": "ENABLED"},
            ),
        }
    )

    (found,) = read_own_shutdown(script.aws(), [app(space=space)])

    assert (of_type(Value, found.shutdown).value, found.remote) == (hours * HOUR, remote)
    owners = [asked["UserProfileName"] for asked in script.asked("sagemaker:DescribeUserProfile")]
    assert owners == {"Private": ["owner"], "Shared": [], "": ["anna"]}[sharing]
