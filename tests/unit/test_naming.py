"""The check of names and docstrings refuses what it is there to refuse."""

from __future__ import annotations

import ast

import naming

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


def test_what_stands_twice_is_called_one_or_begins_without_a_subject_is_refused() -> None:
    first, second, kit = "functions/a.py", "cli/b.py", "kit/src/c.py"
    code = {first: ast.parse(FIRST), second: ast.parse(SECOND), kit: ast.parse("def read(): ...")}

    assert list(naming.violations(code)) == [
        "LIMIT is defined in 2 modules: functions/a.py, cli/b.py",
        "Rows is defined in 2 modules: functions/a.py, cli/b.py",
        "read is defined in 2 modules: functions/a.py, cli/b.py",
        "functions/a.py:8: a variable is called `one`",
        "functions/a.py:7: a variable is called `one`",
        "functions/a.py:1: Whether a job runs. (begin with a verb or a noun)",
        "functions/a.py:5: What a job is. (begin with a verb or a noun)",
    ]


def test_the_files_of_this_project_are_read() -> None:
    folders = {path.partition("/")[0] for path in naming.trees()}

    assert folders == {"functions", "cli", "infra", "kit", "sandbox", "corrections", "bench", "app.py"}
