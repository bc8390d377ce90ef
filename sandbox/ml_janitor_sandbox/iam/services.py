"""Every service that the sandbox's IAM can judge: those the janitor calls, and those it is made of."""

from __future__ import annotations

from collections.abc import Mapping

from ml_janitor_sandbox import athena
from ml_janitor_sandbox.billing import cost_explorer, savings_plans
from ml_janitor_sandbox.fixes import accounts
from ml_janitor_sandbox.iam import autoscaling, dynamodb, s3, sagemaker
from ml_janitor_sandbox.iam.needs import Need, Needs, Reader, arn
from ml_janitor_sandbox.patches import Call, backend

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
    "ec2": {"DescribeNatGateways", "DescribeRegions", "DescribeVpcEndpoints"},
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
QUEUE = {"DeleteMessage", "GetQueueAttributes", "GetQueueUrl", "PurgeQueue", "ReceiveMessage", "SendMessage"}
TOPIC = {"GetTopicAttributes", "Publish", "Subscribe"}
SECRET = {"DescribeSecret", "GetSecretValue", "PutSecretValue"}
KEYS = {"DescribeKey", "GenerateMac", "VerifyMac"}
REPOSITORY = {"BatchGetImage", "DescribeImages", "DescribeRepositories", "ListImages"}
STREAM = {"CreateLogStream", "DeleteLogStream", "GetLogEvents", "PutLogEvents"}
GROUP = {
    "CreateLogGroup",
    "DeleteLogGroup",
    "DeleteRetentionPolicy",
    "DescribeLogGroups",
    "DescribeLogStreams",
    "FilterLogEvents",
    "PutRetentionPolicy",
}
ROLE = {"GetRole", "GetRolePolicy", "ListAttachedRolePolicies", "ListRolePolicies"}
UNIT = {"ListAccountsForParent", "ListOrganizationalUnitsForParent"}
TAGS_OF_GROUP = {"ListTagsForResource", "TagResource", "UntagResource"}


def needs(service: str, call: Call) -> Needs:
    """What the call needs permission for. `NotImplementedError` if the sandbox cannot tell."""
    if call.operation in WITHOUT_RESOURCE.get(service, ()):
        return [Need(f"{service}:{call.operation}")]
    if service not in READERS:
        raise NotImplementedError
    return READERS[service](call)


def _one(service: str, call: Call, resource: str) -> Needs:
    return [Need(f"{service}:{call.operation}", resource)]


def _alarms(call: Call) -> Needs:
    match call.operation:
        case "PutMetricData":
            namespace = {"cloudwatch:namespace": (str(call.params["Namespace"]),)}
            return [Need("cloudwatch:PutMetricData", context=namespace)]
        case "DeleteAlarms" | "DescribeAlarms":
            names = call.params.get("AlarmNames") or ["*"]
        case "PutMetricAlarm":
            names = [call.params["AlarmName"]]
        case _:
            raise NotImplementedError
    return [
        need for name in names for need in _one("cloudwatch", call, arn(call, "cloudwatch", f"alarm:{name}"))
    ]


def _logs(call: Call) -> Needs:
    """
    Operations on a group are checked on a stream without a name, and listing on a group without one too.

    https://github.com/hashicorp/terraform-provider-aws/issues/8804: "logs:DescribeLogGroups on resource
    ...:log-group::log-stream:". So `log-group:NAME:*` covers a group, and `log-group:NAME` does not. Its tags
    are checked on its ARN as it is (CloudWatch Logs user guide, "CloudWatch Logs resources and operations").
    """
    if call.operation in TAGS_OF_GROUP:
        return _one("logs", call, call.params["resourceArn"])
    if call.operation not in GROUP | STREAM:
        raise NotImplementedError
    group = call.params.get("logGroupName") or ""
    if identifier := call.params.get("logGroupIdentifier"):
        group = identifier.split(":log-group:")[-1].removesuffix(":*")
    stream = call.params["logStreamName"] if call.operation in STREAM else ""
    return _one("logs", call, arn(call, "logs", f"log-group:{group}:log-stream:{stream}"))


def _repositories(call: Call) -> Needs:
    """Listing all is checked on a star: https://github.com/aws-amplify/amplify-cli/issues/10828."""
    if call.operation in ("ListTagsForResource", "TagResource", "UntagResource"):
        return _one("ecr", call, call.params["resourceArn"])
    if call.operation not in REPOSITORY:
        raise NotImplementedError
    one = call.params.get("repositoryName")
    names = call.params.get("repositoryNames") or [one or "*"]
    return [need for name in names for need in _one("ecr", call, arn(call, "ecr", f"repository/{name}"))]


def _queries(call: Call) -> Needs:
    """Athena's, by the work group, which a query remembers (Service Authorization Reference)."""
    if call.operation not in {*athena.OPERATIONS, "GetWorkGroup"}:
        raise NotImplementedError
    group = call.params.get("WorkGroup") or athena.work_group(call)
    return _one("athena", call, arn(call, "athena", f"workgroup/{group}"))


def _clusters(call: Call) -> Needs:
    """EMR's: what reads one cluster. Making one takes more than is known here."""
    if call.operation not in {"DescribeCluster", "GetAutoTerminationPolicy", "ListInstances"}:
        raise NotImplementedError
    return _one(
        "elasticmapreduce", call, arn(call, "elasticmapreduce", f"cluster/{call.params['ClusterId']}")
    )


def _secrets(call: Call) -> Needs:
    """By the whole ARN, whose end is random; a secret that is not there has no such end."""
    if call.operation not in SECRET:
        raise NotImplementedError
    name = call.params["SecretId"]
    if not name.startswith("arn:"):
        kept = backend("secretsmanager", call.account, call.region).secrets.get(name)
        name = kept.arn if kept else arn(call, "secretsmanager", f"secret:{name}")
    return _one("secretsmanager", call, name)


def _queues(call: Call) -> Needs:
    if call.operation not in QUEUE:
        raise NotImplementedError
    url = call.params.get("QueueUrl") or call.params["QueueName"]
    return _one("sqs", call, arn(call, "sqs", url.rpartition("/")[2]))


def _keys(call: Call) -> Needs:
    """
    By the ARN of the key, also where an alias names it.

    KMS developer guide, "Controlling access to KMS keys": a policy's resource is a key's ARN.
    """
    if call.operation not in KEYS:
        raise NotImplementedError
    name = call.params["KeyId"]
    store = backend("kms", call.account, call.region)
    found = store.keys.get(store.any_id_to_key_id(name))
    return _one("kms", call, found.arn if found else name)


def _topics(call: Call) -> Needs:
    if call.operation not in TOPIC:
        raise NotImplementedError
    return _one("sns", call, call.params["TopicArn"])


def _identity(call: Call) -> Needs:
    """Who one is may always be asked, even against an explicit deny (API reference of GetCallerIdentity)."""
    if call.operation != "GetCallerIdentity":
        raise NotImplementedError
    return []


def _functions(call: Call) -> Needs:
    """The action of Invoke is called otherwise. A function is named, or its ARN given; it has no versions."""
    if call.operation != "Invoke" or "Qualifier" in call.params:
        raise NotImplementedError
    name = call.params["FunctionName"]
    where = name if name.startswith("arn:") else arn(call, "lambda", f"function:{name}")
    return [Need("lambda:InvokeFunction", where)]


def _executions(call: Call) -> Needs:
    """Starting one is a matter of its state machine (Service Authorization Reference, AWS Step Functions)."""
    if call.operation != "StartExecution":
        raise NotImplementedError
    return _one("states", call, call.params["stateMachineArn"])


def _roles(call: Call) -> Needs:
    """Reading a role, by its whole ARN: its path is no part of its name."""
    if call.operation not in ROLE:
        raise NotImplementedError
    name = call.params["RoleName"]
    found = {one.name: one for one in backend("iam", call.account, call.region).roles.values()}.get(name)
    where = found.arn if found else f"arn:{call.partition}:iam::{call.account}:role/{name}"
    return _one("iam", call, where)


def _units(call: Call) -> Needs:
    """Listing what is in a unit, by its ARN, which begins with the account that manages it."""
    parent = str(call.params.get("ParentId", ""))
    found = accounts.organization_of(call.account)
    if call.operation not in UNIT or found is None:
        raise NotImplementedError
    kind = "root" if parent.startswith("r-") else "ou"
    within = f"{kind}/{accounts.organization_id(call.account)}/{parent}"
    return _one("organizations", call, f"arn:{call.partition}:organizations::{found.account_id}:{within}")


def _budgets(call: Call) -> Needs:
    """Two actions for all calls (Service Authorization Reference, AWS Budget Service)."""
    action = "ViewBudget" if call.operation.startswith("Describe") else "ModifyBudget"
    name = call.params.get("BudgetName") or (call.params.get("Budget") or {}).get("BudgetName") or "*"
    return [Need(f"budgets:{action}", f"arn:{call.partition}:budgets::{call.account}:budget/{name}")]


READERS: Mapping[str, Reader] = {
    "application-autoscaling": autoscaling.needs,
    "athena": _queries,
    "budgets": _budgets,
    "cloudwatch": _alarms,
    "dynamodb": dynamodb.needs,
    "ecr": _repositories,
    "elasticmapreduce": _clusters,
    "iam": _roles,
    "kms": _keys,
    "lambda": _functions,
    "logs": _logs,
    "organizations": _units,
    "s3": s3.needs,
    "sagemaker": sagemaker.needs,
    "secretsmanager": _secrets,
    "sns": _topics,
    "sqs": _queues,
    "states": _executions,
    "sts": _identity,
}
