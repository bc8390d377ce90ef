import datetime as dt
import re
from typing import Any

import pytest

import plain_requests
from corrected import NOW, Control
from plain_requests import ROLE, refusal, refused

DAY = dt.timedelta(days=1)
OF_SAGEMAKER = {"MaxResults": 51, "ServiceNamespace": "sagemaker"}


def names(answer: dict[str, Any]) -> list[str]:
    return [one["EndpointName"] for one in answer["Endpoints"]]


@pytest.fixture
def dozen(control: Control, endpoint: Any) -> None:
    """e00 to e11, one a day, the last one today."""
    for number in range(12):
        control.set_clock(NOW - (11 - number) * DAY)
        endpoint(f"e{number:02}")


@pytest.mark.usefixtures("dozen")
def test_ten_to_a_page_newest_first(sagemaker: Any) -> None:
    page = sagemaker.list_endpoints()
    assert names(page) == [f"e{number:02}" for number in range(11, 1, -1)]
    rest = sagemaker.list_endpoints(NextToken=page["NextToken"])
    assert names(rest) == ["e01", "e00"]
    assert "NextToken" not in rest


@pytest.mark.usefixtures("dozen")
def test_a_page_may_hold_fewer_than_asked_for(sagemaker: Any, control: Control) -> None:
    control.set_pages(5)
    pages = sagemaker.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 100})

    assert [len(page["Endpoints"]) for page in pages] == [5, 5, 2]
    with pytest.raises(ValueError, match="a page holds one entry or more"):
        control.set_pages(0)


@pytest.mark.usefixtures("dozen")
def test_a_page_survives_the_deletion_of_its_neighbours(sagemaker: Any, control: Control) -> None:
    token = sagemaker.list_endpoints(MaxResults=3)["NextToken"]
    with control.at_once():
        for gone in ("e09", "e08"):
            sagemaker.delete_endpoint(EndpointName=gone)
    assert names(sagemaker.list_endpoints(MaxResults=3, NextToken=token)) == ["e07", "e06", "e05"]


@pytest.mark.usefixtures("dozen")
def test_filters_and_orders(sagemaker: Any, control: Control) -> None:
    control.patch("sagemaker", ["endpoints", "e05"], status="Failed", last_modified_time=NOW - 90 * DAY)
    assert names(sagemaker.list_endpoints(StatusEquals="Failed")) == ["e05"]
    assert names(sagemaker.list_endpoints(NameContains="E1")) == ["e11", "e10"]
    assert names(sagemaker.list_endpoints(CreationTimeBefore=NOW - 10 * DAY)) == ["e00"]
    assert names(sagemaker.list_endpoints(CreationTimeAfter=NOW - DAY)) == ["e11"]
    assert names(sagemaker.list_endpoints(LastModifiedTimeBefore=NOW - 30 * DAY)) == ["e05"]
    by_name = sagemaker.list_endpoints(SortBy="Name", SortOrder="Ascending", MaxResults=2)
    assert names(by_name) == ["e00", "e01"]
    assert names(sagemaker.list_endpoints(SortBy="Status", SortOrder="Ascending", MaxResults=1)) == ["e05"]


@pytest.mark.parametrize("method", ["list_endpoints", "list_models", "list_training_jobs", "list_pipelines"])
def test_more_than_a_hundred_cannot_be_asked_for(sagemaker: Any, method: str) -> None:
    said = refusal(getattr(sagemaker, method), MaxResults=101)
    assert re.search("ValidationException.*less than or equal to 100", said)


@pytest.mark.parametrize(
    ("service", "method", "asked", "code"),
    [
        ("application-autoscaling", "describe_scalable_targets", OF_SAGEMAKER, "ValidationException"),
        ("cloudtrail", "lookup_events", {"MaxResults": 51}, "InvalidMaxResultsException"),
        ("ecr", "describe_repositories", {"maxResults": 1001}, "InvalidParameterException"),
        ("resourcegroupstaggingapi", "get_resources", {"ResourcesPerPage": 101}, "InvalidParameterException"),
    ],
)
def test_every_service_has_its_own_largest_page(
    aws: Any, service: str, method: str, asked: dict[str, Any], code: str
) -> None:
    assert refused(getattr(aws(service), method), **asked) == code


def test_the_status_of_training_jobs_filters_late(sagemaker: Any, control: Control, training: Any) -> None:
    for number in range(12):
        training(f"job-{number}")
    for number in range(10):
        control.patch("sagemaker", ["training_jobs", f"job-{number}"], training_job_status="Completed")
    page = sagemaker.list_training_jobs(StatusEquals="InProgress")
    assert page["TrainingJobSummaries"] == []
    rest = sagemaker.list_training_jobs(StatusEquals="InProgress", NextToken=page["NextToken"])
    assert [one["TrainingJobName"] for one in rest["TrainingJobSummaries"]] == ["job-10", "job-11"]


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [("training_jobs", ["b", "a"]), ("processing_jobs", ["b", "a"]), ("transform_jobs", ["a", "b"])],
)
def test_each_kind_of_job_has_its_own_default_order(
    sagemaker: Any, control: Control, training: Any, jobs: str, expected: list[str]
) -> None:
    for name, now in (("b", NOW - DAY), ("a", NOW)):
        control.set_clock(now)
        training(name)
        plain_requests.processing(sagemaker, name)
        plain_requests.transform(sagemaker, name)
    (listed,) = (
        one for key, one in getattr(sagemaker, f"list_{jobs}")().items() if key.endswith("Summaries")
    )
    assert [one[key] for one in listed for key in one if key.endswith("JobName")] == expected


def test_notebooks_are_listed_by_name(sagemaker: Any) -> None:
    for name in ("b", "c", "a"):
        plain_requests.notebook(sagemaker, name)
    found = sagemaker.list_notebook_instances()["NotebookInstances"]
    assert [one["NotebookInstanceName"] for one in found] == ["a", "b", "c"]


def test_models_and_configurations_have_pages_too(sagemaker: Any, endpoint: Any) -> None:
    for number in range(12):
        sagemaker.create_model(ModelName=f"m{number:02}", ExecutionRoleArn=ROLE)
        endpoint(f"e{number:02}")
    assert len(sagemaker.list_models()["Models"]) == 10
    models = sagemaker.list_models(NameContains="m0", MaxResults=2)["Models"]
    assert [one["ModelName"] for one in models] == ["m09", "m08"]
    assert len(sagemaker.list_endpoint_configs(MaxResults=11)["EndpointConfigs"]) == 11


def test_what_moto_still_keeps_is_listed_in_pages(sagemaker: Any) -> None:
    for number in range(12):
        sagemaker.create_model_package_group(ModelPackageGroupName=f"g{number:02}")
        plain_requests.pipeline(sagemaker, f"p{number:02}")
    groups = sagemaker.list_model_package_groups()
    assert len(groups["ModelPackageGroupSummaryList"]) == 10
    assert groups["ModelPackageGroupSummaryList"][0]["ModelPackageGroupName"] == "g00"
    pipelines = sagemaker.list_pipelines(MaxResults=5)
    listed = [one["PipelineName"] for one in pipelines["PipelineSummaries"]]
    assert listed == [f"p{number:02}" for number in range(11, 6, -1)]
    assert pipelines["PipelineSummaries"][0]["PipelineArn"].endswith(":pipeline/p11")


def test_a_pipeline_that_is_updated_says_when(control: Control, sagemaker: Any) -> None:
    plain_requests.pipeline(sagemaker, "p")
    control.set_clock(NOW + dt.timedelta(hours=1))
    sagemaker.update_pipeline(PipelineName="p", PipelineDefinition='{"Steps": []}')

    (listed,) = sagemaker.list_pipelines()["PipelineSummaries"]
    described = sagemaker.describe_pipeline(PipelineName="p")
    assert (listed["CreationTime"], listed["LastModifiedTime"]) == (NOW, NOW + dt.timedelta(hours=1))
    assert described["LastModifiedTime"] == listed["LastModifiedTime"]
    assert described["PipelineDefinition"] == '{"Steps": []}'


def test_the_steps_of_an_execution_are_the_jobs_whose_names_tell_it(sagemaker: Any) -> None:
    plain_requests.pipeline(sagemaker, "p")
    runs = [sagemaker.start_pipeline_execution(PipelineName="p", ClientRequestToken="t" * 32) for _ in "ab"]
    arns = [run["PipelineExecutionArn"] for run in runs]
    names = [f"pipelines-{arn.rpartition('/')[2]}-Fit-a1b2c3d4e5" for arn in arns]
    for name in names:
        plain_requests.training(sagemaker, name)

    found = [
        [
            step["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
            for step in listed["PipelineExecutionSteps"]
        ]
        for listed in (sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn) for arn in arns)
    ]

    assert found == [[names[0]], [names[1]]]


def test_domains_clusters_and_model_packages_tell_who_they_are(sagemaker: Any) -> None:
    for number in range(11):
        plain_requests.domain(sagemaker, f"d{number:02}")
        plain_requests.cluster(sagemaker, f"c{number:02}")
    domains = sagemaker.list_domains()
    assert [one["DomainName"] for one in domains["Domains"]] == [f"d{number:02}" for number in range(10)]
    first = domains["Domains"][0]
    assert first["DomainArn"].endswith(f":domain/{first['DomainId']}")
    assert first["Status"] == "InService"
    rest = sagemaker.list_domains(NextToken=domains["NextToken"])["Domains"]
    assert [one["DomainName"] for one in rest] == ["d10"]

    clusters = sagemaker.list_clusters(NameContains="c1")["ClusterSummaries"]
    assert [(one["ClusterName"], one["ClusterStatus"]) for one in clusters] == [("c10", "InService")]
    assert ":cluster/" in clusters[0]["ClusterArn"]
    assert len(sagemaker.list_clusters()["ClusterSummaries"]) == 10
    (group,) = sagemaker.describe_cluster(ClusterName="c10")["InstanceGroups"]
    assert (group["InstanceType"], group["CurrentCount"]) == ("ml.p5e.48xlarge", 2)
    assert len(sagemaker.list_cluster_nodes(ClusterName="c10")["ClusterNodeSummaries"]) == 2

    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    sagemaker.create_model_package_group(ModelPackageGroupName="other")
    for group in ("g", "g", "other"):
        sagemaker.create_model_package(ModelPackageGroupName=group, ModelPackageDescription="d")
    versions = sagemaker.list_model_packages(ModelPackageGroupName="g", MaxResults=1)
    assert [one["ModelPackageVersion"] for one in versions["ModelPackageSummaryList"]] == [1]
    rest = sagemaker.list_model_packages(ModelPackageGroupName="g", NextToken=versions["NextToken"])
    first = versions["ModelPackageSummaryList"][0]["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=first, ModelApprovalStatus="Approved")
    approved = sagemaker.list_model_packages(ModelPackageGroupName="g", ModelApprovalStatus="Approved")
    assert [one["ModelPackageArn"] for one in approved["ModelPackageSummaryList"]] == [first]
    (second,) = rest["ModelPackageSummaryList"]
    assert second["ModelPackageArn"].endswith(":model-package/g/2")
