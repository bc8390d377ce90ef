"""The page that the bench writes: a part replaces its own section, and the others keep theirs."""

from pathlib import Path

import pytest

from bench.__main__ import HEAD, main, write


def test_a_part_replaces_its_own_section_alone(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    for name, text in (
        ("bills", "## Bills\n\nold\n"),
        ("endpoints", "## Endpoints\n\n- one\n"),
        ("bills", "## Bills\n\nnew\n"),
    ):
        write(name, text, page)
    assert page.read_text() == (
        f"{HEAD}\n<!-- part: endpoints -->\n## Endpoints\n\n- one\n\n<!-- part: bills -->\n## Bills\n\nnew\n"
    )


def test_an_unknown_part_is_named_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match="no part of the bench is called bils: there are endpoints, audit"):
        main(["endpoints", "bils"])
