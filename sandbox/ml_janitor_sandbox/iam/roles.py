"""The roles that are installed, and what they may do: by their policies, those of resources, and trust."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from ml_janitor_sandbox.iam import principals
from ml_janitor_sandbox.iam.conditions import Values
from ml_janitor_sandbox.iam.context import RequestContext
from ml_janitor_sandbox.iam.needs import Need
from ml_janitor_sandbox.iam.policies import Decision, Policy, PolicyKind, decide
from ml_janitor_sandbox.iam.principals import Caller
from ml_janitor_sandbox.iam.resource_policies import policy_of_resource
from moto_corrections.patches import Call

ASSUME_ROLE = "sts:AssumeRole"


class Judged(NamedTuple):
    """
    A need, the decision on it, and the numbers of the role's statements that decided it.

    *at_resource* is true where the policy of the resource decided it.
    """

    need: Need
    decision: Decision
    by: tuple[int, ...] = ()
    at_resource: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """Identity policies, and a trust policy; a role without one is assumed by nobody."""

    policies: tuple[Policy, ...] = ()
    trust: Policy | None = None

    @classmethod
    def of(cls, given: dict[str, Any]) -> Role:
        """Parse `{"policies": [document], "trust": document}`. `ValueError` says what is wrong."""
        if unknown := set(given) - {"policies", "trust"}:
            raise ValueError(f"a role has policies and trust, not {', '.join(sorted(unknown))}")
        trust = given.get("trust")
        return cls(
            policies=tuple(Policy.of(document) for document in given.get("policies", ())),
            trust=None if trust is None else Policy.of(trust, PolicyKind.TRUST),
        )


class Roles:
    """All roles by ARN, of any account."""

    def __init__(self, given: dict[str, Any]) -> None:
        for arn in given:
            principals.account_of(arn)
        self._roles = {arn: Role.of(role) for arn, role in given.items()}

    def __contains__(self, arn: str) -> bool:
        return arn in self._roles

    def may(self, caller: Caller, call: Call, need: Need) -> Judged:
        """
        Return the decision of the caller's own policies and of that of the resource, if it has one.

        In one account either may allow it. A KMS key is used by its own policy alone, which leaves it to the
        policies of an account if it allows the account (KMS developer guide, "Default key policy"). A session
        policy allows nothing by itself, and what it does not allow is refused.
        """
        policies = self._roles.get(caller.role, Role()).policies
        about = need.action, need.resource, RequestContext(caller, call, need)
        if caller.policy:
            narrowed, _ = decide([Policy.of(json.loads(caller.policy))], *about)
            if narrowed is not Decision.ALLOWED:
                return Judged(need, narrowed)
        own, by = decide(policies, *about)
        if own is Decision.DENIED or (policy := policy_of_resource(call, need.resource)) is None:
            return Judged(need, own, by)
        named, _ = decide([policy], *about, caller.names)
        account, _ = decide([policy], *about, caller.account_names)
        if Decision.DENIED in (named, account):
            return Judged(need, Decision.DENIED, at_resource=True)
        if named is Decision.ALLOWED:
            return Judged(need, named, by)
        if need.action.startswith("kms:") and account is Decision.SILENT:
            return Judged(need, Decision.SILENT, at_resource=True)
        return Judged(need, own, by)

    def may_assume(self, caller: Caller, call: Call) -> tuple[Need, Decision]:
        """
        Tell whether the caller may assume the role it asks for.

        In another account both sides have to allow it. In one account, a trust policy that names the
        role is enough; one that names the account leaves it to the caller's own policies. (IAM user
        guide, "Policy evaluation logic".)
        """
        target = str(call.params["RoleArn"])
        context: dict[str, Values] = {"sts:rolesessionname": (str(call.params["RoleSessionName"]),)}
        if "ExternalId" in call.params:
            context["sts:externalid"] = (str(call.params["ExternalId"]),)
        need = Need(ASSUME_ROLE, target, context)
        known = RequestContext(caller, call, need)
        own = self.may(caller, call, need).decision
        everyone = self._trusts(target, known, caller.names | caller.account_names)
        if Decision.DENIED in (own, everyone):
            return need, Decision.DENIED
        if everyone is Decision.ALLOWED and own is Decision.ALLOWED:
            return need, Decision.ALLOWED
        if caller.account != principals.account_of(target):
            return need, Decision.SILENT
        return need, self._trusts(target, known, caller.names)

    def trusts_service(self, target: str, service: str) -> bool:
        """Tell whether a service of the role's own account, such as lambda.amazonaws.com, may assume it."""
        account = principals.account_of(target)
        source = Caller(role=service, session=service, account=account)
        need = Need(ASSUME_ROLE, target, {"aws:sourceaccount": (account,)})
        call = Call("AssumeRole", account, "us-east-1", {})
        names = frozenset({service})
        return self._trusts(target, RequestContext(source, call, need), names) is Decision.ALLOWED

    def _trusts(self, target: str, context: RequestContext, names: frozenset[str]) -> Decision:
        trust = self._roles.get(target, Role()).trust
        return decide([] if trust is None else [trust], ASSUME_ROLE, target, context, names)[0]
