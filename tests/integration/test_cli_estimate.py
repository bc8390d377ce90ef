"""`janitor estimate`, as it is typed: its numbers, its JSON, and what it refuses."""

from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from commands import Janitor, refused
from conftest import NOW
from endpoint_seed import INSTANCES, Seed
from ml_janitor.aws.client import Aws
from ml_janitor.aws.cost_explorer import PlanRate, SavingsPlans
from ml_janitor.core.capacity import SpotCapacity
from ml_janitor.core.model import Finding, Value
from ml_janitor.core.tiering import GB
from ml_janitor.detectors.serverless_candidates import ServerlessCandidates
from ml_janitor_cli.estimate.command import offers_date
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from tables import cases


def test_a_job_is_priced_by_the_table_and_the_advice_comes_first(janitor: Janitor) -> None:
    ran = janitor("estimate", "training", "--instance", "ml.p3.8xlarge", "--instances", "4", "--hours", "27")

    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("Buy it spot: an interruption costs little")
    assert "on demand $1,586.93" in ran.flat  # 14.688 x 4 x 27, and disks
    assert "EC2 us-east-1 16 x p3.2xlarge $3.06" in ran.flat
    assert "–" in ran.out  # noqa: RUF001 - what no commitment's price is known for


MODELS = "--teacher-ms 80 --student-ms 12 --teacher-price 2 --student-price 1"
DAY = ",".join(["1"] * 12 + ["3"] * 12)
TYPED = "distillation --teacher 4 --student 1 --requests 1 --once 1"
TIMED = "distillation --teacher-ms 80 --student-ms 20 --rate 100 --teacher-price 2"
SPOT = SpotCapacity(0.5, 30 / 60, 6 / 60, 0.4)


@cases(
    "typed, figures",
    (
        "inference --price 3.6 --requests 1e6 --ms 500 --memory 2 --gb-second-price 2e-5 --payload-kb 2000",
        {"always_on_usd": 3.6 * 730, "serverless_usd": 1e6 * (0.5 * 2 * 2e-5 + 0.002 * 0.016)},
    ),
    (
        f"inference --price 1 --instances {DAY} --requests 10 --ms 100 --cold-start 2 --slower 2",
        {"always_on_usd": 2 * 730, "first_request_seconds": 2.2},
    ),
    (
        "inference --instance ml.p3.8xlarge --requests 10 --ms 100",
        {"always_on_usd": 14.688 * 730, "serverless_usd": None, "first_request_seconds": None},
    ),
    (
        "batching --price 3.6 --one-ms 10 --batch 4 --batch-ms 20 --cache-hits 0.5 --quantised 2",
        {"one_by_one_usd": 0.01, "batched_usd": 0.005, "cached_usd": 0.005, "together_usd": 0.00125},
    ),
    (
        "batching --price 3.6 --one-ms 10 --batch 4 --batch-ms 20 --cache-hits 0.5 --quantised 2 --rate 1000",
        {
            "one_by_one_instances": 10,
            "batched_instances": 5,
            "together_instances": 2,
            "saved_monthly_usd": 5 * 3.6 * 730,
        },
    ),
    (
        "training --price 1 --hours 10 --interruptions 0.5 --restart 30 --save 6 --discount 0.4",
        {"spot_hours": SPOT.hours(10, SPOT.interval()), "checkpoint_hours": SPOT.interval()},
    ),
    (
        "training --price 1 --hours 10 --instances 2 --storage-gb 73 --storage-price 1 --interruptions 0",
        {"on_demand_usd": 10 * (2 + 2 * 73 / 730), "spot_hours": 10},
    ),
    (
        "training --gpu V100 --gpus 5 --hours 10 --storage-gb 0 --commitment-discount 0.5",
        {"on_demand_usd": 3.825 * 5 * 10, "committed_usd": 3.825 * 5 * 5},
    ),
    (
        "distillation --teacher 4.2 --student 0.6 --requests 2e6 --once 9000 --loss 0.4",
        {"monthly_usd": 7200, "payback_months": 1.25, "first_year_usd": 77400},
    ),
    (
        f"{TIMED} --student-price 1 --once 10220 --teacher-accuracy 100 --student-accuracy 99.5",
        {
            "teacher_instances": 8,
            "teacher_monthly_usd": 16 * 730,
            "student_instances": 2,
            "student_monthly_usd": 2 * 730,
            "monthly_usd": 14 * 730,
            "payback_months": 1,
        },
    ),
    (f"{TIMED} --once 0 --loss 0", {"teacher_monthly_usd": 16 * 730, "student_monthly_usd": 4 * 730}),
    (
        f"distillation {MODELS} --rate 40 --once 730 --teacher-accuracy 91.2 --student-accuracy 90.8",
        {"teacher_instances": 4, "student_instances": 1, "monthly_usd": 7 * 730, "payback_months": 1 / 7},
    ),
    (
        "batching --price 2 --one-ms 10 --batch 10 --batch-ms 20 --rate 250",
        {"one_by_one_instances": 3, "batched_instances": 1, "saved_monthly_usd": 2 * 2 * 730},
    ),
)
def test_what_is_typed_is_in_the_units_of_its_help(
    janitor: Janitor, typed: str, figures: dict[str, float]
) -> None:
    document = janitor("estimate", *typed.split(), "--json").document
    assert {name: document[name] for name in figures} == pytest.approx(figures)


def test_an_estimate_names_its_prices_and_what_it_leaves_out(janitor: Janitor) -> None:
    training = ("estimate", "training", "--hours", "10", "--json")
    bare = janitor(*training, "--price", "1", "--storage-gb", "0", "--discount", "0")
    assert "Spot never costs less: its discount does not pay for a single interruption." in bare.flat
    assert bare.document["prices"] == ["$1 for an instance-hour, as typed"]
    assert bare.document["without"] == "requests, waiting for spot capacity, and data that leaves AWS"
    more = "--gpu V100 --gpus 1 --data-gb 5 --storage-price 0.2 --commitment-discount 0.5"
    full = janitor(*training, *more.split()).document
    assert full["prices"] == [
        "$3.825 for an hour of ml.p3.2xlarge, us-east-1, price table of mid-2025",
        f"other machines and their spot prices (a snapshot): SkyPilot's catalog, read {offers_date()}",
        "$0.2 for a GB-month of a volume, as typed",
        "a commitment's discount of 50.0%, as typed: an assumption",
        "$0.09 for a GB out of AWS, us-east-1, as published in April 2026",
    ]
    assert full["without"] == "requests and waiting for spot capacity"
    assert full["compared"][0]["gpu_hour_usd"] == pytest.approx(3.825)
    for larger, smaller, advice in (
        (100, 0, "Keep the larger model: 100 points of accuracy are lost, and 1 are allowed."),
        (0, 100, "The smaller model has paid for itself after 333.3 months."),
    ):
        accuracies = ("--teacher-accuracy", str(larger), "--student-accuracy", str(smaller), "--json")
        assert janitor("estimate", *TYPED.split(), *accuracies).document["advice"] == advice


@cases(
    "typed, why",
    ("training --instance ml.p3.8xlarg --hours 3", "did you mean ml.p3.8xlarge?"),
    ("training --hours 3", "give --instance TYPE, or --price"),
    ("training --hours 3 --gpu H10", "did you mean H100?"),
    ("training --hours 3 --gpu H100 --gpus 0", "--gpus is at least 1"),
    ("training --hours 3 --gpu H100 --instance ml.p5.4xlarge", "leave --instance out"),
    ("inference --price 1", "give --requests and --ms, or --endpoint NAME"),
    ("storage", "give one of FILE, --gb and --bucket"),
    ("storage --gb 1 --bucket x", "give one of FILE, --gb and --bucket"),
    ("storage --gb -1", "not negative"),
    ("storage --gb 1 --months 0", "months lie between"),
    ("storage nothing.csv", "cannot be read"),
    ("storage --gb 1 --rule STANDARD_AI_30d", "expected steps like"),
    ("training --price 1 --hours nan", "more than 0"),
    ("batching --price 3 --one-ms 1 --batch 2 --batch-ms 9", "slower than one by one"),
    ("inference --price 1 --requests 1 --ms 5 --instances 1,x", "not a number"),
    ("inference --price 1 --requests 1 --ms 5 --memory 9", "1 to 6 GB"),
    ("inference --price 1 --requests 1 --ms 5 --memory 0", "1 to 6 GB"),
    ("storage --gb 1e300", "the most is 1e+12 GB"),
    ("distillation --teacher 1 --student 1 --requests 1 --once 1", "give --loss, or --teacher-accuracy"),
    ("distillation --teacher 1 --once 1 --loss 1", "give --teacher, --student and --requests, or"),
    ("distillation --teacher-ms 1 --student-ms 1 --rate 1 --once 1 --loss 1", "give --instance TYPE"),
    ("reservation nothing.txt --discount 0.3", "cannot be read"),
    ("training --price 1 --hours 1 --read-discount", "--read-discount takes an instance"),
    (
        "training --instance ml.m5.large --hours 1 --read-discount --commitment-discount 0.1",
        "and no discount besides",
    ),
    ("distillation --teacher-ms 8 --student-ms 0 --rate 1 --teacher-price 1 --once 1 --loss 1", "some time"),
    ("distillation --teacher-ms 8 --rate 1 --once 1 --loss 1", "or --teacher-ms, --student-ms and --rate"),
    (
        "distillation --teacher 4 --student 1 --requests 1 --rate 1 --once 1 --loss 1",
        "or --teacher-ms, --student-ms and --rate",
    ),
    (f"{TYPED} --teacher-accuracy 9 --student-accuracy -1", "an accuracy lies between 0 and 100 percent"),
    (f"{TYPED} --teacher-accuracy 101 --student-accuracy 1", "an accuracy lies between 0 and 100 percent"),
)
def test_what_cannot_be_is_one_line(janitor: Janitor, typed: str, why: str) -> None:
    ran = janitor("estimate", *typed.split())

    assert (ran.status, ran.out) == (2, "")
    assert why in ran.err
    assert ran.err.count("\n") == 1


def test_an_endpoint_is_compared_by_its_own_use(janitor: Janitor, box: Control, aws: Aws) -> None:
    seed, hours = Seed(box, aws), [1.0] * (15 * 24)
    for name in ("churn-scoring", "fraud"):
        seed.endpoint(name)
        for metric in ("CPUUtilization", "MemoryUtilization"):
            seed.publish(metric, [12.5] * len(hours), namespace=INSTANCES, **variant_of(name))
        for metric, value in (("Invocations", 100), ("ModelLatency", 2e7), ("ConcurrentRequestsPerModel", 2)):
            seed.publish(metric, [value * one for one in hours], **variant_of(name))
    rule = ServerlessCandidates()
    (found,) = (one for one in rule.find(aws, NOW) if one.target.name == "fraud")
    decided = of_type(Finding, rule.decide(found, NOW))
    box.clear_calls()

    ran = janitor("estimate", "inference", "--endpoint", "fraud", "--json")

    saved = ran.document["always_on_usd"] - ran.document["serverless_usd"]
    assert saved == pytest.approx(float(not_none(decided.cost).monthly_usd or 0))
    assert box.calls()["sagemaker:DescribeEndpoint"] == 1
    for typed, hourly in ((("--price", "2"), 2.0), (("--instance", "ml.p3.8xlarge"), 14.688)):
        ran = janitor("estimate", "inference", "--endpoint", "fraud", *typed, "--json")
        assert ran.document["always_on_usd"] == pytest.approx(hourly * 730)
    missing = janitor("estimate", "inference", "--endpoint", "churn-scorin")
    assert refused(missing) == "no endpoint in us-east-1 is called churn-scorin; did you mean churn-scoring?"
    box.fault("sagemaker", "DescribeModel", "deny", times=0)
    unread = janitor("estimate", "inference", "--endpoint", "fraud")
    assert (unread.status, unread.out, unread.err.count("\n")) == (1, "", 1)
    assert "its model could not be read" in unread.err


def test_a_plans_discount_is_read_typed_or_unknown(
    janitor: Janitor, box: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only with --read-discount anything is asked of AWS; each answer names where its discount comes from."""
    asked = ("estimate", "training", "--instance", "ml.p3.8xlarge", "--hours", "10", "--storage-gb", "0")
    Path("hours.txt").write_text("1.5\n" * 100)

    read = janitor(*asked, "--read-discount", "--json").document
    typed = janitor(*asked, "--commitment-discount", "0.2", "--json").document
    assert read["committed_usd"] == pytest.approx(typed["committed_usd"])
    assert "a commitment's discount of 20.0% in us-east-1, read 2026-10-06: savingsplans:Desc" in str(
        read["prices"]
    )
    assert "a commitment's discount of 20.0%, as typed: an assumption" in str(typed["prices"])
    assert box.calls()["savingsplans:DescribeSavingsPlansOfferingRates"] == 1
    assert janitor(*asked, "--json").document["committed_usd"] is None
    hosted = ("reservation", "hours.txt", "--read-discount", "--instance", "ml.g5.xlarge", "--json")
    assert janitor("estimate", *hosted).document["break_even"] == pytest.approx(0.8)

    unknown = janitor("estimate", "reservation", "hours.txt", "--read-discount", "--instance", "ml.x9.huge")
    assert unknown.status == 1
    assert "the discount of a plan is unknown: there is no rate or no price of ml.x9.huge" in unknown.err
    two = {("hosting", operation): PlanRate(usd, "id") for operation, usd in (("a", 0.706), ("b", 1.059))}
    with monkeypatch.context() as patch:  # a rate for each operation: the highest is sure
        patch.setattr(SavingsPlans, "rates", lambda *_: Value({"SageMaker": two}))
        assert janitor("estimate", *hosted).document["break_even"] == pytest.approx(0.75)
    box.fault("savingsplans", "DescribeSavingsPlansOfferingRates", "deny", times=0)
    denied = janitor(*asked, "--read-discount")
    assert (denied.status, "the discount of a plan is unknown: " in denied.err) == (1, True)
    assert "give --discount SHARE" in refused(janitor("estimate", "reservation", "hours.txt"))


def test_a_bucket_is_priced_as_proposed(janitor: Janitor, box: Control, session: boto3.Session) -> None:
    s3 = session.client("s3")
    with box.at(NOW - timedelta(days=100)):
        s3.create_bucket(Bucket="lab-data")
        s3.put_object(Bucket="lab-data", Key="experiments/run/x", Body=b"x")
        box.declare([{"bucket": "lab-data", "key": "experiments/run/x", "size": 500 * GB}])

    ran = janitor("estimate", "storage", "--bucket", "lab-data", "--json")

    assert ran.document["monthly_usd"] == pytest.approx(500 * 0.023)
    assert [one["folder"] for one in ran.document["compared"]] == ["experiments/"]
    assert refused(janitor("estimate", "storage", "--bucket", "lab-dat")).endswith("did you mean lab-data?")


def variant_of(name: str) -> dict[str, str]:
    return {"EndpointName": name, "VariantName": "blue"}
