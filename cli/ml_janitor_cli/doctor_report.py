"""The results of `janitor doctor`, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ml_janitor.aws.account import Caller
from ml_janitor.aws.prices import FROM_PRICE_LIST, FROM_PRICE_TABLE, PRICE_TABLE_REGION
from ml_janitor.core.signals import Signal, Unreadable, Value
from ml_janitor.core.text import escape_text
from ml_janitor.engine.detector import Detector, Grant
from ml_janitor.report.mrkdwn import count_noun
from ml_janitor_cli.detectors import format_setting
from ml_janitor_cli.finding_rows import ERROR_LIMIT
from ml_janitor_cli.probes import ProbeAnswer, ProbeResult
from ml_janitor_cli.screen import draw_facts, draw_title, ruled_table
from ml_janitor_cli.terminal import draw_list

type ProbeAnswers = Mapping[str, Mapping[Grant, ProbeResult]]
"""By region, the answer to each grant's probe."""

SETTING_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """A setting that is not at its default."""

    name: str
    value: Any
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """
    All results of the checks.

    *facts* are rows of the head, *off* the detectors that are switched off, *prices* the grant that prices
    are asked with. Without a caller, nothing was *probed*.
    """

    caller: Signal[Caller]
    credentials: str
    facts: Mapping[str, str]
    changes: Sequence[SettingChange]
    detectors: Sequence[Detector[Any]]
    off: Sequence[str]
    prices: Grant
    probed: ProbeAnswers

    @property
    def fine(self) -> bool:
        """Return whether an audit would see everything, as far as the probes can tell."""
        return isinstance(self.caller, Value) and not self.refused and not self.failed

    @property
    def refused(self) -> list[str]:
        """Return the IAM actions that are missing."""
        return action_names(self.where(ProbeAnswer.REFUSED))

    @property
    def failed(self) -> list[str]:
        """Return the IAM actions whose probes got no answer."""
        return action_names(self.where(ProbeAnswer.FAILED))

    def where(self, answer: ProbeAnswer) -> list[tuple[str, ProbeResult]]:
        """Return every probe of a detector's read that had this answer, with its region."""
        declared = {grant for detector in self.detectors for grant in detector.reads}
        return [
            (region, probed)
            for region, answers in self.probed.items()
            for grant, probed in answers.items()
            if probed.answer is answer and grant in declared
        ]

    def who_reads(self, grant: Grant) -> list[str]:
        """Return the detectors that declare *grant*."""
        return [detector.name for detector in self.detectors if grant in detector.reads]


def action_names(probed: Iterable[tuple[str, ProbeResult]]) -> list[str]:
    """Return their IAM actions, each once."""
    return list(dict.fromkeys(answer.grant.action for _, answer in probed))


def draw_checkup(result: Checkup) -> Iterator[RenderableType]:
    """Yield the blocks of the answer, from the headline to the reads without an answer."""
    yield draw_title("ML Janitor", checkup_headline(result))
    yield draw_facts(checkup_facts(result))
    if result.probed:
        yield draw_reads_table(result)
        yield from draw_probe_details(result)


def checkup_headline(result: Checkup) -> str:
    """Summarize the results in one sentence."""
    if not isinstance(result.caller, Value):
        return "The credentials could not be identified."
    parts = []
    if result.refused:
        parts.append(f"{count_noun(len(result.refused), 'action')} refused: {', '.join(result.refused)}")
    if result.failed:
        parts.append(f"{count_noun(len(result.failed), 'action')} not answered: {', '.join(result.failed)}")
    return f"{'; '.join(parts)}." if parts else "Everything that could be tried is allowed."


def checkup_facts(result: Checkup) -> Iterator[tuple[str, str | Text]]:
    """Say who asks, where, with which settings."""
    match result.caller:
        case Value(caller):
            yield "identity", escape_text(caller.arn)
            yield "account", escape_text(caller.account)
        case Unreadable(error):
            yield "identity", Text(f"unknown: {escape_text(error, ERROR_LIMIT)}", style="red")
    yield "credentials", escape_text(result.credentials)
    for name, fact in result.facts.items():
        yield name, escape_text(fact, ERROR_LIMIT)
    for number, change in enumerate(result.changes):
        usual = setting_text(change.default) or "nothing"
        line = Text.assemble(f"{change.name} = {setting_text(change.value)}", (f"  default {usual}", "dim"))
        yield "changed" if number == 0 else "", line
    for number, (region, answers) in enumerate(result.probed.items()):
        several = f"{region}: " if len(result.probed) > 1 else ""
        yield "prices" if number == 0 else "", f"{several}{price_source(answers[result.prices], region)}"
    tried_on = {
        probed.bucket for answers in result.probed.values() for probed in answers.values() if probed.bucket
    }
    if tried_on:
        yield "tried on", f"{', '.join(map(escape_text, sorted(tried_on)))}, for what needs a bucket"
    if result.off:
        yield "switched off", ", ".join(result.off)


def price_source(probed: ProbeResult, region: str) -> str:
    """Say where prices will come from."""
    if probed.answer is ProbeAnswer.ALLOWED:
        return f"the {FROM_PRICE_LIST} answers"
    else_from = f"the {FROM_PRICE_TABLE}" if region == PRICE_TABLE_REGION else "nowhere: they are unknown"
    return f"the {FROM_PRICE_LIST} does not answer ({escape_text(probed.why)}), so they come from {else_from}"


def setting_text(value: object) -> str:
    """Return a setting's value as a reader would write it."""
    return escape_text(format_setting(tuple(value) if isinstance(value, list) else value), SETTING_LIMIT)


def draw_reads_table(result: Checkup) -> RenderableType:
    """Draw how many reads of each detector are allowed, and which are not."""
    drawn = ruled_table()
    drawn.add_column("detector", header_style="dim", no_wrap=True)
    drawn.add_column("reads allowed", header_style="dim", justify="right", no_wrap=True)
    drawn.add_column("not probed", header_style="dim", justify="right", no_wrap=True)
    drawn.add_column("missing", header_style="dim", ratio=1, overflow="fold", min_width=len("missing"))
    for detector in result.detectors:
        read = [
            (region, answers[grant]) for region, answers in result.probed.items() for grant in detector.reads
        ]
        allowed = sum(probed.answer is ProbeAnswer.ALLOWED for _, probed in read)
        unprobed = sum(probed.answer is ProbeAnswer.NOT_PROBED for _, probed in read)
        missing = [pair for pair in read if pair[1].answer is ProbeAnswer.REFUSED]
        drawn.add_row(
            Text(escape_text(detector.name)),
            f"{allowed} of {len(read)}",
            str(unprobed) if unprobed else "",
            Text(", ".join(missing_actions(missing, result)), style="red"),
        )
    return drawn


def missing_actions(missing: Sequence[tuple[str, ProbeResult]], result: Checkup) -> list[str]:
    """Return the actions, and where they are missing if that is not everywhere."""
    by_action: dict[str, dict[str, None]] = {}
    for region, probed in missing:
        by_action.setdefault(probed.grant.action, {})[region] = None
    return [
        action if len(regions) == len(result.probed) else f"{action} (in {', '.join(regions)})"
        for action, regions in by_action.items()
    ]


def draw_probe_details(result: Checkup) -> Iterator[RenderableType]:
    """Draw AWS's own words about missing actions, and why the rest is unknown."""
    blocks = (
        (ProbeAnswer.REFUSED, "Refused", "red"),
        (ProbeAnswer.FAILED, "Not answered", "yellow"),
        (ProbeAnswer.NOT_PROBED, "Not probed", "dim"),
    )
    for answer, name, style in blocks:
        if rows := group_probes(result, result.where(answer)):
            count = len(action_names(result.where(answer)))
            yield draw_list(f"{name}: {count_noun(count, 'action')}", rows, style=style)
    if result.refused:
        yield Text("\n`janitor doctor --policy` prints the IAM policy that allows what an audit here needs.")


def group_probes(result: Checkup, probed: Sequence[tuple[str, ProbeResult]]) -> list[tuple[str, str]]:
    """Group probes with the same reason: the actions with their detectors, and the reason."""
    by_reason: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for _, answer in probed:
        who = tuple(result.who_reads(answer.grant))
        by_reason.setdefault((answer.why, who), {})[answer.grant.action] = None
    return [
        (f"{', '.join(found)} ({', '.join(map(escape_text, who))})", escape_text(why, ERROR_LIMIT))
        for (why, who), found in by_reason.items()
    ]
