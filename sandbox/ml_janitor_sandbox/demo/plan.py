"""The plan of the demo account: the calls that make it what it is, their times, and how to make them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import boto3

from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo.times import NOW
from ml_janitor_sandbox.demo.traffic import Series

ACCOUNT = "123456789012"
REGION = "us-east-1"

KEY = "AKIADEMO"
ALLOCATED = ("project", "team", "environment", "cost-center", "owner", "managed-by")
"""The cost allocation tags that the company has activated."""


def sagemaker_arn(kind: str, name: str) -> str:
    """Return the ARN of the demo's SageMaker resource of this *kind*, such as "endpoint"."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def name_member(kind: str) -> str:
    """Return the member with the name in requests about a *kind*, such as "training_job"."""
    return "".join(map(str.capitalize, kind.split("_"))) + "Name"


@dataclass(frozen=True, slots=True)
class Step:
    """One AWS call, made at a time by someone."""

    at: datetime
    by: str
    service: str
    operation: str
    params: Mapping[str, Any]
    region: str = REGION


@dataclass(frozen=True, slots=True)
class Stream:
    """A log stream; DescribeLogStreams learns of its events so many hours late as its index *lags*."""

    group: str
    name: str
    events: tuple[tuple[datetime, str], ...]
    lags: float | None


@dataclass(slots=True)
class Plan:
    """
    The account's history, collected in any order and carried out in that of time.

    Calls move the sandbox's clock to their time, so that whatever they make is as old as it should
    be. Metrics, logs and what no call can bring about (a job's status, say) come after them.
    """

    steps: list[Step] = field(default_factory=list)
    series: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    states: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    charges: list[dict[str, Any]] = field(default_factory=list)
    declared: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """The sizes and seeds of objects, by bucket and key, that are larger than what is stored of them."""
    stored: dict[str, int] = field(default_factory=dict)
    """The bytes of log groups."""
    pulls: list[tuple[str, str, datetime]] = field(default_factory=list)
    """Repository and digest of images, and when each was last pulled."""

    def call(self, at: datetime, by: str, operation: str, **params: Any) -> None:
        """Have *by* call an *operation*, given as "service.method_of_the_client"."""
        self.call_in(REGION, at, by, operation, params)

    def call_in(self, region: str, at: datetime, by: str, operation: str, params: Mapping[str, Any]) -> None:
        service, _, method = operation.partition(".")
        self.steps.append(Step(at, by, service, method, params, region))

    def publish(
        self,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, str],
        series: Series | None,
        samples: int = 1,
    ) -> None:
        """Have CloudWatch record these values, if there are any, each of so many datapoints."""
        if series is None:
            return
        each = list(series.samples) or samples
        about = {"metric": metric, "dimensions": dict(dimensions), "samples": each}
        points = {"start": series.start, "step": series.step.total_seconds(), "values": series.values}
        self.series.setdefault(namespace, []).append(about | points)

    def write(
        self, group: str, stream: str, events: Iterable[tuple[datetime, str]], *, lags: float | None = None
    ) -> None:
        self.streams.append(Stream(group, stream, tuple(events), lags))

    def state(self, kind: str, name: str, **members: Any) -> None:
        """Change what Describe answers about the SageMaker resource of this kind and name."""
        self.states.append((kind, name, members))

    def note(self, at: datetime, by: str, event: str, **asked: Any) -> None:
        """Have CloudTrail know of a call that left no other trace. Calls that create are noted anyway."""
        resources = [{"ResourceName": name} for member, name in asked.items() if member.endswith("Name")]
        about = {"EventTime": at, "EventName": event, "Username": by, "Resources": resources}
        self.events.append(about | {"CloudTrailEvent": {"requestParameters": asked}})

    def charge(self, usage: str, start: datetime, end: datetime | None, **members: Any) -> None:
        """Have the company pay for what no call of this history makes: see `billing.charges.Charge`."""
        self.charges.append({"usage_type": usage, "start": start, "end": end} | members)

    def carry_out(self, url: str) -> None:
        """Do all of it to the sandbox at *url*, and leave its clock at the demo's now."""
        control = Control(url)
        with control.at_once():  # what somebody made long ago has long come up
            self._act(url, control)
        control.set_clock(NOW)
        control.set_bill(tags=ALLOCATED)
        control.charge(self.charges)
        for namespace, series in self.series.items():
            control.metrics(namespace, series)
        for stream in self.streams:
            control.logs(stream.group, stream.name, stream.events, lag_hours=stream.lags)
        for group, stored in self.stored.items():
            control.log_group(group, stored)
        for pull in self.pulls:
            control.pull(*pull)
        for kind, name, members in self.states:
            control.patch("sagemaker", [kind, name], **members)
        control.cloudtrail(self.events)
        control.clear_faults()
        control.clear_calls()

    def _act(self, url: str, control: Control) -> None:
        actor = Actor(url)
        clock = None
        for step in sorted(self.steps, key=lambda step: step.at):
            if step.at != clock:
                clock = step.at
                control.set_clock(clock)
            actor.do(step)
            where = step.params.get("Bucket", ""), step.params.get("Key", "")
            if step.operation == "put_object" and where in self.declared:
                control.declare([{"bucket": where[0], "key": where[1], **self.declared[where]}])


class Actor:
    """A caller in the name of whoever a step says."""

    def __init__(self, url: str) -> None:
        self._session = boto3.Session(KEY, "demo", region_name=REGION)
        self._url = url
        self._clients: dict[tuple[str, str], Any] = {}
        self._by = ""

    def do(self, step: Step) -> None:
        self._by = step.by
        getattr(self._client(step.service, step.region), step.operation)(**step.params)

    def call(self, by: str, service: str, operation: str, **params: Any) -> Any:
        """Make a call in the name of *by*, and give its answer."""
        self._by = by
        return getattr(self._client(service, REGION), operation)(**params)

    def _client(self, service: str, region: str) -> Any:
        if (service, region) not in self._clients:
            client: Any = self._session.client(service, region, endpoint_url=self._url)  # type: ignore[call-overload]  # any
            client.meta.events.register("before-send", self._sign)
            self._clients[service, region] = client
        return self._clients[service, region]

    def _sign(self, request: Any, **_: Any) -> None:
        """Put the person's name in the place of the access key, from which the sandbox tells the user."""
        signed = request.headers["Authorization"]
        text = signed.decode() if isinstance(signed, bytes) else signed
        request.headers["Authorization"] = text.replace(KEY, self._by)
