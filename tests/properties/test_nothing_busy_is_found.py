"""
Whatever the account and whatever breaks: nothing busy, unreadable, exempt or too young is ever found.

Every run tries some accounts, and the faults on another share of the near misses: SEED=17 repeats that of one
seed. `make soak` tries more accounts, and each fault on all near misses.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings

import samples
from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import open_regions
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Confidence, Finding, Kept
from ml_janitor.core.results import Report, Result
from ml_janitor.engine.run import run_detectors
from ml_janitor_sandbox.control import Control
from properties.worlds import (
    ADVISED,
    FAULTS,
    LISTINGS,
    NEAR_MISSES,
    Claim,
    Fault,
    World,
    artifacts,
    quiet,
    refusals,
    share_of_near_misses,
    shutdown,
    sized,
    worlds,
)
from properties.worlds.artifacts import MIN_SIZE, STORES
from properties.worlds.base import Account
from samples import SEED
from tables import cases

SETTINGS = Settings.load(
    overrides=[
        f"duplicate-artifacts.min_size={MIN_SIZE}",
        'idle-notebooks.stop_outside_hours=["scheduled*"]',
        f"duplicate-artifacts.read_contents_in={json.dumps(STORES)}",
    ]
)

APART = (quiet, shutdown, sized)
"""Those whose things tell nothing of each other: with a share of them, each call gives half an answer."""

ALL_LISTINGS = LISTINGS | {name: calls for world in ADVISED for name, calls in world.LISTINGS.items()}

CLOSED = Settings.load(overrides=[f"duplicate-artifacts.min_size={MIN_SIZE}"])
"""Under which no object may be read, as by default."""

STUDIO = "idle-studio-apps"
SHARES = 13

ANY_WORLD = settings(
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

type Key = tuple[str, str]
type Claims = dict[Key, Claim]


@settings(ANY_WORLD, max_examples=6)
@given(world=worlds)
def test_nothing_but_waste_is_found(world: World, box: Control, session: boto3.Session) -> None:
    only_waste_is_found(world, box, session)


@pytest.mark.long
@settings(ANY_WORLD, max_examples=200)
@given(world=worlds)
def test_only_waste_is_found_in_many_accounts(world: World, box: Control, session: boto3.Session) -> None:
    only_waste_is_found(world, box, session)


def only_waste_is_found(world: World, box: Control, session: boto3.Session) -> None:
    claims = built(world, box, session)
    assert all_wrong(audit(session), claims, ()) == []

    for fault in world.faults:
        fault.apply(box)
    assert all_wrong(audit(session), claims, world.faults) == []


@cases(
    "near_misses",
    share_of_near_misses(SEED, 5),
    pytest.param(NEAR_MISSES, marks=pytest.mark.long),
    ids=["a share", "all"],
)
def test_near_misses_are_kept(near_misses: World, box: Control, session: boto3.Session) -> None:
    """What is waste but for a single member, together."""
    claims = built(near_misses, box, session)
    assert all_wrong(audit(session), claims, ()) == [], f"SEED={SEED}"
    arns = {claim.arn for claim in claims.values() if claim.detector == STUDIO}
    kinds = {"codeeditor", "JupyterLab", "KernelGateway"}
    assert near_misses is not NEAR_MISSES or kinds <= {arn.split("/")[-2] for arn in arns}


@cases(
    "near_misses",
    share_of_near_misses(SEED, SHARES),
    pytest.param(NEAR_MISSES, marks=pytest.mark.long),
    ids=["a share", "all"],
)
def test_near_misses_stay_with_faults(near_misses: World, box: Control, session: boto3.Session) -> None:
    """While each call in turn gives half an answer, under the detectors that make it; a third in each run."""
    claims = built(near_misses, box, session)
    faults = FAULTS if near_misses is NEAR_MISSES else FAULTS[SEED % 3 :: 3]
    made, apps = {}, identities(audit(session, [STUDIO]))
    for detector in LISTINGS:
        box.clear_calls()
        assert all_wrong(audit(session, [detector]), claims_of(detector, claims), ()) == []
        made[detector] = set(box.calls())
    untried = set()
    for fault in faults:
        concerned = {claim.detector for claim in claims.values() if claim.concerns(fault.call)}
        concerned |= {detector for detector, calls in LISTINGS.items() if fault.call in calls}
        broken = {each.call for each in fault.whole}
        tried = {detector for detector in concerned if broken & made[detector]}
        untried |= {(detector, fault.call) for detector in concerned - tried}
        box.clear_faults()
        for each in fault.whole:
            each.apply(box)
        report = audit(session, tried)
        assert all_wrong(report, claims, fault.whole) == [], f"{fault.call}, SEED={SEED}"
        assert identities(report) <= apps, f"{fault.call}, SEED={SEED}"
    assert near_misses is not NEAR_MISSES or not untried


def claims_of(detector: str, claims: Claims) -> Claims:
    return {where: claim for where, claim in claims.items() if claim.detector == detector}


@pytest.mark.parametrize("advised", samples.share(ADVISED, 3, ids=lambda world: world.DETECTOR))
def test_advice_is_about_nothing_else(advised: Any, box: Control, session: boto3.Session) -> None:
    """Each adviser in an account of its own: others' leftovers would hide all from some."""
    things = [thing for kind in advised.KINDS for thing in kind.near_misses()]
    share = [things[0], *things[1 + SEED % SHARES :: SHARES]] if advised in APART else things
    for few in (things, share) if share is not things else (things,):
        box.reset()
        box.set_durations({"*": 0})
        account = Account(session=session, control=box, now=NOW)
        for thing in few:
            account.add(thing)
        claims = {claim.key: claim for claim in account.claims}
        assert all_wrong(audit(session, advised.LISTINGS), claims, ()) == []

    for call in things[0].calls:
        faults = Fault(call, "truncate", lasting=True).whole
        box.clear_faults()
        for fault in faults:
            fault.apply(box)
        assert all_wrong(audit(session, advised.LISTINGS), claims, faults) == [], f"{call}, SEED={SEED}"


def test_near_misses_are_kept_where_contents_may_not_be_read(box: Control, session: boto3.Session) -> None:
    """Then sizes and ETags are all there is: what has both is likely a copy, and never acted on."""
    closed = replace(NEAR_MISSES, things=[*artifacts.near_misses()])
    claims = {claim.arn: claim for claim in built(closed, box, session).values()}
    box.clear_calls()

    report = audit(session, [artifacts.DETECTOR], CLOSED)

    assert {"s3:GetObject", "s3:HeadObject"}.isdisjoint(box.calls())
    found = {one.target.arn: one.verdict for one in report.results if isinstance(one.verdict, Finding)}
    assert found
    assert [arn for arn in found if not claims[arn].may] == []
    assert {one.confidence for one in found.values()} == {Confidence.LIKELY}
    assert {one.to_prove for one in found.values()} == {"name its bucket in read_contents_in"}


def built(world: World, box: Control, session: boto3.Session) -> Claims:
    """What is claimed of *world*, which is all there is now."""
    box.reset()
    box.set_durations({"*": 0})
    return {claim.key: claim for claim in world.build(session, box, NOW)}


def audit(session: boto3.Session, only: Iterable[str] = LISTINGS, under: Settings = SETTINGS) -> Report:
    """One try per call, so that a fault is believed at once and nobody sleeps."""
    detectors = [detector for detector in under.enabled() if detector.name in only]
    with open_regions(session, account=ACCOUNT, regions=[REGION], attempts=1, pace=None) as accounts:
        return run_detectors(detectors, accounts, now=NOW, policy=under.policy)


def all_wrong(report: Report, claims: Claims, faults: Sequence[Fault]) -> list[str]:
    """Everything in *report* that is not as it has to be while *faults* are in force."""
    return [
        *dishonest(report, claims, faults),
        *stopped_at_work(report, claims),
        *called_busy(report, claims, faults),
        *silently_incomplete(report, faults),
        *([] if faults else overlooked(report, claims)),
    ]


def dishonest(report: Report, claims: Claims, faults: Sequence[Fault]) -> list[str]:
    """Findings that nobody can honestly make, and verdicts without a reason."""
    wrong = [
        f"{key(result)} is found, {result.verdict.confidence}: {result.verdict.reason}"
        for result in report.findings
        if isinstance(result.verdict, Finding)
        if (claim := claims.get(key(result))) is None or not claim.allows(result.verdict.confidence, faults)
    ]
    return wrong + [f"{key(result)} has no reason" for result in report.results if not result.verdict.reason]


def stopped_at_work(report: Report, claims: Claims) -> list[str]:
    """Findings of what works that are due, or that no clock stops."""
    return [
        f"{key(result)} works, and is due: {result.verdict.reason}"
        for result in report.findings
        if isinstance(result.verdict, Finding)
        if (claim := claims.get(key(result))) is not None and claim.busy
        if (plan := result.verdict.schedule) is None or plan.due <= NOW
    ]


def identities(report: Report) -> set[str]:
    """By which apps are remembered: AWS spells their type in two ways, and a listing has no ARN."""
    return {one.target.key for sweep in report.sweeps if sweep.detector == STUDIO for one in sweep.results}


def called_busy(report: Report, claims: Claims, faults: Sequence[Fault]) -> list[str]:
    """Waste that is kept as if it were in use, although what would tell cannot be read: it is unknown."""
    return [
        f"{key(result)} is kept: {result.verdict.reason}"
        for result in report.results
        if isinstance(result.verdict, Kept) and not result.verdict.unknown
        if (claim := claims.get(key(result))) is not None and claim.unknown(faults)
    ]


def silently_incomplete(report: Report, faults: Sequence[Fault]) -> list[str]:
    """Sweeps whose listing failed and that do not say so, or that fail although nothing does."""
    refused = refusals(faults)
    return [
        f"{sweep.detector}: {sweep.error or 'complete'}"
        for sweep in report.sweeps
        if (ALL_LISTINGS[sweep.detector] & refused and sweep.error is None)
        or (not faults and sweep.error is not None)
    ]


def overlooked(report: Report, claims: Claims) -> list[str]:
    """Waste that is not found, although everything can be read."""
    found = {key(result) for result in report.findings}
    why = {key(result): result.verdict.reason for result in report.results}
    return [
        f"{where} is not found: {why.get(where, 'not looked at')}"
        for where, claim in claims.items()
        if claim.must and where not in found
    ]


def key(result: Result) -> Key:
    """A family of jobs has a digest at the end of its ARN; here each has a name of its own."""
    return result.detector, re.sub(r"~[0-9a-f]{8}$", "", result.target.arn.lower())
