"""One sandbox for a worker, empty before every test, reached over HTTP as any program would."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slack_sdk import WebClient

from corrected import Clients, endpoint, later, made_once, sagemaker, training
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.server import Sandbox
from ml_janitor_sandbox.slack import TOKEN, SlackControl

__all__ = ["endpoint", "later", "sagemaker", "training"]


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
    with made_once(endpoint_url=url) as client:
        yield client


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
