"""Sweeps of every account of an organization, each through the roles that the account grants."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3

from ml_janitor.aws.boto_client import READ_THREADS, make_client
from ml_janitor.aws.client import PRICING_REGION, Aws
from ml_janitor.aws.organization import (
    ALWAYS_ENABLED_REGIONS,
    NotListedError,
    enabled_regions,
    list_accounts,
    open_member_session,
    unread_sweep_error,
)
from ml_janitor.aws.prices import Prices
from ml_janitor.config.member_roles import member_role_name, role_arn
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Report, Sweep
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.run import run_pairs
from ml_janitor_cli import edge
from ml_janitor_cli.credentials import require_caller
from ml_janitor_cli.failures import FailedError
from ml_janitor_cli.screen import show_progress

ACCOUNTS_AT_ONCE = 4
"""Accounts looked at side by side; each has rates of its own, and all share the threads that read."""

UNKNOWN_REGIONS = "unknown regions"
"""Placeholder for the regions of an account that nobody could ask for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationCaller:
    """
    The caller that looks at the accounts, with its settings and its home.

    *sts* takes on the roles: threads may share a client, but not make clients of one session.
    """

    setup: edge.Setup
    partition: str
    home: str
    sts: Any

    @classmethod
    def of(cls, setup: edge.Setup) -> OrganizationCaller:
        """Identify the credentials of *setup*. Raises Refused; FailedError if no account trusts them."""
        section, session = setup.settings.organization, setup.session
        if not section.used:
            raise edge.CommandRefusedError("--organization: [organization] in the settings names no accounts")
        partition = session.get_partition_for_region(session.region_name or "us-east-1")
        home = session.region_name or ALWAYS_ENABLED_REGIONS[partition]
        caller = require_caller(session, home, setup.attempts)
        if caller.account != section.janitor_account:
            raise FailedError(
                f"these are credentials of account {caller.account}, and the roles trust callers of "
                f"janitor_account {section.janitor_account} alone"
            )
        sts = make_client(session, "sts", home, setup.attempts)
        return cls(setup=setup, partition=partition, home=home, sts=sts)

    def client(self, session: boto3.Session, service: Any, region: str = "") -> Any:
        """Create a client of *service*, at home unless another region is given."""
        return make_client(session, service, region or self.home, self.setup.attempts)

    def accounts(self) -> list[str]:
        """List the accounts to look at. Raises FailedError that says what to do next."""
        section = self.setup.settings.organization
        if section.accounts:
            return list(dict.fromkeys(section.accounts))
        organizations = self.client(
            self.setup.session, "organizations", ALWAYS_ENABLED_REGIONS[self.partition]
        )
        try:
            return list(list_accounts(organizations, units=section.units, without=section.without))
        except NotListedError as error:
            raise FailedError(str(error)) from error

    def session(self, account: str, detector: str) -> boto3.Session:
        """Open a session of *detector*'s role in *account*. Raises what STS raises, and ReadError."""
        role = role_arn(
            self.setup.settings, member_role_name(detector), account=account, partition=self.partition
        )
        external_id = self.setup.settings.organization.external_id
        return open_member_session(self.sts, self.setup.session, role, external_id)


def organization_regions(setup: edge.Setup, flags: Sequence[str] | None) -> tuple[str, ...]:
    """Return where to look: *flags*, else the section's regions; none for all enabled. Raises Refused."""
    allowed = setup.settings.organization.regions
    named = setup.regions(flags or allowed) if flags or allowed else ()
    if allowed and (others := [region for region in named if region not in allowed]):
        raise edge.CommandRefusedError(
            f"--region {others[0]} is not in organization.regions, and the roles allow reading in those alone"
        )
    return named


def sweep_organization(
    setup: edge.Setup, detectors: Sequence[Detector[Any]], regions: Sequence[str]
) -> tuple[Report, Sequence[str]]:
    """
    Return the report over all accounts, and why its prices did not come from the Price List API.

    Every account that was listed has sweeps in it: sweeps that failed have an error. Without *regions*,
    every enabled one is looked at.
    """
    with show_progress("listing the accounts") as say:
        janitor = OrganizationCaller.of(setup)
        listed = janitor.accounts()
        prices = Prices(lambda: janitor.client(setup.session, "pricing", PRICING_REGION))
        ended: list[str] = []
        notes: list[str] = []
        say(f"0 of {len(listed)} accounts")

        def look(account: str) -> Sequence[Sweep]:
            try:
                with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="read") as pool:
                    return sweep_account(
                        janitor, account, detectors, regions, prices=prices, pool=pool, note=notes.append
                    )
            except Exception as error:  # one account must not hide the others
                return unread_sweeps(account, detectors, regions, error=unread_sweep_error(error))
            finally:
                ended.append(account)
                say(f"{len(ended)} of {len(listed)} accounts; {account} is done")

        with ThreadPoolExecutor(ACCOUNTS_AT_ONCE, thread_name_prefix="account") as side_by_side:
            found = [sweep for sweeps in side_by_side.map(look, listed) for sweep in sweeps]
    sys.stderr.writelines(f"janitor: {note}\n" for note in sorted(notes))
    if not found:
        raise FailedError(f"nothing was looked at: no account has enabled {', '.join(regions)}")
    names = [detector.name for detector in detectors]
    ordered = sorted(found, key=lambda sweep: (names.index(sweep.detector), str(sweep.account), sweep.region))
    only = listed[0] if len(listed) == 1 else None
    return Report(time=setup.now, account=only, sweeps=tuple(ordered)), prices.problems


def sweep_account(
    janitor: OrganizationCaller,
    account: str,
    detectors: Sequence[Detector[Any]],
    wanted: Sequence[str],
    *,
    prices: Prices,
    pool: ThreadPoolExecutor,
    note: Callable[[str], None],
) -> list[Sweep]:
    """Sweep one account. A role that cannot be assumed is an error of its detector alone."""
    setup = janitor.setup
    sessions: dict[str, boto3.Session] = {}
    refused: dict[str, str] = {}
    for detector in detectors:
        try:
            sessions[detector.name] = janitor.session(account, detector.name)
        except Exception as error:  # it is the error of the detector's sweeps
            refused[detector.name] = unread_sweep_error(error)
    regions = tuple(wanted)
    if sessions:
        enabled = first_enabled_regions(janitor, sessions.values())
        sagemaker = setup.session.get_available_regions("sagemaker", janitor.partition)
        regions = tuple(region for region in wanted or sagemaker if region in enabled)
        if off := [region for region in wanted if region not in enabled]:
            note(f"account {account} has not enabled {', '.join(off)}: nothing is there")
    pace = edge.call_pace()
    pairs = [
        (
            detector,
            Aws(
                sessions[detector.name],
                region=region,
                account=account,
                prices=prices,
                pool=pool,
                attempts=setup.attempts,
                pace=pace,
            ),
        )
        for detector in detectors
        if detector.name in sessions
        for region in regions
    ]
    report = run_pairs(pairs, now=setup.now, policy=setup.settings.policy.dry())
    return [
        *report.sweeps,
        *(
            sweep
            for detector in detectors
            if detector.name in refused
            for sweep in unread_sweeps(account, [detector], regions, error=refused[detector.name])
        ),
    ]


def first_enabled_regions(janitor: OrganizationCaller, sessions: Iterable[boto3.Session]) -> list[str]:
    """Return the enabled regions, by the first role that may ask for them. Raises the last role's error."""
    for session in sessions:
        try:
            return enabled_regions(janitor.client(session, "ec2"))
        except Exception as error:  # another role may be allowed to
            refused = error
    raise refused


def unread_sweeps(
    account: str | None, detectors: Sequence[Detector[Any]], regions: Sequence[str], *, error: str
) -> list[Sweep]:
    """Return sweeps without a result, with *error* as the reason."""
    return [
        Sweep(detector=detector.name, account=account, region=region, mode=Mode.DRY_RUN, error=error)
        for detector in detectors
        for region in regions or (UNKNOWN_REGIONS,)
    ]
