"""Trainers of others: what they go on from after a kill, and that torn and flipped files are passed over."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.long

TRANSFORMERS = """
import os, signal, sys, torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from janitor_kit.spot_transformers import SealedCheckpoints, newest_sealed

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
    def forward(self, x=None, labels=None):
        out = self.layer(x)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}

class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **also):
        if state.global_step == int(sys.argv[2]):
            os.kill(os.getpid(), int(sys.argv[3]))

torch.manual_seed(3)
data = [{"x": torch.randn(4), "labels": torch.randn(1)} for _ in range(64)]
args = TrainingArguments(output_dir=sys.argv[1], max_steps=14, save_steps=3, save_total_limit=3, seed=5,
    per_device_train_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True)
model = Model()
trainer = Trainer(model=model, args=args, train_dataset=data, callbacks=[Kill(), SealedCheckpoints()])
trainer.train(resume_from_checkpoint=newest_sealed(sys.argv[1]))
print("ended at", trainer.state.global_step, [value.hex() for value in model.layer.weight.flatten().tolist()])
"""
LIGHTNING = """
import os, signal, sys, torch
from torch import nn
from lightning.pytorch import Callback, LightningModule, Trainer
from janitor_kit.spot_lightning import WholeCheckpoints, newest_whole

class Module(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
    def training_step(self, batch, index):
        x, labels = batch
        return ((self.layer(x) - labels) ** 2).mean()
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)

class Kill(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == int(sys.argv[2]):
            os.kill(os.getpid(), int(sys.argv[3]))

torch.manual_seed(3)
loader = torch.utils.data.DataLoader([(torch.randn(4), torch.randn(1)) for _ in range(64)], batch_size=64)
module = Module()
trainer = Trainer(max_steps=14, accelerator="cpu", logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, default_root_dir=sys.argv[1],
    callbacks=[Kill(), WholeCheckpoints(sys.argv[1], every=3)])
trainer.fit(module, loader, ckpt_path=newest_whole(sys.argv[1]))
print("ended at", trainer.global_step, [value.hex() for value in module.layer.weight.flatten().tolist()])
"""


def run(script: str, folder: Path, kill_at: int = 0, how: int = 0) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(Path(__file__).parents[1] / "src"), os.environ.get("PYTHONPATH", "")))
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(folder), str(kill_at), str(how)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    bits = bytearray(path.read_bytes())
    bits[len(bits) // 2] ^= 1
    path.write_bytes(bits)


@pytest.mark.parametrize(
    ("library", "script", "names"),
    [("transformers", TRANSFORMERS, "checkpoint-*"), ("lightning", LIGHTNING, "step-*")],
)
@pytest.mark.parametrize("damage", [truncate, flip])
def test_a_trainer_goes_on_from_its_newest_whole_checkpoint_and_ends_with_the_same_weights(
    tmp_path: Path, library: str, script: str, names: str, damage: Callable[[Path], None]
) -> None:
    pytest.importorskip(library)
    whole = run(script, tmp_path / "whole")
    assert whole.stdout.splitlines()[-1].startswith("ended at 14 "), whole.stderr
    here, chance = tmp_path / "run", random.Random(7)  # noqa: S311 - no secret

    assert run(script, here, 8, signal.SIGKILL).returncode == -signal.SIGKILL
    newest = max(here.glob(names), key=lambda path: int(path.name.split("-")[1]))
    damage(
        chance.choice([file for file in newest.rglob("*") if file.is_file() and file.name != "manifest.json"])
    )
    stopped = run(script, here, 10, signal.SIGTERM)
    assert stopped.returncode == 143, stopped.stderr
    assert f"{newest} is torn" in stopped.stderr
    again = run(script, here)
    assert again.stdout.splitlines()[-1] == whole.stdout.splitlines()[-1], again.stderr

    for path in here.glob(names):
        damage(next(file for file in path.rglob("*") if file.is_file() and file.name != "manifest.json"))
    torn = run(script, here)
    assert torn.returncode == 1
    assert "is whole: remove them" in torn.stderr.splitlines()[-1]


def test_an_empty_folder_has_no_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("lightning")
    from janitor_kit.spot_lightning import WholeCheckpoints, newest_whole
    from janitor_kit.spot_transformers import newest_sealed

    assert newest_sealed(tmp_path) is newest_whole(tmp_path) is None
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(RuntimeError, match=r"no checkpoint in .* is whole: remove them"):
        newest_sealed(tmp_path)
    with pytest.raises(ValueError, match="every is 0: it has to be positive"):
        WholeCheckpoints(tmp_path, every=0)
