"""Somebody at a laptop, whose role holds what `janitor doctor --policy` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

import commands
from commands import Janitor
from conftest import ACCOUNT
from declared import granted
from hosted import Ran, Roles
from ml_janitor.detectors import DETECTORS
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET
from ml_janitor_sandbox.iam import IamControl
from plays.dry import one_of_each
from recorder import Missed, Recording, Step, Wanted

PERSON = f"arn:aws:iam::{ACCOUNT}:role/auditor"
CONTENTS = f'duplicate-artifacts.read_contents_in=["{MODEL_BUCKET}", "rare-encrypted"]'
WITH_CONTENTS = ("--set", CONTENTS)
OPENS = {"s3:GetObject", "kms:Decrypt"}
"""What only the contents of objects need."""

READS = {grant.action for one in DETECTORS for grant in one().reads}


class Person:
    """Types commands under the policy for detectors of these *names*, or all, with these *options*."""

    def __init__(self, box: Control, janitor: Janitor, patch: pytest.MonkeyPatch) -> None:
        self.url, self.iam, self.janitor, self.patch = box.url, IamControl(box.url), janitor, patch
        self.policies: list[dict[str, Any]] = []
        self.ran = commands.Ran(0, "", "")

    def prints(self, *args: str) -> list[dict[str, Any]]:
        """What doctor prints, without credentials and without a call: from now on that is the policy."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            self.patch.delenv(name, raising=False)
        Control(self.url).clear_calls()
        ran = self.janitor("doctor", *args, "--policy")
        assert ran.status == 0
        assert Control(self.url).calls() == {}
        found = ran.document
        assert (ran.err == "") == isinstance(found, dict)
        self.policies = found if isinstance(found, list) else [found]
        return self.policies

    def roles(self) -> Roles:
        return {PERSON: {"policies": self.policies, "trust": None}}

    def role_of(self, _: str) -> str:
        return PERSON

    def enforce(self, roles: Roles | None = None) -> None:
        self.iam.enforce(self.roles() if roles is None else roles)

    def run(self, name: str, asked: tuple[str, ...]) -> Ran:
        """One command; what it printed is its log."""
        for key, value in self.iam.credentials(PERSON).items():
            self.patch.setenv(key.upper(), str(value))
        self.iam.forget()
        self.ran = self.janitor(name, *asked)
        return Ran.of(PERSON, self.iam.record(), answer={"status": self.ran.status}, log=self.ran.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """
    An audit by detectors of these *names*, or all, and an explanation of one of each kind that it looked at.

    Its policy is for *allowed* detectors. Of a policy for more than it does, only the *actions* are needed.
    """

    names: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    actions: frozenset[str] = frozenset()
    waste: tuple[str, ...] = ()
    idle: frozenset[tuple[str, str]] = frozenset()

    def steps(self, person: Person) -> Iterator[Step]:
        yield Step(function="audit", event=lambda _: (*self.names, "--json", "--all", *self.options))
        if not self.actions:
            for arn in one_of_each([person.ran.out]).values():
                yield Step(function="explain", event=partial(self._about, arn))

    def _about(self, arn: str, _: Person) -> tuple[str, ...]:
        return (arn, "--json", *self.options)

    def wanted(self, person: Person, _: Recording) -> list[Wanted]:
        held = granted(person.roles()[PERSON])
        needs = {one for one in held if not self.actions or one.action in self.actions}
        return [Wanted(name="person", role=PERSON, needs=needs, also=held - needs, merged=True)]

    def check(self, person: Person, recording: Recording) -> None:
        """The policy is that of what is read, and no answer was half of one."""
        assert recording[0][1].answer == {"status": 0}
        reads = {
            grant.action
            for one in DETECTORS
            if not self.allowed or one.name in self.allowed
            for grant in one().reads
        }
        assert {one.action for one in granted(person.roles()[PERSON])} == reads | (
            OPENS if self.options else set()
        )

    def heard(self, _: Person, one: Missed) -> bool:
        """What it prints is not what it prints with all of the policy."""
        return one.ran.log != one.complete.log
