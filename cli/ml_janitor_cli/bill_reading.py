"""The sources of a bill's report, read together: Cost Explorer, a sweep, what ran, and the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time

from ml_janitor.aws.account import open_regions
from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.cost_explorer import COST_EXPLORER_REGION, CostExplorer
from ml_janitor.bill import asking
from ml_janitor.bill.model import BillGap, BillReading, GapCause
from ml_janitor.bill.reading import read_bill
from ml_janitor.bill.report import BillReport, make_bill_report
from ml_janitor.bill.resources import (
    ActionSavings,
    facts_from_actions,
    facts_from_sweep,
    hourly_detectors,
    read_known_resources,
)
from ml_janitor.core.results import Sweep
from ml_janitor.engine.run import run_detectors
from ml_janitor.ledger.action import Action
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge
from ml_janitor_cli.credentials import require_caller
from ml_janitor_cli.failures import one_line_errors
from ml_janitor_cli.ledger_session import TABLE_VARIABLE

type ShowProgress = Callable[[str], None]


def read_bill_report(
    setup: edge.Setup,
    regions: Sequence[str],
    asked: asking.BillQuestion,
    *,
    shown: Sequence[str],
    table: str | None,
    say: ShowProgress,
    swept: Sequence[Sweep] | None = None,
) -> BillReport:
    """
    Read the report for *asked*, with the findings of *swept*, else of sweeps of its own.

    Raises FailedError without credentials, or if the ledger fails.
    """
    home = setup.session.region_name or regions[0]
    account = require_caller(setup.session, home, setup.attempts).account
    say("reading Cost Explorer")
    section, settings, until = setup.settings.bill, setup.settings, setup.now.astimezone(UTC)
    wanted = asking.bill_request(section, days=asked.days, first=shown)
    if asked.against is not None:
        wanted = replace(wanted, days=max(wanted.days, (until.date() - asked.against.first).days))
    client = make_client(setup.session, "ce", COST_EXPLORER_REGION, setup.attempts)
    explorer = CostExplorer(client, max_requests=section.max_requests)
    bill = read_bill(explorer, wanted, account=account, now=until)
    if not bill.charges:
        return make_bill_report(bill, asked)
    actions = read_recorded_actions(setup, table or os.environ.get(TABLE_VARIABLE), account, home, regions)
    with open_regions(
        setup.session, account=account, regions=regions, attempts=setup.attempts, pace=edge.call_pace()
    ) as accounts:
        detectors = hourly_detectors(settings.enabled())
        if swept is None:
            say("looking for what is wasteful among what is billed")
            swept = run_detectors(detectors, accounts, now=setup.now, policy=settings.policy.dry()).sweeps
        say("reading what ran, and when")
        results = [result for sweep in swept for result in sweep.results]
        found = read_known_resources(
            accounts,
            since=datetime.combine(bill.first, time(), UTC),
            now=setup.now,
            tag=next(iter(wanted.tags.values()), ""),
            policy=settings.policy,
            verdicts={**facts_from_sweep(results), **facts_from_actions(actions, settings.registry)},
        )
    broken = [
        BillGap(
            reading=BillReading.RESOURCES,
            cause=GapCause.FAILED,
            subject=sweep.region,
            detail=f"{sweep.detector}: {sweep.error}",
        )
        for sweep in swept
        if sweep.error is not None and sweep.detector in {detector.name for detector in detectors}
    ]
    return make_bill_report(
        bill,
        asked,
        resources=found.resources,
        saved=ActionSavings.of(actions, bill, now=setup.now, time_zone=settings.janitor.time_zone),
        gaps=(*found.gaps, *broken),
        looked_at=regions,
    )


def read_recorded_actions(
    setup: edge.Setup, table: str | None, account: str, home: str, regions: Sequence[str]
) -> list[Action]:
    """Read every action in the ledger *table*; none without a table."""
    if not table:
        return []
    actions = Actions(Table(make_client(setup.session, "dynamodb", home, setup.attempts), table))
    with one_line_errors("the ledger"):
        return [
            action
            for detector in setup.settings.registry
            for region in regions
            for action in actions.all(detector.name, account, region)
        ]
