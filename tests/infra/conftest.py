"""The synthesised stack, once for all tests; jsii takes seconds to start."""

from __future__ import annotations

import pytest

from ml_janitor.config.settings import Settings
from synthesis import SLACK, Synthesised, synthesise


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """The default deployment, with Slack."""
    return synthesise(tmp_path_factory.mktemp("stack"), Settings.parse(SLACK), checked=True)
