"""What a detector is, needs and does where it says nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

import pytest

from conftest import NOW
from fakes import Thing, thing, waste
from ml_janitor.aws import tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.tags import Arn
from ml_janitor.core.model import Value, Verdict
from ml_janitor.engine.detector import (
    Detector,
    Grant,
    NotFinishedError,
    allow,
    allow_each,
    implied_grant,
    with_log_grants,
)
from tables import cases

NO_AWS = cast("Aws", None)
LAMP = thing("lamp", waste())


@dataclass(frozen=True)
class Bare(Detector[Thing]):
    """
    Finds what lies about.

    And no more.
    """

    name = "bare"
    schedule = "rate(1 day)"
    kinds = ("thing", "bucket")

    def find(self, aws: Aws, now: datetime) -> Iterator[Thing]:  # noqa: ARG002
        yield from (thing("chair", waste()), LAMP)

    def decide(self, candidate: Thing, now: datetime) -> Verdict:  # noqa: ARG002
        return waste()


@dataclass(frozen=True)
class Tagless(Bare):
    """Finds what has no tags."""

    own_tags = False


def test_a_grant_is_for_a_call_that_is_made_unless_it_is_implied() -> None:
    assert allow("s3:GetObject", "x/*") == Grant("s3:GetObject", "x/*", implied=False)
    assert Grant("s3:GetObject") == allow("s3:GetObject")
    assert allow_each("s3", "Get", "Put", on="x/*") == (allow("s3:Get", "x/*"), allow("s3:Put", "x/*"))
    logs = allow("logs:GetLogEvents", "log-group:jobs:*")
    assert [with_log_grants((), "jobs", read=read) for read in (True, False)] == [(logs,), ()]
    assert implied_grant("s3:Get", source="the docs") == Grant("s3:Get", implied=True, source="the docs")


def test_it_needs_nothing_and_acts_on_nothing_by_itself() -> None:
    bare, target = Bare(), LAMP.target

    assert (bare.reads, bare.acts, bare.undoes, bare.undo_needs(target, {})) == ((), (), (), ())
    assert (bare.missing_for_undo(target, {}), bare.reverted_arn(target, {})) == ("", target.arn)
    assert bare.revert_effect(target, {}) == "lamp is brought back, and costs again"
    assert bare.leaving(LAMP, frozenset()) == LAMP
    assert (bare.spares_undos, bare.keeps_files, Bare.summary()) == (False, False, "Finds what lies about.")


@cases(
    "call",
    lambda bare: bare.prepare(NO_AWS, LAMP, {}),
    lambda bare: bare.act(NO_AWS, LAMP.target, {}, None),
    lambda bare: bare.is_done(NO_AWS, LAMP.target, {}),
    lambda bare: bare.revert(NO_AWS, LAMP.target, {}, None),
    ids=["prepare", "act", "is_done", "revert"],
)
def test_what_an_adviser_cannot_do_is_an_error(call: Callable[[Any], object]) -> None:
    with pytest.raises(NotImplementedError, match="bare only advises"):
        call(Bare())


def test_one_resource_is_looked_at_among_all_with_its_own_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Value({"keep": "true"})
    monkeypatch.setattr(tags, "read_exact_tags", lambda _, arn: exact if arn == LAMP.target.arn else None)
    spelt = replace(LAMP.target, arn=LAMP.target.arn.upper())

    for look in (Bare().look(NO_AWS, spelt, NOW), Bare().look_unfinished(NO_AWS, spelt, {}, NOW)):
        assert look == replace(LAMP, target=replace(LAMP.target, tags=exact))
    assert Tagless().look(NO_AWS, spelt, NOW) == LAMP
    assert Bare().look(NO_AWS, thing("desk", waste()).target, NOW) is None


@cases(
    "arn, kind, name",
    ("arn:aws:s3:::models", "bucket", "models"),
    ("arn:aws:s3:::models/a/b", "object", "models/a/b"),
    ("arn:aws:sagemaker:us-east-1:123456789012:app/d-1/mia/JupyterLab/x", "app", "d-1/mia/JupyterLab/x"),
    ("arn:aws:logs:us-east-1:123456789012:log-group:/aws/x:y", "log-group", "/aws/x:y"),
)
def test_an_arn_names_a_resource_of_a_kind(arn: str, kind: str, name: str) -> None:
    assert (Arn.parse(arn).kind, Arn.parse(f" {arn} ").name) == (kind, name)


@cases(
    "arn, judged",
    ("arn:aws:sagemaker:us-east-1:123456789012:thing/a", True),
    ("arn:aws:eks:us-east-1:123456789012:thing/a", False),
    ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/a", False),
)
def test_it_judges_its_kinds_in_their_service(arn: str, *, judged: bool) -> None:
    assert Bare.judges(Arn.parse(arn)) is judged


def test_what_is_not_prepared_yet_says_so_and_goes_on_from_its_memo() -> None:
    not_yet = NotFinishedError("half is compared", {"read": 1})

    assert (str(not_yet), not_yet.memo) == ("half is compared", {"read": 1})
