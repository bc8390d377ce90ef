"""
Installs torch into this program's environment where that is a wheel without CUDA; else installs nothing.

On Linux, PyPI's wheel of torch brings three gigabytes of CUDA, which no test uses. Whatever pip is
configured with (an index, a folder of wheels, constraints) decides where torch comes from; arguments of this
program are passed on to pip: `--index-url https://download.pytorch.org/whl/cpu`. What pip would install is
looked at before anything of it is downloaded: pip reads only metadata for a dry run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TORCH = "torch>=2.4"
CUDA = ("nvidia-", "cuda-", "triton")


def main(options: list[str]) -> int:
    """Install torch, or say in one line why not; it is no failure not to."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *options]
    plan = [*pip, "--only-binary", ":all:", "--dry-run", "--ignore-installed", "--report", "-", TORCH]
    planned = subprocess.run(plan, capture_output=True, text=True, check=False)
    if planned.returncode:
        return skip(f"pip finds no wheel of {TORCH}")
    names = [one["metadata"]["name"].lower() for one in json.loads(planned.stdout)["install"]]
    if cuda := [name for name in names if name.startswith(CUDA)]:
        return skip(f"pip would install CUDA with {TORCH} ({len(cuda)} packages)")
    if subprocess.run([*pip, "--only-binary", ":all:", TORCH], check=False).returncode:
        return skip(f"pip did not install {TORCH}")
    return 0


def skip(reason: str) -> int:
    """Leave a line for conftest.py, which ends every run of the tests with it."""
    line = (
        f"ALL TESTS OF TORCH ARE SKIPPED: {reason}. Name another source: "
        "rm -r kit/.venv; make kit-test KIT_TORCH='--index-url https://...'"
    )
    (Path(sys.prefix) / "no-torch.txt").write_text(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
