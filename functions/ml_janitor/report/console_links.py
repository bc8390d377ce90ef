"""The page of the AWS console that shows a resource. Pure."""

from __future__ import annotations

from urllib.parse import quote

from ml_janitor.aws.arns import Arn

PAGES = {
    "endpoint": "endpoints",
    "endpoint-config": "endpointConfig",
    "model": "models",
    "notebook-instance": "notebook-instances",
    "training-job": "jobs",
    "processing-job": "processing-jobs",
    "transform-job": "transform-jobs",
    "hyper-parameter-tuning-job": "hyper-tuning-jobs",
    "app": "studio",
    "space": "studio",
    "domain": "studio",
}
"""The pages of the SageMaker console; for an app or a space, that of its domain."""

HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def console_link(arn: str, name: str, region: str) -> str:
    """The address for the resource *arn*, called *name*; by its ARN where its page is not known."""
    parsed = Arn.parse(arn)
    host = HOSTS.get(parsed.partition, HOSTS["aws"])
    first, _, rest = parsed.name.partition("/")
    match parsed.service, parsed.kind:
        case "sagemaker", kind if kind in PAGES:
            shown = first if PAGES[kind] == "studio" else name
            path = f"sagemaker/home?region={region}#/{PAGES[kind]}/{quote(shown, safe='')}"
        case "s3", "bucket":
            path = f"s3/buckets/{quote(first)}?region={region}"
        case "s3", "object":
            path = f"s3/object/{quote(first)}?region={region}&prefix={quote(rest, safe='')}"
        case "ecr", _:
            repository = f"{parsed.account}/{quote(parsed.name, safe='')}"
            path = f"ecr/repositories/private/{repository}?region={region}"
        case _:
            return f"https://{host}/go/view?arn={quote(arn, safe='')}"
    return f"https://{region}.{host}/{path}"
