"""
Each mechanism of the armed engine switched off in turn: the test of its law must then fail.

A law's test that passes without its mechanism would prove nothing.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ml_janitor.acting import acting, warning
from ml_janitor.acting.acting import Acting, SoFar
from ml_janitor.acting.recheck import Recheck
from ml_janitor.acting.undoing import Undoing
from ml_janitor.aws import client as aws
from ml_janitor.core.model import Confidence, Kept, Target
from ml_janitor.core.results import Result, Sweep
from ml_janitor.engine import arming
from ml_janitor.engine.arming import Arming
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.holds import How
from ml_janitor.engine.policy import Policy
from ml_janitor.ledger import steps
from ml_janitor.ledger.action import Action
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.entries import Entry
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.holds import Holds
from ml_janitor.ledger.limits import Limits
from ml_janitor.ledger.steps import RecordedSteps
from ml_janitor.ledger.table import Table
from ml_janitor.scheduled.sweep_run import Runner
from nights import Nights

pytestmark = pytest.mark.mutants

laws = importlib.import_module("integration.test_acting")

type Patch = Callable[[pytest.MonkeyPatch], None]

FAR = timedelta(days=3650)


def never(*_: object, **__: object) -> None:
    """Nothing stands in the way."""


def setter(owner: object, name: str, value: object) -> Patch:
    """Put *value* in the place of a mechanism."""
    return lambda patch: patch.setattr(owner, name, value)


def both(*patches: Patch) -> Patch:
    """Two mechanisms that hold the same law."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        for one in patches:
            one(patch)

    return apply


def fixed(value: object) -> property:
    """An attribute that is *value*, whatever it is set to."""
    return property(lambda _: value, lambda _, __: None)


def everything_due(sweep: Sweep, entries: Mapping[str, Entry], clock: datetime) -> list[Result]:
    """Whatever was warned about."""
    return REAL_DUE(sweep, entries, clock + FAR)


def complete(self: Acting, detector: Detector[Any], aws_: Any, sweep: Sweep, *args: Any, **how: Any) -> SoFar:
    """A sweep that broke off counts as complete."""
    return REAL_ACT(self, detector, aws_, replace(sweep, error=None), *args, **how)


def as_swept(self: Recheck, result: Result, clock: datetime) -> tuple[Any, Any]:
    """The verdict of the sweep, without looking again."""
    candidate = self.detector.world.things.get(result.target.name)  # type: ignore[attr-defined]
    del clock
    return result.verdict, candidate


def by_arn(self: Target) -> str:
    """Identity without the creation time."""
    return f"{self.arn}@"


def announced_only(self: Ledger, entry: Entry, why: str) -> None:
    """A warning that is void stays."""
    del self, entry, why


def overwriting(self: Table, pk: str, sk: str, attributes: Mapping[str, Any], **_: Any) -> Any:
    """A write without its condition."""
    return REAL_PUT(self, pk, sk, attributes)


def undelivered(self: warning.Warner, sweep: Sweep, entries: Any, arms: Arming, *, now: datetime) -> Any:
    """What was sent counts as delivered."""
    done = REAL_WARN(self, sweep, entries, arms, now=now)
    for entry in entries.values():
        self.ledger.warned(entry, now=self.clock(), due=self.clock() + timedelta(days=3))
    return done


def forgetful(self: RecordedSteps, name: str, call: Callable[[], object]) -> None:
    """A step is done again although it is recorded as done."""
    del self, name
    call()


def whatever_it_is(self: Undoing, detector: str, account: str, region: str, finding: str) -> Action:
    """The newest action, undone or not."""
    return [each for each in self.actions.all(detector, account, region) if each.id == finding][-1]


REAL_DUE, REAL_ACT, REAL_PUT, REAL_WARN = acting.due_now, Acting.act, Table.put, warning.Warner.__call__

SWITCHED_OFF: Sequence[tuple[str, Patch, str, dict[str, Any]]] = [
    (
        "1 reading only",
        setter(aws, "READS", re.compile("")),
        "what_reads_only_cannot_write_whatever_a_detector_does",
        {},
    ),
    ("1 dry by event", setter(Runner, "dry", fixed(value=False)), "a_dry_run_neither_warns_nor_acts", {}),
    (
        "3 complete",
        setter(Acting, "act", complete),
        "a_sweep_that_broke_off_warns_about_what_it_read_and_acts_on_nothing",
        {},
    ),
    (
        "4 look again",
        setter(Recheck, "verdict", as_swept),
        "what_is_in_use_again_when_looked_at_is_changed",
        {},
    ),
    (
        "4 unknown",
        setter(Kept, "unknown", fixed(value=False)),
        "what_cannot_be_judged_when_looked_at_again_waits",
        {},
    ),
    (
        "4 holds again",
        setter(Holds, "all", lambda *_: {}),
        "a_keep_said_between_the_sweep_and_the_act_still_counts",
        {},
    ),
    (
        "5 due",
        both(
            setter(acting, "due_now", everything_due),
            setter(Arming, "due", lambda _, warned, *__, **___: warned),
        ),
        "it_warns_waits_looks_again_acts_and_reports",
        {},
    ),
    (
        "5 delivered",
        setter(warning.Warner, "__call__", undelivered),
        "nothing_is_due_whose_warning_did_not_arrive_and_the_due_date_moves",
        {},
    ),
    (
        "5 void when disarmed",
        setter(Ledger, "void_warning", announced_only),
        "a_warning_is_void_once_the_detector_is_disarmed",
        {},
    ),
    (
        "5 void when only reported",
        setter(Ledger, "void_warning", announced_only),
        "a_tag_that_came_after_the_warning_protects",
        {},
    ),
    ("5 business days", setter(arming, "SATURDAY", 7), "a_due_date_is_on_no_weekend_and_no_holiday", {}),
    (
        "5 kept",
        setter(Policy, "keeps", never),
        "what_somebody_keeps_is_kept",
        {"how": {"how": How.KEPT, "why": "a demo"}, "why": "kept by maria: a demo"},
    ),
    (
        "5 only proven",
        setter(Arming, "act_on", fixed(Confidence.LIKELY)),
        "what_is_likely_is_only_reported_where_proof_is_asked_for",
        {},
    ),
    (
        "6 sweep",
        setter(Limits, "in_sweep", lambda *_, **__: True),
        "at_most_so_many_in_a_sweep_and_the_rest_wait",
        {},
    ),
    (
        "6 sweep, retried",
        setter(Limits, "in_sweep", lambda *_, **__: True),
        "a_retry_of_the_same_sweep_gets_no_places_of_its_own",
        {},
    ),
    ("6 night", setter(Limits, "in_night", lambda *_, **__: True), "a_night_has_so_many_over_all_sweeps", {}),
    (
        "6 none",
        setter(Limits, "in_sweep", lambda *_, **__: True),
        "none_means_none",
        {"limit": "max_actions"},
    ),
    ("6 share", setter(Arming, "too_many", never), "many_deletions_at_once_need_a_persons_word", {}),
    ("6 approval", setter(Entry, "approved", fixed("anybody")), "an_approval_is_for_what_was_looked_at", {}),
    (
        "6 half done and many",
        setter(Arming, "too_many", never),
        "what_is_half_done_waits_for_a_persons_word_as_well",
        {},
    ),
    (
        "6 half done on a weekend",
        setter(Arming, "rests", lambda *_: False),
        "what_is_half_done_is_not_finished_on_a_weekend",
        {},
    ),
    (
        "7 put back, not finished",
        setter(Actions, "request_undo", lambda _, action, *__: action),
        "what_was_to_be_put_back_is_not_finished_because_nobody_uses_it_any_more",
        {},
    ),
    (
        "7 undo once",
        setter(Undoing, "find", whatever_it_is),
        "what_was_done_is_brought_back_and_then_left_alone",
        {},
    ),
    ("7 too old", setter(Undoing, "within", fixed(FAR)), "what_is_too_old_is_not_undone", {}),
    (
        "7 steps",
        setter(RecordedSteps, "do", forgetful),
        "a_step_that_is_recorded_as_done_is_not_done_again",
        {},
    ),
    ("8 settled", setter(Recheck, "is_done", lambda *_: False), "a_lost_answer_is_settled_by_looking", {}),
    (
        "8 refused",
        setter(steps, "refused", never),
        "what_aws_refused_and_then_is_used_has_nothing_to_be_put_back",
        {},
    ),
    ("8 out of time", setter(aws.Aws, "out_of_time", never), "what_has_no_time_left_is_no_failure", {}),
    ("9 identity", setter(Target, "key", property(by_arn)), "a_re_created_resource_starts_from_nothing", {}),
    ("once", setter(Table, "put", overwriting), "two_runs_of_one_warning_begin_one_action", {}),
    (
        "protected",
        setter(Arming, "protects", never),
        "some_findings_are_only_reported",
        {"arming": {}, "tags": {"environment": "Production"}, "why": "it serves Production"},
    ),
    (
        "act_in",
        setter(Arming, "within", lambda *_: True),
        "some_findings_are_only_reported",
        {"arming": {"act_in": ("123456789012/eu-west-1",)}, "tags": {}, "why": "act_in does not name"},
    ),
]


@pytest.mark.parametrize(
    ("patch", "law", "given"),
    [pytest.param(*rest, id=name) for name, *rest in SWITCHED_OFF],
)
def test_without_its_mechanism_a_law_is_seen_to_be_broken(
    nights: Nights,
    monkeypatch: pytest.MonkeyPatch,
    patch: Patch,
    law: str,
    given: dict[str, Any],
) -> None:
    patch(monkeypatch)

    with pytest.raises((AssertionError, KeyError, ValueError, pytest.fail.Exception)):
        getattr(laws, f"test_{law}")(nights, **given)
