"""The results of `janitor doctor` about the deployed stack, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.text import Text

from ml_janitor.core.text import escape_text
from ml_janitor.report.mrkdwn import count_noun
from ml_janitor_cli.finding_rows import ERROR_LIMIT
from ml_janitor_cli.screen import draw_facts, draw_title, ruled_table
from ml_janitor_cli.stack import LIST_RESOURCES, Check, CheckOutcome, DeployedStack, Trouble
from ml_janitor_cli.terminal import draw_list

CHECK_COLUMNS = ("schedule", "last run", "queues", "alarms")
"""Checks of every function, in the order of their columns; the function itself has no column."""

CELL_LIMIT = 40
OUTCOME_STYLES = {
    CheckOutcome.WRONG: "red",
    CheckOutcome.REFUSED: "yellow",
    CheckOutcome.FAILED: "yellow",
    CheckOutcome.NOT_PROBED: "dim",
}
OUTCOME_ORDER = (*OUTCOME_STYLES, CheckOutcome.FINE)
SHORT_OUTCOMES = {
    CheckOutcome.WRONG: "wrong",
    CheckOutcome.REFUSED: "refused",
    CheckOutcome.FAILED: "no answer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentResult:
    """
    The results about the stack *name*.

    Without *found*, *without* says why nothing was checked; *expected* is whether that is a problem.
    """

    name: str
    regions: Sequence[str]
    expected: bool
    found: DeployedStack | None = None
    without: Trouble | None = None
    checks: Sequence[Check] = field(default=())

    @property
    def fine(self) -> bool:
        """Return whether the deployment works, as far as the checks could tell."""
        if self.found is None:
            lost = self.without is not None and self.without.outcome is CheckOutcome.FAILED
            return not self.expected and not lost
        return not any(
            self.having(outcome)
            for outcome in (CheckOutcome.WRONG, CheckOutcome.REFUSED, CheckOutcome.FAILED)
        )

    def having(self, outcome: CheckOutcome) -> list[Check]:
        """Return the checks with this outcome."""
        return [check for check in self.checks if check.outcome is outcome]


def draw_deployment(result: DeploymentResult) -> Iterator[RenderableType]:
    """Yield the blocks about the deployment, from its headline to checks without an answer."""
    yield Group(
        draw_title("Deployment", deployment_headline(result)),
        *([Text(escape_text(result.without.why, ERROR_LIMIT), style="dim")] if result.without else []),
    )
    if result.found is None:
        return
    yield draw_function_table(result.checks)
    if whole := [check for check in result.checks if not check.about and check.outcome is CheckOutcome.FINE]:
        yield draw_facts((check.what, escape_text(check.seen, ERROR_LIMIT)) for check in whole)
    for outcome in (CheckOutcome.WRONG, CheckOutcome.REFUSED, CheckOutcome.FAILED, CheckOutcome.NOT_PROBED):
        if checks := result.having(outcome):
            yield draw_list(
                f"In the deployment, {outcome}: {len(checks)}",
                fault_rows(checks),
                style=OUTCOME_STYLES[outcome],
            )


def deployment_headline(result: DeploymentResult) -> str:
    """Summarize the results in one sentence."""
    where = ", ".join(result.regions)
    if result.found is None:
        if result.without is None:
            return f"Not deployed here: there is no stack {result.name} in {where}."
        if result.without.outcome is CheckOutcome.REFUSED:
            return f"Whether {result.name} is deployed here cannot be told: {LIST_RESOURCES} is refused."
        return f"Whether {result.name} is deployed here cannot be told: CloudFormation did not answer."
    found = f"Stack {result.name} in {result.found.region}"
    seen = [f"{count_noun(len(wrong), 'problem')}"] if (wrong := result.having(CheckOutcome.WRONG)) else []
    seen += [
        f"{len(checks)} of {len(result.checks)} checks {outcome}"
        for outcome in (CheckOutcome.REFUSED, CheckOutcome.FAILED)
        if (checks := result.having(outcome))
    ]
    return f"{found}: {'; '.join(seen)}." if seen else f"{found}: all is well."


def draw_function_table(checks: Sequence[Check]) -> RenderableType:
    """Draw the results function by function, a column for each check."""
    drawn = ruled_table()
    for column in ("function", *CHECK_COLUMNS):
        drawn.add_column(column, header_style="dim", no_wrap=True)
    by_function: dict[str, dict[str, list[Check]]] = {}
    for check in checks:
        if check.about:
            by_function.setdefault(check.about, {}).setdefault(check.what, []).append(check)
    for about, found in by_function.items():
        drawn.add_row(
            Text(escape_text(about)), *(draw_check_cell(found.get(column, [])) for column in CHECK_COLUMNS)
        )
    return drawn


def draw_check_cell(checks: Sequence[Check]) -> Text:
    """Draw one check of one function in a word or two; the blocks below say the rest."""
    worst = min(checks, key=lambda check: OUTCOME_ORDER.index(check.outcome), default=None)
    if worst is None:
        return Text()
    seen = worst.short or SHORT_OUTCOMES.get(worst.outcome, worst.seen)
    return Text(escape_text(seen, CELL_LIMIT), style=OUTCOME_STYLES.get(worst.outcome, ""))


def fault_rows(checks: Sequence[Check]) -> list[tuple[str, str]]:
    """List problems: their subject, the observation, and the next step. Equal problems are listed once."""
    together: dict[tuple[str, str, str], list[str]] = {}
    for check in checks:
        together.setdefault((check.what, check.seen, check.to_do), []).append(check.about)
    return [
        (fault_subject(what, abouts), fault_with_advice(seen, to_do))
        for (what, seen, to_do), abouts in together.items()
    ]


def fault_subject(what: str, abouts: Sequence[str]) -> str:
    """Name the functions, and the checked part."""
    named = ", ".join(escape_text(about) for about in abouts if about)
    return f"{named}: {what}" if named else what


def fault_with_advice(seen: str, to_do: str) -> str:
    """Return one problem with its next step."""
    seen = escape_text(seen, ERROR_LIMIT)
    return f"{seen}\n→ {to_do}" if to_do else seen
