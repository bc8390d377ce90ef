"""Corrected moto, empty before every test, in the process that asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

import moto_corrections
import plain_requests
from corrected import REGION, Control

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


@pytest.fixture(scope="session")
def _clients() -> Iterator[Clients]:
    """Makes boto3 clients, each only once: that takes longer than most tests."""
    session = boto3.Session()
    made: dict[tuple[str, str, str], Any] = {}

    def client(name: Any, *, region: str = REGION, key: str = "sandbox") -> Any:
        if (name, region, key) not in made:
            made[name, region, key] = session.client(
                name,
                region_name=region,
                aws_access_key_id=key,
                aws_secret_access_key="x",
                config=Config(retries={"total_max_attempts": 1}, ignore_configured_endpoint_urls=True),
            )
        return made[name, region, key]

    yield client
    for each in made.values():
        each.close()


@pytest.fixture
def aws(control: Control, _clients: Clients) -> Clients:  # noqa: ARG001 - it has emptied the account
    """Makes clients of the emptied account, which do not retry."""
    return _clients


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
