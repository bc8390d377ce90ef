"""`janitor explain` against the sandbox: every signal, every step, and the verdict."""

import json
import random
import re
from datetime import timedelta
from typing import Any

import boto3
import pytest

from commands import Janitor, refused
from conftest import ACCOUNT, NOW, REGION, seed_demo
from ml_janitor.config.settings import Settings
from ml_janitor.engine.run import sweep_region
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from sagemaker_requests import training_request
from samples import SEED
from tables import cases

SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"


def notebook(name: str) -> str:
    return f"{SAGEMAKER}:notebook-instance/{name}"


# --- found, kept, exempt, gone -----------------------------------------------------------------------


def test_a_finding_shows_signals_with_sources_then_steps_then_what_would_be_done(
    notebooks: Control, janitor: Janitor
) -> None:
    notebooks.clear_calls()
    ran = janitor("explain", notebook("left-on"))
    assert all(re.match(r"\w+:(List|Describe|Get|Lookup|Search)", call) for call in notebooks.calls())

    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert re.fullmatch(r"idle-notebooks +found, likely", next(li for li in lines if "idle-notebooks" in li))
    assert re.search(r"status +InService +sagemaker:DescribeNotebookInstance\n", ran.out)
    assert re.search(r"last line in the Jupyter log +2026-09-27T03:00:00Z +logs:GetLogEvents\n", ran.out)
    assert re.search(r"tags +owner=maria +sagemaker:ListTags\n", ran.out)
    assert "1 it is InService 2 the last sign of work was a line in its Jupyter log 9 days ago" in ran.flat
    assert "4 found, likely: the last sign of work" in ran.flat
    assert "Cost: $146 a month" in ran.flat
    assert "Proposed: stop the notebook instance" in ran.flat
    order = [ran.out.index(part) for part in ("  status ", "  1  it is InService", "Proposed:")]
    assert order == sorted(order)


def test_a_deleted_resource_is_known(notebooks: Control, janitor: Janitor, session: boto3.Session) -> None:
    sagemaker = session.client("sagemaker")
    sagemaker.stop_notebook_instance(NotebookInstanceName="left-on")
    sagemaker.delete_notebook_instance(NotebookInstanceName="left-on")

    deleted = janitor("explain", notebook("left-on"))
    mistyped = janitor("explain", notebook("wantedd"))

    assert deleted.status == 3
    assert re.search(r"^idle-notebooks, .* +deleted$", deleted.out, re.MULTILINE)
    assert f"It is not in {REGION}: it was deleted (cloudtrail:LookupEvents, 2026-10-06" in deleted.flat
    assert "Did you mean" not in deleted.out
    assert mistyped.status == 2
    assert re.search(r"^idle-notebooks, .* +not found$", mistyped.out, re.MULTILINE)
    assert mistyped.flat.count("nothing shows that it ever was") == 1
    assert "nothing shows that it ever was (cloudtrail:LookupEvents knows no deletion of it)" in mistyped.flat
    assert f"Did you mean {notebook('wanted')}?" in mistyped.flat
    notebooks.fault("cloudtrail", "LookupEvents", "deny", times=0)
    unread = janitor("explain", notebook("left-on"))
    assert unread.status == 2
    assert "whether it ever was is unknown (cloudtrail:LookupEvents broke off" in unread.flat


@pytest.mark.usefixtures("notebooks")
def test_a_deletion_that_cloudtrail_forgot_is_known_to_the_ledger(
    deployed: object, janitor: Janitor, table: Table, aws: Any
) -> None:
    del deployed
    settings = Settings.load()
    detector = next(each for each in settings.enabled() if each.name == "idle-notebooks")
    swept = sweep_region(detector, aws, now=NOW, policy=settings.policy)
    Ledger(table).record(aws, swept, NOW)
    aws.armed().sagemaker.stop_notebook_instance(NotebookInstanceName="left-on")
    aws.armed().sagemaker.delete_notebook_instance(NotebookInstanceName="left-on")

    later = (NOW + timedelta(days=91)).isoformat()
    ran = janitor("explain", notebook("left-on"), "--now", later)

    assert ran.status == 3
    assert "it was deleted (last seen by the ledger, 2026-10-06 03:00 UTC)" in ran.flat


def test_no_detector_judges_it_is_no_mistake(box: Control, janitor: Janitor, session: boto3.Session) -> None:
    """Spot training judges jobs that completed, and this one runs."""
    with box.at(NOW - timedelta(hours=1)):
        session.client("sagemaker").create_training_job(**training_request("runs", seconds=24 * 3600))

    ran = janitor("explain", "runs")
    document = janitor("explain", "--json", f"{SAGEMAKER}:training-job/runs").document

    assert ran.status == 0
    assert re.search(r"^spot-training, generous-runtime-limits, .* +not judged$", ran.out, re.MULTILINE)
    assert ran.flat.count("This detector does not check resources like this one") == 1
    assert "Did you mean" not in ran.out
    words = {each["detector"]: each["verdict"] for each in document["explanations"]}
    assert (words["untagged-resources"], words["spot-training"]) == ("found", "not judged")


@pytest.mark.usefixtures("notebooks")
def test_a_name_will_do(janitor: Janitor) -> None:
    explained = janitor("explain", "--json", "left-on").document["explanations"]

    assert {each["arn"] for each in explained} == {notebook("left-on")}
    assert "nothing in us-east-1 is called left-onn; did you mean left-on (arn:" in refused(
        janitor("explain", "left-onn")
    )
    assert refused(janitor("explain", "zzz")) == (
        "nothing in us-east-1 is called zzz; --region says where else to look"
    )


def test_of_several_with_one_name_the_one_with_a_finding_is_meant(
    notebooks: Control, janitor: Janitor, session: boto3.Session
) -> None:
    del notebooks
    sagemaker = session.client("sagemaker")
    required = ("cost-center", "environment", "managed-by", "owner", "project", "team")
    tagged: Any = [{"Key": key, "Value": "x"} for key in required]

    def create_group(name: str) -> str:
        return sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=tagged)[
            "ModelPackageGroupArn"
        ]

    def explained(name: str) -> set[str]:
        return {each["arn"] for each in janitor("explain", "--json", name).document["explanations"]}

    group, twin = create_group("left-on"), create_group("twin")
    pipeline = sagemaker.create_pipeline(
        PipelineName="twin",
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/x",
        PipelineDefinition="{}",
        ClientRequestToken="t" * 32,
    )["PipelineArn"]

    assert f"Also called left-on: {group}." in janitor("explain", "left-on").flat
    assert janitor("explain", "--json", "left-on").document["also_called"] == {"left-on": [group]}
    assert explained("twin") == {pipeline}, "the only one with a finding"
    for arn in (group, twin):
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=["owner"])
    assert explained("left-on") == {notebook("left-on")}, "of two findings that of what costs money"
    assert explained("twin") == {pipeline, twin}, "all, if nothing tells them apart"


def test_a_name_is_looked_for_in_every_region_of_an_audit(
    notebooks: Control, janitor: Janitor, session: boto3.Session
) -> None:
    del notebooks
    there = session.client("sagemaker", region_name="eu-west-1")
    arn = there.create_model_package_group(ModelPackageGroupName="far")["ModelPackageGroupArn"]

    regions = f'janitor.regions=["{REGION}", "eu-west-1"]'
    found = janitor("explain", "--json", "far", "--set", regions).document["explanations"]

    assert {(each["arn"], each["region"]) for each in found} == {(arn, "eu-west-1")}
    assert "nothing in us-east-1, eu-west-1 is called farr" in refused(
        janitor("explain", "farr", "--set", regions)
    )


def test_what_could_not_be_looked_for_is_not_called_missing(notebooks: Control, janitor: Janitor) -> None:
    notebooks.fault("sagemaker", "ListPipelines", "deny", times=0)

    ran = janitor("explain", "nothing-like-it")

    assert ran.status == 1
    assert "nothing-like-it could not be looked for: sagemaker:ListPipelines broke off" in ran.err


def test_what_a_person_kept_is_kept_before_any_sweep(
    notebooks: Control, janitor: Janitor, deployed: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    del deployed
    assert janitor("keep", notebook("left-on"), "--reason", "the fair").status == 0

    ran = janitor("explain", "left-on")

    assert re.search(r"^idle-notebooks +kept$", ran.out, re.MULTILINE)
    assert "the fair" in ran.flat
    assert "no open finding; kept by" in janitor("findings").flat
    notebooks.fault("dynamodb", "Query", "deny", times=0)
    unread = janitor("explain", "left-on")
    assert unread.status == 1
    assert "Holds of people could not be read: Query: AccessDenied" in unread.flat
    monkeypatch.delenv("JANITOR_TABLE")
    without = janitor("explain", "left-on")
    assert without.status == 0
    assert "not read: no ledger is named (--table or JANITOR_TABLE), and no stack" in without.flat


@pytest.mark.usefixtures("notebooks")
def test_several_are_explained_in_the_order_asked_and_once_by_every_detector_for_the_kind(
    janitor: Janitor,
) -> None:
    """Of one that is exempt: its signals, what the rule would say, and why it is kept."""
    asked = [notebook("wanted"), notebook("left-on"), notebook("wanted")]

    explained = janitor("explain", "--json", *asked).document["explanations"]

    assert [each["arn"] for each in explained] == [asked[0]] * 3 + [asked[1]] * 3
    assert [(each["detector"], each["verdict"]) for each in explained[3:]] == [
        ("idle-notebooks", "found"),
        ("untagged-resources", "found"),
        ("unused-volumes", "kept"),
    ]
    exempt = explained[0]
    assert (exempt["verdict"], exempt["reason"]) == ("kept", "tagged keep=true")
    assert {"status", "last line in the Jupyter log", "tags"} <= {
        seen["signal"] for seen in exempt["signals"]
    }
    assert len(exempt["steps"]) > 1
    assert exempt["steps"][-1] == "kept: tagged keep=true"


@pytest.mark.usefixtures("notebooks")
def test_a_bucket_has_no_region_in_its_arn(janitor: Janitor, session: boto3.Session) -> None:
    session.client("s3").create_bucket(
        Bucket="sagemaker-eu", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    arn = "arn:aws:s3:::sagemaker-eu"

    there = janitor("explain", arn, "--region", "eu-west-1")
    here = janitor("explain", arn)

    assert re.search(r"^untagged-resources +kept$", there.out, re.MULTILINE)
    assert f"It is not in {REGION}: nothing shows that it ever was" in here.flat
    assert "it may be in another region (see --region)" in here.flat


# --- as in an audit --------------------------------------------------------------------------------------


def test_every_verdict_of_the_demo_account_has_sources(box: Control, janitor: Janitor, aws: Any) -> None:
    """One finding and one kept resource of some detectors, judged alone as in its sweep."""
    seed_demo(box)
    settings = Settings.load()
    some = random.Random(SEED).sample(settings.enabled(), 3)  # noqa: S311
    judged = [sweep_region(detector, aws, now=NOW, policy=settings.policy) for detector in some]
    samples = [
        result
        for swept in judged
        for results in (swept.findings, [one for one in swept.results if one not in swept.findings])
        for result in results[:1]
    ]

    explained = janitor("explain", "--json", *{one.target.arn: None for one in samples}).document

    told = {(each["arn"], each["detector"]): each for each in explained["explanations"]}
    for one in samples:
        each = told[one.target.arn, one.detector]  # SEED=... repeats the choice of detectors
        assert each["error"] is None
        assert each["reason"] == one.verdict.reason
        assert each["steps"]
        assert any(seen["source"] for seen in each["signals"])
        assert any(seen["signal"] == "tags" for seen in each["signals"])


@pytest.mark.usefixtures("notebooks")
def test_it_judges_by_the_settings_and_the_time_given(janitor: Janitor) -> None:
    def verdict(*flags: str) -> Any:
        return janitor("explain", "--json", notebook("left-on"), *flags).document["explanations"][0][
            "verdict"
        ]

    assert verdict() == "found"
    assert (
        verdict("--set", "idle-notebooks.patience_outside_hours=10d", "--set", "idle-notebooks.patience=10d")
        == "kept"
    )
    assert verdict("--now", "2026-09-27T04:00:00Z") == "kept"
    assert verdict("--set", "idle-notebooks.enabled=false") == "found"


# --- failures and refusals -------------------------------------------------------------------------------


def test_an_unreadable_resource_is_an_error_and_others_go_on(notebooks: Control, janitor: Janitor) -> None:
    notebooks.fault("sagemaker", "DescribeNotebookInstance", "deny", times=0)

    ran = janitor("explain", notebook("left-on"))

    assert ran.status == 1
    assert re.search(r"^idle-notebooks +not looked at$", ran.out, re.MULTILINE)
    assert "Not complete: DescribeNotebookInstance: AccessDeniedException" in ran.flat
    assert re.search(r"^untagged-resources +found, proven$", ran.out, re.MULTILINE)


@cases(
    "arn, said",
    ("arn:left-on", "'arn:left-on' is not an ARN (arn:partition:service:region:account:resource)"),
    (f"arn:aws:iam::{ACCOUNT}:role/mine", "no detector judges arn:aws:iam::"),
    (
        f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/mine",
        "which is of kind cluster of eks; these kinds are judged: ",
    ),
    (
        notebook("left-on").replace(ACCOUNT, "999999999999"),
        f"is in account 999999999999; the credentials are of {ACCOUNT}",
    ),
)
@pytest.mark.usefixtures("notebooks")
def test_a_wrong_arn_is_bad_usage(janitor: Janitor, arn: str, said: str) -> None:
    assert said in refused(janitor("explain", arn))


def test_an_unknown_account_is_one_line_and_no_verdict(notebooks: Control, janitor: Janitor) -> None:
    notebooks.fault("sts", "GetCallerIdentity", "deny", times=0)

    ran = janitor("explain", notebook("left-on"))

    assert (ran.status, ran.out) == (1, "")
    assert "AccessDenied" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_every_name_in_the_report_of_the_demo_is_understood(box: Control, janitor: Janitor) -> None:
    """Families, EMR clusters, log groups, objects, Savings Plans and usage types too, all in one question."""
    seed_demo(box)
    named = {(each["name"], each["arn"]) for each in janitor("audit", "--json").document["results"]}
    answer = janitor("explain", "--json", *sorted({name for name, _ in named})).document

    explained = {each["arn"] for each in answer["explanations"]}
    also = json.dumps(answer)
    assert sorted(arn for _, arn in named if arn not in explained and arn not in also) == []
    assert {"*", "/"} <= {sign for name, _ in named for sign in "*/" if sign in name}
