"""Undoes everything that was done, the last deed first, by a function that may be killed as well."""

from __future__ import annotations

from typing import Any

from conftest import ACCOUNT, REGION
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.ledger.actions import Action, Actions, Stage
from ml_janitor_sandbox.process_kill import Killed
from properties.whole.deployment import FAILED, FILLED, Deployment, Shift
from properties.whole.judge import Phase
from properties.whole.trouble import UNDOES
from properties.worlds.base import UNTAGGED

FOR_GOOD = ("a warm pool does not come back", "a tuning job is not submitted again")
"""What the table of detectors says does not come back."""

ANOTHER = "it is gone, or another resource has its name now"

TRIES = 6


class TakingBack:
    """The undo function of *deployment*."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.trouble, self.judge = deployment.trouble, deployment.judge
        self.again: dict[str, str] = {}
        """The jobs that were submitted again, and as what, by ARN."""
        self.filled_for_good: set[str] = set()
        """Whose tags were filled in before another detector deleted it: what has its name now is another."""

    def asked(self, shift: Shift) -> None:
        """What sweeps asked to be put back."""
        asked, shift.put_back = shift.put_back, []
        for action in asked:
            self.undo(shift, action)
        self.trouble.end()

    def everything(self) -> None:
        """All that was done by any detector, the last first."""
        known = [
            (shift, action)
            for shift in self.deployment.shifts.values()
            for action in self._actions(shift)
            if action.stage not in {Stage.WITHDRAWN, Stage.UNDONE}
        ]
        order = {place: number for number, place in enumerate(self.judge.order)}
        known.sort(key=lambda each: -order.get((each[0].detector.name, each[1].target.arn.lower()), -1))
        for shift, action in known:
            self.undo(shift, action)
        self.trouble.end()

    def _actions(self, shift: Shift) -> list[Action]:
        return Actions(self.deployment.mine).all(shift.detector.name, ACCOUNT, REGION)

    def undo(self, shift: Shift, action: Action) -> None:
        """Until it is done, however often its function dies or fails."""
        arn = action.target.arn.lower()
        for attempt in range(TRIES):
            what = "nothing"
            if attempt < TRIES - 2 and self.trouble.chance(0.4):
                what = self.trouble.strike(UNDOES[shift.detector.name], anywhere=20)
            if attempt == TRIES - 2:
                self.trouble.end()
            self.deployment.tell(f"{shift.detector.name} undoes {arn}: {what}")
            if (why := self._try(shift, action)) is None:
                break
            self.deployment.tell(why)
            if why.endswith("for good"):
                return
            if shift.detector.name == UNTAGGED and ANOTHER in why and self._deleted(arn):
                self.filled_for_good.add(arn)
                return
        else:
            self.judge.say(f"{arn} could not be brought back: {why}")
            return
        self.judge.rests.add(arn)
        self.judge.afresh(arn)

    def _deleted(self, arn: str) -> bool:
        """Whether another detector acted on it, or on the endpoint that a component is a part of."""
        whole = arn.replace(":inference-component/", ":endpoint/").removesuffix("-ic")
        return any(of in {arn, whole} and detector != UNTAGGED for detector, of in self.judge.begun)

    def _try(self, shift: Shift, action: Action) -> str | None:
        """One call of the undo function; why it was not done, or None."""
        arn = action.target.arn.lower()
        self.judge.phase = Phase(detector=shift.detector.name, undoes=arn)
        try:
            found = shift.undoing.find(shift.detector.name, ACCOUNT, REGION, action.id)
            done = shift.undoing.undo(shift.detector, shift.aws, found, by="maria")
        except Killed:
            self.trouble.die()
            return "its function was killed"
        except CannotUndoError as error:
            if " before, " in str(error):  # an undo that lost the answer of its last record
                self._learns(arn, str(error))
                return None
            return f"{error}{': for good' if any(why in str(error) for why in FOR_GOOD) else ''}"
        except FAILED as error:
            return f"it failed: {error}"
        finally:
            self.judge.phase = None
        self._learns(arn, done.became)
        return None

    def _learns(self, arn: str, said: str) -> None:
        """Under which name *arn* was submitted again, if it was."""
        if " was submitted again as " in said:
            self.again[arn] = said.partition(" was submitted again as ")[2].partition(",")[0]

    def submitted(self, arn: str, job: Any) -> bool:
        """Whether *job* is a job that was submitted again, as it had been, under another name."""
        was = next((old for old, name in self.again.items() if arn.endswith(f"/{name.lower()}")), None)
        return was is not None and self._same(self.judge.before[was], job)

    def _same(self, was: Any, job: Any) -> bool:
        asked = (
            "RoleArn",
            "CheckpointConfig",
            "OutputDataConfig",
            "StoppingCondition",
            "ProcessingResources",
        )
        filled = {key: value for key, value in job["tags"].items() if key not in was["tags"]}
        kept = {key: value for key, value in job["tags"].items() if key in was["tags"]}
        tagged = kept == was["tags"] and filled.keys() <= {*FILLED, "owner"}  # as it was when it was stopped
        return tagged and all(was.get(member) == job.get(member) for member in asked)
