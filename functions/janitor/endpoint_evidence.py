"""What was read of an endpoint, as a report shows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from janitor.durations import ago
from janitor.endpoint_survey import Endpoint
from janitor.endpoint_traffic import COUNTED, Place
from janitor.endpoints import rented
from janitor.model import Absent, Evidence, Unreadable, Value, evidence

PLACES_SHOWN = 6
"""Evidence stays readable however many variants or inference components an endpoint has."""


def seen(endpoint: Endpoint, now: datetime) -> Iterator[Evidence]:
    """What was read, for a report: the places that say most come first, and not all of many."""
    yield Evidence("status", endpoint.status)
    yield Evidence("last deployed", f"{ago(now - endpoint.changed)} ago", at=endpoint.changed)
    places = sorted(
        (place for place in endpoint.places if place.decisive or not isinstance(place.requests, Absent)),
        key=lambda place: (place.used is None, place.unreadable is None, isinstance(place.requests, Value)),
    )
    for place in places[:PLACES_SHOWN]:
        yield shown(place)
    if len(places) > PLACES_SHOWN:
        yield Evidence("further places for requests", len(places) - PLACES_SHOWN)
    if endpoint.hints_error is not None:
        yield Evidence("series that a description does not name", error=endpoint.hints_error)
    match endpoint.description, endpoint.config:
        case Value(description), Value(config):
            counts = rented(description.variants, config)
            running = [f"{count} x {kind or 'an unknown type'}" for kind, count in sorted(counts.items())]
            running += [
                f"{v.concurrency} x concurrency of {v.name}" for v in description.variants if v.concurrency
            ]
            yield Evidence("running", ", ".join(running), source=endpoint.description.source)
    if endpoint.cost is not None:
        hourly = endpoint.cost.hourly_usd
        price = "unknown" if hourly is None else f"{hourly.normalize():f} USD an hour"
        yield Evidence("price", f"{price} ({endpoint.cost.source})")


def shown(place: Place) -> Evidence:
    """One place as evidence."""
    name = f"requests to {place.where}" if place.metric.name in COUNTED else f"use of {place.where}"
    match place.requests, place.control:
        case (Absent(source), Value()):
            return Evidence(name, "no datapoint, while other metrics arrive", source=source)
        case (Absent(source), Absent()):
            return Evidence(name, "no datapoint, nor any other metric", source=source)
        case (Absent(), Unreadable() as control):
            return evidence(name, control)
        case (Value(series, source), _):
            most = place.count if place.metric.name in COUNTED else max(series.values)
            return Evidence(name, most, source=source, at=place.used)
        case _:
            return evidence(name, place.requests)
