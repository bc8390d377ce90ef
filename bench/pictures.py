"""The morning's picture: CPU from the numbers to the PNG, beside a yardstick of the same process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from ml_janitor.report.charts import PICTURE_FORM, DailySeries, draw_columns, render_png

RUNS = 7
DAYS, PROJECTS = 65, 60


def main() -> None:
    """Draw two months of 60 projects some times, and print the median."""
    first = date(2026, 8, 3)
    chart = DailySeries(
        title="What AWS charged",
        days=[first + timedelta(days=at) for at in range(DAYS)],
        groups={
            f"project-{number}": [Decimal(number * 7 + at) for at in range(DAYS)]
            for number in range(PROJECTS)
        },
    )
    picture = render_png(draw_columns(chart, PICTURE_FORM))
    took = cpu(lambda: render_png(draw_columns(chart, PICTURE_FORM)))
    yardstick = cpu(lambda: sum(number * number for number in range(1_000_000)))
    print(
        f"a picture, {DAYS} days of {PROJECTS} projects: {took:.2f} s of CPU, {took / yardstick:.1f} times "
        f"a million squares, {len(picture) / 1000:.0f} KB; medians of {RUNS}"
    )


def cpu(work: Callable[[], object]) -> float:
    """Return the median of the processor's seconds that *work* takes."""

    def once() -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    return statistics.median(once() for _ in range(RUNS))
