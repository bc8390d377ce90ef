"""What each role of the stack is declared to need: by its detector, and for what the deployment owns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from deployed import Deployed, Function
from hosted import Asked
from janitor.detector import Grant
from janitor.detectors import DETECTORS
from sandbox.iam.globs import arn_like

type Permission = tuple[str, str]
"""An action, and a resource that may hold wildcards."""

LEDGER = {
    "janitor.handlers.sweep": ("DeleteItem", "PutItem", "Query", "UpdateItem"),
    "janitor.handlers.digest": ("DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"),
}
"""What each handler does with the table."""


def of_function(deployed: Deployed, function: Function, *, regions: Iterable[str]) -> set[Permission]:
    """All that the role of *function* needs: its detector's grants in *regions*, its own things, Lambda's."""
    return {
        *(permission for grant in grants(function) for permission in everywhere(deployed, grant, regions)),
        *own(deployed, function),
    }


def of_schedule(function: Function) -> set[Permission]:
    """All that the role of its schedule needs."""
    assert function.schedule is not None
    return {("lambda:InvokeFunction", function.arn), ("sqs:SendMessage", function.schedule.undelivered)}


def grants(function: Function) -> tuple[Grant, ...]:
    """What its detector declares; the digest has none."""
    return next((detector.reads for detector in DETECTORS if detector.name == function.name), ())


def everywhere(deployed: Deployed, grant: Grant, regions: Iterable[str]) -> Iterator[Permission]:
    """*grant* with whole ARNs: in every region, unless it names none."""
    if grant.on == "*" or grant.on.startswith("arn:"):
        yield grant.action, grant.on
        return
    service = grant.action.partition(":")[0]
    for region in regions:
        yield grant.action, f"arn:{deployed.partition}:{service}:{region}:{deployed.account}:{grant.on}"


def own(deployed: Deployed, function: Function) -> Iterator[Permission]:
    """The ledger, the reports of its own detector, Slack's one secret; its own log and queue are Lambda's."""
    where = f"{deployed.region}:{deployed.account}"
    for action in LEDGER[function.handler]:
        yield f"dynamodb:{action}", deployed.one("AWS::DynamoDB::Table")
    if function.handler == "janitor.handlers.sweep":
        yield "s3:PutObject", f"{deployed.one('AWS::S3::Bucket')}/{function.name}/*"
    yield "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{where}:secret:ml-janitor/slack-??????"
    for action in ("CreateLogStream", "PutLogEvents"):
        yield f"logs:{action}", f"arn:aws:logs:{where}:log-group:{function.log_group}:*"
    yield "sqs:SendMessage", function.failed


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    """All statements of a role."""
    return [one for document in role["policies"] for one in document["Statement"]]


def granted(role: dict[str, Any]) -> set[Permission]:
    """Every permission of a role. Raises KeyError or ValueError for anything but plain Allows."""
    found: set[Permission] = set()
    for statement in statements(role):
        if set(statement) - {"Sid"} != {"Action", "Effect", "Resource"} or statement["Effect"] != "Allow":
            raise ValueError(f"not a plain Allow: {statement}")
        found |= {
            (action, resource)
            for action in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        }
    return found


def without(role: dict[str, Any], statement: dict[str, Any]) -> dict[str, Any]:
    """The role with one statement less."""
    documents = [
        document | {"Statement": [one for one in document["Statement"] if one != statement]}
        for document in role["policies"]
    ]
    return role | {"policies": documents}


def covers(permission: Permission, asked: Asked) -> bool:
    """Whether it is for what was asked; * is for actions that have no resources, and for nothing else."""
    (action, pattern), (wanted, resource) = permission, asked
    return action == wanted and (resource == "*" if pattern == "*" else arn_like(pattern, resource))


def listed(value: Any) -> list[Any]:
    """IAM writes a list of one as that one."""
    return value if isinstance(value, list) else [value]
