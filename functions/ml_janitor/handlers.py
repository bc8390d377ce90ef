"""The entry points of the Lambda functions. They import late, to keep a cold start short."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ml_janitor.core.text import count_noun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_lambda_powertools import Logger

    from ml_janitor.config.events import DigestEvent, FunctionContext, PressEvent, SweepEvent
    from ml_janitor.scheduled.invocation import Invocation
    from ml_janitor.scheduled.sweep_run import SweepRunResult
    from ml_janitor.slack.client import SenderClock
    from ml_janitor.slack.press_worker import PressWorker

_BILL_FUNCTION, _DIGEST_FUNCTION, _PRESS_FUNCTION, _UNDO_FUNCTION = "bill", "digest", "press", "undo"


def real_time() -> datetime:
    """Return the real time. JANITOR_NOW is for the sandbox, in which it is always the same night."""
    if fixed := os.environ.get("JANITOR_NOW"):
        return datetime.fromisoformat(fixed)
    return datetime.now(UTC)


def slack_time() -> SenderClock:
    """Return the clock that bounds the waiting for Slack."""
    from ml_janitor.slack.client import SenderClock

    return SenderClock(clock=time.monotonic, sleep=time.sleep)


@cache
def structured_logger() -> Logger:
    """Return the structured logger. It logs nothing of an event, a resource or the environment by itself."""
    from aws_lambda_powertools import Logger

    return Logger(service="ml-janitor")


def sweep(event: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """
    Run the detector that JANITOR_DETECTOR names, once per event however often it is delivered.

    Regions for which Lambda's time is too short are the next part, as in `advisers`, if the detector keeps
    what it reads. Raises InvalidInputError for an invalid event, and InProgressError and LeaseTakenError for
    an event that came while another was at work. Raises RunFailedError at the end, after everything possible
    was done. Lambda tries each of them again.
    """
    from ml_janitor.config import events
    from ml_janitor.config.values import InvalidInputError

    asked = events.parse_event(event, events.SweepEvent, real_time())
    own = make_invocation(context)
    if asked.detectors not in {(), (own.detector.name,)}:
        raise InvalidInputError(f"invalid event: detectors: this is {own.detector.name}")
    return sweep_once(asked, own)


def advisers(event: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """
    Run the detectors that the event names one after the other, each once per event.

    Detectors for which Lambda's time is too short are the next part: an event of this function to itself or,
    in an organization, of the state machine, which gets the rest in the answer. Raises InvalidInputError, and
    at the end RunFailedError or InProgressError for the detectors that failed; the others are done.
    """
    from ml_janitor.config import events
    from ml_janitor.config.values import InvalidInputError
    from ml_janitor.engine.run import RunFailedError
    from ml_janitor.scheduled.advisers_run import AdvisersRun

    asked = events.parse_event(event, events.SweepEvent, real_time())
    own = make_invocation(context)
    by_name = {name: own.for_adviser(name) for name in dict.fromkeys(asked.detectors)}
    if not by_name:
        raise InvalidInputError("invalid event: detectors: it names none")
    returns_rest = own.settings.organization.used

    def hand_over(rest: Sequence[str]) -> None:
        if asked.part == events.MOST_PARTS:
            raise RunFailedError(
                f"it did not begin within {count_noun(events.MOST_PARTS, 'part')} of the run"
            )
        following = start_next_part(asked, own, rest)
        if returns_rest:
            return
        for name in rest:  # a retry of this part leaves them to the next one
            do_event_once(
                own, name, asked.identity(context.aws_request_id), lambda: {"part": following["part"]}
            )

    run = AdvisersRun(
        sweep=lambda name: sweep_once(asked, by_name[name]),
        hand_over=hand_over,
        left=lambda: own.left,
        logger=structured_logger(),
    )
    done = run.run([*by_name], returns_rest=returns_rest)
    return {**done, "regions": list(asked.regions), "part": asked.part + bool(done["rest"])}


def sweep_once(asked: SweepEvent, own: Invocation) -> dict[str, Any]:
    """Return the answer of the sweep that *asked* describes, done once for each event."""
    identity, name = asked.identity(own.context.aws_request_id), own.detector.name

    def answer() -> dict[str, Any]:
        done = run_sweep_event(asked, own, holder=identity)
        if not done.unfinished:
            return sweep_answer(done)
        following = start_next_part(asked, own, [name], done.unfinished)
        rest = {"rest": [name], "regions": list(done.unfinished), "part": following["part"]}
        return {**sweep_answer(done), **rest}

    return do_event_once(own, name, identity, answer)


def start_next_part(
    asked: SweepEvent, own: Invocation, rest: Sequence[str], regions: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the event of the next part, and have it run, unless a state machine does that."""
    following = asked.next_part(rest, started=real_time(), regions=regions)
    if not own.settings.organization.used:
        own.hand_over(own.context.invoked_function_arn, following)
    return following


def accounts(event: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """
    Begin or end a detector's run over an organization, as the state machine asks; either may be done again.

    Raises InvalidInputError, ReadError, and RunFailedError if accounts left no result.
    """
    from ml_janitor import deployment
    from ml_janitor.config import events

    asked = events.parse_event(event, events.AccountsEvent, real_time())
    return deployment.make_accounts_run(make_invocation(context), structured_logger()).run(asked)


def digest(event: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """
    Tell Slack about all sweeps' findings, and about sweeps that did not run; once per event.

    An event for schedules only counts what did not run, for an alarm. Raises InvalidInputError,
    InProgressError, and RunFailedError if Slack did not take it.
    """
    from ml_janitor.config import events

    asked = events.parse_event(event, events.DigestEvent, real_time())
    own = make_invocation(context)
    if asked.only is not None:
        from ml_janitor import deployment

        return deployment.make_schedule_watch(own, structured_logger()).look(asked.time or real_time())
    return do_event_once(
        own, _DIGEST_FUNCTION, asked.identity(context.aws_request_id), lambda: post_digest(asked, own)
    )


def bill(event: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """
    Read the bill, keep it, and post in Slack what moved it, unless a digest is about to; once per event.

    Raises InvalidInputError, InProgressError, and RunFailedError if nobody could be told.
    """
    from ml_janitor import deployment
    from ml_janitor.config import events

    asked = events.parse_event(event, events.ScheduledEvent, real_time())
    own = make_invocation(context)
    identity, now = asked.identity(context.aws_request_id), asked.time or real_time()
    return do_event_once(
        own, _BILL_FUNCTION, identity, lambda: deployment.make_bill_run(own, structured_logger()).run(now)
    )


def interact(event: dict[str, Any], context: FunctionContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda passes it
    """
    Take a press on a button in Slack at the function URL: verify it, hand it on, acknowledge it.

    Raises nothing: the answer says what happened.
    """
    from ml_janitor.slack.ingress import answer_request

    return answer_request(event, os.environ, clock=real_time)


def pressed(event: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """
    Do the work of a press in Slack, once per press; a forbidden press is refused, and that is the answer.

    Raises InvalidInputError, also for a press that Slack did not sign, InProgressError, and AWS's errors if
    AWS does not take the work. The person who pressed hears of that too: Slack showed them a press that was
    taken.
    """
    from ml_janitor.ledger.idempotency import InProgressError
    from ml_janitor.slack.client import UNFINISHED_REPLY, ephemeral_replier

    own = make_invocation(context)
    asked = verified_press(event, own)
    ephemeral_reply = ephemeral_replier(own.seconds, deadline=own.slack_deadline, url=own.slack_url)
    try:
        return make_press_worker(own, ephemeral_reply)(asked)
    except InProgressError:
        raise
    except Exception:  # raised again: Lambda tries once more, and then an alarm says so
        ephemeral_reply(asked.response_url, UNFINISHED_REPLY)
        raise


def undo(event: dict[str, Any], context: FunctionContext) -> dict[str, Any]:
    """
    Bring back the resource that one finding's action cleaned up; once per event.

    Raises InvalidInputError, InProgressError, LeaseTakenError, and
    CannotUndoError for failures that can be tried again.
    """
    from ml_janitor import deployment
    from ml_janitor.config import events

    asked = events.check_event(event, events.UndoEvent)
    own = make_invocation(context)
    identity, logger = asked.identity(context.aws_request_id), structured_logger()

    def answer() -> dict[str, Any]:
        cannot = deployment.make_undo_run(own, logger)(asked, holder=identity)
        return deployment.undo_answer(asked, cannot, logger)

    return do_event_once(own, _UNDO_FUNCTION, identity, answer)


def verified_press(event: dict[str, Any], own: Invocation) -> PressEvent:
    """Return the press in the worker's *event*, if Slack signed it lately. Raises InvalidInputError."""
    from ml_janitor.config import events
    from ml_janitor.config.values import InvalidInputError
    from ml_janitor.slack import ingress

    signed = events.check_event(event, events.SignedPressEvent)
    request = ingress.SignedBody(signed.body.encode(), signed.stamp, signed.signature)
    try:
        request.check_age(own.clock(), ingress.WORKER_WINDOW)
        press = request.verify(own.signing_secret)
    except ingress.RequestRefusedError as refused:
        structured_logger().error("a press that does not verify was refused", extra={"why": str(refused)})
        raise InvalidInputError(f"the press does not verify: {refused}") from None
    return events.check_event(press, events.PressEvent)


def make_press_worker(own: Invocation, ephemeral_reply: Callable[[str, str], bool]) -> PressWorker:
    """Return the worker for presses, in this invocation."""
    from ml_janitor import deployment
    from ml_janitor.config.values import InvalidInputError
    from ml_janitor.ledger.requests import ButtonRequests
    from ml_janitor.slack.client import SlackBot
    from ml_janitor.slack.press_worker import Directory, PressWorker

    messages = deployment.make_message_updates(own)
    slack = own.connect() if messages is not None else None
    if messages is None or not isinstance(slack, SlackBot):
        raise InvalidInputError(
            "janitor.slack_secret has to name the secret with a bot token: a webhook has no buttons"
        )
    return PressWorker(
        settings=own.settings,
        home=own.home,
        ledger=own.ledger,
        holds=own.holds,
        requests=ButtonRequests(own.table, own.signatures),
        undoing=deployment.make_lambda_undoing(own),
        messages=messages,
        directory=Directory(slack, deadline=own.slack_deadline),
        functions=own.environment.functions,
        undo=own.environment.undo,
        once=partial(do_event_once, own, _PRESS_FUNCTION),
        hand_over=own.hand_over,
        ephemeral_reply=ephemeral_reply,
        clock=real_time,
        logger=structured_logger(),
    )


def do_event_once(
    own: Invocation, name: str, identity: str, work: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return the answer of *work*, which is done once for each event *identity* of the function *name*."""
    from ml_janitor.ledger.idempotency import run_once

    return run_once(work, name=name, event=identity, table=own.table, context=own.context)


def make_invocation(context: FunctionContext) -> Invocation:
    """Return the invocation of *context*, with the environment and the clocks of this process."""
    from ml_janitor.scheduled.invocation import Environment, Invocation

    structured_logger().append_keys(request_id=context.aws_request_id)
    return Invocation(Environment.read(os.environ), context, clock=real_time, seconds=slack_time())


def run_sweep_event(asked: SweepEvent, own: Invocation, *, holder: str) -> SweepRunResult:
    """Run the sweep that *asked* describes."""
    from ml_janitor import deployment
    from ml_janitor.config.events import MOST_PARTS
    from ml_janitor.config.member_roles import assumed_role_name, reading_role_name
    from ml_janitor.ledger.limits import LEASE_PAUSE
    from ml_janitor.scheduled.sweep_run import SweepRunner

    real_now, detector = real_time(), own.detector
    place = own.place(asked)
    looks_at = place.regions if own.settings.organization.used else own.regions
    now, note = asked.begun or real_now, asked.harmless(real_now, looks_at)
    dry = asked.mode is not None or bool(note)
    bus = deployment.make_event_bus(own, structured_logger())
    runner = SweepRunner(
        policy=own.settings.policy,
        ledger=own.ledger,
        leases=own.leases,
        archive=own.archive,
        tell=own.announcer,
        logger=structured_logger(),
        clock=real_time,
        holder=holder,
        patience=own.left,
        sleep=own.seconds.sleep,
        pause=lambda: own.seconds.sleep(LEASE_PAUSE.total_seconds()),
        acting=deployment.make_lambda_acting(own),
        warner=deployment.make_warner(own),
        follow=deployment.make_message_updates(own),
        dry=dry,
        goes_on=detector.resumes and asked.part < MOST_PARTS,
        emit=bus if bus.name else None,
    )
    reads = dry or asked.resource is not None
    role = (
        reading_role_name(own.settings, detector.name)
        if reads
        else assumed_role_name(own.settings, detector.name, place.account)
    )
    if asked.resource is not None:
        with own.opened(own.entered(place, role).whole()) as accounts:
            return runner.look(detector, accounts[0], asked.resource, now=now, note=note)
    try:
        inside = own.entered(place, role)
    except Exception as error:  # the result of this place, and not of the others of its run
        raise runner.not_entered(detector, place, error, now=now) from error
    with own.opened(inside) as accounts:
        return runner.sweep(detector, accounts, now=now, note=note, off=inside.off)


def sweep_answer(done: SweepRunResult) -> dict[str, Any]:
    """Return counts and the report's place: an answer has a size limit, an account's waste has none."""
    return {
        "time": done.report.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "account": done.report.account,
        "report": done.where,
        "new": done.new,
        "note": done.note,
        "sweeps": [
            {
                "detector": sweep.detector,
                "region": sweep.region,
                "mode": sweep.mode.value,
                "looked_at": sweep.looked_at,
                "found": sweep.found,
                "kept": sweep.kept,
                "unknown": sweep.unknown,
            }
            for sweep in done.report.sweeps
        ],
    }


def post_digest(asked: DigestEvent, own: Invocation) -> dict[str, Any]:
    """Post the digest that *asked* describes; return counts."""
    from ml_janitor import deployment
    from ml_janitor.bill.report import BillArchive
    from ml_janitor.slack.digest import DailyDigest

    daily = DailyDigest(
        settings=own.settings,
        ledger=own.ledger,
        action_history=deployment.make_action_history(own),
        announcers=own.announcers,
        logger=structured_logger(),
        account=own.home,
        regions=own.regions,
        picture=BillArchive(own.client("s3"), own.environment.bucket).picture,
        organization=deployment.make_organization_reader(own),
    )
    return daily.post(asked.time or real_time())
