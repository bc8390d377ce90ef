"""What moto does not have at all, answered here: services that speak plain JSON, and an operation or two."""

from __future__ import annotations

import json
from http import HTTPStatus

from ml_janitor_sandbox import abac
from ml_janitor_sandbox.fixes import pricing
from ml_janitor_sandbox.invocations import invoke
from ml_janitor_sandbox.patches import AwsError, Call
from ml_janitor_sandbox.wire import Asked, Reply, error, reply

SERVICES = {"pricing": pricing.OPERATIONS}


def answer_locally(asked: Asked) -> Reply | None:
    """The reply of a service of ours; None if it is not one, so that moto is asked."""
    if asked.name == "lambda:Invoke":
        return invoke(asked)
    if asked.name in abac.OPERATIONS:
        return abac.answer(asked)
    operations = SERVICES.get(asked.service)
    if operations is None:
        return None
    if asked.operation not in operations:
        raise NotImplementedError(asked.name)
    call = Call(asked.operation, asked.account, asked.region, json.loads(asked.body or b"{}"))
    try:
        content = json.dumps(operations[asked.operation](call)).encode()
    except AwsError as refused:
        return error(asked, HTTPStatus.BAD_REQUEST, refused.code, refused.message)
    return reply(content, "application/x-amz-json-1.1")
