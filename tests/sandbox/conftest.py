"""One sandbox for a worker, empty before every test, reached over HTTP as any program would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.config import Config
from slack_sdk import WebClient

import plain_requests
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.server import Sandbox
from ml_janitor_sandbox.slack import TOKEN, SlackControl

type Clients = Callable[..., Any]


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with Sandbox() as box:
        yield box.url


@pytest.fixture
def control(url: str) -> Control:
    control = Control(url)
    control.reset()
    return control


@pytest.fixture(scope="session")
def _clients(url: str) -> Iterator[Clients]:
    """Makes boto3 clients, each only once: that takes longer than most tests."""
    session = boto3.Session()
    made: dict[tuple[Any, ...], Any] = {}

    def client(name: Any, *, region: str = "us-east-1", key: str = "sandbox", attempts: int = 1) -> Any:
        which = (name, region, key, attempts)
        if which not in made:
            made[which] = session.client(
                name,
                region_name=region,
                endpoint_url=url,
                aws_access_key_id=key,
                aws_secret_access_key="x",
                config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
            )
        return made[which]

    yield client
    for one in made.values():
        one.close()


@pytest.fixture
def aws(control: Control, _clients: Clients) -> Clients:
    """Makes clients of the emptied sandbox; with `attempts=1`, the default, they do not retry."""
    assert control.calls() == {}
    return _clients


@pytest.fixture
def slack(control: Control) -> SlackControl:
    return SlackControl(control.url)


@pytest.fixture
def client(slack: SlackControl) -> WebClient:
    return WebClient(TOKEN, base_url=slack.api, retry_handlers=[])


@pytest.fixture
def sagemaker(aws: Clients) -> Any:
    return aws("sagemaker")


@pytest.fixture
def later(control: Control) -> Callable[..., None]:
    """Moves the clock on."""

    def move(**by: float) -> None:
        control.set_clock(control.clock() + timedelta(**by))

    return move


@pytest.fixture
def endpoint(sagemaker: Any, control: Control) -> Callable[..., str]:
    """Deploys an endpoint with everything it needs, which is in service at once, and answers its ARN."""
    return partial(plain_requests.endpoint, sagemaker, control)


@pytest.fixture
def training(sagemaker: Any) -> Callable[..., str]:
    """Starts a training job, and answers its ARN."""
    return partial(plain_requests.training, sagemaker)
