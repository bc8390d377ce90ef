"""Where a training job comes from, as tags: the commit of its code, and the CI run that launches it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

TAG_VALUE = 256
NOT_IN_TAGS = re.compile(r"[^\w .:/=+\-@]")
"""What a tag's value may not hold (AWS: letters, digits, spaces and _ . : / = + - @)."""

CI: tuple[tuple[str, str, str, str], ...] = (
    # what tells the CI, the run, who started it, the branch
    ("GITHUB_ACTIONS", "", "GITHUB_ACTOR", "GITHUB_HEAD_REF"),
    ("GITLAB_CI", "CI_JOB_URL", "GITLAB_USER_LOGIN", "CI_COMMIT_REF_NAME"),
    ("CIRCLECI", "CIRCLE_BUILD_URL", "CIRCLE_USERNAME", "CIRCLE_BRANCH"),
    ("BUILDKITE", "BUILDKITE_BUILD_URL", "BUILDKITE_BUILD_CREATOR", "BUILDKITE_BRANCH"),
    ("CODEBUILD_BUILD_ARN", "CODEBUILD_BUILD_ARN", "CODEBUILD_INITIATOR", ""),
    ("JENKINS_URL", "BUILD_URL", "BUILD_USER_ID", "BRANCH_NAME"),
)
"""Variables that CI systems set, by the first that is there."""


def tags(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Collect the tags of both, as far as they are known; a folder outside of git has none of git's."""
    found = git(folder) | ci(environment)
    return {key: NOT_IN_TAGS.sub("_", value)[:TAG_VALUE] for key, value in found.items() if value}


def git(folder: Path) -> dict[str, str]:
    """Commit, branch, remote, and whether files differ from the commit; empty outside of git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD") or ""
    status = _git(folder, "status", "--porcelain")
    found = {
        "git-commit": commit,
        "git-remote": without_credentials(_git(folder, "remote", "get-url", "origin")),
    }
    if branch != "HEAD":  # detached, as in most CI: the CI knows it
        found["git-branch"] = branch
    if status is not None:
        found["git-dirty"] = "true" if status else "false"
    return {key: value for key, value in found.items() if value}


def ci(environment: Mapping[str, str]) -> dict[str, str]:
    """Read the run, its starter and its branch from a CI's environment."""
    for mark, run, actor, branch in CI:
        if not environment.get(mark):
            continue
        url = environment.get(run, "") if run else _github(environment)
        named = environment.get(branch) or environment.get("GITHUB_REF_NAME") or ""
        found = {
            "ci-run": without_credentials(url),
            "ci-actor": environment.get(actor, ""),
            "git-branch": named,
        }
        return {key: value for key, value in found.items() if value}
    return {}


def _github(environment: Mapping[str, str]) -> str:
    parts = [environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return "{}/{}/actions/runs/{}".format(*parts) if all(parts) else ""


def without_credentials(url: str | None) -> str:
    """Strip user, password, query and fragment from a remote's address: everybody reads a tag."""
    if not url:
        return ""
    if "://" not in url:
        return url.rpartition("@")[2]  # git@github.com:team/repo.git
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _git(folder: Path, *arguments: str) -> str | None:
    """Return git's answer; None where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - git, with arguments of our own
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the one in PATH
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
