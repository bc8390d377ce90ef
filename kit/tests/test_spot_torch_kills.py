"""A training that is killed anywhere ends as one that was left alone: the same bits."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runs import Trainers, outcome, survive, trainers


@pytest.fixture(scope="module")
def forks() -> Iterator[Trainers]:
    with trainers() as running:
        yield running


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.long), 2])
def test_killed_ten_times_it_ends_with_the_same_bits(forks: Trainers, tmp_path: Path, ranks: int) -> None:
    happened = survive(forks, tmp_path, ranks=ranks, kills=10, seed=ranks)

    assert min(happened[kind] for kind in ("step", "save", "upload")) >= 3


@pytest.mark.long
@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_a_hundred_times_it_ends_with_the_same_bits(
    forks: Trainers, tmp_path: Path, ranks: int
) -> None:
    happened = survive(forks, tmp_path, ranks=ranks, kills=100, seed=100 + ranks)

    assert {"truncated", "zeroed", "half-renamed", "disk lost"} <= set(happened)


def test_ranks_stop_at_one_step_though_one_was_signalled(forks: Trainers, tmp_path: Path) -> None:
    run = {"ranks": 2, "workers": 0, "epochs": 20, "every": 1000}
    forks.train(tmp_path / "whole", **run)

    stopped = forks.train(tmp_path / "run", **run, sigterm=[1, 3])

    assert stopped == [143, 143]
    steps = [(tmp_path / "run" / f"rank-{rank}.log").read_text().count("\n") for rank in (0, 1)]
    assert steps[0] == steps[1] < 100
    assert forks.train(tmp_path / "run", **run) == [0, 0]
    assert outcome(tmp_path / "run", 2) == outcome(tmp_path / "whole", 2)
    lines = (tmp_path / "run" / "rank-0.log").read_text().splitlines()
    assert len(lines) == len(set(lines))  # no step was trained twice


def test_machines_go_on_from_the_newest_checkpoint_that_each_has(forks: Trainers, tmp_path: Path) -> None:
    run = {"ranks": 2, "workers": 0, "epochs": 3, "every": 4}
    forks.train(tmp_path / "whole", **run)
    apart = {**run, "machines": True, "bucket": str(tmp_path / "bucket")}
    here, log = tmp_path / "run", tmp_path / "run" / "rank-1.log"

    assert forks.train(here, **apart, sigterm=[1, 7]) == [143, 143]
    first, second = (sorted(here.glob(f"checkpoints-{rank}/step-*")) for rank in (0, 1))
    newest = max((tmp_path / "bucket").rglob("step-*"))
    assert (first[-1].name, second) == (newest.name, [])
    shutil.rmtree(newest)  # it was not uploaded any more
    trained = len(log.read_text().splitlines())

    assert forks.train(here, **apart) == [0, 0]
    repeated = log.read_text().splitlines()[trained]
    assert repeated.split()[0] == str(int(first[-2].name[5:17]))
    assert outcome(here, 2) == outcome(tmp_path / "whole", 2)


def test_machines_that_share_nothing_say_so(forks: Trainers, tmp_path: Path) -> None:
    apart = {"ranks": 2, "workers": 0, "every": 4, "machines": True}
    assert forks.train(tmp_path, **apart, sigterm=[0, 7]) == [143, 143]

    with pytest.raises(AssertionError, match="all machines have to share this directory"):
        forks.train(tmp_path, **apart)


@pytest.mark.parametrize("step", [0, 9, 10, 13, 19])
@pytest.mark.parametrize("generator", [False, True])
def test_sigterm_at_any_step_loses_none(forks: Trainers, tmp_path: Path, step: int, generator: bool) -> None:  # noqa: FBT001
    run = {"workers": 0, "generator": generator}
    forks.train(tmp_path / "whole", **run)

    assert forks.train(tmp_path / "run", **run, sigterm=[0, step]) == [143]
    assert forks.train(tmp_path / "run", **run) == [0]

    assert outcome(tmp_path / "run", 1) == outcome(tmp_path / "whole", 1)
    assert (tmp_path / "run" / "rank-0.log").read_text().count("\n") == 20


def test_a_finished_run_trains_again_only_for_more_epochs(forks: Trainers, tmp_path: Path) -> None:
    log = tmp_path / "rank-0.log"
    forks.train(tmp_path, epochs=2)
    once = log.read_text()

    assert forks.train(tmp_path, epochs=2) == [0]
    assert log.read_text() == once

    assert forks.train(tmp_path, epochs=3) == [0]
    more = [line.partition("[")[2].strip("]").split(", ") for line in log.read_text().splitlines()[20:]]
    assert sorted(int(index) for indices in more for index in indices) == list(range(40))
