"""Hands work to another function of ours, which Lambda then runs on its own: an asynchronous invocation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class HandOverError(Exception):
    """Lambda did not take the work."""


def hand_over(client: Any, function: str, event: Mapping[str, Any]) -> None:
    """
    Have *function* called with *event* soon, once or more often.

    Raises HandOverError, or an error of botocore.
    """
    answer = client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
    if answer["StatusCode"] != HTTPStatus.ACCEPTED:
        raise HandOverError(f"Lambda answered {answer['StatusCode']} to the invocation of {function}")
