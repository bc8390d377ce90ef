"""What a checkpoint of a training with torch refuses, and what it restores beside the weights."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from janitor_kit.spot import Training
from janitor_kit.spot_torch import TorchState, load_tensors


class FullyShardedDataParallel(nn.Module):
    """Has the name of torch's."""


class Sharded(FullyShardedDataParallel):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)


class DTensor(nn.Parameter):
    """A parameter that a mesh of machines holds."""


class Stranger:
    """Its state is an object of its own."""

    def state_dict(self) -> dict[str, Any]:
        return {"me": self}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise NotImplementedError


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["EVIL"],)


def sharded_by_parameter() -> nn.Module:
    model = nn.Linear(2, 2)
    model.weight = DTensor(model.weight.detach())
    return model


@pytest.mark.parametrize("model", [Sharded(), nn.Sequential(Sharded()), sharded_by_parameter()])
def test_a_sharded_model_is_refused_and_the_error_names_what_saves_it(model: nn.Module) -> None:
    with pytest.raises(TypeError, match=r"sharded over ranks .* torch\.distributed\.checkpoint"):
        TorchState(model=model)


def test_an_optimizer_of_sharded_parameters_is_refused() -> None:
    optimizer = torch.optim.SGD([DTensor(torch.zeros(2))], lr=0.1)

    with pytest.raises(TypeError, match="optimizer is sharded"):
        TorchState(model=nn.Linear(2, 2), optimizer=optimizer)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it is imported
def test_torchs_own_sharding_has_the_names_that_are_refused() -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel as Fsdp
    from torch.distributed.optim import ZeroRedundancyOptimizer
    from torch.distributed.tensor import DTensor as Real

    from janitor_kit.spot_torch import SHARDED

    assert {Fsdp.__name__, ZeroRedundancyOptimizer.__name__, Real.__name__} <= SHARDED


def test_a_loader_that_does_not_know_its_place_is_refused(tmp_path: Path) -> None:
    plain: DataLoader[int] = DataLoader([1, 2, 3])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="StatefulDataLoader"):
        TorchState(model=nn.Linear(2, 2), loader=plain)
    training = Training(TorchState(model=nn.Linear(2, 2)), tmp_path)
    with pytest.raises(TypeError, match=r"TorchState\(\.\.\., loader=loader\)"):
        next(training.steps(plain))


def test_what_wraps_the_loader_is_refused(tmp_path: Path) -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    loader = StatefulDataLoader([1, 2, 3])
    training = Training(TorchState(model=nn.Linear(2, 2), loader=loader), tmp_path)
    with pytest.raises(TypeError, match="around steps"):
        next(training.steps(iter(loader)))


def test_what_cannot_be_loaded_is_found_at_the_first_save(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stranger cannot be loaded with weights_only"):
        TorchState(model=nn.Linear(2, 2), stranger=Stranger()).save(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "model.pt").symlink_to("/dev/full")

    with pytest.raises(OSError, match=r"model\.pt was not written"):
        TorchState(model=nn.Linear(2, 2)).save(tmp_path)


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "evil"))
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Evil()))
    torch.save(Evil(), tmp_path / "optimizer.pt")

    for name in ("model.pt", "optimizer.pt"):
        with pytest.raises(RuntimeError, match="weights_only"):
            load_tensors(tmp_path / name)
    assert not (tmp_path / "evil").exists()


def test_gradients_buffers_scaler_and_random_numbers_come_back(tmp_path: Path) -> None:
    def made() -> tuple[nn.Module, torch.amp.GradScaler, TorchState]:
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        return model, scaler, TorchState(model=model, scaler=scaler)

    model, scaler, state = made()
    scaler.scale(model(torch.randn(4, 2)).square().sum()).backward()
    scaler.update(4.0)
    model[1].running_mean.add_(1.0)  # type: ignore[index, union-attr, operator]
    state.save(tmp_path)
    wanted = [random.random(), np.random.rand(), torch.rand(2).tolist()]  # noqa: S311

    other, other_scaler, other_state = made()
    other_state.load(tmp_path)

    assert [random.random(), np.random.rand(), torch.rand(2).tolist()] == wanted  # noqa: S311
    assert other_scaler.get_scale() == 4.0
    for one, again in zip(model.parameters(), other.parameters(), strict=True):
        assert one.grad is not None
        assert again.grad is not None
        assert torch.equal(one.grad, again.grad)
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize(
    ("parts", "why"),
    [({"average": nn.Linear(2, 2)}, "has no average"), ({"loader": [1]}, "without a loader")],
)
def test_a_checkpoint_that_lacks_a_part_is_an_error(tmp_path: Path, parts: dict[str, Any], why: str) -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    TorchState(model=nn.Linear(2, 2)).save(tmp_path)
    if "loader" in parts:
        parts = {"loader": StatefulDataLoader([1])}

    with pytest.raises(RuntimeError, match=why):
        TorchState(model=nn.Linear(2, 2), **parts).load(tmp_path)


def test_one_of_several_ranks_has_to_join_its_group_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun sets it

    with pytest.raises(RuntimeError, match="after init_process_group"):
        TorchState(model=nn.Linear(2, 2))


def test_another_number_of_ranks_is_an_error(tmp_path: Path) -> None:
    state = TorchState(model=nn.Linear(2, 2))
    state.save(tmp_path)
    torch.save(load_tensors(tmp_path / "ranks.pt") * 2, tmp_path / "ranks.pt")

    with pytest.raises(RuntimeError, match="written by 2 ranks, and this run has 1"):
        state.load(tmp_path)


def test_the_script_in_the_docs_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "kit.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)

    exec(script.replace("/opt/ml/", ""), {})  # noqa: S102 - our own

    (last,) = sorted((tmp_path / "checkpoints").iterdir())[-1:]
    assert last.name == "step-000000000024-000"
    assert load_tensors(tmp_path / "model.pt").keys() == load_tensors(last / "model.pt").keys()
