"""The deployed stack as its owner sees it: found by name in CloudFormation, asked through each service."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import boto3
from botocore.exceptions import ClientError

from ml_janitor.aws.boto_client import ServiceName, make_client
from ml_janitor_cli.probes import ProbeAnswer, classify_error

STACK_NAME = "MlJanitor"
"""Name of the stack in app.py."""

LOGICAL_ID_HASH = "[0-9A-F]{8}"
"""Suffix that CDK appends to the path of a construct to make its logical id."""

OPERATING_PAGE = "docs/operating.md"
DEPLOY_AGAIN_ADVICE = "make deploy REVERT=1 puts it back"
"""Advice for a missing part: without REVERT, CloudFormation compares templates, and does nothing."""

LIST_RESOURCES = "cloudformation:ListStackResources"

GONE_CODES = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "NotFound",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
"""Error codes of services for a resource that does not exist."""


class CheckOutcome(StrEnum):
    """The result of a check; the last three say nothing about the deployment."""

    FINE = "fine"
    WRONG = "wrong"
    REFUSED = "refused"
    FAILED = "not answered"
    NOT_PROBED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    One thing that was checked: *what* of the function *about*, or of the whole deployment.

    *seen* is for a reader's eye, and *short* for one that skims; a check that is not fine says *to_do*, if
    anybody can do anything.
    """

    about: str = ""
    what: str
    outcome: CheckOutcome
    seen: str
    to_do: str = ""
    short: str = ""

    @classmethod
    def fine(cls, what: str, seen: str, *, about: str = "") -> Check:
        """Return a check without a fault."""
        return cls(about=about, what=what, outcome=CheckOutcome.FINE, seen=seen)

    @classmethod
    def wrong(cls, what: str, seen: str, to_do: str, *, about: str = "", short: str = "") -> Check:
        """Return a check that found a fault in the deployment."""
        return cls(about=about, what=what, outcome=CheckOutcome.WRONG, seen=seen, to_do=to_do, short=short)

    @classmethod
    def not_probed(cls, what: str, seen: str, to_do: str = "") -> Check:
        """Return a check that cannot be made from here."""
        return cls(what=what, outcome=CheckOutcome.NOT_PROBED, seen=seen, to_do=to_do)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call without an answer that helps: refused, or not answered, in AWS's words."""

    outcome: CheckOutcome
    why: str

    def check(self, what: str, *, about: str = "", action: str = "") -> Check:
        """Return it as the check that it prevented."""
        refused = f"ask for {action} to be allowed, or let somebody look who may" if action else ""
        return Check(
            about=about,
            what=what,
            outcome=self.outcome,
            seen=self.why,
            to_do=refused if self.outcome is CheckOutcome.REFUSED else "ask again",
        )


@dataclass(frozen=True, slots=True)
class MissingResource:
    """The resource does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedStack:
    """A deployed stack: physical ids by logical id and type."""

    name: str
    region: str
    resources: Mapping[tuple[str, str], str]

    def physical_id(self, construct: str, part: str, kind: str) -> str | None:
        """Return the physical id of the *part* of a *construct* that has this CloudFormation type."""
        wanted = re.compile(f"{construct}{part}{LOGICAL_ID_HASH}")
        return next(
            (
                physical
                for (logical, of), physical in self.resources.items()
                if of == kind and wanted.fullmatch(logical)
            ),
            None,
        )

    def parts(self, construct: str, kind: str) -> dict[str, str]:
        """Return every part of a *construct* that has this type: physical ids by the name of the part."""
        wanted = re.compile(f"{construct}([A-Z][A-Za-z]*?){LOGICAL_ID_HASH}")
        found = (
            (wanted.fullmatch(logical), physical)
            for (logical, of), physical in self.resources.items()
            if of == kind
        )
        return {match[1]: physical for match, physical in found if match}


class RegionServices:
    """The services of one region. *attempts* are few: a check that nobody answers should not take minutes."""

    def __init__(self, session: boto3.Session, region: str, *, attempts: int) -> None:
        self.region = region
        self._session = session
        self._attempts = attempts
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return a client of any service, not only of those in Lambda. Call it before threads start."""
        if service not in self._clients:
            self._clients[service] = make_client(
                self._session, cast("ServiceName", service), self.region, self._attempts
            )
        return self._clients[service]

    def find(self, name: str) -> DeployedStack | MissingResource | Trouble:
        """Find the stack *name*, by all pages of its resources."""

        def listed() -> dict[tuple[str, str], str]:
            pages = (
                self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
            )
            return {
                (resource["LogicalResourceId"], resource["ResourceType"]): resource.get(
                    "PhysicalResourceId", ""
                )
                for page in pages
                for resource in page["StackResourceSummaries"]
                if resource["ResourceStatus"] != "DELETE_COMPLETE"
            }

        match read_answer(listed, gone=frozenset({"ValidationError"})):
            case MissingResource() | Trouble() as without:
                return without
            case resources:
                return DeployedStack(name=name, region=self.region, resources=resources)


def read_answer[T](
    call: Callable[[], T], *, gone: frozenset[str] = GONE_CODES
) -> T | MissingResource | Trouble:
    """Return the answer of *call*, or why there is none. Raises every error but a failed AWS call."""
    try:
        return call()
    except Exception as error:  # `classify_error` raises every error but a failed AWS call
        answer, why = classify_error(error)
        if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in gone:
            return MissingResource()
        return Trouble(CheckOutcome.REFUSED if answer is ProbeAnswer.REFUSED else CheckOutcome.FAILED, why)
