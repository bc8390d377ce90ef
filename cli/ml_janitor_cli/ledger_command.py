"""The options of every command on the ledger: the table, the region, the profile, the settings, the time."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Concatenate

import boto3
import typer

from ml_janitor.aws.account import open_regions
from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.organization import open_member_session, unread_sweep_error
from ml_janitor.config.member_roles import member_role_name, role_arn
from ml_janitor.config.settings import Settings
from ml_janitor.ledger.macs import KmsMacs, NoUndoKey
from ml_janitor.ledger.runs import LatestRuns
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge
from ml_janitor_cli.credentials import require_caller
from ml_janitor_cli.failures import FailedError, one_line_errors
from ml_janitor_cli.ledger_session import TABLE_VARIABLE, CallWindow, LedgerSession, principal_name

AccountId = Annotated[
    str | None, edge.option("ID", "Which account of [organization]; else your own.", "--account")
]
AccountProfile = Annotated[
    str | None,
    edge.option(
        "NAME", "The AWS profile to change that account with; its own roles only read.", "--account-profile"
    ),
]
NowOption = Annotated[str | None, edge.option("TIME", "Take this time for now (ISO 8601).")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAccess:
    """The options of a command on the ledger; AWS has not been asked anything yet."""

    settings: Settings
    table: str | None
    region: Sequence[str] | None
    profile: str | None
    account: str | None
    account_profile: str | None
    now: str | None

    @contextmanager
    def open(
        self, what: str, *, region: str = "", account: str = "", undo_key: str | None = None
    ) -> Iterator[LedgerSession]:
        """
        Open the ledger; a call that fails there ends the command with one line about *what*.

        *region* and *account* are where to look unless an option says otherwise: the account of
        --account-profile, else the ledger's own. *undo_key* signs and verifies records. Raises Refused, and
        FailedError, also without credentials.
        """
        with one_line_errors(what), ExitStack() as stack:
            where = self.region or ([region] if region else None)
            yield self._session(stack, where, self.account or account or None, undo_key)

    def _session(
        self, stack: ExitStack, region: Sequence[str] | None, account: str | None, undo_key: str | None
    ) -> LedgerSession:
        name = self.table or os.environ.get(TABLE_VARIABLE)
        if not name:
            raise edge.CommandRefusedError(
                f"no ledger: give --table NAME or set {TABLE_VARIABLE}; the deployment's output "
                f"LedgerTable names it"
            )
        settings, now = self.settings, edge.judging_time(self.now)
        watch, attempts = CallWindow(clock=edge.command_clock(self.now)), edge.read_attempts()
        session = edge.open_session(self.profile)
        home = session.region_name or edge.choose_regions(region, settings, session)[0]
        caller = require_caller(session, home, attempts)
        client = make_client(session, "dynamodb", home, attempts)
        inside = session
        if self.account_profile:
            inside = edge.open_session(self.account_profile)
            theirs = require_caller(inside, home, attempts).account
            if account not in {None, theirs}:
                raise edge.CommandRefusedError(
                    f"--account-profile {self.account_profile} is of account {theirs}, not of {account}"
                )
            account = theirs
        whose = account or caller.account
        if whose != caller.account and not settings.organization.used:
            raise edge.CommandRefusedError(
                f"--account {whose}: [organization] in the settings names no accounts"
            )
        table = Table(client, name)
        if account and not region:
            region = settings.organization.regions or run_regions(settings, table)
        regions = edge.choose_regions(region, settings, session)

        def within(own: boto3.Session) -> Sequence[Aws]:
            opening = open_regions(
                own,
                account=whose,
                regions=regions,
                attempts=attempts,
                pace=edge.call_pace(),
                has_time=watch.has_time,
                prices_from=None if own is session else session,
            )
            return stack.enter_context(opening)

        @cache
        def through_role(detector: str) -> Sequence[Aws]:
            partition = session.get_partition_for_region(home)
            role = role_arn(settings, member_role_name(detector), account=whose, partition=partition)
            sts = make_client(session, "sts", home, attempts)
            try:
                return within(open_member_session(sts, session, role, settings.organization.external_id))
            except Exception as error:  # in one line, with its remedy
                raise FailedError(f"account {whose} {unread_sweep_error(error)}") from error

        own = whose == caller.account or self.account_profile
        return LedgerSession(
            settings=settings,
            account=whose,
            regions=regions,
            opened=within(inside) if own else (),
            through_role=through_role,
            table=table,
            who=principal_name(caller.arn),
            now=now,
            watch=watch,
            macs=KmsMacs(make_client(session, "kms", home, attempts), undo_key) if undo_key else NoUndoKey(),
        )


def run_regions(settings: Settings, table: Table) -> list[str]:
    """Return the regions in which the latest runs of all detectors over the organization looked."""
    lasts = [
        last for detector in settings.registry if (last := LatestRuns(table).last(detector.name)) is not None
    ]
    return sorted({region for last in lasts for region in last.regions})


def _shared(  # its parameters are every command's
    ctx: typer.Context,
    *,
    table: edge.TableName = None,
    region: edge.Regions = None,
    profile: edge.Profile = None,
    account: AccountId = None,
    account_profile: AccountProfile = None,
    config: edge.SettingsFile = None,
    now: NowOption = None,
) -> LedgerAccess:
    settings = edge.load_settings(config, (), ctx.obj)
    if account and not re.fullmatch(r"[0-9]{12}", account):
        raise edge.CommandRefusedError(f"--account: expected twelve digits, got {account}")
    return LedgerAccess(
        settings=settings,
        table=table,
        region=region,
        profile=profile,
        account=account,
        account_profile=account_profile,
        now=now,
    )


def ledger_command[**P](command: Callable[Concatenate[LedgerAccess, P], int]) -> Callable[..., int]:
    """Convert *command* for typer: add the options from which its LedgerAccess is made."""
    shared = signature(_shared, eval_str=True).parameters
    _, *own = signature(command, eval_str=True).parameters.values()

    def opened(**given: Any) -> int:
        access = _shared(**{name: given.pop(name) for name in shared})
        try:
            return command(access, **given)  # type: ignore[call-arg]
        except KeyboardInterrupt:
            raise edge.CommandInterruptedError("interrupted") from None

    ctx, *options = shared.values()
    parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in (ctx, *own, *options)]
    opened.__name__, opened.__doc__ = command.__name__, command.__doc__
    opened.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    opened.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return opened
