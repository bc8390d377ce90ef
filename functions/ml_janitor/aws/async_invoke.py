"""Invoke another function of the deployment asynchronously."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class HandOverError(Exception):
    """Lambda did not accept the invocation."""


def hand_over(client: Any, function: str, event: Mapping[str, Any]) -> None:
    """
    Invoke *function* with *event* asynchronously; Lambda may deliver the event more than once.

    Raises HandOverError, or an error of botocore.
    """
    answer = client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
    if answer["StatusCode"] != HTTPStatus.ACCEPTED:
        raise HandOverError(f"Lambda answered {answer['StatusCode']} to the invocation of {function}")
