"""The sandbox's own HTTP interface under /sandbox/: time, faults, counts, and seeding."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import moto_corrections
from ml_janitor_sandbox import declared_objects
from ml_janitor_sandbox.billing import charges, meters
from ml_janitor_sandbox.faults import Fault, Ledger
from ml_janitor_sandbox.functions import RUNNING, invocations, on_url
from ml_janitor_sandbox.iam import Gate
from ml_janitor_sandbox.process_kill import revive
from ml_janitor_sandbox.snapshots import Snapshot
from ml_janitor_sandbox.wire import ACCOUNT, Reply, reply
from moto_corrections import clock, cloudformation, cloudtrail, cloudwatch, ecr, logs, state
from moto_corrections.overrides import override
from moto_corrections.paging import pages
from moto_corrections.sagemaker import jobs, search
from moto_corrections.sagemaker.progress import durations

type Handler = Callable[..., Any]
"""What does it, given the members of the body by their names."""
DEFAULT_REGION = "us-east-1"


class Admin:
    """The answers to /sandbox/…; a body is a JSON object, and so is an answer that has nothing to say."""

    def __init__(self, ledger: Ledger, gate: Gate) -> None:
        self._ledger = ledger
        self._gate = gate
        self._snapshots: dict[str, tuple[Snapshot, Any]] = {}
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "clock"): lambda: {"now": clock.text(clock.now())},
            ("PUT", "clock"): lambda now: clock.set_now(clock.parse(now)),
            ("GET", "invocations"): lambda: list(invocations()),
            ("PUT", "functions"): lambda name, url: RUNNING.update({name: on_url(url)}),
            ("GET", "durations"): lambda: dict(durations().seconds),
            ("PUT", "durations"): lambda **given: durations().set(given),
            ("POST", "search"): search.freeze,
            ("PUT", "pages"): lambda most: pages().set(most),
            ("POST", "revive"): revive,
            ("POST", "interruptions"): _interrupt,
            ("POST", "reset"): self._reset,
            ("POST", "snapshots"): self._keep,
            ("POST", "restore"): self._restore,
            ("POST", "faults"): lambda **given: ledger.add(Fault.of(given)),
            ("GET", "faults"): ledger.listed,
            ("DELETE", "faults"): ledger.clear_faults,
            ("GET", "calls"): lambda: dict(ledger.calls),
            ("DELETE", "calls"): ledger.clear_calls,
            ("GET", "requests"): lambda: list(ledger.requests),
            ("PATCH", "state"): _in_place(override),
            ("POST", "cloudtrail"): _in_place(cloudtrail.seed),
            ("POST", "logs"): _in_place(logs.seed),
            ("POST", "log-group"): _in_place(logs.store),
            ("POST", "pull"): _in_place(ecr.pulled),
            ("POST", "metrics"): _in_place(cloudwatch.seed),
            ("POST", "iam"): gate.install,
            ("DELETE", "iam"): gate.clear,
            ("POST", "iam/credentials"): gate.credentials,
            ("GET", "iam/record"): gate.record,
            ("DELETE", "iam/record"): gate.forget,
            ("POST", "stacks"): _in_place(cloudformation.seed),
            ("POST", "objects"): declared_objects.declare,
            ("GET", "charges"): lambda: [charge.members() for charge in meters.charges(ACCOUNT)],
            ("POST", "charges"): _in_account(charges.seed),
            ("PUT", "bill"): _in_account(lambda account, **given: charges.bill(account).set(given)),
        }

    def reply(self, method: str, path: str, body: bytes) -> Reply:
        """Return the answer: 404 for an unknown path, 400 for an invalid body."""
        handler = self._routes.get((method, path.removeprefix("/sandbox/")))
        if handler is None:
            known = ", ".join(sorted(f"{verb} /sandbox/{name}" for verb, name in self._routes))
            return _json(HTTPStatus.NOT_FOUND, {"error": f"no {method} {path}; there is {known}"})
        try:
            with state.LOCK:
                answer = handler(**json.loads(body or b"{}"))
        except KeyError as missing:
            return _json(HTTPStatus.BAD_REQUEST, {"error": f"missing: {missing}"})
        except (ValueError, LookupError, TypeError, AttributeError) as problem:
            return _json(HTTPStatus.BAD_REQUEST, {"error": str(problem)})
        return _json(HTTPStatus.OK, {} if answer is None else answer)

    def _reset(self) -> None:
        reset()
        self._ledger.clear()
        self._gate.clear()

    def _keep(self, name: str, about: Any) -> None:
        self._snapshots[name] = Snapshot.take(), about

    def _restore(self, name: str) -> dict[str, Any]:
        if name not in self._snapshots:
            return {}
        snapshot, about = self._snapshots[name]
        self._reset()
        snapshot.restore()
        return {"about": about}


def reset() -> None:
    """Empty AWS, and set the default time."""
    with state.LOCK:
        moto_corrections.reset()
        RUNNING.clear()


def _in_account(seed: Handler) -> Handler:
    """Do it in the account that the body names, or in the usual one."""
    return lambda account="", **given: seed(account or ACCOUNT, **given)


def _in_place(seed: Handler) -> Handler:
    """Do it in the account and the region that the body names, or in the usual ones."""
    return _in_account(lambda account, region="", **given: seed(account, region or DEFAULT_REGION, **given))


def _interrupt(job: str) -> None:
    if jobs.runner is None:
        raise ValueError("no job runs for real here: janitor sandbox --run-jobs")
    jobs.runner.interrupt(job)


def _json(status: HTTPStatus, answer: Any) -> Reply:
    return reply(json.dumps(answer).encode(), "application/json", status=status)
