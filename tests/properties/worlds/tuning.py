"""Random tuning jobs with children that hang, work, or are kept, together and apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from properties.worlds import jobs
from properties.worlds.base import COMPLETE, EXEMPT, HOUR, MINUTE, UNKEPT, Account, Kind, Labels, Thing
from properties.worlds.jobs import Job
from sagemaker_requests import tuning_request

HUNG = Job(
    labels=COMPLETE,
    secondary="Training",
    age=40 * HOUR,
    gap=15 * MINUTE,
    silent=28 * HOUR,
    chatty=False,
    logs=True,
    hosts=1,
    instance="ml.g5.12xlarge",
    load="full",
    stirs="",
    checkpoint=None,
    debugger=False,
    limit=400 * HOUR,
)


def like_it(**changed: Any) -> Job:
    """A child that is like one that hangs, but for a few members."""
    return replace(HUNG, **changed)


CHILDREN = {
    "hung": HUNG,
    "overdue": like_it(limit=24 * HOUR),
    "blind": like_it(load="none"),  # likely at most
    "logs": like_it(stirs="log"),
    "loaded": like_it(load="varying"),
    "mute": like_it(logs=False),  # nobody can tell
    "waits": like_it(secondary="Starting"),
    "kept": like_it(labels=EXEMPT[0]),
    "over": like_it(secondary="Completed"),
}


@dataclass(frozen=True, kw_only=True)
class Tuner(Thing):
    """A tuning job with these *children*, by their names in `CHILDREN`."""

    calls = (
        "sagemaker:ListHyperParameterTuningJobs",
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
        *jobs.Job.calls,
    )

    labels: Labels
    status: str
    children: tuple[str, ...]

    @property
    def stores(self) -> bool:
        return bool(self.children)

    @property
    def running(self) -> list[Job]:
        return [CHILDREN[name] for name in self.children if name != "over"]

    @property
    def hung(self) -> bool:
        """Stopping it stops all of its children, so every one that runs must be waste."""
        if self.labels.exempt or self.status != "InProgress":
            return False
        return bool(self.running) and all(child.hung for child in self.running)

    def build(self, account: Account) -> None:
        name = account.name("sweep")
        account.be(60 * HOUR)
        tuner = account.sagemaker.create_hyper_parameter_tuning_job(
            **tuning_request(name, Tags=self.labels.listed)
        )["HyperParameterTuningJobArn"]
        account.be(timedelta())
        path = ["hyper_parameter_tuning_jobs", name]
        account.control.patch("sagemaker", path, HyperParameterTuningJobStatus=self.status)
        for child in self.children:
            self._build_child(account, account.name("trial"), CHILDREN[child], tuner)
        account.tagged(tuner, self.labels)
        account.claim(
            "hung-training-jobs",
            tuner,
            waste=self.hung,
            certain=all(child.certain for child in self.running),
            needs=frozenset(
                {
                    "sagemaker:ListHyperParameterTuningJobs",
                    "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
                    "sagemaker:ListTags",
                }
            ).union(*(child.needs for child in self.running)),
        )

    def _build_child(self, account: Account, name: str, child: Job, tuner: str) -> None:
        """Whoever keeps a tuning job keeps its children. They can be known in two ways: one is enough."""
        arn = child.make(account, name)
        status = "Completed" if child.secondary == "Completed" else "InProgress"
        account.control.patch(
            "sagemaker", ["training_jobs", name], TuningJobArn=tuner, training_job_status=status
        )
        waste = child.hung and not self.labels.exempt
        account.claim(
            "hung-training-jobs",
            arn,
            waste=waste,
            certain=child.certain,
            needs=child.needs | {"sagemaker:ListHyperParameterTuningJobs"},
        )


KIND = Kind.of(
    Tuner,
    labels=(UNKEPT[1:3], EXEMPT[:1]),
    status=(["InProgress"], ["Stopping", "Completed"]),
    children=(
        [("hung", "hung"), ("overdue",), ("hung", "blind"), ("over", "hung"), ("blind",)],
        [
            *((), ("over",), ("hung", "logs"), ("loaded", "overdue")),
            *(("hung", "mute"), ("hung", "waits"), ("hung", "kept")),
        ],
    ),
)
