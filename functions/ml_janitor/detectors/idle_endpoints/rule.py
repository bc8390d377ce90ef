"""The detector of endpoints that run and cost money, and that nobody calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

from ml_janitor.aws import endpoints, tags
from ml_janitor.aws.calls import required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.endpoints import ENDPOINT_IN_SERVICE, SERVING_STATUSES
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Confidence,
    Effect,
    NotRead,
    Rule,
    Target,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.core.text import count_noun
from ml_janitor.detectors.idle_endpoints import act
from ml_janitor.detectors.idle_endpoints.act import ENDPOINT_MOVING
from ml_janitor.detectors.idle_endpoints.reading import (
    BACKLOG_METRIC,
    DAY_SECONDS,
    REQUEST_HISTORY,
    SCALING_ACTIVITIES,
    SCALING_SERVICE,
    EndpointAccount,
    EndpointCandidate,
    HalfDeletion,
    RequestMeter,
    endpoint_evidence,
    survey_endpoints,
)
from ml_janitor.engine.detector import (
    Cleanup,
    Condition,
    Constant,
    Detector,
    Grant,
    Steps,
    allow,
    allow_each,
    implied_grant,
    key_grant,
    pass_role_grants,
)

# --- proof by silence -----------------------------------------------------------------------------
# Silence proves nothing unless the metrics were there throughout and no earlier pause was as long.

_MEASURED_SHARE = 0.9
"""
Share of hours with a datapoint that proves silence.

An in-service variant or inference component publishes a zero for each hour without a request (measured for
cloud-custodian/cloud-custodian#11078). Datapoints come late, and an update may interrupt them; where more are
missing, requests may be missing too.
"""

_ONE_DAY = timedelta(seconds=DAY_SECONDS)


def is_queue_empty(endpoint: EndpointCandidate, start: datetime, end: datetime) -> bool:
    """
    Return whether the queue of an asynchronous endpoint was measured as empty between *start* and *end*.

    Every request waits in the queue, and stays counted while it is processed (developer guide, "Monitor
    asynchronous endpoint": ApproximateBacklogSize). A variant that never processed a request publishes no
    InvocationsProcessed at all.
    """
    queues = [meter for meter in endpoint.meters if meter.metric.name == BACKLOG_METRIC]
    measured = [meter for meter in queues if isinstance(meter.requests, Value) and meter.used is None]
    return bool(queues) and measured == queues and unmeasured_doubt(queues, start, end) is None


def why_silence_unproven(endpoint: EndpointCandidate, *, queue_empty: bool) -> str | None:
    """
    Return why silence proves nothing here, or None if it does. An empty
    queue proves that metrics arrive.
    """
    if not isinstance(endpoint.schedules, Value):
        return "whether a monitoring schedule runs over it was not read"
    if not isinstance(endpoint.config, Value) or not endpoint.decisive:
        return "nothing says where its requests could be seen"
    for meter in endpoint.decisive:
        if not isinstance(meter.requests, Value | Absent):
            return f"the requests to {meter.where} were not read"
        if isinstance(meter.requests, Value) or queue_empty:
            continue
        if not isinstance(meter.control, Value):
            return f"no metric of {meter.where} arrives, so its silence proves nothing"
    return _unread_requests(endpoint) or (deleted_component_doubt(endpoint) if endpoint.bare else None)


def _unread_requests(endpoint: EndpointCandidate) -> str | None:
    """Return which requests, now or before the window, could not be read, in words; or None."""
    if endpoint.hints_error is not None:
        return f"which other requests it had could not be read ({endpoint.hints_error})"
    for days in endpoint.history:
        if isinstance(days, Unreadable):
            return f"its earlier requests could not be read ({days.error})"
    return None


def deleted_component_doubt(endpoint: EndpointCandidate) -> str | None:
    """Return which deleted inference component may have had requests on this endpoint, in words; or None."""
    for meter in endpoint.strays:
        if meter.used is not None:
            return f"it lost its inference components, and {meter.where}, now deleted, had requests"
    return None


def unmeasured_doubt(meters: Iterable[RequestMeter], start: datetime, end: datetime) -> str | None:
    """Return which meter has too few hours with a datapoint, in words; None if none has."""
    hours = max(1, int((end - start) / timedelta(hours=1)))
    for meter in meters:
        if isinstance(meter.requests, Value):
            read = sum(at > start - timedelta(hours=1) for at, _ in meter.requests.value.points)
            if read < _MEASURED_SHARE * hours:
                return f"{meter.where} has a datapoint for only {read:,} of {count_noun(hours, 'hour')}"
    return None


def redeployment_doubt(endpoint: EndpointCandidate) -> str | None:
    """Return why scaling may hide a deployment, in words: no image says when it was last resolved."""
    match endpoint.scaled, endpoint.description:
        case Value(True), Value(description):
            hidden = [variant.name for variant in description.variants if variant.resolved is None]
        case _:
            hidden = []
    if not hidden:
        return None
    return f"it was scaled since, and nothing says whether {hidden[0]} was deployed again before that"


def monitoring_doubt(endpoint: EndpointCandidate) -> str | None:
    """Return that somebody has it monitored, in words: they may expect requests."""
    if not endpoint.monitors:
        return None
    single = len(endpoint.monitors) == 1
    return (
        f"the monitoring schedule{'' if single else 's'} {', '.join(endpoint.monitors)} "
        f"run{'s' * single} over it"
    )


def standby_doubt(endpoint: EndpointCandidate) -> str | None:
    """
    Return why nobody may call it until another region fails, in words.

    An inference router there sends requests here once its own endpoints are overloaded
    (developer guide, "Route requests across AWS Regions"); the cap on those requests
    is the only trace of the router on this side.
    """
    if isinstance(endpoint.config, Value) and endpoint.config.value.routed:
        return (
            "inference routers in other regions may send it requests, so it may stand by for their endpoints"
        )
    return None


def pause_doubt(endpoint: EndpointCandidate, now: datetime) -> str | None:
    """
    Return why the present silence may be one of many, in words: an earlier pause was as long.

    An endpoint that was used every 30 days will be used again, whatever its last week was like. The time from
    the first datapoint to the first use is a pause too: nobody knows how long it had been.
    """
    days = [day for days in endpoint.history if isinstance(days, Value) for day in days.value.points]
    used = sorted({day for day, count in days if count > 0})
    if not used:
        return None
    first = min(day for day, _ in days)
    longest = max(later - before for before, later in pairwise([first, *used]))
    if longest < now - (used[-1] + _ONE_DAY):
        return None
    return f"it is used every so often: it had paused for {format_age(longest)} before, and was used again"


# --- the detector ---------------------------------------------------------------------------------

_AUTHORIZATION = "Service Authorization Reference for Amazon SageMaker: dependent actions"
_SCALING_SOURCE = (
    "Application Auto Scaling User Guide, identity-based policy examples: permissions for target services"
)
_SCALABLE_TARGETS, _COMPONENT_ARNS = "scalable-target/*", "inference-component/*"
_CONFIG_ARNS, _ENDPOINT_ARNS = "endpoint-config/*", "endpoint/*"
_ALARM_ARNS = tuple(f"alarm:TargetTracking-{scaled}" for scaled in (_ENDPOINT_ARNS, _COMPONENT_ARNS))
"""Alarms of target tracking, whose names begin with what is scaled."""

_OF_SAGEMAKER = (Condition("StringEquals", f"{SCALING_SERVICE}:service-namespace", ("sagemaker",)),)

_ACT_GRANTS: tuple[Grant, ...] = (
    allow("sagemaker:ListTags", on=_CONFIG_ARNS),
    allow("sagemaker:DescribeInferenceComponent", on=_COMPONENT_ARNS),
    allow("sagemaker:ListInferenceExperiments"),
    allow("sagemaker:DescribeInferenceExperiment", on="inference-experiment/*"),
    *allow_each(
        SCALING_SERVICE, "DescribeScalableTargets", "DescribeScalingPolicies", "DescribeScheduledActions"
    ),
    allow(f"{SCALING_SERVICE}:ListTagsForResource", on=_SCALABLE_TARGETS),
    allow(f"{SCALING_SERVICE}:DeregisterScalableTarget", on=_SCALABLE_TARGETS, when=_OF_SAGEMAKER),
    allow("sagemaker:DeleteInferenceComponent", on=_COMPONENT_ARNS),
    allow("sagemaker:DeleteEndpoint", on=_ENDPOINT_ARNS),
    *(implied_grant("cloudwatch:DeleteAlarms", on=alarms, source=_SCALING_SOURCE) for alarms in _ALARM_ARNS),
)
"""IAM permissions for deleting an endpoint, beyond those for finding it."""

_UNDO_GRANTS: tuple[Grant, ...] = (
    allow("sagemaker:DescribeEndpoint", on=_ENDPOINT_ARNS),
    *allow_each("sagemaker", "DescribeEndpointConfig", "CreateEndpointConfig", on=_CONFIG_ARNS),
    allow("sagemaker:CreateEndpoint", on=_ENDPOINT_ARNS),
    implied_grant("sagemaker:CreateEndpoint", on=_CONFIG_ARNS, source=_AUTHORIZATION),
    *allow_each("sagemaker", "DeleteEndpoint", "UpdateEndpointWeightsAndCapacities", on=_ENDPOINT_ARNS),
    *allow_each("sagemaker", "DescribeInferenceComponent", "CreateInferenceComponent", on=_COMPONENT_ARNS),
    implied_grant("sagemaker:CreateInferenceComponent", on=_ENDPOINT_ARNS, source=_AUTHORIZATION),
    allow("sagemaker:DeleteInferenceComponent", on=_COMPONENT_ARNS),
    allow(f"{SCALING_SERVICE}:TagResource", on=_SCALABLE_TARGETS),
    *(
        allow(f"{SCALING_SERVICE}:{call}", on=_SCALABLE_TARGETS, when=_OF_SAGEMAKER)
        for call in ("RegisterScalableTarget", "PutScalingPolicy", "PutScheduledAction")
    ),
    *(
        implied_grant("sagemaker:AddTags", on=resources, source=_AUTHORIZATION)
        for resources in (_CONFIG_ARNS, _ENDPOINT_ARNS, _COMPONENT_ARNS)
    ),
    key_grant(
        "Amazon SageMaker API Permissions Reference: CreateEndpoint, where the configuration has a KmsKeyId"
    ),
    implied_grant(
        "sagemaker:UpdateInferenceComponentRuntimeConfig", on=_COMPONENT_ARNS, source=_SCALING_SOURCE
    ),
    implied_grant("cloudwatch:DescribeAlarms", on="alarm:*", source=_SCALING_SOURCE),
    *(
        implied_grant(f"cloudwatch:{call}", on=alarms, source=_SCALING_SOURCE)
        for call in ("PutMetricAlarm", "DeleteAlarms")
        for alarms in _ALARM_ARNS
    ),
)
"""
Deleting is included for an endpoint that AWS could not create: it holds
the name, so it has to go first.
"""


@dataclass(frozen=True)
class IdleEndpoints(Detector[EndpointCandidate]):
    """
    Finds endpoints that cost money and got no request for a week.

    Every variant, shadow variant and inference component counts, each by the metric it really
    publishes. The configuration and the models stay, so the endpoint can be created again.
    """

    name: ClassVar[str] = "idle-endpoints"
    schedule: ClassVar[str] = "cron(0 3 * * ? *)"
    kinds: ClassVar[tuple[str, ...]] = ("endpoint",)
    keeps_descriptions = True
    cleanup = Cleanup(
        effect=Effect.DELETE,
        grace=timedelta(days=3),
        act_on=Confidence.PROVEN,
        lost=(
            "its capacity, if AWS has none left, nor requests in an asynchronous queue, nor the strategy of "
            "its last deployment"
        ),
    )
    reads = (
        *allow_each("sagemaker", "ListEndpoints", "ListInferenceComponents", "ListMonitoringSchedules"),
        allow("sagemaker:Search"),
        allow("sagemaker:DescribeEndpoint", on="endpoint/*"),
        allow("sagemaker:DescribeEndpointConfig", on="endpoint-config/*"),
        allow("sagemaker:ListTags", on="endpoint/*"),
        allow("sagemaker:ListTags", on="inference-component/*"),
        allow("tag:GetResources"),
        allow("sagemaker:ListMonitoringExecutions"),
        allow("sagemaker:DescribeProcessingJob", on="processing-job/*"),
        allow(SCALING_ACTIVITIES),
        *allow_each("cloudwatch", "ListMetrics", "GetMetricData"),
        allow("pricing:GetProducts"),
    )
    acts = _ACT_GRANTS

    min_age: Constant[timedelta] = timedelta(days=7)
    window: timedelta = timedelta(days=7)
    undo_roles: tuple[str, ...] = ()

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """
        The permissions to create it again. The undo passes a role only if the configuration has one and is
        gone too, so a missing role is not a reason to undo everything by hand.
        """
        return (*_UNDO_GRANTS, *pass_role_grants(self.undo_roles, source=_AUTHORIZATION))

    def find(self, aws: Aws, now: datetime) -> Iterator[EndpointCandidate]:
        """Yield every endpoint: lists and metrics in bulk, descriptions and tags of the quiet endpoints."""
        account, (listing,) = EndpointAccount.read(aws, endpoints.list_endpoints)
        listed = [account.endpoint(aws, summary, NotRead()) for summary in listing.items]
        yield from self._survey(aws, listed, account, now, exactly=False)
        listing.check()

    def look_unfinished(
        self, aws: Aws, target: Target, record: Mapping[str, Any], now: datetime
    ) -> EndpointCandidate | None:
        """Read the endpoint as `look` does, with the requests to the components that were already deleted."""
        return self.look(aws, target, now, act.half_done_from_record(record))

    def look(
        self, aws: Aws, target: Target, now: datetime, half_done: HalfDeletion | None = None
    ) -> EndpointCandidate | None:
        described = required_value(endpoints.describe_endpoint(aws, target.name))
        if described is None:
            return None
        read_tags = partial(tags.read_sagemaker_tags, arn=described.summary.arn)
        account, (own_tags,) = EndpointAccount.read(aws, read_tags)
        listed = account.endpoint(aws, described.summary, own_tags, half_done)
        (read,) = self._survey(aws, [listed], account, now, exactly=True)
        return replace(read, alone=True)

    def _survey(
        self,
        aws: Aws,
        listed: list[EndpointCandidate],
        account: EndpointAccount,
        now: datetime,
        *,
        exactly: bool,
    ) -> list[EndpointCandidate]:
        return survey_endpoints(
            aws,
            listed,
            account,
            window=(now - self.window, now),
            settled=now - self.min_age,
            kept=partial(self._kept_regardless, now=now),
            exactly=exactly,
        )

    def decide(self, candidate: EndpointCandidate, now: datetime) -> Verdict:
        """Find an endpoint that runs, is old enough, and had no request anywhere."""
        rule = Rule()
        rule.saw(*endpoint_evidence(candidate, now))
        if (why := self._kept_regardless(candidate, now)) is not None:
            return rule.kept(why)
        if candidate.status not in SERVING_STATUSES:
            return rule.unknown(f"it is {candidate.status} since its inference components were deleted")
        if isinstance(candidate.scaled, NotRead) and now - candidate.deployed < self.min_age:
            return rule.unknown(
                candidate.unreadable or "whether its last modification was scaling was not read"
            )
        rule.passed(f"in service, and deployed at least {format_age(self.min_age)} ago")
        start = max(now - self.window, candidate.changed)
        queue_empty = is_queue_empty(candidate, start, now)
        if (
            why := candidate.unreadable or why_silence_unproven(candidate, queue_empty=queue_empty)
        ) is not None:
            return rule.unknown(why)
        rule.passed("something runs that is billed by the hour, and every place for requests could be judged")
        reason, since = self._quiet(candidate, now)
        if candidate.bare:
            reason += (
                f"; no inference component is on {variants_text(candidate.bare)}, so nothing "
                f"there can be called"
            )
        zeros = queue_empty or all(isinstance(meter.requests, Value) for meter in candidate.decisive)
        if not zeros:
            reason += " (no datapoint, while other metrics of it arrive)"
        sparse = None if queue_empty else unmeasured_doubt(candidate.decisive, start, now)
        doubts = (
            redeployment_doubt(candidate),
            sparse,
            pause_doubt(candidate, now),
            standby_doubt(candidate),
            monitoring_doubt(candidate),
        )
        reason = "; ".join([reason, *(doubt for doubt in doubts if doubt is not None)])
        certain = zeros and not any(doubts) and not candidate.bare
        return rule.found(
            reason,
            Confidence.PROVEN if certain else Confidence.LIKELY,
            action="delete the endpoint (its configuration and models stay)",
            cost=candidate.cost,
            since=since,
            spared=why_endpoint_spared(candidate),
        )

    def prepare(self, aws: Aws, candidate: EndpointCandidate, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the record that creates the endpoint again, with all that depends on it."""
        return act.record_endpoint(aws, candidate.target, judged=candidate.on_it, deployed=candidate.deployed)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        """Delete its inference components, then the endpoint; its configuration and models stay."""
        act.act(aws, target, record, steps)

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return act.is_endpoint_gone(aws, target)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        """Create the endpoint again from its configuration, and restore its components and scaling."""
        act.revert(aws, target, record, steps)

    def undo_needs(self, target: Target, record: Mapping[str, Any]) -> tuple[str, ...]:
        """Return its configuration, and the models of the configuration and of the inference components."""
        return act.needed_for_undo(target.arn, record)

    def _kept_regardless(self, endpoint: EndpointCandidate, now: datetime) -> str | None:
        """Return why it is kept whatever else is read, or None while the question is open."""
        if isinstance(endpoint.description, Absent):
            return "it was deleted while it was being looked at"
        moved = endpoint.half_done is not None and endpoint.status in ENDPOINT_MOVING
        if endpoint.status not in SERVING_STATUSES and not moved:
            return f"it is {endpoint.status}, not {ENDPOINT_IN_SERVICE}"
        others = [endpoint.summary.created, *(component.changed for component in endpoint.on_it)]
        known = isinstance(endpoint.scaled, Value) or endpoint.half_done is not None
        if (age := now - (endpoint.changed if known else max(others))) < self.min_age:
            left_alone = f"endpoints are left alone for {format_age(self.min_age)}"
            return f"last deployed {format_age(age)} ago; {left_alone}"
        used = [(meter.used, meter) for meter in endpoint.meters if meter.used is not None]
        if used:
            at, meter = max(used, key=lambda pair: pair[0])
            latest = f"the latest in the hour from {at:%Y-%m-%d %H:%M} UTC"
            return f"{requests_text(meter)} in the last {format_age(self.window)}, {latest}"
        if endpoint.half_done is not None and endpoint.monitors:
            return f"the monitoring schedule {endpoint.monitors[0]} was started over it meanwhile"
        return why_not_billed(endpoint)

    def _quiet(self, endpoint: EndpointCandidate, now: datetime) -> tuple[str, datetime]:
        """Return how long it has been idle, in words, and the time since when."""
        start, deployed = now - self.window, endpoint.changed
        if deployed > start:
            return f"no request since it was deployed {format_age(now - deployed)} ago", deployed
        quiet = f"no request in {format_age(self.window)}"
        if any(isinstance(days, Unreadable) for days in endpoint.history) or not endpoint.history:
            return quiet, start
        days = [found.value.last_above_zero for found in endpoint.history if isinstance(found, Value)]
        if last := max((day for day in days if day is not None), default=None):
            since = min(last + timedelta(seconds=DAY_SECONDS), start)
            return f"{quiet}; the last one was {format_age(now - since)} ago", since
        if deployed >= start - REQUEST_HISTORY:
            return f"{quiet}, and none since it was deployed {format_age(now - deployed)} ago", deployed
        return f"{quiet}, nor in the {format_age(REQUEST_HISTORY)} before", start - REQUEST_HISTORY


def why_endpoint_spared(endpoint: EndpointCandidate) -> str | None:
    """Return why it is only reported, or None."""
    if endpoint.status != ENDPOINT_IN_SERVICE:
        return f"it is {endpoint.status}: it runs parts of two configurations, and an undo brings back one"
    if endpoint.monitors:
        return f"the monitoring schedule {endpoint.monitors[0]} runs over it, and has to be stopped first"
    return None


def why_not_billed(endpoint: EndpointCandidate) -> str | None:
    """
    Return why it costs nothing, or None. Not for an endpoint whose components
    the janitor deleted: it scaled in since.
    """
    if not isinstance(endpoint.description, Value) or endpoint.half_done is not None:
        return None
    if endpoint.description.value.costs:
        return None
    if any(variant.reserved and variant.runs for variant in endpoint.description.value.variants):
        return "nothing of it is billed by the hour: its reserved capacity is paid for without it too"
    return "nothing of it is billed by the hour: scaled to zero, or plain serverless"


def requests_text(meter: RequestMeter) -> str:
    """Return a used meter's requests, in words."""
    if (count := meter.count) is None:
        return f"{meter.where} was in use"
    return f"{count:,} request{'' if count == 1 else 's'} to {meter.where}"


def variants_text(variants: tuple[str, ...]) -> str:
    """Return the variants in words."""
    return f"variant{'' if len(variants) == 1 else 's'} {', '.join(variants)}"
