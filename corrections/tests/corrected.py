"""Corrected moto in this process: its clients, its clock, and what no AWS API can make."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

import moto_corrections
import plain_requests
from moto_corrections import clock, cloudtrail, cloudwatch, logs, paging
from moto_corrections.overrides import override
from moto_corrections.sagemaker import search
from moto_corrections.sagemaker.progress import durations

ACCOUNT, REGION = "123456789012", "us-east-1"
NOW = clock.DEFAULT


class Control:
    """What tests do beside AWS's API, by the names that the sandbox's client has over HTTP."""

    def reset(self) -> None:
        moto_corrections.reset()

    def clock(self) -> dt.datetime:
        return clock.now()

    def set_clock(self, now: dt.datetime) -> None:
        clock.set_now(now)

    def durations(self) -> dict[str, float]:
        return dict(durations().seconds)

    def set_durations(self, seconds: Mapping[str, float]) -> None:
        durations().set(seconds)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        before = self.durations()
        self.set_durations({"*": 0})
        yield
        self.set_durations(before)

    def freeze_search(self, *missing: str) -> None:
        search.freeze(missing)

    def set_pages(self, most: int) -> None:
        paging.pages().set(most)

    def patch(self, service: str, path: Sequence[str | int], **attributes: Any) -> None:
        override(ACCOUNT, REGION, service=service, path=list(path), set=_spelled(attributes))

    def cloudtrail(self, events: Iterable[Mapping[str, Any]]) -> None:
        cloudtrail.seed(ACCOUNT, REGION, [_spelled(event) for event in events])

    def logs(
        self, group: str, stream: str, events: Iterable[tuple[dt.datetime, str]] = (), **more: Any
    ) -> None:
        spelled = [(clock.text(at), message) for at, message in events]
        logs.seed(ACCOUNT, REGION, group, stream, spelled, **more)

    def metrics(self, namespace: str, series: Iterable[Mapping[str, Any]]) -> None:
        cloudwatch.seed(ACCOUNT, REGION, namespace, [_spelled(metric) for metric in series])


def _spelled(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: clock.text(v) if isinstance(v, dt.datetime) else v for name, v in members.items()}


# --- fixtures -----------------------------------------------------------------------------------


type Clients = Callable[..., Any]


@pytest.fixture(scope="module")
def _mocked() -> Iterator[None]:
    moto_corrections.install()
    with mock_aws():
        yield


@pytest.fixture
def control(_mocked: None) -> Control:
    control = Control()
    control.reset()
    return control


@contextmanager
def made_once(**where: Any) -> Iterator[Clients]:
    """Makes boto3 clients, each only once: that takes longer than most tests."""
    session = boto3.Session()
    made: dict[tuple[Any, ...], Any] = {}

    def client(name: Any, *, region: str = REGION, key: str = "sandbox", attempts: int = 1) -> Any:
        which = (name, region, key, attempts)
        if which not in made:
            config = Config(retries={"mode": "standard", "total_max_attempts": attempts})
            signed: Any = {"aws_access_key_id": key, "aws_secret_access_key": "x", "region_name": region}
            made[which] = session.client(name, **signed, config=config, **where)
        return made[which]

    yield client
    for each in made.values():
        each.close()


@pytest.fixture(scope="session")
def _clients() -> Iterator[Clients]:
    with made_once() as client:
        yield client


@pytest.fixture
def aws(control: Control, _clients: Clients) -> Clients:  # noqa: ARG001 - it has emptied the account
    """Makes clients of the emptied account, which do not retry."""
    return _clients


@pytest.fixture
def sagemaker(aws: Clients) -> Any:
    return aws("sagemaker")


@pytest.fixture
def later(control: Control) -> Callable[..., None]:
    def move(**by: float) -> None:
        control.set_clock(control.clock() + dt.timedelta(**by))

    return move


@pytest.fixture
def endpoint(sagemaker: Any, control: Control) -> Callable[..., str]:
    """Deploys an endpoint with everything it needs, which is in service at once, and answers its ARN."""
    return partial(plain_requests.endpoint, sagemaker, control)


@pytest.fixture
def training(sagemaker: Any) -> Callable[..., str]:
    """Starts a training job, and answers its ARN."""
    return partial(plain_requests.training, sagemaker)
