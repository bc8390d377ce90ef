"""One Lambda function with everything around it: role, logs, queues, alarms, and its schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import aws_cdk as cdk
from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.alarms import runs_begun, watch_errors, watch_queue, watch_schedule
from infra.organization import Network, through_queues
from infra.permissions import Place, acknowledgements, statements
from infra.state_machine import Organization
from ml_janitor.engine.detector import Grant

RUNTIME = lambda_.Runtime.PYTHON_3_13
RETENTION = logs.RetentionDays.THREE_MONTHS
EVENT_AGE = Duration.hours(1)
"""An older event would run as a dry run anyway; better that its alarm says so."""

DELIVERY_RETRIES = 3
RUN_RETRIES = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all functions of the stack have in common."""

    code: lambda_.Code
    architecture: lambda_.Architecture
    topic: sns.ITopic
    time_zone: str
    environment: Mapping[str, str]
    network: Network | None = None
    key: kms.IKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a function's role holds: *grants*, each in the places *where*, less what *denied* says."""

    grants: Sequence[Grant]
    where: Sequence[Place]
    denied: Sequence[iam.PolicyStatement] = ()


class JanitorFunction(Construct):
    """
    A function under a role of its own, with its log group, and a queue for what failed.

    A run that fails goes to the function's own retries and then to the queue; both raise an alarm.
    Asynchronous invocations alone have either (Lambda developer guide, "How Lambda handles errors and
    retries with asynchronous invocation"), so a function that *answers* has neither. The role is
    closed to CDK's own grants, which are wider than what is used; it has a *role_name* where other accounts
    name it.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        description: str,
        handler: str,
        allowed: Sequence[Allowed],
        shared: Shared,
        environment: Mapping[str, str],
        memory: int = 512,
        timeout: Duration | None = None,
        answers: bool = False,
        concurrency: int | None = None,
        role_name: str | None = None,
    ) -> None:
        super().__init__(scope, id_)
        group = logs.LogGroup(
            self,
            "Logs",
            retention=RETENTION,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            encryption_key=shared.key,
        )
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"ML Janitor, {name}: {description}"[:1000],
            role_name=role_name,
        )
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"{name}: {description}"[:256],
            runtime=RUNTIME,
            architecture=shared.architecture,
            code=shared.code,
            handler=handler,
            role=self.role.without_policy_updates(),
            memory_size=memory,
            timeout=timeout or Duration.minutes(15),
            log_group=group,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            environment={**shared.environment, **environment},
            recursive_loop=lambda_.RecursiveLoop.TERMINATE,
            reserved_concurrent_executions=concurrency,
        )
        acknowledge(
            self.function,
            "AwsSolutions-L1",
            reason="Python 3.13 is supported by Lambda until 2029, and the bundle's byte code is for it.",
        )
        for each in allowed:
            self._allow(each)
        group.grant_write(self.role)
        if shared.network is not None:
            shared.network.attach(self.function, self.role)
        watch_errors(self, self.function, name=name, topic=shared.topic)
        if not answers:
            self._keep_what_failed(f"{name}: a run failed {RUN_RETRIES + 1} times", shared)

    def _keep_what_failed(self, what: str, shared: Shared) -> None:
        """Retry an event, then keep it, and let an alarm say so."""
        failed = queue(self, "Failed", shared.key)
        self.function.configure_async_invoke(
            retry_attempts=RUN_RETRIES,
            max_event_age=EVENT_AGE,
            on_failure=destinations.SqsDestination(failed),
        )
        may_send(self.role, failed, shared.key)
        said = f"{what}; its event is in {self.node.id}'s Failed queue."
        watch_queue(self, "FailedMessages", failed, says=said, topic=shared.topic)

    def _allow(self, allowed: Allowed) -> None:
        stack = Stack.of(self)
        for statement in [*statements(stack, allowed.grants, allowed.where), *allowed.denied]:
            self.role.add_to_policy(statement)
        acknowledge(
            self.role,
            *acknowledgements(stack, allowed.grants, allowed.where),
            reason="These actions either have no resource level in IAM, or concern resources whose names "
            "are not known before they are listed; each is declared by the detector that calls it, and a "
            "test compares the declaration with the calls recorded.",
        )


class ScheduledFunction(JanitorFunction):
    """
    A function that its schedule runs, by itself or *through* the state machine of an organization.

    The scheduler's retries and dead-letter queue see failed deliveries only; that queue raises an
    alarm too, and so does a schedule that did not run.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        description: str,
        handler: str,
        schedule: str,
        allowed: Sequence[Allowed],
        shared: Shared,
        environment: Mapping[str, str],
        memory: int = 512,
        timeout: Duration | None = None,
        role_name: str | None = None,
        through: Organization | None = None,
    ) -> None:
        super().__init__(
            scope,
            id_,
            name=name,
            description=description,
            handler=handler,
            allowed=allowed,
            shared=shared,
            environment=environment,
            memory=memory,
            timeout=timeout,
            role_name=role_name,
        )
        undelivered = queue(self, "Undelivered", shared.key)
        scheduler.Schedule(
            self,
            "Schedule",
            description=f"ML Janitor runs {name}",
            schedule=expression(schedule, shared.time_zone),
            target=self._target(name, undelivered, shared.key, through),
        )
        watch_schedule(
            self,
            self.function.metric_invocations if through is None else partial(runs_begun, name),
            name=name,
            schedule=schedule,
            topic=shared.topic,
        )
        watch_queue(
            self,
            "UndeliveredMessages",
            undelivered,
            says=f"{name}: the schedule could not invoke it; its event is in {id_}'s Undelivered queue.",
            topic=shared.topic,
        )

    def _target(
        self, name: str, undelivered: sqs.IQueue, key: kms.IKey | None, through: Organization | None
    ) -> scheduler.IScheduleTarget:
        """What the schedule starts: the function, or the state machine that has it look at every account."""
        if through is None:
            starts, resource = "lambda:InvokeFunction", self.function.function_arn
        else:
            starts, resource = "states:StartExecution", through.machine.state_machine_arn
        delivery: Mapping[str, Any] = {
            "retry_attempts": DELIVERY_RETRIES,
            "max_event_age": EVENT_AGE,
            "dead_letter_queue": undelivered,
            "role": self._invoker(starts, resource, undelivered, key).without_policy_updates(),
        }
        if through is None:
            time = {"time": scheduler.ContextAttribute.scheduled_time}
            sent = scheduler.ScheduleTargetInput.from_object(time)
            return targets.LambdaInvoke(self.function, input=sent, **delivery)
        sent = through.input_for(self.function, name)
        return targets.StepFunctionsStartExecution(through.machine, input=sent, **delivery)

    def _invoker(self, starts: str, resource: str, undelivered: sqs.IQueue, key: kms.IKey | None) -> iam.Role:
        """The role of the schedule: it may start what it is for, or leave word that it could not."""
        role = iam.Role(
            self,
            "Invoker",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )
        role.add_to_policy(iam.PolicyStatement(actions=[starts], resources=[resource]))
        may_send(role, undelivered, key)
        return role


def may_send(role: iam.Role, to: sqs.IQueue, key: kms.IKey | None) -> None:
    """Let *role* send messages to a queue, which is under *key* if there is one."""
    to.grant(role, "sqs:SendMessage")
    if key is not None:
        role.add_to_policy(through_queues(Stack.of(to), key))


def queue(scope: Construct, id_: str, key: kms.IKey | None) -> sqs.Queue:
    """A queue for what went wrong; kept for two weeks, the longest there is."""
    made = sqs.Queue(
        scope,
        id_,
        enforce_ssl=True,
        encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
        encryption_master_key=key,
        retention_period=Duration.days(14),
    )
    acknowledge(
        made, "AwsSolutions-SQS3", reason="It is itself the queue for what could not be delivered or run."
    )
    return made


def expression(schedule: str, time_zone: str) -> scheduler.ScheduleExpression:
    """A detector's schedule in the operator's time zone."""
    return scheduler.ScheduleExpression.expression(schedule, cdk.TimeZone.of(time_zone))
