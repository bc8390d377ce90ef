"""Application Auto Scaling: scalable targets, by ARNs that hold an id instead of what is scaled."""

from ml_janitor_sandbox.iam.needs import Need, Needs
from moto_corrections.patches import Call
from moto_corrections.scaling import Where, scaled_variants, targets, uuid_of, where_of

VARIANT = "sagemaker:variant:DesiredInstanceCount"
ON_TARGET = {
    "DeleteScalingPolicy",
    "DeleteScheduledAction",
    "DeregisterScalableTarget",
    "PutScalingPolicy",
    "PutScheduledAction",
    "RegisterScalableTarget",
}
TRACKING = "TargetTrackingScaling"
SCALED = {
    "endpoint": ("DescribeEndpoint", "UpdateEndpointWeightsAndCapacities"),
    "inference-component": ("DescribeInferenceComponent", "UpdateInferenceComponentRuntimeConfig"),
}
TAGGING = {"ListTagsForResource", "TagResource", "UntagResource"}


def needs(call: Call) -> Needs:
    """Return needs as in the service authorization reference of the service; reading has no resource."""
    if call.operation in TAGGING:
        return [Need(f"application-autoscaling:{call.operation}", call.params["ResourceARN"])]
    if call.operation not in ON_TARGET:
        raise NotImplementedError
    where = where_of(call)
    wanted = [_on(call, call.operation, where)]
    if call.operation == "RegisterScalableTarget":
        wanted += _scaled(call, where[1])
        if call.params.get("Tags"):
            wanted.append(_on(call, "TagResource", where))
    if call.operation == "PutScalingPolicy" and call.params.get("PolicyType") == TRACKING:
        wanted += _alarms(call, where[1], "DeleteAlarms", "DescribeAlarms", "PutMetricAlarm")
    if call.operation == "DeregisterScalableTarget":
        wanted += _forgetting(call, where)
    return wanted


def _scaled(call: Call, resource: str) -> Needs:
    """
    Return what registering needs of SageMaker: seeing what is scaled, and scaling it.

    Application Auto Scaling user guide, "Identity-based policy examples": whoever configures scaling
    needs these permissions for the target service, and those below for CloudWatch.
    """
    kind, name, *_ = resource.split("/")
    describe, update = SCALED[kind]
    return [
        Need(f"sagemaker:{operation}", call.arn("sagemaker", f"{kind}/{name}"))
        for operation in (describe, update)
    ]


def _alarms(call: Call, resource: str, *operations: str) -> Needs:
    """
    Return what a target-tracking policy needs for its alarms, called TargetTracking-RESOURCE-....

    The page lists them together, and does not say which call needs which: putting one may replace one.
    """
    named = {"DescribeAlarms": "*"}
    return [
        Need(
            f"cloudwatch:{operation}",
            call.arn("cloudwatch", f"alarm:{named.get(operation, _alarm(resource))}"),
        )
        for operation in operations
    ]


def _alarm(resource: str) -> str:
    return f"TargetTracking-{resource}-AlarmHigh-{uuid_of((resource,))}"


def _forgetting(call: Call, where: Where) -> Needs:
    """Require deleting alarms: it "deletes the scaling policies that are associated with it" (API)."""
    kept = targets(call).get(where)
    tracked = kept is not None and any(policy["PolicyType"] == TRACKING for policy in kept.policies.values())
    return _alarms(call, where[1], "DeleteAlarms") if tracked else []


def deregistering(call: Call, endpoint: str) -> Needs:
    """
    Return what deleting an endpoint needs for the targets of its variants.

    "An Application AutoScaling scalable target exists for a variant being deleted, and the IAM identity
    used to invoke DeleteEndpoint does not have application-autoscaling:DeregisterScalableTarget
    permission" (https://github.com/awslabs/stable-diffusion-aws-extension/issues/161).
    """
    found = []
    for variant in sorted(scaled_variants(call, endpoint)):
        where = ("sagemaker", f"endpoint/{endpoint}/variant/{variant}", VARIANT)
        found += [_on(call, "DeregisterScalableTarget", where), *_forgetting(call, where)]
    return found


def _on(call: Call, operation: str, where: Where) -> Need:
    namespace, _, dimension = where
    return Need(
        f"application-autoscaling:{operation}",
        call.arn("application-autoscaling", f"scalable-target/{uuid_of(where)}"),
        {
            "application-autoscaling:service-namespace": (namespace,),
            "application-autoscaling:scalable-dimension": (dimension,),
        },
    )
