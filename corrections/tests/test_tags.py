from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

import plain_requests
from plain_requests import ROLE

TEAM = {"Key": "team", "Value": "search"}


def resources(aws: Any, region: str = "us-east-1", **filters: Any) -> dict[str, Any]:
    found = aws("resourcegroupstaggingapi", region=region).get_resources(**filters)
    return {one["ResourceARN"]: one["Tags"] for one in found["ResourceTagMappingList"]}


def test_a_key_is_there_once(sagemaker: Any, endpoint: Any) -> None:
    arn = endpoint("e")
    sagemaker.add_tags(ResourceArn=arn, Tags=[TEAM, {"Key": "aws:cloudformation:stack-name", "Value": "s"}])
    sagemaker.add_tags(ResourceArn=arn, Tags=[TEAM | {"Value": "ads"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["aws:cloudformation:stack-name", "never-there"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "ads"}]


def test_tags_come_in_pages_of_fifty_or_more(sagemaker: Any, endpoint: Any) -> None:
    arn = endpoint("e")
    fifty = [{"Key": f"k{number:02}", "Value": "v"} for number in range(50)]
    sagemaker.add_tags(ResourceArn=arn, Tags=fifty)
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == fifty
    with pytest.raises(ClientError, match="limit of 50"):
        sagemaker.add_tags(ResourceArn=arn, Tags=[TEAM])
    with pytest.raises(ClientError, match="Could not find resource"):
        sagemaker.list_tags(ResourceArn=arn + "-ghost")


def test_an_arn_may_have_several_slashes(sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="g",
        ModelPackageDescription="d",
        InferenceSpecification=plain_requests.SPECIFICATION,
    )["ModelPackageArn"]
    assert arn.endswith(":model-package/g/1")
    for _ in range(2):
        sagemaker.add_tags(ResourceArn=arn, Tags=[TEAM])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [TEAM]


def test_all_kinds_are_found_by_their_tags(sagemaker: Any, aws: Any, endpoint: Any, training: Any) -> None:
    endpoint("e", ExecutionRoleArn=ROLE)
    training("job", Tags=[TEAM])
    plain_requests.component(sagemaker, "c", "e", Tags=[TEAM])
    aws("s3").create_bucket(Bucket="bucket")
    aws("s3").put_bucket_tagging(Bucket="bucket", Tagging={"TagSet": [TEAM]})
    found = resources(aws)
    assert {arn.rpartition(":")[2] for arn in found} == {
        "training-job/job",
        "inference-component/c",
        "bucket",
    }
    assert list(resources(aws, ResourceTypeFilters=["sagemaker:training-job"])) == [
        arn for arn in found if arn.endswith("training-job/job")
    ]
    assert resources(aws, TagFilters=[{"Key": "team", "Values": ["other"]}]) == {}
    assert resources(aws, region="eu-west-1") == {}


def test_previously_tagged_is_listed_and_never_tagged_is_not(aws: Any, sagemaker: Any, endpoint: Any) -> None:
    once, _ = endpoint("once"), endpoint("never")
    sagemaker.add_tags(ResourceArn=once, Tags=[TEAM])
    aws("resourcegroupstaggingapi").untag_resources(ResourceARNList=[once], TagKeys=["team"])
    s3 = aws("s3")
    for bucket in ("once-1", "never-1"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_tagging(Bucket="once-1", Tagging={"TagSet": [TEAM]})
    s3.delete_bucket_tagging(Bucket="once-1")
    assert resources(aws) == {once: [], "arn:aws:s3:::once-1": []}


def test_a_page_may_be_asked_for_again(aws: Any, sagemaker: Any, endpoint: Any) -> None:
    for number in range(5):
        sagemaker.add_tags(ResourceArn=endpoint(f"e{number}"), Tags=[TEAM])
    tagging = aws("resourcegroupstaggingapi")
    token = tagging.get_resources(ResourcesPerPage=2)["PaginationToken"]
    first, again = (
        tagging.get_resources(ResourcesPerPage=2, PaginationToken=token)["ResourceTagMappingList"]
        for _ in "12"
    )
    assert first == again
    assert len(first) == 2
    pages = tagging.get_paginator("get_resources").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["ResourceTagMappingList"]) for page in pages] == [2, 2, 1]


def test_tagging_in_bulk_reaches_sagemaker(aws: Any, sagemaker: Any, endpoint: Any) -> None:
    arn = endpoint("e")
    answer = aws("resourcegroupstaggingapi").tag_resources(ResourceARNList=[arn], Tags={"team": "search"})
    assert answer["FailedResourcesMap"] == {}
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [TEAM]


def test_a_bucket_has_its_tags_as_they_were_written(aws: Any) -> None:
    s3 = aws("s3")
    s3.create_bucket(Bucket="models")
    tags = [{"Key": "owner", "Value": ""}, {"Key": "team ", "Value": " "}, {"Key": "a", "Value": " x "}]
    s3.put_bucket_tagging(Bucket="models", Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket="models")["TagSet"] == tags


def one_of_each(sagemaker: Any, endpoint: Any, training: Any) -> dict[str, str]:
    """A resource of every kind that carries tags and is told of by a listing, by its type in ARNs."""
    endpoint("e", ExecutionRoleArn=ROLE)
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE)
    plain_requests.component(sagemaker, "c", "e")
    plain_requests.notebook(sagemaker, "n")
    training("t")
    plain_requests.processing(sagemaker, "p")
    plain_requests.transform(sagemaker, "b")
    plain_requests.tuning(sagemaker, "h")
    domain = plain_requests.domain(sagemaker, "d")
    sagemaker.create_space(DomainId=domain, SpaceName="s")
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    plain_requests.pipeline(sagemaker, "l")
    cluster = plain_requests.cluster(sagemaker, "k")
    root = cluster.rpartition(":")[0]
    names = {
        "endpoint": "e",
        "endpoint-config": "e",
        "model": "m",
        "inference-component": "c",
        "notebook-instance": "n",
        "training-job": "t",
        "processing-job": "p",
        "transform-job": "b",
        "hyper-parameter-tuning-job": "h",
        "domain": domain,
        "space": f"{domain}/s",
        "model-package-group": "g",
        "pipeline": "l",
    }
    return {kind: f"{root}:{kind}/{name}" for kind, name in names.items()} | {"cluster": cluster}


def test_every_kind_takes_and_returns_tags(sagemaker: Any, aws: Any, endpoint: Any, training: Any) -> None:
    env = {"Key": "env", "Value": "dev"}
    arns = one_of_each(sagemaker, endpoint, training)
    for arn in arns.values():
        sagemaker.add_tags(ResourceArn=arn, Tags=[TEAM])
        sagemaker.add_tags(ResourceArn=arn, Tags=[env])
    assert resources(aws, ResourceTypeFilters=["sagemaker"]) == {arn: [TEAM, env] for arn in arns.values()}
    for kind, arn in arns.items():
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=["env"])
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [TEAM], kind


def test_repositories_take_tags_and_give_them_up_again(aws: Any) -> None:
    ecr = aws("ecr")
    arn = ecr.create_repository(repositoryName="serve")["repository"]["repositoryArn"]
    ecr.tag_resource(resourceArn=arn, tags=[TEAM, {"Key": "env", "Value": "dev"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["env"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [TEAM]
