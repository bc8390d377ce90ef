"""Records a deployment of `VERSION` for test_upgrade, once it is released: pytest tests/upgrade/record.py."""

import json
import lzma
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from conftest import DAY, HOUR, MINUTE
from ml_janitor_cli.main import main
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, TABLE
from ml_janitor_sandbox.process_kill import CODE, Killed, end_when_killed
from ml_janitor_sandbox.server import Sandbox
from sagemaker_requests import (
    ROLE,
    component_request,
    domain_request,
    experiment_request,
    notebook_request,
    rented,
    training_request,
)
from standin import OWNER
from synthesis import synthesise
from upgrade.world import DETECTORS, HERE, RECORDED, VERSION, World, settings_of, signing_keys

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
READS = re.compile("Describe|List|Get|Head|Search|Batch|Lookup|Query|Scan|Invoke")
OURS = {"dynamodb", "kms", "secretsmanager"}
TAGS: Any = [{"Key": "owner", "Value": "maria@example.com"}, {"Key": "team", "Value": "risk"}]
FOREVER = "4102444800"
"""In 2100: what was answered is remembered by the clock of the machine that runs a test."""


class Recorder:
    """Everything that changes the account, in order, as `World.load` does it again."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, str, Any]] = []
        call, ask = BaseClient._make_api_call, Control._ask  # type: ignore[attr-defined]

        def called(client: Any, operation: str, params: Mapping[str, Any]) -> Any:
            given = deepcopy(params)  # botocore wraps what it sends
            try:
                answer = call(client, operation, params)
            except ClientError as error:
                if error.response["Error"]["Code"] == CODE and not self.own(client, operation, params):
                    self.note(client, operation, given)
                raise
            if not self.own(client, operation, params):
                self.note(client, operation, given)
            return answer

        def asked(control: Any, method: str, path: str, body: Any = None) -> Any:
            if path in {"clock", "logs", "metrics", "state"} and method != "GET":
                if path == "clock" and self.done and self.done[-1][1] == "PUT clock":
                    self.done.pop()
                self.done.append(("sandbox", f"{method} {path}", body))
            return ask(control, method, path, body)

        patch.setattr(BaseClient, "_make_api_call", called)
        patch.setattr(Control, "_ask", asked)

    def own(self, client: Any, operation: str, params: Mapping[str, Any]) -> bool:
        """Whether a call reads, or is about what a deployment owns itself."""
        service = client.meta.service_model.service_name
        return service in OURS or bool(READS.match(operation)) or params.get("Bucket") == BUCKET

    def note(self, client: Any, operation: str, params: Mapping[str, Any]) -> None:
        names = {wire: method for method, wire in client.meta.method_to_api_mapping.items()}
        self.done.append((client.meta.service_model.service_name, names[operation], dict(params)))


class Estate:
    """Makes waste of any age, which stays waste for the hours of the recording."""

    def __init__(self, world: World) -> None:
        self.world, self.box = world, world.box
        self.sagemaker: Any = world.session.client("sagemaker")
        self.scaling: Any = world.session.client("application-autoscaling")
        self.s3: Any = world.session.client("s3")
        self.box.set_clock(NOW - 60 * DAY)
        self.sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE, Tags=TAGS)
        self.s3.create_bucket(Bucket="weights")
        self.domain = self.sagemaker.create_domain(**domain_request("research", Tags=TAGS))["DomainId"]
        self.sagemaker.create_user_profile(DomainId=self.domain, UserProfileName="maria", Tags=TAGS)

    def publish(self, namespace: str, metric: str, step: int, value: float, **dimensions: str) -> None:
        """The same *value* from nine days ago until long after the recording."""
        hours = timedelta(seconds=step)
        series = {"metric": metric, "dimensions": dimensions, "start": NOW - 9 * DAY, "step": step}
        self.box.metrics(namespace, [series | {"values": [value] * ((9 * DAY + 12 * HOUR) // hours)}])

    def endpoint(self, name: str, *, shared: bool = False) -> None:
        """Idle for nine days; what is *shared* has an inference component that is scaled."""
        self.box.set_clock(NOW - 30 * DAY)
        machine = {"VariantName": "blue", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
        own = {} if shared else {"ModelName": "model", "InitialVariantWeight": 1.0}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[machine | own],
            Tags=TAGS,
            **({"ExecutionRoleArn": ROLE} if shared else {}),
        )
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=TAGS)
        about = {"EndpointName": name, "VariantName": "blue"}
        if shared:
            self.component(f"{name}-component", name)
            about = {"InferenceComponentName": f"{name}-component"}
        self.publish("AWS/SageMaker", "Invocations", 3600, 0.0, **about)
        self.publish(
            "/aws/sagemaker/Endpoints", "CPUUtilization", 3600, 0.0, EndpointName=name, VariantName="blue"
        )

    def component(self, name: str, endpoint: str) -> None:
        self.sagemaker.create_inference_component(**component_request(name, endpoint, Tags=TAGS))
        where = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"inference-component/{name}",
            "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
        }
        self.scaling.register_scalable_target(**where, MinCapacity=1, MaxCapacity=6)

    def experiment(self, endpoint: str) -> None:
        """One that runs over *endpoint*, so that no undo could bring it back as it is."""
        self.sagemaker.create_inference_experiment(**experiment_request("shadow", endpoint, Tags=TAGS))

    def notebook(self, name: str, tags: Any = TAGS) -> None:
        self.box.set_clock(NOW - 30 * DAY)
        self.sagemaker.create_notebook_instance(**notebook_request(name, Tags=tags))
        self.log(name, NOW - 15 * HOUR)

    def log(self, notebook: str, wrote: datetime) -> None:
        line = (wrote, "Saving /eda.ipynb")
        self.box.logs("/aws/sagemaker/NotebookInstances", f"{notebook}/jupyter.log", [line])

    def app(self, space: str) -> None:
        self.box.set_clock(NOW - 30 * DAY)
        self.sagemaker.create_space(
            DomainId=self.domain,
            SpaceName=space,
            OwnershipSettings={"OwnerUserProfileName": "maria"},
            SpaceSharingSettings={"SharingType": "Private"},
            Tags=TAGS,
        )
        key = {"DomainId": self.domain, "AppType": "JupyterLab", "AppName": "default", "SpaceName": space}
        self.sagemaker.create_app(**key, ResourceSpec={"InstanceType": "ml.g5.xlarge"}, Tags=TAGS)
        path = f"{self.domain}/{space}/JupyterLab/default"
        since: Any = {
            "LastHealthCheckTimestamp": NOW - 5 * MINUTE,
            "LastUserActivityTimestamp": NOW - 9 * HOUR,
        }
        self.box.patch("sagemaker", ["apps", path], **since)
        self.box.logs("/aws/sagemaker/studio", path, [(NOW - 9 * HOUR, "Saving file at /eda.ipynb")])

    def job(self, name: str) -> None:
        """Silent for twenty hours, and at rest."""
        self.box.set_clock(NOW - 30 * HOUR)
        rest: Any = {"out": "s3://weights/training", "seconds": 5 * 86400, "Tags": TAGS}
        self.sagemaker.create_training_job(**training_request(name, rented("ml.m5.4xlarge"), **rest))
        group, host = "/aws/sagemaker/TrainingJobs", f"{name}/algo-1"
        times = [NOW - 30 * HOUR + n * HOUR for n in range(11)]
        self.box.logs(group, f"{host}-1790000000", [(at, "step") for at in times])
        series = {"metric": "CPUUtilization", "dimensions": {"Host": host}, "step": 300}
        self.box.metrics(group, [series | {"start": NOW - 7 * HOUR, "values": [1.0] * 288}])

    def copy(self, name: str, age: timedelta) -> None:
        self.box.set_clock(NOW - age)
        body, tagging = b"weights " * 200, "team=risk&owner=maria"
        self.s3.put_object(Bucket="weights", Key=f"{name}.tar.gz", Body=body, Tagging=tagging)


class RecordedWorld(World):
    """The world of a recording, in which all that is acted on is due by the time of the acts."""

    def recorded(self) -> str:
        """Without a direct message a grace is doubled, and what is only likely waits for working hours."""
        changes = {
            "janitor": 'time_zone = "UTC"\nworking_hours = "Mon-Sun 00-24"\n',
            "detectors.idle-notebooks": 'act_on = "likely"\ngrace_likely = "30m"\n',
            "detectors.idle-studio-apps": 'act_on = "likely"\ngrace_likely = "30m"\n',
        }
        text = super().recorded()
        for section, lines in changes.items():
            text = text.replace(f"[{section}]\n", f"[{section}]\n{lines}")
        for section in ("untagged-resources", "duplicate-artifacts"):
            head, name, tail = text.partition(f"[detectors.{section}]\n")
            text = head + name + tail.replace('grace = "30m"', 'grace = "15m"', 1)
        return text


@pytest.fixture
def world(_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    made = boto3.Session.__init__

    def mortal_session(self: boto3.Session, *args: Any, **more: Any) -> None:
        made(self, *args, **more)
        end_when_killed(self)

    monkeypatch.setattr(boto3.Session, "__init__", mortal_session)
    recorded = RecordedWorld(_sandbox.url, monkeypatch, tmp_path, NOW)
    recorded.slack.add_user(OWNER, "maria@example.com", name="Maria Lopez")
    yield recorded


def at(clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return NOW.replace(hour=hour, minute=minute)


REFUSED = {"status": 400, "code": "ValidationException", "message": "no"}


def test_record(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(monkeypatch)
    estate = Estate(world)
    warn_first(world, estate)
    act(world)
    take_back(world)
    warn_more(world, estate)
    kill(world)
    world.at(RECORDED)
    write(world, recorder)
    capsys.readouterr()
    assert main(["findings", "--all", "--json"]) == 0
    dump("findings", json.loads(capsys.readouterr().out)["findings"])
    world.digest()
    dump("sums", world.sums())


def warn_first(world: World, estate: Estate) -> None:
    """Of what is acted on before the upgrade, or held."""
    for name in ("acted", "asked", "failed", "kept", "snoozed", "undoing", "undone", "withdrawn"):
        estate.endpoint(name)
    estate.endpoint("unpreparable")
    estate.experiment("unpreparable")
    estate.notebook("notebook-acted")
    estate.notebook("untagged-acted", tags=[])
    estate.app("app-acted")
    estate.job("job-acted")
    estate.copy("keeper", 50 * DAY)
    estate.copy("copy-acted", 40 * DAY)
    world.at(at("03:01"))
    for detector in DETECTORS:
        world.sweep(detector)
    world.at(at("03:10"))
    assert world.answer_press("keep", "kept")["done"]
    assert world.answer_press("snooze", "snoozed")["done"]


def act(world: World) -> None:
    """On all that is due; one deletion fails each time, and of another AWS says that it was not done."""
    world.at(at("03:41"))
    world.box.fault("sagemaker", "DeleteEndpoint", "error", times=0, match='"failed"')
    world.box.fault("sagemaker", "DeleteEndpoint", "error", times=0, match='"withdrawn"', **REFUSED)
    for detector in DETECTORS:
        world.sweep(detector)


def take_back(world: World) -> None:
    """One wholly, one of which nothing was done, one that fails, and one that never began."""
    world.at(at("03:43"))
    assert world.answer_press("undo", "undone")["done"]
    world.deliver()
    world.undo(world.action("withdrawn"))
    world.box.fault("sagemaker", "CreateEndpoint", "error", times=0, match='"undoing"', **REFUSED)
    assert world.answer_press("undo", "undoing")["done"]
    with pytest.raises(Exception, match="could not be brought back"):
        world.deliver()
    assert world.answer_press("undo", "asked")["done"]
    world.delivered += 1  # an event that Lambda has not delivered yet


def warn_more(world: World, estate: Estate) -> None:
    """Of what is due soon, and of what is due after the upgrade; one message is not changed in time."""
    estate.endpoint("failing")
    estate.endpoint("unfinished", shared=True)
    estate.notebook("notebook-used")
    for number in range(1, 5):
        estate.copy(f"copy-{number}", (30 + number) * DAY)
    world.at(at("03:46"))
    for detector in ("idle-endpoints", "idle-notebooks", "duplicate-artifacts"):
        world.sweep(detector)
    estate.endpoint("due")
    estate.endpoint("due-too")
    world.at(at("03:51"))
    world.sweep("idle-endpoints")
    estate.endpoint("hurried")
    estate.endpoint("waiting")
    estate.notebook("notebook-waiting")
    estate.notebook("untagged-waiting", tags=[])
    estate.app("app-waiting")
    estate.job("job-waiting")
    estate.copy("copy-waiting", 30 * DAY)
    world.at(at("04:06"))
    estate.log("notebook-used", at("04:05"))
    for detector in (one for one in DETECTORS if one != "idle-notebooks"):
        world.sweep(detector)
    world.slack.fault("error", method="chat.update", times=0)
    with pytest.raises(Exception, match="invalid_auth"):
        world.sweep("idle-notebooks")
    world.slack.clear_faults()
    world.at(at("04:10"))
    world.digest()


def kill(world: World) -> None:
    """A sweep between two steps of an action; its lease is not given back. Then people press and approve."""
    world.at(at("04:26"))
    world.box.fault("sagemaker", "DeleteEndpoint", "error", times=0, match='"failing"')
    world.box.fault("sagemaker", "DeleteInferenceComponent", "killed")
    with pytest.raises(Killed):
        world.sweep("idle-endpoints")
    world.box.revive()
    world.box.clear_faults()
    assert world.answer_press("now", "hurried")["done"]
    assert main(["approve", "duplicate-artifacts", "--yes"]) == 0


def write(world: World, recorder: Recorder) -> None:
    pages = world.session.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
    found = [item for page in pages for item in page["Items"]]
    for item in found:
        if item["pk"]["S"].startswith("idempotency"):
            item["expires"] = {"N": FOREVER}
            if "in_progress_expires" in item:
                item["in_progress_expires"] = {"N": "0"}  # Lambda has given up on who was killed
    dump("ledger", sorted(found, key=lambda item: (item["pk"]["S"], item["sk"]["S"])))
    told = json.dumps(found)
    posted = [one for one in world.slack.messages() if one["ts"] in told]
    dump("slack", [{key: one[key] for key in one if key != "mentions"} for one in posted])
    dump("account", recorder.done)
    dump("keys", [[name, key.key_material.hex()] for name, key in signing_keys().items()])


def dump(name: str, values: Any) -> None:
    text = [json.dumps(one, default=plain, sort_keys=True, separators=(",", ":")) for one in values]
    with (HERE / f"{name}-{VERSION}.json").open("x") as file:  # what a version left is never another's
        file.write("\n".join(text) + "\n")


def plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value.isoformat()


def test_stack(tmp_path: Path) -> None:
    """Record the whole template, but for paths and the bundle's hash."""
    template = synthesise(tmp_path, settings_of("f11e1957")).template
    for resource in template["Resources"].values():
        resource.pop("Metadata", None)
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Code"]["S3Key"] = f"{'0' * 8}.zip"
    content = json.dumps(template, separators=(",", ":")).encode()
    with (HERE / f"stack-{VERSION}.json.xz").open("xb") as file:
        file.write(lzma.compress(content, preset=9))
