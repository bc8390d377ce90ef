"""The principal behind an access key: the sandbox's root, a role's session, or nobody."""

from dataclasses import dataclass

from moto.iam.models import get_account_id_from
from moto.sts.models import sts_backends

ROOT_KEY = "AKIASANDBOX"
"""Keys that begin like this may do everything: they are for seeding, and for looking at what happened."""

PARTITION = "aws"
LIFETIME = 12 * 3600
"""In seconds. Nothing here ends a session: the sandbox's clock is not the one of its clients."""


@dataclass(frozen=True, slots=True)
class Caller:
    """
    A session of a role. *names* are what a trust policy may call it, apart from its account.

    *via* is the service that calls with its identity ("cloudformation.amazonaws.com"), or "". *policy* is the
    JSON of the session policy that narrows it, or "".
    """

    role: str
    session: str
    account: str
    via: str = ""
    policy: str = ""

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.role, self.session, "*"})

    @property
    def account_names(self) -> frozenset[str]:
        return frozenset({self.account, f"arn:{PARTITION}:iam::{self.account}:root"})


def of(access_key: str) -> Caller | None:
    """Return the role's session that this key belongs to; None if the sandbox never gave it out."""
    account = get_account_id_from(access_key)
    session = sts_backends[account][PARTITION].get_assumed_role_from_access_key(access_key)
    if session is None:
        return None
    return Caller(session.role_arn, session.arn, account, policy=session.policy or "")


def session_of(role: str, name: str) -> dict[str, str]:
    """Return credentials of a new session of a role, as AssumeRole answers them."""
    session = sts_backends[account_of(role)][PARTITION].assume_role(
        region_name="us-east-1",
        role_session_name=name,
        role_arn=role,
        policy="",
        duration=LIFETIME,
        external_id="",
    )
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "SessionToken": session.session_token,
    }


def account_of(role: str) -> str:
    """Return the account in a role's ARN. `ValueError` if it is not one."""
    parts = role.split(":")
    if len(parts) != 6 or parts[2] != "iam" or not parts[5].startswith("role/"):
        raise ValueError(f"{role} is not the ARN of a role")
    return parts[4]
