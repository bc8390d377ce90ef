"""How long a change takes is the sandbox's own, on its own clock, and anybody's to set."""

import datetime as dt
from typing import Any

import pytest

from corrected import Control
from moto_corrections.sagemaker.progress import DEFAULTS
from plain_requests import notebook


def make(sagemaker: Any) -> None:
    notebook(sagemaker, "nb")


def status(sagemaker: Any) -> str:
    return str(sagemaker.describe_notebook_instance(NotebookInstanceName="nb")["NotebookInstanceStatus"])


def test_they_can_be_set_and_a_reset_forgets_it(control: Control, sagemaker: Any, later: Any) -> None:
    assert control.durations() == dict(DEFAULTS)
    control.set_durations({"notebook.create": 3600})
    make(sagemaker)
    later(seconds=3599)
    assert status(sagemaker) == "Pending"
    later(seconds=1)
    assert status(sagemaker) == "InService"
    control.reset()
    assert control.durations() == dict(DEFAULTS)


def test_everything_can_happen_at_once_for_a_while(control: Control, sagemaker: Any) -> None:
    control.set_durations({"notebook.stop": 7})
    with control.at_once():
        make(sagemaker)
        assert status(sagemaker) == "InService"
    assert control.durations() == dict(DEFAULTS) | {"notebook.stop": 7}
    sagemaker.stop_notebook_instance(NotebookInstanceName="nb")
    assert status(sagemaker) == "Stopping"


def test_what_began_keeps_its_time(control: Control, sagemaker: Any, later: Any) -> None:
    make(sagemaker)
    control.set_durations({"*": 0})
    assert status(sagemaker) == "Pending"
    later(seconds=DEFAULTS["notebook.create"])
    assert status(sagemaker) == "InService"


def test_a_clock_that_goes_back_undoes_nothing(sagemaker: Any, later: Any) -> None:
    make(sagemaker)
    later(hours=1)
    assert status(sagemaker) == "InService"
    later(hours=-2)
    assert status(sagemaker) == "InService"


def test_regions_and_accounts_have_their_own_agenda(control: Control, aws: Any) -> None:
    here, there = aws("sagemaker"), aws("sagemaker", region="eu-west-1")
    make(here)
    control.set_clock(control.clock() + dt.timedelta(minutes=3))
    make(there)
    control.set_clock(control.clock() + dt.timedelta(minutes=2))
    assert (status(here), status(there)) == ("InService", "Pending")


@pytest.mark.parametrize("wrong", [{"endpoint.explode": 1}, {"notebook.stop": -1}, {"notebook.stop": "soon"}])
def test_nonsense_is_refused(control: Control, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"endpoint\.explode|notebook\.stop"):
        control.set_durations(wrong)
    assert control.durations() == dict(DEFAULTS)
