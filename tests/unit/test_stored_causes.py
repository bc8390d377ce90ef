"""Causes in the ledger: as data, beside the text of the version before; and nothing decides by words."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

import standin
from ml_janitor.acting import acting, undoing
from ml_janitor.core.model import Kept
from ml_janitor.core.results import Cause, CauseCode, UnfinishedProgress, make_cause
from ml_janitor.ledger import actions, findings
from ml_janitor.ledger.causes import _ATTRIBUTES, read_causes, store_cause
from ml_janitor.report import causes as words
from tables import cases
from upgrade import evenings
from upgrade.evenings import CAUSES, EVENINGS, RECORDED, Left, live, states

CAUSE = Cause(
    CauseCode.GIVEN_UP,
    (3, make_cause(CauseCode.ACT_FAILED, "throttled"), "cellar", None),
    along="a plug",
    progress=UnfinishedProgress.HALF_DONE,
    by="maria",
    then=make_cause(CauseCode.REVERTED_NEXT),
    by_hand="janitor undo 1",
)
NUMBERS = range(len(EVENINGS))


def test_a_cause_is_stored_whole_and_its_text_never_decides_which_it_is() -> None:
    stored = store_cause("error", CAUSE)

    assert read_causes(stored, "error", "refused") == {"error": CAUSE, "refused": None}
    assert json.loads(stored["error_cause"])["why"] == "given-up"
    assert store_cause("error", make_cause(CauseCode.GONE)) == {
        "error": "gone",
        "error_cause": '{"why":"gone"}',
    }
    assert store_cause("error", None) == {"error": "", "error_cause": ""}
    assert stored["error"] == "given up: 3, act failed: throttled, cellar"
    assert set(_ATTRIBUTES) == set(CAUSES)


@cases(
    "older, expected",
    ({"error": "it is used"}, make_cause(CauseCode.EARLIER_TEXT, "it is used")),
    ({"error": ""}, None),
    ({"error": None}, None),
    ({"error_cause": '{"why": "code-of-a-later-version"}'}, make_cause(CauseCode.EARLIER_TEXT, str(CAUSE))),
    ({"error_cause": "not JSON"}, make_cause(CauseCode.EARLIER_TEXT, str(CAUSE))),
    ids=["replaced", "emptied", "removed", "later", "broken"],
)
def test_a_newer_version_has_the_last_word(older: Mapping[str, Any], expected: Cause | None) -> None:
    """That of the version before knows the older attribute alone."""
    item = {**store_cause("error", CAUSE), **older}
    item = {name: value for name, value in item.items() if value is not None}

    assert read_causes(item, "error") == {"error": expected}


def test_each_code_has_a_value_of_its_own_and_words() -> None:
    assert {code.value for code in CauseCode} == {code.name.lower().replace("_", "-") for code in CauseCode}
    assert words.CAUSE_TEXTS.keys() == set(CauseCode)


# --- the version before ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded() -> list[Left]:
    """What each evening left under f11e1957."""
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


@contextmanager
def version_before() -> Iterator[None]:
    """Functions that read and write the table as f11e1957 did: a sentence in the older attribute, no more."""

    def store(name: str, cause: Cause | None) -> dict[str, str]:
        return {name: words.cause_text(cause)}

    def read(item: Mapping[str, Any], *names: str) -> dict[str, Cause | None]:
        return read_causes({name: item.get(name, "") for name in names}, *names)

    with pytest.MonkeyPatch.context() as patch:
        for module in (findings, actions):
            patch.setattr(module, "store_cause", store)
            patch.setattr(module, "read_causes", read)
        patch.setattr(actions, "_NO_ERROR", {"error": ""})
        for name in ("CLOSING", "WARNING", "REFUSAL", "UNTOLD"):
            known = getattr(findings, f"{name}_ATTRIBUTES")
            older = tuple(each for each in known if not each.endswith("_cause"))
            patch.setattr(findings, f"{name}_ATTRIBUTES", older)
        patch.setattr(findings, "cause_attributes", lambda *names: names)
        yield


@pytest.mark.parametrize("number", NUMBERS)
def test_each_evening_goes_on_from_what_the_version_before_left(recorded: list[Left], number: int) -> None:
    """And the version before finds after it what it would have left itself: that is a rollback."""
    before = recorded[number - 1] if number else {}

    assert states(live(number, before)) == states(recorded[number])


@pytest.mark.parametrize("older", [range(0, 99, 2), range(1, 99, 2), range(4), range(4, 99)])
def test_both_versions_share_a_table(recorded: list[Left], older: range) -> None:
    left: Left = {}
    for number in NUMBERS:
        with version_before() if number in older else nullcontext():
            left = live(number, left)
        assert states(left) == states(recorded[number])


# --- the law ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonsense", ["", "x"])
def test_words_decide_nothing(recorded: list[Left], monkeypatch: pytest.MonkeyPatch, nonsense: str) -> None:
    """Whatever a cause, an error or a report is called, the same is done and remembered."""
    monkeypatch.setattr(Cause, "__str__", lambda _: nonsense)
    monkeypatch.setattr(words, "CAUSE_TEXTS", dict.fromkeys(CauseCode, nonsense))
    for module in (acting, undoing):
        monkeypatch.setattr(module, "error_text", lambda _: nonsense)
    monkeypatch.setattr(evenings, "WATCHED", nonsense)
    monkeypatch.setattr(standin, "USED", Kept(reason=nonsense))
    left: Left = {}
    for number in NUMBERS:
        left = live(number, left)
        known = states(recorded[number])
        found = states(left)
        assert {name: without_causes(each) for name, each in found.items()} == {
            name: without_causes(each) for name, each in known.items()
        }


def without_causes(state: Any) -> Any:
    """A *state* without whether the older attributes are empty: no code of this version asks that."""
    if not isinstance(state, dict):
        return state
    return {name: value for name, value in state.items() if name not in CAUSES}
