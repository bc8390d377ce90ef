"""The pace of calls: never above half a rate, slower where AWS throttles, then as fast as before."""

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import many_accounts
from bench.monthly import counted
from bench.virtual_time import Bucket
from fakes import TRUST, SleepingClock
from ml_janitor.aws.calls import READ_THREADS
from ml_janitor.aws.pace import AWS_RATES, FIRST_DELAY, MOST_DELAY, UNKNOWN_RATE, Pace, RateSlot, allowed_rate
from ml_janitor.config.functions import schedule_groups
from ml_janitor.config.schedules import minutes_of_week
from ml_janitor.config.settings import Settings
from ml_janitor.core.durations import MINUTE, WEEK
from ml_janitor.scheduled.invocation import BILL_FUNCTION, LONGEST_INVOCATION, actions_by_function, rate_slots
from tables import cases

EAST, WEST = "us-east-1", "us-west-2"
LIST = "sagemaker:ListTrainingJobs"
DESCRIBE = "sagemaker:DescribeEndpoint"
ROUND_TRIP = 0.05
FIVE_O_CLOCK = 1_780_000_000 // 86400 * 86400 + 5 * 3600.0
BILLED = {"bill": {"enabled": True}}


class Baton:
    """A clock for several threads, of which one works at a time: whoever sleeps passes it on."""

    def __init__(self) -> None:
        self.now = FIVE_O_CLOCK
        self._sleeping: list[tuple[float, int, threading.Semaphore]] = []
        self._order = count()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        woken = threading.Semaphore(0)
        heapq.heappush(self._sleeping, (self.now + seconds, next(self._order), woken))
        self._pass_on()
        woken.acquire()

    def run(self, works: Sequence[Callable[[], None]]) -> None:
        """Do all *works* side by side."""
        with ThreadPoolExecutor(len(works)) as pool:
            for number, work in enumerate(works):
                woken = threading.Semaphore(0)
                heapq.heappush(self._sleeping, (self.now + number * 0.0037, next(self._order), woken))
                pool.submit(self._begun, woken, work)
            self._pass_on()

    def _begun(self, woken: threading.Semaphore, work: Callable[[], None]) -> None:
        woken.acquire()
        work()
        self._pass_on()

    def _pass_on(self) -> None:
        if self._sleeping:
            at, _, woken = heapq.heappop(self._sleeping)
            self.now = max(self.now, at)
            woken.release()


def paced(seconds: SleepingClock, **shares: RateSlot) -> Pace:
    turns = {f"sagemaker:{name}": share for name, share in shares.items()}
    return Pace(clock=seconds.clock, sleep=seconds.sleep, shares=turns)


@given(
    pauses=st.lists(st.floats(0, 3), min_size=2, max_size=40),
    action=st.sampled_from([*sorted(AWS_RATES), DESCRIBE]),
    sharers=st.integers(1, 4),
)
def test_a_function_never_exceeds_its_share(pauses: list[float], action: str, sharers: int) -> None:
    seconds, made = SleepingClock(FIVE_O_CLOCK), []
    pace = Pace(clock=seconds.clock, sleep=seconds.sleep, shares={action: RateSlot(sharers - 1, sharers)})

    for pause in pauses:
        seconds.now += pause
        pace.wait(EAST, action)
        made.append(seconds.now)

    least = sharers / allowed_rate(action)
    assert all(later - earlier >= least - 1e-5 for earlier, later in pairwise(made))


def at_once(which: str, action: str, length: float) -> list[list[float]]:
    """When each function calls *action*, if all begin within a second and call as often as they may."""
    made: list[list[float]] = []
    for number, (name, actions) in enumerate(actions_by_function(SETTINGS[which]).items()):
        if action not in actions:
            continue
        seconds = SleepingClock(FIVE_O_CLOCK + number * 0.037)
        pace = Pace(clock=seconds.clock, sleep=seconds.sleep, shares=TURNS[which][name])
        made.append([])
        while seconds.now < FIVE_O_CLOCK + length:
            pace.wait(EAST, action)
            made[-1].append(seconds.now)
    return made


def same_schedule() -> Settings:
    """Settings that start every function at the same minute."""
    bill = Settings.parse(BILLED)
    given = {each.name: {"schedule": bill.bill.schedule} for each in bill.enabled()}
    return Settings.parse({**BILLED, "detectors": given})


def runs(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """A name, the function and the schedule of every run."""
    yield BILL_FUNCTION, BILL_FUNCTION, settings.bill.schedule
    for group in schedule_groups(settings):
        yield group.detectors[0], group.function, group.schedule


SETTINGS = {"usual": Settings.parse(BILLED), "same schedule": same_schedule()}
TURNS = {
    which: {function: rate_slots(settings, name) for name, function, _ in runs(settings)}
    for which, settings in SETTINGS.items()
}
PACED = sorted(
    one for one in set().union(*actions_by_function(SETTINGS["usual"]).values()) if not one.startswith("s3:")
)


@cases(
    "settings, action",
    *(("usual", action) for action in sorted(AWS_RATES)),
    *(("same schedule", action) for action in PACED),
)
def test_all_functions_and_a_client_at_once_are_never_refused(settings: str, action: str) -> None:
    rate = AWS_RATES.get(action, 2 * UNKNOWN_RATE)
    length = max(20.0, 120 / rate)
    functions = at_once(settings, action, length)
    other = [FIVE_O_CLOCK + 0.011 + turn * 2 / rate for turn in range(int(length * rate / 2))]

    bucket = Bucket(rate)
    assert not any(bucket.refuses(at) for at in sorted(sum(functions, other)))
    assert sum(map(len, functions)) > 0.9 * length * rate / 2
    turns = [len(one) for one in functions]
    assert min(turns) > 0.9 * max(turns) - 1


@pytest.mark.parametrize("action", PACED)
def test_functions_that_run_together_by_their_schedules_share_what_nobody_publishes(action: str) -> None:
    settings = SETTINGS["usual"]
    callers = {
        name: (rate_slots(settings, name).get(action, RateSlot()).of, every_minute(schedule))
        for name, function, schedule in runs(settings)
        if action in actions_by_function(settings)[function]
    }
    for minute in set().union(*(starts for _, starts in callers.values())):
        last = {(minute - before) % (WEEK // MINUTE) for before in range(LONGEST_INVOCATION // MINUTE)}
        assert sum(1 / of for of, starts in callers.values() if starts & last) <= 1 + 1e-9


def test_a_run_of_advisers_shares_with_what_runs_beside_it_and_not_beside_their_other_runs() -> None:
    weekly, daily = (rate_slots(SETTINGS["usual"], name) for name in ("oversized-endpoints", "idle-clusters"))
    assert daily[f"{DESCRIBE}Config"] == RateSlot(0, 2), "the bill is read at half past six"
    assert f"{DESCRIBE}Config" not in weekly


def test_a_function_that_the_settings_give_no_calls_waits_with_the_first_turn_of_each() -> None:
    turns = rate_slots(Settings.parse({}), BILL_FUNCTION)
    assert (len(turns) > 20, {turn.place for turn in turns.values()}) == (True, {0})


def every_minute(schedule: str) -> set[int]:
    """When it may start, in minutes of a week; an hourly one at any."""
    return minutes_of_week(schedule) if schedule.startswith("cron(") else set(range(WEEK // MINUTE))


def test_an_organizations_functions_share_for_as_long_as_its_map_may_run() -> None:
    organization = {"id": "o-a1b2c3d4e5", "accounts": ["210987654321"], **TRUST}
    of_one = rate_slots(Settings.parse({}), "duplicate-artifacts")
    of_many = rate_slots(Settings.parse({"organization": organization}), "duplicate-artifacts")
    assert DESCRIBE not in of_one
    assert of_many[DESCRIBE].of > 1


@pytest.mark.parametrize("name", ["unused-serving-resources", "oversized-endpoints", "serverless-candidates"])
def test_an_account_of_a_thousand_endpoints_is_read_in_time_under_shares(name: str) -> None:
    """Threads describe its endpoints' configurations after all else was called."""
    seconds, calls = SleepingClock(FIVE_O_CLOCK), counted()["functions"][name]["calls"]
    pace = Pace(clock=seconds.clock, sleep=seconds.sleep, shares=many_accounts.turns(name))
    rest = {f"{DESCRIBE}Config": 0}
    for action, times in (calls | rest).items():
        for _ in range(times * (not action.startswith(("dynamodb:", "s3:")))):
            pace.wait(EAST, action)
            seconds.now += ROUND_TRIP
    threads = [seconds.now] * READ_THREADS
    for _ in range(calls[f"{DESCRIBE}Config"]):
        seconds.now = heapq.heappop(threads)
        pace.wait(EAST, f"{DESCRIBE}Config")
        seconds.now += ROUND_TRIP
        heapq.heappush(threads, seconds.now)

    assert calls[f"{DESCRIBE}Config"] == 1000
    assert max(threads) - FIVE_O_CLOCK < many_accounts.SWEEP_LASTS.total_seconds()


def test_buckets_answer_without_waiting_until_they_ask_for_it() -> None:
    seconds = SleepingClock(FIVE_O_CLOCK)
    pace = Pace(clock=seconds.clock, sleep=seconds.sleep, shares={"s3:ListObjectsV2": RateSlot(1, 4)})

    for _ in range(50):
        pace.wait(EAST, "s3:ListObjectsV2")
    assert seconds.slept == []

    pace.answered(EAST, "s3:ListObjectsV2", throttled=True)
    pace.wait(EAST, "s3:ListObjectsV2")
    assert sum(seconds.slept) == FIRST_DELAY


def test_what_has_no_published_rate_is_called_five_times_a_second() -> None:
    seconds = SleepingClock(FIVE_O_CLOCK)
    pace = paced(seconds)

    for _ in range(51):
        pace.wait(EAST, DESCRIBE)

    assert seconds.now - FIVE_O_CLOCK == pytest.approx(10)


@cases("limit, reached", (6, 1.5), (10, 3), (30, 10))
def test_an_unknown_rate_is_listened_for(limit: float, reached: float) -> None:
    """Threads call as often as they may for ten minutes, beside a client with half of the limit."""
    baton, bucket, length = Baton(), Bucket(limit), 600
    pace = Pace(clock=baton.clock, sleep=baton.sleep)
    answers: dict[str, list[bool]] = {"own": [], "other": []}

    def ask(who: str) -> bool:
        answers[who].append(bucket.refuses(baton.now))
        return answers[who][-1]

    def own() -> None:
        while baton.now < FIVE_O_CLOCK + length:
            pace.wait(EAST, DESCRIBE)
            refused = ask("own")
            baton.sleep(ROUND_TRIP)
            pace.answered(EAST, DESCRIBE, throttled=refused)

    def other() -> None:
        while baton.now < FIVE_O_CLOCK + length:
            ask("other")
            baton.sleep(2 / limit)

    baton.run([*[own] * READ_THREADS, other])
    share = {who: sum(refusals) / len(refusals) for who, refusals in answers.items()}
    made = len(answers["own"])
    assert max(share.values()) <= 0.01
    assert made / length > reached, "calls a second"


def test_an_unknown_rate_rises_each_second_and_rests_twice_as_long_after_each_throttled_call() -> None:
    seconds = SleepingClock()
    pace = paced(seconds)

    def rate(at: float, *, throttled: bool = False) -> float:
        seconds.now = at
        pace.answered(EAST, DESCRIBE, throttled=throttled)
        return round(1 / pace._lane(EAST, DESCRIBE).interval, 3)

    assert [rate(at) for at in (0, 0.9, 1, 1.9, 2)] == [5, 5, 6, 6, 7]
    assert [rate(10, throttled=True), rate(69.9), rate(70)] == [3.5, 3.5, 4.5]
    assert [rate(100, throttled=True), rate(219.9), rate(220)] == [2.25, 2.25, 3.25]


def test_each_throttled_call_doubles_the_pause_up_to_a_limit_and_answers_shorten_it_again() -> None:
    seconds = SleepingClock(FIVE_O_CLOCK)
    pace, pauses = paced(seconds), []
    for _ in range(8):
        pace.wait(EAST, LIST)
        pace.answered(EAST, LIST, throttled=True)
        pauses.append(_pause(pace, seconds))

    assert pauses == [2, 4, 8, 8, 8, 8, 8, 8]
    assert MOST_DELAY == 8

    for _ in range(100):
        pace.wait(EAST, LIST)
        pace.answered(EAST, LIST, throttled=False)
    assert _pause(pace, seconds) == 1


def _pause(pace: Pace, seconds: SleepingClock) -> float:
    """Seconds between two calls from here on."""
    pace.wait(EAST, LIST)
    before = seconds.now
    pace.wait(EAST, LIST)
    return seconds.now - before


def test_calls_that_were_on_their_way_when_one_was_throttled_slow_nothing_down_again() -> None:
    seconds = SleepingClock(FIVE_O_CLOCK)
    pace = paced(seconds)

    for _ in range(16):
        pace.answered(EAST, LIST, throttled=True)

    assert _pause(pace, seconds) == 2


def test_regions_and_operations_have_paces_of_their_own() -> None:
    seconds = SleepingClock(FIVE_O_CLOCK)
    pace = paced(seconds)

    for region in (EAST, WEST):
        for action in (LIST, "sagemaker:ListProcessingJobs"):
            pace.wait(region, action)

    assert seconds.slept == []


def test_a_lone_function_calls_at_once_and_those_that_share_take_turns() -> None:
    moments = []
    for slot in (RateSlot(), *(RateSlot(place, 5) for place in range(5))):
        seconds = SleepingClock(FIVE_O_CLOCK + 0.01)
        paced(seconds, DescribeEndpoint=slot).wait(EAST, DESCRIBE)
        moments.append(round(seconds.now - FIVE_O_CLOCK, 3))

    assert moments == [0.01, 1.0, 0.2, 0.4, 0.6, 0.8]


def test_a_run_without_time_waits_no_longer() -> None:
    seconds = SleepingClock(FIVE_O_CLOCK)
    pace = paced(seconds, ListTrainingJobs=RateSlot(0, 60))
    pace.wait(EAST, LIST)

    pace.wait(EAST, LIST, going=lambda: seconds.now < FIVE_O_CLOCK + 3)

    assert seconds.now == FIVE_O_CLOCK + 3
