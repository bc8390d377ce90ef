"""Studio apps are deleted and created again, on a bad day too."""

from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, DAY, NOW, REGION
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.detectors.idle_studio_apps import IdleStudioApps
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor_sandbox.control import Control
from narrowing import not_none
from recorded_acts import RecordedAct, found, prepared
from studio_seed import Studio

LONG_ENOUGH = timedelta(minutes=10)
IMAGE = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:image/jupyter"
SCRIPT = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:studio-lifecycle-config/setup"
NAME = "desk/JupyterLab/default"


class Lab(Studio):
    """A private space with an idle JupyterLab in it, of an image and with a script of its own."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        super().__init__(box, session)
        self.space("desk", self.profile("anna"))
        stack: dict[str, Any] = {"aws:cloudformation:stack-name": "studio"}
        self.key = self.app(space="desk", team="nlp", **stack)
        path = f"{self.domain}/desk/JupyterLab/default"
        self.spec = {
            "InstanceType": "ml.g5.xlarge",
            "LifecycleConfigArn": SCRIPT,
            "SageMakerImageArn": IMAGE,
            "SageMakerImageVersionArn": f"{IMAGE}-version/3",
        }
        box.patch("sagemaker", ["apps", path], ResourceSpec=self.spec, RecoveryMode=True)

    def wait(self) -> None:
        self.box.set_clock(self.box.clock() + LONG_ENOUGH)

    @property
    def now(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.sagemaker.describe_app(**self.key)
        return answer


@pytest.fixture
def lab(box: Control, session: boto3.Session) -> Lab:
    box.set_durations({"app.create": 120, "app.delete": 60})
    return Lab(box, session)


@pytest.fixture
def recorded(lab: Lab, aws: Aws) -> RecordedAct:  # noqa: ARG001 - it is what is found
    return prepared(IdleStudioApps(), aws, found(IdleStudioApps(), aws, NAME))


def test_all_that_creating_takes_is_known_before_anything_is_done(recorded: RecordedAct, lab: Lab) -> None:
    assert recorded.record == {
        **lab.key,
        "ResourceSpec": lab.spec,
        "RecoveryMode": True,
        "Tags": [{"Key": "team", "Value": "nlp"}],
    }
    assert lab.now["Status"] == "InService"
    assert not recorded.settled()


def test_without_its_tags_it_is_not_prepared(lab: Lab, aws: Aws) -> None:
    detector = IdleStudioApps()
    recorded = prepared(detector, aws, found(detector, aws, NAME))
    candidate = not_none(detector.look(aws, recorded.target, NOW))
    lab.box.fault("sagemaker", "ListTags", "deny", times=0)

    with pytest.raises(ReadError, match="AccessDenied"):
        detector.prepare(aws, candidate, {})


def test_one_that_no_longer_runs_is_not_prepared(lab: Lab, aws: Aws) -> None:
    detector = IdleStudioApps()
    candidate = not_none(detector.look(aws, found(detector, aws, NAME), NOW))
    lab.sagemaker.delete_app(**lab.key)

    with pytest.raises(CannotActError, match="its status is Deleting now"):
        detector.prepare(aws, candidate, {})


def test_it_is_deleted_and_created_again(recorded: RecordedAct, lab: Lab, session: boto3.Session) -> None:
    recorded.act()
    assert lab.now["Status"] == "Deleting"
    assert recorded.settled()

    with pytest.raises(NotFinishedError, match="still being deleted, which takes minutes"):
        recorded.undo()
    lab.wait()
    assert lab.now["Status"] == "Deleted"
    assert recorded.settled()

    recorded.undo()
    assert lab.now["Status"] == "Pending"
    recorded.undo()
    lab.wait()
    now = lab.now
    assert {member: now[member] for member in ("Status", "ResourceSpec", "RecoveryMode", "SpaceName")} == {
        "Status": "InService",
        "ResourceSpec": lab.spec,
        "RecoveryMode": True,
        "SpaceName": "desk",
    }
    own = session.client("sagemaker").list_tags(ResourceArn=now["AppArn"])["Tags"]
    assert own == [{"Key": "team", "Value": "nlp"}]


def test_it_comes_back_also_when_it_is_no_longer_listed(recorded: RecordedAct, lab: Lab) -> None:
    recorded.act()
    lab.box.set_clock(NOW + 5 * DAY)
    assert recorded.settled()

    recorded.undo()
    lab.wait()
    assert lab.now["Status"] == "InService"


def test_a_call_that_did_nothing_is_a_failure(recorded: RecordedAct, lab: Lab) -> None:
    lab.box.fault("sagemaker", "DeleteApp", "error", times=2, status=400, code="ResourceInUse")
    with pytest.raises(ClientError, match="ResourceInUse"):
        recorded.act()
    assert not recorded.settled()

    lab.box.clear_faults()
    recorded.act()
    lab.wait()
    lab.box.fault("sagemaker", "CreateApp", "error", status=400, code="ResourceLimitExceeded")
    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        recorded.undo()


def test_already_deleted_is_success(recorded: RecordedAct, lab: Lab) -> None:
    lab.sagemaker.delete_app(**lab.key)
    recorded.act()
    lab.wait()
    recorded.act()
    lab.box.set_clock(NOW + 5 * DAY)
    recorded.act()

    assert recorded.settled()


def test_another_one_of_its_name_stays_its_users_own(recorded: RecordedAct, lab: Lab) -> None:
    recorded.act()
    lab.wait()
    lab.sagemaker.create_app(**lab.key, ResourceSpec={"InstanceType": "ml.t3.medium"})
    lab.wait()

    assert recorded.settled()
    recorded.undo()
    assert lab.now["ResourceSpec"]["InstanceType"] == "ml.t3.medium"


def test_a_listing_that_broke_off_settles_nothing(recorded: RecordedAct, lab: Lab) -> None:
    lab.box.patch("sagemaker", ["apps", f"{lab.domain}/desk/JupyterLab/default"], Status="InService")
    lab.box.fault("sagemaker", "ListApps", "throttle", times=0)

    with pytest.raises(ReadError, match="broke off"):
        recorded.settled()


def test_an_app_of_a_user_profile_comes_back_to_it(lab: Lab, aws: Aws) -> None:
    lab.key = lab.app(profile="anna", kind="KernelGateway", name="gpu")
    recorded = prepared(IdleStudioApps(), aws, found(IdleStudioApps(), aws, "anna/KernelGateway/gpu"))
    assert "Tags" not in recorded.record

    recorded.act()
    lab.wait()
    recorded.undo()
    lab.wait()

    assert (lab.now["Status"], lab.now["UserProfileName"]) == ("InService", "anna")
