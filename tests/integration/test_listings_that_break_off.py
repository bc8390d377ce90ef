"""A call that breaks off makes the sweep of its detector an error: law 3, one call after the other."""

from typing import Any

import pytest

from ml_janitor.aws.client import Aws
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import RunPolicy
from ml_janitor_sandbox.control import Control
from verdicts import sweep_once

SIGNALS = {
    "application-autoscaling:DescribeScalableTargets",
    "cloudtrail:LookupEvents",
    "cloudwatch:ListMetrics",
    "logs:DescribeLogStreams",
    "pricing:GetProducts",
    "tag:GetResources",
}
"""Calls about what was listed: without their answer a candidate is unknown, or has no price."""

OF_USERS = {
    "duplicate-artifacts": ("Search",),
    "idle-endpoints": ("ListInferenceComponents", "ListMonitoringSchedules"),
    "oversized-endpoints": ("ListInferenceComponents",),
    "serverless-candidates": ("ListInferenceComponents",),
    "unused-serving-resources": (
        *("ListEndpoints", "ListInferenceComponents", "ListInferenceExperiments", "ListModelPackageGroups"),
        *("ListModelPackages", "ListPipelines", "ListTransformJobs", "Search"),
    ),
}
"""Listings of what may use a candidate, of each detector: without them, candidates are kept."""

JUDGES_THE_ACCOUNT = "commitments"
"""Its one candidate is the account, which is unknown as long as anything is."""


def swept(aws: Aws, detector: type[Detector[Any]]) -> str:
    return str(sweep_once(detector(), aws, policy=RunPolicy(named=frozenset())).error)


@pytest.mark.parametrize(
    "detector", [each for each in DETECTORS if each.name != JUDGES_THE_ACCOUNT], ids=lambda each: each.name
)
def test_a_listing_that_breaks_off_is_an_error(aws: Aws, box: Control, detector: type[Detector[Any]]) -> None:
    """Of an account without anything: what could not be listed may be anything."""
    assert swept(aws, detector) == "None"
    listings = {
        call: operation
        for call in box.calls().keys() - SIGNALS
        if (operation := call.partition(":")[2]) not in OF_USERS.get(detector.name, ())
    }
    errors = {}

    for call, operation in listings.items():
        box.clear_faults()
        box.fault(call.partition(":")[0], operation, "deny", times=0)
        errors[call] = swept(aws, detector)

    assert listings
    assert {
        call for call, error in errors.items() if listings[call] in error and "AccessDenied" in error
    } == listings.keys()
