"""A listing that breaks off makes the sweep of its detector an error: law 3, one call after the other."""

from __future__ import annotations

import pytest

from conftest import NOW
from ml_janitor.aws.client import Aws
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import run_detectors
from ml_janitor_sandbox.control import Control

LISTINGS = {
    "cross-region-traffic": ("ce:GetCostAndUsage",),
    "forgotten-leftovers": ("logs:DescribeLogGroups", "ecr:DescribeRepositories", "sagemaker:Search"),
    "generous-runtime-limits": ("sagemaker:Search",),
    "generous-warm-pools": ("sagemaker:Search",),
    "hung-training-jobs": (
        "sagemaker:ListTrainingJobs",
        "sagemaker:ListProcessingJobs",
        "sagemaker:ListTransformJobs",
        "sagemaker:ListHyperParameterTuningJobs",
    ),
    "idle-clusters": ("elasticmapreduce:ListClusters", "sagemaker:ListClusters"),
    "idle-endpoints": ("sagemaker:ListEndpoints",),
    "idle-notebooks": ("sagemaker:ListNotebookInstances",),
    "idle-studio-apps": ("sagemaker:ListApps",),
    "oversized-endpoints": ("sagemaker:ListEndpoints", "sagemaker:ListInferenceRecommendationsJobs"),
    "recomputed-datasets": ("sagemaker:ListProcessingJobs", "sagemaker:ListTransformJobs"),
    "serverless-candidates": ("sagemaker:ListEndpoints",),
    "spot-training": ("sagemaker:Search",),
    "storage-tiering": ("s3:ListBuckets",),
    "studio-without-idle-shutdown": (
        "sagemaker:ListDomains",
        "sagemaker:ListUserProfiles",
        "sagemaker:ListSpaces",
    ),
    "untagged-resources": ("sagemaker:ListModels", "s3:ListBuckets", "ecr:DescribeRepositories"),
    "unused-serving-resources": ("sagemaker:ListEndpointConfigs", "sagemaker:ListModels"),
    "unused-volumes": ("sagemaker:ListNotebookInstances", "sagemaker:ListSpaces", "sagemaker:ListApps"),
}
"""Of an account without anything: what could not be listed may be anything."""


def swept(aws: Aws, name: str) -> str:
    detector = next(one for one in DETECTORS if one.name == name)
    return str(
        run_detectors([detector()], [aws], now=NOW, policy=RunPolicy(named=frozenset())).sweeps[0].error
    )


@pytest.mark.parametrize(("name", "call"), [(name, call) for name in LISTINGS for call in LISTINGS[name]])
def test_a_listing_that_breaks_off_is_an_error(aws: Aws, box: Control, name: str, call: str) -> None:
    service, _, operation = call.partition(":")
    box.fault(service, operation, "deny", times=0)

    error = swept(aws, name)

    assert operation in error
    assert "AccessDenied" in error


def test_of_an_empty_account_nothing_is_an_error(aws: Aws) -> None:
    assert {name: swept(aws, name) for name in LISTINGS} == dict.fromkeys(LISTINGS, "None")
