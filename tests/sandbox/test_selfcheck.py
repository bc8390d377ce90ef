from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from ml_janitor_sandbox import patches, selfcheck
from ml_janitor_sandbox.control import Control

ROOT = Path(__file__).parents[2]
# In a process of its own: in this one the fixes are applied, so moto no longer looks like moto.
BREAK = """
import sys
import moto.cloudtrail.responses, moto.core.responses, moto.logs.models
from ml_janitor_sandbox import fixes, selfcheck

fixes.load()
selfcheck.verify()
print("it was fine", "moto.ec2" in sys.modules, selfcheck.problems())
selfcheck.MOTO = "5.2.6"
del moto.logs.models.LogStream.to_describe_dict
del moto.cloudtrail.responses.CloudTrailResponse
moto.core.responses.BaseResponse.call_action = selfcheck.verify
selfcheck.verify()
"""


def test_a_moto_that_has_moved_is_refused_with_every_reason() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BREAK], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "it was fine False []\n", "EC2 is imported late, and then fits too"
    assert done.returncode != 0
    for expected in (
        "moto 5.2.5 is installed, the sandbox is written against 5.2.6",
        "moto.logs.models:LogStream.to_describe_dict is gone",
        "moto.core.responses:BaseResponse.call_action has changed: its digest is",
        "moto.cloudtrail.responses:CloudTrailResponse is gone",
    ):
        assert expected in done.stderr


def test_every_replacement_of_a_moto_function_names_what_it_replaces() -> None:
    assert all(len(one.was) == 12 for one in patches.PATCHES if one.was is not None)
    assert all(len(was) == 12 for was in selfcheck.RELIED_ON.values())


def test_as_a_program_it_says_where_it_listens_and_ends_when_told() -> None:
    command = [sys.executable, "-m", "ml_janitor_sandbox", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        word, url = running.stdout.readline().split()
        assert word == "listening"
        Control(url).wait_ready()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=10) == 0
