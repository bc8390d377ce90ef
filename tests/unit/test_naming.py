"""The checks of names and prose refuse what they are there to refuse, and nothing else."""

import ast

import naming
import prose
from tables import cases

FIRST = '''
"""Whether a job runs."""
LIMIT = 3
type Rows = list[int]
def read(jobs):
    """What a job is."""
    return [one for one in jobs]
def find(one): ...
def _own(): ...
@app.command()
def stop(): ...
'''
SECOND = '''
"""A module about clusters."""
class Rows: ...
def find(): ...
def read(): ...
def stop(): ...
def _own(): ...
LIMIT, MORE = 3, 4
'''


def test_what_stands_twice_or_is_called_one_is_refused() -> None:
    first, second, kit = "functions/a.py", "cli/b.py", "kit/src/c.py"
    code = {first: ast.parse(FIRST), second: ast.parse(SECOND), kit: ast.parse("def read(): ...")}

    assert list(naming.violations(code)) == [
        "LIMIT is defined in 2 modules: functions/a.py, cli/b.py",
        "Rows is defined in 2 modules: functions/a.py, cli/b.py",
        "read is defined in 2 modules: functions/a.py, cli/b.py",
        "functions/a.py:8: a variable is called `one`",
        "functions/a.py:7: a variable is called `one`",
    ]


def test_the_files_of_this_project_are_read() -> None:
    folders = {path.partition("/")[0] for path in naming.trees()}

    assert folders == {"functions", "cli", "infra", "kit", "sandbox", "corrections", "bench", "app.py"}


@cases(
    "sentence, refused",
    ("What is not read is in the plan.", True),
    ("Of two holds on one resource the longer wins.", True),
    ("What would it cost to keep it?", False),
    ("What it finds", False),
    ("One that hangs is found.", True),
    ("One of them hangs.", False),
    ("Where 'x' is no ARN, it ends.", True),
    ("There is no ARN; it is no longer there, and is no larger.", False),
    ("They are in no sum.", True),
    ("The event makes no sense.", True),
)
def test_sentences_without_an_agent_and_old_phrases_are_refused(sentence: str, refused: object) -> None:
    assert bool([*prose.faults(prose.Text("here", f"A sentence before it. {sentence}"))]) is refused


def test_long_sentences_are_counted_on_pages_of_users_alone() -> None:
    words = "word " * 17 + "(as an aside) and [this link](x)"

    assert [*prose.faults(prose.Text("here", f"{words}.", limit=20))] == []
    (found,) = prose.faults(prose.Text("here", f"{words} now.", limit=20))
    assert found.startswith("here: 21 words, 20 at most")
    assert [*prose.faults(prose.Text("here", f"a, b, c, d, {words} now.", limit=20))] == []
    limits = {text.place.partition(":")[0]: text.limit for text in prose.pages()}
    assert (limits["docs/slack.md"], limits["CONTRIBUTING.md"]) == (20, None)


def test_pages_are_read_without_code_tables_and_generated_parts() -> None:
    made = "| a |\n```\ncode\n```\n<!-- x -->\nmade\n<!-- /x -->\n"
    page = f"# What\n\nA line\nand more.\n- one\n- two\n\n{made}End.\n"

    assert [*prose.blocks(page)] == [(3, "A line and more."), (5, "one"), (6, "two"), (15, "End.")]


def test_docstrings_and_messages_are_read() -> None:
    code = {"functions/a.py": ast.parse(FIRST + 'print("What is not here is there.", f"{1} is no date ")')}

    assert [text.text for text in prose.docstrings(code) if text.text] == [
        "Whether a job runs.",
        "What a job is.",
    ]
    assert [text.text for text in prose.messages(code)] == ["What is not here is there.", " is no date "]
