"""`janitor bill` against the sandbox: the answer to the Monday question, and what is said without one."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commands import Janitor, Ran, refused
from conftest import ACCOUNT, REGION, seed_demo
from fakes import result_of, target_at
from ml_janitor.bill.reading import COST_READS
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from reports import schema_problems
from standin import own_signatures
from tables import cases

DAY = timedelta(days=1)
TODAY = datetime(2026, 10, 6, tzinfo=UTC)
TAGS = ("project", "owner", "environment", "team", "cost-center")
HERE = ("--region", REGION)


@pytest.fixture
def billed(box: Control) -> Control:
    """An account of 90 days with all its tags active, in which hosting doubled 30 settled days ago."""
    box.set_bill(tags=list(TAGS), since=f"{TODAY - 90 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    charge(box, days=65, usd=650, tags=dict.fromkeys(TAGS, "x"))
    charge(box, days=31, usd=310, tags=dict.fromkeys(TAGS, "x"))
    return box


def charge(
    box: Control, usage: str = "USE1-Host:ml.g5.xlarge", *, days: int, usd: float, **more: Any
) -> None:
    line = {
        "service": "Amazon SageMaker",
        "usage_type": usage,
        "start": f"{TODAY - days * DAY:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{TODAY:%Y-%m-%dT%H:%M:%SZ}",
        "usd": usd,
        "quantity": days * 10,
    }
    box.charge([line | more])


def valid(read: dict[str, Any]) -> dict[str, Any]:
    """The document, which fits the schema."""
    assert schema_problems("bill", read) == []
    return read


def lines(ran: Ran) -> str:
    return " ".join(ran.out.split())


# --- the Monday question ----------------------------------------------------------------------


def test_the_jump_of_the_demo_is_explained_with_owners_and_dollars(janitor: Janitor, box: Control) -> None:
    seed_demo(box)

    ran = janitor("bill", *HERE)

    assert (ran.status, ran.err) == (0, "")
    text = lines(ran)
    change, share = re.findall(r"\$76,\d{3} in 30 days: \+\$(\d\d,\d{3}) \(\+(\d+) %\)", text)[0]
    assert (20_000 < int(change.replace(",", "")) < 21_000, share) == (True, "37")
    assert re.search(
        r"Largest cause: \+\$13,9\d\d training job llm-pretrain-7b-0924, hung since 09-25 "
        r"\(\$15,511 until now\), omar.haddad. Next step: ask omar.haddad to end it",
        text,
    )
    assert re.search(r"\+\$3,7\d\d endpoint support-assistant-rag new since 08-27, in use aisha.bello", text)
    assert "not explained" not in text
    moved = ran.out.partition("Why it moved")[2].partition("\n\n")[0]
    shown = re.findall(r"^ +([-+]\$[\d,.]+) ", moved, re.MULTILINE)
    assert sum(float(one.replace("$", "").replace(",", "")) for one in shown) == pytest.approx(
        int(change.replace(",", "")), abs=len(shown)
    )
    assert re.search(r"endpoint image-embeddings-v2 \$1,0\d\d [\d,]+ requests \$0\.4\d per 1,000", text)
    assert re.search(r"endpoint ranker-bert-large-canary \$3,5\d\d no request", text)
    assert re.search(r"training jobs catalog-vit-large \$4,[56]\d\d 9 jobs \$5\d\d each", text)
    assert "Without project $" in text
    assert "October will come to $" in text
    assert "8 requests to Cost Explorer, $0.08" in text
    assert (
        "Skipped to stay within 8 requests: the bill by environment, the bill by team, "
        "the bill by cost-center." in text
    )


# --- what is shown ----------------------------------------------------------------------------


@pytest.mark.usefixtures("billed")
def test_spans_of_ones_own(janitor: Janitor) -> None:
    ran = janitor("bill", "--days", "7", "--against", "2026-08-20", *HERE)

    assert ran.headline == "$140 in 7 days: +$70.00 (+100 %)."
    assert "2026-09-28 to 2026-10-04, compared with 2026-08-20 to 2026-08-26" in lines(ran)


# --- for programs and pages -------------------------------------------------------------------


def test_the_document_fits_its_schema_and_nothing_is_changed(janitor: Janitor, billed: Control) -> None:
    billed.clear_calls()
    ran = janitor("bill", "--json", "--by", "team", *HERE)

    read = valid(ran.document)
    assert (ran.status, ran.err) == (0, "")
    assert (read["usd"], read["movement"]["change_usd"], read["movement"]["share"]) == (600, 300, 1)
    assert read["table"] == {"by": "team", "lines": [{"name": "x", "usd": 600, "usd_before": 300}]}
    assert (read["missing"], read["requests_usd"]) == ([], 0.08)
    reading = re.compile(r":(Batch)?(Describe|Get|List|Lookup|Search)")
    assert [call for call in billed.calls() if not reading.search(call)] == []
    asked = {call for call in billed.calls() if call.startswith("ce:")}
    assert asked <= {grant.action for grant in COST_READS}


@pytest.mark.usefixtures("table", "billed")  # in this order: `table` may restore a sandbox without a bill
def test_what_was_saved_in_every_region_is_added_up(janitor: Janitor, table: Table) -> None:
    actions, ago = Actions(table, own_signatures()), TODAY - 3 * DAY
    for region in (REGION, "eu-west-1"):
        lamp = result_of("lamp", detector="idle-endpoints", target=target_at("endpoint/lamp", region=region))
        actions.acted(actions.begin(lamp, {}, warned=ago, now=ago), ago)

    where = ("--region", "eu-west-1", "--table", table.name)
    one, both = (janitor("bill", "--json", *more, *where).document["saved"] for more in ((), HERE))
    assert both["this_month_usd"] == pytest.approx(2 * one["this_month_usd"], abs=0.02)
    assert one["this_month_usd"] > 1


def test_what_is_charged_back_is_the_whole_bill(janitor: Janitor, billed: Control, tmp_path: Path) -> None:
    charge(billed, days=31, usd=34.4441, tags={"cost-center": "=HYPERLINK(1)"})
    charge(billed, "TimedStorage-ByteHrs", days=31, usd=10.3333, service="Amazon Simple Storage Service")

    ran = janitor("bill", "--csv", "out.csv", "--html", "out.html", *HERE)

    assert (ran.status, ran.err) == (0, "")
    assert ran.out.endswith("Written: out.html, out.csv\n")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [(row["cost-center"], row["service"], row["usd"]) for row in rows] == [
        ("'=HYPERLINK(1)", "Amazon SageMaker", "33.33"),
        ("x", "Amazon SageMaker", "600.00"),
        ("(untagged)", "Amazon Simple Storage Service", "10.00"),
    ]
    assert "$643 in 30 days" in (tmp_path / "out.html").read_text()


def test_an_unreadable_chargeback_writes_no_file(janitor: Janitor, tmp_path: Path, billed: Control) -> None:
    billed.fault("ce", "GetCostAndUsage", DENY, times=0, match="cost-center")

    ran = janitor("bill", "--csv", "out.csv", *HERE)

    assert ran.status == 1
    assert "out.csv was not written: the bill by cost-center could not be read" in ran.err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.usefixtures("billed", "notebooks")
def test_an_audit_says_above_its_findings_why_the_bill_moved(janitor: Janitor, tmp_path: Path) -> None:
    ran = janitor("audit", "idle-notebooks", "--bill", "--html", "report.html", *HERE)

    assert ran.status == 0
    assert re.match(r"Bill of account \d+  \$1,018 in 30 days: \+\$718 \(\+239 %\)\.", ran.out)
    assert re.search(r"\+\$1\d\d  notebook instance left-on +idle since(.|\n)*ML Janitor  1 finding", ran.out)
    assert f"Bill of account {ACCOUNT}: $1,018" in (tmp_path / "report.html").read_text()


def test_an_audit_goes_on_without_the_bill(janitor: Janitor, box: Control, notebooks: Control) -> None:
    notebooks.set_bill(enabled=False)
    box.set_bill(enabled=False)

    ran = janitor("audit", "idle-notebooks", "--bill", *HERE)

    assert ran.status == 0
    assert "The bill could not be read" in ran.out
    assert "Cost Explorer is not enabled in this account" in lines(ran)
    assert "left-on" in ran.out


# --- what is missing --------------------------------------------------------------------------

DENY = "deny"


def test_a_bill_that_cannot_be_read_is_no_zero(janitor: Janitor, billed: Control) -> None:
    billed.fault("ce", "GetCostAndUsage", DENY, times=0)

    ran = janitor("bill", *HERE)

    assert ran.status == 1
    assert ran.headline == "The bill could not be read."
    assert "the credentials lack ce:GetCostAndUsage" in lines(ran)
    assert "$0" not in ran.out


def test_a_young_account_compares_nothing_and_has_no_forecast(janitor: Janitor, box: Control) -> None:
    box.set_bill(tags=list(TAGS), since=f"{TODAY - 9 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    charge(box, days=9, usd=90, tags=dict.fromkeys(TAGS, "x"))

    ran = janitor("bill", *HERE)

    assert ran.status == 0
    assert ran.headline == "$80.00 in 30 days; nothing to compare them with."
    assert ran.out.splitlines()[1:3] == [
        "Nothing moved more than usual on Sunday 10-04.",
        "Largest: hosting $80.00.",
    ]
    assert "No forecast: AWS has too little history" in lines(ran)
    assert "The account was first charged on 2026-09-27" in lines(ran)
    assert "hosting $80.00" in lines(ran)


# --- how it is given --------------------------------------------------------------------------


@pytest.mark.usefixtures("billed")
@cases(
    "args, text",
    (("--by", "projct"), "did you mean project?"),
    (("--json", "--csv", "none/such.csv"), "cannot be written"),
    (("--csv", "x.csv", "--set", "bill.tags.cost-center="), "costs on: tags.cost-center in [bill]"),
    (("--against", "2026-09-20"), "it has to end before the last 30 days begin"),
    (("--days", "0"), "days"),
    (("--set", "bill.max_requests=0"), "bill.max_requests: expected a whole number from 1 to 100"),
    (("--set", "bill.max_reqests=3"), "did you mean max_requests?"),
)
def test_a_wrong_option_is_one_line(janitor: Janitor, args: tuple[str, ...], text: str) -> None:
    assert text in refused(janitor("bill", *HERE, *args))


@pytest.mark.usefixtures("billed")
@cases(
    "command, variable",
    (["bill", "--table", "no-such-table"], ""),
    (["bill"], "no-such-table"),
    (["audit", "idle-notebooks", "--bill"], "no-such-table"),
)
def test_a_ledger_that_is_not_there_is_one_line(
    janitor: Janitor, monkeypatch: pytest.MonkeyPatch, command: list[str], variable: str
) -> None:
    monkeypatch.setenv("JANITOR_TABLE", variable)

    ran = janitor(*command, *HERE)

    assert (ran.status, ran.out) == (1, "")
    assert "no table of that name" in ran.err
