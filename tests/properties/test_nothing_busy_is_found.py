"""Whatever the account and whatever breaks: nothing busy, unreadable, exempt or too young is ever found."""

from __future__ import annotations

from datetime import timedelta

import boto3
from conftest import ACCOUNT, NOW, REGION
from hypothesis import HealthCheck, given, settings
from properties.world import World, worlds

from janitor.account import opened
from janitor.detectors import DETECTORS
from janitor.engine import Policy, run
from janitor.model import Report
from sandbox.control import Control


def audit(session: boto3.Session) -> Report:
    """All detectors; one try per call, so that a fault is believed at once and nobody sleeps."""
    with opened(session, account=ACCOUNT, regions=[REGION], attempts=1) as accounts:
        return run([detector() for detector in DETECTORS], accounts, now=NOW, policy=Policy())


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
    assert found(disturbed) <= waste
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
