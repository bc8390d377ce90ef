"""What the digest says of armed detectors, and which hours count as saved."""

from __future__ import annotations

from typing import Any

from conftest import HOUR
from ml_janitor import handlers
from standin import MEMBER, Deployment


def digest(deployment: Deployment) -> tuple[dict[str, Any], str]:
    """Its counts, and all that it says."""
    before = len(deployment.slack.messages())
    counts = handlers.digest({"time": deployment.now.isoformat()}, deployment.context())
    (message,) = deployment.slack.messages()[before:]
    texts = [(block.get("text") or block["elements"][0])["text"] for block in message["blocks"]]
    return counts, "\n".join([message["text"], *texts])


def test_it_says_what_was_done_on_whose_word_and_what_that_saved(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    notebook.later(10 * HOUR)

    counts, said = digest(notebook)

    assert (counts["acted"], counts["failed"], counts["undone"], counts["due"]) == (1, 0, 0, 0)
    assert "1 done." in said.splitlines()[0]
    assert (counts["found"], said.count("a month")) == (0, 1), "what was cleaned up is waste no more"
    line = "notebook instance `churn` ($146 a month) stopped, because Dina Okafor pressed Do it now"
    assert f"*Done:*\n{line}" in said
    assert "*Saved so far this month:* $2.00, by 1 action." in said


def test_what_was_brought_back_saves_no_more_and_is_told(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    notebook.later(2 * HOUR)
    notebook.press("undo", MEMBER)
    notebook.later(10 * HOUR)

    counts, said = digest(notebook)

    assert (counts["acted"], counts["undone"]) == (1, 1)
    assert "*Undone:*\nnotebook instance `churn` brought back for Dina Okafor" in said
    assert "*Saved so far this month:* $0.40, by 1 action." in said
