"""A moto that has moved is refused, and what the package needs is what it says."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from moto.core.utils import camelcase_to_underscores

import moto_corrections
from moto_corrections import patches, selfcheck
from moto_corrections.sagemaker import plain_kinds

NEEDS = {"botocore", "moto", "xmltodict"}

# In a process of its own: in this one moto is corrected already.
BREAK = """
import sys
import moto.cloudtrail.responses, moto.core.responses, moto.logs.models
from moto_corrections import load, patches, selfcheck

load()
late = ("applicationautoscaling", "cloudformation", "ec2")
early = [patch for patch in patches.PATCHES if patch.service not in late]
selfcheck.verify(early)
print("it was fine", "moto.ec2" in sys.modules, selfcheck.problems(patches.PATCHES))
selfcheck.MOTO = "5.2.6"
del moto.logs.models.LogStream.to_describe_dict
del moto.cloudtrail.responses.CloudTrailResponse
moto.core.responses.BaseResponse.call_action = selfcheck.verify
selfcheck.verify(early)
"""


def test_a_moto_that_has_moved_is_refused_with_every_reason() -> None:
    done = subprocess.run([sys.executable, "-c", BREAK], capture_output=True, text=True, check=False)
    assert done.stdout == "it was fine False []\n", "EC2 is imported late, and then fits too"
    assert done.returncode != 0
    for expected in (
        "moto 5.2.5 is installed, the corrections are written against 5.2.6",
        "moto.logs.models:LogStream.to_describe_dict is gone",
        "moto.core.responses:BaseResponse.call_action has changed: its digest is",
        "moto.cloudtrail.responses:CloudTrailResponse is gone",
    ):
        assert expected in done.stderr


def test_every_replacement_of_a_moto_function_names_what_it_replaces() -> None:
    assert all(len(patch.was) == 12 for patch in patches.PATCHES if patch.was is not None)
    assert all(len(was) == 12 for was in selfcheck.RELIED_ON.values())


def test_it_imports_moto_and_what_moto_needs_only() -> None:
    imported = set()
    for path in Path(next(iter(moto_corrections.__path__))).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])

    assert imported - set(sys.stdlib_module_names) == NEEDS | {"moto_corrections"}


def test_the_readme_names_every_correction_and_the_version() -> None:
    moto_corrections.load()
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    named = set(re.findall(r"\w+", readme))
    for noun in plain_kinds.PLAIN_NOUNS:  # the README names their file
        named |= {f"Create{noun}", f"Describe{noun}", f"List{noun}s", f"CreatePresigned{noun}Url"}
    known = named | {camelcase_to_underscores(word) for word in named}
    ours = [patch for patch in patches.PATCHES if patch.replacement.__module__.startswith("moto_corrections")]

    assert [patch.target for patch in ours if re.split("[.:]", patch.target)[-1] not in known] == []
    assert f"**moto {selfcheck.MOTO}**" in readme
