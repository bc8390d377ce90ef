"""No test ever downloads CUDA, and no build fails because torch is not at hand."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

import cpu_torch


class Pip:
    """Remembers what it is asked, and refuses what begins with *fails*."""

    def __init__(self, fails: str = "nothing") -> None:
        self.asked: list[str] = []
        self._fails = fails

    def __call__(self, *arguments: str) -> bool:
        self.asked.append(" ".join(arguments))
        return not self.asked[-1].startswith(self._fails)


def ask(
    patch: pytest.MonkeyPatch, prefix: Path, pip: Pip, *options: str, needs: tuple[str, ...] = ("sympy",)
) -> str | None:
    patch.setattr(cpu_torch, "pip", pip)
    patch.setattr(metadata, "requires", lambda _: list(needs))
    patch.setattr(sys, "prefix", str(prefix))
    patch.setattr(sys, "platform", "linux")
    assert cpu_torch.main(list(options)) == 0
    why = prefix / "no-torch.txt"
    return why.read_text() if why.exists() else None


FIRST = "install --no-deps --only-binary :all: --no-index torch>=2.4"
REST = "install --only-binary :all: torch>=2.4"


def test_on_linux_no_index_is_asked_for_torch_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip = Pip()
    assert ask(monkeypatch, tmp_path, pip) is None
    assert pip.asked == [FIRST, REST]


def test_unless_a_person_names_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pip = Pip()
    assert ask(monkeypatch, tmp_path, pip, "--index-url", "x") is None
    assert pip.asked[0] == "install --no-deps --only-binary :all: --index-url x torch>=2.4"


@pytest.mark.parametrize(
    ("fails", "asked", "why"),
    [
        ("install --no-deps", [FIRST], "is at hand"),
        ("nothing", [FIRST, "uninstall --yes torch"], "needs CUDA"),
        ("install --only", [FIRST, REST, "uninstall --yes torch"], "was not installed"),
    ],
)
def test_else_nothing_is_installed_and_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: str, asked: list[str], why: str
) -> None:
    pip = Pip(fails)
    line = ask(monkeypatch, tmp_path, pip, needs=("nvidia-cublas==13; x",) if "CUDA" in why else ())

    assert pip.asked == asked
    assert line
    assert line.startswith("ALL TESTS OF TORCH ARE SKIPPED")
    assert why in line
    assert "\n" not in line
