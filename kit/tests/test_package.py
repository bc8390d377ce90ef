"""The kit knows nothing of the janitor and needs nothing but Python."""

import ast
import sys
from pathlib import Path

import janitor_kit

EXTRAS = {"boto3", "botocore", "lightning", "numpy", "torch", "torchdata", "transformers"}


def test_the_kit_imports_python_itself_and_its_extras_only() -> None:
    imported = set()
    for path in Path(next(iter(janitor_kit.__path__))).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])

    assert imported - set(sys.stdlib_module_names) - {"tomllib"} <= EXTRAS | {"janitor_kit"}
