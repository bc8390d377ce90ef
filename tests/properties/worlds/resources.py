"""Random resources of which only the tags are judged."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import BUCKET, COMPLETE, DAY, EXEMPT, MISSPELT, NONE, UNKEPT, Account, Kind, Thing
from properties.worlds.endpoints import MODEL
from sagemaker_requests import pipeline_request, processing_request, rented, transform_request

JOBS = ("processing-job", "transform-job")


@dataclass(frozen=True, kw_only=True)
class Resource(Thing):
    """A model package group, a pipeline, or a job that is *running* or over."""

    calls = (
        "tag:GetResources",
        "sagemaker:ListTags",
        "sagemaker:ListTags",
        "sagemaker:ListModels",
        "sagemaker:Search",
        "s3:GetBucketTagging",
        "cloudtrail:LookupEvents",
    )

    kind: str
    age: timedelta
    running: bool

    def build(self, account: Account) -> None:
        account.be(self.age)
        arn = MAKERS[self.kind](account, account.name(self.kind), self.labels.listed)
        if self.kind in JOBS and not self.running:
            plural, name = f"{self.kind.replace('-', '_')}s", arn.rpartition("/")[2]
            status = f"{self.kind.title().replace('-', '')}Status"
            account.control.patch("sagemaker", [plural, name], **{status: "Completed"})
        recent = self.kind not in JOBS or self.running or self.age <= 7 * DAY
        account.tagged(arn, self.labels, judged=recent)


def _group(account: Account, name: str, tags: Any) -> str:
    made = account.sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=tags)
    return made["ModelPackageGroupArn"]


def _pipeline(account: Account, name: str, tags: Any) -> str:
    made = account.sagemaker.create_pipeline(**pipeline_request(name, Tags=tags))
    return made["PipelineArn"]


def _processing_job(account: Account, name: str, tags: Any) -> str:
    made = account.sagemaker.create_processing_job(
        **processing_request(name, rented("ml.m5.large", 1, 10), Tags=tags)
    )
    return made["ProcessingJobArn"]


def _transform_job(account: Account, name: str, tags: Any) -> str:
    source, out = f"s3://{BUCKET}/batch", f"s3://{BUCKET}/scored"
    made = account.sagemaker.create_transform_job(
        **transform_request(name, MODEL, source=source, out=out, Tags=tags)
    )
    return made["TransformJobArn"]


MAKERS = {
    "model-package-group": _group,
    "pipeline": _pipeline,
    "processing-job": _processing_job,
    "transform-job": _transform_job,
}

KINDS = (
    *(
        Kind.of(
            Resource,
            kind=([kind],),
            labels=([NONE, *MISSPELT], [COMPLETE, *EXEMPT]),
            age=([40 * DAY],),
            running=([True], [False]),
        )
        for kind in MAKERS
    ),
    Kind.of(Resource, kind=(JOBS,), labels=(UNKEPT[2:], EXEMPT), age=([DAY], [40 * DAY]), running=([False],)),
)
