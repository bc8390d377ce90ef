"""
InvokeEndpoint: SageMaker's runtime, which moto answers for endpoints that are not there, and counts nowhere.

Every answer is counted as Invocations in CloudWatch, with its latencies, so that what asks an endpoint keeps
it from being idle here as on AWS.
"""

import json
from http import HTTPStatus
from typing import Any

from ml_janitor_sandbox.wire import Asked, Environ, Reply, error, reply
from moto_corrections import clock, state
from moto_corrections.metrics import Identity, Metrics, Point
from moto_corrections.patches import AwsError, Call
from moto_corrections.sagemaker.endpoints import COMPONENT, ENDPOINT, SERVING
from moto_corrections.sagemaker.store import resources

MOST_BYTES, MOST_SERVERLESS_BYTES = 25 * 1024**2, 4 * 1024**2
"""Of a payload ("Model deployment options" and "Invoke a serverless endpoint" in the developer guide)."""

MODEL_SECONDS, OVERHEAD_SECONDS = 0.010, 0.002
"""What each request takes by CloudWatch; the sandbox itself answers at once."""


def answer(asked: Asked, environ: Environ) -> Reply:
    """Answer with the only prediction of every model, and count it in CloudWatch."""
    call = Call(asked.operation, asked.account, asked.region, {})
    component = environ.get("HTTP_X_AMZN_SAGEMAKER_INFERENCE_COMPONENT")
    with state.LOCK:
        try:
            variant = _variant(call, asked.path.split("/")[2], component)
        except AwsError as refused:
            return error(asked, HTTPStatus.BAD_REQUEST, refused.code, refused.message)
        serverless = "CurrentServerlessConfig" in variant
        if serverless and len(asked.body) > MOST_SERVERLESS_BYTES:  # aws/sagemaker-python-sdk #4271
            oversize = "Request sandbox has oversize body."
            return error(asked, HTTPStatus.BAD_REQUEST, "ValidationError", oversize)
        if len(asked.body) > MOST_BYTES:  # aws/sagemaker-python-sdk #171: an error without a code
            message = f"HTTP content length exceeded {MOST_BYTES} bytes."
            return reply(json.dumps({"message": message}).encode(), "application/json", status=413)
        _count(call, asked.path.split("/")[2], variant["VariantName"], component)
    more = {"x-Amzn-Invoked-Production-Variant": variant["VariantName"]}
    return reply(b'{"predictions": [0.5]}', "application/json", more=more)


def _variant(call: Call, name: str, component: str | None) -> dict[str, Any]:
    """Return the variant that answers; not one that is Creating (amazon-sagemaker-examples #293)."""
    endpoint = resources(call, ENDPOINT).get(name)
    if endpoint is None or endpoint.status not in SERVING:
        raise AwsError("ValidationError", f"Endpoint {name} of account {call.account} not found.")
    if "AsyncInferenceConfig" in endpoint.members:
        raise AwsError("ValidationError", f"Endpoint {name} is asynchronous: InvokeEndpointAsync asks it.")
    components = [
        resource
        for resource in resources(call, COMPONENT).values()
        if resource.members["EndpointName"] == name
    ]
    if components and component is None:
        raise AwsError("ValidationError", "Inference Component Name header is required for this endpoint.")
    if component is not None and component not in {resource.name for resource in components}:
        raise AwsError("ValidationError", f"Inference Component {component} of {name} not found.")
    found: dict[str, Any] = endpoint.members["ProductionVariants"][0]
    return found


def _count(call: Call, endpoint: str, variant: str, component: str | None) -> None:
    """Count it under the dimensions that AWS uses; latencies are in microseconds."""
    at, metrics = clock.now().timestamp(), state.of(Metrics, call)
    where = {"EndpointName": endpoint, "VariantName": variant}
    dimensions = frozenset(({"InferenceComponentName": component} if component else where).items())
    for name, value, unit in (
        ("Invocations", 1.0, "None"),
        ("ModelLatency", MODEL_SECONDS * 1e6, "Microseconds"),
        ("OverheadLatency", OVERHEAD_SECONDS * 1e6, "Microseconds"),
    ):
        metrics.publish(Identity("AWS/SageMaker", name, dimensions), [Point.single(at, value, unit)])
