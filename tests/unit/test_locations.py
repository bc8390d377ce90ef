"""Addresses of places in S3, as descriptions spell them, and what they refer to."""

import json
from typing import Any

from ml_janitor.aws.locations import S3Address, addresses_in, parse_address
from ml_janitor.aws.references import PlaceUser, References
from ml_janitor.core.model import Absent, Unreadable, Value
from tables import cases

CHURN = PlaceUser("model churn", "model/churn", in_use=True)


@cases(
    "text, place",
    ("s3://b/a/k.tar.gz", S3Address("b", "a/k.tar.gz")),
    ("s3://b", S3Address("b", "")),
    ("s3://b/", S3Address("b", "")),
    ("s3://b/with blank/ü%2F", S3Address("b", "with blank/ü%2F")),
    ("https://s3.eu-west-1.amazonaws.com/b/a%20b/k", S3Address("b", "a b/k")),
    ("https://s3-eu-west-1.amazonaws.com/b/k", S3Address("b", "k")),
    ("https://b.c.s3.amazonaws.com/k", S3Address("b.c", "k")),
    ("https://b.s3.cn-north-1.amazonaws.com.cn/k", S3Address("b", "k")),
    ("https://example.com/b/k", None),
    ("s3a://b/k", S3Address("b", "k")),
    ("S3://b/k", S3Address("b", "k")),
    ("http://b.s3.amazonaws.com/k", S3Address("b", "k")),
    ("HTTPS://b.s3.amazonaws.com/k", S3Address("b", "k")),
    ("arn:aws:s3:::b/a/k", S3Address("b", "a/k")),
    ("s3://${BUCKET}/a/k", S3Address(None, "a/k")),
    ("s3://arn:aws:s3:us-east-1:123456789012:accesspoint/p/a/k", S3Address(None, "a/k")),
    ("s3://p-abc-s3alias/a/k", S3Address(None, "a/k")),
    ("model.tar.gz", None),
)
def test_addresses(text: str, place: S3Address | None) -> None:
    assert parse_address(text) == place


DEFINITION = {"Steps": [{"Arguments": {"ModelDataUrl": "s3://b/k", "S3OutputPath": "s3://b/out"}}]}


@cases(
    "description, places",
    ({"A": ["s3://b/k", {"B": "s3://c/l"}]}, {S3Address("b", "k"), S3Address("c", "l")}),
    ({"S3DataType": "S3Prefix", "S3Uri": "s3://b/k"}, {S3Address("b", "k", beginning=True)}),
    ({"S3DataType": "S3Object", "S3Uri": "s3://b/k"}, {S3Address("b", "k")}),
    ({"Mode": "MultiModel", "ModelDataUrl": "s3://b/k/"}, {S3Address("b", "k/", beginning=True)}),
    ({"Mode": "MultiModel", "Environment": {"X": "s3://b/k"}}, {S3Address("b", "k")}),
    ({"PipelineDefinition": json.dumps(DEFINITION)}, {S3Address("b", "k"), S3Address("b", "out")}),
    (
        {"Input": json.dumps({"S3DataType": "S3Prefix", "S3Uri": "s3://b/k"})},
        {S3Address("b", "k", beginning=True)},
    ),
    (
        {"Command": "run s3://b/a/k{n}.pt"},
        {S3Address("b", "a/k{n}.pt"), S3Address("b", "a/k{n"), S3Address("b", "a/k", beginning=True)},
    ),
    ({"HyperParameters": {"dir": '"s3://b/k"'}}, {S3Address("b", "k")}),
    ({"Command": "run --from s3://b/k --to 's3://b/l'"}, {S3Address("b", "k"), S3Address("b", "l")}),
    (
        {"Inputs": "s3://b/k,s3://b/l"},
        {S3Address("b", "k,s3://b/l"), S3Address("b", "k,"), S3Address("b", "k"), S3Address("b", "l")},
    ),
    ({"Broken": '{"a": "s3://b/k"'}, {S3Address("b", "k")}),
    ({"OutputDataConfig": {"S3OutputPath": "s3://b/out"}, "Number": 3}, set()),
)
def test_every_address_in_a_description_is_found(description: dict[str, Any], places: set[S3Address]) -> None:
    assert set(addresses_in(description, {"OutputDataConfig"})) == places


@cases(
    "text, key, found",
    ("[s3://b/a/k.pt, s3://b/l.pt]", "a/k.pt", Value),
    ("models: {churn: s3://b/a/k.pt}", "a/k.pt", Value),
    ("s3://b/l.pt;s3://b/a/k.pt", "a/k.pt", Value),
    ("s3://b/a/k.pt|s3://b/l.pt", "a/k.pt", Value),
    ("base=s3://b/a/k.pt&stage=test", "a/k.pt", Value),
    ("s3://b/a/k.pt:/opt/ml/model/k.pt", "a/k.pt", Value),
    ("aws s3 cp s3://b/a/k.pt; python score.py", "a/k.pt", Value),
    ("It starts with (s3://b/a/k.pt).", "a/k.pt", Value),
    ("spark-submit --conf weights=s3a://b/a/k.pt score.py", "a/k.pt", Value),
    ("read arn:aws:s3:::b/a/k.pt", "a/k.pt", Value),
    ("s3://b/a/{name}.pt", "a/k.pt", Value),
    ("load s3://b/a/*", "a/k.pt", Value),
    ("s3://b/a/$MODEL/weights", "a/k.pt", Value),
    ("s3://{bucket}/a/k.pt", "a/k.pt", Value),
    ("s3://${BUCKET}/a/${MODEL}.pt", "a/k.pt", Value),
    ("pull https://b.s3.amazonaws.com/a/{name}.pt", "a/k.pt", Value),
    # where nothing stands before a placeholder, the address says nothing of what it is to be
    ("s3://b/${KEY}", "x/k.pt", Absent),
    ("s3://${BUCKET}/${KEY}", "x/k.pt", Absent),
    ("s3://b/a/k.pt.bak, and more", "x/k.pt", Absent),
    ("s3://b/a/k.p{n}.bak", "x/k.pt", Absent),
)
def test_an_address_ends_where_a_text_goes_on(text: str, key: str, found: type[Any]) -> None:
    references = References()
    references.add(CHURN, addresses_in({"Environment": {"SOURCES": text}}))

    assert isinstance(references.to("b", [key]).in_use, found)


@cases(
    "place, key, referred",
    (S3Address("b", "a/k.pt"), "a/k.pt", True),
    (S3Address("b", "a/k.pt"), "a/k.pt.bak", False),
    (S3Address("b", "a"), "a/k.pt", True),
    (S3Address("b", "a/"), "a/k.pt", True),
    (S3Address("b", "a"), "ab/k.pt", False),
    (S3Address("b", "a", beginning=True), "ab/k.pt", True),
    (S3Address("b", "", beginning=True), "ab/k.pt", True),
    (S3Address("b", ""), "ab/k.pt", False),
    (S3Address("c", "a/k.pt"), "a/k.pt", False),
    (S3Address(None, "a/k.pt"), "a/k.pt", True),
)
def test_what_a_place_refers_to(place: S3Address, key: str, *, referred: bool) -> None:
    references = References()
    references.add(CHURN, [place])

    assert isinstance(references.to("b", [key]).in_use, Value if referred else Absent)


def test_a_reference_is_known_even_where_others_are_not() -> None:
    references = References(errors=["ListPipelines: AccessDenied"])
    references.add(CHURN, [S3Address("b", "k")])

    assert references.to("b", ["x", "k"]).in_use == Value(("model churn",), "sagemaker:Describe*")
    assert references.to("b", ["x"]).in_use == Unreadable(
        "ListPipelines: AccessDenied", "sagemaker:Describe*"
    )
