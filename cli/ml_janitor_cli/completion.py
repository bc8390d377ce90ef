"""The values that a shell completes: detectors, tunables, regions, profiles, and names of the last report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REPORT_FILE = Path("report.json")
"""The report that `make audit` and the examples write into the folder where one works."""


def last_report() -> Mapping[str, Any]:
    """Return the report in this folder; nothing if there is none, or it is another file."""
    try:
        report = json.loads(REPORT_FILE.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def detector_names() -> list[str]:
    """Return the names of the detectors."""
    from ml_janitor.detectors import DETECTORS

    return [detector.name for detector in DETECTORS]


def tunable_names() -> list[str]:
    """Return what `--set` takes before its value: `idle-endpoints.window=`."""
    from ml_janitor.config.sections import tunable_fields
    from ml_janitor.detectors import DETECTORS

    return [
        f"{detector.name}.{field.name}=" for detector in DETECTORS for field, _ in tunable_fields(detector)
    ]


def region_names() -> list[str]:
    """Return the regions of AWS that botocore knows, and the word for all of them."""
    import botocore.session

    return ["all", *botocore.session.get_session().get_available_regions("sagemaker")]


def profile_names() -> list[str]:
    """Return the profiles of the AWS configuration."""
    import botocore.session

    return botocore.session.get_session().available_profiles


def resource_names() -> list[str]:
    """Return the names of the findings in the report of this folder, then their ARNs."""
    results = last_report().get("results")
    found = [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []
    return list(
        dict.fromkeys(str(result[key]) for key in ("name", "arn") for result in found if key in result)
    )


VALUES: Mapping[str, Callable[[], list[str]]] = {
    "DETECTOR": detector_names,
    "DETECTOR|NAME": lambda: [*detector_names(), *resource_names()],
    "DETECTOR.FIELD=VALUE": tunable_names,
    "REGION": region_names,
    "RESOURCE": resource_names,
    "RESOURCE...": resource_names,
}
"""What completes a value, by the word with which help calls it."""
