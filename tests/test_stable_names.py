"""The names that deployments, tables, scripts and dashboards use stay, whatever the code is called."""

from pathlib import Path

import pytest

from stable_names import SECTIONS_OF_FILE, pinned


@pytest.mark.parametrize("section", SECTIONS_OF_FILE)
def test_public_names_stay(section: str, tmp_path: Path) -> None:
    """If a change is meant, `make names` writes it, and CHANGELOG.md says it."""
    found, expected = SECTIONS_OF_FILE[section][1](tmp_path), pinned()[section]

    changed = {
        heading: {*found.get(heading, ())} ^ {*expected.get(heading, ())} for heading in {*found, *expected}
    }
    assert {heading: names for heading, names in changed.items() if names} == {}
    assert found.keys() == expected.keys()
