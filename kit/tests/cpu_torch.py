"""
Installs torch into this program's environment where that needs no CUDA; else installs nothing.

With --trainers it installs the trainers of others beside a torch that is there.

On Linux, PyPI's torch brings three gigabytes of CUDA, which no test uses, and pip may download them even for
a dry run. So torch itself comes, without what it depends on, from where this program's arguments say
(`--index-url https://download.pytorch.org/whl/cpu`). Without arguments it comes from the folders of wheels
that pip is configured with, or on macOS from its index, whose wheel has no CUDA. Only then come the others.
"""

import subprocess
import sys
from importlib import invalidate_caches, metadata
from importlib.util import find_spec
from pathlib import Path

TORCH = "torch>=2.4"
CUDA = ("nvidia", "cuda", "triton")
TRAINERS = ("accelerate>=1.1", "lightning>=2.4", "transformers>=4.46")
"""What the bridges' tests run; without them they are skipped, and say so."""


def pip(*arguments: str) -> bool:
    """Whether pip did it."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    command += ["--no-compile"] if arguments[0] == "install" else []  # the tests import a part of torch
    return not subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def install(options: list[str]) -> str | None:
    """Install torch; why it was not."""
    source = options or ([] if sys.platform == "darwin" else ["--no-index"])
    if not pip("install", "--no-deps", "--only-binary", ":all:", *source, TORCH):
        return f"no wheel of {TORCH} without CUDA is at hand"
    invalidate_caches()
    if any(needed.startswith(CUDA) for needed in metadata.requires("torch") or ()):
        pip("uninstall", "--yes", "torch")
        return f"this wheel of {TORCH} needs CUDA"
    if not pip("install", "--only-binary", ":all:", TORCH):
        pip("uninstall", "--yes", "torch")
        return f"what {TORCH} depends on was not installed"
    return None


def main(options: list[str]) -> int:
    """Install, or leave a line with which conftest.py ends every run of the tests; it is no failure."""
    if options == ["--trainers"]:
        if find_spec("torch") is not None:
            pip("install", "--only-binary", ":all:", *TRAINERS)
    elif reason := install(options):
        line = (
            f"ALL TESTS OF TORCH ARE SKIPPED: {reason}. Name a source: rm -r kit/.venv; "
            "make kit-test KIT_TORCH='--index-url https://download.pytorch.org/whl/cpu'"
        )
        (Path(sys.prefix) / "no-torch.txt").write_text(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
