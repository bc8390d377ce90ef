"""
Step Functions: moto's interpreter runs what a state machine is defined to do, over HTTP, in its role's name.

Its calls of S3 and Lambda are judged by the policies of the role, where roles are enforced. AWS asks
for states:StartExecution too before a Distributed Map starts its children, and for the delivery of logs:
moto does neither, and so nothing here shows that a role allows them.
"""

import importlib
from datetime import timezone
from threading import Lock
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

import boto3
from botocore.config import Config
from moto.core.config import default_user_config

from ml_janitor_sandbox.iam import Gate
from moto_corrections import clock, patches, selfcheck

SERVICE = "states.amazonaws.com"
PARSER = "moto.stepfunctions.parser"
ASL = f"{PARSER}.asl.component"
RELIED_ON = {
    f"{PARSER}.asl.utils.boto_client:boto_client_for": "1f44dc2ac8aa",
    f"{ASL}.common.retry.retrier_decl:RetrierDecl._eval_body": "48463fff19ce",
    f"{ASL}.state.state:CommonStateField._eval_body": "035f80caae12",
    f"{ASL}.state.exec.state_task.state_task:StateTask._eval_state_credentials": "c3a8b53e139d",
}
CALLERS = (
    f"{ASL}.state.exec.state_task.lambda_eval_utils",
    f"{ASL}.state.exec.state_map.item_reader.eval.resource_eval_s3",
)
"""What calls AWS for a state machine, of all that moto has: the others still call with keys of nobody."""


class Door(NamedTuple):
    """The sandbox that was asked last, which a running state machine asks in turn."""

    url: str
    gate: Gate


default_user_config["stepfunctions"] = {"execute_state_machine": True}
"""From the start: a state machine that CloudFormation makes is one that runs."""
_lock = Lock()
_doors: list[Door] = []


def prepare(url: str, gate: Gate) -> None:
    """
    Have moto interpret state machines from now on, which ask the sandbox at *url*.

    The interpreter is loaded with the first request, and not when a sandbox starts: it takes a second.
    """
    with _lock:
        if not _doors:
            _mend()
        _doors[:] = [Door(url, gate)]


def _mend() -> None:
    """Check moto against what is relied on. Its time becomes the sandbox's, and no retry waits."""
    changed = [name for name, was in RELIED_ON.items() if patches.digest(name) != was]
    if changed:
        now = ", ".join(f"{name} is {patches.digest(name)}" for name in changed)
        raise selfcheck.MotoHasMovedError(f"moto's interpreter of state machines has changed: {now}")
    for name in CALLERS:
        importlib.import_module(name).boto_client_for = _client  # type: ignore[attr-defined]
    retrier: Any = importlib.import_module(f"{ASL}.common.retry.retrier_decl")
    retrier.time = SimpleNamespace(sleep=lambda _: None)
    entered: Any = importlib.import_module(f"{ASL}.state.state")
    entered.datetime = SimpleNamespace(
        datetime=SimpleNamespace(now=lambda **_: clock.now()), timezone=timezone
    )
    machines: Any = importlib.import_module(f"{PARSER}.models").StepFunctionsParserBackend
    start = machines.start_execution

    def named(self: Any, state_machine_arn: str, name: str | None = None, *rest: Any, **more: Any) -> Any:
        """Start an execution, nameless ones under a new name: moto refuses the second nameless execution."""
        return start(self, state_machine_arn, name or str(uuid4()), *rest, **more)

    machines.start_execution = named


def _client(region: str, service: str, state_credentials: Any = None) -> Any:
    """Return a client in the name of the state machine's role; of root, where no roles are enforced."""
    (door,) = _doors
    given = {"AccessKeyId": "AKIASANDBOX", "SecretAccessKey": "sandbox", "SessionToken": None}
    if door.gate.enforces:
        given |= door.gate.credentials(state_credentials.role_arn, SERVICE)
    session = boto3.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=region
    )
    once = Config(parameter_validation=False, retries={"total_max_attempts": 1}, read_timeout=960)
    return session.client(service, endpoint_url=door.url, config=once)  # type: ignore[call-overload]
