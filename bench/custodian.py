"""
Cloud Custodian's idle endpoints, in an environment of its own: prints a JSON line with seconds and names.

`aws.sagemaker-endpoint` has no metrics filter (https://github.com/cloud-custodian/cloud-custodian/issues/10853),
so its own filter is registered there, with the two dimensions that SageMaker publishes and the bench's night
as the end of its window. Everything else is Custodian's.

    python bench/custodian.py 2026-10-06T03:00:00
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import namedtuple
from datetime import datetime, timedelta
from typing import Any

from c7n.config import Config
from c7n.filters.metrics import MetricsFilter
from c7n.policy import PolicyCollection
from c7n.resources import load_resources

POLICY = {
    "name": "idle-endpoints",
    "resource": "aws.sagemaker-endpoint",
    "filters": [
        {
            "type": "metrics",
            "namespace": "AWS/SageMaker",
            "name": "Invocations",
            "statistics": "Sum",
            "days": 7,
            "value": 0,
            "op": "equal",
        }
    ],
}


def main(now: datetime) -> None:
    """Run the policy as of *now*."""
    load_resources(("aws.sagemaker-endpoint",))
    from c7n.resources.sagemaker import SagemakerEndpoint

    class Metrics(MetricsFilter):
        def get_dimensions(self, resource: dict[str, Any]) -> list[dict[str, str]]:
            return [
                {"Name": "EndpointName", "Value": resource["EndpointName"]},
                {"Name": "VariantName", "Value": resource["ProductionVariants"][0]["VariantName"]},
            ]

        def get_metric_window(self) -> Any:
            return namedtuple("Window", "start end")(now - timedelta(days=7), now)  # noqa: PYI024 - as it answers

    SagemakerEndpoint.filter_registry.register("metrics", Metrics)
    with tempfile.TemporaryDirectory() as folder:
        config = Config.empty(output_dir=folder, account_id="123456789012", region="us-east-1")
        (policy,) = PolicyCollection.from_data({"policies": [POLICY]}, config)
        begun = time.perf_counter()
        found = policy.resource_manager.resources()
        seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "found": [endpoint["EndpointName"] for endpoint in found]}))


if __name__ == "__main__":
    main(datetime.fromisoformat(sys.argv[1]))
