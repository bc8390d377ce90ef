"""The decide table of unused-mlflow-servers, and its reading: of scripted answers, and of the sandbox."""

import json
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, HOUR, NOW, REGION, SECOND
from fakes import target_at
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import NewestObject
from ml_janitor.core.model import Absent, Confidence, Finding, NotRead, Unreadable, Value
from ml_janitor.detectors.unused_mlflow_servers import MlflowServer, UnusedMlflowServers
from ml_janitor_sandbox.control import Control
from narrowing import of_type
from scripted import DENIED, Refusal, Script, Torn
from tables import cases
from verdicts import expect_verdict, shown, word

SINCE = NOW - 14 * DAY
TRAIL, OBJECTS = "cloudtrail:LookupEvents", "s3:ListObjectsV2"
DESCRIBE = "sagemaker:DescribeMlflowTrackingServer"
OPENED, STARTED = "CreatePresignedMlflowTrackingServerUrl", "StartMlflowTrackingServer"


def wrote(at: datetime) -> Value[NewestObject]:
    return Value(NewestObject("s3://b/mlflow/1/a/artifacts/model.pkl", at))


def server(*, created: datetime | None = SINCE, **members: Any) -> MlflowServer:
    """A server that was made two weeks ago, and that nobody has used since."""
    known: dict[str, Any] = {
        "status": "Created",
        "active": "Active",
        "size": "Small",
        "called": Absent(TRAIL),
        "stored": Value(None, OBJECTS),
    }
    return MlflowServer(target=target_at("mlflow-tracking-server/runs", created), **known | members)


@cases(
    "candidate, verdict, reason",
    (server(), "likely", "nobody opened or started it, and nothing was stored below its artifact store"),
    (server(active="Inactive"), "likely", "nobody opened"),
    *(
        (server(status=status), "likely", "for 14 days")
        for status in (
            *("Started", "Updated", "UpdateFailed", "StopFailed"),
            *("MaintenanceInProgress", "MaintenanceComplete", "MaintenanceFailed"),
        )
    ),
    *(
        (server(status=status), "kept", f"its status is {status}")
        for status in ("Creating", "CreateFailed", "Stopping", "Stopped", "Starting", "Deleting")
    ),
    (server(created=SINCE + SECOND), "kept", "younger than 14 days"),
    (server(created=None), "kept", "younger than 14 days"),
    (server(called=Value(NOW - 3 * DAY)), "kept", "somebody opened or started it 3 days ago"),
    (server(called=Unreadable("denied")), "unknown", "opened it could not be read (denied)"),
    (server(stored=wrote(SINCE + SECOND)), "kept", "it stored an artifact 13 days ago"),
    (server(stored=wrote(SINCE)), "likely", "nothing was stored"),
    (server(stored=Unreadable("denied")), "unknown", "stored anything in it could not be read (denied)"),
    (server(stored=NotRead()), "unknown", "stored anything in it could not be read (not read)"),
    (server(called=Unreadable("x"), stored=wrote(NOW)), "kept", "it stored an artifact"),
    (server(called=Unreadable("x"), stored=wrote(SINCE)), "unknown", "opened it could not be read (x)"),
)
def test_unused_mlflow_servers(candidate: MlflowServer, verdict: str, reason: str) -> None:
    expect_verdict(UnusedMlflowServers().decide(candidate, NOW), verdict, reason)


def test_what_the_finding_says() -> None:
    decided = of_type(Finding, UnusedMlflowServers().decide(server(stored=wrote(SINCE)), NOW))
    bare = UnusedMlflowServers().decide(server(size=""), NOW)

    assert decided.confidence is Confidence.LIKELY
    assert decided.cost
    assert (decided.cost.known, decided.cost.source) == (
        False,
        "no price list of tracking servers is known here",
    )
    assert decided.action == (
        "stop the tracking server (start-mlflow-tracking-server turns it on again):"
        " aws sagemaker stop-mlflow-tracking-server --tracking-server-name runs"
    )
    assert (decided.noun, decided.to_prove) == (
        "unused MLflow server",
        "that no client logs to it, such as by the start times that its own SearchRuns returns",
    )
    assert shown(decided) == {
        "status": "Created",
        "IsActive": "Active",
        "size": "Small",
        "opened or started": "none",
        "newest artifact": "s3://b/mlflow/1/a/artifacts/model.pkl, 2026-09-22",
    }
    assert (shown(bare)["size"], shown(bare)["newest artifact"]) == ("unknown", "none")
    assert shown(UnusedMlflowServers().decide(server(status="Stopped"), NOW)) == {
        "status": "Stopped",
        "IsActive": "Active",
    }


def test_cloudtrail_keeps_ninety_days() -> None:
    patient = UnusedMlflowServers(idle_for=90 * DAY)

    assert word(patient.decide(server(), NOW)) == "kept"
    assert word(patient.decide(server(created=NOW - 90 * DAY), NOW)) == "likely"
    with pytest.raises(ValueError, match="idle_for: CloudTrail keeps events for 90 days"):
        UnusedMlflowServers(idle_for=90 * DAY + SECOND)


# --- reading --------------------------------------------------------------------------------------


def listed(name: str = "runs", **members: Any) -> dict[str, Any]:
    known = {
        "TrackingServerArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:mlflow-tracking-server/{name}",
        "TrackingServerName": name,
        "CreationTime": NOW - 40 * DAY,
        "TrackingServerStatus": "Created",
        "IsActive": "Inactive",
    }
    return {member: value for member, value in (known | members).items() if value is not None}


def event(name: str, request: dict[str, Any], ago: timedelta = HOUR, **members: Any) -> dict[str, Any]:
    detail = {"requestParameters": request} | members
    return {"EventName": name, "EventTime": NOW - ago, "CloudTrailEvent": json.dumps(detail)}


DESCRIBED = {
    "CreationTime": NOW - 40 * DAY,
    "ArtifactStoreUri": "s3://b/mlflow",
    "TrackingServerSize": "Medium",
}


def read(*servers: dict[str, Any], **answers: Any) -> tuple[list[MlflowServer], Script]:
    """What is read of *servers*, where *answers* are by operation."""
    services = {"LookupEvents": "cloudtrail", "ListObjectsV2": "s3"}
    known: dict[str, Any] = {
        "ListMlflowTrackingServers": {"TrackingServerSummaries": [*servers]},
        "DescribeMlflowTrackingServer": DESCRIBED,
        "LookupEvents": {"Events": []},
        "ListObjectsV2": {"KeyCount": 0, "IsTruncated": False},
    } | answers
    script = Script(
        {f"{services.get(operation, 'sagemaker')}:{operation}": answer for operation, answer in known.items()}
        | {"resourcegroupstaggingapi:GetResources": {"ResourceTagMappingList": []}}
    )
    return list(UnusedMlflowServers().find(script.aws(), NOW)), script


def of(wanted: str, *events: dict[str, Any]) -> Any:
    """Answer look-ups of the call *wanted* with *events*."""

    def answer(asked: Any) -> Any:
        name = asked["LookupAttributes"][0]["AttributeValue"]
        return {"Events": [*events] if name == wanted else []}

    return answer


NO = "AccessDeniedException: denied"
NEVER = Absent(TRAIL)


@cases(
    "answer, called",
    (of(OPENED, event(OPENED, {"trackingServerName": "runs"})), Value(NOW - HOUR, TRAIL, NOW - HOUR)),
    (of(STARTED, event(STARTED, {"trackingServerName": "runs"})), Value(NOW - HOUR, TRAIL, NOW - HOUR)),
    (of(OPENED, event(OPENED, {"trackingServerName": "runs-2"})), NEVER),
    (of(OPENED, event(OPENED, {})), Value(NOW - HOUR, TRAIL, NOW - HOUR)),
    (of(OPENED, event(OPENED, {"trackingServerName": "runs"}, errorCode="AccessDenied")), NEVER),
    (DENIED, Unreadable(f"{TRAIL} broke off after 0: LookupEvents: {NO}", TRAIL)),
)
def test_a_call_about_it_is_found_by_its_name(answer: Any, called: Any) -> None:
    ((found,), script) = read(listed(), LookupEvents=answer)

    assert found.called == called
    assert isinstance(found.stored, NotRead) is isinstance(called, Value)
    assert [asked["StartTime"] for asked in script.asked("cloudtrail:LookupEvents")] == [SINCE] * 2
    assert {asked["LookupAttributes"][0]["AttributeValue"] for asked in script.asked(TRAIL)} == {
        OPENED,
        STARTED,
    }


MODEL = {"Key": "mlflow/1/a/model.pkl", "LastModified": NOW - 20 * DAY, "Size": 1}


NEWEST = NOW - 20 * DAY
SERVER = "DescribeMlflowTrackingServer"
NO_STORE = Unreadable("its artifact store is unknown", DESCRIBE)


@cases(
    "operation, answer, stored, size",
    ("", None, Value(None, OBJECTS), "Medium"),
    (
        "ListObjectsV2", {"KeyCount": 1, "Contents": [MODEL], "IsTruncated": False},
        Value(NewestObject("s3://b/mlflow/1/a/model.pkl", NEWEST), OBJECTS, NEWEST), "Medium",
    ),
    ("ListObjectsV2", DENIED, Unreadable(f"s3://b/mlflow/: ListObjectsV2: {NO}", OBJECTS), "Medium"),
    (SERVER, DENIED, Unreadable(f"mlflow tracking server runs: {SERVER}: {NO}", DESCRIBE), ""),
    (SERVER, Refusal("ResourceNotFound"), NO_STORE, ""),
    (SERVER, Torn({"CreationTime": NOW}), NO_STORE, ""),
    (SERVER, DESCRIBED | {"TrackingServerSize": "Large"}, Value(None, OBJECTS), "Large"),
)  # fmt: skip
def test_the_newest_artifact_is_below_its_store(operation: str, answer: Any, stored: Any, size: str) -> None:
    ((found,), script) = read(listed(), **({operation: answer} if operation else {}))

    assert (found.stored, found.size) == (stored, size)
    for asked in script.asked("s3:ListObjectsV2"):
        assert (asked["Bucket"], asked["Prefix"]) == ("b", "mlflow/")


@cases("uri, prefix", ("s3://b", ""), ("s3://b/", ""), ("s3://b/a/b/", "a/b/"), ("s3://b/a", "a/"))
def test_a_store_is_a_folder_or_a_bucket(uri: str, prefix: str) -> None:
    _, script = read(listed(), DescribeMlflowTrackingServer=DESCRIBED | {"ArtifactStoreUri": uri})

    assert [asked["Prefix"] for asked in script.asked("s3:ListObjectsV2")] == [prefix]


def test_servers_that_are_off_or_young_cost_no_further_call() -> None:
    found, script = read(
        listed(TrackingServerStatus="Stopped"), listed("new", CreationTime=NOW, IsActive=None)
    )

    assert [(each.status, each.active) for each in found] == [("Stopped", "Inactive"), ("Created", "unknown")]
    assert found[0].target.tags == Value({}, "tag:GetResources")
    assert {operation for operation, _ in script.calls} == {
        "sagemaker:ListMlflowTrackingServers",
        "resourcegroupstaggingapi:GetResources",
    }


def test_the_trail_is_read_once_for_all_servers(box: Control, aws: Aws, session: boto3.Session) -> None:
    """Over HTTP, with one entry to a page: the sandbox's own events name a server as CloudTrail does."""
    sagemaker: Any = session.client("sagemaker")
    session.client("s3").create_bucket(Bucket="artifacts")
    box.set_durations({"*": 0})
    for name in ("a", "b", "c"):
        with box.at(NOW - 30 * DAY):
            sagemaker.create_mlflow_tracking_server(
                TrackingServerName=name,
                ArtifactStoreUri=f"s3://artifacts/{name}",
                RoleArn=f"arn:aws:iam::{ACCOUNT}:role/ml",
            )
    with box.at(NOW - DAY):
        sagemaker.create_presigned_mlflow_tracking_server_url(TrackingServerName="b")
        session.client("s3").put_object(Bucket="artifacts", Key="c/1/a/model.pkl", Body=b"weights")
    box.set_pages(1)
    box.clear_calls()

    found = {each.target.name: each for each in UnusedMlflowServers().find(aws, NOW)}

    judged = {name: UnusedMlflowServers().decide(each, NOW) for name, each in found.items()}
    assert {name: (word(verdict), verdict.reason[:24]) for name, verdict in judged.items()} == {
        "a": ("likely", "nobody opened or started"),
        "b": ("kept", "somebody opened or start"),
        "c": ("kept", "it stored an artifact 24"),
    }
    assert box.calls() == {
        "sagemaker:ListMlflowTrackingServers": 3,
        "tag:GetResources": 1,
        "cloudtrail:LookupEvents": 2,
        "sagemaker:DescribeMlflowTrackingServer": 2,
        "s3:ListObjectsV2": 2,
    }


def test_the_sandbox_makes_a_server_in_minutes(paced: Control, session: boto3.Session) -> None:
    sagemaker: Any = session.client("sagemaker")
    sagemaker.create_mlflow_tracking_server(
        TrackingServerName="a", ArtifactStoreUri="s3://b", RoleArn=f"arn:aws:iam::{ACCOUNT}:role/ml"
    )
    creating = sagemaker.describe_mlflow_tracking_server(TrackingServerName="a")
    paced.set_clock(paced.clock() + timedelta(minutes=25))
    created = sagemaker.describe_mlflow_tracking_server(TrackingServerName="a")

    assert [each["TrackingServerStatus"] for each in (creating, created)] == ["Creating", "Created"]
    assert (created["TrackingServerSize"], created["IsActive"]) == ("Small", "Active")
    with pytest.raises(sagemaker.exceptions.ClientError, match="do not know CreatedAfter, SortBy"):
        sagemaker.list_mlflow_tracking_servers(CreatedAfter=NOW, SortBy="Name")
