"""Which mutants of a module there are, and which survivors are explained."""

import ast
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from pluggy import PluggyTeardownRaisedWarning

import mutation
from fakes import raising
from mutation import broken, changed_functions, mutants, names, parts, swap
from mutation_targets import (
    ALSO,
    FOR_TRAINERS,
    ROOT,
    allowed,
    breakages,
    counted,
    known,
    nearest_tests,
    of_kit,
    targets,
)
from samples import share

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

    def same(self, other) -> bool:
        for mine, its in zip(self, other, strict=True):
            if mine != its:
                return False
            if mine is None:
                return False
        return True
'''


def test_each_place_is_broken_once_and_no_text_or_annotation_is() -> None:
    assert [one.name.removeprefix("limit.py ") for one in mutants("limit.py", TEXT)] == [
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
        "Limit.same: mine != its -> mine == its",
        "Limit.same: False -> True",
        "Limit.same: mine is None -> mine is not None",
        "Limit.same: False -> True (2)",
        "Limit.same: True -> False",
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
    (mutant,) = (one for one in mutants("limit.py", text) if one.name.endswith("0 <= count <= self.most"))
    limit.admits.__globals__["note"] = lambda _: None
    assert not limit().admits(3)

    swap(
        [limit.admits], *(compile(one, "limit.py", "exec", dont_inherit=True) for one in (text, mutant.tree))
    )

    assert limit().admits(3)


def test_a_function_that_another_one_made_gets_the_broken_code_too() -> None:
    text = "def above(least):\n    return lambda value: value > least\n"
    there: dict[str, Any] = {}
    exec(compile(text, "limit.py", "exec", dont_inherit=True), there)  # noqa: S102 - the text above
    positive = there["above"](0)
    (mutant,) = (one for one in mutants("limit.py", text) if one.name.endswith("value >= least"))

    swap([positive], *(compile(one, "limit.py", "exec", dont_inherit=True) for one in (text, mutant.tree)))

    assert positive(0)


def test_a_failure_that_cannot_be_reported_is_one(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing = iter([[], [SimpleNamespace(failed=False)]])
    monkeypatch.setattr("_pytest.runner.runtestprotocol", lambda *_, **__: next(passing))
    assert mutation._pass([request.node, request.node])

    for error in (SystemError("recursion depth mismatch"), PluggyTeardownRaisedWarning("hypothesis")):
        monkeypatch.setattr("_pytest.runner.runtestprotocol", raising(error))
        assert not mutation._pass([request.node])

    monkeypatch.setattr("_pytest.runner.runtestprotocol", raising(KeyError("an error of the harness")))
    with pytest.raises(KeyError):
        mutation._pass([request.node])


def test_of_a_large_module_the_changed_functions_count() -> None:
    (line,) = (number for number, text in enumerate(TEXT.splitlines(), 1) if "note(" in text)

    found = {one.place.where for one in changed_functions(list(mutants("limit.py", TEXT)), TEXT, {line})}

    assert found == {"Limit.admits"}


def test_each_module_is_a_target_and_has_tests() -> None:
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "functions").rglob("*.py")} < set(targets())
    assert all((ROOT / path).exists() for path in FOR_TRAINERS)
    for path in targets():
        tests = nearest_tests(path)
        assert all(test.exists() for test in tests)
        assert tests or not list(names(path, ast.parse((ROOT / path).read_text())))


def test_tests_besides_the_nearest_are_of_modules_that_exist() -> None:
    assert [start for start in ALSO if not any(path.startswith(start) for path in targets())] == []


def test_each_target_is_in_one_part_of_the_nightly_run() -> None:
    assert [path for part in parts() for path in part] == sorted(targets(), key=of_kit)


def test_what_is_explained_can_survive() -> None:
    explained = defaultdict[str, set[str]](set)
    for name in known():
        explained[name.partition(" ")[0]].add(name)

    for path, survivors in explained.items():
        assert not counted(path)
        assert survivors <= set(names(path, ast.parse((ROOT / path).read_text())))
    assert all(counted(path) and (ROOT / path).exists() for path in allowed())


BROKEN = sorted({row.file for row in breakages()})


@pytest.mark.parametrize("file", BROKEN)
def test_breakages_still_apply(file: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    assert [row.old for row in breakages() if row.file == file and text.count(row.old) != 1] == []


@pytest.mark.parametrize("file", share(BROKEN, 4))
def test_breakages_compile_and_change_something(file: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    whole = [ast.dump(node) for node in ast.parse(text).body]
    for mutant in broken(file, text):
        body = mutant.tree.body
        assert len(body) != len(whole) or any(
            ast.dump(node) != was for node, was in zip(body, whole, strict=True)
        )
        assert all(test.exists() for test in mutant.tests)


def test_breakages_stand_in_the_order_of_their_files() -> None:
    files = [row.file for row in breakages()]

    assert files == sorted(files)
