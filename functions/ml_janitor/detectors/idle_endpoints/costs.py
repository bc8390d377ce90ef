"""What an hour of an endpoint costs: how many instances of which type it rents, and at which price."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from ml_janitor.core.model import Cost
from ml_janitor.detectors.idle_endpoints.endpoint import Config, Variant

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws


def rented(variants: Iterable[Variant], config: Config) -> dict[str, int]:
    """How many instances of which type run, over all variants and pools; an unknown type is ""."""
    counts: dict[str, int] = {}
    for variant in variants:
        one_type = ((config.types.get(variant.name, ""), variant.instances),)
        for instance_type, count in variant.pools or one_type:
            if count:
                counts[instance_type] = counts.get(instance_type, 0) + count
    return counts


def cost(aws: Aws, variants: tuple[Variant, ...], config: Config) -> Cost:
    """
    What leaving it running costs; capacity that is reserved costs the same without it.

    Provisioned concurrency has no price per instance: unknown.
    """
    if any(variant.concurrency for variant in variants):
        return Cost.standing(None, "provisioned concurrency is not in the instance price list")
    counts = rented([variant for variant in variants if not variant.reserved], config)
    prices = {kind: aws.prices.hourly(aws.region, "Hosting", kind) for kind in counts}
    hourly: Decimal | None = Decimal(0)
    for kind, count in counts.items():
        price = prices[kind].hourly_usd
        hourly = None if hourly is None or price is None else hourly + count * price
    sources = dict.fromkeys(price.source for price in prices.values())
    if any(variant.reserved for variant in variants):
        sources["without reserved capacity"] = None
    return Cost.standing(hourly, ", ".join(sources))
