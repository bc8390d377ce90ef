"""Groups a report's sweeps by detector."""

from __future__ import annotations

from dataclasses import dataclass

from ml_janitor.core.model import Finding, Kept, Report, Result, Sweep
from ml_janitor.core.money import dearest_first
from ml_janitor_cli.finding_rows import Row


@dataclass(frozen=True, slots=True)
class Part:
    """All sweeps of one detector, whatever their regions."""

    detector: str
    sweeps: tuple[Sweep, ...]

    @property
    def results(self) -> list[Result]:
        """Their results, dearest first."""
        return sorted((result for sweep in self.sweeps for result in sweep.results), key=dearest_first)

    @property
    def found(self) -> list[Row]:
        """Their findings, dearest first."""
        return [Row(result, result.verdict) for result in self.results if isinstance(result.verdict, Finding)]

    def kept(self, *, unknown: bool) -> list[tuple[Result, Kept]]:
        """What was kept, either because it could not be judged, or for a good reason."""
        return [
            (result, result.verdict)
            for result in self.results
            if isinstance(result.verdict, Kept) and result.verdict.unknown is unknown
        ]


def by_detector(report: Report) -> list[Part]:
    """The report's sweeps put together by detector, in the registry's order."""
    names = dict.fromkeys(sweep.detector for sweep in report.sweeps)
    return [Part(name, tuple(s for s in report.sweeps if s.detector == name)) for name in names]
