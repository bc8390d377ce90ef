"""Which mutants of a module there are, and which survivors are explained."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from mutation import ROOT, SOURCE, TARGETS, known, mutants, names, swap

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


def test_tests_are_chosen_by_the_lines_of_the_statement_and_what_an_import_runs_needs_one() -> None:
    places = {one.name.removeprefix("limit.py "): one.place for one in mutants("limit.py", TEXT)}

    assert [name for name, place in places.items() if place.imported] == [
        "Limit: 3 -> 4",
        "Limit.admits: False -> True",
    ]
    test = places["Limit.admits: dry and (not self.most) -> dry or not self.most"]
    assert [TEXT.splitlines()[line - 1].strip() for line in test.lines] == ["if dry and not self.most:"]


def test_a_function_that_is_loaded_gets_the_broken_code() -> None:
    def loaded(text: str) -> dict[str, Any]:
        there: dict[str, Any] = {}
        exec(compile(text, "limit.py", "exec", dont_inherit=True), there)  # noqa: S102 - the text above
        return there

    text = TEXT.replace("@dataclass(frozen=True)\n", "")
    limit = loaded(text)["Limit"]
    (broken,) = (one for one in mutants("limit.py", text) if one.name.endswith("0 <= count <= self.most"))
    limit.admits.__globals__["note"] = lambda _: None
    assert not limit().admits(3)

    swap([limit.admits], compile(broken.tree, "limit.py", "exec", dont_inherit=True))

    assert limit().admits(3)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_and_its_tests_are_there_and_what_is_explained_can_survive(target: str) -> None:
    module = ROOT / SOURCE / target
    assert all((ROOT / "tests" / test).exists() for test in TARGETS[target])
    explained = {name for name in known() if name.startswith(f"{target} ")}

    assert not explained or explained <= set(names(target, ast.parse(module.read_text())))
