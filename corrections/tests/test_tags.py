from typing import Any

import plain_requests
from plain_requests import ROLE, refusal

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
    assert "limit of 50" in refusal(sagemaker.add_tags, ResourceArn=arn, Tags=[TEAM])
    assert "Could not find resource" in refusal(sagemaker.list_tags, ResourceArn=arn + "-ghost")


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


def test_every_kind_takes_and_returns_tags(sagemaker: Any, aws: Any, endpoint: Any, training: Any) -> None:
    """Of all that carry tags and are told of by a listing."""
    root, _, training_job = training("n").rpartition(":")
    endpoint("n", ExecutionRoleArn=ROLE)
    sagemaker.create_model(ModelName="n", ExecutionRoleArn=ROLE)
    plain_requests.component(sagemaker, "n", "n")
    for make in ("notebook", "processing", "transform", "tuning", "pipeline"):
        getattr(plain_requests, make)(sagemaker, "n")
    domain = plain_requests.domain(sagemaker, "n")
    sagemaker.create_space(DomainId=domain, SpaceName="n")
    sagemaker.create_model_package_group(ModelPackageGroupName="n")
    kinds = (
        *("endpoint", "endpoint-config", "model", "inference-component", "notebook-instance", "pipeline"),
        *("processing-job", "transform-job", "hyper-parameter-tuning-job", "model-package-group"),
    )
    paths = [training_job, f"domain/{domain}", f"space/{domain}/n", *(f"{kind}/n" for kind in kinds)]
    arns = [f"{root}:{path}" for path in paths]
    arns.append(plain_requests.cluster(sagemaker, "n"))
    env = {"Key": "env", "Value": "dev"}
    for arn in arns:
        sagemaker.add_tags(ResourceArn=arn, Tags=[TEAM])
        sagemaker.add_tags(ResourceArn=arn, Tags=[env])
    assert resources(aws, ResourceTypeFilters=["sagemaker"]) == {arn: [TEAM, env] for arn in arns}
    for arn in arns:
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=["env"])
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [TEAM], arn
