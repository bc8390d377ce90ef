"""Prices over HTTP: the Price List first, the table where it cannot be asked, and never a guess."""

from __future__ import annotations

from decimal import Decimal

import pytest

from conftest import REGION
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import FROM_PRICE_LIST, FROM_PRICE_TABLE, Price, PricedComponent, price_table
from ml_janitor_sandbox.control import Control

DIFFERS = "ml.g5.xlarge"
"""The sandbox's Price List has another price for it than the table."""


def test_the_price_list_goes_before_the_table(aws: Aws) -> None:
    price = aws.prices.hourly(REGION, "Hosting", DIFFERS)

    assert price == Price(Decimal("1.412"), FROM_PRICE_LIST)
    assert price_table()[DIFFERS].hourly_usd != price.hourly_usd


@pytest.mark.parametrize("kind", ["deny", "truncate"])
def test_the_table_answers_where_the_price_list_does_not(box: Control, aws: Aws, kind: str) -> None:
    box.fault("pricing", "GetProducts", kind, times=0)

    assert aws.prices.hourly(REGION, "Hosting", DIFFERS) == price_table()[DIFFERS]
    assert price_table()[DIFFERS].source.startswith(FROM_PRICE_TABLE)
    assert len(aws.prices.problems) == 1
    assert "pricing:GetProducts" in aws.prices.problems[0]


def test_each_app_of_studio_has_its_price_and_data_wrangler_is_none_of_them(aws: Aws) -> None:
    components: tuple[PricedComponent, ...] = ("JupyterLab", "CodeEditor", "KernelGateway")
    found = {aws.prices.hourly(REGION, one, "ml.m5.4xlarge") for one in components}

    assert found == {Price(Decimal("0.93"), FROM_PRICE_LIST)}
