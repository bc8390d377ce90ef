"""The bill of an organization over HTTP: whose it is, which account jumped, and what is behind it there."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, NOW, REGION
from fakes import waste
from ml_janitor import handlers
from ml_janitor.aws.client import Aws
from ml_janitor.bill.report import ARCHIVED_BILL, BillReport
from ml_janitor.config.member_roles import member_role_name, sweep_role_name
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Sweep
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.latest import RunAccount, RunLists
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET
from ml_janitor_sandbox.iam import IamControl
from ml_janitor_sandbox.slack import SlackControl
from organization import Organization, Roles, act_as_function, begin_run, organization_section
from reports import result
from sagemaker_requests import configure, hosting
from standin import WITH_SLACK, Context, event

pytestmark = pytest.mark.usefixtures("log")

TODAY = datetime(2026, 10, 6, tzinfo=UTC)
TAGS = ("project", "owner")
ALONE = 'digest_schedule = "cron(0 20 * * ? *)"\n'
BILL = "[bill]\nenabled = true\n"
OFF = "".join(
    f"[detectors.{one.name}]\nenabled = false\n" for one in DETECTORS if one.name != "idle-endpoints"
)
HOME = ("ce:*", "dynamodb:*", "s3:*", "secretsmanager:*", "sts:AssumeRole")

type Write = Callable[..., Settings]


def charge(box: Control, account: str, *, days: int, usd: float, **more: Any) -> None:
    """So many dollars over the last *days* of *account*."""
    line = {
        "service": "Amazon Simple Storage Service",
        "usage_type": "TimedStorage-ByteHrs",
        "unit": "GB-Mo",
        "start": f"{TODAY - days * DAY:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{TODAY:%Y-%m-%dT%H:%M:%SZ}",
        "usd": usd,
        "quantity": days * 10,
    }
    box.charge([line | more], account=account)


def serve(session: boto3.Session, project: str, kind: str = "ml.m5.xlarge") -> None:
    """An endpoint `ranker`, as there is one in more than one account."""
    sagemaker: Any = session.client("sagemaker")
    configure(sagemaker, hosting("ranker", kind))
    sagemaker.create_endpoint(
        EndpointName="ranker", EndpointConfigName="ranker", Tags=[{"Key": "project", "Value": project}]
    )


@pytest.fixture
def made(box: Control, deployed: SlackControl) -> Organization:  # noqa: ARG001 - it makes the deployment
    """
    Three accounts of 70 days: each pays for storage, two have an endpoint `ranker`.

    That of research is as old as the account, that of serving four days.
    """
    organization = Organization.made(box.url, ["research", "serving", "archive"])
    with box.at(NOW - 70 * DAY):
        serve(organization.within(organization.members[0]), "churn")
    with box.at(NOW - 4 * DAY):
        serve(organization.within(organization.members[1]), "fraud", "ml.m5.12xlarge")
    for account, usd in zip(organization.members, (70, 140, 210), strict=True):
        charge(box, account, days=70, usd=usd)
    charge(box, ACCOUNT, days=70, usd=7000)
    box.set_bill(tags=list(TAGS), since=f"{TODAY - 90 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    return organization


@pytest.fixture
def settings(made: Organization, tmp_path: Path) -> Write:
    """Write janitor.toml: `[organization]`, *changed*."""

    def write(bill: str = BILL, **changed: Any) -> Settings:
        file = tmp_path / "janitor.toml"
        file.write_text(f"{WITH_SLACK}{ALONE}{bill}{OFF}{organization_section(made.table(**changed))}")
        return Settings.load(files=[file])

    write()
    return write


@pytest.fixture
def listed(made: Organization, table: Table) -> None:
    """A detector's run has listed the accounts."""
    found = tuple(
        RunAccount(account, (REGION,), name)
        for account, name in zip(made.members, ("research", "serving", "archive"), strict=True)
    )
    lists = RunLists(boto3.client("s3", region_name=REGION), BUCKET, table)
    begin_run(lists, table, "idle-endpoints", NOW - DAY, found)


@pytest.fixture
def enforced(
    made: Organization, settings: Write, box: Control, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., IamControl]]:
    """The function runs under its role, and accounts grant what the real template does, but for some."""

    def enforce(*, without: tuple[str, ...] = ()) -> IamControl:
        roles: Roles = {}
        for account in made.members:
            roles |= made.granted(settings(), account) if account not in without else {}
        return act_as_function(monkeypatch, box.url, sweep_role_name("bill"), HOME, roles)

    yield enforce
    IamControl(box.url).open()


def said(deployed: SlackControl, number: int = 0) -> str:
    message = deployed.messages()[number]
    return "\n".join(block["text"]["text"] for block in message["blocks"] if "text" in block)


def kept(answer: dict[str, Any]) -> BillReport:
    body = boto3.client("s3", region_name=REGION).get_object(
        Bucket=BUCKET, Key=answer["report"].removeprefix(f"s3://{BUCKET}/")
    )["Body"]
    return ARCHIVED_BILL.validate_json(body.read()).report


@pytest.mark.usefixtures("listed")
def test_the_account_that_jumped_is_first_and_says_what_ran_there(
    made: Organization, enforced: Callable[..., IamControl], settings: Write, deployed: SlackControl
) -> None:
    iam = enforced()
    answer = handlers.bill(event("scheduled"), Context())

    research, serving, _ = made.members
    text = said(deployed)
    ranker = f"+$191: endpoint ranker in account {serving}, new since 10-02"
    for lines in (
        [
            "*Bill of 3 accounts:* $536 in 30 days: +$191 (+55 %).",
            f"Largest cause: {ranker.replace(':', '')}.",
        ],
        [
            "*Sunday 10-04:* $77.88, +$66.36 (+576 %) against 09-27",
            "*October to 10-04:* $237, +$191 (+414 %)",
        ],
        [
            "*By account, 30 days:*",
            f"\u2022 serving ({serving}): before $60.00, now $251, change +$191 (+318 %)",
            f"\u2022 research ({research}): before $",
        ],
        ["*Why it moved in 30 days:* $346 to $536, +$191 (+55 %)", f"\u2022 {ranker}"],
    ):
        assert "\n".join(lines) in text
    assert "not the whole bill" not in text
    report = kept(answer)
    assert report.main is not None
    assert sum(one.usd for one in report.main.movers) == report.main.change
    assert report.bill.total(report.bill.whole) == sum(one.usd for one in report.bill.by_account)
    assert answer["requests"] == 10
    record = iam.record()
    assert all(one["allowed"] for one in record)
    role = f"arn:aws:iam::{serving}:role/{member_role_name('bill')}"
    assert [one["resource"] for one in record if one["action"] == "sts:AssumeRole"] == [role]
    assert {one["role"] for one in record if one["action"].startswith("sagemaker:")} == {role}
    settings(regions=["eu-west-1"])
    handlers.bill({"time": "2026-10-06T02:50:00Z"}, Context())
    assert all(one["action"] != "sts:AssumeRole" for one in iam.record()[len(record) :])


@pytest.mark.usefixtures("listed")
def test_where_the_role_is_missing_the_ledger_says_what_it_knows(
    made: Organization, enforced: Callable[..., IamControl], deployed: SlackControl, aws: Aws, table: Table
) -> None:
    serving = made.members[1]
    found = [
        replace(one, target=replace(one.target, arn=one.target.arn.replace(home, serving), account=serving))
        for one in (
            result("idle-endpoints", "ranker", waste("170")),
            result("idle-endpoints", "pod", waste(None)),
        )
        for home in (one.target.account,)
    ]
    swept = Sweep(
        detector="idle-endpoints", account=serving, region=REGION, mode=Mode.DRY_RUN, results=tuple(found)
    )
    Ledger(table).record(aws, swept, NOW - DAY)
    enforced(without=(serving,))

    handlers.bill(event("scheduled"), Context())

    text = said(deployed)
    assert (
        f"+$191 hosting USE1-Host:ml.m5.12xlarge of account {serving}, 69 instance-hours, none before" in text
    )
    assert (
        f"What ran in {serving} is not all known, so less is explained: could not be read: its role cannot "
        "be taken on"
    ) in text
    assert "`janitor doctor --organization` says what mends it" in text
    assert "the ledger has 2 open findings there, at least $170 a month: ranker, pod" in text


def test_the_bill_of_a_member_is_called_that_and_never_the_whole(
    box: Control, deployed: SlackControl, tmp_path: Path
) -> None:
    """Its payer is another account: Cost Explorer shows it no charge of the third one."""
    payer, other = "210987654321", "333333333333"
    box.set_bill(account=payer, members=[ACCOUNT, other], tags=["project"])
    for account in (ACCOUNT, other):
        charge(box, account, days=70, usd=70)
    table = Organization(url=box.url, id="o-a1b2c3d4e5", members=(), units={}).table(
        all_accounts=False, without=[], accounts=[ACCOUNT, other]
    )
    file = tmp_path / "janitor.toml"
    file.write_text(f"{WITH_SLACK}{ALONE}{BILL}{organization_section(table)}")
    handlers.bill(event("scheduled"), Context())

    text = said(deployed)
    assert f"*Bill of account demo ({ACCOUNT}) alone:* $30.00 in 30 days" in text
    assert (
        f"This is not the whole bill: Cost Explorer shows account {ACCOUNT} no charge of {other}. A "
        "management account sees all accounts of its organization, a member itself alone. Deploy the janitor "
        "in the management account."
    ) in text
    file.write_text(file.read_text().replace(f'["{ACCOUNT}", "{other}"]', f'["{other}"]'))
    answer = handlers.bill({"time": "2026-10-06T02:50:00Z"}, Context())

    assert (answer["charges"], answer["requests"]) == (0, 2)
    unread = "*Bill of the organization:* The bill could not be read.\nThis is not the whole bill"
    assert any(unread in said(deployed, number) for number in (0, 1))


@pytest.mark.parametrize("named", ["accounts", "units"])
def test_before_any_run_named_accounts_have_a_bill_and_those_of_units_none(
    named: str, made: Organization, settings: Write, deployed: SlackControl
) -> None:
    chosen: dict[str, Any] = {"units": ["ou-ab12-c3d4e5f6"]}
    if named == "accounts":
        chosen = {"accounts": list(made.members[:2])}
    settings(all_accounts=False, without=[], **chosen)

    answer = handlers.bill(event("scheduled"), Context())

    text = said(deployed)
    if named == "accounts":
        assert "*Bill of 2 accounts:*" in text
        assert f"serving ({made.members[1]})" in text, "as Cost Explorer calls it"
        assert made.members[2] not in text
    else:
        assert (answer["requests"], answer["charges"]) == (0, 0)
        assert "no run has listed the accounts of [organization] yet" in text
