"""Which function and schedule each detector has, and what the role of the advisers reads."""

from ml_janitor.config.functions import (
    ADVISERS,
    Advisers,
    ScheduleGroup,
    group_of,
    list_advisers,
    schedule_groups,
)
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Change


def test_each_schedule_of_the_advisers_has_its_own_and_their_role_reads_what_each_reads() -> None:
    mine = {"spot-training": {"schedule": "rate(3 days)"}, "unused-volumes": {"schedule": "rate(5 days)"}}
    settings = Settings.parse({"detectors": mine})

    groups = [group for group in schedule_groups(settings) if group.function == ADVISERS]
    advisers = list_advisers(settings)

    by_schedule = {group.schedule: group.detectors for group in groups}
    assert (by_schedule["rate(3 days)"], by_schedule["rate(5 days)"]) == (
        ("spot-training",),
        ("unused-volumes",),
    )
    assert len({group.id for group in groups}) == len(groups) > 2
    assert {name for group in groups for name in group.detectors} == {each.name for each in advisers}
    assert [each.asks_for is Change.COMMIT for each in advisers].index(True) == len(advisers) - 1
    assert "without a function of their own" in Advisers.summary()
    assert {*Advisers(advisers).reads} == {grant for each in advisers for grant in each.reads}
    assert {group_of(settings, each.name) for each in advisers} == {*groups}


def test_a_run_of_several_detectors_goes_on_in_parts_and_one_alone_only_if_it_resumes() -> None:
    alone, several = ScheduleGroup("a", "rate(1 day)", ("a",)), ScheduleGroup(ADVISERS, "*", ("a", "b"))

    assert (alone.in_parts, several.in_parts) == (False, True)
    assert ScheduleGroup("a", "rate(1 day)", ("a",), resumes=True).in_parts
    assert (alone.id, several.id) == ("Schedule", "Scheduleall")
