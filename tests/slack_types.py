"""Slack's own TypeScript types of blocks, as a judge of messages."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

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
