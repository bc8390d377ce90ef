"""The CDK aspect that `janitor policies write` writes, on a small app."""

import importlib.util
from pathlib import Path
from types import ModuleType

import aws_cdk as cdk
import pytest
from aws_cdk import assertions, aws_ecr, aws_iam, aws_s3, aws_sagemaker
from constructs import Construct

from ml_janitor_cli.policies import EnforcedLimits, policy_files
from narrowing import not_none


@pytest.fixture(scope="module")
def aspect(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The file, imported as an app imports it."""
    path: Path = tmp_path_factory.mktemp("policies") / "required_tags.py"
    made = policy_files(EnforcedLimits(tags=("team", "owner"), max_runtime=60, max_keep_alive=60))
    path.write_text(made["required_tags.py"])
    spec = not_none(importlib.util.spec_from_file_location("required_tags", path))
    module = importlib.util.module_from_spec(spec)
    not_none(spec.loader).exec_module(module)
    return module


def endpoint(scope: Construct, **tags: str) -> Construct:
    given = [cdk.CfnTag(key=key, value=value) for key, value in tags.items()] or None
    return aws_sagemaker.CfnEndpoint(scope, "Endpoint", endpoint_config_name="c", tags=given)


def errors(aspect: ModuleType, stack: cdk.Stack) -> list[str]:
    aspect.require_tags(stack.node.root)
    found = assertions.Annotations.from_stack(stack).find_error("*", assertions.Match.any_value())
    return sorted(f"{one.id} {one.entry.data}" for one in found)


def test_each_resource_without_its_tags_is_named(aspect: ModuleType) -> None:
    stack = cdk.Stack(cdk.App(), "S")
    endpoint(stack, team="nlp", owner="")
    aws_s3.CfnBucket(stack, "Bucket")
    aws_ecr.CfnRepository(
        stack, "Repository", tags=[cdk.CfnTag(key="team", value="a"), cdk.CfnTag(key="owner", value="b")]
    )
    aws_sagemaker.CfnImageVersion(stack, "Version", image_name="i", base_image="b")  # takes no tags
    aws_iam.CfnGroup(stack, "Group")

    assert errors(aspect, stack) == [
        "/S/Bucket AWS::S3::Bucket lacks the required tags team, owner",
        "/S/Endpoint AWS::SageMaker::Endpoint lacks the required tags owner",
    ]


def test_tags_of_the_app_a_construct_and_the_stack_count(aspect: ModuleType) -> None:
    app = cdk.App()
    stack = cdk.Stack(app, "S", tags={"team": "nlp"})
    made = endpoint(stack)
    aspect.require_tags(app)  # before the tag is added: it looks last
    cdk.Tags.of(made).add("owner", "ada")

    assert errors(aspect, stack) == []
