"""GPUs on three clouds: what is believed of the catalog, and a job on the same GPUs like with like."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docs import gpu_price_table
from ml_janitor.core.capacity import Interruption, SpotCapacity
from ml_janitor_cli.estimate import command
from ml_janitor_cli.estimate.command import CLOUDS, SIMILAR_GPUS, Offer, cheapest_offers, read_offers
from ml_janitor_cli.estimate.estimates import Estimate, Figure

SPOT = SpotCapacity(interruptions=0.05, restart=0.1, save=0.02, discount=0.6)


def row(
    machine: str, usd: str, region: str, *, spot: str = "", gpu: str = "L4", count: str = "1"
) -> dict[str, str]:
    return {
        "InstanceType": machine,
        "vCPUs": "4",
        "MemoryGiB": "16",
        "AcceleratorName": gpu,
        "AcceleratorCount": count,
        "Region": region,
        "Price": usd,
        "SpotPrice": spot,
    }


def job(machines: int = 1, hours: float = 10.0, **also: Any) -> Estimate:
    asked: dict[str, Any] = {
        "hourly_usd": 25.0,
        "instances": machines,
        "hours": hours,
        "spot": SPOT,
        "checkpoints": True,
        "interruption": Interruption.LOW,
        "jobs_a_week": 1.0,
        "instance": "ml.p4d.24xlarge",
        "gpu": ("A100", 8),
        "offers": read_offers(),
    }
    return command.estimate_training(**asked | also)


def costs(estimate: Estimate, name: str = "on_demand_usd") -> dict[str, float | None]:
    return {
        str(one[0].known): figure.known
        for one in estimate.compared
        for figure in one
        if isinstance(figure, Figure) and figure.name == name
    }


def test_the_script_makes_the_shipped_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = gpu_price_table.PATH.read_text()
    monkeypatch.setattr(gpu_price_table, "PATH", tmp_path / "made.csv")

    assert gpu_price_table.main([]) == 0

    assert (tmp_path / "made.csv").read_text() == shipped
    assert command.offers_date() == gpu_price_table.READ
    assert all(commit in shipped for commit in gpu_price_table.COMMITS.values())
    assert "Apache License 2.0" in shipped
    commits = ",".join(gpu_price_table.COMMITS.values())
    assert gpu_price_table.main([str(gpu_price_table.SAMPLE), commits]) == 0
    again = (tmp_path / "made.csv").read_text()
    assert again.partition("\ncloud,")[2] == shipped.partition("\ncloud,")[2]


def test_googles_machines_cost_what_they_and_their_gpus_do() -> None:
    """a2-highgpu-1g for 0.739 and its A100 for 2.934 are 3.673, as Google lists them together."""
    (a100,) = (one for one in read_offers() if (one.cloud, one.gpu) == ("GCP", "A100"))

    assert a100.machine == "a2-highgpu-1g"
    assert a100.usd == pytest.approx(3.67339)
    alone = [row("", "2", "us-central1", gpu="A100")]
    assert gpu_price_table.table("GCP", alone) == []


def test_a_price_that_cannot_be_one_on_demand_and_a_machine_that_nobody_can_buy_are_left_out() -> None:
    """The catalog has the H100 and the A100-80GB in us-central1 for less than half of what they cost."""
    google = {(one.gpu, one.region) for one in read_offers() if one.cloud == "GCP"}
    assert google >= {("H100", "us-east4"), ("A100-80GB", "us-east5")}
    assert not google & {("H100", "us-central1"), ("A100-80GB", "us-central1")}

    def priced(usd: str, spot: str = "") -> list[float | None]:
        catalog = [row("g6.xlarge", "0.9", "eu-west-1"), row("g6.xlarge", usd, "us-east-1", spot=spot)]
        return [one.usd for one in gpu_price_table.table("AWS", catalog)]

    assert "Standard_NC6s_v3" not in {one.machine for one in read_offers()}
    (h100,) = (one for one in read_offers() if (one.cloud, one.gpu) == ("GCP", "H100"))
    assert (h100.machine, h100.usd, h100.spot_usd) == ("a3-highgpu-1g", None, 1.97614)
    assert priced("0.8", "0.3") == [0.8]
    assert priced("0.44") == [0.9]
    assert priced("0.8", "0.81") == [0.9]
    assert priced("0.95") == [0.95, 0.9]
    (same,) = gpu_price_table.table("AWS", [row("x", "1", "us-east-1", spot="1")])
    assert same.spot_usd is None


def test_every_gpu_that_is_compared_is_known_by_name_and_number() -> None:
    assert command.instance_gpu("ml.p3.8xlarge") == ("V100", 4)
    assert command.instance_gpu("ml.m5.xlarge") is None
    assert {one.cloud for one in read_offers()} == set(CLOUDS)
    assert {SIMILAR_GPUS.get(one.gpu, one.gpu) for one in read_offers()} == set(command.known_gpus())


def test_a_job_is_priced_in_whole_machines_and_by_its_gpus() -> None:
    found = job(2)

    assert costs(found) == {
        "SageMaker": pytest.approx(2 * 25 * 10),
        "EC2 us-east-1": pytest.approx(2 * 21.95764 * 10),
        "GCP us-central1": pytest.approx(16 * 3.67339 * 10),
        "Azure eastus": pytest.approx(2 * 27.197 * 10),
    }
    assert costs(found, "gpu_hour_usd")["EC2 us-east-1"] == pytest.approx(21.95764 / 8)
    assert costs(found, "committed_usd") == dict.fromkeys(costs(found))
    assert [cheapest_offers("A100", 3, read_offers())[0].machines(many) for many in (3, 8, 9)] == [1, 1, 2]
    assert cheapest_offers("A10G", 4, read_offers())[0].machine == "g5.xlarge"
    assert cheapest_offers("H100", 8, read_offers())[0].machine == "p5.48xlarge"
    assert "A10" in {one.gpu for one in cheapest_offers("A10G", 1, read_offers())}
    assert job(gpu=None).compared == ()
    brought = costs(job(2, data_gb=1000.0, egress_usd=0.09))
    assert {where: round((brought[where] or 0) - (usd or 0)) for where, usd in costs(found).items()} == {
        "SageMaker": 0,
        "EC2 us-east-1": 0,
        "GCP us-central1": 90,
        "Azure eastus": 90,
    }


def test_others_are_priced_for_the_gpus_that_are_asked_for_and_not_for_sagemakers_machine() -> None:
    """SageMaker sells the A100-80GB by the eight; elsewhere a single one can be had."""
    asked: dict[str, Any] = {"gpu": ("A100-80GB", 8), "hourly_usd": 31.5641, "spot": SPOT}
    alone, eight = job(gpus=1, **asked), job(**asked)

    assert costs(alone)["Azure eastus"] == pytest.approx(36.73)
    assert costs(eight)["Azure eastus"] == pytest.approx(8 * 36.73)
    assert costs(alone)["SageMaker"] == costs(eight)["SageMaker"] == pytest.approx(315.641)
    assert costs(alone, "gpu_hour_usd")["SageMaker"] == pytest.approx(31.5641)


def test_a_machine_that_is_sold_on_spot_alone_has_no_price_on_demand_and_each_spot_price_its_origin() -> None:
    found = job(gpu=("H100", 8), hourly_usd=63.0)

    assert costs(found)["GCP us-east4"] is costs(found, "gpu_hour_usd")["GCP us-east4"] is None
    assert (costs(found, "spot_usd")["GCP us-east4"] or 0) > 8 * 1.97614 * 10
    origins = {row[0].known: row[5].known for row in found.compared}
    assert origins == {
        "SageMaker": "assumed",
        "EC2 us-east-1": "snapshot",
        "GCP us-east4": "snapshot",
        "Azure eastus": "unknown",
    }


def test_the_region_beside_the_named_one_is_the_cheapest_listed_for_each_number_of_gpus() -> None:
    catalog = [
        row("g5.xlarge", "1.0", "us-east-1", gpu="A10G"),
        row("g5.xlarge", "0.9", "eu-west-1", gpu="A10G"),
        row("g5.12xlarge", "5.0", "us-east-1", gpu="A10G", count="4"),
        row("g5.12xlarge", "4.0", "us-west-2", gpu="A10G", count="4"),
        row("g5.xlarge", "1.1", "ap-south-1", gpu="A10G"),
    ]
    found = gpu_price_table.table("AWS", catalog)

    assert {one.region for one in found} == {"us-east-1", "eu-west-1", "us-west-2"}
    for many in (1, 4):
        (least,) = cheapest_offers("A10G", many, found)
        assert least.least_usd * least.machines(many) == min(
            float(one["Price"]) * -(-many // int(one["AcceleratorCount"])) for one in catalog
        )


def test_data_that_has_to_leave_aws_is_paid_elsewhere_only_and_breaks_even() -> None:
    cheap = Offer(
        cloud="GCP", region="x", gpu="A100", machine="m", gpus=8, vcpus=1, memory_gib=1, usd=10, spot_usd=1
    )
    asked: dict[str, Any] = {"offers": [cheap], "interruption": Interruption.HIGH, "egress_usd": 0.09}
    first = job(**asked)
    assert "GCP x costs $150.00 less (60%), and no less if 1,667 GB have to leave AWS" in first.reasons[-1]

    there = costs(job(data_gb=150 / 0.09, **asked))

    assert there["GCP x"] == pytest.approx(there["SageMaker"])
    assert there["SageMaker"] == costs(first)["SageMaker"]
    hopeless = job(hours=200, checkpoints=False, spot=SpotCapacity(1.0, 0.1, 0.02, 0.6))
    assert hopeless.reasons[-1].startswith("On demand, EC2 us-east-1 costs")
    assert job(data_gb=10_000, **asked).reasons[-1] == "On demand, these GPUs cost less nowhere else."


@settings(max_examples=50)
@given(st.integers(1, 6), st.floats(0.1, 100), st.floats(0.1, 100))
def test_more_gpus_and_more_hours_cost_more_everywhere(machines: int, hours: float, longer: float) -> None:
    small, large = job(machines, hours), job(machines + 1, hours + longer)

    for name in ("on_demand_usd", "spot_usd"):
        fewer, more = costs(small, name), costs(large, name)
        assert all((fewer[where] or 0) < (more[where] or 0) for where in fewer)
    for gpus in range(1, 17):
        less, also = (costs(job(2, hours, gpus=many)) for many in (gpus, gpus + 1))
        assert all((less[where] or 0) <= (also[where] or 0) for where in less)
        assert less["SageMaker"] == costs(job(2, hours))["SageMaker"]
