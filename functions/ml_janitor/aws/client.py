"""Gives detectors AWS: clients by name, full pages, parallel reads, and no write in a dry run."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from ml_janitor.aws.answers import Listing, OutOfTimeError, collect_pages
from ml_janitor.aws.boto_client import ServiceName, make_client
from ml_janitor.aws.pace import THROTTLING_CODES, Pace
from ml_janitor.aws.prices import Prices
from ml_janitor.aws.scratch import Scratch
from ml_janitor.aws.shared_answers import SHARED_SERVICES, SharedAnswers

if TYPE_CHECKING:
    import boto3
    from botocore.model import OperationModel
    from types_boto3_cloudtrail import CloudTrailClient
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_pricing import PricingClient
    from types_boto3_s3 import S3Client
    from types_boto3_s3control import S3ControlClient
    from types_boto3_sagemaker import SageMakerClient

DEFAULT_ATTEMPTS = 8
"""Tries per call, including the first, unless AWS_MAX_ATTEMPTS is set."""

PRICING_REGION = "us-east-1"
"""The region of the Price List API, which answers in few regions, for all regions."""

BOTO3_SERVICES: Mapping[str, ServiceName] = {"elasticmapreduce": "emr", "tag": "resourcegroupstaggingapi"}
"""boto3's service names by the prefix of IAM's actions, where the two differ."""

IAM_PREFIXES: Mapping[str, str] = {
    "s3control": "s3",
    **{name: prefix for prefix, name in BOTO3_SERVICES.items()},
}

READ_OPERATIONS = re.compile(r"(Batch)?(Describe|Get|Head|List|Lookup|Search)([A-Z]|$)|StartQueryExecution$")
"""
The operations that change nothing, by the verbs in AWS's names.

An Athena query is among them: `aws.athena.ask` receives only SELECT.
"""


class ReaderPool(Protocol):
    """A pool that maps a function over items side by side; the answers keep their order."""

    def map[I, O](self, read: Callable[[I], O], items: Sequence[I], /) -> Iterable[O]: ...


class _Client[C]:
    """The client of a service as an attribute of `Aws`."""

    def __init__(self, service: ServiceName, region: str | None = None) -> None:
        self._of = service, region

    def __get__(self, aws: Aws, _: type[Aws]) -> C:
        return cast("C", aws.client(*self._of))


class DryRunError(Exception):
    """A call would change a resource through an `Aws` that only reads: a fault in the program."""


class Aws:
    """
    An account and region of AWS, for reading; `armed` returns an `Aws` that may also write.

    A read-only `Aws` refuses every changing call before it leaves the process: a dry run cannot act,
    whatever a detector does and whatever its credentials allow.

    Each service has one client, created at first use, with botocore's standard retries. *attempts* is the
    total number of tries per call. All `Aws` of a run share *pool*, *prices* and the session. `lasting`
    caches answers that cannot change during the run. Once *has_time* is false, every further call is
    refused, so that a run ends in time with partial results; `ran_out` records it. *pace* delays calls,
    if given. *scratch* keeps unfinished readings for the next run, if the deployment has one. With
    *shared* answers, no request to their services is sent twice, except by an armed `Aws`.
    """

    def __init__(
        self,
        session: boto3.Session,
        *,
        region: str,
        account: str,
        prices: Prices,
        pool: ReaderPool,
        attempts: int = DEFAULT_ATTEMPTS,
        has_time: Callable[[], bool] = lambda: True,
        pace: Pace | None = None,
        shared: SharedAnswers | None = None,
        may_write: bool = False,
        scratch: Scratch | None = None,
    ) -> None:
        self.may_write = may_write
        self.scratch = scratch
        self.region = region
        self.account = account
        self.prices = prices
        self.attempts = attempts
        self.ran_out = False
        self.lasting: dict[Hashable, Any] = {}
        self._has_time = has_time
        self._pace = pace
        self._shared = shared
        self._session = session
        self._pool = pool
        self._client_lock = threading.Lock()
        self._once_lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}

    def armed(self) -> Aws:
        """Return the same account and region for acting and undoing. Only the engine calls this method."""
        return self._again(may_write=True, shared=None)

    def at(self, region: str) -> Aws:
        """Return the same account in another *region*, for reading charges that belong to another region."""
        return self if region == self.region else self._again(region=region)

    def _again(self, **changes: Any) -> Aws:
        """Return a copy with *changes*, with clients and a cache of its own."""
        given: dict[str, Any] = {
            "region": self.region,
            "account": self.account,
            "prices": self.prices,
            "pool": self._pool,
            "attempts": self.attempts,
            "has_time": self._has_time,
            "pace": self._pace,
            "shared": self._shared,
            "scratch": self.scratch,
        }
        return Aws(self._session, **given | changes)

    @property
    def has_time(self) -> bool:
        """Return whether the run has time left to start an uninterruptible step."""
        return self._has_time()

    def client(self, service: ServiceName, region: str | None = None) -> Any:
        """Return the client of *service*, created at first use (boto3's creation is not thread-safe)."""
        key = (service, region or self.region)
        with self._client_lock:
            if key not in self._clients:
                client = make_client(self._session, service, key[1], self.attempts)
                events = client.meta.events
                if (pace := self._pace) is not None:
                    # with every retry, and before a request is signed: signatures expire after five minutes
                    created = f"request-created.{client.meta.service_model.service_id.hyphenize()}"
                    prefix = IAM_PREFIXES.get(service, service)
                    events.register_first(created, partial(self._wait, pace, key[1], prefix))
                    events.register("needs-retry", partial(_learn, pace, key[1], prefix))
                for moment in ("before-call", "before-send"):  # before-send comes with every retry
                    events.register(moment, self._refuse_when_late)
                events.register("before-call", self._refuse_in_a_dry_run)
                if self._shared is not None and service in self._shared.services:
                    self._shared.register(events, key[1], self._has_time)
                self._clients[key] = client
            return self._clients[key]

    def out_of_time(self, error: Exception) -> bool:
        """Return whether lack of time caused *error*, which a reader may have reworded."""
        return self.ran_out or isinstance(error, OutOfTimeError)

    def _wait(self, pace: Pace, region: str, prefix: str, operation_name: str, **_: object) -> None:
        pace.wait(region, f"{prefix}:{operation_name}", self._has_time)

    def _refuse_when_late(self, **_: object) -> None:
        if not self._has_time():
            self.ran_out = True
            raise OutOfTimeError("the run has no time left")

    def _refuse_in_a_dry_run(self, model: OperationModel, **_: object) -> None:
        if not self.may_write and not READ_OPERATIONS.match(model.name):
            raise DryRunError(f"{model.name} changes something, and this run only reads")

    def map[I, O](self, read: Callable[[I], O], items: Sequence[I]) -> list[O]:
        """Call *read* on each of *items* side by side; the answers keep the order of *items*."""
        if len(items) <= 1:
            return [read(item) for item in items]
        return list(self._pool.map(read, items))

    @property
    def shares(self) -> bool:
        """Return whether the run shares all its answers, so that identical requests are free."""
        return self._shared is not None and self._shared.services >= SHARED_SERVICES

    def once[T](self, key: Hashable, read: Callable[[], T]) -> T:
        """Return the answer of *read*; a run with shared answers reads each *key* once."""
        if not self.shares:
            return read()
        with self._once_lock:
            if key not in self.lasting:
                self.lasting[key] = read()
            answer: T = self.lasting[key]
            return answer

    @cached_property
    def partition(self) -> str:
        """Return the ARN partition of the region: aws, aws-cn, aws-us-gov, ..."""
        return self._session.get_partition_for_region(self.region)

    def arn(self, service: str, path: str) -> str:
        """Return the ARN of *path* ("endpoint/churn") in a *service* here."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{path}"

    cloudtrail: _Client[CloudTrailClient] = _Client("cloudtrail")
    cloudwatch: _Client[CloudWatchClient] = _Client("cloudwatch")
    logs: _Client[CloudWatchLogsClient] = _Client("logs")
    pricing: _Client[PricingClient] = _Client("pricing", PRICING_REGION)
    s3: _Client[S3Client] = _Client("s3")
    s3control: _Client[S3ControlClient] = _Client("s3control")
    sagemaker: _Client[SageMakerClient] = _Client("sagemaker")

    def pages(self, action: str, size: int | None = None, /, **query: Any) -> Iterable[Any]:
        """Return the pages of *action* ("ecr:DescribeImages"), of *size* entries each."""
        from botocore import xform_name

        prefix, _, operation = action.partition(":")
        client = self.client(cast("ServiceName", BOTO3_SERVICES.get(prefix, prefix)))
        config: dict[str, Any] = {"PaginationConfig": {"PageSize": size}} if size else {}
        pages: Iterable[Any] = client.get_paginator(xform_name(operation)).paginate(**query, **config)
        return pages

    def listing[T](
        self, action: str, member: str, read: Callable[[Any], T], size: int | None = None, /, **query: Any
    ) -> Listing[T]:
        """List all entries of *action* under *member*, each converted by *read*: see `collect_pages`."""
        pages = self.pages(action, size, **query)
        return collect_pages(pages, lambda page: [read(entry) for entry in page[member]], source=action)


def _learn(
    pace: Pace,
    region: str,
    prefix: str,
    operation: OperationModel,
    response: tuple[Any, dict[str, Any]] | None,
    **_: object,
) -> None:
    """Adapt the *pace* of an operation to its answers; None lets botocore decide whether to retry."""
    if response is not None:
        code = response[1].get("Error", {}).get("Code")
        pace.answered(region, f"{prefix}:{operation.name}", throttled=code in THROTTLING_CODES)
