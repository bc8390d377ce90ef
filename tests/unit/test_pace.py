"""The pace of calls: never above half a rate, slower where AWS throttles, then as fast as before."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ml_janitor.aws.pace import FIRST, MOST, RATES, SHARE, Pace

EAST, WEST = "us-east-1", "us-west-2"
LIST = "ListTrainingJobs"


@dataclass
class Seconds:
    """Seconds that pass when somebody sleeps."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def paced(seconds: Seconds, **sharers: int) -> Pace:
    return Pace(clock=lambda: seconds.now, sleep=seconds.sleep, sharers=sharers)


@given(
    pauses=st.lists(st.floats(0, 3), min_size=2, max_size=40),
    operation=st.sampled_from(sorted(RATES)),
    sharers=st.integers(1, 4),
)
def test_all_functions_together_never_exceed_their_share(
    pauses: list[float], operation: str, sharers: int
) -> None:
    seconds = Seconds()
    pace, made = paced(seconds, **{operation: sharers}), []

    for pause in pauses:
        seconds.now += pause
        pace.wait(EAST, operation)
        made.append(seconds.now)

    least = sharers / (RATES[operation] * SHARE)
    assert all(later - earlier >= least - 1e-6 for earlier, later in pairwise(made))


def test_what_has_no_known_rate_waits_for_nothing_until_it_is_throttled() -> None:
    seconds = Seconds()
    pace = paced(seconds)

    for _ in range(50):
        pace.wait(EAST, "DescribeTrainingJob")
    assert seconds.slept == []

    pace.answered(EAST, "DescribeTrainingJob", throttled=True)
    pace.wait(EAST, "DescribeTrainingJob")
    assert sum(seconds.slept) == FIRST


def test_each_throttled_call_doubles_the_pause_up_to_a_limit_and_answers_shorten_it_again() -> None:
    seconds = Seconds()
    pace, pauses = paced(seconds), []
    for _ in range(8):
        pace.wait(EAST, LIST)
        pace.answered(EAST, LIST, throttled=True)
        pauses.append(_pause(pace, seconds))

    assert pauses == [2, 4, 8, 8, 8, 8, 8, 8]
    assert MOST == 8

    for _ in range(100):
        pace.wait(EAST, LIST)
        pace.answered(EAST, LIST, throttled=False)
    assert _pause(pace, seconds) == 1


def _pause(pace: Pace, seconds: Seconds) -> float:
    """Seconds between two calls from here on."""
    pace.wait(EAST, LIST)
    before = seconds.now
    pace.wait(EAST, LIST)
    return seconds.now - before


def test_calls_that_were_on_their_way_when_one_was_throttled_slow_nothing_down_again() -> None:
    seconds = Seconds()
    pace = paced(seconds)

    for _ in range(16):
        pace.answered(EAST, LIST, throttled=True)

    assert _pause(pace, seconds) == 2


def test_regions_and_operations_have_paces_of_their_own() -> None:
    seconds = Seconds()
    pace = paced(seconds)

    for region in (EAST, WEST):
        for operation in (LIST, "ListProcessingJobs"):
            pace.wait(region, operation)

    assert seconds.slept == []


def test_a_run_without_time_waits_no_longer() -> None:
    seconds = Seconds()
    pace = paced(seconds, **{LIST: 60})
    pace.wait(EAST, LIST)

    pace.wait(EAST, LIST, going=lambda: seconds.now < 103)

    assert seconds.now == 103
