"""What an effect means to a resource, and how a finding is named: read by settings, limits and people."""

from ml_janitor.core.model import WORK_HOURS, Change, Effect, finding_id
from tables import cases


@cases(
    "effect, removes_data, stays, saves",
    (Effect.TAG, False, True, False),
    (Effect.STOP, False, False, True),
    (Effect.EXPIRE, True, True, True),
    (Effect.TIER, True, True, False),
    (Effect.DELETE, True, False, True),
)
def test_effects_have_classes(effect: Effect, *, removes_data: bool, stays: bool, saves: bool) -> None:
    assert (effect.removes_data, effect.stays, effect.saves) == (removes_data, stays, saves)


def test_the_easiest_undo_comes_first() -> None:
    assert [effect.rank for effect in (Effect.TAG, Effect.STOP, Effect.EXPIRE, Effect.TIER)] == [0, 1, 2, 3]


def test_a_resource_is_gone_after_two_changes() -> None:
    assert {change for change in Change if change.ends} == {Change.END, Change.DELETE_DATA}


def test_the_name_of_a_finding_stays() -> None:
    """Messages, holds and the ledger of earlier versions name findings by it."""
    assert finding_id("idle-endpoints", "arn@unknown") == "41526caa20"


def test_the_hours_of_work_of_each_change() -> None:
    assert WORK_HOURS == {
        Change.END: 0.25,
        Change.DELETE_DATA: 0.5,
        Change.LIFECYCLE: 2,
        Change.SPOT: 4,
        Change.RESIZE: 2,
        Change.REPLACE: 8,
        Change.COMMIT: 3,
        Change.LIMIT: 0.5,
        Change.TAG: 0.1,
    }
