"""Lambda functions with their roles and logs, and what they share: code, queues, and the scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import jsii
from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct

from infra.bundle import SOURCE_ROOT, Architecture, build_bundle, bundle_digest
from infra.permissions import RolePermissions, acknowledge, allow_statements, nag_ids
from infra.state_machine import OrganizationMachine
from ml_janitor.config.functions import ScheduleGroup

# --- function -------------------------------------------------------------------------------------

LAMBDA_RUNTIME = lambda_.Runtime.PYTHON_3_13
LOG_RETENTION = logs.RetentionDays.THREE_MONTHS
EVENT_AGE = Duration.hours(1)
"""Maximum age of an event: an older one would run as a dry run anyway; better that its alarm says so."""

DELIVERY_RETRIES = 3
RUN_RETRIES = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedProperties:
    """
    Properties that all functions of the stack share.

    *failed* is the queue for events whose run failed at each try.
    """

    code: lambda_.Code
    architecture: lambda_.Architecture
    failed: sqs.Queue
    environment: Mapping[str, str]
    network: Network | None = None
    key: kms.IKey | None = None


class JanitorFunction(Construct):
    """
    A function under a role of its own, with its log group.

    A run that fails goes to the function's own retries and then to the queue. Asynchronous invocations alone
    have either (Lambda developer guide, "How Lambda handles errors and retries with asynchronous
    invocation"), so a function that *answers* has neither. A function that *continues* may invoke itself, for
    the next part of a run. The role is closed to CDK's own grants, which are wider than needed; it has a
    *role_name* where other accounts name it.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        description: str,
        handler: str,
        allowed: Sequence[RolePermissions],
        shared: SharedProperties,
        environment: Mapping[str, str] | None = None,
        memory: int = 512,
        timeout: Duration | None = None,
        answers: bool = False,
        continues: bool = False,
        concurrency: int | None = None,
        role_name: str | None = None,
    ) -> None:
        super().__init__(scope, id_)
        self.allowed = allowed
        group = logs.LogGroup(
            self,
            "Logs",
            retention=LOG_RETENTION,
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
            runtime=LAMBDA_RUNTIME,
            architecture=shared.architecture,
            code=shared.code,
            handler=f"ml_janitor.handlers.{handler}",
            role=self.role.without_policy_updates(),
            memory_size=memory,
            timeout=timeout or Duration.minutes(15),
            log_group=group,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            environment={**shared.environment, **(environment or {})},
            recursive_loop=lambda_.RecursiveLoop.TERMINATE,
            reserved_concurrent_executions=concurrency,
        )
        acknowledge(
            self.function,
            "AwsSolutions-L1",
            reason="Python 3.13 is supported by Lambda until 2029, and the bundle's byte code is for it.",
        )
        for rights in allowed:
            self._allow(rights)
        group.grant_write(self.role)
        if shared.network is not None:
            shared.network.attach(self.function, self.role)
        if continues:  # a policy of its own: the function waits for the other one
            invoking = iam.PolicyStatement(
                actions=["lambda:InvokeFunction"], resources=[self.function.function_arn]
            )
            iam.Policy(self, "NextPart", roles=[self.role], statements=[invoking])
        if not answers:
            allow_sending(shared.failed, self.role, shared.key)
            self.function.configure_async_invoke(
                retry_attempts=RUN_RETRIES,
                max_event_age=EVENT_AGE,
                on_failure=destinations.SqsDestination(shared.failed),
            )

    def _allow(self, allowed: RolePermissions) -> None:
        stack = Stack.of(self)
        for statement in [*allow_statements(stack, allowed), *allowed.denied]:
            self.role.add_to_policy(statement)
        acknowledge(
            self.role,
            *nag_ids(stack, allowed.grants, allowed.where),
            reason="These actions either have no resource level in IAM, or concern resources whose names "
            "are not known before they are listed; each is declared by the detector that calls it, and a "
            "test compares the declaration with the calls recorded.",
        )


def create_queue(scope: Construct, id_: str, key: kms.IKey | None) -> sqs.Queue:
    """
    Create a queue for events that nobody could handle, under *key* if there is one.

    Messages are kept for two weeks, the longest retention there is.
    """
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


def allow_sending(queue: sqs.Queue, sender: iam.Role, key: kms.IKey | None) -> None:
    """Allow *sender* to send messages to *queue*, which is under *key* if there is one."""
    queue.grant(sender, "sqs:SendMessage")
    if key is not None:
        sender.add_to_policy(queue_key_statement(Stack.of(sender), key))


class RunScheduler(Construct):
    """
    The schedules, with one role that invokes functions, and one queue for events that it could not deliver.

    The scheduler's retries and its queue see failed deliveries only.
    """

    def __init__(self, scope: Construct, id_: str, *, time_zone: str, key: kms.IKey | None) -> None:
        super().__init__(scope, id_)
        self._time_zone = time_zone
        self.undelivered = create_queue(self, "Undelivered", key)
        self._role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
            description="ML Janitor: invokes its functions on their schedules",
        )
        allow_sending(self.undelivered, self._role, key)
        self._delivery: Mapping[str, Any] = {
            "retry_attempts": DELIVERY_RETRIES,
            "max_event_age": EVENT_AGE,
            "dead_letter_queue": self.undelivered,
            "role": self._role.without_policy_updates(),
        }

    def invoke(
        self, scope: Construct, id_: str, function: lambda_.IFunction, schedule: str, **event: Any
    ) -> None:
        """Have *schedule* invoke *function* with its time and *event*."""
        time = scheduler.ContextAttribute.scheduled_time
        given = scheduler.ScheduleTargetInput.from_object({"time": time, **event})
        self._allow("lambda:InvokeFunction", function.function_arn)
        self._schedule(scope, id_, schedule, targets.LambdaInvoke(function, input=given, **self._delivery))

    def sweep(
        self, function: JanitorFunction, group: ScheduleGroup, machine: OrganizationMachine | None
    ) -> None:
        """Have *function* sweep for *group* on its schedule, by itself or through the *machine*."""
        if machine is None:
            named = {} if group.function in group.detectors else {"detectors": list(group.detectors)}
            self.invoke(function, group.id, function.function, group.schedule, **named)
            return
        self._allow("states:StartExecution", machine.machine.state_machine_arn)
        given = machine.input_for(function.function, group.detectors)
        target = targets.StepFunctionsStartExecution(machine.machine, input=given, **self._delivery)
        self._schedule(function, group.id, group.schedule, target)

    def _allow(self, action: str, resource: str) -> None:
        self._role.add_to_policy(iam.PolicyStatement(actions=[action], resources=[resource]))

    def _schedule(self, scope: Construct, id_: str, schedule: str, target: scheduler.IScheduleTarget) -> None:
        scheduler.Schedule(
            scope,
            id_,
            description=f"ML Janitor runs {scope.node.id}",
            schedule=scheduler.ScheduleExpression.expression(schedule, cdk.TimeZone.of(self._time_zone)),
            target=target,
        )


@jsii.implements(cdk.ILocalBundling)
class LocalBundling:
    """Builds on this machine, without Docker."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture

    def try_bundle(self, output_dir: str, _options: cdk.BundlingOptions) -> bool:
        """
        Build into *output_dir*.

        jsii calls this with two positional arguments, whatever the generated documentation says.
        """
        build_bundle(Path(output_dir), self._architecture)
        return True


def bundle_code(architecture: Architecture) -> lambda_.Code:
    """Return the one asset that all functions share."""
    return lambda_.Code.from_asset(
        str(SOURCE_ROOT),
        asset_hash=bundle_digest(architecture),
        asset_hash_type=cdk.AssetHashType.CUSTOM,
        bundling=cdk.BundlingOptions(
            image=cdk.DockerImage.from_registry("never-pulled"),
            local=LocalBundling(architecture),  # type: ignore[arg-type]
        ),
    )


# --- demands of an organization -------------------------------------------------------------------
# An organization's demands hold for every role, function, queue, topic and log group of the stack.

VPC_ACTIONS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""
Actions of Lambda, with a function's role, to bring the function into a VPC (Lambda developer guide, "Required
IAM permissions").
"""


@dataclass(frozen=True, slots=True)
class Network:
    """The subnets and security groups that functions run in."""

    subnets: list[str]
    security_groups: list[str]

    def attach(self, function: lambda_.Function, role: iam.Role) -> None:
        """
        Bring *function* into the network.

        Lambda may use the role for it, and the function's own code may not (Lambda developer guide, "Giving
        Lambda functions access to resources in an Amazon VPC": lambda:SourceFunctionArn is in requests of
        code alone).
        """
        cast("lambda_.CfnFunction", function.node.default_child).add_property_override(
            "VpcConfig", {"SubnetIds": self.subnets, "SecurityGroupIds": self.security_groups}
        )
        acknowledge(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            reason="Lambda creates network interfaces whose names nobody knows before; code may not.",
        )
        role.add_to_policy(iam.PolicyStatement(actions=list(VPC_ACTIONS), resources=["*"]))
        role.add_to_policy(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=list(VPC_ACTIONS),
                resources=["*"],
                conditions={"Null": {"lambda:SourceFunctionArn": "false"}},
            )
        )


def queue_key_statement(stack: Stack, key: kms.IKey) -> iam.PolicyStatement:
    """Allow a role to send messages to queues under *key* (SQS developer guide, "Key management")."""
    return iam.PolicyStatement(
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
        resources=[key.key_arn],
        conditions={"StringEquals": {"kms:ViaService": f"sqs.{stack.region}.{stack.url_suffix}"}},
    )


def shape_roles(scope: Construct, *, path: str, boundary: str) -> None:
    """Give every role in *scope* a *path* and a *boundary*; if neither is set, CDK need not ask for each."""
    if path != "/" or boundary:
        cdk.Aspects.of(scope).add(RoleAspect(path=path, boundary=boundary))


@jsii.implements(cdk.IAspect)
class RoleAspect:
    """Gives every role a path and a boundary, including the roles that CDK makes for its own purposes."""

    def __init__(self, *, path: str, boundary: str) -> None:
        self._properties = {"Path": "" if path == "/" else path, "PermissionsBoundary": boundary}

    def visit(self, node: IConstruct) -> None:
        """Set the path and the boundary, if *node* is a role."""
        if isinstance(node, cdk.CfnResource) and node.cfn_resource_type == "AWS::IAM::Role":
            for name, value in self._properties.items():
                if value:
                    node.add_property_override(name, value)
