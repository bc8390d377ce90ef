"""Hyperparameter tuning jobs: the running ones, their running children, and whether all of those hang."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, TRAINING_JOB, TUNING_JOB, list_targets
from ml_janitor.core.model import Confidence, Finding, Kept, Rule, Target, Verdict
from ml_janitor.core.signals import Absent, Evidence, Signal, Value, as_evidence
from ml_janitor.detectors.hung_training_jobs.job import describe_job
from ml_janitor.detectors.hung_training_jobs.load import some_names

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeHyperParameterTuningJobResponseTypeDef

CHILD_JOB = replace(TRAINING_JOB, operation="ListTrainingJobsForHyperParameterTuningJob")

TUNER_KIND = TUNING_JOB.type

_TUNER_ACTION = "stop the tuning job, and with it its running children (artifacts written so far stay)"
_TUNER_LOST = "the tuning job: for the trainings that are left, one can be created that learns from this one"


@dataclass(frozen=True, slots=True)
class TuningJob:
    """A tuning job: a plan that starts training jobs, its children. Only they are billed."""

    created: datetime | None
    status: str


def list_tuning_jobs(aws: Aws, _now: datetime) -> Listing[Target]:
    """Return the tuning jobs in progress, however old: one may run for half a year."""
    return list_targets(aws, TUNING_JOB, StatusEquals=IN_PROGRESS)


def describe_tuning_job(aws: Aws, name: str) -> Signal[TuningJob]:
    """Return the tuning job called *name*; `Absent` if there is none."""

    def read(answer: DescribeHyperParameterTuningJobResponseTypeDef) -> TuningJob:
        return TuningJob(created=answer["CreationTime"], status=answer["HyperParameterTuningJobStatus"])

    return describe_job(aws, TUNING_JOB, read, name)


def list_tuning_children(aws: Aws, name: str) -> Signal[tuple[Target, ...]]:
    """Return the training jobs of the tuning job *name* that run now: all of them, or none is known."""
    listing = list_targets(aws, CHILD_JOB, HyperParameterTuningJobName=name, StatusEquals=IN_PROGRESS)
    return listing.signal(CHILD_JOB.lists)


def judge_tuning_job(
    rule: Rule, tuner: Signal[TuningJob], children: Signal[Mapping[str, Verdict]]
) -> Verdict:
    """
    Judge a tuning job, which hangs only if every running child does. *children* are verdicts by name.

    It costs nothing itself, so a finding has no cost: each of its children is found, and counted, itself.
    """
    match tuner:
        case Value(read):
            rule.saw(as_evidence("status", tuner, read.status))
            if read.status != IN_PROGRESS:
                return rule.kept(f"no longer in progress ({read.status})")
        case Absent():
            return rule.kept("it no longer exists")
        case _:
            rule.saw(as_evidence("description", tuner))
            return rule.unknown("its description could not be read")
    match children:
        case Value(verdicts):
            rule.saw(as_evidence("running children", children, len(verdicts)))
            return _of_children(rule, verdicts)
        case _:
            rule.saw(as_evidence("running children", children))
            return rule.unknown("its running children could not be listed")


def _of_children(rule: Rule, verdicts: Mapping[str, Verdict]) -> Verdict:
    """Keep a tuning job as long as one of its children works, or may be working."""
    rule.saw(*(Evidence("child", f"{name}: {verdict.reason}") for name, verdict in verdicts.items()))
    if not verdicts:
        return rule.kept("none of its children is running, so nothing is billed")
    kept = {name: verdict for name, verdict in verdicts.items() if isinstance(verdict, Kept)}
    alive = [name for name, verdict in kept.items() if not verdict.unknown]
    if alive:
        return rule.kept(
            f"{len(alive)} of {len(verdicts)} running children do not hang ({some_names(alive)})"
        )
    if kept:
        return rule.unknown(f"whether its running children hang is not known ({some_names(list(kept))})")
    rule.passed("every running child hangs")
    found = [verdict for verdict in verdicts.values() if isinstance(verdict, Finding)]
    weakest = (
        Confidence.LIKELY
        if Confidence.LIKELY in {finding.confidence for finding in found}
        else Confidence.PROVEN
    )
    return rule.found(
        f"every running child of this tuning job hangs ({some_names(list(verdicts))});"
        " what they cost is counted with them",
        weakest,
        action=_TUNER_ACTION,
        since=max((finding.since for finding in found if finding.since is not None), default=None),
        noun="hung tuning job",
        lost=_TUNER_LOST,
    )
