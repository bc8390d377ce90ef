"""Groups jobs into families: a job's name without the words that differ from run to run. Pure."""

from __future__ import annotations

import re

RUN_WORD = re.compile(r"v?\d+|(?=[a-z]*\d)[a-z0-9]{6,}|(?=.*\d)[0-9a-f]{4,}", re.IGNORECASE)
"""
A word of a name that identifies a run: a number or date, a version, a random identifier with a digit in it.
Pipelines name a job "pipelines-ID-STEP-ID", tuning jobs "NAME-001-ID", SDKs append the time.
"""

INSTANCE_SIZE = re.compile(r"\d+x?large|a100|h100|v100", re.IGNORECASE)


def family_name(name: str) -> str:
    """Return the family of job *name*: its words that do not identify a run, or its first word."""
    words = name.split("-")
    while len(words) > 1 and _tells_run(words[-1]):
        words.pop()
    return "-".join(word for number, word in enumerate(words) if not number or not _random(word))


def _tells_run(word: str) -> bool:
    return bool(RUN_WORD.fullmatch(word)) and not INSTANCE_SIZE.fullmatch(word)


def _random(word: str) -> bool:
    """Return whether *word*, in the middle of a name, is an identifier: long, letters and digits mixed."""
    return len(word) >= 10 and bool(re.search(r"\d", word)) and bool(RUN_WORD.fullmatch(word))
