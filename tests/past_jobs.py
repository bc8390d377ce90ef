"""Families of past training jobs, as `JobFamily` candidates."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from conftest import NOW
from fakes import target_at
from ml_janitor.aws.prices import Price
from ml_janitor.aws.training_jobs import JobFamily, JobTraits, PastJob
from ml_janitor.core.model import Absent, Finding, Verdict

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
TRAITS = JobTraits("churn", "", "image", "role", "train.py", ("train",), "ml.g5")
PRICE = Price(Decimal("1.408"), "Price List API")


def job(ran: timedelta = 4 * HOUR, **more: Any) -> PastJob:
    target = target_at("training-job/churn-1", NOW - 24 * HOUR, more.pop("tags", {}))
    fields: dict[str, Any] = {
        "instance": "ml.g5.xlarge",
        "instances": 1,
        "ran": ran,
        "billed": ran,
        "limit": 24 * HOUR,
        "spot": False,
        "checkpoints": True,
        "no_spot": None,
        "traits": TRAITS,
    }
    return PastJob(target=target, **(fields | more))


def runs(number: int = 30, newest: PastJob | None = None, **more: Any) -> JobFamily:
    first = newest or job()
    target = replace(first.target, arn=first.target.arn[:-1] + "*", name="churn-*", created=None)
    jobs = (first, *[job()] * (number - 1))
    fields: dict[str, Any] = {"target": target, "jobs": jobs, "price": PRICE, "older": Absent()}
    return JobFamily(**(fields | more))


def word(verdict: Verdict) -> str:
    return "found" if isinstance(verdict, Finding) else "unknown" if verdict.unknown else "kept"
