"""Corrected moto in this process: its clock and its durations, and what no AWS API can make."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import moto_corrections
from moto_corrections import clock, cloudtrail, cloudwatch, logs, paging
from moto_corrections.overrides import override
from moto_corrections.sagemaker.progress import durations

ACCOUNT, REGION = "123456789012", "us-east-1"
NOW = clock.DEFAULT


class Control:
    """What tests do beside AWS's API, by the names that the sandbox's client has over HTTP."""

    def reset(self) -> None:
        moto_corrections.reset()

    def clock(self) -> dt.datetime:
        return clock.now()

    def set_clock(self, now: dt.datetime) -> None:
        clock.set_now(now)

    def durations(self) -> dict[str, float]:
        return dict(durations().seconds)

    def set_durations(self, seconds: Mapping[str, float]) -> None:
        durations().set(seconds)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        before = self.durations()
        self.set_durations({"*": 0})
        yield
        self.set_durations(before)

    def set_pages(self, most: int) -> None:
        paging.pages().set(most)

    def patch(self, service: str, path: Sequence[str | int], **attributes: Any) -> None:
        override(ACCOUNT, REGION, service=service, path=list(path), set=_spelled(attributes))

    def cloudtrail(self, events: Iterable[Mapping[str, Any]]) -> None:
        cloudtrail.seed(ACCOUNT, REGION, [_spelled(event) for event in events])

    def logs(
        self, group: str, stream: str, events: Iterable[tuple[dt.datetime, str]] = (), **more: Any
    ) -> None:
        spelled = [(clock.text(at), message) for at, message in events]
        logs.seed(ACCOUNT, REGION, group, stream, spelled, **more)

    def metrics(self, namespace: str, series: Iterable[Mapping[str, Any]]) -> None:
        cloudwatch.seed(ACCOUNT, REGION, namespace, [_spelled(metric) for metric in series])


def _spelled(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: clock.text(v) if isinstance(v, dt.datetime) else v for name, v in members.items()}
