"""`janitor doctor --policy`: an audit under exactly this policy is denied nothing, and needs all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

import rarities
from commands import Janitor, Ran
from conftest import ACCOUNT, REGION, seed_demo
from declared import covers, granted, without
from ml_janitor.aws.arns import Arn
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Condition, allow
from ml_janitor_cli.audit_policy import LIMIT, document, policies, size, statements
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET
from ml_janitor_sandbox.iam import IamControl
from ml_janitor_sandbox.server import Sandbox

PERSON = f"arn:aws:iam::{ACCOUNT}:role/auditor"
CONTENTS = f'duplicate-artifacts.read_contents_in=["{MODEL_BUCKET}", "rarities-encrypted"]'

WORLDS: dict[str, tuple[str, ...]] = {"closed": (), "contents": ("--set", CONTENTS)}


@pytest.fixture(scope="module")
def account(_sandbox: Sandbox) -> Iterator[str]:
    """The demo account and its rarities, made once: an audit changes nothing."""
    Control(_sandbox.url).reset()
    seed_demo(Control(_sandbox.url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", _sandbox.url)
        session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
        rarities.seed(session)
        rarities.children(session, Control(_sandbox.url))
        rarities.monitoring(session, Control(_sandbox.url), "churn-xgb-blue")
        rarities.scaling(session, Control(_sandbox.url), "churn-xgb-blue", "AllTraffic")
        rarities.savings_plan(Control(_sandbox.url))
        rarities.traffic(Control(_sandbox.url))
    yield _sandbox.url
    Control(_sandbox.url).reset()


class Person:
    """Somebody at a laptop, whose role holds what a policy says."""

    def __init__(self, url: str, janitor: Janitor, patch: pytest.MonkeyPatch) -> None:
        self.url, self.iam, self.janitor, self.patch = url, IamControl(url), janitor, patch
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_DEFAULT_REGION", REGION)

    def policies(self, *args: str) -> list[dict[str, Any]]:
        """What doctor prints, without credentials and without a call."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            self.patch.delenv(name, raising=False)
        Control(self.url).clear_calls()
        ran = self.janitor("doctor", *args, "--policy")
        assert ran.status == 0
        assert Control(self.url).calls() == {}
        found = ran.document
        assert (ran.err == "") == isinstance(found, dict)
        return found if isinstance(found, list) else [found]

    def does(self, *args: str, role: dict[str, Any]) -> tuple[Ran, list[dict[str, Any]]]:
        """Run a command under *role*: what it printed, and what was asked of IAM."""
        self.iam.enforce({PERSON: role})
        credentials = self.iam.credentials(PERSON)
        for name, value in credentials.items():
            self.patch.setenv(name.upper(), str(value))
        self.iam.forget()
        ran = self.janitor(*args)
        return ran, self.iam.record()


@pytest.fixture
def person(account: str, janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    yield Person(account, janitor, monkeypatch)
    IamControl(account).open()


def role_with(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {"policies": documents, "trust": None}


def denied(record: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["action"], one["resource"]) for one in record if not one["allowed"]}


def one_of_each(audit: Ran) -> list[str]:
    """An ARN of each kind, with and without inference components, of what an audit looked at."""
    found: dict[tuple[str, ...], str] = {}
    for result in audit.document["results"]:
        arn, evidence = result["arn"], result["evidence"]
        parts = arn.split("/")
        shared = any("inference component" in one["signal"] for one in evidence)
        kind = Arn.parse(arn).kind
        found.setdefault((kind, *(parts[3:4] if kind == "app" else ()), "shared" if shared else ""), arn)
    return list(found.values())


READS = {grant.action for one in DETECTORS for grant in one().reads}


def test_an_audit_that_reads_contents_is_denied_nothing(person: Person) -> None:
    """Only duplicates are found by what is in objects."""
    role = role_with(person.policies(*WORLDS["contents"]))

    ran, record = person.does(
        "audit", "duplicate-artifacts", "--json", "--all", *WORLDS["contents"], role=role
    )

    assert ran.status == 0
    assert denied(record) == set()
    assert {len(one["by"]) for one in record} == {1}, "no statement covers what another does"
    contents = {"s3:GetObject", "kms:Decrypt"}
    assert {one.action for one in granted(role)} == READS | contents
    assert contents <= {one["action"] for one in record}


def test_an_audit_and_explanations_use_all_of_it(person: Person) -> None:
    role = role_with(person.policies())
    audit, record = person.does("audit", "--json", "--all", role=role)
    assert audit.status == 0
    assert {len(one["by"]) for one in record} == {1}, "no statement covers what another does"
    assert {one.action for one in granted(role)} == READS

    for arn in one_of_each(audit):
        _, more = person.does("explain", arn, role=role)
        record += more

    assert denied(record) == set()
    asked = {(one["action"], one["resource"]) for one in record}
    assert [one for one in granted(role) if not any(covers(one, use) for use in asked)] == []


def test_doctor_finds_under_it_that_everything_is_allowed(person: Person) -> None:
    ran, _ = person.does("doctor", role=role_with(person.policies()))

    assert ran.headline == "Everything that could be tried is allowed."


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("idle-notebooks",), ()),
        *(
            pytest.param(names, options, marks=pytest.mark.mutants)
            for names in ((), ("duplicate-artifacts",))
            for options in WORLDS.values()
        ),
    ],
)
def test_each_statement_is_missed(person: Person, names: tuple[str, ...], options: tuple[str, ...]) -> None:
    """By the audit, or by the explanation of one thing that it looked at."""
    role = role_with(person.policies(*names, *options))
    audit = ("audit", *names, "--json", "--all", *options)
    complete, _ = person.does(*audit, role=role)
    explain = [("explain", arn, "--json", *options) for arn in one_of_each(complete)]

    for statement in [one for policy in role["policies"] for one in policy["Statement"]]:
        for command in (audit, *explain):
            ran, record = person.does(*command, role=without(role, statement))
            if denied(record):
                break
        assert denied(record), f"nothing needs {statement}"
        assert {action for action, _ in denied(record)} <= set(statement["Action"])
        heard, _ = person.does(*command, role=role)
        assert ran.out != heard.out, f"nobody hears of {denied(record)}"


def test_contents_are_in_it_only_where_the_settings_name_them(person: Person) -> None:
    closed = person.policies()
    (opened,) = person.policies("duplicate-artifacts", "--set", CONTENTS)

    statements = [one for each in closed for one in each["Statement"]]
    assert "s3:GetObject" not in {action for one in statements for action in one["Action"]}
    assert "kms:" not in json.dumps(closed)
    (reading,) = [one for one in opened["Statement"] if "s3:GetObject" in one["Action"]]
    assert reading["Resource"] == [f"arn:aws:s3:::{MODEL_BUCKET}/*", "arn:aws:s3:::rarities-encrypted/*"]
    (decrypting,) = [one for one in opened["Statement"] if "kms:Decrypt" in one["Action"]]
    assert decrypting["Resource"] == [f"arn:aws:kms:{REGION}:*:key/*"]
    assert set(decrypting["Condition"]) == {"StringLike", "ArnLike"}


def test_what_is_over_the_limit_is_divided_and_that_is_on_stderr(person: Person) -> None:
    regions = [f"--region=eu-{side}-{number}" for side in ("west", "south", "north") for number in (1, 2, 3)]

    ran = person.janitor("doctor", "--policy", *regions)

    several = ran.document
    assert len(several) > 1
    assert all(size(one) <= LIMIT for one in several)
    assert f"{len(several)} policies" in ran.err
    assert "Attach all of them" in ran.err
    one_by_one = {region for region in ("eu-west-1", "eu-north-3") if region in ran.out}
    assert one_by_one == {"eu-west-1", "eu-north-3"}


def test_a_statement_that_is_over_the_limit_itself_is_divided() -> None:
    grants = [allow("s3:GetObject", on=f"arn:aws:s3:::{'b' * 60}-{number}/*") for number in range(200)]

    made = policies(grants, {"eu-west-1": "aws"})

    assert all(size(one) <= LIMIT for one in made)
    on = [arn for one in made for each in one["Statement"] for arn in each["Resource"]]
    assert sorted(on) == sorted(grant.on for grant in grants)


def test_another_partition() -> None:
    when = (Condition("ArnLike", "kms:EncryptionContext:aws:s3:arn", ("arn:aws:s3:::m/*",)),)
    grants = [allow("s3:GetObject", on="arn:aws:s3:::m/*"), allow("kms:Decrypt", on="key/*", when=when)]

    made = document(list(statements(grants, {"cn-north-1": "aws-cn"})))

    assert [one["Resource"] for one in made["Statement"]] == [
        ["arn:aws-cn:kms:cn-north-1:*:key/*"],
        ["arn:aws-cn:s3:::m/*"],
    ]
    assert made["Statement"][0]["Condition"] == {
        "ArnLike": {"kms:EncryptionContext:aws:s3:arn": ["arn:aws-cn:s3:::m/*"]}
    }
