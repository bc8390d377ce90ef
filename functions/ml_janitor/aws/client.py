"""
Open AWS for detectors: one `Aws` per account and region, with no write in a dry run.

An `Aws` gives clients by name, full pages and parallel reads. The regions of one run share prices and the
thread pool. An organization's accounts are listed here, and opened through their roles.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast
from weakref import finalize

from ml_janitor.aws.calls import (
    READ_THREADS,
    Listing,
    OutOfTimeError,
    ReadError,
    ServiceName,
    collect_pages,
    error_text,
    failure_text,
    is_refusal,
    make_client,
)
from ml_janitor.aws.pace import GLOBAL_SERVICES, SHARED_SERVICES, THROTTLING_CODES, Pace, SharedAnswers
from ml_janitor.aws.prices import Prices

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


class DescriptionStore(Protocol):
    """Descriptions of an account and region that outlive a run, by key."""

    def find(self, aws: Aws, key: str) -> dict[str, Any] | None:
        """Return the description under *key*, or None."""

    def add(self, aws: Aws, type_: str, key: str, description: dict[str, Any]) -> None:
        """Keep *description*, of a kind of *type_*, under *key*, unless one is kept there already."""

    def save(self) -> None:
        """Write what was added."""


class _Client[C]:
    """The client of a service as an attribute of `Aws`."""

    def __init__(self, service: ServiceName, region: str | None = None) -> None:
        self._of = service, region

    def __get__(self, aws: Aws, _: type[Aws]) -> C:
        return cast("C", aws.client(*self._of))


class Aws:
    """
    An account and region of AWS, for reading; `armed` returns an `Aws` that may also write.

    A read-only `Aws` refuses every changing call before it leaves the process: a dry run cannot act,
    whatever a detector does and whatever its credentials allow.

    Each service has one client, created at first use, with botocore's standard retries. *attempts* is the
    total number of tries per call. All `Aws` of a run share *pool*, *prices* and the session. `lasting`
    caches answers that cannot change during the run. Once *has_time* is false, every further call is
    refused, so that a run ends in time with partial results; `ran_out` records it. *pace* delays calls,
    if given. *scratch* keeps unfinished readings for the next run, and *kept* the descriptions of what does
    not change, if the deployment has them. With *shared* answers, no request to their services is sent twice,
    except by an armed `Aws`.

    While *aided*, descriptions may come from *kept* files, and from Search. Before it acts, a run stops that.
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
        kept: DescriptionStore | None = None,
        aided: bool = True,
    ) -> None:
        self.may_write = may_write
        self.scratch = scratch
        self.kept = kept
        self.aided = aided
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
        self._clients: dict[tuple[str, str], Any] = {}

    def armed(self) -> Aws:
        """Return the same account and region for acting and undoing. Only the engine calls this method."""
        return self._again(may_write=True, shared=None, aided=False)

    def unshared(self) -> Aws:
        """Return the same account and region, for reading tags as they are now."""
        shared = self._shared is not None and "resourcegroupstaggingapi" in self._shared.services
        return self._again(shared=None) if shared else self

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
            "kept": self.kept,
            "aided": self.aided,
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
            raise PermissionError(f"{model.name} changes something, and this run only reads")

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
        if self._shared is None or not self.shares:
            return read()
        return self._shared.once((self.region, key), read)

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
        self,
        action: str,
        member: str,
        read: Callable[[Any], T],
        size: int | None = None,
        arn_of: Callable[[Any], str] | None = None,
        /,
        **query: Any,
    ) -> Listing[T]:
        """List all entries of *action* under *member*, each converted by *read*: see `collect_pages`."""
        pages = self.pages(action, size, **query)
        return collect_pages(pages, lambda page: page[member], read, source=action, arn_of=arn_of)


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


# --- the regions of one account -------------------------------------------------------------------

GET_CALLER_IDENTITY = "sts:GetCallerIdentity"


class Caller(NamedTuple):
    """The owner of some credentials: an account, and in it a user or the session of a role."""

    account: str
    arn: str


def read_caller(session: boto3.Session, region: str, attempts: int) -> Caller:
    """Return the owner of *session*'s credentials. The call needs no permission."""
    answer = make_client(session, "sts", region, attempts).get_caller_identity()
    return Caller(account=answer["Account"], arn=answer["Arn"])


class ReaderThreads:
    """
    Reading threads, created anew for each list of items.

    A detector that waits for its turns thousands of times does not keep the threads of other detectors.
    """

    def map[I, O](self, read: Callable[[I], O], items: Sequence[I], /) -> Iterable[O]:
        """Call *read* on each of *items*, `READ_THREADS` at a time; the answers keep the order of *items*."""
        with ThreadPoolExecutor(min(READ_THREADS, len(items)), thread_name_prefix="read") as own:
            return list(own.map(read, items))


@contextmanager
def open_regions(
    session: boto3.Session,
    *,
    account: str,
    regions: Sequence[str],
    attempts: int,
    pace: Pace | None,
    has_time: Callable[[], bool] = lambda: True,
    prices_from: boto3.Session | None = None,
    scratch: Scratch | None = None,
    shared: SharedAnswers | None = None,
    kept: DescriptionStore | None = None,
) -> Iterator[list[Aws]]:
    """
    Yield one `Aws` per region of *account*, for one run; none calls AWS once *has_time* is false.

    Prices are read with *session*, or with *prices_from*. Answers without a region are read once
    for all regions. With other *shared* answers, no request is sent twice: for a run of several detectors
    that only reads. New descriptions are *kept* at the end.
    """
    shared = SharedAnswers(GLOBAL_SERVICES) if shared is None else shared
    pool = ReaderThreads()

    def within(own: boto3.Session, region: str, prices: Prices) -> Aws:
        return Aws(
            own,
            region=region,
            account=account,
            prices=prices,
            pool=pool,
            attempts=attempts,
            has_time=has_time,
            pace=pace,
            scratch=scratch,
            shared=shared,
            kept=kept,
        )

    prices = Prices(lambda: asking.pricing)
    accounts = [within(session, region, prices) for region in regions]
    asking = within(prices_from, PRICING_REGION, prices) if prices_from else accounts[0]
    try:
        yield accounts
    finally:  # what an incomplete run has read shortens the next one
        if kept is not None:
            kept.save()


# --- the accounts of an organization --------------------------------------------------------------

LIST_ALL_ACCOUNTS = "organizations:ListAccounts"
LIST_UNIT_ACCOUNTS = "organizations:ListAccountsForParent and organizations:ListOrganizationalUnitsForParent"
ACTIVE_ACCOUNT = "ACTIVE"
MEMBER_SESSION_NAME = "ml-janitor"
"""The session name of the janitor in CloudTrail."""

ROLE_REFUSED = (
    "its role cannot be taken on: it is not there, or does not trust these credentials and this external id"
)
"""The text for all refusals of AssumeRole: AWS's message names the role, and never the reason."""

ROLE_REFUSALS = ("AccessDenied", "UnauthorizedOperation")
"""The codes with which STS refuses a role, and EC2 its call for the regions."""

SEE_DOCTOR = "`janitor doctor --organization` says what mends it"

ENABLED_REGION_STATES = {"opt-in-not-required", "opted-in"}

ALWAYS_ENABLED_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""A region of each partition that no account can disable (AWS Account Management Guide, "Regions")."""


def list_accounts(client: Any, *, units: Sequence[str], without: Sequence[str]) -> dict[str, str]:
    """
    List the active accounts of the organization, or those in *units* and below, with their names; not
    those in *without*.

    Raises ReadError that says what to do next, also if no account is left. A listing that broke off is an
    error: a missing account would look clean.
    """
    try:
        if units:
            found = {account: name for unit in units for account, name in _below(client, unit).items()}
        else:
            found = _active(client.get_paginator("list_accounts").paginate())
    except Exception as error:  # any other error is a fault of ours, and is raised unchanged
        if (words := failure_text(error)) is None:
            raise
        needed = LIST_UNIT_ACCOUNTS if units else LIST_ALL_ACCOUNTS
        raise ReadError(f"{_next_step(error, needed)} ({words})") from error
    left = {account: name for account, name in found.items() if account not in without}
    if not left:
        named = "units" if units else "all_accounts"
        raise ReadError(f"no active account is left to look at: {named} less without is empty")
    return left


def _below(client: Any, unit: str) -> dict[str, str]:
    found = _active(client.get_paginator("list_accounts_for_parent").paginate(ParentId=unit))
    pages = client.get_paginator("list_organizational_units_for_parent").paginate(ParentId=unit)
    for inner in [child["Id"] for page in pages for child in page["OrganizationalUnits"]]:
        found |= _below(client, inner)
    return found


def _active(pages: Any) -> dict[str, str]:
    """Return active accounts. AWS renamed `Status` to `State` in September 2026 (API reference, Account)."""
    listed = [account for page in pages for account in page["Accounts"]]
    active = (account for account in listed if (account.get("State") or account["Status"]) == ACTIVE_ACCOUNT)
    return {account["Id"]: account.get("Name", "") for account in active}


def _next_step(error: Exception, needed: str) -> str:
    if is_refusal(error, ("AWSOrganizationsNotInUseException",)):
        return "the account is in no organization: name accounts = [...] in [organization]"
    if is_refusal(error, ("AccessDeniedException",)):
        return (
            "Organizations lists accounts to the management account and to delegated administrators alone, "
            f"if they are allowed {needed}: run it there, or name accounts = [...] in [organization]"
        )
    if is_refusal(error, ("ParentNotFoundException",)):
        return "a unit of [organization] is not there"
    return "the accounts could not be listed"


def enabled_regions(ec2: Any) -> list[str]:
    """
    Return the enabled regions for the account of *ec2*; DescribeRegions may answer others.

    Raises ReadError if there are none: every account has some, and regions that are off count as empty.
    """
    found = sorted(
        region["RegionName"]
        for region in ec2.describe_regions()["Regions"]
        if region["OptInStatus"] in ENABLED_REGION_STATES
    )
    if not found:
        raise ReadError("ec2:DescribeRegions names no enabled region")
    return found


def open_member_session(sts: Any, session: boto3.Session, role: str, external_id: str) -> boto3.Session:
    """
    Return a session of *role*, which *sts* assumes with *external_id*; *session* supplies its region, its
    data of AWS, and its profile's proxies and endpoints.

    Raises the call's errors, and ReadError if the answer is for another account than that of *role*: the
    janitor never reads with credentials that it did not ask for.
    """
    import boto3
    import botocore.session

    answer = sts.assume_role(RoleArn=role, RoleSessionName=MEMBER_SESSION_NAME, ExternalId=external_id)
    account, got = role.split(":")[4], answer["AssumedRoleUser"]["Arn"].split(":")[4]
    if got != account:
        raise ReadError(f"credentials for account {account} were asked for, and those of {got} answered")
    given = answer["Credentials"]
    profile = session.profile_name  # "default" even without a profile of that name
    core = botocore.session.Session(profile=profile if profile in session.available_profiles else None)
    core.register_component("data_loader", session._session.get_component("data_loader"))  # noqa: SLF001
    return boto3.Session(
        given["AccessKeyId"],
        given["SecretAccessKey"],
        given["SessionToken"],
        region_name=session.region_name,
        botocore_session=core,
    )


def unread_sweep_error(error: Exception) -> str:
    """Return the error of a sweep that did not begin; for a refused permission, with the next step."""
    denied = is_refusal(error, ROLE_REFUSALS)
    closed = denied and getattr(error, "operation_name", "") == "AssumeRole"
    why = ROLE_REFUSED if closed else error_text(error)
    return f"could not be read: {why}{f'; {SEE_DOCTOR}' if denied else ''}"


# --- scratch files --------------------------------------------------------------------------------
#
# Files that do not fit into a run's memory are kept in the janitor's bucket, or in a temporary folder.


def scratch_folder(detector: str) -> str:
    """Return the folder of *detector* in the janitor's bucket, whose lifecycle removes old files."""
    return f"{detector}/listing/"


BLOCK_SIZE = 512 * 1024
"""Bytes of a file that are read at once; there are about a hundred files for five million artifacts."""


class FileChangedError(ReadError):
    """A file is missing, or is not the file that the janitor wrote."""


class Scratch(Protocol):
    """Files by name, which may contain slashes. Single files are never deleted."""

    @property
    def lasting(self) -> bool:
        """Return whether another run finds the files, for some days."""

    def put(self, name: str, body: bytes) -> None:
        """Write the file *name*, or replace it."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the file *name* in blocks of `BLOCK_SIZE`. Raises ReadError, FileChangedError if changed."""

    def keep(self, place: str, position: Mapping[str, Any] | None) -> None:
        """Remember *position*, with the files below *place*, for the next run; None forgets them."""

    def kept(self, place: str) -> dict[str, Any] | None:
        """Return the position that an earlier run has kept of *place*, whose files can then be read."""


class FolderScratch:
    """Files in a temporary folder, which is made with the first file and deleted with this object."""

    lasting = False

    def __init__(self) -> None:
        self._made: Path | None = None

    def put(self, name: str, body: bytes) -> None:
        if self._made is None:
            self._made = Path(mkdtemp(prefix="janitor-"))
            finalize(self, rmtree, self._made, ignore_errors=True)
        path = self._made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def blocks(self, name: str) -> Iterator[bytes]:
        if self._made is None:
            raise FileChangedError(f"the temporary file {name} is gone")
        try:
            with (self._made / name).open("rb") as file:
                while block := file.read(BLOCK_SIZE):
                    yield block
        except FileNotFoundError as error:
            raise FileChangedError(f"the temporary file {name} is gone") from error

    def keep(self, place: str, position: Mapping[str, Any] | None) -> None:
        """Remember nothing: no other run finds these files."""

    def kept(self, place: str) -> None:
        """Return None: no earlier run has left anything here."""
