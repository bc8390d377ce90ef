"""The options of every command on the ledger: the table, the region, the profile, the settings, the time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Concatenate

import typer

from ml_janitor.config.settings import Settings
from ml_janitor_cli import edge
from ml_janitor_cli.failures import one_line_about
from ml_janitor_cli.ledger_session import LedgerSession, ledger_session

AccountId = Annotated[
    str | None,
    typer.Option("--account", metavar="ID", help="Which account of [organization]; else your own."),
]
AccountProfile = Annotated[
    str | None,
    typer.Option(
        "--account-profile",
        metavar="NAME",
        help="The AWS profile to change that account with; its own roles only read.",
    ),
]
Now = Annotated[str | None, typer.Option(metavar="TIME", help="Take this time for now (ISO 8601).")]


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
        The opened ledger; a call that fails there ends the command with one line about *what*.

        *region* and *account* are where to look unless an option says otherwise, *undo_key* signs and
        verifies records.
        Raises Refused and FailedError.
        """
        where = self.region or ([region] if region else None)
        with (
            one_line_about(what),
            ledger_session(
                self.settings,
                table=self.table,
                region=where,
                profile=self.profile,
                account=self.account or account or None,
                account_profile=self.account_profile,
                now=self.now,
                undo_key=undo_key,
            ) as at,
        ):
            yield at


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
    """*command* as typer takes it: with the options that its LedgerAccess is made of."""
    shared = signature(_shared, eval_str=True).parameters
    _, *own = signature(command, eval_str=True).parameters.values()

    def opened(**given: Any) -> int:
        access = _shared(**{name: given.pop(name) for name in shared})
        try:
            return command(access, **given)  # type: ignore[call-arg]
        except KeyboardInterrupt:
            raise edge.Interrupted("interrupted") from None

    ctx, *options = shared.values()
    parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in (ctx, *own, *options)]
    opened.__name__, opened.__doc__ = command.__name__, command.__doc__
    opened.__annotations__ = {one.name: one.annotation for one in parameters}
    opened.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return opened
