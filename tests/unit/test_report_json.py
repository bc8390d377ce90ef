"""The JSON document: its keys, order, rounding, times and nulls, and the schema that describes it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ml_janitor.core.model import Confidence, Cost, Evidence, Finding, Kept
from ml_janitor.report.json import report_document, report_json, report_json_lines, usd_number
from reports import finding, full, report_of, result, schema, schema_problems, standing, sweep
from tables import cases

RESULT_KEYS = [
    "detector", "account", "region", "arn", "name", "created", "owner", "reason", "confidence", "evidence",
    "unknown", "action", "outcome", "due", "note", "monthly_usd", "accrued_usd", "hourly_usd",
    "once_usd", "payback_days", "exposure_usd", "change", "hours_of_work",
    "usd_per_hour_of_work", "instead_of",
]  # fmt: skip


def problems(shown: dict[str, Any]) -> list[str]:
    """What the schema finds wrong with *shown*."""
    return schema_problems("report", shown)


def one(verdict: Finding | Kept, *, owner: str | None = None) -> dict[str, Any]:
    """The document's one result for *verdict*."""
    report = report_of(sweep("d", result("d", "a", verdict, owner=owner)))
    (shown,) = report_document(report, every=True)["results"]
    return dict(shown)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema("report"))


def test_every_object_of_the_schema_is_closed_and_complete() -> None:
    def objects(node: Any) -> list[dict[str, Any]]:
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
        below = [found for child in children for found in objects(child)]
        return [node, *below] if isinstance(node, dict) and node.get("type") == "object" else below

    found = objects(schema("report"))

    assert len(found) == 8
    for each in found:
        assert each["additionalProperties"] is False
        assert set(each["required"]) == set(each["properties"])


@pytest.mark.parametrize("every", [True, False])
def test_a_full_report_fits_the_schema(every: bool) -> None:  # noqa: FBT001
    assert problems(report_document(full(), every=every)) == []
    assert problems(report_document(full(), every=every, plan=True)) == []


def test_an_empty_report_fits_the_schema() -> None:
    shown = report_document(report_of(sweep("d", account=None, error="no network"), account=None))

    assert problems(shown) == []
    assert shown["totals"] == {
        "monthly_usd": 0,
        "accrued_usd": 0,
        "once_usd": 0,
        "hourly_usd": 0.0,
        "unpriced": 0,
    }
    assert shown["account"] is None
    assert shown["sweeps"][0]["account"] is None


@cases(
    "path, value",
    (["schema_version"], 1),
    (["time"], "2026-10-06T03:00:00+00:00"),
    (["time"], "2026-13-06T03:00:00Z"),
    (["more"], 1),
    (["totals", "monthly_usd"], None),
    (["totals", "unpriced"], -1),
    (["sweeps", 0, "mode"], "wet-run"),
    (["sweeps", 0, "more"], 1),
    (["results", 0, "reason"], None),
    (["results", 0, "confidence"], "certain"),
    (["results", 0, "unknown"], True),
    (["results", 0, "evidence", 0, "value"], []),
    (["results", 0, "monthly_usd"], "12"),
    (["results", -1, "monthly_usd"], 12),
    (["results", -1, "action"], "delete it"),
)
def test_the_schema_refuses_what_a_report_never_says(path: list[str | int], value: object) -> None:
    shown = json.loads(report_json(full()))
    shown["results"].sort(key=lambda each: each["detector"] != "hung-training-jobs")
    shown["results"].append(next(each for each in shown["results"] if each["unknown"]))
    node = shown
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value

    assert problems(shown)


def test_keys_stand_as_documented() -> None:
    shown = report_document(full())

    assert list(shown) == ["schema_version", "time", "account", "totals", "sweeps", "results", "plan"]
    assert list(shown["totals"]) == ["monthly_usd", "accrued_usd", "once_usd", "hourly_usd", "unpriced"]
    for each in shown["sweeps"]:
        assert list(each) == [
            "detector", "account", "region", "mode", "looked_at", "found", "kept", "unknown", "error",
            "notices", "held",
        ]  # fmt: skip
    for each in shown["results"]:
        assert list(each) == RESULT_KEYS
        for seen in each["evidence"]:
            assert list(seen) == ["signal", "value", "error"]


def test_findings_and_unknowns_always_and_the_others_when_asked() -> None:
    some, every = report_document(full())["results"], report_document(full(), every=True)["results"]

    assert {each["outcome"] for each in some if not each["unknown"]} == {"would-act"}
    assert [each["name"] for each in some if each["unknown"]] == ["dark"]
    assert len(every) == sum(each["looked_at"] for each in report_document(full())["sweeps"])
    assert [each for each in every if each in some] == some


def test_a_report_is_of_the_accounts_whose_names_are_known() -> None:
    one = sweep("d")

    assert report_of(one, replace(one, account=None), one, account=None).accounts == (one.account,)


def test_a_finding_says_what_applies_to_it() -> None:
    assert one(finding("nobody calls it", standing("7.20")), owner="maria") == {
        "detector": "d",
        "account": "123456789012",
        "region": "us-east-1",
        "arn": "arn:aws:sagemaker:us-east-1:123456789012:thing/a",
        "name": "a",
        "created": "2026-07-08T03:00:00Z",
        "owner": "maria",
        "reason": "nobody calls it",
        "confidence": "proven",
        "evidence": [{"signal": "requests in 7 days", "value": 0, "error": None}],
        "unknown": False,
        "action": "delete the endpoint (its configuration and models stay)",
        "outcome": "would-act",
        "due": None,
        "note": "",
        "monthly_usd": 5256.0,
        "accrued_usd": None,
        "hourly_usd": None,
        "once_usd": None,
        "payback_days": None,
        "exposure_usd": None,
        "change": "end",
        "hours_of_work": 1.0,
        "usd_per_hour_of_work": 5256.0,
        "instead_of": None,
    }


def test_what_does_not_apply_to_a_kept_one_is_null() -> None:
    shown = one(Kept(reason="it is used"))

    assert (shown["outcome"], shown["unknown"]) == ("kept", False)
    nulls = ("owner", "confidence", "action", "due", "monthly_usd", "accrued_usd")
    assert [shown[key] for key in nulls] == [None] * len(nulls)


def test_a_job_has_accrued_dollars_and_no_monthly_ones() -> None:
    shown = one(finding("it hangs", Cost.accruing(Decimal("48.96"), 264)))

    assert (shown["monthly_usd"], shown["accrued_usd"]) == (None, 12925.44)


def test_an_unknown_price_is_null_and_counted() -> None:
    costs = {"a": standing(None), "b": None, "c": standing("1")}
    results = (result("d", name, finding("x", cost)) for name, cost in costs.items())

    shown = report_document(report_of(sweep("d", *results)))

    assert shown["totals"] == {
        "monthly_usd": 730.0,
        "accrued_usd": 0.0,
        "once_usd": 0.0,
        "hourly_usd": 0.0,
        "unpriced": 1,
    }
    assert [each["monthly_usd"] for each in shown["results"]] == [730.0, None, None]


@cases("usd, rounded", ("0.004", 0.0), ("0.005", 0.01), ("2.675", 2.68), ("1", 1.0), (None, None))
def test_money_is_rounded_to_cents_half_up(usd: str | None, rounded: float | None) -> None:
    assert usd_number(None if usd is None else Decimal(usd)) == rounded


def test_totals_are_the_sum_of_what_is_shown() -> None:
    results = [result("d", name, finding("x", Cost(monthly_usd=Decimal("0.005")))) for name in "abc"]

    shown = report_document(report_of(sweep("d", *results)))

    assert shown["totals"]["monthly_usd"] == sum(each["monthly_usd"] for each in shown["results"]) == 0.03


def test_order_is_findings_then_dollars_for_an_hour_of_work_over_all_detectors_and_regions_then_arn() -> None:
    def priced(detector: str, name: str, monthly: str | None, region: str) -> Any:
        cost = Cost(monthly_usd=None if monthly is None else Decimal(monthly))
        return result(detector, name, finding("x", cost), region=region)

    east, west = "us-east-1", "eu-west-1"
    free = priced("z", "free", "0", east)
    report = report_of(
        sweep("z", priced("z", "a", None, east), priced("z", "b", "5", east), free, region=east),
        sweep("z", priced("z", "c", "9", west), priced("z", "d", "5.001", west), region=west),
        sweep("a", replace(priced("a", "e", "9", east), hours=2.0), region=east),
        sweep("a", result("a", "u", Kept(reason="?", unknown=True)), region=west),
    )

    shown = report_document(report)["results"]

    assert [each["name"] for each in shown] == ["c", "d", "b", "e", "free", "a", "u"]
    assert [each["region"] for each in shown] == [west, west, east, east, east, east, west]


@cases(
    "at, shown",
    (datetime(2026, 10, 6, 3, tzinfo=UTC), "2026-10-06T03:00:00Z"),
    (datetime(2026, 10, 6, 5, tzinfo=timezone(timedelta(hours=2))), "2026-10-06T03:00:00Z"),
    (datetime(2026, 10, 6, 3, 0, 0, 250_000, tzinfo=UTC), "2026-10-06T03:00:00.250000Z"),
)
def test_times_are_utc_with_a_z(at: datetime, shown: str) -> None:
    made = report_document(replace(report_of(), time=at))

    assert made["time"] == shown
    assert problems(made) == []


def test_text_is_one_ascii_document_whatever_resources_are_called() -> None:
    name = "\x1b[31m\u202e\x9b\n\ud800é"
    report = report_of(sweep("d", result("d", name, finding(name, None), owner=name)))

    made = report_json(report)

    assert made.isascii()
    assert not {character for character in made if ord(character) < 32} - {"\n"}
    assert json.loads(made) == report_document(report)
    assert made.endswith("}\n")
    head, *rows = [json.loads(row) for row in report_json_lines(report).splitlines()]
    assert report_json_lines(report).isascii()
    assert {**head, "results": rows} == report_document(report)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_become_words(value: float) -> None:
    seen = Finding(reason="x", confidence=Confidence.PROVEN, action="y", evidence=(Evidence("load", value),))

    assert one(seen)["evidence"] == [{"signal": "load", "value": str(value), "error": None}]


def test_evidence_that_could_not_be_read_has_its_error() -> None:
    shown = one(finding("x", None, unread="AccessDenied"))

    assert shown["evidence"][1] == {"signal": "opened by", "value": None, "error": "AccessDenied"}
