"""SageMaker's List operations, all in one: filters, order, and pages that survive deletions.

Defaults are those of each operation's documentation: ten to a page, at most a hundred, by creation
time, newest first, except where the tables below say otherwise. Two are doubtful: ListTrainingJobs is
documented as ascending at its SortOrder and as newest first in an example, and ListNotebookInstances
tells its SortBy but not its SortOrder. Whoever needs an order should ask for it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.model import ListShape

from moto_corrections import model
from moto_corrections.clock import aware
from moto_corrections.paging import limited, read, write
from moto_corrections.patches import Answer, Call, serves
from moto_corrections.sagemaker.store import Kind, Resource, constraint, get, resources

DEFAULT_PAGE = 10
LARGEST_PAGE = 100
ASCENDING = {
    "ListApps",
    "ListClusters",
    "ListDomains",
    "ListHyperParameterTuningJobs",
    "ListModelPackageGroups",
    "ListModelPackages",
    "ListNotebookInstances",
    "ListProcessingJobs",
    "ListSpaces",
    "ListTrainingJobs",
    "ListTrainingJobsForHyperParameterTuningJob",
    "ListUserProfiles",
}
BY_NAME = {
    "ListHyperParameterTuningJobs",
    "ListNotebookInstances",
    "ListTrainingJobsForHyperParameterTuningJob",
}
# Here the status is compared only after the page has been cut, so a page may be empty and still
# have a successor (documentation of ListTrainingJobs).
STATUS_AFTER_THE_CUT = {"ListTrainingJobs"}

type Key = tuple[str | float, int]


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of a listing, with what paging and sorting need."""

    members: Mapping[str, Any]
    name: str
    status: str | None
    sequence: int


def rows(resources: Iterable[Resource]) -> list[Row]:
    """Return the entries of these resources."""
    return [
        Row(resource.members, resource.name, resource.status, resource.sequence) for resource in resources
    ]


def listing(
    call: Call, of: Kind, *by: str, only: Callable[[Resource], bool] = lambda _: True
) -> dict[str, Any]:
    """Answer a List operation over everything of one kind, which may ask for some with the members *by*."""
    wanted = equals(call, *by).items()
    found = (
        resource
        for resource in resources(call, of).values()
        if wanted <= resource.members.items() and only(resource)
    )
    return answer(call, rows(found))


def serve(of: Kind, *verbs: str, by: tuple[str, ...] = ()) -> None:
    """
    Answer those operations on a kind that are as for most: Describe, List and Delete.

    It is described with everything that it was created with and has become since, and is listed with the
    filters that all List operations have and those for the members *by*. It goes at once, as a model does:
    what takes minutes is `progress.vanishes`.
    """

    def delete(call: Call) -> None:
        del resources(call, of)[get(call, of).name]

    answers: dict[str, Answer] = {
        f"Describe{of.noun}": lambda call: get(call, of).members,
        f"List{of.noun}s": lambda call: listing(call, of, *by),
        f"Delete{of.noun}": delete,
    }
    for operation, each in answers.items():
        if operation.startswith(verbs):
            serves("sagemaker", operation)(each)


def equals(call: Call, *members: str) -> dict[str, Any]:
    """Return the *members* that a List operation asks for, by their name or that and "Equals"."""
    asked = {member: call.params.get(f"{member}Equals") or call.params.get(member) for member in members}
    return {member: value for member, value in asked.items() if value}


def answer(call: Call, entries: Iterable[Row]) -> dict[str, Any]:
    """Answer a List operation over these entries."""
    params = call.params
    size = limited(_page_size(params))
    late = call.operation in STATUS_AFTER_THE_CUT
    descending = _descending(call)
    order = _order(call)
    wanted = [(order(row), row) for row in entries if _wanted(row, params, status=not late)]
    wanted.sort(key=lambda pair: pair[0], reverse=descending)
    if token := params.get("NextToken"):
        start: list[Any] = []
        last: Any = tuple(
            read(token, start, invalid="ValidationException", message="Invalid pagination token")
        )
        wanted = [pair for pair in wanted if (pair[0] < last if descending else pair[0] > last)]
    page, rest = wanted[:size], wanted[size:]
    shown = [row for _, row in page if not late or _in_status(row, params)]
    result: dict[str, Any] = {list_member(call.operation): [dict(row.members) for row in shown]}
    if rest:
        # It says after *what* to go on, so the thing itself may be gone by then.
        result["NextToken"] = write(page[-1][0])
    return result


def list_member(operation: str) -> str:
    """Return the member of the answer that holds the list."""
    members = model.output("sagemaker", operation).members
    return next(name for name, shape in members.items() if isinstance(shape, ListShape))


def _page_size(params: dict[str, Any]) -> int:
    size = params.get("MaxResults")
    if size is None:
        return DEFAULT_PAGE
    if size > LARGEST_PAGE:
        limit = f"Member must have value less than or equal to {LARGEST_PAGE}"
        raise constraint(size, "maxResults", limit)
    if size < 1:
        raise constraint(size, "maxResults", "Member must have value greater than or equal to 1")
    return int(size)


def _descending(call: Call) -> bool:
    default = "Ascending" if call.operation in ASCENDING else "Descending"
    return (call.params.get("SortOrder") or default) == "Descending"


def _order(call: Call) -> Callable[[Row], Key]:
    """Return the sort key; things made at the same time stay in the order they were made."""
    default = "Name" if call.operation in BY_NAME else "CreationTime"
    by = (call.params.get("SortBy") or default).upper().replace("_", "")
    if by == "NAME":
        return lambda row: (row.name, row.sequence)
    if by == "STATUS":
        return lambda row: (row.status or "", row.sequence)
    member = "LastModifiedTime" if by == "LASTMODIFIEDTIME" else "CreationTime"
    return lambda row: (aware(row.members[member]).timestamp(), row.sequence)


def _wanted(row: Row, params: dict[str, Any], *, status: bool) -> bool:
    contains = params.get("NameContains")
    if contains and contains.lower() not in row.name.lower():
        return False
    for member in ("CreationTime", "LastModifiedTime"):
        before, after = params.get(f"{member}Before"), params.get(f"{member}After")
        if before and not aware(row.members[member]) < aware(before):
            return False
        if after and not aware(row.members[member]) > aware(after):
            return False
    return not status or _in_status(row, params)


def _in_status(row: Row, params: dict[str, Any]) -> bool:
    return not params.get("StatusEquals") or row.status == params["StatusEquals"]
