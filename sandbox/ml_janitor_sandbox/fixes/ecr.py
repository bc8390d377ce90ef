"""Image repositories: listed in pages, which moto answers all at once."""

from __future__ import annotations

from typing import Any

from ml_janitor_sandbox.paging import cut
from ml_janitor_sandbox.patches import AwsError, Call, backend, serves

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000


@serves("ecr", "DescribeRepositories")
def describe_repositories(call: Call) -> dict[str, Any]:
    """By name all of them, else a page (API reference: 100, at most 1000)."""
    params = call.params
    names = params.get("repositoryNames")
    size = params.get("maxResults")
    if names and (size or params.get("nextToken")):
        raise AwsError(
            "InvalidParameterException", "maxResults and nextToken cannot be given with repositoryNames."
        )
    if size is not None and not 1 <= size <= LARGEST_PAGE:
        raise AwsError("InvalidParameterException", f"maxResults must be between 1 and {LARGEST_PAGE}.")
    kept = backend("ecr", call.account, call.region)
    found = kept.describe_repositories(repository_names=names, registry_id=params.get("registryId"))
    if names:
        return {"repositories": found}
    page, more = cut(
        found, params.get("nextToken"), size or DEFAULT_PAGE, invalid="InvalidParameterException"
    )
    return {"repositories": page} | {member[0].lower() + member[1:]: token for member, token in more.items()}
