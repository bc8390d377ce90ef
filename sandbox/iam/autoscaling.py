"""Application Auto Scaling: scalable targets, by ARNs that hold an id instead of what is scaled."""

from __future__ import annotations

from sandbox.iam.needs import Need, Needs, arn
from sandbox.patches import Call
from sandbox.scaling import Where, scaled_variants, uuid_of, where_of

VARIANT = "sagemaker:variant:DesiredInstanceCount"
ON_TARGET = {
    "DeleteScalingPolicy",
    "DeleteScheduledAction",
    "DeregisterScalableTarget",
    "PutScalingPolicy",
    "PutScheduledAction",
    "RegisterScalableTarget",
}
TAGGING = {"ListTagsForResource", "TagResource", "UntagResource"}


def needs(call: Call) -> Needs:
    """As in the service authorization reference of Application Auto Scaling; reading has no resource."""
    if call.operation in TAGGING:
        return [Need(f"application-autoscaling:{call.operation}", call.params["ResourceARN"])]
    if call.operation not in ON_TARGET:
        raise NotImplementedError
    wanted = [_on(call, call.operation, where_of(call))]
    if call.operation == "RegisterScalableTarget" and call.params.get("Tags"):
        wanted.append(_on(call, "TagResource", where_of(call)))
    return wanted


def deregistering(call: Call, endpoint: str) -> Needs:
    """
    What deleting an endpoint needs for the targets of its variants.

    "An Application AutoScaling scalable target exists for a variant being deleted, and the IAM identity
    used to invoke DeleteEndpoint does not have application-autoscaling:DeregisterScalableTarget
    permission" (https://github.com/awslabs/stable-diffusion-aws-extension/issues/161).
    """
    return [
        _on(
            call, "DeregisterScalableTarget", ("sagemaker", f"endpoint/{endpoint}/variant/{variant}", VARIANT)
        )
        for variant in sorted(scaled_variants(call, endpoint))
    ]


def _on(call: Call, operation: str, where: Where) -> Need:
    namespace, _, dimension = where
    return Need(
        f"application-autoscaling:{operation}",
        arn(call, "application-autoscaling", f"scalable-target/{uuid_of(where)}"),
        {
            "application-autoscaling:service-namespace": (namespace,),
            "application-autoscaling:scalable-dimension": (dimension,),
        },
    )
