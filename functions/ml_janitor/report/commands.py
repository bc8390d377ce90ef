"""Commands within a message, for a reader to copy into a shell. Pure."""

from __future__ import annotations

import shlex

from ml_janitor.report.mrkdwn import code, escaped

LONGEST = 600


def keep(arn: str) -> str:
    """
    The command that keeps *arn*, in a code span: one command, whatever the resource is called.

    Whoever may put an object into a bucket chooses what stands here. It is quoted for the shell; where it
    cannot stand here as it is, since it is too long or a span would change it, only its name is said.
    """
    command = f"janitor keep {shlex.quote(arn)} --reason why"
    shown = code(command, LONGEST)
    return shown if shown == f"`{escaped(command)}`" else "`janitor keep` with its ARN"
