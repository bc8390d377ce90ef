"""What a checkpoint of a training with torch refuses, and what it restores beside the weights."""

import os
import pickle
import random
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from torchdata.stateful_dataloader import StatefulDataLoader

from janitor_kit import spot_torch
from janitor_kit.checkpoint import digest
from janitor_kit.spot import Interrupted, Training
from janitor_kit.spot_torch import SHARDED, TorchState, load_tensors, numbers, set_numbers, storage_bytes
from tables import cases


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


def test_torchs_own_sharding_has_the_names_that_are_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, when it is imported
        from torch.distributed.fsdp import FullyShardedDataParallel as Fsdp
        from torch.distributed.optim import ZeroRedundancyOptimizer
        from torch.distributed.tensor import DTensor as Real

    assert {Fsdp.__name__, ZeroRedundancyOptimizer.__name__, Real.__name__} <= SHARDED


def test_a_loader_that_does_not_know_its_place_is_refused(tmp_path: Path) -> None:
    plain: DataLoader[int] = DataLoader([1, 2, 3])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="StatefulDataLoader"):
        TorchState(model=nn.Linear(2, 2), loader=plain)
    training = Training(TorchState(model=nn.Linear(2, 2)), tmp_path)
    with pytest.raises(TypeError, match=r"TorchState\(\.\.\., loader=loader\)"):
        next(training.steps(plain))


def test_what_wraps_the_loader_is_refused(tmp_path: Path) -> None:
    loader = StatefulDataLoader([1, 2, 3])
    training = Training(TorchState(model=nn.Linear(2, 2), loader=loader), tmp_path)
    with pytest.raises(TypeError, match="around steps"):
        next(training.steps(iter(loader)))


def test_what_cannot_be_loaded_is_found_at_the_first_save_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="stranger cannot be loaded with weights_only"):
        TorchState(model=nn.Linear(2, 2), stranger=Stranger()).save(tmp_path)
    assert [*tmp_path.iterdir()] == []
    state = TorchState(model=nn.Linear(2, 2))
    state.save(tmp_path)
    monkeypatch.setattr(spot_torch, "load_tensors", None)
    state.save(tmp_path)


@pytest.mark.parametrize(("name", "part"), [("average", 3), ("ranks", nn.Linear(2, 2))])
def test_a_part_without_a_state_or_with_a_reserved_name_is_refused(name: str, part: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name} \((int|Linear)\) has no state_dict, or a reserved name$"):
        TorchState(model=nn.Linear(2, 2), **{name: part})


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


@cases("parts, why", ({"average": nn.Linear(2, 2)}, "has no average"), ({"loader": [1]}, "without a loader"))
def test_a_checkpoint_that_lacks_a_part_is_an_error(tmp_path: Path, parts: dict[str, Any], why: str) -> None:
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


@pytest.mark.parametrize("generator", [False, True])
def test_a_loader_goes_on_with_the_next_samples_and_the_next_random_numbers(
    tmp_path: Path, *, generator: bool
) -> None:
    def trained(folder: Path, stop_at: int | None = None) -> list[list[float]]:
        torch.manual_seed(7)
        own = torch.Generator().manual_seed(5) if generator else None
        loader = StatefulDataLoader([*range(6)], 2, shuffle=True, generator=own)
        found = []
        with (
            suppress(Interrupted),
            Training(TorchState(model=nn.Linear(2, 2), loader=loader), folder) as training,
        ):
            for _ in training.epochs(3):
                for batch in training.steps(loader):
                    found.append([*batch.tolist(), torch.rand(1).item()])
                    training._signalled = training.step == stop_at
        return found

    whole = trained(tmp_path / "whole")
    assert len(whole) == 9
    for stop_at in range(8):
        folder = tmp_path / f"{stop_at}"
        assert [*trained(folder, stop_at), *trained(folder)] == whole


@pytest.mark.parametrize("used", [False, True])
def test_random_numbers_of_all_gpus_are_kept_where_they_are_used(
    monkeypatch: pytest.MonkeyPatch, *, used: bool
) -> None:
    there = list[Any]()
    for name, answer in {
        "is_available": True,
        "is_initialized": used,
        "get_rng_state_all": ["first", "second"],
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *given: there.append(given))

    set_numbers(numbers())
    assert there == [("first", 0), ("second", 1)] * used

    there.clear()
    old = torch.tensor([7])
    set_numbers({**numbers(), "cuda": old})  # of the first version
    assert there == [(old,)]


class Chain(nn.Sequential):
    """Has the parameters of another class."""


class Layer(nn.Linear):
    """Has them too."""


def made_run(
    rows: int = 2, *, rate: float = 0.1, batch: int = 3, outer: Any = nn.Sequential, inner: Any = nn.Linear
) -> TorchState:
    model = outer(inner(2, rows))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    loader = StatefulDataLoader([*range(6)], batch)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return TorchState(model=model, optimizer=optimizer, loader=loader, schedule=schedule)


@cases(
    "other, said",
    ({"rows": 3}, r"model.0.bias was \[2\] and is \[3\]; model.0.weight was \[2, 2\] and is \[3, 2\]"),
    (
        {"rate": 0.2},
        "optimizer group 0 initial_lr was 0.1 and is 0.2; optimizer group 0 lr was 0.1 and is 0.2",
    ),
    ({"batch": 2}, "batch size was 3 and is 2"),
    ({"outer": Chain}, "model was Sequential and is Chain"),
    ({"inner": Layer}, "model.0 was Linear and is Layer"),
    ({}, None),
)
def test_a_checkpoint_of_another_model_optimizer_or_batch_is_refused_with_both_values(
    tmp_path: Path, other: dict[str, Any], said: str | None
) -> None:
    state = made_run()
    with suppress(Interrupted), Training(state, tmp_path) as training:
        for _ in training.steps(state.loader):
            state.parts["optimizer"].step()
            state.parts["schedule"].step()  # the rate is now another than at the first step
            training._signalled = True
    again = Training(made_run(**other), tmp_path)
    with pytest.raises(RuntimeError, match=said) if said else nullcontext():
        again.__enter__()
    again._leave()


@pytest.mark.parametrize("own", [False, True])
def test_the_size_of_batches_is_the_loaders_or_its_samplers(*, own: bool) -> None:
    sampler = BatchSampler(SequentialSampler(range(6)), 3, drop_last=False)
    given: dict[str, Any] = {"batch_size": 3} if own else {"batch_sampler": sampler}
    loader = StatefulDataLoader([*range(6)], **given)

    assert TorchState(model=nn.Linear(2, 2), loader=loader).fingerprint()["batch size"] == 3


@pytest.mark.parametrize("available", [None, 0, 10**12])
def test_a_copy_keeps_what_was_saved_and_without_memory_for_one_the_save_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, available: int | None
) -> None:
    monkeypatch.setattr(spot_torch, "available_memory", lambda: available)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[2].weight = model[0].weight
    model[0].bias.grad = torch.ones(2)
    sparse, turned = torch.eye(2).to_sparse(), torch.ones(2, dtype=torch.complex64).conj()
    assert not any(map(spot_torch.is_plain, (sparse, turned)))
    model.register_buffer("sparse", sparse)
    model.register_buffer("turned", turned)
    state = TorchState(model=model)
    for _ in range(2):
        taken = state.snapshot(copy=True)
    assert taken.copied is (available != 0)
    assert sum("training waits for each save: memory is too short" in text for text in caplog.messages) == (
        available == 0
    )
    assert (
        sum(storage_bytes([model.state_dict(), model[0].weight]).values()) == 16 + 2 * 8 + 4 * 8 + 8 + 16 + 16
    )

    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    if taken.copied:
        with torch.no_grad():
            for value in model.state_dict().values():
                value.zero_()
            model[0].bias.grad.zero_()
    digests = taken.write(tmp_path)
    assert {name: digest(tmp_path / name) for name in digests} == digests
    assert [*digests] == ["model.pt", "ranks.pt"]
    saved = load_tensors(tmp_path / "model.pt")
    assert saved._metadata == model.state_dict()._metadata
    assert saved["0.weight"].data_ptr() == saved["2.weight"].data_ptr()
    for name, value in wanted.items():
        assert torch.equal(saved[name].to_dense(), value.to_dense()), name
    assert load_tensors(tmp_path / "ranks.pt")[0]["tensors"]["grad.0.bias"].tolist() == [1.0, 1.0]


def test_a_copy_for_which_the_system_has_no_memory_after_all_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(_: Any) -> None:
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(spot_torch, "copy_to_memory", none)
    assert TorchState(model=nn.Linear(2, 2)).snapshot(copy=True).copied is False


def test_a_hyperparameter_of_one_number_is_that_number() -> None:
    assert spot_torch.plain([torch.tensor(3), torch.tensor([0.5])]) == [3, 0.5]


def test_a_copy_leaves_memory_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spot_torch, "available_memory", lambda: 100)
    monkeypatch.setattr(spot_torch, "storage_bytes", lambda _: {0: 100})
    assert TorchState(model=nn.Linear(2, 2)).snapshot(copy=True).copied is False


@cases(
    "files, left",
    ({}, None),
    ({"memory.max": "max"}, None),
    ({"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 1\ninactive_file 300\n"}, 400),
    ({"memory.max": "1000", "memory.current": "1900", "memory.stat": "inactive_file 300\n"}, 0),
    ({"memory.max": "1" + "0" * 15, "memory.current": "9", "memory.stat": "inactive_file 0\n"}, None),
    ({"memory.max": "1000", "memory.current": "900"}, None),
)
def test_a_containers_limit_counts_where_it_leaves_less_than_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], left: int | None
) -> None:
    monkeypatch.setattr(spot_torch, "CGROUPS", ())
    machine = spot_torch.available_memory()
    assert (machine is not None) is Path("/proc/meminfo").exists()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(spot_torch, "CGROUPS", ((str(tmp_path), "memory.max", "memory.current"),))
    found = spot_torch.available_memory()
    if left is not None:
        assert found == left
    elif machine is None:
        assert found in (None, 10**15 - 9)
    else:
        assert found
        assert found > 10**6


def in_two_ranks(meet: Path, own: int, run: Callable[[int], None]) -> None:
    """Call *run* as the rank *own* in this process, and as the other rank in a forked one."""
    child = os.fork()
    rank = own if child else 1 - own
    status = 1
    try:
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo", init_method=f"file://{meet}", rank=rank, world_size=2, timeout=timedelta(minutes=1)
        )
        run(rank)
        status = 0
    finally:
        if not child:
            os._exit(status)
        dist.destroy_process_group()
        status = os.waitpid(child, 0)[1]
    assert status == 0


@pytest.mark.parametrize("own", [0, 1])
def test_each_rank_gets_its_own_back_and_the_first_saves_what_all_have_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: int
) -> None:
    def made(rank: int) -> tuple[Any, TorchState]:
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        loader = StatefulDataLoader([10 * rank + number for number in range(4)], 1)
        return model, TorchState(model=model, loader=loader)

    def run(rank: int) -> None:
        model, state = made(rank)
        assert (state.group.first, state.group.first_here, state.group.alone) == (rank == 0, rank == 0, False)
        assert state.group.most([float(rank), float(-rank)]) == [1.0, 0.0]
        monkeypatch.setenv("LOCAL_RANK", "0" if rank else "1")
        assert made(rank)[1].group.first_here is (rank == 1)
        model[0].weight.grad = torch.full((2, 2), 5.0)
        model[0].bias.grad = torch.full((2,), 7.0 + rank)
        model[1].running_mean += 1.0 + rank
        batches = iter(state.loader)
        for _ in range(1 + rank):
            next(batches)
        torch.manual_seed(rank)
        state.save(tmp_path if rank == 0 else None)
        wanted = torch.rand(1)
        dist.barrier()

        ranks = load_tensors(tmp_path / "ranks.pt")
        assert [sorted(each["tensors"]) for each in ranks] == [
            [
                "buffer.1.num_batches_tracked",
                "buffer.1.running_mean",
                "buffer.1.running_var",
                "grad.0.bias",
                "grad.0.weight",
            ],
            ["buffer.1.running_mean", "grad.0.bias"],
        ]
        other, other_state = made(rank)
        other_state.load(tmp_path)
        assert torch.equal(torch.rand(1), wanted)
        assert other[0].weight.grad.tolist() == [[5.0, 5.0], [5.0, 5.0]]
        assert other[0].bias.grad.tolist() == [7.0 + rank] * 2
        assert other[1].running_mean.tolist() == [1.0 + rank] * 2
        assert [batch.item() for batch in other_state.loader] == [
            10 * rank + number for number in range(1 + rank, 4)
        ]

    in_two_ranks(tmp_path / "meet", own, run)


def test_the_script_in_the_docs_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "kit.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)

    exec(script.replace("/opt/ml/", ""), {})  # noqa: S102 - our own

    (last,) = sorted((tmp_path / "checkpoints").iterdir())[-1:]
    assert last.name == "step-000000000024-000"
    assert load_tensors(tmp_path / "model.pt").keys() == load_tensors(last / "model.pt").keys()
