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

from ml_janitor.aws.account import opened
from ml_janitor.aws.boto_client import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.organization import member_session, not_read
from ml_janitor.config.member_roles import role_arn, role_name
from ml_janitor.config.settings import Settings
from ml_janitor.ledger.macs import KmsMacs, NoKey
from ml_janitor.ledger.runs import Runs
from ml_janitor.ledger.table import Table
from ml_janitor_cli import edge
from ml_janitor_cli.credentials import known_caller
from ml_janitor_cli.failures import FailedError, one_line_about
from ml_janitor_cli.ledger_session import TABLE, LedgerSession, Watch, person

AccountId = Annotated[
    str | None, edge.option("ID", "Which account of [organization]; else your own.", "--account")
]
AccountProfile = Annotated[
    str | None,
    edge.option(
        "NAME", "The AWS profile to change that account with; its own roles only read.", "--account-profile"
    ),
]
Now = Annotated[str | None, edge.option("TIME", "Take this time for now (ISO 8601).")]


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
        with one_line_about(what), ExitStack() as stack:
            where = self.region or ([region] if region else None)
            yield self._session(stack, where, self.account or account or None, undo_key)

    def _session(
        self, stack: ExitStack, region: Sequence[str] | None, account: str | None, undo_key: str | None
    ) -> LedgerSession:
        name = self.table or os.environ.get(TABLE)
        if not name:
            raise edge.Refused(
                f"no ledger: give --table NAME or set {TABLE}; the deployment's output LedgerTable names it"
            )
        settings, now = self.settings, edge.now_from(self.now)
        watch, attempts = Watch(clock=edge.clock_from(self.now)), edge.attempts_from_environment()
        session = edge.session_from(self.profile)
        home = session.region_name or edge.regions_from(region, settings, session)[0]
        caller = known_caller(session, home, attempts)
        client = make_client(session, "dynamodb", home, attempts)
        inside = session
        if self.account_profile:
            inside = edge.session_from(self.account_profile)
            theirs = known_caller(inside, home, attempts).account
            if account not in {None, theirs}:
                raise edge.Refused(
                    f"--account-profile {self.account_profile} is of account {theirs}, not of {account}"
                )
            account = theirs
        whose = account or caller.account
        if whose != caller.account and not settings.organization.used:
            raise edge.Refused(f"--account {whose}: [organization] in the settings names no accounts")
        table = Table(client, name)
        if account and not region:
            region = settings.organization.regions or run_regions(settings, table)
        regions = edge.regions_from(region, settings, session)

        def within(own: boto3.Session) -> Sequence[Aws]:
            opening = opened(
                own,
                account=whose,
                regions=regions,
                attempts=attempts,
                pace=edge.pace(),
                has_time=watch.has_time,
                prices_from=None if own is session else session,
            )
            return stack.enter_context(opening)

        @cache
        def through_role(detector: str) -> Sequence[Aws]:
            partition = session.get_partition_for_region(home)
            role = role_arn(settings, role_name(detector), account=whose, partition=partition)
            sts = make_client(session, "sts", home, attempts)
            try:
                return within(member_session(sts, session, role, settings.organization.external_id))
            except Exception as error:  # in one line, with its remedy
                raise FailedError(f"account {whose} {not_read(error)}") from error

        own = whose == caller.account or self.account_profile
        return LedgerSession(
            settings=settings,
            account=whose,
            regions=regions,
            opened=within(inside) if own else (),
            through_role=through_role,
            table=table,
            who=person(caller.arn),
            now=now,
            watch=watch,
            macs=KmsMacs(make_client(session, "kms", home, attempts), undo_key) if undo_key else NoKey(),
        )


def run_regions(settings: Settings, table: Table) -> list[str]:
    """Return the regions in which the latest runs of all detectors over the organization looked."""
    lasts = [last for detector in settings.registry if (last := Runs(table).last(detector.name)) is not None]
    return sorted({region for last in lasts for region in last.regions})


def _shared(  # its parameters are every command's
    ctx: typer.Context,
    *,
    table: edge.TableName = None,
    region: edge.Regions = None,
    profile: edge.Profile = None,
    account: AccountId = None,
    account_profile: AccountProfile = None,
    config: edge.Config = None,
    now: Now = None,
) -> LedgerAccess:
    settings = edge.settings_from(config, (), ctx.obj)
    if account and not re.fullmatch(r"[0-9]{12}", account):
        raise edge.Refused(f"--account: expected twelve digits, got {account}")
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
            raise edge.Interrupted("interrupted") from None

    ctx, *options = shared.values()
    parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in (ctx, *own, *options)]
    opened.__name__, opened.__doc__ = command.__name__, command.__doc__
    opened.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    opened.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return opened
