"""
`make bench`: every measurement, or those that are named, each printed and written to docs/performance.md.

A part is a module whose `main` prints what it measured. Its section of the page says when and on which
machine that was, because only numbers of one run can be compared.
"""

from __future__ import annotations

import io
import os
import platform
import re
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TextIO

PARTS = (
    "endpoints",
    "audit",
    "listing",
    "whole",
    "night",
    "functions",
    "receiver",
    "pictures",
    "bills",
    "forecasts",
    "inventories",
)
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
HEAD = """# Performance

Written by `make bench`, which runs every part (`make bench PARTS="endpoints bills"` runs some). \
Ratios are of one run, in which all that is compared took turns on the same machine. \
Seconds are of that machine, and of a sandbox that answers in place of AWS.
"""


class Both(io.StringIO):
    """Text that is kept, and shown as it comes."""

    def __init__(self, shown: TextIO) -> None:
        super().__init__()
        self._shown = shown

    def write(self, text: str) -> int:
        self._shown.write(text)
        self._shown.flush()
        return super().write(text)


def main(names: list[str]) -> None:
    """Run the parts *names*, or all of them, and put what they print into their sections of the page."""
    if unknown := [name for name in names if name not in PARTS]:
        sys.exit(f"no part of the bench is called {unknown[0]}: there are {', '.join(PARTS)}")
    if len(names) != 1:
        for name in names or PARTS:  # in processes of their own, whose most memory is their own
            subprocess.run((sys.executable, "-m", "bench", name), check=True)
        return
    part = import_module(f"bench.{names[0]}")
    printed = Both(sys.stdout)
    with redirect_stdout(printed):
        part.main()
    print()
    write(names[0], section(part, printed.getvalue()), PAGE)


def section(part: ModuleType, printed: str) -> str:
    """Run *part* and return its measurements, with place and time."""
    title = str(part.__doc__).strip().partition("\n")[0].removesuffix(".")
    when = datetime.now(UTC)
    return f"## {title}\n\n{machine()}, {when:%Y-%m-%d}.\n\n```text\n{printed.strip()}\n```\n"


def machine() -> str:
    """Describe the machine in a line."""
    model = re.search(r"model name\s*:\s*(.+)", _cpuinfo())
    name = model[1].strip() if model else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores ({name}), {memory:.0f} GB of memory, Python {python}"


def _cpuinfo() -> str:
    file = Path("/proc/cpuinfo")
    return file.read_text(encoding="utf-8") if file.exists() else ""


def write(name: str, text: str, file: Path) -> None:
    """Replace the section of the part *name* in *file*, in the order of the parts."""
    page = file.read_text(encoding="utf-8") if file.exists() else ""
    known = dict(re.findall(r"<!-- part: ([a-z_]+) -->\n(.*?)(?=\n<!-- part: |\Z)", page, re.DOTALL))
    known[name] = text
    body = [f"<!-- part: {part} -->\n{known[part].strip()}\n" for part in PARTS if part in known]
    file.write_text("\n".join([HEAD, *body]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
