"""The code of a job: a folder that is packed as SageMaker's sourcedir.tar.gz, and checked before."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from janitor_kit.checks import Refused

LEFT_OUT = {"__pycache__", ".git", ".venv", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def is_remote(source: str | Path) -> bool:
    """Tell whether the code is in S3 already."""
    return str(source).startswith("s3://")


def check_code(source: Path, entry: str, also: tuple[Path, ...] = ()) -> None:
    """Refuse code that is not there or would not be packed: its job would fail, and be billed."""
    inside = Path(os.path.normpath(entry))
    if not (source / entry).is_file():
        raise Refused(f"there is no {source / entry}")
    if inside.is_absolute() or {"..", *LEFT_OUT} & set(inside.parts):
        raise Refused(
            f"entry {entry} is not in the packed folder: name a file below {source}, as seen from it"
        )
    if absent := [str(path) for path in also if not path.exists()]:
        raise Refused(f"there is no {', '.join(absent)}")


def pack(source: Path, also: tuple[Path, ...] = ()) -> bytes:
    """Pack the folder and the files that *also* names, without times and owners. Raises Refused."""

    def bare(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if LEFT_OUT & set(Path(member.name).parts):
            return None
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    buffer = io.BytesIO()
    try:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path in (*sorted(source.iterdir()), *also):
                archive.add(path, arcname=path.absolute().name, filter=bare)
    except OSError as error:
        raise Refused(f"the code cannot be packed: {error}") from error
    return buffer.getvalue()
