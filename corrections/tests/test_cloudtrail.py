import datetime as dt
import json
from typing import Any

import pytest

from corrected import NOW, Control

HOUR = dt.timedelta(hours=1)


def event(number: int, name: str = "CreateEndpoint") -> dict[str, Any]:
    return {
        "EventName": name,
        "EventTime": NOW - number * HOUR,
        "Username": "maria",
        "Resources": [{"ResourceType": "AWS::SageMaker::Endpoint", "ResourceName": f"e{number}"}],
        "CloudTrailEvent": {"requestParameters": {"number": number}},
    }


def test_newest_first_in_pages_of_fifty(control: Control, aws: Any) -> None:
    control.cloudtrail(event(number) for number in (*range(30, 60), *range(30)))
    pages = list(aws("cloudtrail").get_paginator("lookup_events").paginate())
    assert [len(page["Events"]) for page in pages] == [50, 10]
    found = [one["EventTime"] for page in pages for one in page["Events"]]
    assert found == sorted(found, reverse=True)


def test_by_attribute_and_time(control: Control, aws: Any) -> None:
    control.cloudtrail([event(1), event(2), event(3, "DeleteEndpoint")])

    def numbers(**asked: Any) -> list[int]:
        found = aws("cloudtrail").lookup_events(**asked)["Events"]
        return [json.loads(one["CloudTrailEvent"])["requestParameters"]["number"] for one in found]

    def attribute(key: str, value: str) -> list[dict[str, str]]:
        return [{"AttributeKey": key, "AttributeValue": value}]

    assert numbers(LookupAttributes=attribute("EventName", "CreateEndpoint")) == [1, 2]
    assert numbers(LookupAttributes=attribute("ResourceName", "e3")) == [3]
    assert numbers(LookupAttributes=attribute("Username", "maria")) == [1, 2, 3]
    assert numbers(LookupAttributes=attribute("Username", "nobody")) == []
    assert numbers(StartTime=NOW - 2 * HOUR, EndTime=NOW - HOUR) == [1, 2]
    assert numbers(StartTime=NOW) == []


def test_creations_are_recorded_by_user_and_failures_are_not(aws: Any) -> None:
    aws("sagemaker", key="maria").create_model(ModelName="m")
    with pytest.raises(Exception, match="Cannot create"):
        aws("sagemaker", key="omar").create_model(ModelName="m")
    aws("sagemaker", key="AKIAIOSFODNN7EXAMPLE").create_model(ModelName="n")
    found = aws("cloudtrail").lookup_events()["Events"]
    assert {(one["Username"], one["Resources"][0]["ResourceName"]) for one in found} == {
        ("maria", "m"),
        ("sandbox", "n"),
    }
    assert aws("cloudtrail", region="eu-west-1").lookup_events()["Events"] == []


def test_misspelt_events_are_refused(control: Control) -> None:
    with pytest.raises(ValueError, match="has no member"):
        control.cloudtrail([{"EventNmae": "CreateEndpoint"}])
