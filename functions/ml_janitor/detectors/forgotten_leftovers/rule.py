"""Log groups without a retention, images that nobody pulls, and outputs of failed jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from ml_janitor.aws import activity, references, tags
from ml_janitor.aws.calls import ReadError, UnreadEntriesError, UnreadEntry
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.aws.references import REFERENCE_CALLS, References
from ml_janitor.core.model import Change, Confidence, Effect, SweepNote, Target, Verdict
from ml_janitor.core.text import count_noun
from ml_janitor.core.tiering import GB
from ml_janitor.detectors.forgotten_leftovers import failed_jobs, image_repositories, log_groups
from ml_janitor.detectors.forgotten_leftovers.failed_jobs import JobOutput
from ml_janitor.detectors.forgotten_leftovers.image_repositories import ImageRepository
from ml_janitor.detectors.forgotten_leftovers.log_groups import ALLOWED_RETENTIONS, GrowingLogGroup
from ml_janitor.engine.detector import Cleanup, Constant, Detector, Grant, Steps, allow

_LEAST_PATIENCE = timedelta(days=118)
"""
Least patience. A training job runs for up to 28 days after pulling its
image, and is restarted within 90.
"""

type Leftover = GrowingLogGroup | ImageRepository | JobOutput


@dataclass(frozen=True)
class ForgottenLeftovers(Detector[Leftover]):
    """
    Finds log groups that keep all events, images that nobody pulls, and outputs of failed jobs.

    Each is cheap by itself and grows for as long as the account exists.
    """

    name = "forgotten-leftovers"
    kinds = (log_groups.LOG_GROUP_KIND, image_repositories.REPOSITORY_KIND, failed_jobs.FAILED_JOB_KIND)
    asks_for = Change.LIFECYCLE
    cleanup = Cleanup(
        effect=Effect.EXPIRE,
        grace=timedelta(days=3),
        act_on=Confidence.LIKELY,
        lost="events that expired: CloudWatch Logs deletes what is older than the retention within days",
    )
    reads = tuple(
        dict.fromkeys(
            (
                *(
                    *log_groups.LOG_GROUP_READS,
                    *image_repositories.REPOSITORY_READS,
                    *failed_jobs.OUTPUT_READS,
                ),
                *(allow(action, on=resource) for action, resource in REFERENCE_CALLS),
                *(allow(tags.GET_RESOURCES), allow(GET_PRODUCTS)),
            )
        )
    )

    retention: timedelta = timedelta(days=90)
    patience: Constant[timedelta] = timedelta(days=120)
    min_gb: Constant[float] = 1.0
    repositories: tuple[str, ...] = ()
    act_on_groups: tuple[str, ...] = ("/aws/sagemaker/*",)

    @property
    def acts(self) -> tuple[Grant, ...]:
        """The permissions to set a retention on the groups that `act_on_groups` names."""
        return log_groups.retention_grants(self.act_on_groups)

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """The permissions on every group: groups that `act_on_groups` named earlier can be undone too."""
        return log_groups.RETENTION_UNDO_GRANTS

    def never_acts(self) -> str | None:
        return None if self.act_on_groups else "act_on_groups is empty, so no retention is set"

    def __post_init__(self) -> None:
        if self.retention.days not in ALLOWED_RETENTIONS or self.retention != timedelta(
            days=self.retention.days
        ):
            allowed = ", ".join(map(str, sorted(ALLOWED_RETENTIONS)))
            raise ValueError(f"retention is one that CloudWatch Logs knows, in days: {allowed}")
        if self.patience < _LEAST_PATIENCE:
            raise ValueError(
                f"patience is at least {_LEAST_PATIENCE.days} days: a job that is restarted needs its image"
            )
        log_groups.check_group_globs(self.act_on_groups)

    def find(self, aws: Aws, now: datetime) -> Iterator[Leftover | SweepNote]:
        """Yield log groups, repositories and jobs; a broken listing does not stop the others."""
        errors: list[str] = []
        unread: list[UnreadEntry] = []
        used = self.references(aws, now)
        for found in (
            log_groups.find(aws, self.retention, now),
            self._images(aws, used, now),
            self._outputs(aws, used, now),
        ):
            try:
                yield from found
            except ReadError as error:
                unread += error.entries if isinstance(error, UnreadEntriesError) else ()
                errors += [] if isinstance(error, UnreadEntriesError) else [str(error)]
        if errors:
            raise ReadError("; ".join(errors))
        if unread:
            raise UnreadEntriesError(unread[0].why, tuple(unread))

    def find_called(self, aws: Aws, name: str, now: datetime) -> Iterable[str]:
        """Yield the ARN of the log group *name*; repositories and jobs are listed by name."""
        group = activity.find_log_group(aws, name)
        yield from () if group is None else (group.arn,)

    def look(self, aws: Aws, target: Target, now: datetime) -> Leftover | None:
        """Read one group by itself; for an image or an output, read everything that may refer to it."""
        if target.kind == log_groups.LOG_GROUP_KIND:
            return log_groups.look(aws, target.name, self.retention, now)
        used = self.references(aws, now)
        found: Iterator[Leftover | SweepNote] = (
            self._outputs(aws, used, now)
            if target.kind == failed_jobs.FAILED_JOB_KIND
            else self._images(aws, used, now)
        )
        return next(
            (
                leftover
                for leftover in found
                if not isinstance(leftover, SweepNote) and leftover.target.arn == target.arn
            ),
            None,
        )

    def references(self, aws: Aws, now: datetime) -> Callable[[], References]:
        """Return the reading of what refers to an image or a folder: dear, and made at most once."""
        return cache(lambda: references.read_references(aws, (), now, jobs_since=now - self.patience))

    def _images(self, aws: Aws, used: Callable[[], References], now: datetime) -> Iterator[ImageRepository]:
        return image_repositories.find(aws, self.patience, self.repositories, used, now)

    def _outputs(
        self, aws: Aws, used: Callable[[], References], now: datetime
    ) -> Iterator[JobOutput | SweepNote]:
        return failed_jobs.find(aws, self.patience, self.smallest, used, now)

    @property
    def smallest(self) -> int:
        """Return the fewest bytes that are judged."""
        return int(self.min_gb * GB)

    def decide(self, candidate: Leftover, now: datetime) -> Verdict:
        """Judge by kind; never more than likely."""
        if isinstance(candidate, GrowingLogGroup):
            return log_groups.decide(candidate, self.retention, self.smallest, self.act_on_groups, now)
        if isinstance(candidate, JobOutput):
            return failed_jobs.decide(candidate, self.smallest, now)
        return image_repositories.decide(candidate, self.patience, self.smallest, self.repositories, now)

    def prepare(self, aws: Aws, candidate: Leftover, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        return log_groups.prepare_retention(aws, candidate.target, self.retention.days)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        log_groups.set_retention(aws, target, record["days"], steps)

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return log_groups.is_retention_set(aws, target, record["days"])

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        return log_groups.remove_retention(aws, target, record["days"], steps)

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        return (
            f"the {count_noun(record['days'], 'day')} are taken off {target.name} again, unless "
            "somebody has set others:"
            " events that expired do not come back"
        )
