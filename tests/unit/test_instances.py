"""What instance types are made of: too little is safe, too much is not."""

from __future__ import annotations

from typing import cast

import botocore.session
from botocore.model import StringShape

from ml_janitor.aws.prices import GPUS_BY_FAMILY, Machine, machine_of
from tables import cases


@cases(
    "kind, made_of",
    ("ml.t3.medium", Machine(2, 0)),
    ("ml.m5.large", Machine(2, 0)),
    ("ml.c5.xlarge", Machine(4, 0)),
    ("ml.c5.9xlarge", Machine(36, 0)),
    ("ml.r5d.24xlarge", Machine(96, 0)),
    ("ml.m8i-flex.16xlarge", Machine(64, 0)),
    ("ml.p3.8xlarge", Machine(32, 4)),
    ("ml.p4d.24xlarge", Machine(96, 8)),
    ("ml.g5.16xlarge", Machine(64, 1)),
    ("ml.g5.12xlarge", Machine(48, 4)),
    ("ml.g7e.12xlarge", Machine(48, 2)),
    ("ml.g7e.48xlarge", Machine(192, 8)),
    ("ml.gr6.8xlarge", Machine(32, 1)),
    ("ml.g6f.xlarge", Machine(4, 1)),
    ("ml.p6e-gb200.36xlarge", Machine(144, 4)),
    ("ml.c7gn.xlarge", Machine(4, 0)),
    ("ml.m6idn.xlarge", Machine(4, 0)),
    ("ml.r7iz.xlarge", Machine(4, 0)),
    ("ml.t3a.medium", Machine(2, 0)),
    ("ml.trn1.32xlarge", Machine(128, None)),
    ("ml.trn3.48xlarge", Machine(192, None)),
    ("ml.inf3.xlarge", Machine(4, None)),
    ("ml.p7.48xlarge", Machine(192, None)),
    ("ml.m9gpu.xlarge", Machine(4, None)),
    ("ml.c9trn.xlarge", Machine(4, None)),
    ("ml.g99.2xlarge", Machine(8, None)),
    ("ml.mystery", Machine(1, None)),
    ("", Machine(1, None)),
)
def test_made_of(kind: str, made_of: Machine) -> None:
    assert machine_of(kind) == made_of


def test_only_these_types_for_training_are_not_known() -> None:
    """A new boto3 may bring new ones: their GPUs belong into the table, or their family here."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    types = cast("StringShape", model.shape_for("TrainingInstanceType")).enum
    unknown = {kind.split(".")[1] for kind in types if machine_of(kind).gpus is None}

    assert unknown == {"g7", "trn1", "trn1n", "trn2"}
    assert all(machine_of(kind).vcpus > 1 for kind in types)


GPUS = {
    16: "p2.16xlarge",
    8: "p2.8xlarge p3.16xlarge p3dn.24xlarge p4d.24xlarge p4de.24xlarge p5.48xlarge p5e.48xlarge "
    "p5en.48xlarge p6-b200.48xlarge p6-b300.48xlarge g5.48xlarge g6.48xlarge g6e.48xlarge g7e.48xlarge",
    4: "p3.8xlarge p6e-gb200.36xlarge g4dn.12xlarge g5.12xlarge g5.24xlarge g6.12xlarge g6.24xlarge "
    "g6e.12xlarge g6e.24xlarge g7e.24xlarge",
    2: "g7e.12xlarge",
    1: "p2.xlarge p3.2xlarge p5.4xlarge g6f.large g6f.xlarge g6f.2xlarge g6f.4xlarge gr6.4xlarge gr6.8xlarge "
    "gr6f.4xlarge g7e.2xlarge g7e.4xlarge g7e.8xlarge g4dn g5 g6 g6e",
}
"""Types by their GPUs, from EC2's pages of families; a family alone has one in each size up to 16xlarge."""


def test_every_type_of_the_table_has_as_many_gpus_as_its_page_says() -> None:
    small = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
    expected = {
        kind: count
        for count, names in GPUS.items()
        for name in names.split()
        for kind in ([name] if "." in name else [f"{name}.{size}" for size in small])
    }
    found = {
        f"{family}.{size}": gpus for family, sizes in GPUS_BY_FAMILY.items() for size, gpus in sizes.items()
    }
    assert found == expected
