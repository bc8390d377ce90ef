"""
Whole accounts with every kind of resource, under the real detectors, killed and refused at any call.

`make soak NIGHTS=2000` lives through many more, `make soak SEED=17` once more through those of one account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from ml_janitor_sandbox.control import Control
from properties.conftest import LONG_IN_SOAK, SEED, SOAK, Unhurried
from properties.whole import trouble
from properties.whole.lives import Life

pytestmark = LONG_IN_SOAK

FEWEST = (7, 10)
"""Accounts in which everything comes about that has to."""

EVERY_TIME = (10,)
"""That of every run of the tests, with every act and undo; the others are lived through by `make soak`."""

SEEDS = [SEED] if SEED else sorted({*FEWEST, *range(1, SOAK // 20 + 1)})

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


@pytest.fixture(scope="module")
def lived() -> Iterator[dict[int, tuple[Mapping[str, int], Mapping[str, int]]]]:
    """What was done, and what went wrong, by seed."""
    yield {}


@pytest.mark.parametrize(
    "seed", [pytest.param(one, marks=() if one in EVERY_TIME else pytest.mark.long) for one in SEEDS]
)
def test_only_waste_is_acted_on_and_all_of_it_comes_back(
    seed: int,
    box: Control,
    lived: dict[int, tuple[Mapping[str, int], Mapping[str, int]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("botocore.endpoint.time", Unhurried)
    life = Life(box, seed)
    life.live()
    lived[seed] = (life.judge.counts, life.trouble.struck)


@pytest.mark.long
def test_everything_was_done_and_undone_and_every_fault_struck(
    lived: dict[int, tuple[Mapping[str, int], Mapping[str, int]]],
) -> None:
    if not lived.keys() >= set(FEWEST):
        pytest.skip("not all accounts were lived through")
    done = sum((Counter(counts) for counts, _ in lived.values()), Counter())
    struck = sum((Counter(faults) for _, faults in lived.values()), Counter())

    assert [call for call in DONE if not done[call]] == []
    assert [back for back in DONE.values() if back and not done[back]] == []
    assert sorted(trouble.EVERY - set(struck)) == []
