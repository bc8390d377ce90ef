"""What a deployment could undo no more: counted from the ledger, and the line that keeps it."""

import tomllib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import action_of
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Target
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.actions import Action
from ml_janitor_cli import edge
from ml_janitor_cli.disarming import LostUndo, lost_undos, write_days
from tables import cases

CLEANERS = [detector.name for detector in DETECTORS if detector.cleanup]
TODAY = NOW.date()


def done(detector: str, *, days: int = 3, region: str = REGION) -> Action:
    target = Target(
        arn=f"arn:aws:sagemaker:{region}:{ACCOUNT}:thing/left-on",
        name="left-on",
        kind="thing",
        account=ACCOUNT,
        region=region,
        created=NOW - timedelta(days=90),
    )
    began = NOW - timedelta(days=days)
    return replace(action_of(detector, target=target), began=began, steps={"act: stop": "done"})


def settings(detector: str, lines: str = "", janitor: str = "") -> Settings:
    text = f'[janitor]\nregions = ["{REGION}", "eu-west-1"]\n{janitor}\n[detectors.{detector}]\n{lines}\n'
    return Settings.load(base=tomllib.loads(text))


def lost(config: Settings, *actions: Action) -> list[tuple[str, int, date]]:
    found = lost_undos(config, actions, account=ACCOUNT, now=NOW)
    assert {undo.armed_until for undo in found} <= {TODAY}
    return [(undo.detector, undo.count, undo.until) for undo in found]


@pytest.mark.parametrize("detector", CLEANERS)
def test_each_detector_that_is_disarmed_without_a_day_loses_its_undos(detector: str) -> None:
    actions = done(detector), done(detector, days=5), done(detector, days=31)
    until = TODAY + timedelta(days=27)

    assert lost(settings(detector), *actions) == [(detector, 2, until)]
    for chosen in (TODAY, date(2020, 1, 1)):
        assert lost(settings(detector, f"armed_until = {chosen}"), *actions) == []
    assert lost(settings(detector, f'mode = "act"\nact_in = ["{ACCOUNT}/{REGION}"]'), *actions) == []
    assert lost(settings(detector), done(detector, days=31)) == []
    assert lost(settings(detector), replace(done(detector), steps={})) == []


def test_a_region_that_may_no_longer_be_acted_in_loses_them_only_where_a_day_would_help() -> None:
    armed = settings("idle-notebooks", f'mode = "act"\nact_in = ["{ACCOUNT}/{REGION}"]')
    elsewhere = [done("idle-notebooks", region=region) for region in (REGION, "eu-west-1", "ap-south-1")]
    for action in elsewhere:
        why = armed.why_not_allowed(
            "idle-notebooks", ACCOUNT, action.target.region, home=ACCOUNT, undo_on=TODAY
        )
        assert bool(lost(armed, action)) is (why is not None)
    assert lost(settings("idle-notebooks"), done("a-detector-of-tomorrow")) == []


@cases(
    "before",
    "",
    "[janitor]\nregions = []\n",
    '# ours\n[detectors.idle-notebooks] # stop them\n# how long\ngrace = "4h"\n\n[bill]\nenabled = true\n',
    '[ detectors . "idle-notebooks" ]\nenabled = true',
    "[detectors.idle-notebooks]\n[detectors.idle-endpoints]\nenabled = true\n",
)
def test_the_line_is_written_and_the_rest_of_the_file_stays(before: str, tmp_path: Path) -> None:
    file = tmp_path / "janitor.toml"
    file.write_text(before)

    write_days(file, [LostUndo(detector="idle-notebooks", count=1, until=TODAY, armed_until=TODAY)])

    after = file.read_text()
    assert Settings.load(files=[file]).sections["idle-notebooks"].armed_until == TODAY
    kept = [line for line in after.splitlines() if line.strip() and "armed_until" not in line]
    assert [line for line in before.splitlines() if line.strip()] == [
        line for line in kept if line in before or line != "[detectors.idle-notebooks]"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["janitor.toml"]


def test_a_file_of_another_shape_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "janitor.toml"
    file.write_text("detectors = {idle-notebooks = {enabled = true}}\n")

    with pytest.raises(edge.CommandRefusedError, match="write it by hand"):
        write_days(file, [LostUndo(detector="idle-notebooks", count=1, until=TODAY, armed_until=TODAY)])

    assert file.read_text() == "detectors = {idle-notebooks = {enabled = true}}\n"
