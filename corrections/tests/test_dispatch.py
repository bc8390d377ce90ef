"""What moto's answers are taken apart with finds what moto's own way of doing it finds."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from botocore.model import OperationModel, Shape, StructureShape
from moto.core import utils
from moto.core.serialize import (
    AttributePickerContext,
    BaseJSONSerializer,
    JSONSerializer,
    XFormedAttributePicker,
)
from moto.core.utils import get_service_model
from moto.sagemaker.responses import SageMakerResponse as Responses

from moto_corrections import dispatch

OTHER = {"ListOfNothing": None}


def members(shape: Shape | None, depth: int = 2) -> Iterator[tuple[str, Any]]:
    """All members of a structure and of what is in it, as often as they occur, with their parents set."""
    kind: Any = shape
    if shape is None or depth == 0:
        return
    if isinstance(shape, StructureShape):
        for key, member in shape.members.items():
            member.parent = shape  # type: ignore[attr-defined]
            yield key, member
            yield from members(member, depth - 1)
    elif shape.type_name in {"list", "map"}:
        yield from members(kind.member if shape.type_name == "list" else kind.value, depth - 1)


def operations(service: str) -> Iterator[OperationModel]:
    model = get_service_model(service)
    for name in model.operation_names:
        yield model.operation_model(name)


def asked(key: str, shape: Any, held: Any) -> AttributePickerContext:
    return AttributePickerContext(obj=held, key=key, shape=shape, key_path="Answer")


@pytest.mark.parametrize("service", ["dynamodb", "sagemaker", "cloudwatch", "iam", "logs"])
def test_a_member_of_a_dict_is_found_under_every_name_that_moto_finds_it_under(service: str) -> None:
    picker = XFormedAttributePicker()
    looked_at = 0
    for operation in operations(service):
        for key, shape in members(operation.output_shape):
            names = list(picker.get_possible_keys(asked(key, shape, {})))
            holders: list[dict[str, Any]] = [{}, dict.fromkeys(names), OTHER]
            holders += [{name: number} for number, name in enumerate(names)]
            holders += [{name: number for number, name in enumerate(names[at:])} for at in range(len(names))]
            for held in holders:
                context = asked(key, shape, held)
                assert dispatch.picked(picker, context) == dispatch._PICK(picker, context)
                looked_at += 1
    assert looked_at > 300


def test_what_is_no_plain_dict_is_left_to_moto_and_transformed_where_it_is_told_to() -> None:
    class Made(dict[str, Any]):
        """Answers more than it holds."""

        def __missing__(self, key: str) -> str:
            return f"made {key}"

    (key, shape), *_ = members(get_service_model("dynamodb").operation_model("GetItem").output_shape)
    picker = XFormedAttributePicker(response_transformers={f"Other.{key}": str.upper})
    assert dispatch.picked(picker, asked(key, shape, {})) is None
    assert str(dispatch.picked(picker, asked(key, shape, Made()))).startswith("made ")
    picker.response_transformers = {f"Answer.{key}": str.upper}
    assert dispatch.picked(picker, asked(key, shape, {key: "said"})) == "SAID"


def test_one_shape_in_two_parents_is_asked_for_by_the_names_of_each() -> None:
    """As moto does when it sets the parent of a shape anew."""
    structures = [
        shape
        for operation in operations("sagemaker")
        for _, shape in members(operation.output_shape)
        if shape.type_name == "structure"
    ]
    member = Shape("Plain", {"type": "string"})
    picker = XFormedAttributePicker()
    found = []
    for parent in structures[:2]:
        member.parent = parent  # type: ignore[attr-defined]
        key = f"{structures[0].name}Thing"
        held = {"Thing": "by the name without the parent's"}
        found.append(dispatch.picked(picker, asked(key, member, held)))
    assert structures[0].name != structures[1].name
    assert found == ["by the name without the parent's", None]


@pytest.mark.usefixtures("control")  # moto is corrected
def test_the_operations_of_a_service_are_those_moto_lists() -> None:
    assert dispatch.method_names(Responses) == utils.method_names_from_class(Responses)
    assert "stop_training_job" in dispatch.method_names(Responses)  # which moto lacks


VALUES: dict[str, dict[str, Any]] = {
    "text": {"S": "ä"},
    "empty": {"S": ""},
    "number": {"N": "1.50"},
    "truth": {"BOOL": False},
    "null": {"NULL": True},
    "texts": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1"]},
    "list": {"L": [{"S": "a"}, {"M": {"deep": {"L": []}}}]},
    "map": {"M": {"S": {"N": "1"}, "none": {"M": {}}}},
    "bytes": {"B": b"\x00\xff"},
    "bytes in it": {"M": {"deep": {"L": [{"S": "a"}, {"BS": [b"\x01"]}]}}},
    "a number that is none yet": {"N": 1},
    "nothing": {},
}


def written(service: str, operation: str, answer: dict[str, Any], name: str, *ways: Any) -> list[Any]:
    """What the answer is in JSON where the serializer has the method *name* of each of the *ways*."""
    model = get_service_model(service).operation_model(operation)
    found = []
    for way in ways:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseJSONSerializer, name, way)
            serializer = JSONSerializer(operation_model=model, value_picker=XFormedAttributePicker())
            found.append(json.loads(serializer.serialize(answer)["body"]))
    return found


def test_the_values_of_an_item_are_written_as_moto_writes_them() -> None:
    ways = dispatch._STRUCTURE, dispatch.structure
    motos, ours = written("dynamodb", "GetItem", {"Item": VALUES}, "_serialize_type_structure", *ways)
    assert ours == motos
    assert [name for name, value in VALUES.items() if dispatch._as_written(value)] == list(VALUES)[:9]


@pytest.mark.parametrize(
    ("times", "values", "at_once"),
    [
        ([datetime(2026, 10, 6, 3, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)], [1.0, 1e-9], 2),
        ([], [], 2),
        ([datetime(2026, 10, 6, 3, 0, 0, 7000, tzinfo=UTC)], [1], 0),
        ([datetime(2026, 10, 6, 3, tzinfo=timezone(timedelta(hours=2)))], ["2.5"], 0),
        ([datetime(2026, 10, 6, 3)], [True], 0),  # noqa: DTZ001 - as moto keeps its own
        ([1791255600], [Decimal(3)], 0),
    ],
)
def test_the_points_of_a_metric_are_written_as_moto_writes_them(
    times: list[Any], values: list[Any], at_once: int
) -> None:
    answer = {"MetricDataResults": [{"Id": "m", "Timestamps": times, "Values": values}]}
    ways = dispatch._LIST, dispatch.listed
    motos, ours = written("cloudwatch", "GetMetricData", answer, "_serialize_type_list", *ways)
    assert ours == motos
    output: Any = get_service_model("cloudwatch").operation_model("GetMetricData").output_shape
    members = output.members["MetricDataResults"].member.members
    found = [
        dispatch._numbers(given, members[name].member)
        for name, given in (("Timestamps", times), ("Values", values))
    ]
    assert sum(one is not None for one in found) == at_once
