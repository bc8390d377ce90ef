"""Studio apps against the sandbox: what is read, how often, and what is made of it."""

from dataclasses import replace
from datetime import timedelta

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import Aws
from ml_janitor.aws.studio_apps import StudioApp
from ml_janitor.core.model import Confidence, Effect, Finding, Kept, Target, Unreadable, Value
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.detectors.idle_studio_apps import IdleStudioApps
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from standin import ARMED, Nights
from studio_seed import DAY, GROUP, HOUR, MINUTE, Studio
from verdicts import only, shown, sweep_once, word

OWNERS = RunPolicy(owner_tags=("owner",))


@pytest.fixture
def studio(box: Control, session: boto3.Session) -> Studio:
    made = Studio(box, session)
    made.space("desk", made.profile("anna"))
    return made


def swept(aws: Aws) -> Sweep:
    return sweep_once(IdleStudioApps(), aws, policy=OWNERS)


def reason(result: Result) -> str:
    return of_type(Kept, result.verdict).reason


@pytest.mark.parametrize("kind", ["JupyterLab", "CodeEditor"])
def test_an_app_is_the_same_whether_it_could_be_described_or_not(
    studio: Studio, session: boto3.Session, table: Table, aws: Aws, kind: str
) -> None:
    """AWS writes the one type in the ARN as it is, and the other in lower case."""
    nights = Nights(table, session, aws, IdleStudioApps())
    nights.arming = replace(ARMED, effect=Effect.STOP, act_on=Confidence.LIKELY)
    studio.app(space="desk", kind=kind)
    (warned,) = nights.sweep().report.results
    assert warned.outcome is Outcome.WARNED
    studio.box.fault("sagemaker", "DescribeApp", "throttle", times=0)
    nights.clock += HOUR

    (unread,) = nights.sweep().report.results

    assert word(unread) == "unknown"
    assert unread.target.key == warned.target.key
    (entry,) = nights.ledger.entries(nights.detector.name, ACCOUNT, REGION)
    assert (entry.closed, entry.due) == (None, warned.due)


@pytest.mark.parametrize("access", ["ENABLED", "DISABLED"])
def test_a_space_for_editors_elsewhere_needs_the_trail(studio: Studio, aws: Aws, access: str) -> None:
    studio.space("far", "anna", {"AppType": "CodeEditor", "RemoteAccess": access})
    studio.app(space="far", kind="CodeEditor")
    studio.box.fault("cloudtrail", "LookupEvents", "deny", times=0)

    assert (word(only(swept(aws))) == "unknown") is (access == "ENABLED")
    assert ("cloudtrail:LookupEvents" in studio.box.calls()) is (access == "ENABLED")


@pytest.mark.parametrize("named", ["space", "app"])
@pytest.mark.parametrize(("ago", "kept"), [(16 * HOUR - MINUTE, True), (16 * HOUR, False)])
def test_a_remote_session_is_use(studio: Studio, aws: Aws, ago: timedelta, named: str, *, kept: bool) -> None:
    studio.space("far", "anna", {"AppType": "CodeEditor", "RemoteAccess": "ENABLED"})
    studio.app(space="far", kind="CodeEditor", active=20 * HOUR, wrote=20 * HOUR)
    path = f"{studio.domain}/far" + ("/codeeditor/default" if named == "app" else "")
    with studio.box.at(NOW - ago):
        studio.sagemaker.start_session(
            ResourceIdentifier=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{named}/{path}"
        )

    result = only(swept(aws))

    assert isinstance(result.verdict, Kept) is kept
    assert word(result) != "unknown"
    again = not_none(IdleStudioApps().look(aws, result.target, NOW))
    assert isinstance(IdleStudioApps().decide(again, NOW), Kept) is kept


@pytest.mark.parametrize(("ago", "kept"), [(24 * HOUR - MINUTE, True), (24 * HOUR, False)])
def test_a_session_lasts_until_the_shutdown(studio: Studio, aws: Aws, ago: timedelta, *, kept: bool) -> None:
    """Six hours after a session's end it stops the app, and gets twice that: earlier ones matter too."""
    idle = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 360}
    own = {"CodeEditorAppSettings": {"AppLifecycleManagement": {"IdleSettings": idle}}}
    anna = {"DomainId": studio.domain, "UserProfileName": "anna"}
    studio.sagemaker.update_user_profile(**anna, UserSettings=own)
    studio.space("far", "anna", {"AppType": "CodeEditor", "RemoteAccess": "ENABLED"})
    studio.app(space="far", kind="CodeEditor", active=60 * HOUR, wrote=60 * HOUR)
    with studio.box.at(NOW - ago):
        studio.sagemaker.start_session(
            ResourceIdentifier=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:space/{studio.domain}/far"
        )

    assert isinstance(only(swept(aws)).verdict, Kept) is kept


def test_an_app_left_running_is_found(studio: Studio, aws: Aws) -> None:
    studio.app(space="desk", owner="maria")

    result = only(swept(aws))

    assert isinstance(result.verdict, Finding)
    assert (
        result.target.arn
        == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:app/{studio.domain}/desk/jupyterlab/default"
    )
    assert result.target.name == "desk/JupyterLab/default"
    assert result.owner == "maria"
    assert result.verdict.confidence == "likely"
    assert result.verdict.since == NOW - 9 * HOUR
    assert not_none(result.verdict.cost).known
    assert shown(result)["user profile"] == "anna"
    assert shown(result)["instance type"] == "ml.g5.xlarge"


def test_the_reserved_capacity_of_a_training_plan_is_paid_for_in_any_case(studio: Studio, aws: Aws) -> None:
    key = studio.app(space="desk")
    spec = {
        "InstanceType": "ml.g5.xlarge",
        "TrainingPlanArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-plan/p",
    }
    studio.box.patch("sagemaker", ["apps", f"{key['DomainId']}/desk/JupyterLab/default"], ResourceSpec=spec)

    studio.box.clear_calls()

    assert reason(only(swept(aws))).startswith("it runs on the reserved capacity of a training plan")
    assert "sagemaker:DescribeApp" not in studio.box.calls()


def test_the_log_of_a_lifecycle_script_or_another_app_is_not_its_own(studio: Studio, aws: Aws) -> None:
    studio.app(space="desk")
    for other in ("desk/JupyterLab/default/LifecycleConfigOnStart", "desk-2/JupyterLab/default"):
        studio.box.logs(GROUP, f"{studio.domain}/{other}", [(NOW - MINUTE, "done")])

    assert isinstance(only(swept(aws)).verdict, Finding)


# --- Canvas -----------------------------------------------------------------------------------


def test_a_negative_idle_time_is_none(studio: Studio, aws: Aws) -> None:
    studio.app(profile="anna", kind="Canvas", instance=None)
    studio.canvas_says("anna", timedelta(seconds=-600))

    assert reason(only(swept(aws))).startswith(
        "the last sign of use was activity that Canvas saw 2 minutes ago"
    )


# --- tags -------------------------------------------------------------------------------------


def test_without_a_tag_of_its_own_the_space_s_owner_is_named_and_said_so(studio: Studio, aws: Aws) -> None:
    studio.profile("ben", owner="ben@example.com")
    studio.space("lab", "ben")
    studio.app(space="lab")

    result = only(swept(aws))

    assert result.owner == "ben@example.com"
    assert shown(result)["tags of its user profile"] == "owner"
    assert shown(result)["user profile"] == "ben"


# --- what it costs ----------------------------------------------------------------------------


def test_an_active_account_costs_four_calls_and_an_idle_app_two_more(studio: Studio, aws: Aws) -> None:
    for number in range(20):
        studio.app(profile="anna", name=f"active-{number}", wrote=20 * MINUTE)
    studio.app(space="desk", wrote=20 * MINUTE)
    studio.box.clear_calls()
    swept(aws)
    active = {
        "sagemaker:ListApps": 1,
        "sagemaker:ListSpaces": 1,
        "tag:GetResources": 1,
        "logs:DescribeLogStreams": 1,
    }
    assert studio.box.calls() == active

    for number in range(10):
        studio.app(profile="anna", name=f"idle-{number}")
    studio.box.clear_calls()
    assert swept(aws).found == 10
    assert studio.box.calls() == active | {
        "sagemaker:DescribeApp": 10,
        "logs:GetLogEvents": 10,
        "sagemaker:DescribeDomain": 1,
        "sagemaker:DescribeUserProfile": 1,
        "pricing:GetProducts": 2,
    }


# --- looking at one again ---------------------------------------------------------------------


def target_of(aws: Aws) -> Target:
    return next(IdleStudioApps().find(aws, NOW)).target


def looked(aws: Aws, target: Target) -> StudioApp:
    return not_none(IdleStudioApps().look(aws, target, NOW))


def test_an_arn_alone_is_enough_in_any_case(studio: Studio, aws: Aws) -> None:
    studio.space("Lab", "anna")
    studio.app(space="Lab")
    arn = target_of(aws).arn
    bare = Target(arn=arn.lower(), name="", kind="", account=ACCOUNT, region=REGION, created=None)

    assert looked(aws, bare).space == "Lab"


def test_looking_again_finds_the_log_under_another_spelling_of_the_space(studio: Studio, aws: Aws) -> None:
    studio.space("Lab", "anna")
    studio.app(space="Lab", active=20 * HOUR, wrote=None)
    path = f"{studio.domain}/lab/JupyterLab/default"
    studio.box.logs(GROUP, path, [(NOW - 20 * MINUTE, "Saving file at /eda.ipynb")])

    app = looked(aws, target_of(aws))

    assert isinstance(app.log, Value)
    assert app.log.value == NOW - 20 * MINUTE
    assert isinstance(IdleStudioApps().decide(app, NOW), Kept)


def test_a_deleted_one_is_kept_as_that_and_after_a_day_it_is_gone(studio: Studio, aws: Aws) -> None:
    key = studio.app(space="desk")
    target = target_of(aws)
    studio.sagemaker.delete_app(**key)
    studio.box.clear_calls()

    assert looked(aws, target).status == "Deleted"
    assert studio.box.calls() == {"sagemaker:ListApps": 1}
    studio.box.set_clock(NOW + DAY)
    assert IdleStudioApps().look(aws, target, NOW + DAY) is None


def test_of_a_user_and_a_space_of_one_name_the_one_of_that_time_is_seen(studio: Studio, aws: Aws) -> None:
    studio.app(profile="anna", age=20 * DAY)
    target = target_of(aws)
    studio.app(space="desk", age=10 * DAY)
    path = f"{studio.domain}/desk/JupyterLab/default"
    studio.box.patch("sagemaker", ["apps", path], SpaceName="anna")  # now both have the same ARN

    again = looked(aws, target)

    assert (again.profile, again.space) == ("anna", None)


def test_an_app_that_goes_while_it_is_looked_at_is_kept(studio: Studio, aws: Aws) -> None:
    studio.app(space="desk")
    studio.box.fault("sagemaker", "DescribeApp", "error", times=0, code="ResourceNotFound", status=400)

    assert reason(only(swept(aws))) == "its status is Deleted, not InService"


def test_unreadable_tags_of_its_user_profile_are_unreadable_tags(studio: Studio, aws: Aws) -> None:
    studio.app(space="desk")
    target = target_of(aws)
    studio.box.fault("sagemaker", "ListTags", "deny", times=0, match="user-profile")

    assert isinstance(looked(aws, target).target.tags, Unreadable)
