"""Every command of the README and of two pages, typed into a shell in the sandbox, as it is written there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.stack import NAME
from standin import ROOT, idle_endpoints

pytestmark = pytest.mark.skipif(shutil.which("aws") is None, reason="needs the AWS CLI")

PAGES = ("README.md", "docs/permissions.md", "docs/operating.md")

ELSEWHERE = {
    "make audit": "the nightly workflow types it in a new clone",
    "make deploy REVERT=1": "test_deployed.py deploys with CDK",
    "wheel=": "test_wheel.py installs the wheel",
    "uvx ": "the release workflow types it: it needs a package index",
    "pipx ": "the release workflow types it: it needs a package index",
    "janitor sandbox ": "test_cli_sandbox.py starts one; this is one already",
}
"""Commands that begin like this are typed by others."""

STATUSES = {
    "janitor doctor": {0, 1},  # nobody is subscribed to the alarms yet
    "janitor audit --organization": {0, 1},  # the other account grants no role
    "janitor audit --profile": {0, 1},
}
"""What a command that begins like this may end with, where that is not 0 alone."""

TYPED = {"read -rs SECRET": "xoxb-1-a-token\n", "janitor deploy": "y\n", "janitor destroy": "y\n"}
"""What a person types at a command that begins like this."""

SETTINGS = f"""
[bill]
enabled = true

[organization]
accounts = ["{ACCOUNT}", "210987654321"]
external_id = "an-external-id"
callers = ["arn:aws:iam::{ACCOUNT}:user/ml"]
regions = ["{REGION}"]
"""


AWS_CLI = """#!/bin/bash
# Version 1 asks SQS at its own host, and takes text as bytes without an option.
arguments=("$@")
if [[ "VERSION" == aws-cli/1.* ]]; then
  arguments=(--endpoint-url "$AWS_ENDPOINT_URL")
  for each in "$@"; do
    [[ $each == --cli-binary-format || $each == raw-in-base64-out ]] || arguments+=("$each")
  done
fi
exec REAL "${arguments[@]}"
"""
"""The pages are for version 2 of the AWS CLI; this machine may have version 1."""


class Typed(NamedTuple):
    """A command of a page, the block of commands that it is in, and how it ended."""

    page: str
    block: int
    command: str
    status: int = 0
    told: str = ""


def commands() -> list[Typed]:
    """Every command of the pages, in order."""
    return [
        Typed(page, number, command)
        for page in PAGES
        for number, block in enumerate(
            re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        )
        for command in re.findall(r"^\$ (.+)$", block, re.MULTILINE)
    ]


def is_elsewhere(command: str) -> bool:
    return any(command.startswith(start) for start in ELSEWHERE)


@pytest.fixture
def shell(box: Control, session: boto3.Session, tmp_path: Path) -> Iterator[Any]:
    """Types the commands of one block into bash, in a folder of its own, with what the page says is there."""
    box.set_bill(enabled=True)
    idle_endpoints(session, box, "my-endpoint")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "janitor").symlink_to(Path(sys.executable).parent / "janitor")
    real = str(shutil.which("aws"))
    version = subprocess.run([real, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    (programs / "aws").write_text(AWS_CLI.replace("REAL", real).replace("VERSION", version))
    (programs / "aws").chmod(0o755)
    (tmp_path / "config").write_text(f"[profile my-profile]\nregion = {REGION}\n")
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "JANITOR_NOW": NOW.isoformat(),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PAGER": "",
        "JANITOR_SLACK_URL": f"{box.url}/slack/api/",
    }

    def run(block: list[Typed], filled: Mapping[str, str]) -> list[Typed]:
        folder = tmp_path / f"{block[0].page.replace('/', '-')}-{block[0].block}"
        (folder / "assets").mkdir(parents=True)
        if not any(typed.command.startswith("janitor init") for typed in block):
            (folder / "janitor.toml").write_text(SETTINGS)
        for name in ("ml-janitor-lambda-0.2.0.zip", "assets/ml-janitor-lambda-0.2.0.zip"):
            with zipfile.ZipFile(folder / name, "w") as bundle:
                bundle.writestr(zipfile.ZipInfo("ml_janitor/handlers.py"), "")
        lines = []
        for number, typed in enumerate(block):
            command = re.sub(
                "|".join(map(re.escape, sorted(filled, key=len, reverse=True))) or "$^",
                lambda found: filled[found[0]],
                typed.command,
            )
            asked = next((text for start, text in TYPED.items() if command.startswith(start)), "")
            (folder / f".typed-{number}").write_text(asked)
            lines += [
                f"{{ {command}",
                f"}} < .typed-{number} > .told-{number} 2>&1",
                f"echo $? > .ended-{number}",
            ]
        subprocess.run(["bash", "-c", "\n".join(lines)], cwd=folder, env=environment, check=False)
        return [
            typed._replace(
                status=int((folder / f".ended-{number}").read_text()),
                told=(folder / f".told-{number}").read_text(),
            )
            for number, typed in enumerate(block)
        ]

    yield run


def deployed_names(session: boto3.Session) -> dict[str, str]:
    """What stands for the names of the page, once there is a stack."""
    pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=NAME)
    found = {
        resource["LogicalResourceId"][:-8]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }
    backup = session.client("dynamodb").create_backup(TableName=found["Ledger"], BackupName="last")
    return {
        "URL": found["Failed"],
        "NAME": next(name for logical, name in found.items() if logical.endswith("AdvisersFunction")),
        "LEDGER-TABLE": found["Ledger"],
        "KEY-ARN": found["LedgerKey"],
        "UNDO-KEY": found["UndoRecordKey"],
        "REPORT-BUCKET": found["Reports"],
        "ARN": backup["BackupDetails"]["BackupArn"],
    }


def test_every_command_does_what_its_page_says(shell: Any, session: boto3.Session) -> None:
    blocks: dict[tuple[str, int], list[Typed]] = {}
    for typed in commands():
        if not is_elsewhere(typed.command):
            blocks.setdefault((typed.page, typed.block), []).append(typed)
    ran, filled = list[Typed](), dict[str, str]()
    session.client("secretsmanager").create_secret(Name="ml-janitor/slack-signing", SecretString="s")

    for block in blocks.values():
        ran += shell(block, filled)
        stacks = session.client("cloudformation").list_stacks()["StackSummaries"]
        if stacks and not filled:
            filled = deployed_names(session)
        if any("create-secret" in typed.command for typed in block) and "permissions" not in block[0].page:
            held = session.client("secretsmanager").get_secret_value(SecretId="ml-janitor/slack")
            assert held["SecretString"] == "xoxb-1-a-token"
            if block[0].page == "README.md":  # the next page creates it too
                forced = {"ForceDeleteWithoutRecovery": True}
                session.client("secretsmanager").delete_secret(SecretId="ml-janitor/slack", **forced)

    failed = [
        f"{typed.page}: {typed.command}: {typed.status}: {typed.told[-400:]}"
        for typed in ran
        if typed.status
        not in next((fine for start, fine in STATUSES.items() if typed.command.startswith(start)), {0})
    ]
    assert failed == []
    assert len(ran) > 30
    (policy,) = session.client("iam").list_policies(Scope="Local", PathPrefix="/")["Policies"]
    assert policy["PolicyName"] == "ml-janitor-audit"
    left = [
        stack["StackStatus"] for stack in session.client("cloudformation").list_stacks()["StackSummaries"]
    ]
    assert left == ["DELETE_COMPLETE"]


def test_what_is_not_typed_here_is_named_once() -> None:
    assert {start for start in ELSEWHERE if any(each.command.startswith(start) for each in commands())} == {
        *ELSEWHERE
    }
