"""Every service that the sandbox's IAM can judge: those the janitor calls, and those it is made of."""

from collections.abc import Callable, Mapping

from ml_janitor_sandbox import athena
from ml_janitor_sandbox.billing import cost_explorer, savings_plans
from ml_janitor_sandbox.iam import autoscaling, dynamodb, s3, sagemaker
from ml_janitor_sandbox.iam.needs import EVERYTHING, Need, Needs, Reader
from moto_corrections import accounts
from moto_corrections.patches import Call, backend

WITHOUT_RESOURCE: Mapping[str, set[str]] = {
    "application-autoscaling": {
        "DescribeScalableTargets",
        "DescribeScalingActivities",
        "DescribeScalingPolicies",
        "DescribeScheduledActions",
    },
    "ce": set(cost_explorer.OPERATIONS),
    "cloudtrail": {"LookupEvents"},
    "cloudwatch": {"GetMetricData", "GetMetricStatistics", "ListMetrics"},
    "ec2": {"DescribeNatGateways", "DescribeRegions", "DescribeRouteTables", "DescribeVpcEndpoints"},
    "ecr": {"DescribeRegistry", "GetAuthorizationToken"},
    "elasticmapreduce": {"ListClusters"},
    "pricing": {"DescribeServices", "GetAttributeValues", "GetProducts"},
    "savingsplans": set(savings_plans.OPERATIONS),
    "organizations": {"DescribeOrganization", "ListAccounts"},
    "secretsmanager": {"ListSecrets"},
    "sns": {"ListTopics"},
    "sqs": {"ListQueues"},
    "tag": {"GetResources", "GetTagKeys", "GetTagValues"},
}
TAGGING = ("ListTagsForResource", "TagResource", "UntagResource")
STREAM = ("CreateLogStream", "DeleteLogStream", "GetLogEvents", "PutLogEvents")
GROUP = (
    *("CreateLogGroup", "DeleteLogGroup", "DescribeLogGroups", "DescribeLogStreams", "FilterLogEvents"),
    *("DeleteRetentionPolicy", "PutRetentionPolicy"),
)

type Arns = Callable[[Call], list[str]]

ARNS: dict[tuple[str, str], Arns] = {}
"""By service and operation, whose action has the operation's name, the resources that it is needed on."""


def needs(service: str, call: Call) -> Needs:
    """Return the permissions that the call needs. `NotImplementedError` if the sandbox cannot tell."""
    if call.operation in WITHOUT_RESOURCE.get(service, ()):
        resources = [EVERYTHING]
    elif arns := ARNS.get((service, call.operation)):
        resources = arns(call)
    elif service in READERS:
        return READERS[service](call)
    else:
        raise NotImplementedError
    return [Need(f"{service}:{call.operation}", resource) for resource in resources]


def _on(service: str, *operations: str) -> Callable[[Arns], Arns]:
    """Require the actions of these operations on the ARNs that the decorated function names."""

    def register(arns: Arns) -> Arns:
        ARNS.update({(service, operation): arns for operation in operations})
        return arns

    return register


# CloudWatch Logs user guide, "CloudWatch Logs resources and operations": a group's tags are checked on its
# ARN as it is, and those of a repository too.
for _service in ("ecr", "logs"):
    _on(_service, *TAGGING)(lambda call: [call.params["resourceArn"]])
_on("sns", "GetTopicAttributes", "ListSubscriptionsByTopic", "Publish", "Subscribe")(
    lambda call: [call.params["TopicArn"]]
)
# Service Authorization Reference, AWS Step Functions: starting an execution is a matter of its state machine.
_on("states", "StartExecution")(lambda call: [call.params["stateMachineArn"]])
# API reference of GetCallerIdentity: who one is may always be asked, even against an explicit deny.
_on("sts", "GetCallerIdentity")(lambda _: [])


@_on("cloudwatch", "DeleteAlarms", "DescribeAlarms", "PutMetricAlarm")
def _alarms(call: Call) -> list[str]:
    name = call.params.get("AlarmName")
    names = [name] if name else call.params.get("AlarmNames") or ["*"]
    return [call.arn("cloudwatch", f"alarm:{alarm}") for alarm in names]


@_on("logs", *GROUP, *STREAM)
def _logs(call: Call) -> list[str]:
    """
    List ARNs: operations on a group are checked on a nameless stream, and listing on a nameless group too.

    https://github.com/hashicorp/terraform-provider-aws/issues/8804: "logs:DescribeLogGroups on resource
    ...:log-group::log-stream:". So `log-group:NAME:*` covers a group, and `log-group:NAME` does not.
    """
    group = call.params.get("logGroupName") or ""
    if identifier := call.params.get("logGroupIdentifier"):
        group = identifier.split(":log-group:")[-1].removesuffix(":*")
    stream = call.params["logStreamName"] if call.operation in STREAM else ""
    return [call.arn("logs", f"log-group:{group}:log-stream:{stream}")]


@_on("ecr", "BatchGetImage", "DescribeImages", "DescribeRepositories", "ListImages")
def _repositories(call: Call) -> list[str]:
    """List the ARNs; listing all is checked on a star: https://github.com/aws-amplify/amplify-cli/issues/10828."""
    names = call.params.get("repositoryNames") or [call.params.get("repositoryName") or "*"]
    return [call.arn("ecr", f"repository/{name}") for name in names]


@_on("athena", *athena.OPERATIONS, "GetWorkGroup")
def _queries(call: Call) -> list[str]:
    """List the ARNs by the work group, which a query remembers (Service Authorization Reference)."""
    group = call.params.get("WorkGroup") or athena.work_group(call)
    return [call.arn("athena", f"workgroup/{group}")]


@_on("elasticmapreduce", "DescribeCluster", "GetAutoTerminationPolicy", "ListInstances")
def _clusters(call: Call) -> list[str]:
    """List the one cluster that is read. Making one takes more than is known here."""
    return [call.arn("elasticmapreduce", f"cluster/{call.params['ClusterId']}")]


@_on("events", "PutEvents")
def _buses(call: Call) -> list[str]:
    """List the bus of each entry (Service Authorization Reference, Amazon EventBridge)."""
    names = {entry.get("EventBusName", "default") for entry in call.params["Entries"]}
    return [call.arn("events", f"event-bus/{name}") for name in sorted(names)]


@_on("secretsmanager", "DescribeSecret", "GetSecretValue", "PutSecretValue")
def _secrets(call: Call) -> list[str]:
    """List the whole ARN, whose end is random; a secret that is not there has no such end."""
    name = call.params["SecretId"]
    kept = backend("secretsmanager", call.account, call.region).secrets.get(name)
    named = name if name.startswith("arn:") else call.arn("secretsmanager", f"secret:{name}")
    return [kept.arn if kept else named]


@_on(
    "sqs", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl", "PurgeQueue", "ReceiveMessage", "SendMessage"
)
def _queues(call: Call) -> list[str]:
    url = call.params.get("QueueUrl") or call.params["QueueName"]
    return [call.arn("sqs", url.rpartition("/")[2])]


@_on(
    "kms",
    *("CreateGrant", "DescribeKey", "DisableKey", "GenerateMac", "GetKeyPolicy", "PutKeyPolicy"),
    *("ScheduleKeyDeletion", "VerifyMac"),
)
def _keys(call: Call) -> list[str]:
    """
    List the ARN of the key, also where an alias names it.

    KMS developer guide, "Controlling access to KMS keys": a policy's resource is a key's ARN.
    """
    name = call.params["KeyId"]
    store = backend("kms", call.account, call.region)
    found = store.keys.get(store.any_id_to_key_id(name))
    return [found.arn if found else name]


@_on("iam", "GetRole", "GetRolePolicy", "ListAttachedRolePolicies", "ListRolePolicies")
def _roles(call: Call) -> list[str]:
    """List the role's whole ARN: its path is not part of its name."""
    name = call.params["RoleName"]
    found = {role.name: role for role in backend("iam", call.account, call.region).roles.values()}.get(name)
    return [found.arn if found else f"arn:{call.partition}:iam::{call.account}:role/{name}"]


@_on("cloudformation", "ListStackResources")
def _stacks(call: Call) -> list[str]:
    """List the stack's ARN, whose id is not in the request."""
    return [call.arn("cloudformation", f"stack/{call.params['StackName']}/*")]


@_on("organizations", "ListAccountsForParent", "ListOrganizationalUnitsForParent")
def _units(call: Call) -> list[str]:
    """List the ARN of the unit, which begins with the account that manages it."""
    parent = str(call.params.get("ParentId", ""))
    found = accounts.organization_of(call.account)
    if found is None:
        raise NotImplementedError
    kind = "root" if parent.startswith("r-") else "ou"
    within = f"{kind}/{accounts.organization_id(call.account)}/{parent}"
    return [f"arn:{call.partition}:organizations::{found.account_id}:{within}"]


def _metrics(call: Call) -> Needs:
    if call.operation != "PutMetricData":
        raise NotImplementedError
    return [
        Need("cloudwatch:PutMetricData", context={"cloudwatch:namespace": (str(call.params["Namespace"]),)})
    ]


def _functions(call: Call) -> Needs:
    """Return what Invoke needs: the action has another name. A name or an ARN is given, without a version."""
    if call.operation != "Invoke" or "Qualifier" in call.params:
        raise NotImplementedError
    name = call.params["FunctionName"]
    where = name if name.startswith("arn:") else call.arn("lambda", f"function:{name}")
    return [Need("lambda:InvokeFunction", where)]


def _budgets(call: Call) -> Needs:
    """Require one of two actions for all calls (Service Authorization Reference, AWS Budget Service)."""
    action = "ViewBudget" if call.operation.startswith("Describe") else "ModifyBudget"
    name = call.params.get("BudgetName") or (call.params.get("Budget") or {}).get("BudgetName") or "*"
    return [Need(f"budgets:{action}", f"arn:{call.partition}:budgets::{call.account}:budget/{name}")]


READERS: Mapping[str, Reader] = {
    "application-autoscaling": autoscaling.needs,
    "budgets": _budgets,
    "cloudwatch": _metrics,
    "dynamodb": dynamodb.needs,
    "lambda": _functions,
    "s3": s3.needs,
    "sagemaker": sagemaker.needs,
}
