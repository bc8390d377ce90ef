"""State machines: their functions run here or answer on a URL, and their role is what they may do."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor_sandbox import functions, state_machines
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.functions import Outcome
from ml_janitor_sandbox.iam import IamControl
from moto_corrections import patches
from policies import allow, role, trusting

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:answers"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/machine"
DEFINITION = {
    "StartAt": "Ask",
    "States": {
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": FUNCTION, "Payload": {"at.$": "$$.State.EnteredTime"}},
            "OutputPath": "$.Payload",
            "End": True,
        }
    },
}


@pytest.fixture
def machine(box: Control, session: boto3.Session) -> str:
    """The ARN of a machine that asks one function; what it was told is in no log."""
    made = session.client("stepfunctions").create_state_machine(
        name="machine", definition=json.dumps(DEFINITION), roleArn=ROLE
    )
    box.set_clock(NOW)
    return str(made["stateMachineArn"])


def ended(machine: str) -> dict[str, Any]:
    """A new execution, when it has ended."""
    client = boto3.client("stepfunctions", region_name=REGION)
    started = client.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
    while (now := client.describe_execution(executionArn=started))["status"] == "RUNNING":
        Event().wait(0.02)  # it runs in threads of this process
    return dict(now)


def enforced(box: Control, *actions: str) -> IamControl:
    """The machine's role, which allows *actions*."""
    control = IamControl(box.url)
    trust = trusting({"Service": "states.amazonaws.com"})
    control.enforce({ROLE: role(allow(list(actions), [FUNCTION]), trust=trust)})
    return control


def test_its_function_answers_at_the_sandbox_s_time(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(functions.RUNNING, FUNCTION, Outcome)
    assert json.loads(ended(machine)["output"]) == {"at": "2026-10-06T03:00:00+00:00"}

    failed = Outcome({"errorMessage": "no", "errorType": "NoError"}, "NoError")
    monkeypatch.setitem(functions.RUNNING, FUNCTION, lambda _: failed)
    assert (ended(machine)["status"], ended(machine)["error"]) == ("FAILED", "NoError")


def test_its_role_limits_what_it_does(box: Control, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(functions.RUNNING, FUNCTION, Outcome)
    control = enforced(box, "lambda:InvokeFunction")
    assert ended(machine)["status"] == "SUCCEEDED"
    assert {(one["role"], one["action"]) for one in control.record()} == {(ROLE, "lambda:InvokeFunction")}

    enforced(box, "lambda:GetFunction")
    failed = ended(machine)
    assert (failed["status"], failed["error"]) == ("FAILED", "Lambda.AccessDeniedException")


@pytest.fixture
def answers_at() -> Iterator[str]:
    """Where a function answers what it was asked, as the runtime interface emulator would."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = b"Task timed out after 3.00 seconds" if self.path == "/late" else b'{"asked": %s}' % body
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_function_may_answer_on_a_url(box: Control, machine: str, answers_at: str) -> None:
    box.host("answers", f"{answers_at}/")
    assert json.loads(ended(machine)["output"]) == {"asked": {"at": "2026-10-06T03:00:00+00:00"}}

    box.host("answers", f"{answers_at}/late")
    assert ended(machine)["status"] == "FAILED"


def test_moto_is_what_the_interpreter_is_mended_for() -> None:
    assert {name: patches.digest(name) for name in state_machines.RELIED_ON} == state_machines.RELIED_ON
