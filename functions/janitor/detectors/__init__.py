"""The registry: every detector that exists, in the order of reports. Adding one is a file and a line here."""

from __future__ import annotations

from typing import Any

from janitor.detector import Detector

DETECTORS: tuple[type[Detector[Any]], ...] = ()
