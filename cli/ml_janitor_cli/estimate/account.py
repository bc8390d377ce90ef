"""The account that an estimate asks, and the one resource in it that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import typer

from ml_janitor.aws.account import opened
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Target
from ml_janitor.engine.detector import Detector
from ml_janitor_cli import edge, names
from ml_janitor_cli.credentials import known_caller
from ml_janitor_cli.failures import FailedError, ending_at_once
from ml_janitor_cli.screen import progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account to ask, with the operator's settings and the time."""

    aws: Aws
    settings: Settings
    now: datetime

    def detector[D: Detector[Any]](self, kind: type[D]) -> D:
        """The detector of *kind*, as the operator set it."""
        return cast("D", self.settings.detector(kind))

    def target(self, name: str, kind: str) -> Target:
        """The resource of *kind* called *name*. Raises Refused with the nearest name, and FailedError."""
        with progress(f"looking for {name}"):
            known = names.resources_like(self.aws, name, {kind})
        found = next((one for one in known.items if one.name == name), None)
        if found is not None:
            return Target(
                arn=found.arn,
                name=name,
                kind=kind,
                account=self.aws.account,
                region=self.aws.region,
                created=None,
            )
        if known.error is not None:
            raise FailedError(f"{name} could not be looked for: {known.error}")
        near = names.nearest(name, known.items)
        hint = f"did you mean {near.name}?" if near else "--region says where else to look"
        raise edge.Refused(f"no {kind} in {self.aws.region} is called {name}; {hint}")


@contextmanager
def account(
    ctx: typer.Context,
    region: str | None,
    profile: str | None,
    config: Path | None,
    overrides: list[str] | None,
) -> Iterator[Account]:
    """The account of the credentials, in *region*."""
    setup = edge.setup(ctx, config, overrides, profile=profile)
    where = setup.regions([region] if region else None)[0]
    with ending_at_once():
        with progress("identifying the account"):
            known = known_caller(setup.session, where, setup.attempts).account
        with opened(
            setup.session, account=known, regions=[where], attempts=setup.attempts, pace=edge.pace()
        ) as accounts:
            yield Account(aws=accounts[0], settings=setup.settings, now=setup.now)
