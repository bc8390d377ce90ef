"""Opens an AWS account for one run: whose it is, and one `Aws` per region that share prices and the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from janitor.aws import THREADS, Aws, attempt, make_client
from janitor.model import Signal
from janitor.prices import Prices

if TYPE_CHECKING:
    import boto3

GET_CALLER_IDENTITY = "sts:GetCallerIdentity"


def identity(session: boto3.Session, region: str, attempts: int) -> Signal[str]:
    """The account that the session's credentials belong to; needs no permission."""
    client = make_client(session, "sts", region, attempts)
    return attempt(lambda: str(client.get_caller_identity()["Account"]), source=GET_CALLER_IDENTITY)


@contextmanager
def opened(
    session: boto3.Session,
    *,
    account: str,
    regions: Sequence[str],
    attempts: int,
    has_time: Callable[[], bool] = lambda: True,
) -> Iterator[list[Aws]]:
    """One `Aws` per region of *account*, for the length of a run; none calls once *has_time* says no."""
    accounts: list[Aws] = []
    prices = Prices(lambda: accounts[0].pricing)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="read") as pool:
        accounts += [
            Aws(
                session,
                region=region,
                account=account,
                prices=prices,
                pool=pool,
                attempts=attempts,
                has_time=has_time,
            )
            for region in regions
        ]
        yield accounts
