"""The vCPUs, GPUs and memory of ml.* instance types, as their utilization metrics need them."""

from __future__ import annotations

import re
from dataclasses import dataclass

CPU_ONLY_FAMILIES = re.compile(r"ml\.[mcrt]\d+[abdeginz]*(-flex)?\.")
"""
General purpose, compute, memory and burstable families have no accelerator: their generation is followed by
letters for the processor, disks and network. Any other letter means unknown hardware.
"""

ONE_GPU_TO_16X = dict.fromkeys(("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"), 1)

GPUS_BY_FAMILY = {
    "p2": {"xlarge": 1, "8xlarge": 8, "16xlarge": 16},
    "p3": {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8},
    "p3dn": {"24xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"4xlarge": 1, "48xlarge": 8},
    "p5e": {"48xlarge": 8},
    "p5en": {"48xlarge": 8},
    "p6-b200": {"48xlarge": 8},
    "p6-b300": {"48xlarge": 8},
    "p6e-gb200": {"36xlarge": 4},
    "g4dn": {**ONE_GPU_TO_16X, "12xlarge": 4},
    "g5": {**ONE_GPU_TO_16X, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {**ONE_GPU_TO_16X, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {**ONE_GPU_TO_16X, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6f": dict.fromkeys(("large", "xlarge", "2xlarge", "4xlarge"), 1),
    "gr6": {"4xlarge": 1, "8xlarge": 1},
    "gr6f": {"4xlarge": 1},
    "g7e": {"2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "12xlarge": 2, "24xlarge": 4, "48xlarge": 8},
}
"""
GPUs by family and size: https://aws.amazon.com/ec2/instance-types/ (accelerated computing). A fraction of a
GPU counts as one.
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """
    The vCPUs and GPUs of one instance.

    *gpus* is None where unknown, and for accelerators that publish no utilization
    (Trainium, Inferentia): an idle CPU says nothing about those.
    """

    vcpus: int
    gpus: int | None


def machine_of(instance_type: str) -> Machine:
    """Return the vCPUs and GPUs of *instance_type* ("ml.p3.8xlarge")."""
    _, _, family_and_size = instance_type.partition(".")
    family, _, size = family_and_size.partition(".")
    gpus = 0 if CPU_ONLY_FAMILIES.match(instance_type) else GPUS_BY_FAMILY.get(family, {}).get(size)
    return Machine(vcpus_of_size(size), gpus)


def vcpus_of_size(size: str) -> int:
    """
    Return the vCPUs of a size name: four for each "x", in every family.

    An error is always too low (36, not 32, in a c4.8xlarge; 1 for a size without
    a number), so that the threshold of a steady load gets stricter, never laxer.
    """
    if size in {"medium", "large"}:
        return 2
    times = re.fullmatch(r"(\d*)xlarge", size)
    return 4 * int(times[1] or 1) if times else 1


GIB_PER_VCPU = {"c": 2, "m": 4, "r": 8}
"""GiB for compute, general purpose and memory families: https://aws.amazon.com/ec2/instance-types/."""


def memory_gib(instance_type: str) -> int | None:
    """Return the memory of *instance_type* in these families from their fifth generation on, else None."""
    found = re.fullmatch(r"ml\.([cmr])[5-9][a-z]*(?:-flex)?\.(\w+)", instance_type)
    return vcpus_of_size(found[2]) * GIB_PER_VCPU[found[1]] if found else None
