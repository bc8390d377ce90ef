"""Opens an AWS account for one run: one `Aws` per region, which share prices and the thread pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ml_janitor.aws.boto_client import READ_THREADS, make_client
from ml_janitor.aws.client import PRICING_REGION, Aws
from ml_janitor.aws.pace import Pace
from ml_janitor.aws.prices import Prices
from ml_janitor.aws.scratch import Scratch
from ml_janitor.aws.shared_answers import GLOBAL_SERVICES, SharedAnswers

if TYPE_CHECKING:
    import boto3

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
) -> Iterator[list[Aws]]:
    """
    Yield one `Aws` per region of *account*, for one run; none calls AWS once *has_time* is false.

    Prices are read with *session*, or with *prices_from*. Answers without a region are read once
    for all regions. With other *shared* answers, no request is sent twice: for a run of several detectors
    that only reads.
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
        )

    prices = Prices(lambda: asking.pricing)
    accounts = [within(session, region, prices) for region in regions]
    asking = within(prices_from, PRICING_REGION, prices) if prices_from else accounts[0]
    yield accounts
