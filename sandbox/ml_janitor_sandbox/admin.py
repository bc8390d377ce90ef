"""The sandbox's own HTTP interface under /sandbox/: time, faults, counts, and seeding."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.s3.models import s3_backends

from ml_janitor_sandbox import clock, state
from ml_janitor_sandbox.billing import meters
from ml_janitor_sandbox.billing.charges import Charge, bill
from ml_janitor_sandbox.billing.cost_optimization_hub import hub
from ml_janitor_sandbox.faults import Fault, Ledger
from ml_janitor_sandbox.fixes import (
    cloudformation,
    cloudtrail,
    cloudwatch,
    declared_objects,
    ecr,
    logs,
    training,
)
from ml_janitor_sandbox.functions import RUNNING, invocations, on_url
from ml_janitor_sandbox.iam import Gate
from ml_janitor_sandbox.overrides import override
from ml_janitor_sandbox.process_kill import caller
from ml_janitor_sandbox.progress import durations
from ml_janitor_sandbox.snapshots import Snapshot
from ml_janitor_sandbox.wire import ACCOUNT, Reply, reply

type Handler = Callable[[dict[str, Any]], Any]
DEFAULT_REGION = "us-east-1"


class Admin:
    """Answers /sandbox/…; a body is a JSON object, and so is the answer of what has nothing to say."""

    def __init__(self, ledger: Ledger, gate: Gate) -> None:
        self._ledger = ledger
        self._gate = gate
        self._snapshots: dict[str, tuple[Snapshot, Any]] = {}
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "clock"): self._clock,
            ("PUT", "clock"): self._set_clock,
            ("GET", "invocations"): lambda _: list(invocations().events),
            ("PUT", "functions"): _host,
            ("GET", "durations"): lambda _: dict(durations().seconds),
            ("PUT", "durations"): _set_durations,
            ("POST", "revive"): _revive,
            ("POST", "interruptions"): _interrupt,
            ("POST", "reset"): self._reset,
            ("POST", "snapshots"): self._keep,
            ("POST", "restore"): self._restore,
            ("POST", "faults"): lambda given: ledger.add(Fault.of(given)),
            ("GET", "faults"): lambda _: ledger.listed(),
            ("DELETE", "faults"): lambda _: ledger.clear_faults(),
            ("GET", "calls"): lambda _: dict(ledger.calls),
            ("DELETE", "calls"): lambda _: ledger.clear_calls(),
            ("GET", "requests"): lambda _: list(ledger.requests),
            ("PATCH", "state"): _patch,
            ("POST", "cloudtrail"): _cloudtrail,
            ("POST", "logs"): _logs,
            ("POST", "log-group"): lambda given: logs.store(*_where(given), given["group"], given["stored"]),
            ("POST", "pull"): lambda given: ecr.pulled(
                *_where(given), given["repository"], given["digest"], given["at"]
            ),
            ("POST", "metrics"): _metrics,
            ("POST", "iam"): lambda given: gate.install(given["roles"], enforce=bool(given["enforce"])),
            ("DELETE", "iam"): lambda _: gate.clear(),
            ("POST", "iam/credentials"): lambda given: gate.credentials(
                given["role"], given.get("service"), given.get("via") or ""
            ),
            ("GET", "iam/record"): lambda _: gate.record(),
            ("DELETE", "iam/record"): lambda _: gate.forget(),
            ("POST", "stacks"): _stacks,
            ("POST", "objects"): _objects,
            ("GET", "charges"): lambda _: [one.members() for one in meters.charges(ACCOUNT)],
            ("POST", "charges"): _charge,
            ("PUT", "bill"): _set_bill,
            ("PUT", "recommendations"): _recommend,
        }

    def reply(self, method: str, path: str, body: bytes) -> Reply:
        """The answer: 404 for an unknown path, 400 for a body that makes no sense."""
        handler = self._routes.get((method, path.removeprefix("/sandbox/")))
        if handler is None:
            known = ", ".join(sorted(f"{verb} /sandbox/{name}" for verb, name in self._routes))
            return _json(HTTPStatus.NOT_FOUND, {"error": f"no {method} {path}; there is {known}"})
        try:
            given = json.loads(body or b"{}")
            if not isinstance(given, dict):
                return _bad("the body must be a JSON object")
            answer = handler(given)
            return _json(HTTPStatus.OK, {} if answer is None else answer)
        except KeyError as missing:
            return _bad(f"missing: {missing}")
        except (ValueError, LookupError, TypeError, AttributeError) as problem:
            return _bad(str(problem))

    def _clock(self, _: dict[str, Any]) -> dict[str, str]:
        return {"now": clock.text(clock.now())}

    def _set_clock(self, given: dict[str, Any]) -> dict[str, str]:
        clock.set_now(clock.parse(given["now"]))
        return self._clock(given)

    def _reset(self, _: dict[str, Any]) -> None:
        reset()
        self._ledger.clear()
        self._gate.clear()

    def _keep(self, given: dict[str, Any]) -> None:
        self._snapshots[given["name"]] = Snapshot.take(), given["about"]

    def _restore(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["name"] not in self._snapshots:
            return {}
        snapshot, about = self._snapshots[given["name"]]
        self._reset({})
        snapshot.restore()
        return {"about": about}


def reset() -> None:
    """An empty AWS at the default time."""
    with state.LOCK:
        BackendDict.reset()
        reset_model_data()
        s3_backends.reset()
        state.clear()
        RUNNING.clear()
        clock.set_now(clock.DEFAULT)


def _where(given: dict[str, Any]) -> tuple[str, str]:
    return given.get("account") or ACCOUNT, given.get("region") or DEFAULT_REGION


def _revive(_: dict[str, Any]) -> None:
    caller().killed = False


def _interrupt(given: dict[str, Any]) -> None:
    if training.runner is None:
        raise ValueError("no job runs for real here: janitor sandbox --run-jobs")
    training.runner.interrupt(given["job"])


def _set_durations(given: dict[str, Any]) -> dict[str, float]:
    with state.LOCK:
        durations().set(given)
        return dict(durations().seconds)


def _host(given: dict[str, Any]) -> None:
    RUNNING[str(given["name"])] = on_url(str(given["url"]))


def _patch(given: dict[str, Any]) -> None:
    with state.LOCK:
        override(*_where(given), given["service"], list(given["path"]), dict(given["set"]))


def _cloudtrail(given: dict[str, Any]) -> dict[str, Any]:
    for event in given["events"]:
        cloudtrail.record(*_where(given), event)
    return {"recorded": len(given["events"])}


def _logs(given: dict[str, Any]) -> dict[str, Any]:
    written = logs.seed(
        *_where(given),
        given["group"],
        given["stream"],
        [(at, message) for at, message in given.get("events", [])],
        lag_hours=given.get("lag_hours"),
        page_hours=given.get("page_hours"),
    )
    return {"written": written}


def _metrics(given: dict[str, Any]) -> dict[str, Any]:
    published = cloudwatch.seed(*_where(given), given["namespace"], given["series"])
    return {"published": published}


def _stacks(given: dict[str, Any]) -> None:
    cloudformation.seed(*_where(given), given["name"], list(given["resources"]))


def _objects(given: dict[str, Any]) -> dict[str, Any]:
    for one in given["objects"]:
        declared_objects.declare(one["bucket"], one["key"], int(one["size"]), one.get("seed") or one["key"])
    return {"declared": len(given["objects"])}


def _charge(given: dict[str, Any]) -> dict[str, Any]:
    account = given.get("account") or ACCOUNT
    charges = [Charge.declared({"account": account} | one) for one in given["charges"]]
    with state.LOCK:
        bill(account).charges += charges
    return {"charged": len(charges)}


def _set_bill(given: dict[str, Any]) -> None:
    with state.LOCK:
        bill(given.pop("account", None) or ACCOUNT).set(given)


def _recommend(given: dict[str, Any]) -> None:
    with state.LOCK:
        own = hub(given.get("account") or ACCOUNT)
        own.enrolled, own.deduped, own.items = True, float(given["deduped"]), list(given["items"])


def _bad(problem: str) -> Reply:
    return _json(HTTPStatus.BAD_REQUEST, {"error": problem})


def _json(status: HTTPStatus, answer: Any) -> Reply:
    return reply(json.dumps(answer).encode(), "application/json", status=status)
