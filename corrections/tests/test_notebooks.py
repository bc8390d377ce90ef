import datetime as dt
from typing import Any

import pytest
from botocore.exceptions import ClientError

import plain_requests
from corrected import NOW, Control
from plain_requests import refusal

DAY = dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture(autouse=True)
def notebook(control: Control, sagemaker: Any) -> None:
    control.set_clock(NOW - 9 * DAY)
    plain_requests.notebook(sagemaker, "nb", LifecycleConfigName="auto-stop")
    control.set_clock(NOW)


def listed(sagemaker: Any, **filters: Any) -> list[str]:
    found = sagemaker.list_notebook_instances(**filters)["NotebookInstances"]
    return [one["NotebookInstanceName"] for one in found]


def test_times_and_lifecycle_configurations_filter(sagemaker: Any) -> None:
    assert listed(sagemaker, LastModifiedTimeBefore=NOW - 8 * DAY) == ["nb"]
    assert listed(sagemaker, LastModifiedTimeBefore=NOW - 10 * DAY) == []
    assert listed(sagemaker, CreationTimeAfter=NOW - 8 * DAY) == []
    assert listed(sagemaker, NotebookInstanceLifecycleConfigNameContains="auto") == ["nb"]
    assert listed(sagemaker, NotebookInstanceLifecycleConfigNameContains="other") == []
    assert listed(sagemaker, StatusEquals="Stopped") == []


def status(sagemaker: Any) -> tuple[str, dt.datetime]:
    found = sagemaker.describe_notebook_instance(NotebookInstanceName="nb")
    return found["NotebookInstanceStatus"], found["LastModifiedTime"]


def test_stopping_and_starting_take_time_and_move_the_last_change(sagemaker: Any, control: Control) -> None:
    sagemaker.stop_notebook_instance(NotebookInstanceName="nb")
    assert status(sagemaker) == ("Stopping", NOW)
    with pytest.raises(ClientError, match=r"Status \(Stopping\) not in \(\[InService\]\)"):
        sagemaker.stop_notebook_instance(NotebookInstanceName="nb")
    with pytest.raises(ClientError, match=r"Status \(Stopping\) not in \(\[Stopped, Failed\]\)"):
        sagemaker.start_notebook_instance(NotebookInstanceName="nb")
    control.set_clock(NOW + DAY)
    assert status(sagemaker) == ("Stopped", NOW + 1.5 * MINUTE)
    with pytest.raises(ClientError, match=r"Status \(Stopped\) not in \(\[InService\]\)"):
        sagemaker.stop_notebook_instance(NotebookInstanceName="nb")
    sagemaker.start_notebook_instance(NotebookInstanceName="nb")
    assert status(sagemaker) == ("Pending", NOW + DAY)
    control.set_clock(NOW + DAY + 3 * MINUTE)
    assert status(sagemaker) == ("InService", NOW + DAY + 3 * MINUTE)


def test_only_a_stopped_one_is_changed(sagemaker: Any, control: Control) -> None:
    with pytest.raises(ClientError, match=r"not in \(\[Stopped, Failed\]\)"):
        sagemaker.update_notebook_instance(NotebookInstanceName="nb", InstanceType="ml.t3.medium")
    sagemaker.stop_notebook_instance(NotebookInstanceName="nb")
    control.set_clock(NOW + 2 * MINUTE)
    sagemaker.update_notebook_instance(
        NotebookInstanceName="nb", InstanceType="ml.g5.xlarge", DisassociateLifecycleConfig=True
    )
    found = sagemaker.describe_notebook_instance(NotebookInstanceName="nb")
    assert found["InstanceType"] == "ml.g5.xlarge"
    assert "NotebookInstanceLifecycleConfigName" not in found
    assert status(sagemaker)[0] == "Updating"
    control.set_clock(NOW + 3 * MINUTE)
    assert status(sagemaker)[0] == "Stopped"


def test_any_status_can_be_set(sagemaker: Any, control: Control) -> None:
    sagemaker.stop_notebook_instance(NotebookInstanceName="nb")
    control.patch("sagemaker", ["notebook_instances", "nb"], status="Failed")
    assert listed(sagemaker, StatusEquals="Failed") == ["nb"]
    control.set_clock(NOW + DAY)  # and nothing that was on its way comes after
    assert listed(sagemaker, StatusEquals="Failed") == ["nb"]


def test_only_a_stopped_one_is_deleted(sagemaker: Any, control: Control) -> None:
    with pytest.raises(ClientError, match=r"not in \(\[Stopped, Failed\]\)"):
        sagemaker.delete_notebook_instance(NotebookInstanceName="nb")
    sagemaker.stop_notebook_instance(NotebookInstanceName="nb")
    control.set_clock(NOW + 2 * MINUTE)
    sagemaker.delete_notebook_instance(NotebookInstanceName="nb")
    assert status(sagemaker)[0] == "Deleting"
    control.set_clock(NOW + 3 * MINUTE)
    assert "RecordNotFound" in refusal(sagemaker.describe_notebook_instance, NotebookInstanceName="nb")


def test_opening_one_leaves_an_event(aws: Any) -> None:
    opened = aws("sagemaker", key="maria").create_presigned_notebook_instance_url(NotebookInstanceName="nb")
    assert opened["AuthorizedUrl"].startswith("https://nb.notebook.us-east-1.sagemaker.aws?")
    by_name = [{"AttributeKey": "EventName", "AttributeValue": "CreatePresignedNotebookInstanceUrl"}]
    (event,) = aws("cloudtrail").lookup_events(LookupAttributes=by_name)["Events"]
    assert (event["Username"], event["EventTime"]) == ("maria", NOW)
    assert event["Resources"][0]["ResourceName"] == "nb"
