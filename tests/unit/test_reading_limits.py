"""Limits of AWS's calls, how far readers look, and what holds where nothing is said, written by hand."""

from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import ModuleType

import pytest

from conftest import DAY, HOUR, MINUTE
from ml_janitor import aws
from ml_janitor.bill import resources
from ml_janitor.config import values
from ml_janitor.core import durations, model, ownership, tiering
from ml_janitor.detectors import unused_serving_resources
from ml_janitor.detectors.duplicate_artifacts import inventories
from ml_janitor.ledger import files

LIMITS: dict[ModuleType, dict[str, object]] = {
    aws.s3: {
        "LEAST_BYTES_CHARGED": 10_000_000,
        "LONGEST_QUERY": 262_144,
        "ATHENA_PAGE": 1000,
        "PAGES_AT_ONCE": 8,
        "SPLIT_AFTER": 16,
        "FIRST_PROBES": 20,
        "PROBES_PER_PAGE": 0.1,
        "LONGEST_KEY": 1024,
        "BUCKETS_PAGE": 1000,
        "MOST_KEY_PAGES": 200,
    },
    aws.calls: {"READ_THREADS": 16},
    aws.client: {"DEFAULT_ATTEMPTS": 8, "BLOCK_SIZE": 524_288},
    aws.endpoints: {"LOAD_WINDOW": 14 * DAY, "LOAD_HOURS": 336, "METRICS_BATCH": 100},
    aws.runs: {"MOST_HISTORY_PAGES": 40, "LONGEST_TRAINING_JOB": 28 * DAY, "MOST_DESCRIBED_JOBS": 1000},
    aws.studio_apps: {
        "IDLE_TIME_WINDOW": 3 * HOUR,
        "STALE_IDLE_TIME": 30 * MINUTE,
        "LONGEST_IDLE_TIME": 3650 * DAY,
    },
    aws.images: {"ECR_PAGE": 1000, "ECR_BATCH": 100},
    aws.storage: {"MOST_RULES": 1000},
    aws.activity: {
        "LOGS_PAGE": 50,
        "EVENTS_PER_PAGE": 10_000,
        "EPOCH": datetime(1970, 1, 1, tzinfo=UTC),
        "FAR_FUTURE": datetime(9999, 1, 1, tzinfo=UTC),
        "MOST_EMPTY_PAGES": 50,
        "QUERIES_PER_CALL": 500,
        "EVENT_RETENTION": 90 * DAY,
        "EVENTS_PAGE": 50,
    },
    resources: {"MOST_SCALING_PAGES": 20, "MOST_SCALED_VARIANTS": 50},
    aws.locations: {"LARGEST_MANIFEST": 33_554_432},
    aws.sagemaker_kinds: {"SAGEMAKER_PAGE": 100, "LONGEST_JOB_LIFE": 31 * DAY},
    aws.pace: {
        "JANITOR_SHARE": 0.5,
        "UNKNOWN_RATE": 5,
        "FASTEST_UNKNOWN_RATE": 20,
        "FIRST_REST": 60,
        "FIRST_DELAY": 0.25,
        "MOST_DELAY": 8,
        "RECOVERY_FACTOR": 0.97,
        "GLOBAL_SERVICES": {"ce"},
        "SHARED_SERVICES": {"ce", "cloudtrail", "resourcegroupstaggingapi", "sagemaker"},
    },
    aws.references: {"MOST_DEPLOYMENT_PAGES": 40},
    aws.tags: {"ARNS_PER_CALL": 50},
    aws.training_jobs: {
        "UNINDEXED_AGE": DAY,
        "POOL_LIFE": 6 * HOUR,
        "FIRST_TRAINING_JOB": datetime(2017, 11, 29, tzinfo=UTC),
        "MOST_SEARCH_HITS": 9000,
        "SHORTEST_SEARCH": MINUTE,
        "SEARCH_CUTS": tuple(days * DAY for days in (401, 93, 62, 32, 8)),
        "LISTING_OVERLAP": HOUR,
    },
    inventories: {"BY_SIZE_BYTES": 104_857_600, "MOST_EXTRA_SIZES": 5000},
    unused_serving_resources: {"MOST_TRAIL_PAGES": 100},
    values: {"LONGEST_KEEP_ALIVE": 6 * HOUR, "LONGEST_MAX_RUNTIME": 28 * DAY},
    durations: {"LONGEST_DURATION": 3650 * DAY, "ZONE_SPREAD": 26 * HOUR, "DAYS_PER_YEAR": 366},
    tiering: {"INFREQUENT_DAYS": 30, "LONGEST_RULE_ID": 255},
}

DEFAULTS: dict[type, dict[str, object]] = {
    aws.endpoints.LoadedEndpoint: {
        "takes_along": (),
        "belongs_to": (),
        "serverless": (),
        "recommended": (),
        "cold_start": None,
    },
    aws.endpoints.InferenceComponent: {"deleting": False},
    aws.endpoints.EndpointVariant: {
        "shadow": False,
        "instances": 0,
        "pools": (),
        "serverless": False,
        "concurrency": 0,
        "reserved": False,
        "resolved": None,
        "type": "",
        "model": None,
        "hosts": False,
        "managed": False,
        "sleeps": False,
        "fixed": None,
    },
    aws.endpoints.EndpointDescription: {
        "asynchronous": False,
        "routed": False,
        "configured": None,
        "captures": False,
    },
    aws.training_jobs.PastJob: {"keeps": timedelta(), "retained": None, "reused": False, "fixed": None},
    aws.s3.KeyRange: {"after": "", "upto": None, "shared": 0, "pages": 0, "token": None},
    aws.s3.RangedListing: {"late": False, "read": 0, "probed": 0},
    aws.locations.S3Address: {"beginning": False},
    aws.pace.RateSlot: {"place": 0, "of": 1},
    aws.references.Referrer: {
        "created": None,
        "changed": None,
        "live": False,
        "places": (),
        "loads": (),
        "words": frozenset(),
        "manifests": (),
        "images": (),
    },
    aws.runs.ResourceRun: {
        "end": None,
        "hourly": Decimal(1),
        "initial": Decimal(1),
        "datapoints": 60,
        "variant": "",
        "model": "",
        "shadow": False,
        "reserved": False,
    },
    aws.studio_apps.StudioApp: {
        "belongs_to": (),
        "takes_along": (),
        "reserved": False,
        "checked": None,
        "arn": "",
        "remote": False,
    },
    aws.activity.Metric: {"stat": "Sum", "period": 3600},
    durations.WorkingHours: {
        "days": frozenset({0, 1, 2, 3, 4}),
        "start": 8,
        "end": 20,
        "time_zone": "UTC",
        "holidays": (),
    },
    model.Kept: {"evidence": (), "unknown": False, "steps": ()},
    ownership.Manager: {"known": True},
}


@pytest.mark.parametrize("module", LIMITS, ids=lambda module: module.__name__)
def test_limits_are_as_they_were_decided(module: ModuleType) -> None:
    assert {name: getattr(module, name) for name in LIMITS[module]} == LIMITS[module]


@pytest.mark.parametrize("kind", DEFAULTS, ids=lambda kind: kind.__name__)
def test_what_is_not_said_is_so(kind: type) -> None:
    found = {field.name: field.default for field in fields(kind) if field.default is not MISSING}

    assert found == DEFAULTS[kind]


def test_rates_are_those_of_aws() -> None:
    """Calls a second for an account and region, by AWS's service quotas."""
    assert [files.HashedFiles.lasting, aws.client.FolderScratch.lasting] == [True, False]
    assert dict(aws.pace.AWS_RATES) == {
        "cloudtrail:LookupEvents": 2,
        "cloudwatch:GetMetricData": 50,
        "cloudwatch:ListMetrics": 25,
        "logs:DescribeLogGroups": 10,
        "logs:DescribeLogStreams": 25,
        "logs:GetLogEvents": 10,
        "sagemaker:ListHyperParameterTuningJobs": 2,
        "sagemaker:ListProcessingJobs": 2,
        "sagemaker:ListTrainingJobs": 2,
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob": 2,
        "sagemaker:ListTransformJobs": 2,
        "tag:GetResources": 15,
    }
