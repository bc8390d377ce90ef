"""Globs that protect nothing are refused."""

import re

import pytest

from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError, check_globs
from ml_janitor.detectors import DETECTORS
from tables import cases

ACCOUNT = "arn:aws:sagemaker:eu-west-1:123456789012"


@cases(
    "glob",
    "*",
    "*prod*",
    "*/ranker-*",
    "a*",
    "ARN:aws:sagemaker:*:Endpoint/Ranker ",
    f"{ACCOUNT}:endpoint/ranker",
    f"{ACCOUNT}:endpoint/[a-m]*",
    f"{ACCOUNT}:?ndpoint/r?nker",
    "arn:aws-cn:sagemaker:cn-north-1:*",
    "*:endpoint/*",
    "arn:aws:s3:::models",
    "arn:aws:s3:::models/*",
    "*.tar.gz",
    "arn:aws:ecr:*:repository/ranker",
)
def test_a_glob_that_can_match_is_accepted(glob: str) -> None:
    check_globs([glob], "ignore", DETECTORS)


@cases(
    "glob, near",
    ("ranker-*", "*/ranker-*"),
    ("ranker", "*/ranker"),
    ("endpoint/ranker-*", "*:endpoint/ranker-*"),
    (f"{ACCOUNT}:endpiont/ranker", f"{ACCOUNT}:endpoint/ranker"),
    ("arn:aws:sagemaker:eu-west-1:endpoint/ranker", "arn:aws:sagemaker:eu-west-1:*:endpoint/ranker"),
    ("arn:aws:sagemaker:eu-west-1:12345:endpoint/ranker", "*:endpoint/ranker"),
    ("arn:aws:s3:eu-west-1:123456789012:models/x", "*:models/x"),
    ("arn:aws:lambda:*:*:function:ranker", "*/ranker"),
    ("arn:aws:s3:::", "*/NAME"),
    (f"arn:aws:lambda:{'*' * 24}:", "*/NAME"),  # at once: no place is looked at twice
    ("", "*/NAME"),
    (f"{ACCOUNT}:endpoint/ranker:x", "*/x"),
)
def test_one_that_cannot_is_refused_with_the_nearest_that_can(glob: str, near: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(f'did you mean "{near}"?')):
        check_globs([glob], "ignore", DETECTORS)
    check_globs([near], "ignore", DETECTORS)


def test_the_settings_check_the_ignore_list() -> None:
    with pytest.raises(InvalidInputError, match=r'janitor.ignore: "ranker-\*" matches no ARN'):
        Settings.parse({"janitor": {"ignore": ["*/ok", "ranker-*"]}})


def test_a_glob_with_many_stars_is_judged_at_once() -> None:
    """Each pair of places is looked at once; the ways through them are more than anybody can walk."""
    check_globs([f"{'*a' * 25}:x"], "ignore", DETECTORS)
