"""Cost Explorer's filters and groupings over charges; a name that nothing has matches nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from ml_janitor_sandbox.billing.charges import Bill, Charge
from moto_corrections import model
from moto_corrections.patches import rejected

type Matches = Callable[[Charge], bool]
type Key = Callable[[Charge], str]

PARTS = ("And", "Or", "Not", "Dimensions", "Tags", "CostCategories")
MATCH_OPTIONS = {"EQUALS", "ABSENT", "CASE_SENSITIVE", "CASE_INSENSITIVE"}
"""Those of GetCostAndUsage; the others are for cost categories and anomalies."""
NONE = "NoInstanceType"
DIMENSIONS: Mapping[str, Key] = {
    "INSTANCE_TYPE": lambda charge: (
        "".join(charge.usage_type.rpartition("ml.")[1:]) if "ml." in charge.usage_type else NONE
    ),
    "LINKED_ACCOUNT": lambda charge: charge.account,
    "OPERATION": lambda charge: charge.operation,
    "PURCHASE_TYPE": lambda charge: (
        "Spot Instances" if "TrSpt" in charge.usage_type else "On Demand Instances"
    ),
    "RECORD_TYPE": lambda charge: charge.record_type,
    "REGION": lambda charge: charge.region,
    "SERVICE": lambda charge: charge.service,
    "USAGE_TYPE": lambda charge: charge.usage_type,
}
NOT_GROUPED = {"PAYER_ACCOUNT", "SERVICE_CODE", "USAGE_TYPE_GROUP"}


def tag(own: Bill, charge: Charge, key: str) -> str:
    """Return a cost allocation tag's value; empty for what was used before the tag was activated."""
    since = own.active.get(key)
    return charge.tags.get(key, "") if since is not None and charge.start >= since else ""


def matching(own: Bill, given: Mapping[str, Any] | None) -> Matches:
    """Return a test of whether a charge passes a filter, which has exactly one root."""
    if not given:
        return lambda _: True
    if len(given) != 1 or set(given) - set(PARTS):
        raise rejected(f"Expression should have exactly one root: {', '.join(given)}")
    ((part, inner),) = given.items()
    match part:
        case "And" | "Or":
            if len(inner) < 2:
                raise rejected(f"Expression {part} needs at least two operands")
            all_of = [matching(own, part) for part in inner]
            needed = all if part == "And" else any
            return lambda charge: needed(matches(charge) for matches in all_of)
        case "Not":
            negated = matching(own, inner)
            return lambda charge: not negated(charge)
    return _one(own, part, inner)


def _one(own: Bill, part: str, inner: Mapping[str, Any]) -> Matches:
    options = set(inner.get("MatchOptions") or ["EQUALS"])
    if wrong := options - MATCH_OPTIONS:
        raise rejected(f"MatchOptions {', '.join(sorted(wrong))} is not supported for this operation")
    key, values = inner.get("Key", ""), list(inner.get("Values") or ())
    if part == "CostCategories":  # of which there are none
        absent = "ABSENT" in options
        return lambda _: absent
    if part == "Tags":
        read: Key = lambda charge: tag(own, charge, key)  # noqa: E731
    else:
        if "ABSENT" in options:
            raise rejected("MatchOptions ABSENT is not supported for Dimensions")
        read = dimension(key)
    if "ABSENT" in options:
        return lambda charge: not read(charge)
    if not values:
        raise rejected(f"Values of {key} must not be empty")
    if "CASE_INSENSITIVE" in options:
        lowered = {value.lower() for value in values}
        return lambda charge: read(charge).lower() in lowered
    return lambda charge: read(charge) in values


def dimension(key: str) -> Key:
    """Return a function that reads a dimension of a charge."""
    if key not in DIMENSIONS:
        known: Any = model.service("ce").shape_for("Dimension")
        if key in known.enum:
            return lambda _: f"No {key.replace('_', ' ').title()}"
        raise rejected(f"Dimension {key} is not valid.")
    return DIMENSIONS[key]


def groups(own: Bill, asked: list[Mapping[str, str]]) -> list[Key]:
    """Return a function for each grouping, which reads the group of a charge."""
    if len(asked) > 2:
        raise rejected("Number of GroupBy definitions must be at most 2")
    return [_group(own, grouping["Type"], grouping["Key"]) for grouping in asked]


def _group(own: Bill, kind: str, key: str) -> Key:
    match kind:
        case "TAG":
            return lambda charge: f"{key}${tag(own, charge, key)}"
        case "COST_CATEGORY":
            return lambda _: f"{key}$"
        case "DIMENSION" if key not in NOT_GROUPED:
            return dimension(key)
    raise rejected(f"Group Definition {kind} {key} is invalid.")
