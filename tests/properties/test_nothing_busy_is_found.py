"""Whatever the account and whatever breaks: nothing busy, unreadable, exempt or too young is ever found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import boto3
from hypothesis import HealthCheck, given, settings

from conftest import ACCOUNT, NOW, REGION
from janitor.account import opened
from janitor.detectors.hung_training_jobs import HungTrainingJobs
from janitor.detectors.idle_endpoints import IdleEndpoints
from janitor.detectors.idle_notebooks import IdleNotebooks
from janitor.engine import Policy, run
from janitor.model import Report
from properties.world import Notebook, Thing, World, worlds
from sandbox.control import Control

JUDGED = (IdleEndpoints(), IdleNotebooks(), HungTrainingJobs())


def audit(session: boto3.Session) -> Report:
    """The detectors whose kinds the worlds have; one try per call, so that a fault is believed at once."""
    with opened(session, account=ACCOUNT, regions=[REGION], attempts=1) as accounts:
        return run(JUDGED, accounts, now=NOW, policy=Policy())


@settings(
    max_examples=60,
    derandomize=True,
    deadline=timedelta(seconds=30),
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(world=worlds)
def test_nothing_but_waste_is_found(world: World, box: Control, session: boto3.Session) -> None:
    box.reset()
    truth = world.build(session, box, NOW)

    undisturbed = audit(session)
    for fault in world.faults:
        fault.apply(box)
    disturbed = audit(session)

    waste = {arn for arn, thing in truth.items() if thing.may}
    assert found(undisturbed) <= waste
    assert found(undisturbed) >= {arn for arn, thing in truth.items() if thing.must}
    assert found(disturbed) <= waste | unseen_openings(world, truth)
    for fault in world.faults:
        if fault.lasting and not fault.skip and fault.kind in {"error", "deny", "throttle"}:
            unreadable = {arn for arn, thing in truth.items() if thing.needs(fault.call)}
            assert not found(disturbed) & unreadable
    for report in (undisturbed, disturbed):
        for sweep in report.sweeps:
            assert sweep.looked_at == sweep.found + sweep.kept
            assert sweep.unknown <= sweep.kept
    assert all(sweep.error is None for sweep in undisturbed.sweeps)


def found(report: Report) -> set[str]:
    """The ARNs of the findings."""
    return {result.target.arn.lower() for result in report.findings}


def unseen_openings(world: World, truth: Mapping[str, Thing]) -> set[str]:
    """
    Notebooks whose only fresh sign of use is that somebody opened them, while CloudTrail is disturbed.

    CloudTrail only supports: it can show use, but without it a notebook is still found, as likely.
    """
    if not any(fault.call == "cloudtrail:LookupEvents" for fault in world.faults):
        return set()
    return {
        arn for arn, thing in truth.items() if isinstance(thing, Notebook) and replace(thing, opened=None).may
    }
