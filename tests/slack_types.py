"""Judges of messages: the sandbox's rules, slack_sdk's models and Slack's own TypeScript types of blocks."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.models.blocks import Block

from ml_janitor.report.mrkdwn import Message
from ml_janitor_sandbox.slack.blocks import problems, too_long

TYPES = Path(__file__).parent / "slack-types"


def compiled(tmp_path: Path, *blocks: Any) -> str:
    """What the TypeScript compiler says of *blocks* as messages of @slack/types; nothing if they are."""
    if not (TYPES / "node_modules").exists():
        pytest.skip("tests/slack-types has no node_modules: run `npm ci` there, as `make dev` does")
    (tmp_path / "node_modules").symlink_to(TYPES / "node_modules")
    source = tmp_path / "messages.mts"
    source.write_text(
        'import type { KnownBlock } from "@slack/types";\n'
        + "".join(f"export const m{k}: KnownBlock[] = {json.dumps(one)};\n" for k, one in enumerate(blocks))
    )
    node = TYPES.parents[1] / ".venv/bin/node"
    options = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--moduleResolution",
        "nodenext",
    ]
    done = subprocess.run(
        [node, TYPES / "node_modules/typescript/bin/tsc", *options, source],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def assert_accepted(*messages: Message) -> None:
    """Slack takes each of these, and slack_sdk's models find nothing too long."""
    for message in messages:
        blocks = list(message.blocks)
        assert problems(blocks) == []
        assert not too_long(blocks)
        assert 0 < len(message.text) <= 4000
        assert len(Block.parse_all(blocks)) == len(blocks)
        for block in Block.parse_all(blocks):
            block.validate_json()
