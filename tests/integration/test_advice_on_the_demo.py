"""What the advisers say of the demo account: all that they find there, and on what each finding stands."""

from __future__ import annotations

from collections.abc import Mapping

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.account import opened
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Finding
from ml_janitor.engine.run import run
from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.server import Sandbox

ADVISERS = ("studio-without-idle-shutdown", "oversized-endpoints", "serverless-candidates", "unused-volumes")

type Advice = Mapping[str, Mapping[str, Finding]]


@pytest.fixture(scope="module")
def advice(_sandbox: Sandbox) -> Advice:
    """Every finding, by adviser and by the name of what it is about."""
    Control(_sandbox.url).reset()
    demo.seed(_sandbox.url)
    session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
    settings = Settings.load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", _sandbox.url)
        with opened(session, account=ACCOUNT, regions=[REGION], attempts=2, pace=None) as accounts:
            detectors = [one for one in settings.enabled() if one.name in ADVISERS]
            report = run(detectors, accounts, now=NOW, policy=settings.policy)
    return {
        sweep.detector: {
            one.target.name: one.verdict for one in sweep.findings if isinstance(one.verdict, Finding)
        }
        for sweep in report.sweeps
    }


def test_a_domain_and_a_space_have_no_idle_shutdown(advice: Advice) -> None:
    found = advice["studio-without-idle-shutdown"]

    assert found.keys() == {"meridian-research", "platform-dashboards"}
    assert "update-domain --domain-id d-8990ed81acaf" in found["meridian-research"].action
    assert {one.signal: one.value for one in found["platform-dashboards"].evidence}[
        "idle shutdown of JupyterLab apps"
    ] == "after 14 days"


def test_three_endpoints_are_larger_than_their_peaks(advice: Advice) -> None:
    found = advice["oversized-endpoints"]
    saved = {
        name: round(one.cost.monthly_usd) for name, one in found.items() if one.cost and one.cost.monthly_usd
    }

    assert saved == {"query-spelling": 149, "support-intent": 149, "image-embeddings-v2": 75}
    assert "AllTraffic needs 2 ml.c5.xlarge instead of 3 ml.c5.xlarge" in found["query-spelling"].reason
    assert "Inference Recommender" in {one.signal for one in found["support-intent"].evidence}


def test_one_endpoint_would_cost_less_without_instances(advice: Advice) -> None:
    found = advice["serverless-candidates"]

    assert found.keys() == {"moderation-staging"}
    assert "MemorySizeInMB=4096" in found["moderation-staging"].action


def test_two_notebook_instances_have_been_stopped_for_a_month(advice: Advice) -> None:
    found = advice["unused-volumes"]

    assert found.keys() == {"holiday-uplift", "margin-guardrails"}
    assert [round(one.cost.monthly_usd or 0) for one in found.values() if one.cost] == [7, 7]
