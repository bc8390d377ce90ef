"""Probes that AWS cannot reject as malformed: it would do so before it looks at permissions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from janitor import probes
from janitor.detector import Grant
from janitor.detectors import DETECTORS

GRANTS = sorted(
    {grant for detector in DETECTORS for grant in detector.reads if not grant.implied},
    key=lambda grant: (grant.action, grant.on),
)


class FakeAws:
    """As much of an account as names are made of."""

    partition, region, account = "aws", "us-east-1", "123456789012"


def broken(value: Any, shape: Any, where: str) -> Iterator[str]:
    """The constraints of botocore's service model that *value* breaks."""
    rules = shape.metadata
    match value:
        case str():
            if rules.get("pattern") and not re.search(rules["pattern"], value):
                yield f"{where} does not fit {rules['pattern']}"
            if rules.get("max") and len(value) > rules["max"]:
                yield f"{where} is longer than {rules['max']}"
            if rules.get("enum") and value not in rules["enum"]:
                yield f"{where} is none of {rules['enum']}"
        case dict() if shape.type_name == "structure":
            for name, item in value.items():
                yield from broken(item, shape.members[name], f"{where}.{name}")
        case list():
            for item in value:
                yield from broken(item, shape.member, where)
        case int() if not isinstance(value, bool) and value < rules.get("min", value):
            yield f"{where} is less than {rules['min']}"


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: f"{grant.action} on {grant.on}")
def test_a_probe_is_well_formed(grant: Grant) -> None:
    service, _, action = grant.action.partition(":")
    session = boto3.Session(region_name="us-east-1")
    named: Any = probes.CLIENTS.get(service, service)
    model = session.client(named).meta.service_model.operation_model(
        probes.OPERATIONS.get(grant.action, action)
    )
    account: Any = FakeAws()

    arguments = probes.least(model.input_shape, probes.names(account, grant, None))

    assert list(broken(arguments, model.input_shape, grant.action)) == []
