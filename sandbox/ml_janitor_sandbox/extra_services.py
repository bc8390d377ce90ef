"""Answers for what moto lacks: plain JSON services, S3's ABAC, and invoking a function."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from ml_janitor_sandbox import abac, athena, emr, inference, pricing
from ml_janitor_sandbox.billing import cost_explorer, savings_plans
from ml_janitor_sandbox.functions import invoke
from ml_janitor_sandbox.wire import Asked, Environ, Reply, error, reply
from moto_corrections import state
from moto_corrections.patches import AwsError, Call

SERVICES: Mapping[str, Mapping[str, Callable[[Call], dict[str, Any]]]] = {
    "athena": athena.OPERATIONS,
    "ce": cost_explorer.OPERATIONS,
    "elasticmapreduce": emr.OPERATIONS,
    "pricing": pricing.OPERATIONS,
    "savingsplans": savings_plans.OPERATIONS,
}

OF_S3: Mapping[str, Callable[[Asked], Reply]] = {
    **dict.fromkeys(abac.OPERATIONS, abac.answer),
    athena.METADATA: athena.metadata,
}


def answer_locally(asked: Asked, environ: Environ) -> Reply | None:
    """Return the reply of a service of ours; None if it is not one, so that moto is asked."""
    if asked.name == "lambda:Invoke":
        return invoke(asked, environ)
    if asked.name in OF_S3:
        return OF_S3[asked.name](asked)
    if asked.name == "sagemaker:InvokeEndpoint":
        return inference.answer(asked, environ)
    operations = SERVICES.get(asked.service)
    if operations is None or (operations is athena.OPERATIONS and asked.operation not in operations):
        return None
    if asked.operation not in operations:
        raise NotImplementedError(asked.name)
    call = Call(asked.operation, asked.account, asked.region, json.loads(asked.body or b"{}"))
    try:
        with state.LOCK:
            content = json.dumps(operations[asked.operation](call)).encode()
    except AwsError as refused:
        return error(asked, HTTPStatus.BAD_REQUEST, refused.code, refused.message)
    return reply(content, "application/x-amz-json-1.1")
