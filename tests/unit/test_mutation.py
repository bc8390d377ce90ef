"""Which mutants of a module there are, and which survivors are explained."""

from __future__ import annotations

import pytest

from mutation import ROOT, SOURCE, TARGETS, known, mutants

TEXT = '''
"""Doc."""
@dataclass(frozen=True)
class Limit:
    most: int | None = 3

    def admits(self, count: int, *, dry: bool = False) -> bool:
        if dry and not self.most:
            raise ValueError("no limit")
        note("asked")
        return 0 <= count < self.most
'''


def test_each_place_is_broken_once_and_no_text_or_annotation_is() -> None:
    found = [one.name.removeprefix("limit.py ") for one in mutants("limit.py", TEXT)]

    assert found == [
        "Limit: 3 -> 4",
        "Limit.admits: False -> True",
        "Limit.admits: dry and (not self.most) -> dry or not self.most",
        "Limit.admits: not self.most -> self.most",
        "Limit.admits: raise ValueError('no limit') -> nothing",
        "Limit.admits: note('asked') -> nothing",
        "Limit.admits: return 0 <= count < self.most -> return None",
        "Limit.admits: 0 <= count < self.most -> 0 < count < self.most",
        "Limit.admits: 0 <= count < self.most -> 0 <= count <= self.most",
        "Limit.admits: 0 -> 1",
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_and_its_tests_are_there_and_what_is_explained_can_survive(target: str) -> None:
    module = ROOT / SOURCE / target
    assert all((ROOT / "tests" / test).exists() for test in TARGETS[target])
    explained = {name for name in known() if name.startswith(f"{target} ")}

    there = {one.name for one in mutants(target, module.read_text())} if explained else set[str]()
    assert explained <= there
