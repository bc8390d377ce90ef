"""Endpoints deleted and brought back: what Describe showed before is what it shows after."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import cycle
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, HOUR, MINUTE, NOW, REGION
from endpoint_seed import ROLE, SCALED, Serving, experiment, variant
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Effect, Finding, Mode
from ml_janitor.core.results import Outcome, Result
from ml_janitor.detectors.idle_endpoints.reading import EndpointCandidate
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.policy import Arming
from ml_janitor.ledger.actions import Action, Stage
from ml_janitor.ledger.table import Table
from ml_janitor.report.causes import outcome_note
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.process_kill import Killed, end_when_killed
from narrowing import not_none
from recorded_acts import Memory
from sagemaker_requests import component_request, experiment_request
from samples import share
from standin import Nights, by_name
from tables import cases

NAME = "idle-endpoints"
ARMED = Arming(mode=Mode.ACT, effect=Effect.DELETE, act_in=(ACCOUNT,), grace=HOUR, business_days=False)


class Paced(Nights):
    """Nights with `idle-endpoints` armed, on the sandbox's clock; waiting moves it."""

    def __init__(self, table: Table, session: boto3.Session, aws: Aws, box: Control) -> None:
        super().__init__(table, session, aws, IdleEndpoints(), box=box)
        self.arming, self.wait = ARMED, self.a_minute

    def a_minute(self) -> None:
        """What a run waits before it goes back to what AWS is at."""
        self.pass_by(MINUTE)

    def time(self, has_time: Callable[[], bool] = lambda: True) -> None:
        """For how long runs have time from now on."""
        self.aws = Aws(
            self.session,
            region=REGION,
            account=ACCOUNT,
            prices=self.aws.prices,
            pool=ThreadPoolExecutor(4),
            attempts=2,
            has_time=has_time,
        )

    def swept(self) -> dict[str, Result]:
        """One run, and its results by name."""
        return by_name(self.sweep())

    def due(self) -> None:
        """What is idle was warned about, and may be acted on now."""
        assert {result.outcome for result in self.swept().values()} == {Outcome.WARNED}
        self.pass_by(2 * HOUR)

    def gone(self) -> None:
        """What is idle was deleted a day ago."""
        self.due()
        self.swept()
        self.pass_by(DAY)

    def half_gone(self) -> None:
        """An hour ago a sweep began with it, and did not wait for AWS."""
        self.due()
        self.wait = None
        self.swept()
        self.pass_by(HOUR)

    def shows(self, world: Serving, before: object) -> None:
        """In ten minutes all is as it was *before*."""
        self.pass_by(10 * MINUTE)
        assert world.shown() == before

    @property
    def action(self) -> Action:
        """The only action."""
        (action,) = self.actions.all(NAME, ACCOUNT, REGION)
        return action

    def undo(self, *_: str, **how: Any) -> Action:
        """Take it back, as the undo function would."""
        self.undoing = replace(self.undoing, wait=self.wait)
        return super().undo(self.action.target.name, **how)


@pytest.fixture
def nights(table: Table, session: boto3.Session, aws: Aws, paced: Control) -> Paced:
    end_when_killed(session)
    return Paced(table, session, aws, paced)


@pytest.fixture
def world(nights: Paced, box: Control, aws: Aws) -> Serving:
    del nights
    return Serving(box, aws)


RULE = IdleEndpoints()


def judged(nights: Paced) -> EndpointCandidate:
    """The one that is found, looked at again and found waste again."""
    (found,) = RULE.find(nights.aws, NOW)
    candidate = not_none(RULE.look(nights.aws, found.target, NOW))
    assert isinstance(RULE.decide(candidate, NOW), Finding)
    return candidate


def redeploy(world: Serving, endpoint: str, config: str, **given: Any) -> None:
    """CI deploys *endpoint* anew, with one variant."""
    role = {} if "ModelName" not in given else {"ExecutionRoleArn": ROLE}
    variants = [variant(**{"VariantName": "blue", **given})]
    world.sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants, **role)
    world.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)


# --- the way there and back ----------------------------------------------------------------------


def test_an_endpoint_is_deleted_and_an_undo_brings_back_all_that_describe_showed(
    world: Serving, nights: Paced
) -> None:
    world.plain()
    before = world.shown()
    nights.due()

    result = nights.swept()["churn"]

    assert (result.outcome, outcome_note(result)) == (Outcome.ACTED, f"undo: janitor undo {nights.action.id}")
    nights.pass_by(MINUTE)
    assert world.gone("churn")
    assert "configuration churn" in world.shown()
    assert nights.action.steps == {"act: delete the endpoint": "done"}
    nights.pass_by(DAY)
    assert nights.undo().stage is Stage.UNDONE
    nights.shows(world, before)


def test_without_time_to_wait_the_next_sweep_finishes_it(world: Serving, nights: Paced) -> None:
    world.shared()
    nights.due()
    nights.wait = None

    result = nights.swept()["gateway"]

    assert result.outcome is Outcome.WAITING
    assert "still being deleted" in outcome_note(result)
    assert not world.gone("gateway")
    nights.pass_by(HOUR)
    assert nights.swept()["gateway"].outcome is Outcome.ACTED
    nights.pass_by(MINUTE)
    assert world.gone("gateway")
    assert nights.action.failures == 1


def test_time_that_runs_out_while_it_waits_is_no_failure(world: Serving, nights: Paced) -> None:
    world.shared()
    nights.due()
    nights.box.set_durations({"component.delete": 3600})
    end = nights.clock + 5 * MINUTE
    nights.time(lambda: nights.clock < end)

    result = nights.swept()["gateway"]

    assert result.outcome is Outcome.WAITING
    assert "still being deleted" in outcome_note(result)
    assert (nights.action.stage, nights.action.failures, nights.action.broke) == (Stage.ACTING, 0, False)


@pytest.mark.parametrize("seconds", [20, 1800], ids=["its endpoint", "its components"])
def test_an_undo_whose_time_runs_out_is_on_its_way_back(world: Serving, nights: Paced, seconds: int) -> None:
    world.shared()
    before = world.shown()
    nights.gone()
    nights.box.set_durations({"component.create": 3600})
    end = nights.clock + timedelta(seconds=seconds)
    nights.time(lambda: nights.clock < end)

    with pytest.raises(CannotUndoError, match="on its way back"):
        nights.undo()

    assert (nights.action.stage, nights.action.broke) == (Stage.UNDOING, False)
    nights.time()
    nights.box.set_durations({"component.create": 240})
    nights.pass_by(HOUR)
    nights.undo()
    nights.shows(world, before)


def test_what_aws_refused_and_a_person_then_did_is_not_reported_as_done(
    world: Serving, nights: Paced
) -> None:
    world.plain()
    nights.due()
    nights.box.fault("sagemaker", "DeleteEndpoint", "deny", times=1)
    assert nights.swept()["churn"].outcome is Outcome.FAILED
    assert nights.action.steps == {"act: delete the endpoint": "refused"}
    assert not nights.action.touched
    world.sagemaker.delete_endpoint(EndpointName="churn")
    nights.pass_by(DAY)

    result = nights.swept()["churn"]

    assert (result.outcome, nights.action.stage) == (Outcome.CHANGED, Stage.WITHDRAWN)
    assert outcome_note(result) == "it was as good as cleaned up before anything was done"


def test_what_aws_refused_after_a_lost_answer_may_have_been_done_before(
    world: Serving, nights: Paced
) -> None:
    world.plain()
    nights.due()
    nights.box.fault("sagemaker", "DeleteEndpoint", "error", status=500, code="InternalFailure", times=0)
    assert nights.swept()["churn"].outcome is Outcome.FAILED
    nights.box.clear_faults()
    nights.box.fault("sagemaker", "DeleteEndpoint", "deny", times=0)
    nights.pass_by(DAY)

    assert nights.swept()["churn"].outcome is Outcome.FAILED

    assert nights.action.steps == {"act: delete the endpoint": "begun"}


def test_a_request_meanwhile_has_it_put_back(world: Serving, nights: Paced) -> None:
    world.shared()
    world.scaled("endpoint/gateway/variant/blue", "sagemaker:variant:DesiredInstanceCount")
    before = world.shown()
    nights.half_gone()
    world.publish("Invocations", [3.0], InferenceComponentName="scaled")

    result = nights.swept()["gateway"]

    assert result.outcome is Outcome.CHANGED
    assert "is being put back" in outcome_note(result)
    assert [action.target.name for action in nights.put_back] == ["gateway"]
    nights.wait = nights.a_minute
    nights.undo()
    nights.shows(world, before)
    assert not [step for step in nights.action.steps if "endpoint/" in step], "its variants were left alone"


def deploying(nights: Paced, deploy: Callable[[], object]) -> None:
    """CI calls *deploy* in the first moment in which the run waits for AWS."""
    first = [deploy]

    def wait() -> None:
        if first:
            first.pop()()
        nights.pass_by(5 * MINUTE)

    nights.wait = wait


def test_one_that_is_redeployed_while_its_components_go_is_not_deleted(world: Serving, nights: Paced) -> None:
    world.shared()
    nights.due()

    deploying(nights, lambda: redeploy(world, "gateway", "gateway-2", ModelName=None))

    result = nights.swept()["gateway"]

    assert result.outcome is Outcome.CHANGED
    assert outcome_note(result) == (
        "last deployed 5 minutes ago; endpoints are left alone for 7 days; "
        "what had been done is being put back"
    )
    assert [action.target.name for action in nights.put_back] == ["gateway"]
    assert not world.gone("gateway")
    nights.wait = nights.a_minute
    assert nights.undo().stage is Stage.UNDONE
    assert components_left(world) == ["adapter", "base", "scaled"]
    assert "target inference-component/scaled" in world.shown()
    assert world.sagemaker.describe_endpoint(EndpointName="gateway")["EndpointConfigName"] == "gateway-2"


def test_components_do_not_come_back_to_a_deployment_without_their_variant(
    world: Serving, nights: Paced
) -> None:
    world.shared()
    nights.half_gone()
    redeploy(world, "gateway", "gateway-2", VariantName="green", ModelName=None)
    nights.pass_by(HOUR)
    nights.wait = nights.a_minute

    with pytest.raises(CannotUndoError, match="deployed anew, without the variant blue"):
        nights.undo()

    assert components_left(world) == []


def test_a_component_of_its_name_on_another_endpoint_is_not_taken_for_it(
    world: Serving, nights: Paced
) -> None:
    world.shared()
    nights.gone()
    world.endpoint("other")
    put_on(world, "scaled", "other")

    with pytest.raises(CannotUndoError, match="an inference component on other has the name scaled now"):
        nights.undo()


def test_components_do_not_come_back_to_an_endpoint_that_failed(world: Serving, nights: Paced) -> None:
    """A description without variants is whole there, not cut off."""
    world.shared()
    nights.half_gone()
    nights.box.patch("sagemaker", ["endpoints", "gateway"], EndpointStatus="Failed")

    with pytest.raises(CannotUndoError, match="its endpoint is Failed, not InService"):
        nights.undo()


def test_one_that_gets_another_component_while_its_own_go_is_not_deleted(
    world: Serving, nights: Paced
) -> None:
    world.shared()
    nights.due()
    deploying(nights, lambda: put_on(world, "newcomer", "gateway"))

    result = nights.swept()["gateway"]

    assert result.outcome is Outcome.CHANGED
    assert outcome_note(result).endswith("what had been done is being put back")
    assert components_left(world) == ["newcomer"]
    assert not world.gone("gateway")


@pytest.mark.parametrize("what", ["configuration", "component"])
def test_an_act_never_deletes_what_was_deployed_to_since_its_record(
    world: Serving, nights: Paced, what: str
) -> None:
    """In the last moment, after everybody has looked."""
    world.plain() if what == "configuration" else world.shared()
    name = "churn" if what == "configuration" else "gateway"
    candidate = judged(nights)
    record = RULE.prepare(nights.aws, candidate, {})

    def act() -> None:
        RULE.act(nights.aws.armed(), candidate.target, record, Memory())

    if what == "configuration":
        redeploy(world, "churn", "churn-2")
        with pytest.raises(NotFinishedError, match="its endpoint is Updating"):
            act()
    else:
        put_on(world, "newcomer", "gateway")
    nights.pass_by(HOUR)
    if what == "configuration":
        with pytest.raises(CannotActError, match="it runs the configuration churn-2 now, not churn"):
            act()
    else:
        for _ in range(3):
            with pytest.raises(NotFinishedError):
                act()
            nights.pass_by(HOUR)
        with pytest.raises(NotFinishedError, match="the inference component newcomer was put on it"):
            act()
    assert not world.gone(name)


def test_another_endpoint_of_its_name_is_never_taken_for_it(world: Serving, nights: Paced) -> None:
    """Somebody deletes it after everybody has looked, and creates one of the same configuration."""
    world.plain()
    candidate = judged(nights)
    record = RULE.prepare(nights.aws, candidate, {})
    assert not RULE.is_done(nights.aws, candidate.target, record)
    world.sagemaker.delete_endpoint(EndpointName="churn")
    nights.pass_by(HOUR)
    world.sagemaker.create_endpoint(EndpointName="churn", EndpointConfigName="churn")
    nights.pass_by(HOUR)

    RULE.act(nights.aws.armed(), candidate.target, record, Memory())

    assert RULE.is_done(nights.aws, candidate.target, record)
    assert world.sagemaker.describe_endpoint(EndpointName="churn")["EndpointStatus"] == "InService"
    with pytest.raises(CannotActError, match="another endpoint has its name now"):
        RULE.prepare(nights.aws, candidate, {})


def test_a_components_name_that_is_used_elsewhere_meanwhile_is_not_waited_for(
    world: Serving, nights: Paced
) -> None:
    world.shared()
    nights.half_gone()
    world.endpoint(
        "other", {"VariantName": "blue", "ModelName": None}, age=timedelta(0), ExecutionRoleArn=ROLE
    )
    world.box.set_clock(nights.clock)
    put_on(world, "base", "other")
    nights.pass_by(HOUR)

    assert nights.swept()["gateway"].outcome is Outcome.ACTED

    nights.pass_by(MINUTE)
    assert world.gone("gateway")
    assert components_left(world) == ["base"]


def put_on(world: Serving, name: str, endpoint: str) -> None:
    """Somebody puts an inference component on *endpoint*, now."""
    world.sagemaker.create_inference_component(**component_request(name, endpoint))


def test_waiting_night_after_night_is_no_failure_but_is_told(world: Serving, nights: Paced) -> None:
    world.shared()
    nights.due()
    nights.box.set_durations({"component.delete": 3 * DAY.total_seconds()})

    outcomes = []
    for _ in range(5):
        outcomes.append(nights.swept()["gateway"].outcome)
        nights.pass_by(12 * HOUR)

    assert outcomes[0] is Outcome.WAITING
    assert outcomes[-1] is Outcome.FAILED
    assert nights.action.failures == 0
    nights.pass_by(DAY)
    assert nights.swept()["gateway"].outcome is Outcome.ACTED


def test_an_undo_that_takes_longer_goes_on_when_called_again(world: Serving, nights: Paced) -> None:
    world.shared()
    before = world.shown()
    nights.gone()
    nights.wait = None

    calls = 0
    while nights.action.stage is not Stage.UNDONE:
        calls += 1
        assert calls < 10
        try:
            nights.undo()
        except CannotUndoError as said:
            assert "on its way back" in str(said)  # noqa: PT017 - the last call raises nothing
        nights.pass_by(10 * MINUTE)

    assert calls > 2
    assert world.shown() == before


# --- killed, and lost ----------------------------------------------------------------------------

ACT_STEPS = (
    ("application-autoscaling", "DeregisterScalableTarget", 0),
    ("sagemaker", "DeleteInferenceComponent", 0),
    ("sagemaker", "DeleteInferenceComponent", 1),
    ("sagemaker", "DeleteInferenceComponent", 2),
    ("sagemaker", "DeleteEndpoint", 0),
)
UNDO_STEPS = (
    ("sagemaker", "CreateEndpointConfig", 0),
    ("sagemaker", "CreateEndpoint", 0),
    ("sagemaker", "CreateInferenceComponent", 0),
    ("sagemaker", "CreateInferenceComponent", 1),
    ("sagemaker", "CreateInferenceComponent", 2),
    ("application-autoscaling", "RegisterScalableTarget", 0),
    ("application-autoscaling", "TagResource", 0),
    ("application-autoscaling", "PutScalingPolicy", 0),
    ("application-autoscaling", "PutScheduledAction", 0),
)
type Kill = tuple[str, str, int, str]
"""Service and operation; how many such calls go well before; and whether the last call is still made."""

ACT_KILLS, UNDO_KILLS = (
    [(*step, kind) for step in steps for kind in ("killed", "killed-before")]
    for steps in (ACT_STEPS, UNDO_STEPS)
)


def name_of(kill: Kill) -> str:
    return f"{kill[1]}-{kill[2]}-{kill[3]}"


@contextmanager
def killed(nights: Paced, kill: Kill) -> Iterator[None]:
    """What runs in here is killed there, and the next run is not."""
    service, operation, skip, kind = kill
    nights.box.fault(service, operation, kind, skip=skip)
    with pytest.raises(Killed):
        yield
    nights.box.revive()
    nights.box.clear_faults()


@pytest.mark.parametrize(
    "kills", share(zip(cycle(ACT_KILLS), UNDO_KILLS), 8, ids=lambda kills: "-".join(map(name_of, kills)))
)
def test_killed_at_any_step_of_act_and_undo_both_are_finished(
    world: Serving, nights: Paced, kills: tuple[Kill, Kill]
) -> None:
    act, undo = kills
    world.shared()
    before = world.shown()
    nights.due()
    with killed(nights, act):
        nights.swept()
    nights.pass_by(DAY)
    assert nights.swept()["gateway"].outcome is Outcome.ACTED
    nights.pass_by(MINUTE)
    assert world.gone("gateway")
    world.sagemaker.delete_endpoint_config(EndpointConfigName="gateway")
    nights.pass_by(DAY)
    with killed(nights, undo):
        nights.undo()

    nights.undo()

    nights.shows(world, before)


@pytest.mark.parametrize("kill", share(ACT_KILLS, 8, ids=name_of))
def test_killed_at_any_step_it_can_be_taken_back(world: Serving, nights: Paced, kill: Kill) -> None:
    world.shared()
    before = world.shown()
    nights.due()
    with killed(nights, kill):
        nights.swept()

    nights.undo()

    nights.shows(world, before)


@pytest.mark.parametrize("kind", ["lost-reply", "hang-up"])
def test_lost_answers_are_settled_by_looking(world: Serving, nights: Paced, kind: str) -> None:
    """One lost answer at every call that changes something, all in one night."""
    world.shared()
    before = world.shown()
    nights.due()
    for service, operation, skip in ACT_STEPS:
        nights.box.fault(service, operation, kind, skip=2 * skip)

    assert nights.swept()["gateway"].outcome is Outcome.ACTED

    assert [*nights.action.steps] == [
        "act: stop scaling inference-component/scaled",
        "act: delete inference component adapter",  # before its base
        "act: delete inference component scaled",
        "act: delete inference component base",
        "act: delete the endpoint",
    ]
    nights.box.clear_faults()
    nights.pass_by(DAY)
    assert world.gone("gateway")
    assert "target inference-component/scaled" not in world.shown()
    for service, operation, skip in UNDO_STEPS:
        nights.box.fault(service, operation, kind, skip=2 * skip)
    nights.undo()
    nights.shows(world, before)


@cases(
    "time, undone",
    ({"Schedule": "at(2026-10-06T09:00:00)"}, True),
    ({"Schedule": "cron(0 7 * * ? *)", "EndTime": NOW + 2 * HOUR}, True),
    ({"Schedule": "cron(0 7 * * ? *)"}, False),
    ids=["once", "until", "always"],
)
def test_scheduled_scaling_whose_time_is_over_holds_no_undo_back(
    world: Serving, nights: Paced, time: dict[str, Any], *, undone: bool
) -> None:
    world.plain()
    (action,) = world.scaling.describe_scheduled_actions(**SCALED)["ScheduledActions"]
    where = {key: action[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
    world.scaling.put_scheduled_action(**where, ScheduledActionName="mornings", **time)
    nights.gone()
    nights.box.fault(
        "application-autoscaling",
        "PutScheduledAction",
        "error",
        status=400,
        code="ValidationException",
        times=0,
    )

    if undone:
        nights.undo()
    else:
        with pytest.raises(CannotUndoError, match="ValidationException"):
            nights.undo()

    assert not world.gone("churn")


# --- what stays as it is -------------------------------------------------------------------------


@pytest.mark.parametrize("warned", [False, True])
def test_a_monitored_endpoint_is_only_reported(world: Serving, nights: Paced, *, warned: bool) -> None:
    world.plain()
    if warned:
        nights.due()
    world.monitor("drift", "churn")

    result = nights.swept()["churn"]

    assert result.outcome is Outcome.ADVISED
    assert outcome_note(result) == "only reported: it is likely, and only what is proven is acted on"
    assert not world.gone("churn")


def test_a_component_that_is_not_in_service_holds_it_back(world: Serving, nights: Paced) -> None:
    world.shared()
    nights.box.patch("sagemaker", ["inference_components", "scaled"], InferenceComponentStatus="Failed")
    nights.due()

    result = nights.swept()["gateway"]

    assert result.outcome is Outcome.ADVISED
    assert (
        outcome_note(result) == "only reported: the inference component scaled on it is Failed, not InService"
    )


@cases(
    "status, outcome, note",
    ("Running", Outcome.ADVISED, "only reported: the inference experiment shadow on it is Running"),
    ("Completed", Outcome.ACTED, "undo: "),
)
def test_a_shadow_test_holds_it_back_until_it_is_over(
    world: Serving, nights: Paced, status: str, outcome: Outcome, note: str
) -> None:
    world.plain()
    nights.due()
    experiment(world)
    world.sagemaker.create_inference_experiment(**experiment_request("shadow", "churn"))
    nights.box.patch("sagemaker", ["inference_experiments", "shadow"], Status=status)

    result = nights.swept()["churn"]

    assert result.outcome is outcome
    assert outcome_note(result).startswith(note)


def tag(world: Serving, component: str, **tags: str) -> None:
    """Somebody tags the inference component of this name."""
    found = world.sagemaker.describe_inference_component(InferenceComponentName=component)
    world.sagemaker.add_tags(
        ResourceArn=found["InferenceComponentArn"],
        Tags=[{"Key": key.replace("_", "-"), "Value": value} for key, value in tags.items()],
    )


def components_left(world: Serving) -> list[str]:
    listed = world.sagemaker.list_inference_components()["InferenceComponents"]
    return sorted(one["InferenceComponentName"] for one in listed)


@cases(
    "tags, outcome, why",
    ({"keep": "true"}, Outcome.KEPT, "it would take along scaled, which is tagged keep=true"),
    ({"environment": "production"}, Outcome.ADVISED, "it would take along scaled: it serves production"),
    ({"managed_by": "terraform"}, Outcome.ADVISED, "it would take along scaled: terraform manages it"),
)
def test_a_component_that_is_kept_of_production_or_of_a_tool_keeps_its_endpoint(
    world: Serving, nights: Paced, tags: dict[str, str], outcome: Outcome, why: str
) -> None:
    world.shared()
    tag(world, "scaled", **tags)

    result = nights.swept()["gateway"]

    kept = outcome is Outcome.KEPT
    said = result.verdict.reason if kept else outcome_note(result)
    assert (result.outcome, said) == (outcome, why if kept else f"only reported: {why}")


@pytest.mark.parametrize(
    ("tags", "outcome"), [({"keep": "true"}, Outcome.KEPT), ({"environment": "production"}, Outcome.ADVISED)]
)
def test_a_tag_on_a_component_after_the_warning_counts(
    world: Serving, nights: Paced, tags: dict[str, str], outcome: Outcome
) -> None:
    world.shared()
    nights.due()
    tag(world, "base", **tags)

    assert nights.swept()["gateway"].outcome is outcome
    assert components_left(world) == ["adapter", "base", "scaled"]


def test_other_components_than_those_that_were_judged_hold_it_back(world: Serving, nights: Paced) -> None:
    """One that came between looking and preparing: nobody has seen its tags."""
    world.shared()
    candidate = judged(nights)
    world.component("late", "gateway", age=timedelta())
    world.box.set_clock(NOW + HOUR)

    with pytest.raises(CannotActError, match="other inference components were put on it"):
        RULE.prepare(nights.aws, candidate, {})


def test_a_component_whose_tags_cannot_be_read_keeps_its_endpoint_as_unknown(
    world: Serving, nights: Paced
) -> None:
    world.shared()
    nights.due()
    nights.box.fault("sagemaker", "ListTags", "deny", times=0, match="inference-component/base")

    result = nights.swept()["gateway"]

    assert result.outcome is Outcome.WAITING
    assert "it would take along base, and its tags could not be read" in outcome_note(result)
    assert components_left(world) == ["adapter", "base", "scaled"]


# --- what an undo refuses ------------------------------------------------------------------------


@cases(
    "config, why",
    ("new", "an endpoint of its name runs the configuration new now"),
    ("churn", "of its name was created since"),
    ids=["another configuration", "a pipeline that deploys again, without last month's weights"],
)
def test_another_endpoint_of_its_name_is_left_alone(
    world: Serving, nights: Paced, config: str, why: str
) -> None:
    world.plain()
    nights.gone()
    world.box.set_clock(nights.clock)
    if config == "new":
        world.sagemaker.create_endpoint_config(
            EndpointConfigName="new", ProductionVariants=[variant(VariantName="blue")]
        )
    world.sagemaker.create_endpoint(EndpointName="churn", EndpointConfigName=config)
    nights.pass_by(HOUR)
    before = world.shown()
    nights.box.clear_calls()

    with pytest.raises(CannotUndoError, match=why):
        nights.undo()

    assert world.shown() == before
    assert not [call for call in nights.box.calls() if call.startswith(("sagemaker:Update", "sagemaker:Del"))]


def test_a_replaced_configuration_is_not_deployed(world: Serving, nights: Paced) -> None:
    world.plain()
    nights.gone()
    world.sagemaker.delete_endpoint_config(EndpointConfigName="churn")
    world.sagemaker.create_endpoint_config(
        EndpointConfigName="churn", ProductionVariants=[variant(VariantName="blue", InitialInstanceCount=9)]
    )

    with pytest.raises(CannotUndoError, match="its configuration churn was replaced"):
        nights.undo()

    assert world.gone("churn")


def test_a_configuration_that_aws_tells_more_of_by_now_is_the_same(world: Serving, nights: Paced) -> None:
    """A newer SDK knows members that the record has not, and AWS adds some of its own accord."""
    world.plain()
    nights.gone()
    nights.box.patch(
        "sagemaker", ["endpoint_configs", "churn"], MetricsConfig={"EnableDetailedObservability": False}
    )

    nights.undo()

    assert world.sagemaker.describe_endpoint(EndpointName="churn")["EndpointStatus"] == "InService"


def test_without_capacity_it_can_be_tried_again(world: Serving, nights: Paced) -> None:
    world.plain()
    before = world.shown()
    nights.gone()
    nights.box.fault(
        "sagemaker",
        "CreateEndpoint",
        "error",
        status=400,
        code="ResourceLimitExceeded",
        message="The account-level service limit for ml.m5.xlarge is 0.",
    )
    with pytest.raises(CannotUndoError, match="CreateEndpoint: ResourceLimitExceeded: The account-level"):
        nights.undo()
    nights.wait = None
    with pytest.raises(CannotUndoError):
        nights.undo()
    nights.box.patch(
        "sagemaker",
        ["endpoints", "churn"],
        EndpointStatus="Failed",
        FailureReason="InsufficientInstanceCapacity: try later.",
    )
    with pytest.raises(CannotUndoError) as said:
        nights.undo()
    assert str(said.value) == (
        "churn could not be brought back: undo failed: AWS could not create the endpoint: "
        "InsufficientInstanceCapacity: try later. It can be tried again."
    )
    nights.wait = nights.a_minute

    nights.undo()

    nights.shows(world, before)


def test_a_component_without_capacity_can_be_tried_again(world: Serving, nights: Paced) -> None:
    world.shared()
    before = world.shown()
    nights.gone()
    nights.wait = None
    for _ in range(2):
        with pytest.raises(CannotUndoError):
            nights.undo()
        nights.pass_by(10 * MINUTE)
    nights.box.patch(
        "sagemaker",
        ["inference_components", "base"],
        InferenceComponentStatus="Failed",
        FailureReason="InsufficientInstanceCapacity",
    )
    with pytest.raises(CannotUndoError, match="could not create inference component base: Insufficient"):
        nights.undo()
    nights.wait = nights.a_minute

    nights.undo()

    nights.shows(world, before)
