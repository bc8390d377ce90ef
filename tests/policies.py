"""Policy documents for tests, short enough to be read in a table."""

from typing import Any


def table_request(name: str) -> dict[str, Any]:
    """The request of a table of DynamoDB with the key "pk"."""
    key = [{"AttributeName": "pk", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "pk", "AttributeType": "S"}]
    about = {"KeySchema": key, "AttributeDefinitions": attributes, "BillingMode": "PAY_PER_REQUEST"}
    return {"TableName": name, **about}


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    """A statement; *more* are further elements, or another Effect."""
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def role(*statements: dict[str, Any], trust: dict[str, Any] | None = None) -> dict[str, Any]:
    """A role with one policy, or none."""
    return {"policies": [document(*statements)] if statements else [], "trust": trust}


def trusting(principal: Any, **condition: Any) -> dict[str, Any]:
    """A trust policy for one principal; *condition* is operators and their keys."""
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
    return document(statement | ({"Condition": condition} if condition else {}))
