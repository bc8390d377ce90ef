"""Cost allocation tags: the keys that a bill knows, which of them are active, and changing that."""

import datetime as dt
from typing import Any

from ml_janitor_sandbox.billing import meters
from ml_janitor_sandbox.billing.charges import Bill, opened, payer, whole
from moto_corrections import clock
from moto_corrections.paging import cut
from moto_corrections.patches import AwsError, Call, rejected


def _opened_to_payers(call: Call, wanted: str) -> Bill:
    """
    Return the bill to a management account; refuse a member.

    With these words: https://github.com/aws/aws-parallelcluster-ui/issues/242, and
    https://github.com/2i2c-org/infrastructure/pull/4932 for a change.
    """
    if payer(call.account) != call.account:
        raise AwsError(
            "AccessDeniedException",
            f"Failed to {wanted}: Linked account doesn't have access to cost allocation tags.",
        )
    return opened(call)


def _list(call: Call) -> dict[str, Any]:
    """List every key that a charge has ever had, active or not."""
    own, used = _opened_to_payers(call, "list Cost Allocation Tags"), dict[str, dt.datetime]()
    for charge in meters.charges(call.account):
        last = min(charge.end or clock.now(), clock.now())
        used |= {key: max(last, used.get(key, last)) for key in charge.tags}
    found = []
    for key in sorted({*used, *own.active}):
        about = {"TagKey": key, "Type": "AWSGenerated" if key.startswith("aws:") else "UserDefined"}
        about["Status"] = "Active" if key in own.active else "Inactive"
        if key in own.active:
            about["LastUpdatedDate"] = clock.text(own.active[key])
        if key in used:
            about["LastUsedDate"] = clock.text(whole(used[key]))
        found.append(about)
    kept = {name: call.params[name] for name in ("Status", "Type") if name in call.params}.items()
    keys = call.params.get("TagKeys") or ()
    found = [tag for tag in found if kept <= tag.items() and (not keys or tag["TagKey"] in keys)]
    size = int(call.params.get("MaxResults") or 100)
    page, more = cut(call, found, size, invalid="InvalidNextTokenException")
    return {"CostAllocationTags": page, **more}


def _update(call: Call) -> dict[str, Any]:
    """Activate tags from a day later on, or deactivate them; at most twenty."""
    own = _opened_to_payers(call, "update Cost Allocation Tag")
    asked = call.params["CostAllocationTagsStatus"]
    if len(asked) > 20:
        raise rejected("At most 20 tags can be updated at once.")
    known = {key for charge in meters.charges(call.account) for key in charge.tags}
    errors = []
    for change in asked:
        key = change["TagKey"]
        if key not in known:
            problem = {"Code": "TagKeysNotFoundException", "Message": "Tag keys not found"}
            errors.append({"TagKey": key} | problem)
        elif change["Status"] == "Active":
            own.active.setdefault(key, clock.now() + dt.timedelta(days=1))
        else:
            own.active.pop(key, None)
    return {"Errors": errors}


OPERATIONS = {"ListCostAllocationTags": _list, "UpdateCostAllocationTagsStatus": _update}
