"""Faults on request: what AWS does on a bad day, for chosen operations and a chosen number of times."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter, deque
from dataclasses import dataclass, field, fields
from threading import Lock
from typing import Any

from ml_janitor_sandbox.wire import Asked
from moto_corrections import clock

KINDS = (
    "throttle",
    "rate",
    "error",
    "deny",
    "latency",
    "truncate",
    "drop",
    "lost-reply",
    "hang-up",
    "break-page",
    "killed",
    "killed-before",
)
"""
What comes of it: an error (`throttle`, `error`, `deny`, `break-page`) and nothing is done, with `rate` only
for what is more than *per_second* by the sandbox's clock; a late, half or broken-off answer (`latency`,
`truncate`, `drop`); the work is done, and the answer is an error (`lost-reply`) or a connection that closes
without one (`hang-up`); or the end of whoever asked, after the work was done or before: see
`ml_janitor_sandbox.process_kill`.
"""
AFTER = ("truncate", "drop", "lost-reply", "hang-up", "killed")
"""The kinds that let the work be done first."""

REMEMBERED = 10_000
# Each service's own word for it; botocore's retries know all of these.
THROTTLED = {"s3": (503, "SlowDown"), "cloudwatch": (400, "Throttling"), "sts": (400, "Throttling")}
_TOKEN = re.compile(
    r'(?i)"?(?:nextToken|PaginationToken|continuation-token|key-marker|marker)"?\s*[:=]\s*"?([^"&\s,}]+)'
)


@dataclass(slots=True)
class Fault:
    """One rule: which requests it meets, how often, and what then happens."""

    service: str
    operation: str
    kind: str
    times: int = 1
    """How many requests it hits; 0 is all."""
    skip: int = 0
    """How many it lets pass first; for break-page, how many pages."""
    status: int = 0
    code: str = ""
    message: str = ""
    latency: float = 0.0
    match: str | None = None
    """Only requests with this in path, query or body."""
    per_second: float = 0.0
    principal: str | None = None
    """Only those that are signed with this access key; whoever else asks is spared."""
    region: str | None = None
    """Only those in this region."""
    hits: int = 0
    """How many requests it was meant for, those among them that it let pass."""
    struck: int = 0
    """How many it made fail."""
    pages: dict[str, int] = field(default_factory=dict)
    allowance: float = 1.0
    """How many more requests a rate admits now."""
    asked_at: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.kind == "latency" and self.latency <= 0:
            raise ValueError("a latency fault needs a latency in seconds")
        if self.kind == "rate" and self.per_second < 1:
            raise ValueError("a rate is at least 1 per_second")

    @classmethod
    def of(cls, given: dict[str, Any]) -> Fault:
        """Parse a request to `/sandbox/faults`; `ValueError` says what is wrong with it."""
        known = {member.name for member in fields(cls)} - {"hits", "struck", "pages", "allowance", "asked_at"}
        if unknown := set(given) - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        if missing := {"service", "operation", "kind"} - set(given):
            raise ValueError(f"missing: {', '.join(sorted(missing))}")
        return cls(**{key: value for key, value in given.items() if value is not None})

    def meets(self, asked: Asked) -> bool:
        """Tell whether this request is hit, and count it."""
        names = ((asked.service, self.service), (asked.operation, self.operation))
        if not all(fnmatch.fnmatchcase(*pair) for pair in names):
            return False
        if self.match and self.match not in asked.text:
            return False
        if self.principal not in (None, asked.principal) or self.region not in (None, asked.region):
            return False
        if self.kind == "break-page":
            return self._page(asked) > self.skip
        if self.kind == "rate":
            return not self._admits()
        self.hits += 1
        return self.hits > self.skip and (not self.times or self.hits <= self.skip + self.times)

    def _admits(self) -> bool:
        """Tell whether the rate admits one more: what was not used in the last second may be used now."""
        at = clock.now().timestamp()
        self.allowance = min(self.per_second, self.allowance + (at - self.asked_at) * self.per_second)
        self.asked_at = at
        admitted = self.allowance >= 1
        self.allowance -= admitted
        return admitted

    def _page(self, asked: Asked) -> int:
        """Return the number of the page that is asked for: a token seen before asks for its page again."""
        token = _TOKEN.search(asked.text)
        if token is None:
            self.pages.clear()
            return 1
        return self.pages.setdefault(token[1], len(self.pages) + 2)

    def failure(self, asked: Asked) -> tuple[int, str, str]:
        """Return HTTP status, code and message of the error."""
        if self.kind in ("throttle", "rate"):
            status, code = THROTTLED.get(asked.service, (400, "ThrottlingException"))
            default = (status, code, "Rate exceeded")
        elif self.kind == "deny":
            xml = asked.protocol in ("s3", "query")
            message = (
                f"User: arn:aws:iam::{asked.account}:user/janitor is not authorized to perform: "
                f"{asked.name} because no identity-based policy allows the {asked.name} action"
            )
            default = (403, "AccessDenied", message) if xml else (400, "AccessDeniedException", message)
        else:
            code = "InternalError" if asked.service == "s3" else "InternalFailure"
            default = (500, code, "We encountered an internal error. Please try again.")
        return self.status or default[0], self.code or default[1], self.message or default[2]


class Ledger:
    """The faults in force, and every request that has been made."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self.faults: list[Fault] = []
            self.calls: Counter[str] = Counter()
            self.requests: deque[dict[str, str]] = deque(maxlen=REMEMBERED)

    def add(self, fault: Fault) -> None:
        """Put a fault in force; earlier ones are asked first."""
        with self._lock:
            self.faults.append(fault)

    def listed(self) -> list[dict[str, Any]]:
        """List the faults in force, and how often each has struck."""
        with self._lock:
            members = ("service", "operation", "kind", "struck")
            return [{name: getattr(fault, name) for name in members} for fault in self.faults]

    def clear_faults(self) -> None:
        with self._lock:
            self.faults.clear()

    def clear_calls(self) -> None:
        with self._lock:
            self.calls.clear()
            self.requests.clear()

    def enter(self, asked: Asked) -> list[Fault]:
        """Count a request, and say what is to go wrong with it: delays, then one failure."""
        with self._lock:
            self.calls[asked.name] += 1
            members = ("service", "operation", "region", "account", "principal")
            self.requests.append({name: getattr(asked, name) for name in members})
            met: list[Fault] = []
            for fault in self.faults:
                if fault.meets(asked):
                    fault.struck += 1
                    met.append(fault)
                    if fault.kind != "latency":
                        break
            return met
