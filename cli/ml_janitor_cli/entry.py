"""The `janitor` program: `--version` and Ctrl-C before the libraries are imported, and a broken output."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import sys
from importlib.metadata import distribution, requires, version
from pathlib import Path
from urllib.parse import unquote, urlsplit

SIGINT_STATUS = 130
"""Exit status that a shell reports for a program that SIGINT ended."""

SIGPIPE_STATUS = 141
"""Exit status that a shell reports for a program that SIGPIPE ended."""

WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def main() -> int:
    """
    Run the command that the arguments name, and return its exit status.

    A reader that stops early is not an error; an output that cannot be written is one line and status 1.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    if sys.stdout is None:
        sys.stderr.write("janitor: there is no standard output to write to\n")
        return 1
    try:
        status = run_command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\njanitor: interrupted\n")
        return SIGINT_STATUS
    except BrokenPipeError:
        discard_output()
        return SIGPIPE_STATUS
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):  # typer and rich end with 1 because of it
            raise
        discard_output()
        return SIGPIPE_STATUS
    except OSError as error:
        if error.errno not in WRITE_ERRORS:
            raise
        discard_output()
        sys.stderr.write(f"janitor: the output cannot be written: {error.strerror}\n")
        return 1
    return status


def run_command() -> int:
    """Run the command."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{version_line()}\n")
        return 0
    if problem := outdated_library():
        sys.stderr.write(f"janitor: {problem}\n")
        return 2
    from ml_janitor_cli import main as cli

    return cli.main()


def outdated_library() -> str | None:
    """
    Say which of boto3 and botocore is older than the wheel demands, if one is.

    An older one drops fields of AWS's answers silently, and a dropped field looks like an absent one.
    """
    lines = "\n".join(requires("ml-janitor") or ())
    bound = re.search(r"^boto3[=>]=([\d.]+)", lines, re.MULTILINE)
    for name in ("boto3", "botocore"):
        if bound and release_numbers(found := version(name)) < release_numbers(bound[1]):
            return f"{name} {found} is too old: pip install --upgrade 'boto3>={bound[1]}'"
    return None


def release_numbers(version_: str) -> tuple[int, ...]:
    """Return the numbers of a version of boto3, such as 1.44.8."""
    return tuple(int(number) for number in re.findall(r"\d+", version_)[:3])


def install_hint(extra: str) -> str:
    """
    Return the command that installs the program with *extra*, by the tool that installed it.

    The wheel is on no package index, so the command names the file that was installed (PEP 610), or the
    wheel's name where nothing recorded it. uv and pipx leave a file of theirs in the environment.
    """
    recorded = json.loads(distribution("ml-janitor").read_text("direct_url.json") or "{}")
    wheel = f"./ml_janitor-{version('ml-janitor')}-py3-none-any.whl"
    url = urlsplit(recorded.get("url", ""))
    if url.scheme == "file" and Path(unquote(url.path)).exists():
        wheel = unquote(url.path)
    what = shlex.quote(f"{wheel}[{extra}]")
    environment = Path(sys.prefix)
    if (environment / "uv-receipt.toml").is_file():
        return f"uv tool install --force {what}"
    if (environment / "pipx_metadata.json").is_file():
        return f"pipx install --force {what}"
    if environment.parent.name.startswith("archive-v"):  # uvx: an environment in uv's cache
        return f"uvx --from {what} janitor"
    return f"pip install {what}"


def discard_output() -> None:
    """Discard output that is still to be written: the end of the process would try again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def version_line() -> str:
    """Return the program's name and version."""
    return f"janitor {version('ml-janitor')}"
