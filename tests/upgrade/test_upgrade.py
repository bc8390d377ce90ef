"""A deployment of an earlier version goes on under this one: nothing that it remembers is lost."""

import json
import lzma
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from conftest import ACCOUNT, REGION
from ml_janitor.core.model import finding_id
from ml_janitor.core.results import CauseCode, make_cause
from ml_janitor.ledger.causes import read_causes
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.signatures import KmsMacs, kms_signatures
from ml_janitor.ledger.table import Table
from ml_janitor_cli.main import main
from ml_janitor_cli.stack import DeployedStack, RegionServices, check_queues
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import KEYS, TABLE
from ml_janitor_sandbox.server import Sandbox
from ml_janitor_sandbox.stack import NAME, deploy, upload
from synthesis import synthesise
from upgrade.world import DETECTORS, HERE, RECORDED, World, lines, settings_of

FREE = RECORDED + timedelta(minutes=11)
"""When the lease of the sweep that was killed is over; what was warned about last is due later."""
LATER = FREE + timedelta(minutes=5)

type Outcomes = dict[str, dict[str, str]]


class Lived(NamedTuple):
    """What became of everything after two sweeps of each detector, and what Slack shows."""

    first: Outcomes
    second: Outcomes
    actions: dict[str, dict[str, Any]]
    findings: dict[str, dict[str, Any]]
    endpoints: list[str]
    posted: list[dict[str, Any]]
    messages: dict[str, dict[str, Any]]


@pytest.fixture
def unsigned(_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The deployment as it was left: its warnings have no signatures."""
    loaded = World(_sandbox.url, monkeypatch, tmp_path, RECORDED)
    loaded.load()
    monkeypatch.setattr(KmsMacs, "since", lambda _: RECORDED)  # the upgrade made the key
    return loaded


@pytest.fixture
def world(unsigned: World) -> World:
    """The deployment as if its warnings had been signed: what else of them is kept."""
    sign_warnings(unsigned)
    return unsigned


def sign_warnings(world: World) -> None:
    table = Table(world.client("dynamodb"), TABLE)
    ledger = Ledger(table, kms_signatures(world.client("kms"), KEYS))
    for entry in ledger.everywhere():
        if entry.warned is not None:
            table.change(entry.pk, entry.sk, set_to=ledger._mac(entry))


@pytest.fixture(scope="module")
def lived(_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    with pytest.MonkeyPatch.context() as patch:
        world = World(_sandbox.url, patch, tmp_path_factory.mktemp("upgrade"), RECORDED)
        world.load()
        sign_warnings(world)
        world.delivered = len(world.box.invocations())
        before = len(world.slack.messages())
        first = outcomes(world, FREE)
        world.deliver()
        second = outcomes(world, LATER)
        shown = world.slack.messages()
        yield Lived(
            first,
            second,
            {one["name"]: one for one in world.items("action")},
            {one["name"]: one for one in world.items("finding")},
            endpoints(world),
            shown[before:],
            {one["ts"]: one for one in shown},
        )


def outcomes(world: World, when: Any) -> Outcomes:
    """What one sweep of each detector says, by detector and name."""
    found = {}
    for detector in DETECTORS:
        world.at(max(when, world.now))
        found[detector] = {name: one["outcome"] for name, one in world.sweep(detector).items()}
    return found


def endpoints(world: World) -> list[str]:
    listed = world.session.client("sagemaker").list_endpoints(MaxResults=100)["Endpoints"]
    return sorted(one["EndpointName"] for one in listed if one["EndpointStatus"] == "InService")


def recorded(kind: str) -> dict[str, dict[str, str]]:
    """The recorded items of the table of one *kind*, by the name of their resource."""
    items = [one for one in lines("ledger") if one["pk"]["S"].startswith(f"{kind}#")]
    return {one["name"]["S"]: {key: str(*value.values()) for key, value in one.items()} for one in items}


# --- warnings that are not signed ---------------------------------------------------------------


def test_an_unsigned_warning_is_given_again_with_a_new_grace_and_its_message_says_so(unsigned: World) -> None:
    due = ("due", "due-too", "hurried")
    unsigned.at(FREE)
    first = unsigned.sweep("idle-endpoints")
    assert {first[name]["outcome"] for name in due} == {"waiting"}
    assert {*due} <= {*endpoints(unsigned)}
    before = len(unsigned.slack.messages())
    old = {one["message"] for name, one in recorded("finding").items() if name in due}

    unsigned.at(LATER)
    second = unsigned.sweep("idle-endpoints")

    assert {second[name]["outcome"] for name in due} == {"warned"}
    assert {*due} <= {*endpoints(unsigned)}
    findings = {one["name"]: one for one in unsigned.items("finding")}
    assert min(findings[name]["due"] for name in due) > f"{LATER + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    posted = {one["text"].partition(": ")[0] for one in unsigned.slack.messages()[before:]}
    assert posted >= {*due}
    for message in unsigned.slack.messages():
        if message["ts"] in old:
            assert "did not sign its warning" in json.dumps(message["blocks"])


# --- warnings and holds ---------------------------------------------------------------------------


def test_what_was_kept_snoozed_or_brought_back_is_still_held(lived: Lived) -> None:
    for name in ("kept", "snoozed", "undone", "withdrawn"):
        assert [swept["idle-endpoints"][name] for swept in (lived.first, lived.second)] == ["kept", "kept"]
        assert name in lived.endpoints


def test_a_warning_is_honoured_to_the_minute_that_it_names(lived: Lived) -> None:
    assert {lived.first["idle-endpoints"][name] for name in ("due", "due-too")} == {"acted"}
    due = [one["due"] for name, one in recorded("finding").items() if "waiting" in name]
    assert f"{FREE:%Y-%m-%dT%H:%M:%SZ}" < min(due) <= max(due) <= f"{LATER:%Y-%m-%dT%H:%M:%SZ}"
    waiting = [
        (detector, lived.first[detector][name], lived.second[detector][name])
        for detector in DETECTORS
        for name, outcome in lived.first[detector].items()
        if "waiting" in name and outcome != "kept"
    ]
    silent = ("idle-notebooks", "idle-studio-apps")  # 0.1.0 acted on what only their silence says
    likely = ("hung-training-jobs",)  # no longer by night
    assert len(waiting) == 7
    assert {one[1:] for one in waiting if one[0] not in silent + likely} == {("waiting", "acted")}
    assert {one[1:] for one in waiting if one[0] in likely} == {("waiting", "waiting")}
    assert {one[1:] for one in waiting if one[0] in silent} == {("advised", "advised")}


def test_nothing_is_warned_of_twice(lived: Lived) -> None:
    """Every message since the upgrade is an earlier one that was changed: no warning, and nothing new."""
    assert lived.posted == []
    assert lived.second["idle-endpoints"]["unpreparable"] == "advised"
    refused = make_cause(CauseCode.CANNOT_ACT, recorded("finding")["unpreparable"]["refused"])
    assert read_causes(lived.findings["unpreparable"], "refused") == {"refused": refused}


def test_do_it_now_and_an_approval_still_count(lived: Lived) -> None:
    """Without the approval, so many deletions at once would wait for a person."""
    assert lived.first["idle-endpoints"]["hurried"] == "acted"
    assert lived.actions["hurried"]["by"] == "Dina Okafor (U0DINA)"
    copies = [lived.first["duplicate-artifacts"][f"weights/copy-{number}.tar.gz"] for number in range(1, 5)]
    assert copies == ["acted"] * 4


def test_messages_of_before_say_what_became_of_it(lived: Lived) -> None:
    """Also the one that could not be changed before the upgrade."""
    before = {one["ts"]: one for one in lines("slack")}
    acted = [one["message"] for one in recorded("finding").values() if one["name"] in {"due", "waiting"}]
    untold = recorded("finding")["notebook-used"]["untold"].split()[1]

    assert "untold" not in lived.findings["notebook-used"]
    for ts in (*acted, untold):
        assert lived.messages[ts]["blocks"] != before[ts]["blocks"]
    assert all("janitor:undo" in json.dumps(lived.messages[ts]["blocks"]) for ts in acted)


def test_a_button_of_before_still_works(world: World) -> None:
    assert world.answer_press("keep", "due")["done"]
    world.at(FREE)

    assert world.sweep("idle-endpoints")["due"]["outcome"] == "kept"
    assert "due" in endpoints(world)


# --- actions --------------------------------------------------------------------------------------


def test_what_was_broken_off_is_left_to_a_person_because_its_record_is_not_signed(lived: Lived) -> None:
    stood = recorded("action")
    assert [stood[name]["stage"] for name in ("unfinished", "failing", "failed")] == [
        "acting",
        "failed",
        "failed",
    ]
    for name in ("unfinished", "failing", "failed"):
        assert [swept["idle-endpoints"][name] for swept in (lived.first, lived.second)] == ["failed"] * 2
        error = read_causes(lived.actions[name], "error")["error"]
        assert error == make_cause(CauseCode.MAC_MISSING, finding(stood[name]))
        for same in ("undo", "stage", "attempts"):
            assert str(lived.actions[name][same]) == stood[name][same]


def test_what_was_half_done_and_is_used_again_is_put_back_by_a_person(world: World) -> None:
    about = {"metric": "Invocations", "dimensions": {"InferenceComponentName": "unfinished-component"}}
    series = {"start": RECORDED - timedelta(minutes=91), "step": 3600, "values": [9.0]}
    assert scaled(world) == [], "taken off before the upgrade"
    world.box.metrics("AWS/SageMaker", [about | series])
    world.delivered = len(world.box.invocations())
    world.at(FREE)
    swept = world.sweep("idle-endpoints")
    world.deliver()

    assert (swept["unfinished"]["outcome"], scaled(world)) == ("failed", [])
    undo_unsigned(world.action("unfinished"))
    assert world.action("unfinished")["stage"] == "undone"
    assert scaled(world) == ["inference-component/unfinished-component"]


def scaled(world: World) -> list[str]:
    scaling = world.session.client("application-autoscaling")
    found = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    return [one["ResourceId"] for one in found]


def test_an_undo_that_broke_off_or_never_began_is_left_to_a_person(world: World) -> None:
    stood = recorded("action")
    world.at(FREE)
    world.delivered = len(world.box.invocations())
    swept = world.sweep("idle-endpoints")
    world.deliver()
    for name in ("undoing", "asked"):
        assert (stood[name]["stage"], world.action(name)["stage"]) == ("undoing", "undoing")
        assert swept[name]["outcome"] == "failed"
        undo_unsigned(world.action(name))
        assert world.action(name)["stage"] == "undone"
        assert name in endpoints(world)


def finding(action: dict[str, Any]) -> str:
    """The id of the finding of *action*."""
    return finding_id(action["detector"], action["sk"].rpartition("#")[0])


def undo_unsigned(action: dict[str, Any]) -> None:
    """A person undoes *action*, from its record that is not signed."""
    assert main(["undo", "--unsigned", finding(action)]) == 0


def test_what_was_done_is_undone_by_a_person(world: World) -> None:
    """Not by the buttons of the messages from before; the resources are as they were."""
    done = {name: one for name, one in recorded("action").items() if one["stage"] == "acted"}
    assert {one["detector"] for one in done.values()} == set(DETECTORS)
    world.delivered = len(world.box.invocations())
    world.at(FREE)
    for name in done:
        assert world.answer_press("undo", name)["done"]
        world.deliver()
        (left,) = (
            one
            for one in world.items("action")
            if (one["pk"], one["sk"]) == (done[name]["pk"], done[name]["sk"])
        )
        error = read_causes(left, "error")["error"]
        unsigned = error is not None and error.why is CauseCode.MAC_MISSING
        assert (left["stage"], unsigned) == ("acted", True)
        undo_unsigned(left)

    assert {world.stages()[name] for name in done} == {"undone"}
    assert back(world) == {
        "acted": {"config": "acted", "tags": ["owner", "team"]},
        "notebook-acted": "InService",
        "app-acted": "InService",
        "jobs": 1,
        "weights": [],
        "untagged-acted": [],
        "copy": [b"weights " * 200, {"owner": "maria", "team": "risk"}],
    }


def back(world: World) -> dict[str, Any]:
    """What undoing has to do with, as AWS shows it."""
    sagemaker: Any = world.session.client("sagemaker")
    s3: Any = world.session.client("s3")
    endpoint = sagemaker.describe_endpoint(EndpointName="acted")
    notebook = sagemaker.describe_notebook_instance(NotebookInstanceName="untagged-acted")
    copy = {"Bucket": "weights", "Key": "copy-acted.tar.gz"}
    tags = s3.get_object_tagging(**copy)["TagSet"]
    apps = {one.get("SpaceName"): one["Status"] for one in sagemaker.list_apps()["Apps"]}
    jobs = sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
    own = world.client("s3control").list_tags_for_resource(
        AccountId=ACCOUNT, ResourceArn="arn:aws:s3:::weights"
    )

    def keys(arn: str) -> list[str]:
        return sorted(one["Key"] for one in sagemaker.list_tags(ResourceArn=arn)["Tags"])

    return {
        "acted": {"config": endpoint["EndpointConfigName"], "tags": keys(endpoint["EndpointArn"])},
        "notebook-acted": sagemaker.describe_notebook_instance(NotebookInstanceName="notebook-acted")[
            "NotebookInstanceStatus"
        ],
        "app-acted": apps["app-acted"],
        "jobs": len([one for one in jobs if one["TrainingJobName"] != "job-waiting"]),
        "weights": own["Tags"],
        "untagged-acted": keys(notebook["NotebookInstanceArn"]),
        "copy": [s3.get_object(**copy)["Body"].read(), {one["Key"]: one["Value"] for one in tags}],
    }


# --- limits, leases, events -----------------------------------------------------------------------


def test_the_night_of_the_upgrade_counts_from_the_beginning(world: World) -> None:
    """Three are due. The counter of before is not signed, so it gives no places and takes none."""
    world.settings(world.recorded().replace("night = 40", "night = 1"))
    world.at(FREE)
    swept = world.sweep("idle-endpoints")

    due = sorted(swept[name]["outcome"] for name in ("due", "due-too", "hurried"))
    assert due == ["acted", "waiting", "waiting"]


def test_an_event_that_was_answered_is_not_done_again(world: World) -> None:
    before = world.items("action"), world.items("limit")
    answer = world.answer("idle-endpoints", {"time": "2026-10-06T03:41:00Z"})

    assert (answer["time"], answer["sweeps"][0]["mode"]) == ("2026-10-06T03:41:00Z", "act")
    assert (world.items("action"), world.items("limit")) == before


def test_another_sweep_waits_for_the_lease_of_the_killed_one(world: World) -> None:
    (lease,) = (one for one in lines("ledger") if one["pk"]["S"].startswith("lease#"))
    world.sweep("idle-endpoints")

    assert f"{RECORDED:%Y-%m-%dT%H:%M:%SZ}" < lease["until"]["S"] <= world.action("due")["began"]


def test_the_killed_sweep_itself_goes_on_at_once(world: World) -> None:
    world.answer("idle-endpoints", {"time": "2026-10-06T04:26:00Z"})

    assert world.now < RECORDED + timedelta(minutes=1)
    assert world.action("due")["stage"] == "acted"


def test_the_command_line_and_digest_know_it_all(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["findings", "--all", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["findings"]
    world.digest()

    with_id = [finding for finding in listed if finding["id"]]  # 0.1.0 did not list what is only kept
    assert sorted(map(unworded, with_id)) == sorted(map(unworded, lines("findings")))
    assert "undoing" in {finding["name"] for finding in listed if not finding["id"]}
    assert {*world.sums()} == {*lines("sums")}


def unworded(finding: dict[str, Any]) -> list[str]:
    """Return what the list of any version has: version 1 wrote times with an offset, and no state."""
    members = ("id", "detector", "region", "arn", "name", "owner", "first_seen", "due")
    return [str(finding[member]).replace("+00:00", "Z") for member in members]


# --- templates ------------------------------------------------------------------------------------

CARD = (
    *("DuplicateArtifacts", "HungTrainingJobs", "IdleEndpoints", "IdleNotebooks", "IdleStudioApps"),
    "UntaggedResources",
)
ADVISERS = (
    *("Commitments", "CrossRegionTraffic", "ForgottenLeftovers", "GenerousRuntimeLimits"),
    *(
        "GenerousWarmPools",
        "IdleClusters",
        "OversizedEndpoints",
        "RecomputedDatasets",
        "ServerlessCandidates",
    ),
    *("SpotTraining", "StorageTiering", "StudioWithoutIdleShutdown", "UnusedServingResources"),
    "UnusedVolumes",
)
OF_A_FUNCTION = ("Errors", "FailedMessages", "Failed", "FailedPolicy")
OF_A_SCHEDULE = (
    *(*OF_A_FUNCTION, "DidNotRun", "UndeliveredMessages", "Undelivered", "UndeliveredPolicy"),
    *("Invoker", "InvokerDefaultPolicy"),
)
"""What single functions had, and all share now."""
OF_AN_ARMED = ("ActionsFailed", "HeldBack")
OF_AN_ADVISER = (
    *("Function", "FunctionEventInvokeConfig", "Logs", "Role", "RoleDefaultPolicy", "Schedule"),
    *OF_A_SCHEDULE,
)


def each(names: Iterable[str], parts: Iterable[str]) -> set[str]:
    return {f"{name}{part}" for name in names for part in parts}


FIRST = (
    each([*CARD, "Digest"], OF_A_SCHEDULE)
    | each(CARD, OF_AN_ARMED)
    | each(["SlackWorker", "Undo"], OF_A_FUNCTION)
    | {"SlackReceiverErrors", "SlackReceiverNotTaken"}
)
GOES = {
    "d555950": FIRST,
    "f11e1957": FIRST
    | each(ADVISERS, OF_AN_ADVISER)
    | each(CARD, ["RecordsRefused"])
    | each(["Bill"], OF_A_SCHEDULE)
    | {"AccountsErrors", "OrganizationFailed", "OrganizationTimedOut"},
}
CHANGES = {
    "CloudWatch::Dashboard": {"DashboardBody"},
    "DynamoDB::Table": {"ResourcePolicy"},
    "IAM::ManagedPolicy": {"PolicyDocument"},
    "IAM::Policy": {"PolicyDocument"},
    "IAM::Role": {"Description"},
    "KMS::Key": {"Description", "KeyPolicy"},
    "Lambda::EventInvokeConfig": {"DestinationConfig"},
    "Lambda::Function": {"Code", "Description", "Environment", "Handler", "MemorySize"},
    "S3::Bucket": {"LifecycleConfiguration"},
    "Scheduler::Schedule": {"Description", "Target"},
    "StepFunctions::StateMachine": {"DefinitionString"},
}
"""Properties that change, of what stays: all of them without interruption (CloudFormation's reference)."""


class Upgraded(NamedTuple):
    """A recorded stack of the sandbox, before and after an update to today's template."""

    goes: set[str]
    changes: list[dict[str, Any]]
    before: dict[str, str]
    after: dict[str, str]
    waiting: str
    environments: list[dict[str, dict[str, str]]]
    events: list[dict[str, Any]]


@pytest.fixture(scope="module", params=GOES)
def upgraded(
    request: pytest.FixtureRequest, _sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Upgraded:
    url = _sandbox.url
    Control(url).reset()
    session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
    own, sqs, functions = (
        session.client(name, endpoint_url=url) for name in ("cloudformation", "sqs", "lambda")
    )
    recorded = lzma.decompress((HERE / f"stack-{request.param}.json.xz").read_bytes())
    before = deploy(url, json.loads(recorded))
    failed = next(id_ for name, id_ in before.items() if re.fullmatch("IdleEndpointsFailed[0-9A-F]{8}", name))
    sqs.send_message(QueueUrl=failed, MessageBody="{}")
    here = RegionServices(session, REGION, attempts=1)
    here._clients |= {"sqs": sqs, "cloudwatch": session.client("cloudwatch", endpoint_url=url)}
    listed = {(name, "AWS::SQS::Queue"): id_ for name, id_ in before.items() if id_.startswith("http")}
    stack = DeployedStack(name=NAME, region=REGION, resources=listed)
    (*_, waiting) = check_queues(here, stack, RECORDED)

    def environments() -> dict[str, dict[str, str]]:
        pages = functions.get_paginator("list_functions").paginate()
        every = [function for page in pages for function in page["Functions"]]
        return {one["FunctionName"]: one["Environment"]["Variables"] for one in every}

    told = environments()
    template = synthesise(tmp_path_factory.mktemp("template"), settings_of(request.param)).template
    own.create_change_set(
        StackName=NAME,
        ChangeSetName="up",
        TemplateURL=upload(url, template),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    pages = own.get_paginator("describe_change_set").paginate(StackName=NAME, ChangeSetName="up")
    changes = [one["ResourceChange"] for page in pages for one in page["Changes"]]
    own.execute_change_set(StackName=NAME, ChangeSetName="up")
    resources = own.get_paginator("list_stack_resources").paginate(StackName=NAME)
    after = {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for page in resources
        for one in page["StackResourceSummaries"]
    }
    told_of = own.get_paginator("describe_stack_events").paginate(StackName=NAME)
    events = [event for page in told_of for event in page["StackEvents"]][::-1]
    goes: set[str] = GOES[request.param]
    return Upgraded(goes, changes, before, after, waiting.seen, [told, environments()], events)


def test_what_goes_is_listed_by_hand_and_the_rest_is_the_same_resource(upgraded: Upgraded) -> None:
    gone = {name[:-8] for name in upgraded.before if name not in upgraded.after}
    assert gone == upgraded.goes
    stays = {name: id_ for name, id_ in upgraded.before.items() if name in upgraded.after}
    assert {name: upgraded.after[name] for name in stays} == stays
    for change in upgraded.changes:
        kind = change["ResourceType"].removeprefix("AWS::")
        changed = {detail["Target"]["Name"] for detail in change.get("Details", ())}
        assert changed <= CHANGES.get(kind, set()), change["LogicalResourceId"]
        assert change.get("Replacement", "False") == "False", change["LogicalResourceId"]


def test_the_update_deletes_last_and_ends_well(upgraded: Upgraded) -> None:
    states = [(one["LogicalResourceId"], one["ResourceStatus"]) for one in upgraded.events]
    assert states[-1] == (NAME, "UPDATE_COMPLETE")
    cleaning = states.index((NAME, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"))
    assert {state for _, state in states[cleaning + 1 : -1]} == {"DELETE_IN_PROGRESS", "DELETE_COMPLETE"}
    assert not {state for _, state in states[:cleaning]} & {"DELETE_COMPLETE", "UPDATE_FAILED"}


def test_the_doctor_counted_the_messages_that_went_with_their_queue(upgraded: Upgraded) -> None:
    assert upgraded.waiting.endswith(
        "messages wait in queues that an upgrade removes: 1 in IdleEndpointsFailed"
    )


def test_functions_are_told_what_they_were_told(upgraded: Upgraded) -> None:
    """Besides which functions there are; there may be more of it."""
    before, after = upgraded.environments
    for name in before.keys() & after.keys():
        same = before[name].keys() - {"JANITOR_FUNCTIONS"}
        assert {key: after[name].get(key) for key in same} == {key: before[name][key] for key in same}
