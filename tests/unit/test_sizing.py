"""Which instances the traffic of an endpoint needs: each limit at its edge, and hours beside a peak."""

from dataclasses import replace
from decimal import Decimal

from ml_janitor.core.capacity import (
    Fleet,
    InstanceSize,
    PeakLoad,
    cheapest_fleet,
    count_quiet_hours,
    instances_needed,
    scaled_fleet,
    steady_fleet,
    switched_fleet,
)
from tables import cases

CPU = InstanceSize("ml.m5.xlarge", vcpus=4, gpus=0, hourly_usd=Decimal("0.2"))
GPU = InstanceSize("ml.g5.xlarge", vcpus=4, gpus=1, hourly_usd=Decimal("1.4"))
REST = PeakLoad(cpu=0.0, memory=0.0)


@cases(
    "load, size, count",
    (REST, CPU, 1),
    (replace(REST, cpu=0.5), CPU, 1),  # 4 used 2 vCPUs together; half of the 4 stays free
    (replace(REST, cpu=1.0), CPU, 2),
    (replace(REST, cpu=1.01), CPU, 3),
    (replace(REST, cpu=2.0), CPU, 4),
    (replace(REST, cpu=2.01), CPU, None),
    (replace(REST, memory=2.0), CPU, 1),
    (replace(REST, memory=2.01), CPU, None),  # more instances do not share a model
    (replace(REST, requests=1), CPU, 1),
    (replace(REST, requests=1.5), CPU, 2),  # the requests in flight are spread over the others, too
    (replace(REST, requests=4), CPU, 4),
    (replace(REST, requests=4.1), CPU, None),
    (replace(REST, requests=99), GPU, 1),
    (replace(REST, gpu=0.125), GPU, 1),
    (replace(REST, gpu=0.25), GPU, 2),
    (replace(REST, gpu=0.51), GPU, None),
    (replace(REST, gpu_memory=0.5), GPU, 1),
    (replace(REST, gpu_memory=0.51), GPU, None),
    (replace(REST, gpu_memory=0.125, several=True), GPU, 1),
    (replace(REST, gpu_memory=0.25, several=True), GPU, 2),  # several models: what four held, fewer hold
    (replace(REST, gpu=0.01), CPU, None),
)
def test_so_many_of_a_size_carry_what_four_did(load: PeakLoad, size: InstanceSize, count: int | None) -> None:
    assert instances_needed(load, 4, size, free=0.5) == count


def test_requests_that_a_gpu_serves_need_no_vcpu_each() -> None:
    assert instances_needed(replace(REST, requests=99), 8, GPU, free=0.5) == 1


def test_an_hour_s_instances_stand_before_it_and_after_it() -> None:
    busy = replace(REST, cpu=1.5)
    loads = [busy, REST, REST, REST, busy]
    idle = [replace(one, idle=one is REST) for one in loads]

    assert steady_fleet(loads, 4, CPU, 0.5, 1) == Fleet(CPU, (3,) * 5)
    assert steady_fleet(loads, 4, CPU, 0.5, 4) == Fleet(CPU, (4,) * 5)
    assert scaled_fleet(loads, 4, CPU, 0.5, 2) == Fleet(CPU, (3, 3, 2, 3, 3))
    assert scaled_fleet(idle, 4, CPU, 0.5, 0) == Fleet(CPU, (3, 3, 0, 3, 3))
    assert (
        scaled_fleet(idle, 4, CPU, 0.5, 1)
        == scaled_fleet(loads, 4, CPU, 0.5, 0)
        == Fleet(CPU, (3, 3, 1, 3, 3))
    )
    assert switched_fleet(idle, 4, CPU) == Fleet(CPU, (4, 4, 0, 4, 4))
    assert switched_fleet([idle[1], *idle], 4, CPU) == Fleet(CPU, (4, 4, 4, 0, 4, 4))
    too_much = [*loads, replace(REST, cpu=9)]
    assert (steady_fleet(too_much, 4, CPU, 0.5, 1), scaled_fleet(too_much, 4, CPU, 0.5, 1)) == (None, None)
    assert (steady_fleet([], 4, CPU, 0.5, 1), scaled_fleet([], 4, CPU, 0.5, 1)) == (None, None)


def test_a_fleet_costs_its_mean_hour_and_the_cheapest_is_the_first_of_equals() -> None:
    one, three, mixed = Fleet(CPU, (1,)), Fleet(CPU, (3, 3)), Fleet(CPU, (1, 3))

    assert [each.hourly_usd for each in (one, three, mixed)] == [
        Decimal(part) for part in ("0.2", "0.6", "0.4")
    ]
    assert Fleet(CPU, ()).hourly_usd == 0
    assert [each.steady for each in (one, three, mixed, Fleet(CPU, ()))] == [True, True, False, True]
    same = Fleet(replace(CPU, type="other"), (1,))
    assert cheapest_fleet([None, three, one, same]) is one
    assert cheapest_fleet([None]) is None


def test_an_hour_is_quiet_if_it_and_those_beside_it_were_in_every_week() -> None:
    def week(*busy: int) -> list[PeakLoad]:
        return [replace(REST, idle=hour not in busy) for hour in range(6)]

    assert count_quiet_hours(week(), 6) == 6
    assert count_quiet_hours(week(0), 6) == 3  # the last hour of a week is beside the first
    assert count_quiet_hours(week(5), 6) == 3
    assert count_quiet_hours([*week(1), *week(1)], 6) == 3
    assert count_quiet_hours([*week(0), *week(3)], 6) == 0
    assert count_quiet_hours(week()[:5], 6) == 0
    assert count_quiet_hours([], 6) == 0
    assert count_quiet_hours([replace(REST, idle=True)] * 336) == 168


@cases("several, count", (False, 1), (True, 3))
def test_several_models_are_all_held_by_fewer_instances(*, several: bool, count: int) -> None:
    """Four instances hold models in a quarter of their memory each; half of it is to stay free."""
    load = PeakLoad(cpu=0.1, memory=1.5, several=several)

    assert instances_needed(load, 4, InstanceSize("ml.c5.xlarge", 4, 0, Decimal(1)), free=0.5) == count
