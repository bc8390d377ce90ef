"""What refers to a place in S3: all that loads or reads from it, in use or not, and what cannot be told."""

import io
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.response import StreamingBody

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws import locations, references
from ml_janitor.aws.references import REFERENCE_SOURCE, DeploymentHistory, References, read_references
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    MODEL_PACKAGE,
    MODEL_PACKAGE_GROUP,
    PIPELINE,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    SageMakerKind,
)
from ml_janitor.core.model import Absent, Unreadable, Value
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

DAY = timedelta(days=1)
MADE = NOW - 40 * DAY
KINDS = (
    *(MODEL, TRAINING_JOB, PIPELINE, COMPONENT, PROCESSING_JOB, TRANSFORM_JOB, MODEL_PACKAGE),
    *(ENDPOINT, ENDPOINT_CONFIG, MODEL_PACKAGE_GROUP),
)


type Descriptions = dict[SageMakerKind, Any]
"""Descriptions by kind and name."""


def arn(kind: SageMakerKind, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind.type}/{name}"


def whole(kind: SageMakerKind, name: str, description: Mapping[str, Any]) -> dict[str, Any]:
    status = "InService" if kind is ENDPOINT else "InProgress"
    named = {f"{kind.noun}Name": name, f"{kind.noun}Arn": arn(kind, name), kind.status: status}
    return Torn(named | {"CreationTime": MADE, "LastModifiedTime": MADE} | dict(description))


class Account:
    """An account that holds *descriptions*; *files* are objects by address, *unlisted* what Search lacks."""

    def __init__(
        self,
        descriptions: Descriptions,
        files: Mapping[str, str] | None = None,
        unlisted: str = "",
        events: Mapping[str, list[dict[str, Any]]] | None = None,
    ) -> None:
        self.events = events or {}
        self.descriptions, self.files, self.unlisted = descriptions, files or {}, unlisted
        self.jobs_since: datetime | None = None
        self.script = Script(
            {
                "sagemaker:Search": self._search,
                "s3:GetObject": self._get,
                "cloudtrail:LookupEvents": self._look_up,
            }
        )
        for kind in KINDS:
            self.script.answers[kind.lists] = self._list(kind)
            self.script.answers[kind.describes] = self._describe(kind)

    def _all(self, kind: SageMakerKind) -> list[dict[str, Any]]:
        return [whole(kind, name, one) for name, one in self.descriptions.get(kind, {}).items()]

    def _list(self, kind: SageMakerKind) -> Any:
        def answer(asked: Mapping[str, Any]) -> Any:
            if kind in {PROCESSING_JOB, TRANSFORM_JOB} and self.jobs_since is None:
                assert asked["StatusEquals"] == "InProgress"
            group = asked.get("ModelPackageGroupName")
            some = self._all(kind)
            if kind is MODEL_PACKAGE:
                some = [one for one in some if ("/" in one["ModelPackageName"]) == (group is not None)]
            return Torn({kind.members: some if kind is not TRAINING_JOB else []})

        return answer

    def _describe(self, kind: SageMakerKind) -> Any:
        def answer(asked: Mapping[str, Any]) -> Any:
            name = asked[kind.named].partition("model-package/")[2] or asked[kind.named]
            return whole(kind, name, self.descriptions[kind][name])

        return answer

    def _search(self, asked: Mapping[str, Any]) -> Any:
        record = asked["Resource"]
        kind = MODEL if record == "Model" else TRAINING_JOB
        found = [one for one in self._all(kind) if one[f"{kind.noun}Name"] != self.unlisted]
        wrapped = [{record: {"Model": one} if kind is MODEL else one} for one in found]
        return Torn({"Results": wrapped})

    def _look_up(self, asked: Mapping[str, Any]) -> Any:
        return Torn({"Events": self.events.get(asked["LookupAttributes"][0]["AttributeValue"], [])})

    def _get(self, asked: Mapping[str, Any]) -> Any:
        body = self.files.get(f"s3://{asked['Bucket']}/{asked['Key']}")
        if body is None:
            return Refusal("NoSuchKey")
        raw = body.encode()
        return Torn({"Body": StreamingBody(io.BytesIO(raw), len(raw)), "ContentLength": len(raw)})

    def read(
        self, contents_in: tuple[str, ...] = ("s3://lists/",), jobs_since: datetime | None = None
    ) -> References:
        self.jobs_since = jobs_since
        return read_references(self.script.aws(), contents_in, NOW, jobs_since=jobs_since, asks_trail=True)


def model(data: str, **more: Any) -> dict[str, Any]:
    return {"PrimaryContainer": {"ModelDataUrl": data}} | more


def told(references: References, key: str, bucket: str = "data") -> tuple[list[str], list[str]]:
    """What uses this key, and what else needs it."""
    uses = references.to(bucket, [key])
    in_use = list(uses.in_use.value) if isinstance(uses.in_use, Value) else []
    return in_use, [user.label for user in uses.needed_only_by]


CONFIG = {"ProductionVariants": [{"VariantName": "blue", "ModelName": "Churn"}]}
SERVED: Descriptions = {
    MODEL: {"churn": model("s3://data/churn.tar.gz"), "idle": model("s3://data/idle.tar.gz")},
    ENDPOINT: {"api": {"EndpointConfigName": "api-1"}},
    ENDPOINT_CONFIG: {"api-1": CONFIG, "unused": {"ProductionVariants": [{"ModelName": "idle"}]}},
}


def test_what_an_endpoint_loads_is_in_use_and_what_nothing_serves_is_not() -> None:
    account = Account(SERVED)

    found = account.read()

    assert (found.errors, found.gaps, found.leftovers) == ([], [], [])
    assert told(found, "churn.tar.gz") == (["model churn"], [])
    assert told(found, "idle.tar.gz") == ([], ["model idle, which nothing serves"])
    assert found.to("data", ["other"]).in_use == Absent(REFERENCE_SOURCE)
    assert found.buckets == {"data"}
    assert [one["EndpointConfigName"] for one in account.script.asked(ENDPOINT_CONFIG.describes)] == ["api-1"]
    (user,) = found.to("data", ["idle.tar.gz"]).needed_only_by
    assert (user.path, user.in_use) == ("model/idle", False)


def test_a_pool_of_instances_loads_a_model_of_its_own() -> None:
    pool = {"InstanceType": "ml.g5.xlarge", "Priority": 1, "ModelNameOverride": "Idle"}
    variants = [CONFIG["ProductionVariants"][0] | {"InstancePools": [pool]}]
    found = Account(SERVED | {ENDPOINT_CONFIG: {"api-1": {"ProductionVariants": variants}}}).read()

    assert told(found, "churn.tar.gz") == (["model churn"], [])
    assert told(found, "idle.tar.gz") == (["model idle"], [])


@cases(
    "kind, description, used",
    (COMPONENT, {"Specification": {"ModelName": "churn"}}, True),
    (TRANSFORM_JOB, {"ModelName": "churn"}, True),
    (PIPELINE, {"PipelineDefinition": json.dumps({"Model": "Churn"})}, True),
    (PIPELINE, {"PipelineDefinition": json.dumps({"Model": "churn2"})}, False),
    (ENDPOINT, {"EndpointConfigName": "api-1", "EndpointStatus": "Failed"}, False),
    (ENDPOINT, {"EndpointConfigName": "api-1", "EndpointStatus": "Creating"}, True),
)
def test_what_uses_a_model(kind: SageMakerKind, description: dict[str, Any], used: bool) -> None:  # noqa: FBT001
    held: Descriptions = {MODEL: {"churn": model("s3://data/churn")}, ENDPOINT_CONFIG: {"api-1": CONFIG}}

    found = Account(held | {kind: {"user": description}}).read()

    assert (found.errors, found.gaps) == ([], [])
    assert told(found, "churn") == (
        (["model churn"], []) if used else ([], ["model churn, which nothing serves"])
    )


def source(kind: str, uri: str) -> dict[str, Any]:
    return {"DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}}


def package(status: str = "Approved", data: str = "s3://data/package") -> dict[str, Any]:
    return {"ModelApprovalStatus": status, "InferenceSpecification": {"Containers": [{"ModelDataUrl": data}]}}


def test_a_package_is_in_use_unless_it_was_rejected_or_a_model_in_use_loads_it() -> None:
    loads = {"PrimaryContainer": {"ModelPackageName": arn(MODEL_PACKAGE, "churn/2")}}
    held: Descriptions = {
        MODEL: {"churn": loads},
        MODEL_PACKAGE_GROUP: {"churn": {}},
        MODEL_PACKAGE: {
            "churn/1": package("Rejected", "s3://data/1"),
            "churn/2": package("Rejected", "s3://data/2"),
            "alone": package("PendingManualApproval", "s3://data/3"),
        },
    }
    served: Descriptions = {
        ENDPOINT: {"api": {"EndpointConfigName": "api-1"}},
        ENDPOINT_CONFIG: {"api-1": CONFIG},
    }

    account = Account(held)
    unused, used = account.read(), Account({**held, **served}).read()

    assert (unused.errors, used.errors) == ([], [])
    assert "ModelPackage" in {asked["Resource"] for asked in account.script.asked("sagemaker:Search")}
    rejected = "model package churn/{}, which was rejected"
    assert [told(unused, key) for key in "123"] == [
        ([], [rejected.format(1)]),
        ([], [rejected.format(2)]),
        (["model package alone"], []),
    ]
    assert [told(used, key) for key in "12"] == [([], [rejected.format(1)]), (["model package churn/2"], [])]


def training(status: str = "Completed", **more: Any) -> dict[str, Any]:
    return {
        "TrainingJobStatus": status,
        "InputDataConfig": [
            {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in"}}}
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://data/out/"},
    } | more


def test_jobs_refer_to_what_they_read_and_running_ones_to_where_they_will_write() -> None:
    ended: dict[str, Any] = {"ModelArtifacts": {"S3ModelArtifacts": "s3://data/out/fit/model.tar.gz"}}
    held: Descriptions = {TRAINING_JOB: {"fit": training(**ended), "runs": training("InProgress")}}

    found = Account(held).read()

    assert (found.errors, found.gaps) == ([], [])
    ended_label = "training job fit, which ended"
    assert told(found, "in/a.csv") == (["training job runs"], [ended_label])
    assert told(found, "input") == (["training job runs"], [ended_label])
    assert told(found, "out/fit/model.tar.gz") == ([], [ended_label])
    assert told(found, "out/runs/model.tar.gz") == (["training job runs"], [])
    assert told(found, "out/other") == ([], [])
    assert told(found, "out/fit/checkpoint") == ([], [])
    nowhere = training("InProgress", OutputDataConfig={"S3OutputPath": ""})
    assert told(Account({TRAINING_JOB: {"runs": nowhere}}).read(), "out/runs/a") == ([], [])


def test_a_job_that_ended_and_names_nothing_is_not_kept() -> None:
    held: Descriptions = {TRAINING_JOB: {"none": {"TrainingJobStatus": "Stopped"}}}

    assert told(Account(held).read(), "x") == ([], [])


def test_a_pipeline_refers_to_its_outputs_too() -> None:
    definition = json.dumps({"Steps": [{"OutputDataConfig": {"S3OutputPath": "s3://data/made"}}]})
    held: Descriptions = {
        PIPELINE: {"nightly": {"PipelineDefinition": definition}},
        PROCESSING_JOB: {"prep": {"ProcessingOutputConfig": {"S3Uri": "s3://data/prepared"}}},
    }

    found = Account(held).read()

    assert (told(found, "made"), told(found, "prepared")) == ((["pipeline nightly"], []), ([], []))


# --- who uses a folder, or an image --------------------------------------------------------------

FOLDER = "out/churn-1"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/churn"
OTHERS_IMAGE = f"210987654321.dkr.ecr.{REGION}.amazonaws.com/churn"


def reads(uri: str, s3_type: str = "S3Prefix") -> dict[str, Any]:
    return {"InputDataConfig": [source(s3_type, uri)]}


def wrote(uri: str) -> dict[str, Any]:
    return {"ModelArtifacts": {"S3ModelArtifacts": uri}}


@cases(
    "kind, name, description, used",
    (TRAINING_JOB, "fit", training(**reads(f"s3://data/{FOLDER}/output/")), True),
    (TRAINING_JOB, "fit", training(**reads(f"s3://data/{FOLDER}")), True),
    (TRAINING_JOB, "fit", training(**reads("s3://data/out")), True),
    (TRAINING_JOB, "fit", training(**reads("s3://data/")), True),
    (TRAINING_JOB, "fit", training(**reads(f"s3://hidden-s3alias/{FOLDER}/x")), True),
    (TRAINING_JOB, "fit", training(**reads(f"s3://other/{FOLDER}/x")), False),
    (TRAINING_JOB, "fit", training(**reads(f"s3://data/{FOLDER}0/output/")), False),
    (TRAINING_JOB, "fit", training(**wrote(f"s3://data/{FOLDER}/more/fit/output/model.tar.gz")), True),
    (TRAINING_JOB, "fit", training(**wrote(f"s3://other/{FOLDER}/fit/output/model.tar.gz")), False),
    (TRAINING_JOB, "churn-1", training(**wrote(f"s3://data/{FOLDER}/output/model.tar.gz")), False),
    (PROCESSING_JOB, "prep", {"ProcessingJobStatus": "Completed"} | reads(f"s3://data/{FOLDER}/a"), True),
    (PROCESSING_JOB, "prep", {"ProcessingJobStatus": "Completed"} | reads("s3://data/out/churn-2"), False),
    (TRANSFORM_JOB, "score", {"TransformJobStatus": "Stopped"} | reads(f"s3://data/{FOLDER}/a"), True),
    (COMPONENT, "part", {"Specification": {"Container": {"ArtifactUrl": f"s3://data/{FOLDER}/a"}}}, True),
    (MODEL_PACKAGE, "m", package("Rejected", f"s3://data/{FOLDER}/output/model.tar.gz"), True),
)
def test_who_uses_a_folder(kind: SageMakerKind, name: str, description: Any, *, used: bool) -> None:
    found = Account({kind: {name: description}}).read(jobs_since=MADE)

    user = found.to_folder("data", FOLDER, but="training-job/churn-1")

    assert (found.errors, found.gaps, type(user)) == ([], [], Value if used else Absent)


def test_a_place_may_be_one_users_folder_and_anothers_beginning() -> None:
    jobs = {
        "fit": training(**reads(f"s3://data/{FOLDER}/a")),
        "old": training(**wrote(f"s3://data/{FOLDER}/a")),
    }

    found = Account({TRAINING_JOB: jobs}).read().to_folder("data", FOLDER, but="training-job/fit")

    assert found == Value("training job old, which ended", REFERENCE_SOURCE)


def test_a_folder_may_be_in_use_where_a_reading_failed_or_an_endpoint_does_not_tell() -> None:
    account = Account({})
    account.script.answers[PROCESSING_JOB.lists] = DENIED
    untold = Account({ENDPOINT: {"api": {"EndpointConfigName": "gone"}}}).read(jobs_since=MADE)

    for found, why in ((account.read(jobs_since=MADE), "ListProcessingJobs"), (untold, "endpoint api")):
        user = found.to_folder("data", FOLDER, but="")
        assert isinstance(user, Unreadable)
        assert why in user.error
    assert isinstance(untold.images_in("churn"), Value)  # its description says which images it runs


def test_ended_jobs_beyond_a_number_may_use_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    held: Descriptions = {PROCESSING_JOB: {"a": {"ProcessingJobStatus": "Completed"}, "b": {}}}
    monkeypatch.setattr(references, "MOST_ENDED_JOBS", 2)
    assert Account(held).read(jobs_since=MADE).errors == []
    monkeypatch.setattr(references, "MOST_ENDED_JOBS", 1)

    account = Account(held)
    assert account.read(jobs_since=MADE).errors == ["only the newest 1 of 2 processing jobs were read"]
    assert len(account.script.asked(PROCESSING_JOB.describes)) == 1
    asked = account.script.asked(PROCESSING_JOB.lists)[0]
    assert (asked["CreationTimeAfter"], asked["SortOrder"], "StatusEquals" in asked) == (
        MADE,
        "Descending",
        False,
    )


def ran(image: str, status: str = "Completed", age: timedelta = timedelta()) -> dict[str, Any]:
    return training(status, AlgorithmSpecification={"TrainingImage": image}, CreationTime=MADE + DAY - age)


@cases(
    "kind, description, names",
    (MODEL, {"PrimaryContainer": {"Image": IMAGE}}, {"latest"}),
    (MODEL, {"PrimaryContainer": {"Image": OTHERS_IMAGE}}, set()),
    (MODEL, {"PrimaryContainer": {"Image": f"{IMAGE}:2@sha256:{'a' * 64}"}}, {f"sha256:{'a' * 64}"}),
    (ENDPOINT, {"ProductionVariants": [{"DeployedImages": [{"SpecifiedImage": f"{IMAGE}:2"}]}]}, {"2"}),
    (MODEL_PACKAGE, package(data=f"{IMAGE}@sha256:{'a' * 64}"), {f"sha256:{'a' * 64}"}),
    (MODEL_PACKAGE, package("Rejected", f"{IMAGE}:2"), set()),
    (PIPELINE, {"PipelineDefinition": json.dumps({"ImageUri": f"{IMAGE}:2"})}, {"2"}),
    (PIPELINE, {"PipelineDefinition": json.dumps({"ImageUri": f"{IMAGE}-2:2"})}, set()),
    (COMPONENT, {"Specification": {"Container": {"Image": f"{IMAGE}:2"}}}, {"2"}),
    (PROCESSING_JOB, {"ProcessingJobStatus": "Completed", "ImageUri": f"{IMAGE}:2"}, {"2"}),
    (TRAINING_JOB, ran(f"{IMAGE}:2"), {"2"}),
    (TRAINING_JOB, ran(f"{IMAGE}:2", age=2 * DAY), set()),
    (TRAINING_JOB, ran(f"{IMAGE}:2", "InProgress", age=2 * DAY), {"2"}),
)
def test_who_uses_an_image(kind: SageMakerKind, description: Any, names: set[str]) -> None:
    """Near misses: another account's, another repository's, a rejected package's, an old job's image."""
    held: Descriptions = {kind: {"user": description}}

    found = Account(held).read(jobs_since=MADE)

    assert found.errors == []
    assert found.images_in("churn") == Value(frozenset(names), REFERENCE_SOURCE)
    account = Account(held)
    account.script.answers[MODEL.lists] = DENIED
    assert isinstance(account.read(jobs_since=MADE).images_in("churn"), Unreadable)


# --- what is gone, and what cannot be read ------------------------------------------------------


def test_what_something_in_use_loads_and_is_gone_is_a_gap_and_else_a_leftover() -> None:
    held: Descriptions = {
        ENDPOINT: {
            "api": {"EndpointConfigName": "gone"},
            "bare": {},
            "empty": {"EndpointConfigName": "api-1"},
        },
        ENDPOINT_CONFIG: {"api-1": CONFIG},
        MODEL: {"idle": {"PrimaryContainer": {"ModelPackageName": "lost"}}},
    }

    found = Account(held).read()

    assert found.gaps == [
        "endpoint bare names no configuration: what it serves is unknown",
        *(
            f"endpoint {name} uses {what}, which exists no more: what it loads is unknown"
            " (CloudTrail does not know the request that deployed it). To end this, deploy it again:"
            f" aws sagemaker update-endpoint --endpoint-name {name} --endpoint-config-name NEW-CONFIGURATION"
            for name, what in (("api", "endpoint configuration gone"), ("empty", "model Churn"))
        ),
    ]
    assert found.leftovers == [
        "model idle, which nothing uses, names model package lost, which exists no more"
    ]

    account = Account(held)
    account.script.answers[PIPELINE.lists] = DENIED
    unread = account.read()
    assert (unread.gaps, unread.leftovers, len(unread.errors)) == ([], [], 1)
    assert isinstance(unread.to("data", ["x"]).in_use, Unreadable)


def test_what_others_hold_is_not_looked_for_here() -> None:
    theirs = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/a/1"
    other = f"arn:aws:sagemaker:{REGION}:210987654321:model-package/a/1"
    held: Descriptions = {
        MODEL: {
            str(n): {"PrimaryContainer": {"ModelPackageName": one}} for n, one in enumerate((theirs, other))
        }
    }

    assert Account(held).read().leftovers == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["lists", "describes"])
def test_what_cannot_be_read_is_an_error(kind: SageMakerKind, how: str) -> None:
    if (how == "lists") or kind not in {TRAINING_JOB, MODEL_PACKAGE_GROUP}:
        held: Descriptions = SERVED | {
            one: {"a/1" if one is MODEL_PACKAGE else "a": {}}
            for one in (
                PIPELINE,
                COMPONENT,
                PROCESSING_JOB,
                TRANSFORM_JOB,
                MODEL_PACKAGE,
                MODEL_PACKAGE_GROUP,
            )
        }
        account = Account(held, unlisted="churn")
        account.script.answers[getattr(kind, how)] = DENIED

        found = account.read()

        assert found.errors
        assert all(getattr(kind, how).partition(":")[2] in one for one in found.errors)


def test_a_configuration_that_was_cut_off_is_unreadable() -> None:
    account = Account(SERVED | {ENDPOINT_CONFIG: {"api-1": {}}})

    assert account.read().errors == ["endpoint configuration api-1: the answer was cut off"]


def test_a_user_whose_description_lacks_a_member_may_use_anything() -> None:
    account = Account({PROCESSING_JOB: {"prep": {}}})
    account.script.answers[PROCESSING_JOB.describes] = Torn({"CreationTime": MADE})

    found = account.read()

    assert found.errors == ["processing job prep has no ProcessingJobStatus"]
    assert isinstance(found.to("data", ["x"]).in_use, Unreadable)


# --- what CloudTrail says of an endpoint without its configuration -------------------------------


def trail(**calls: Any) -> dict[str, list[dict[str, Any]]]:
    """The events of a usual deployment, by call: each is days ago and a request; None has no event."""
    config = {
        "endpointConfigName": "api-1",
        "productionVariants": [{"modelName": "churn", "variantName": "a"}],
    }
    usual: dict[str, Any] = {
        "CreateModel": [
            (41, {"modelName": "Churn", "primaryContainer": {"modelDataUrl": "s3://data/churn"}})
        ],
        "CreateEndpointConfig": [(40.5, config)],
        "CreateEndpoint": [(40, {"endpointName": "API", "endpointConfigName": "api-1"})],
        "UpdateEndpoint": [],
    }
    return {
        call: [
            {
                "EventName": call,
                "EventTime": NOW - days * DAY,
                "EventSource": "sagemaker.amazonaws.com",
                "CloudTrailEvent": request if request == "{" else json.dumps({"requestParameters": request}),
            }
            for days, request in events
        ]
        for call, events in (usual | calls).items()
    }


def model_made(days: float, data: str = "s3://data/other", **more: Any) -> tuple[float, Any]:
    return days, {"modelName": "churn", "primaryContainer": {"modelDataUrl": data}} | more


CONFIG_MADE = {"endpointConfigName": "api-1", "productionVariants": [{"modelName": "churn"}]}
MADE_OF_A_LIST = {
    "modelName": "churn",
    "primaryContainer": {"modelDataSource": {"s3DataSource": {"manifestS3Uri": "s3://lists/m"}}},
}
UPDATED = {"endpointName": "api", "endpointConfigName": "api-1"}
A_CLOCK_AHEAD = 40 + 5 / 24 / 60
"""Days ago: five minutes before the endpoint was made, by the clock of CloudTrail."""


@cases(
    "calls, key, unknown",
    ({}, "churn", None),
    ({"CreateModel": [model_made(41, "s3://data/churn"), model_made(39)]}, "churn", None),  # made again later
    ({"CreateModel": [model_made(42), model_made(41, "s3://data/churn")]}, "churn", None),
    ({"CreateModel": [model_made(39)]}, "", "does not know the request that made model churn"),
    ({"CreateModel": []}, "", "does not know the request that made model churn"),
    ({"CreateModel": [(41, {"modelName": "churn"})]}, "", "event of model churn was cut off"),
    ({"CreateModel": [model_made(41, "HIDDEN_DUE_TO_SECURITY_REASONS")]}, "", "was cut off"),
    ({"CreateModel": [(41, MADE_OF_A_LIST)]}, "", "a manifest lists what model churn loaded"),
    ({"CreateModel": [(41, "{")]}, "", "1 of 1 entries could not be read"),
    ({"CreateEndpointConfig": []}, "", "made endpoint configuration api-1"),
    ({"CreateEndpointConfig": [(39, CONFIG_MADE)]}, "", "made endpoint configuration api-1"),
    ({"CreateEndpointConfig": [(40, CONFIG_MADE)]}, "churn", None),
    ({"CreateEndpointConfig": [(40.5, {"endpointConfigName": "api-1"})]}, "", "was cut off"),
    ({"CreateEndpointConfig": [(40.5, CONFIG_MADE), (39, {})]}, "churn", None),
    ({"CreateEndpoint": []}, "", "does not know the request that deployed it"),
    ({"CreateEndpoint": [(A_CLOCK_AHEAD, UPDATED)]}, "churn", None),
    ({"CreateEndpoint": [(A_CLOCK_AHEAD + 1e-5, UPDATED)]}, "", "does not know the request that deployed it"),
    ({"CreateEndpoint": [(50, UPDATED)]}, "", "does not know the request that deployed it"),
    ({"CreateEndpoint": [], "UpdateEndpoint": [(39, UPDATED)]}, "churn", None),
    ({"UpdateEndpoint": [(39, UPDATED | {"endpointConfigName": "api-2"})]}, "", "another configuration"),
    ({"UpdateEndpoint": [(39, UPDATED | {"endpointName": "api2"})]}, "churn", None),
)
def test_an_endpoint_without_its_configuration_loads_what_cloudtrail_recorded(
    calls: dict[str, Any], key: str, unknown: str | None
) -> None:
    """The newest deployment counts, and of each name what was made before it; anything cut off is unread."""
    held: Descriptions = {ENDPOINT: {"api": {"EndpointConfigName": "api-1"}}}
    found = Account(held, events=trail(**calls)).read()

    assert found.errors == []
    if unknown is None:
        assert (told(found, key), found.gaps) == ((["endpoint api"], []), [])
    else:
        (gap,) = found.gaps
        assert unknown in gap
        assert "update-endpoint --endpoint-name api" in gap


def test_a_model_that_is_still_there_is_what_a_deleted_configuration_loads() -> None:
    """Unless it was made again after the deployment; its package, and a late change, are looked at too."""
    held: Descriptions = {
        ENDPOINT: {"api": {"EndpointConfigName": "api-1"}},
        MODEL: {"churn": model("s3://data/kept", CreationTime=MADE - DAY)},
    }
    packaged = {MODEL: {"churn": {"PrimaryContainer": {"ModelPackageName": "p"}, "CreationTime": MADE - DAY}}}
    again = {MODEL: {"churn": model("s3://data/kept", CreationTime=MADE + DAY)}}
    changed = {ENDPOINT: {"api": {"EndpointConfigName": "api-1", "LastModifiedTime": NOW - DAY / 25}}}

    at_once = {MODEL: {"churn": model("s3://data/kept", CreationTime=MADE)}}
    for there in (held, held | at_once):
        kept = Account(there, events=trail()).read()
        assert (told(kept, "kept")[0], kept.gaps) == (["model churn"], [])
    renewed = Account(held | again, events=trail()).read()
    assert (told(renewed, "churn")[0], told(renewed, "kept")[0]) == (["endpoint api"], [])
    (gone,) = Account(held | packaged, events=trail()).read().gaps
    assert "model package p exists no more" in gone
    there = {MODEL_PACKAGE: {"p": package("Rejected")}}
    assert told(Account(held | packaged | there, events=trail()).read(), "package")[0] == ["model package p"]
    (late,) = Account(held | changed, events=trail()).read().gaps
    assert "it changed within the last 60 minutes" in late
    changed[ENDPOINT]["api"]["LastModifiedTime"] = NOW - DAY / 24
    assert Account(held | changed, events=trail()).read().gaps == []
    account = Account(held, events=trail())
    account.script.answers["cloudtrail:LookupEvents"] = DENIED
    (denied,) = account.read().gaps
    assert "AccessDenied" in denied
    account.script.answers["cloudtrail:LookupEvents"] = {}
    (unasked,) = read_references(account.script.aws(), (), NOW).gaps
    assert "CloudTrail was not asked" in unasked
    assert Account(SERVED).read().gaps == []  # nothing is missing, so nothing is asked


def test_what_a_manifest_lists_stays_in_use_without_the_configuration() -> None:
    listed = {"S3DataSource": {"ManifestS3Uri": "s3://lists/m"}}
    held: Descriptions = {
        ENDPOINT: {"api": {"EndpointConfigName": "api-1"}},
        MODEL: {"churn": {"PrimaryContainer": {"ModelDataSource": listed}, "CreationTime": MADE - DAY}},
    }

    found = Account(held, {"s3://lists/m": CSV}, events=trail()).read()

    assert [told(found, key)[0] for key in "efg"] == [["model churn"], ["model churn"], []]


def test_a_history_is_what_sagemaker_did_for_as_long_as_events_are_kept_the_newest_first() -> None:
    made = trail(CreateModel=[model_made(42), model_made(41)])["CreateModel"]
    refused = made[0] | {"CloudTrailEvent": json.dumps({"errorCode": "AccessDenied"})}
    others = made[0] | {"EventSource": "bedrock.amazonaws.com"}
    account = Account({}, events={"CreateModel": [refused, *made, others]})

    history = DeploymentHistory.read(account.script.aws(), NOW)

    assert [event.at for event in history.events["CreateModel"]] == [NOW - 41 * DAY, NOW - 42 * DAY]
    since = {asked["StartTime"] for asked in account.script.asked("cloudtrail:LookupEvents")}
    assert since == {NOW - 90 * DAY}


# --- how often it is asked ----------------------------------------------------------------------


def test_models_are_described_only_where_search_does_not_show_them_whole() -> None:
    held: Descriptions = {
        MODEL: {
            "whole": model("s3://data/a"),
            "chain": {"Containers": [{"ModelDataUrl": "s3://data/b"}]},
            "hollow": {},
            "unknown": model("s3://data/c"),
        }
    }
    account = Account(held, unlisted="unknown")

    found = account.read()

    assert [bool(told(found, key)[1]) for key in "abc"] == [True, True, True]
    assert [one["ModelName"] for one in account.script.asked(MODEL.describes)] == ["hollow", "unknown"]


@cases("aided, times", (True, 2), (False, 1))
def test_looking_again_describes_only_what_may_have_changed(*, aided: bool, times: int) -> None:
    changed = {"EndpointConfigName": "api-1", "LastModifiedTime": NOW - DAY}
    held: Descriptions = {
        **SERVED,
        ENDPOINT: {"api": changed},
        PIPELINE: {"same": {}},
        TRANSFORM_JOB: {"t": {}},
    }
    account = Account(held)
    listed = account.script.answers[ENDPOINT.lists]
    assert callable(listed)
    entries = listed({})[ENDPOINT.members]
    account.script.answers[ENDPOINT.lists] = Torn(
        {ENDPOINT.members: [entries[0] | {"LastModifiedTime": MADE}]}
    )
    aws = account.script.aws()
    aws.aided = aided  # not while it acts

    for _ in range(2):
        assert read_references(aws, (), NOW).errors == []

    described = [called for called, _ in account.script.calls if "Describe" in called]
    assert sorted(described) == sorted(
        [
            ENDPOINT.describes,
            ENDPOINT.describes,
            *[ENDPOINT_CONFIG.describes] * times,
            PIPELINE.describes,
            TRANSFORM_JOB.describes,
        ]
    )
    assert len([one for one in account.script.asked("sagemaker:Search") if one["Resource"] == "Model"]) == 1
    entries[0]["EndpointStatus"] = "Failed"


# --- manifests ----------------------------------------------------------------------------------


MANIFEST = json.dumps([{"prefix": "s3://data/"}, "a.csv", "b.csv"])
PREFIX = json.dumps([{"prefix": "s3://data/raw-"}])
LINES = "\n".join(["", *(json.dumps({"source-ref": f"s3://data/{name}"}) for name in "cd")])
CSV = 'one,"s3://data/e"\ntwo,s3://data/f\n'


def lists_inputs(*jobs: str, uri: str = "s3://lists/m") -> Descriptions:
    """Running training jobs whose inputs are listed there."""
    job = training("InProgress", InputDataConfig=[source("ManifestFile", uri)])
    return {TRAINING_JOB: dict.fromkeys(jobs, job)}


@cases(
    "kind, content, used, unused",
    ("ManifestFile", MANIFEST, ["a.csv", "b.csv"], ["c", "raw-1"]),
    ("ManifestFile", PREFIX, ["raw-1", "raw-/x"], ["raw"]),
    ("AugmentedManifestFile", LINES, ["c", "d"], ["a.csv"]),
)
def test_a_running_job_needs_manifests(kind: str, content: str, used: list[str], unused: list[str]) -> None:
    for status, uses in (("InProgress", True), ("Completed", False)):
        reads = training(status, InputDataConfig=[source(kind, "s3://lists/m")])
        found = Account({TRAINING_JOB: {"fit": reads}}, {"s3://lists/m": content}).read()

        assert (found.errors, found.gaps) == ([], [])
        assert [told(found, key) for key in used] == [(["training job fit"] if uses else [], [])] * len(used)
        assert [told(found, key) for key in unused] == [([], [])] * len(unused)


def test_what_a_models_manifest_lists_is_referred_to_by_the_model() -> None:
    lists = {"PrimaryContainer": {"ModelDataSource": {"S3DataSource": {"ManifestS3Uri": "s3://lists/m"}}}}

    found = Account(SERVED | {MODEL: {"churn": lists, "idle": lists}}, {"s3://lists/m": CSV}).read()

    assert told(found, "e") == (["model churn"], ["model idle, which nothing serves"])
    assert told(found, "f") == (["model churn"], ["model idle, which nothing serves"])


@cases(
    "uri, content, gap",
    ("s3://other/m", MANIFEST, "which was not opened, because read_contents_in does not name its bucket"),
    ("s3://lists/m", "[]", "which lists no address that is understood"),
    ("s3://lists/m", "{", "which lists no address that is understood"),
    ("s3://lists/m", "3", "which lists no address that is understood"),
    ("s3://lists/m", '[{"no": "prefix"}]', "which lists no address that is understood"),
    ("s3://lists/m", f"{MANIFEST}{' ' * 60}", "which is too large to be read"),
    ("s3://lists/m", f"{MANIFEST}{' ' * (100 - len(MANIFEST))}", None),
)
def test_a_manifest_whose_content_is_unknown_is_a_gap(
    monkeypatch: pytest.MonkeyPatch, uri: str, content: str, gap: str | None
) -> None:
    monkeypatch.setattr(locations, "LARGEST_MANIFEST", 100)
    found = Account(lists_inputs("fit", uri=uri), {uri: content}).read()

    assert found.gaps == ([] if gap is None else [f"training job fit reads what {uri} lists, {gap}"])


def test_a_manifest_that_is_gone_is_a_gap_and_one_that_is_refused_an_error() -> None:
    held = lists_inputs("fit")

    assert Account(held).read().gaps == [
        "training job fit uses manifest s3://lists/m, which exists no more: what it loads is unknown"
    ]
    account = Account(held)
    gone = locations.read_manifest(
        account.script.aws(), locations.S3Manifest("s3://lists/m", "CSV"), ("s3://lists/",)
    )
    assert gone == Absent("s3:GetObject")
    account.script.answers["s3:GetObject"] = DENIED
    assert account.read().errors == ["s3://lists/m: GetObject: AccessDeniedException: denied"]


def test_a_manifest_is_read_once() -> None:
    account = Account(lists_inputs("one", "two"), {"s3://lists/m": MANIFEST})

    assert told(account.read(), "a.csv") == (["training job one", "training job two"], [])
    assert len(account.script.asked("s3:GetObject")) == 1
    assert locations.LARGEST_MANIFEST == 32 * 1024**2
