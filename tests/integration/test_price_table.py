"""The script that writes the dated table of prices: from the API, and from a Price List file."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from docs import price_table
from ml_janitor.aws import prices
from ml_janitor.aws.calls import ReadError
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.pricing import DIFFERENT, sagemaker_products
from tables import cases

REPRICED = {name: Decimal(price) for name, price in DIFFERENT.items()}


def shipped() -> dict[str, Decimal | None]:
    return {name: price.hourly_usd for name, price in prices.price_table().items()} | REPRICED


def rows(path: Path) -> dict[str, tuple[Decimal, str]]:
    lines = [line for line in path.read_text().splitlines() if line.startswith("ml.")]
    return {name: (Decimal(usd), read) for name, usd, read in (line.split(",") for line in lines)}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(price_table, "PATHS", (tmp_path / "prices.csv",))
    return tmp_path / "prices.csv"


def test_the_shipped_table_is_what_the_script_writes_of_the_same_prices(box: Control, written: Path) -> None:
    assert box.calls() == {}

    assert price_table.main([]) == 0

    assert {name: usd for name, (usd, _) in rows(written).items()} == shipped()
    assert {read for _, read in rows(written).values()} == {"2026-10-01"}
    assert list(rows(written)) == list(prices.price_table())


def test_a_price_list_file_says_the_same_as_the_api(tmp_path: Path, written: Path) -> None:
    offer: dict[str, Any] = {"publicationDate": "2026-10-01T00:00:00Z", "products": {}, "terms": {}}
    offer["terms"]["OnDemand"] = {}
    for one in sagemaker_products():
        sku = one["product"]["sku"]
        offer["products"][sku] = one["product"]
        offer["terms"]["OnDemand"][sku] = one["terms"]["OnDemand"]
    (tmp_path / "index.json").write_text(json.dumps(offer))

    assert price_table.main([str(tmp_path / "index.json")]) == 0

    assert {name: usd for name, (usd, _) in rows(written).items()} == shipped()


def test_what_half_a_price_list_says_is_not_written(box: Control, written: Path) -> None:
    box.fault("pricing", "GetProducts", "break-page", times=0)

    with pytest.raises(ReadError):
        price_table.main([])
    assert not written.exists()


@cases(
    "prices, agreed",
    (["1.41"], "1.41"),
    (["1.408", "1.41", "1.408"], "1.408"),
    (["1.4", "1.41"], "1.4"),
    (["1.4", "1.4101", "1.4"], None),
)
def test_a_type_whose_prices_differ_by_a_cent_has_none(prices: list[str], agreed: str | None) -> None:
    assert price_table.agreed(map(Decimal, prices)) == (None if agreed is None else Decimal(agreed))
