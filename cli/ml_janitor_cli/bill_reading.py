"""The sources of a bill's report, read together: Cost Explorer, a sweep, what ran, and the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time

from ml_janitor.aws.account import opened
from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.cost_explorer import REGION, CostExplorer
from ml_janitor.bill import asking
from ml_janitor.bill.model import Gap, GapCause, Reading
from ml_janitor.bill.reading import read
from ml_janitor.bill.report import BillReport, bill_report
from ml_janitor.bill.resources import Savings, acted, judged, judging, known
from ml_janitor.core.results import Sweep
from ml_janitor.engine.run import run
from ml_janitor.ledger.action import Action
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge
from ml_janitor_cli.credentials import known_caller
from ml_janitor_cli.failures import one_line_about
from ml_janitor_cli.ledger_session import TABLE

type Say = Callable[[str], None]


def read_report(
    setup: edge.Setup,
    regions: Sequence[str],
    asked: asking.Question,
    *,
    shown: Sequence[str],
    table: str | None,
    say: Say,
    swept: Sequence[Sweep] | None = None,
) -> BillReport:
    """
    Read the report for *asked*, with the findings of *swept*, else of sweeps of its own.

    Raises FailedError without credentials, or if the ledger fails.
    """
    home = setup.session.region_name or regions[0]
    account = known_caller(setup.session, home, setup.attempts).account
    say("reading Cost Explorer")
    section, settings, until = setup.settings.bill, setup.settings, setup.now.astimezone(UTC)
    wanted = asking.wanted(section, days=asked.days, first=shown)
    if asked.against is not None:
        wanted = replace(wanted, days=max(wanted.days, (until.date() - asked.against.first).days))
    client = make_client(setup.session, "ce", REGION, setup.attempts)
    explorer = CostExplorer(client, max_requests=section.max_requests)
    bill = read(explorer, wanted, account=account, now=until)
    if not bill.charges:
        return bill_report(bill, asked)
    actions = remembered(setup, table or os.environ.get(TABLE), account, home, regions)
    with opened(
        setup.session, account=account, regions=regions, attempts=setup.attempts, pace=edge.pace()
    ) as accounts:
        detectors = judging(settings.enabled())
        if swept is None:
            say("looking for what is wasteful among what is billed")
            swept = run(detectors, accounts, now=setup.now, policy=settings.policy.dry()).sweeps
        say("reading what ran, and when")
        results = [result for sweep in swept for result in sweep.results]
        found = known(
            accounts,
            since=datetime.combine(bill.first, time(), UTC),
            now=setup.now,
            tag=next(iter(wanted.tags.values()), ""),
            policy=settings.policy,
            verdicts={**judged(results), **acted(actions, settings.registry)},
        )
    broken = [
        Gap(
            reading=Reading.RESOURCES,
            cause=GapCause.FAILED,
            subject=sweep.region,
            detail=f"{sweep.detector}: {sweep.error}",
        )
        for sweep in swept
        if sweep.error is not None and sweep.detector in {detector.name for detector in detectors}
    ]
    return bill_report(
        bill,
        asked,
        resources=found.resources,
        saved=Savings.of(actions, bill, now=setup.now, time_zone=settings.janitor.time_zone),
        gaps=(*found.gaps, *broken),
        looked_at=regions,
    )


def remembered(
    setup: edge.Setup, table: str | None, account: str, home: str, regions: Sequence[str]
) -> list[Action]:
    """Read every action in the ledger *table*; none without a table."""
    if not table:
        return []
    actions = Actions(Table(make_client(setup.session, "dynamodb", home, setup.attempts), table))
    with one_line_about("the ledger"):
        return [
            action
            for detector in setup.settings.registry
            for region in regions
            for action in actions.all(detector.name, account, region)
        ]
