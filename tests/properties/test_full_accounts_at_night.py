"""
Whole accounts with every kind of resource, under the real detectors, killed and refused at any call.

`make soak NIGHTS=2000` lives through many more, `make soak SEED=17` once more through those of one account.
"""

from __future__ import annotations

from collections import Counter

import pytest

from ml_janitor_sandbox.control import Control
from properties.conftest import LONG_IN_SOAK, SEED, SOAK, Unhurried
from properties.whole import trouble
from properties.whole.lives import Life

pytestmark = LONG_IN_SOAK

SEEDS = [SEED] if SEED else range(1, max(SOAK // 20, 1) + 1)

MOST = 20
"""Accounts in which everything that has to comes about."""

DONE = {
    "StopNotebookInstance": "StartNotebookInstance",
    "DeleteApp JupyterLab": "CreateApp JupyterLab",
    "DeleteApp CodeEditor": "CreateApp CodeEditor",
    "DeleteApp KernelGateway": "CreateApp KernelGateway",
    "DeleteApp Canvas": "CreateApp Canvas",
    "DeleteEndpoint": "CreateEndpoint",
    "DeleteInferenceComponent": "CreateInferenceComponent",
    "StopTrainingJob": "CreateTrainingJob",
    "StopProcessingJob": "CreateProcessingJob",
    "StopTransformJob": "CreateTransformJob",
    "StopHyperParameterTuningJob": "",
    "UpdateTrainingJob": "",  # which ends a warm pool
    "AddTags": "DeleteTags",
    "TagResource": "UntagResource",
    "DeleteObject": "CopyObject",
    "PutRetentionPolicy": "DeleteRetentionPolicy",
}
"""Every call that acts, and the one that takes it back; what has none does not come back."""


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time", Unhurried)


@pytest.mark.parametrize("seed", SEEDS)
def test_only_waste_is_acted_on_and_all_of_it_comes_back(seed: int, box: Control) -> None:
    Life(box, seed).live()


@pytest.mark.long
def test_everything_is_done_and_undone_and_every_fault_strikes(box: Control) -> None:
    """In the first accounts, in as many as it takes."""
    came, wanted = Counter[str](), {*DONE, *DONE.values(), *trouble.EVERY} - {""}
    for seed in range(1, MOST + 1):
        life = Life(box, seed)
        life.live()
        came += Counter(life.judge.counts) + Counter(life.trouble.struck)
        if not (missing := wanted - came.keys()):
            return
    pytest.fail(f"{sorted(missing)} did not come about in {MOST} accounts")
