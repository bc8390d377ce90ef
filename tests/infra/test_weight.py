"""The weight of the stack: docs/operating.md says it, and it does not grow."""

import json
import re
from pathlib import Path
from typing import Any

from infra.bundle import PROJECT_ROOT
from ml_janitor.config.settings import Settings
from synthesis import EVERYTHING, REPORTING, Synthesised, synthesise

AT_MOST = {"resources": (95, 150), "functions": (8, 15), "alarms": (12, 12), "template": (120, 150)}


def weighed(made: Synthesised) -> dict[str, float]:
    resources: dict[str, Any] = json.loads(json.dumps(made.template["Resources"]))
    for one in resources.values():
        one.pop("Metadata", None)
    return {
        "resources": len(resources),
        "functions": len(made.of_type("AWS::Lambda::Function")),
        "alarms": len(made.of_type("AWS::CloudWatch::Alarm")),
        "template": len(json.dumps(made.template | {"Resources": resources}, separators=(",", ":"))) / 1024,
    }


def test_the_stack_weighs_no_more_than_the_page_says(tmp_path: Path) -> None:
    page = (PROJECT_ROOT / "docs/operating.md").read_text().partition("<!-- weight -->")[2]
    rows = re.findall(r"^\| (\w+).*?\| ([\d.]+) \| ([\d.]+) \| ([\d.]*) \|$", page, re.MULTILINE)
    said = {name: (float(only), float(everything or 0)) for name, _, only, everything in rows}
    for number, settings in enumerate((REPORTING, EVERYTHING)):
        made = weighed(synthesise(tmp_path / str(number), Settings.parse(settings)))
        for name, most in AT_MOST.items():
            assert made[name] <= said[name][number] <= most[number], name
            assert made[name] > said[name][number] - 2, f"{name}: the page says more than there is"
