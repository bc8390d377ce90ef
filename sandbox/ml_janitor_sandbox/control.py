"""A client for the sandbox's own interface, with nothing but the standard library."""

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, cast

REGION = "us-east-1"


class SandboxError(RuntimeError):
    """An error with the sandbox's reason for not understanding."""


class Control:
    """A client that moves the clock, breaks operations, counts calls and seeds what no AWS API can make."""

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

    def clock(self) -> dt.datetime:
        """Return the sandbox's time."""
        return dt.datetime.fromisoformat(self._ask("GET", "clock")["now"])

    def set_clock(self, now: dt.datetime) -> None:
        """Make it this time, which it stays until set again."""
        self._ask("PUT", "clock", {"now": _text(now)})

    @contextmanager
    def at(self, moment: dt.datetime) -> Iterator[None]:
        """Let it be that time meanwhile, as when something is made that is to look old."""
        now = self.clock()
        self.set_clock(moment)
        try:
            yield
        finally:
            self.set_clock(now)

    def durations(self) -> dict[str, float]:
        """Return the seconds of its clock for each change, such as endpoint.create or notebook.stop."""
        return dict(self._ask("GET", "durations"))

    def set_durations(self, seconds: Mapping[str, float]) -> None:
        """Change some of them for what begins from now on; `{"*": 0}` makes everything happen at once."""
        self._ask("PUT", "durations", seconds)

    def freeze_search(self, *missing: str) -> None:
        """Let SageMaker's Search answer with what there is now, without *missing* names, until a reset."""
        self._ask("POST", "search", {"missing": missing})

    def set_pages(self, most: int) -> None:
        """Let no page of a listing hold more than *most* entries, whatever is asked for."""
        self._ask("PUT", "pages", {"most": most})

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let nothing take time meanwhile, as when an account is built up that is to look old."""
        before = self.durations()
        self.set_durations({"*": 0})
        try:
            yield
        finally:
            self.set_durations(before)

    def reset(self) -> None:
        """Reset the sandbox: an empty account, no faults, no calls, and the default time."""
        self._ask("POST", "reset", {})

    def keep(self, name: str, **about: Any) -> None:
        """Remember the account under this name: all that is in it, its time, and what to know *about* it."""
        self._ask("POST", "snapshots", {"name": name, "about": about})

    def restore(self, name: str) -> dict[str, Any] | None:
        """
        Restore the account that was kept under that name; no faults, no calls and no roles.

        Return the note *about* it, or None if none was kept: then nothing happens.
        """
        return cast("dict[str, Any] | None", self._ask("POST", "restore", {"name": name}).get("about"))

    def fault(self, service: str, operation: str, kind: str, **rule: Any) -> None:
        """Make matching requests fail or wait; see `ml_janitor_sandbox.faults.Fault` for its fields."""
        named = {"service": service, "operation": operation, "kind": kind}
        self._ask("POST", "faults", named | rule)

    def faults(self) -> list[dict[str, Any]]:
        """List the faults in force: service, operation, kind, and how many requests each has *struck*."""
        return list(self._ask("GET", "faults"))

    def clear_faults(self) -> None:
        """Let everything work again."""
        self._ask("DELETE", "faults")

    def revive(self) -> None:
        """Let things be done again after a `killed` fault: the next process has started."""
        self._ask("POST", "revive", {})

    def interrupt(self, job: str) -> None:
        """Take away the spot instance of the training job of this ARN, which the sandbox runs for real."""
        self._ask("POST", "interruptions", {"job": job})

    def invocations(self) -> list[dict[str, Any]]:
        """List every function that was invoked asynchronously, with its event, in order."""
        return list(self._ask("GET", "invocations"))

    def host(self, function: str, url: str) -> None:
        """Have invocations of *function*, by name or ARN, answered at *url*: see `functions.on_url`."""
        self._ask("PUT", "functions", {"name": function, "url": url})

    def calls(self) -> dict[str, int]:
        """Count the HTTP requests made for each operation, such as sagemaker:ListEndpoints."""
        return dict(self._ask("GET", "calls"))

    def clear_calls(self) -> None:
        """Start counting anew."""
        self._ask("DELETE", "calls")

    def requests(self) -> list[dict[str, str]]:
        """List the latest requests, oldest first: service, operation, region, account, principal."""
        return list(self._ask("GET", "requests"))

    def patch(
        self, service: str, path: Sequence[str | int], *, region: str = REGION, **attributes: Any
    ) -> None:
        """Set members of one resource: `patch("sagemaker", ["endpoints", "e"], status="Failed")`."""
        where = {"service": service, "region": region, "path": list(path)}
        self._ask("PATCH", "state", where | {"set": attributes})

    def cloudtrail(self, events: Iterable[Mapping[str, Any]], *, region: str = REGION) -> None:
        """Record events as LookupEvents answers them; `CloudTrailEvent` may be a dict."""
        self._ask("POST", "cloudtrail", {"region": region, "events": [dict(e) for e in events]})

    def logs(
        self,
        group: str,
        stream: str,
        events: Iterable[tuple[dt.datetime, str]] = (),
        *,
        region: str = REGION,
        lag_hours: float | None = None,
        page_hours: float | None = None,
    ) -> None:
        """Write log events of any age; makes the group, and the stream with pages of so many hours."""
        body: dict[str, Any] = {"region": region, "group": group, "stream": stream}
        body["events"] = [[_text(at), message] for at, message in events]
        self._ask("POST", "logs", body | {"lag_hours": lag_hours, "page_hours": page_hours})

    def log_group(self, group: str, stored: int, *, region: str = REGION) -> None:
        """Say that a log group holds so many bytes; makes the group."""
        self._ask("POST", "log-group", {"region": region, "group": group, "stored": stored})

    def pull(self, repository: str, digest: str, at: dt.datetime, *, region: str = REGION) -> None:
        """Say that an image of ECR was last pulled then."""
        body = {"region": region, "repository": repository, "digest": digest, "at": _text(at)}
        self._ask("POST", "pull", body)

    def metrics(self, namespace: str, series: Iterable[Mapping[str, Any]], *, region: str = REGION) -> None:
        """Publish whole series: {"metric", "dimensions", "start", "step" in seconds, "values", "samples"}."""
        body = {"region": region, "namespace": namespace, "series": [dict(metric) for metric in series]}
        self._ask("POST", "metrics", body)

    def stack(self, name: str, resources: Iterable[Mapping[str, str]], *, region: str = REGION) -> None:
        """Say that a CloudFormation stack is there: {"logical", "physical", "type"} of each resource."""
        body = {"region": region, "name": name, "resources": [dict(resource) for resource in resources]}
        self._ask("POST", "stacks", body)

    def declare(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """
        Give objects that are there another size: {"bucket", "key", "size" in bytes}.

        Their bytes are made when they are read; two with the same "seed" (else the key) have the same.
        """
        self._ask("POST", "objects", {"objects": [dict(item) for item in objects]})

    def charge(self, charges: Iterable[Mapping[str, Any]], *, account: str = "") -> None:
        """
        Charge an account by hand: {"service", "usage_type", "start", "end", "usd", "quantity"}, and more.

        See `ml_janitor_sandbox.billing.charges.Charge` for all of it: tags, credits, what is posted late.
        """
        self._ask("POST", "charges", {"account": account, "charges": [dict(charge) for charge in charges]})

    def charges(self) -> list[dict[str, Any]]:
        """List every charge of the account, by hand or for what its resources used."""
        return list(self._ask("GET", "charges"))

    def set_bill(self, *, account: str = "", **settings: Any) -> None:
        """Set up Cost Explorer: `set_bill(tags=["project"], since=..., enabled=False, page=100)`."""
        self._ask("PUT", "bill", {"account": account} | settings)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310  the scheme is the caller's, and http
            f"{self.url}/sandbox/{path}",
            method=method,
            data=None if body is None else json.dumps(body, default=_text).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as reply:  # noqa: S310
                return json.load(reply)
        except urllib.error.HTTPError as refused:
            with refused:
                message = f"{method} /sandbox/{path}: {refused.read().decode()}"
            raise SandboxError(message) from None


def _text(value: Any) -> str:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{value!r} is not JSON")
