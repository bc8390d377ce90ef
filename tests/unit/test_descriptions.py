"""Descriptions from kept files and from Search: never another than DescribeEndpoint would give."""

import gzip
import json
import random
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import create_loader
from botocore.model import ServiceModel

from conftest import ACCOUNT, NOW, REGION
from fakes import raising
from ml_janitor.aws import endpoints
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import (
    DESCRIBED_MEMBERS,
    PRESENCE,
    KeptDescriptions,
    Members,
    WantedDescription,
    _shutdown_of_apps,
    describe_all,
    describe_unchanged,
    described_key,
    follows_modification,
    pack_descriptions,
    pick_members,
    unpack_descriptions,
)
from ml_janitor.aws.sagemaker_kinds import ENDPOINT, ENDPOINT_CONFIG, MODEL_PACKAGE, SPACE
from ml_janitor.core.model import Unreadable, Value
from ml_janitor_cli.audit import FolderDescriptions
from samples import SEED
from scripted import DENIED, Script, Torn
from tables import cases

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
ONLY_DESCRIBED = ("AsyncInferenceConfig", "CrossRegionTrafficConfig", "PendingDeploymentSummary")
LIST, SEARCH = "sagemaker:ListEndpoints", "sagemaker:Search"
DESCRIBE, CONFIGURE = "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"
CAP = {"MaxInvocationsPerSecondPerInstance": 10, "MaxCrossRegionPercentPerEndpoint": 50}
OUTPUT = {"OutputConfig": {"S3OutputPath": "s3://results/"}}


class Folder:
    """Kept files in memory."""

    def __init__(self) -> None:
        self.file: bytes | None = None
        self.broken = False
        self.written = 0

    def read(self, account: str, region: str) -> bytes | None:
        if self.broken:
            raise ReadError("no bucket")
        assert (account, region) == (ACCOUNT, REGION)
        return self.file

    def write(self, account: str, region: str, body: bytes) -> None:
        if self.broken:
            raise OSError("no room")
        assert (account, region) == (ACCOUNT, REGION)
        self.file, self.written = body, self.written + 1


class World:
    """Endpoints as they are, and as Search shows them."""

    def __init__(self) -> None:
        self.now = NOW
        self.there: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.searched: dict[str, dict[str, Any]] = {}
        self.script = Script(
            {
                LIST: lambda _: {"Endpoints": [listed(found) for found in self.there.values()]},
                SEARCH: lambda _: {"Results": [{"Endpoint": found} for found in self.searched.values()]},
                DESCRIBE: lambda asked: self.there[asked["EndpointName"]],
                CONFIGURE: lambda asked: self.configs[asked["EndpointConfigName"]],
            }
        )
        self.aws = self.script.aws()

    def made(self, name: str, **config: Any) -> None:
        """An endpoint, created now; or anew, if there is one of its name."""
        self.there.pop(name, None)
        self.there[name] = {"EndpointArn": arn("endpoint", name), "CreationTime": self.now}
        self.deployed(name, **config)

    def deployed(self, name: str, **config: Any) -> None:
        """Another configuration is deployed."""
        config_name = f"{name}-{len(self.configs)}"
        more = {member: value for member, value in config.items() if member[0].isupper()}
        variant = {"VariantName": "main", "ModelName": "m", "InstanceType": config.get("type", "ml.m5.large")}
        scaling = {"ManagedInstanceScaling": {"Status": "ENABLED"}} if config.get("managed") else {}
        self.configs[config_name] = more | {
            "EndpointConfigName": config_name,
            "EndpointConfigArn": arn("endpoint-config", config_name),
            "CreationTime": self.now,
            "ProductionVariants": [variant | scaling],
        }
        runs = {"VariantName": "main", "CurrentInstanceCount": config.get("count", 1)} | scaling
        self.there[name] |= {
            "EndpointName": name,
            "EndpointStatus": "InService",
            "LastModifiedTime": self.now,
            "EndpointConfigName": config_name,
            "ProductionVariants": [runs],
        }
        for member in ONLY_DESCRIBED:
            self.there[name].pop(member, None)
        self.there[name] |= more

    def indexed(self, *missing: str) -> None:
        """Search takes in what there is now."""
        self.searched = {
            name: {member: value for member, value in deepcopy(found).items() if member not in ONLY_DESCRIBED}
            for name, found in self.there.items()
            if name not in missing
        }

    def read(self, files: Folder | None, *, aided: bool = True) -> dict[str, Any]:
        """What a sweep reads of each endpoint, by name; the calls of it alone are counted."""
        self.script.calls.clear()
        aws = self.aws
        aws.kept = kept = None if files is None else KeptDescriptions(files, self.now)
        aws.aided = aided
        every = endpoints.list_endpoints(aws).items
        described = endpoints.describe_listed_endpoints(aws, every, total=len(every))
        found = [answer.value for answer in described if isinstance(answer, Value)]
        whole = endpoints.add_configurations(aws, found)
        if kept is not None:
            kept.save()
        return {each.summary.name: answer for each, answer in zip(found, whole, strict=True)}

    def truth(self) -> dict[str, Any]:
        """The same, each described by itself; these calls are not counted."""
        before = list(self.script.calls)
        found = {name: endpoints.describe_endpoint(self.aws, name) for name in self.there}
        whole = {
            name: endpoints.describe_endpoint_config(self.aws, answer.value)
            for name, answer in found.items()
            if isinstance(answer, Value)
        }
        self.script.calls[:] = before
        return whole

    def calls(self) -> dict[str, int]:
        """The descriptions and searches of the last reading."""
        return {
            name: len(self.script.asked(name))
            for name in (SEARCH, DESCRIBE, CONFIGURE)
            if self.script.asked(name)
        }


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def listed(found: Mapping[str, Any]) -> dict[str, Any]:
    members = ("EndpointName", "EndpointArn", "EndpointStatus", "CreationTime", "LastModifiedTime")
    return {member: found[member] for member in members}


@pytest.fixture
def world() -> World:
    made = World()
    for number in range(150):
        made.made(f"e{number:03}")
    made.indexed()
    made.now += DAY
    return made


def test_search_and_then_the_kept_file_stand_in_for_descriptions(world: World) -> None:
    files = Folder()

    first, calls = world.read(files), world.calls()
    assert first == world.read(files) == world.truth()
    assert calls == {SEARCH: 1, CONFIGURE: 150}
    assert (world.read(files), world.calls(), files.written) == (first, {}, 1)
    assert (world.read(None), world.calls()) == (first, {SEARCH: 1, CONFIGURE: 150})


def test_where_little_is_new_each_is_described_and_search_is_not_asked(world: World) -> None:
    files = Folder()
    world.read(files)
    world.deployed("e007", type="ml.m5.xlarge")
    world.made("new")

    assert world.read(files) == world.truth()
    assert world.calls() == {DESCRIBE: 2, CONFIGURE: 2}
    world.read(files)
    assert world.calls() == {}
    world.now += MINUTE
    world.deployed("e007", type="ml.m5.4xlarge")
    assert world.read(files)["e007"].value.variants[0].type == "ml.m5.4xlarge"
    assert world.calls() == {DESCRIBE: 1, CONFIGURE: 1}


def test_nothing_that_an_action_rests_on_is_kept_or_searched(world: World) -> None:
    files = Folder()
    world.read(files)

    assert world.read(files, aided=False) == world.truth()
    assert world.calls() == {DESCRIBE: 150, CONFIGURE: 150}
    assert not world.script.aws().armed().aided


def test_a_refused_search_costs_calls_alone(world: World) -> None:
    world.script.answers[SEARCH] = DENIED

    assert world.read(None) == world.truth()
    assert world.calls() == {SEARCH: 1, DESCRIBE: 150, CONFIGURE: 150}


def test_what_search_does_not_say_comes_from_the_configuration(world: World) -> None:
    for name, members in (("a", {"AsyncInferenceConfig": OUTPUT}), ("b", {"CrossRegionTrafficConfig": CAP})):
        world.made(name, **members)
    world.indexed()

    found = world.read(None)

    assert (found["a"].value.asynchronous, found["a"].value.routed) == (True, False)
    assert (found["b"].value.asynchronous, found["b"].value.routed) == (False, True)
    assert DESCRIBE not in world.calls()


def test_a_shared_configuration_is_read_once(world: World) -> None:
    for found in world.there.values():
        found["EndpointConfigName"] = "e000-0"
    world.indexed()

    world.read(None)

    assert world.calls() == {SEARCH: 1, CONFIGURE: 1}


def test_what_is_kept_is_read_again_after_a_week(world: World) -> None:
    files = Folder()
    world.read(files)

    for age, again in ((7 * DAY - MINUTE, False), (7 * DAY, True), (-MINUTE, True)):
        kept = KeptDescriptions(files, NOW + DAY + age)
        found = endpoints.list_endpoints(world.aws).items[0]
        assert (kept.find(world.aws, found.key) is None) is again
    namesake = world.there["e000"] | {"CreationTime": NOW - DAY}
    assert described_key(namesake) != described_key(world.there["e000"])


def test_what_sagemaker_scales_by_itself_is_described_each_night(world: World) -> None:
    files = Folder()
    world.made("hosts", managed=True)
    world.indexed()
    world.now += MINUTE
    world.read(files)
    world.there["hosts"]["ProductionVariants"][0]["CurrentInstanceCount"] = 0

    assert (world.read(files)["hosts"].value.variants[0].instances, world.calls()) == (0, {DESCRIBE: 1})
    shadow: dict[str, Any] = {"ShadowProductionVariants": [{"InstancePools": []}]}
    assert not follows_modification({"ProductionVariants": [{}]} | shadow)


@pytest.mark.parametrize("status", ["Updating", "Creating", "Deleting", "UpdateRollbackFailed"])
def test_what_is_on_the_move_is_neither_kept_nor_searched(world: World, status: str) -> None:
    files = Folder()
    world.there["e000"]["EndpointStatus"] = status
    world.indexed()

    for _ in range(2):
        world.read(files)
        assert [asked["EndpointName"] for asked in world.script.asked(DESCRIBE)] == ["e000"]
    assert described_key(world.there["e000"]) == ""


def test_a_configuration_that_is_judged_itself_is_kept_by_its_creation(world: World) -> None:
    files = Folder()
    configs = [{**each, "CreationTime": NOW} for each in world.configs.values()]
    members = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
    world.script.answers["sagemaker:ListEndpointConfigs"] = lambda _: {
        "EndpointConfigs": [{name: each[name] for name in members} for each in configs]
    }

    for made, calls in ((NOW, 150), (NOW, 0), (NOW + DAY, 1)):
        world.script.calls.clear()
        configs[0]["CreationTime"] = world.configs["e000-0"]["CreationTime"] = made
        kept = KeptDescriptions(files, world.now)
        found = describe_all(world.script.aws(kept=kept), ENDPOINT_CONFIG)
        kept.save()
        assert all(isinstance(answer, Value) for _, answer in found.items)
        assert len(world.script.asked(CONFIGURE)) == calls


@cases(
    "record, described",
    ({}, False),
    ({"ModelApprovalStatus": "Rejected"}, True),  # it was approved since
    ({"CreationTime": NOW - DAY}, True),  # another package had its name
    ({"InferenceSpecification": None}, True),  # cut off
    (None, True),  # new
)
@cases("aided", True, False)
@cases("count", 1, 2)
def test_a_package_is_described_by_a_whole_record_of_its_approval_alone(
    record: dict[str, Any] | None, *, described: bool, aided: bool, count: int
) -> None:
    summaries = [
        {
            "ModelPackageArn": arn("model-package", f"churn/{number}"),
            "CreationTime": NOW,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": "Approved",
        }
        for number in range(count)
    ]
    there = [one | {"InferenceSpecification": {"Containers": [{"Image": "image"}]}} for one in summaries]
    rows = there[1:] if record is None else [there[0] | record, *there[1:]]
    known = [{name: one[name] for name in one if one[name] is not None} for one in rows]
    script = Script(
        {
            "sagemaker:ListModelPackageGroups": {"ModelPackageGroupSummaryList": []},
            "sagemaker:ListModelPackages": {"ModelPackageSummaryList": summaries},
            SEARCH: {"Results": [{"ModelPackage": one} for one in known]},
            "sagemaker:DescribeModelPackage": lambda asked: Torn(
                next(one for one in there if one["ModelPackageArn"] == asked["ModelPackageName"])
            ),
        }
    )
    aws = script.aws()
    aws.aided = aided

    found = describe_all(aws, MODEL_PACKAGE)

    asked = [each["ModelPackageName"] for each in script.asked("sagemaker:DescribeModelPackage")]
    searched = aided and count > 1
    every = [one["ModelPackageArn"] for one in there]
    assert asked == ((every[:1] if described else []) if searched else every)
    assert len(script.asked(SEARCH)) == searched
    names = [answer.value["ModelPackageArn"] for _, answer in found.items if isinstance(answer, Value)]
    assert names == [target.arn for target, _ in found.items] == every


def test_a_bucket_that_fails_costs_calls_alone(world: World) -> None:
    files = Folder()
    files.broken = True

    assert world.read(files) == world.truth()
    files.read = raising(ZeroDivisionError())  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        world.read(files)


def test_a_file_is_written_once_for_what_was_added() -> None:
    files, aws = Folder(), Script({}).aws()
    kept = KeptDescriptions(files, NOW)
    kept.add(aws, "space", "key", {"DomainId": "d-1"})

    for _ in range(2):
        kept.save()

    assert files.written == 1


@cases("description, whole", ({"DomainId": "d-1"}, True), ({}, False))
def test_a_space_without_settings_is_kept_and_half_an_answer_is_not(
    description: dict[str, Any], *, whole: bool
) -> None:
    kept = KeptDescriptions(Folder(), NOW)
    aws = Script({}).aws(kept=kept)

    describe_unchanged(aws, SPACE, [WantedDescription("mine", "key")], lambda *_: Value(description))

    assert kept.find(aws, "key") == (description if whole else None)


def test_a_folder_keeps_them_for_the_next_audit(world: World, tmp_path: Path) -> None:
    files: Any = FolderDescriptions(tmp_path / "cache")
    found = world.read(files)

    assert (world.read(FolderDescriptions(tmp_path / "cache")), world.calls()) == (found, {})  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "cache" / ACCOUNT).iterdir()] == [f"{REGION}.json.gz"]


def spoilt(file: bytes) -> Iterator[bytes]:
    """The file as nobody wrote it, or another version."""
    yield file[:-9]
    yield b"no gzip"
    yield gzip.compress(b"[]")
    yield gzip.compress(b"no json")
    text = json.loads(gzip.decompress(file))
    yield gzip.compress(json.dumps(text | {"format": "another"}).encode())
    damaged: list[Any] = [
        [],
        {"key": []},
        {"key": ["late", "endpoint", {}]},
        {"key": [NOW.isoformat(), "hat", {}]},
    ]
    for kept in damaged:
        yield gzip.compress(json.dumps(text | {"kept": kept}).encode())


def test_a_file_that_this_version_did_not_write_is_read_anew(world: World) -> None:
    files = Folder()
    expected = world.read(files)
    whole = files.file or b""
    assert pack_descriptions(unpack_descriptions(whole)) == whole

    for number, file in enumerate(spoilt(whole)):
        files.file = file
        assert unpack_descriptions(file) == {}, number
        assert world.read(files) == expected
        assert files.file == whole


def test_a_cut_off_answer_is_not_kept(world: World) -> None:
    files = Folder()
    torn = {member: value for member, value in world.there["e000"].items() if member != "ProductionVariants"}
    world.searched = {"e000": torn}
    world.script.answers[DESCRIBE] = lambda asked: (
        torn if asked["EndpointName"] == "e000" else world.there[asked["EndpointName"]]
    )

    for _ in range(2):
        assert "e000" not in world.read(files)
        assert [asked["EndpointName"] for asked in world.script.asked(DESCRIBE)][:1] == ["e000"]


# --- random worlds --------------------------------------------------------------------------------


def test_nights_with_a_late_search_and_any_file_read_what_is_true() -> None:
    """
    Between nights endpoints are deleted, made again, deployed, scaled and on the move.

    Search is as late as it likes and lacks rows; the file is yesterday's, an older one, lost or damaged.
    """
    chance, world, files = random.Random(SEED), World(), Folder()  # noqa: S311
    older: list[bytes | None] = [None]
    for number in range(12):
        world.made(f"e{number}", managed=number % 4 == 0, count=number % 3)
    for night in range(80):
        for _ in range(chance.randrange(6)):
            change(world, chance)
            world.now += MINUTE
            if chance.random() < 0.4:
                world.indexed(*chance.sample(sorted(world.there), min(2, len(world.there))))
        files.file = chance.choice([files.file, files.file, files.file, *older, b"damaged"])
        assert world.read(files) == world.truth(), f"night {night} of {SEED}"
        older = [*older[-3:], files.file]
        world.now += chance.choice([MINUTE, DAY, 3 * DAY])


def change(world: World, chance: random.Random) -> None:
    """Something happens to an endpoint."""
    name = f"e{chance.randrange(12)}"
    found = world.there.get(name)
    match chance.randrange(6):
        case 0:
            world.there.pop(name, None)
        case 1:
            world.made(name, count=chance.randrange(3), managed=chance.random() < 0.3)
        case 2 if found:
            more: dict[str, Any] = chance.choice(
                [{}, {"AsyncInferenceConfig": OUTPUT}, {"CrossRegionTrafficConfig": CAP}]
            )
            world.deployed(name, type=chance.choice(["ml.m5.large", "ml.g5.xlarge"]), **more)
        case 3 if found:  # scaled by Application Auto Scaling
            found["ProductionVariants"][0]["CurrentInstanceCount"] = chance.randrange(4)
            found["LastModifiedTime"] = world.now
        case 4 if found and not follows_modification(found):  # scaled by SageMaker
            found["ProductionVariants"][0]["CurrentInstanceCount"] = chance.randrange(4)
        case 5 if found:
            found["EndpointStatus"] = chance.choice(["Updating", "InService"])
            found["LastModifiedTime"] = world.now


# --- what a file may hold -------------------------------------------------------------------------


def paths(members: Members, under: str = "") -> Iterator[str]:
    for name, kind in members.items():
        if isinstance(kind, Mapping):
            yield from paths(kind, f"{under}{name}.")
        else:
            yield f"{under}{name}{' (presence)' if kind == PRESENCE else ''}"


def test_a_file_holds_types_places_and_names_alone() -> None:
    """Never an environment, hyperparameters or arguments: each member here was looked at."""
    last = {path.rpartition(".")[2] for kind in DESCRIBED_MEMBERS for path in paths(DESCRIBED_MEMBERS[kind])}

    assert last == {
        *("AsyncInferenceConfig (presence)", "CreationTime", "CrossRegionTrafficConfig (presence)"),
        *("CurrentInstanceCount", "EnableCapture", "EndpointArn", "EndpointConfigArn", "EndpointConfigName"),
        *("EndpointName", "EndpointStatus", "ExecutionRoleArn (presence)", "InitialInstanceCount"),
        *("DomainId", "IdleTimeoutInMinutes", "InstanceType", "LastModifiedTime", "LifecycleManagement"),
        *("MaxConcurrency", "MemorySizeInMB"),
        *("MetricPublishFrequencyInSeconds", "MlReservationArn", "ModelName", "ModelNameOverride"),
        *(
            "ProvisionedConcurrency",
            "ResolutionTime",
            "ResolvedImage",
            "SpecifiedImage",
            "Status",
            "VariantName",
        ),
    }


def test_the_settings_of_both_apps_that_may_shut_down_are_kept() -> None:
    assert _shutdown_of_apps({}).keys() == {"JupyterLabAppSettings", "CodeEditorAppSettings"}


def test_of_a_member_that_is_only_looked_for_nothing_is_kept() -> None:
    found = pick_members(DESCRIBED_MEMBERS[ENDPOINT], {"AsyncInferenceConfig": OUTPUT})

    assert found == {"AsyncInferenceConfig": True}


def test_every_member_is_aws_own() -> None:
    model: Any = ServiceModel(create_loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    for kind, members in DESCRIBED_MEMBERS.items():
        check(model.operation_model(f"Describe{kind.noun}").output_shape, members)
    search = model.operation_model("Search").output_shape.members["Results"].member.members["Endpoint"]
    check(
        search,
        {name: kind for name, kind in DESCRIBED_MEMBERS[ENDPOINT].items() if name not in ONLY_DESCRIBED},
    )
    assert not search.members.keys() & set(ONLY_DESCRIBED)


def check(shape: Any, members: Members) -> None:
    shape = shape.member if shape.type_name == "list" else shape
    for name, kind in members.items():
        assert name in shape.members
        if isinstance(kind, Mapping):
            check(shape.members[name], kind)
        elif shape.members[name].type_name == "timestamp":
            assert kind == "time"


def test_an_unreadable_configuration_is_unreadable(world: World) -> None:
    world.script.answers[CONFIGURE] = DENIED

    assert {type(found) for found in world.read(Folder()).values()} == {Unreadable}


def test_only_a_run_that_reads_is_aided(world: World) -> None:
    aws: Aws = world.script.aws(kept=KeptDescriptions(Folder(), datetime.max.replace(tzinfo=NOW.tzinfo)))

    assert (aws.aided, aws.at("eu-west-1").kept) == (True, aws.kept)
