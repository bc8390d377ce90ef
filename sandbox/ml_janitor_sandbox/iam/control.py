"""A client for the sandbox's IAM: installs roles, acts as one, and reads what roles asked for."""

from collections.abc import Mapping
from typing import Any, TypedDict

from ml_janitor_sandbox.control import Control


class Credentials(TypedDict):
    """Arguments of `boto3.Session`."""

    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str


class IamControl:
    """The roles behind `url`, which is the sandbox's."""

    def __init__(self, url: str) -> None:
        self._control = Control(url)

    def enforce(self, roles: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all roles, by ARN `{"policies": [document, ...], "trust": document}`, and enforce them."""
        self._control._ask("POST", "iam", {"roles": dict(roles), "enforce": True})

    def open(self) -> None:
        """Forget all roles: everything is allowed again."""
        self._control._ask("DELETE", "iam")

    def credentials(self, role: str, *, service: str | None = None, via: str = "") -> Credentials:
        """
        Return a session of the role, as arguments of `boto3.Session`.

        *service* is who would assume it ("lambda.amazonaws.com"), if its trust policy is to be asked.
        *via* is a service that calls with the role's identity ("cloudformation.amazonaws.com").
        """
        given = self._control._ask("POST", "iam/credentials", {"role": role, "service": service, "via": via})
        return {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }

    def record(self) -> list[dict[str, Any]]:
        """
        List every permission that a role needed so far, in order: role, action, resource, allowed, by.

        *by* are the numbers of the statements that decided, counted over all policies of the role.
        """
        return list(self._control._ask("GET", "iam/record"))

    def forget(self) -> None:
        """Begin a new record."""
        self._control._ask("DELETE", "iam/record")
