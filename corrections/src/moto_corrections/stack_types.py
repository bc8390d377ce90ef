"""
The resource types that CloudFormation makes here, each through the API of its service.

moto's own models of these types ignore properties and make a table or function anew at an update. Properties
that need a new resource (`fixed`) are `createOnlyProperties` of the types' schemas. Recursion detection of
Lambda and Cost Explorer's anomaly monitors are accepted and not made: moto lacks them.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import get_session
from moto.core.botocore_stubber import BotocoreStubber

type Properties = Mapping[str, Any]


@lru_cache(256)
def client(account: str, region: str, service: str) -> Any:
    """Return a client whose calls moto answers in this process and thread, without HTTP."""
    stub: Any = BotocoreStubber()
    stub.enabled = True
    configured: Any = Config
    made = get_session().create_client(
        service,
        region_name=region,
        aws_access_key_id="AKIASANDBOX",
        aws_secret_access_key="sandbox",
        config=configured(ignore_configured_endpoint_urls=True, retries={"total_max_attempts": 1}),
    )
    made.meta.events.register("before-send", stub)
    made.meta.events.register(
        "before-call", lambda params, **_: params["headers"].update({"x-moto-account-id": account})
    )
    return made


@dataclass(frozen=True, slots=True)
class Place:
    """An account and region in which a stack is, with clients for them."""

    account: str
    region: str

    def __call__(self, service: str) -> Any:
        return client(self.account, self.region, service)

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something in the stack's account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


class Physical(NamedTuple):
    """A made resource: what Ref gives, what Fn::GetAtt gives, and the ARN that its tags are set by."""

    id: str
    attributes: Properties = {}  # noqa: RUF012 - never written to
    tagged: str = ""


type Put = Callable[[Place, str, Properties, Properties | None], Physical]
"""Makes a resource under a name, or changes the one of a physical id whose properties were the latter."""
type Remove = Callable[[Place, str, Properties], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of resources."""

    put: Put
    remove: Remove
    fixed: frozenset[str]
    name: str = ""
    longest: int = 255


KINDS: dict[str, Kind] = {}
NAMED_IAM = {"RoleName", "ManagedPolicyName"}


def kind(
    type_: str, *fixed: str, remove: Remove | str, name: str = "", longest: int = 255
) -> Callable[[Put], Put]:
    """Declare the decorated function to make and change resources of a type; `deleting` reads *remove*."""

    def register(put: Put) -> Put:
        removal = deleting(remove) if isinstance(remove, str) else remove
        KINDS[f"AWS::{type_}"] = Kind(put, removal, frozenset({*fixed, name}), name, longest)
        return put

    return register


def deleting(text: str) -> Remove:
    """
    Return the call that deletes a resource, of "service.operation", and the names of its arguments.

    Each is the physical id, a list of it if the name ends in [], or the property of that name if in =.
    """
    service, operation, *arguments = text.replace(".", " ").split()

    def remove(place: Place, physical_id: str, properties: Properties) -> None:
        given: dict[str, Any] = {}
        for argument in arguments:
            name = argument.rstrip("[]=")
            given[name] = properties[name] if argument.endswith("=") else physical_id
            given[name] = [given[name]] if argument.endswith("[]") else given[name]
        getattr(place(service), operation)(**given)

    return remove


def some(properties: Properties, *names: str) -> dict[str, Any]:
    """Return these properties, as far as they are there."""
    return {name: properties[name] for name in names if name in properties}


def without(properties: Properties, *names: str) -> dict[str, Any]:
    """Return the other properties."""
    return {name: value for name, value in properties.items() if name not in names}


def text(document: Any) -> str:
    """Return a document as the services take it."""
    return document if isinstance(document, str) else json.dumps(document)


def lowered(value: Any) -> Any:
    """Return *value* with the names of Step Functions' API, which begin in lower case."""
    match value:
        case dict():
            return {name[:1].lower() + name[1:]: lowered(item) for name, item in value.items()}
        case list():
            return [lowered(item) for item in value]
        case _:
            return value


def gone(properties: Properties | None, new: Properties, name: str) -> list[Any]:
    """List the entries of a list that it no longer has."""
    return [entry for entry in (properties or {}).get(name, []) if entry not in new.get(name, [])]


# --- IAM ------------------------------------------------------------------------------------------


def _remove_role(place: Place, name: str, properties: Properties) -> None:
    iam = place("iam")
    for policy in properties.get("Policies", []):
        iam.delete_role_policy(RoleName=name, PolicyName=policy["PolicyName"])
    for arn in properties.get("ManagedPolicyArns", []):
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    iam.delete_role(RoleName=name)


@kind("IAM::Role", "Path", name="RoleName", longest=64, remove=_remove_role)
def _role(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    iam, trusts = place("iam"), text(new["AssumeRolePolicyDocument"])
    about = some(new, "Description", "MaxSessionDuration")
    if old is None:
        once = some(new, "Path", "PermissionsBoundary")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusts, **about, **once)
    else:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trusts)
        iam.update_role(RoleName=name, **{"Description": "", **about})
        if boundary := new.get("PermissionsBoundary"):
            iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
        elif old.get("PermissionsBoundary"):
            iam.delete_role_permissions_boundary(RoleName=name)
    for arn in gone(old, new, "ManagedPolicyArns"):
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    for arn in new.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    for policy in gone(old, new, "Policies"):
        iam.delete_role_policy(RoleName=name, PolicyName=policy["PolicyName"])
    for policy in new.get("Policies", []):
        document = text(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)
    made = iam.get_role(RoleName=name)["Role"]
    return Physical(name, {"Arn": made["Arn"], "RoleId": made["RoleId"]})


def _remove_policy(place: Place, _: str, properties: Properties) -> None:
    for name in properties.get("Roles", []):
        with suppress(place("iam").exceptions.NoSuchEntityException):
            place("iam").delete_role_policy(RoleName=name, PolicyName=properties["PolicyName"])


@kind("IAM::Policy", remove=_remove_policy)
def _policy(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    if old is not None:
        named_anew = old["PolicyName"] != new["PolicyName"]
        _remove_policy(place, name, old if named_anew else {**old, "Roles": gone(old, new, "Roles")})
    for holder in new.get("Roles", []):
        place("iam").put_role_policy(
            RoleName=holder, PolicyName=new["PolicyName"], PolicyDocument=text(new["PolicyDocument"])
        )
    return Physical(name)


def _remove_managed(place: Place, arn: str, properties: Properties) -> None:
    for holder in properties.get("Roles", []):
        with suppress(place("iam").exceptions.NoSuchEntityException):
            place("iam").detach_role_policy(RoleName=holder, PolicyArn=arn)
    place("iam").delete_policy(PolicyArn=arn)


@kind(
    "IAM::ManagedPolicy", "Description", "Path", name="ManagedPolicyName", longest=128, remove=_remove_managed
)
def _managed_policy(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    iam, document = place("iam"), text(new["PolicyDocument"])
    if old is None:
        once = some(new, "Description", "Path")
        name = iam.create_policy(PolicyName=name, PolicyDocument=document, **once)["Policy"]["Arn"]
    elif old["PolicyDocument"] != new["PolicyDocument"]:
        before = iam.get_policy(PolicyArn=name)["Policy"]["DefaultVersionId"]
        iam.create_policy_version(PolicyArn=name, PolicyDocument=document, SetAsDefault=True)
        iam.delete_policy_version(PolicyArn=name, VersionId=before)
    for holder in gone(old, new, "Roles"):
        iam.detach_role_policy(RoleName=holder, PolicyArn=name)
    for holder in new.get("Roles", []):
        iam.attach_role_policy(RoleName=holder, PolicyArn=name)
    return Physical(name)


# --- Lambda, its logs and its schedules -----------------------------------------------------------


@kind(
    "Lambda::Function",
    "PackageType",
    name="FunctionName",
    longest=64,
    remove="lambda.delete_function FunctionName",
)
def _function(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    own = place("lambda")
    about = without(
        new, "Code", "FunctionName", "RecursiveLoop", "ReservedConcurrentExecutions", "Tags", "PackageType"
    )
    if "S3Key" in new["Code"]:  # moto takes a key that there is not
        place("s3").get_object(Bucket=new["Code"]["S3Bucket"], Key=new["Code"]["S3Key"])
    if old is None:
        made = own.create_function(FunctionName=name, Code=new["Code"], **about)
    else:
        cleared: Properties = {"Environment": {}} if "Environment" in old else {}
        made = own.update_function_configuration(
            FunctionName=name, **{**cleared, **without(about, "Architectures")}
        )
        if any(old.get(part) != new.get(part) for part in ("Code", "Architectures")):
            own.update_function_code(FunctionName=name, **new["Code"], **some(new, "Architectures"))
    if (reserved := new.get("ReservedConcurrentExecutions")) is not None:
        own.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    elif (old or {}).get("ReservedConcurrentExecutions") is not None:
        own.delete_function_concurrency(FunctionName=name)
    arn = place.arn("lambda", f"function:{made['FunctionName']}")
    return Physical(name, {"Arn": arn}, arn)


@kind(
    "Lambda::EventInvokeConfig",
    "FunctionName",
    "Qualifier",
    remove="lambda.delete_function_event_invoke_config FunctionName=",
)
def _invoke_config(place: Place, _: str, new: Properties, __: Properties | None) -> Physical:
    place("lambda").put_function_event_invoke_config(**without(new, "Qualifier"))
    return Physical(f"{new['FunctionName']}|{new['Qualifier']}")


@kind(
    "Lambda::Permission",
    *("Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType", "InvokedViaFunctionUrl"),
    *("Principal", "PrincipalOrgID", "SourceAccount", "SourceArn"),
    remove="lambda.remove_permission StatementId FunctionName=",
)
def _permission(place: Place, name: str, new: Properties, _: Properties | None) -> Physical:
    place("lambda").add_permission(StatementId=name, **new)
    return Physical(name)


@kind(
    "Lambda::Url", "Qualifier", "TargetFunctionArn", remove="lambda.delete_function_url_config FunctionName"
)
def _function_url(place: Place, _: str, new: Properties, old: Properties | None) -> Physical:
    own, named = place("lambda"), {"FunctionName": new["TargetFunctionArn"]}
    put = own.create_function_url_config if old is None else own.update_function_url_config
    made = put(**named, **without(new, "TargetFunctionArn"))
    arn = made["FunctionArn"]
    return Physical(arn, {"FunctionArn": arn, "FunctionUrl": made["FunctionUrl"]})


@kind("Logs::LogGroup", name="LogGroupName", longest=512, remove="logs.delete_log_group logGroupName")
def _log_group(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    logs = place("logs")
    if old is None:
        logs.create_log_group(logGroupName=name, **lowered(some(new, "KmsKeyId")))
    if days := new.get("RetentionInDays"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    elif old is not None and "RetentionInDays" in old:
        logs.delete_retention_policy(logGroupName=name)
    arn = place.arn("logs", f"log-group:{name}")
    return Physical(name, {"Arn": f"{arn}:*"}, arn)


def _remove_schedule(place: Place, name: str, properties: Properties) -> None:
    place("scheduler").delete_schedule(Name=name, GroupName=properties.get("GroupName", "default"))


@kind("Scheduler::Schedule", name="Name", longest=64, remove=_remove_schedule)
def _schedule(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    own = place("scheduler")
    put = own.create_schedule if old is None else own.update_schedule
    arn = put(Name=name, **without(new, "Name"))["ScheduleArn"]
    return Physical(name, {"Arn": arn})


@kind(
    *("StepFunctions::StateMachine", "StateMachineType"),
    name="StateMachineName",
    longest=80,
    remove="stepfunctions.delete_state_machine stateMachineArn",
)
def _state_machine(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    own = place("stepfunctions")
    about = {"definition": new["DefinitionString"], "roleArn": new["RoleArn"]}
    about |= lowered(some(new, "LoggingConfiguration", "TracingConfiguration"))
    if old is None:
        kind_ = {"type": new["StateMachineType"]} if "StateMachineType" in new else {}
        arn = own.create_state_machine(name=name, **kind_, **about)["stateMachineArn"]
    else:
        own.update_state_machine(stateMachineArn=(arn := name), **about)
    return Physical(arn, {"Arn": arn, "Name": arn.rpartition(":")[2]}, arn)


# --- queues, topics, alarms -----------------------------------------------------------------------


@kind("SQS::Queue", "FifoQueue", name="QueueName", longest=80, remove="sqs.delete_queue QueueUrl")
def _queue(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    own = place("sqs")
    about = {
        key: text(value) if isinstance(value, dict | str) else json.dumps(value)
        for key, value in without(new, "QueueName", "Tags").items()
    }
    if old is None:
        url = own.create_queue(QueueName=name, Attributes=about)["QueueUrl"]
    else:
        own.set_queue_attributes(QueueUrl=(url := name), Attributes=about)
    called = url.rpartition("/")[2]
    arn = place.arn("sqs", called)
    return Physical(url, {"Arn": arn, "QueueName": called, "QueueUrl": url}, arn)


@kind("SNS::Topic", "FifoTopic", name="TopicName", longest=256, remove="sns.delete_topic TopicArn")
def _topic(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    own = place("sns")
    about = some(new, "DisplayName", "KmsMasterKeyId")
    if old is None:
        arn = own.create_topic(Name=name, Attributes=about)["TopicArn"]
    else:
        arn = name
        for key in ("DisplayName", "KmsMasterKeyId"):
            if key in {*old, *new}:
                own.set_topic_attributes(TopicArn=arn, AttributeName=key, AttributeValue=about.get(key, ""))
    return Physical(arn, {"TopicArn": arn, "TopicName": arn.rpartition(":")[2]}, arn)


def _own_only(place: Place) -> str:
    """Return a topic's default policy, in short: its owner may use it."""
    everything = {"Effect": "Allow", "Principal": {"AWS": place.account}, "Action": "sns:*", "Resource": "*"}
    return text({"Version": "2012-10-17", "Statement": [everything]})


def _set_queue_policy(place: Place, url: str, document: str) -> None:
    with suppress(place("sqs").exceptions.QueueDoesNotExist):
        place("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})


def _set_topic_policy(place: Place, arn: str, document: str) -> None:
    with suppress(place("sns").exceptions.NotFoundException):
        place("sns").set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=document)


def _resource_policy(
    type_: str, holders: str, attach: Callable[[Place, str, str], None], default: Callable[[Place], str]
) -> None:
    """Declare a policy that queues or topics have in common; without it, each has the *default*."""

    def remove(place: Place, _: str, properties: Properties) -> None:
        for holder in properties[holders]:
            attach(place, holder, default(place))

    @kind(type_, remove=remove)
    def _put(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
        remove(place, name, {holders: gone(old, new, holders)})
        for holder in new[holders]:
            attach(place, holder, text(new["PolicyDocument"]))
        return Physical(name)


_resource_policy("SQS::QueuePolicy", "Queues", _set_queue_policy, lambda _: "")
_resource_policy("SNS::TopicPolicy", "Topics", _set_topic_policy, _own_only)


@kind("SNS::Subscription", "Endpoint", "Protocol", "TopicArn", remove="sns.unsubscribe SubscriptionArn")
def _subscription(place: Place, _: str, new: Properties, __: Properties | None) -> Physical:
    asked = some(new, "Endpoint", "Protocol", "TopicArn")
    return Physical(place("sns").subscribe(**asked, ReturnSubscriptionArn=True)["SubscriptionArn"])


@kind("CloudWatch::Alarm", name="AlarmName", remove="cloudwatch.delete_alarms AlarmNames[]")
def _alarm(place: Place, name: str, new: Properties, _: Properties | None) -> Physical:
    place("cloudwatch").put_metric_alarm(AlarmName=name, **without(new, "AlarmName", "Tags"))
    arn = place.arn("cloudwatch", f"alarm:{name}")
    return Physical(name, {"Arn": arn}, arn)


@kind("CloudWatch::Dashboard", name="DashboardName", remove="cloudwatch.delete_dashboards DashboardNames[]")
def _dashboard(place: Place, name: str, new: Properties, _: Properties | None) -> Physical:
    place("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=new["DashboardBody"])
    return Physical(name)


# --- what is kept ---------------------------------------------------------------------------------


def _remove_key(place: Place, name: str, properties: Properties) -> None:
    days = properties.get("PendingWindowInDays", 30)
    place("kms").schedule_key_deletion(KeyId=name, PendingWindowInDays=days)


@kind("KMS::Key", remove=_remove_key)
def _key(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    kms, document = place("kms"), text(new["KeyPolicy"])
    if old is None:
        once = some(new, "Description", "KeySpec", "KeyUsage", "MultiRegion")
        name = kms.create_key(Policy=document, **once)["KeyMetadata"]["KeyId"]
    else:
        kms.put_key_policy(KeyId=name, PolicyName="default", Policy=document)
        kms.update_key_description(KeyId=name, Description=new.get("Description", ""))
    if new.get("EnableKeyRotation"):
        kms.enable_key_rotation(KeyId=name)
    arn = place.arn("kms", f"key/{name}")
    return Physical(name, {"Arn": arn, "KeyId": name}, arn)


@kind("DynamoDB::Table", "KeySchema", name="TableName", remove="dynamodb.delete_table TableName")
def _table(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    own, arn = place("dynamodb"), place.arn("dynamodb", f"table/{name}")
    about = some(new, "AttributeDefinitions", "BillingMode")
    if specified := new.get("SSESpecification"):
        about["SSESpecification"] = {
            {"SSEEnabled": "Enabled"}.get(part, part): value for part, value in specified.items()
        }
    if old is None:
        own.create_table(TableName=name, KeySchema=new["KeySchema"], **about)
    elif any(old.get(part) != new.get(part) for part in ("BillingMode", "SSESpecification")):
        own.update_table(TableName=name, **about)
    lives, lived = (given.get("TimeToLiveSpecification") for given in (new, old or {}))
    if lives != lived:
        given = lives or {**(lived or {}), "Enabled": False}
        own.update_time_to_live(TableName=name, TimeToLiveSpecification=given)
    if recovered := new.get("PointInTimeRecoverySpecification"):
        own.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovered)
    if allowed := new.get("ResourcePolicy"):
        own.put_resource_policy(ResourceArn=arn, Policy=text(allowed["PolicyDocument"]))
    elif (old or {}).get("ResourcePolicy"):
        own.delete_resource_policy(ResourceArn=arn)
    return Physical(name, {"Arn": arn}, arn)


def _rule(rule: Properties) -> dict[str, Any]:
    """Return a rule of CloudFormation's lifecycle configuration as S3 takes it."""
    made: dict[str, Any] = {"ID": rule["Id"]} if "Id" in rule else {}
    made |= {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if days := rule.get("ExpirationInDays"):
        made["Expiration"] = {"Days": days}
    return made | some(rule, "AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration")


@kind("S3::Bucket", name="BucketName", longest=63, remove="s3.delete_bucket Bucket")
def _bucket(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    s3, name = place("s3"), name.lower()
    if old is None:
        if name in {known["Name"] for known in s3.list_buckets()["Buckets"]}:  # us-east-1 answers 200 to that
            taken: Any = {"Code": "BucketAlreadyOwnedByYou", "Message": f"{name} already exists"}
            raise ClientError({"Error": taken}, "CreateBucket")
        where = {} if place.region == "us-east-1" else {"LocationConstraint": place.region}
        s3.create_bucket(Bucket=name, **({"CreateBucketConfiguration": where} if where else {}))
    if encrypted := new.get("BucketEncryption"):
        rules = [
            {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
            for rule in encrypted["ServerSideEncryptionConfiguration"]
        ]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if lives := new.get("LifecycleConfiguration"):
        s3.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": [_rule(rule) for rule in lives["Rules"]]}
        )
    elif (old or {}).get("LifecycleConfiguration"):
        s3.delete_bucket_lifecycle(Bucket=name)
    if blocked := new.get("PublicAccessBlockConfiguration"):
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=blocked)
    if owned := new.get("OwnershipControls"):
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=owned)
    if versions := new.get("VersioningConfiguration"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versions)
    arn, host = f"arn:aws:s3:::{name}", f"{name}.s3.{place.region}.amazonaws.com"
    attributes = {"Arn": arn, "DomainName": f"{name}.s3.amazonaws.com", "RegionalDomainName": host}
    return Physical(name, attributes, arn)


@kind("S3::BucketPolicy", "Bucket", remove="s3.delete_bucket_policy Bucket")
def _bucket_policy(place: Place, _: str, new: Properties, __: Properties | None) -> Physical:
    place("s3").put_bucket_policy(Bucket=new["Bucket"], Policy=text(new["PolicyDocument"]))
    return Physical(new["Bucket"])


def _remove_budget(place: Place, name: str, _: Properties) -> None:
    place("budgets").delete_budget(AccountId=place.account, BudgetName=name)


@kind("Budgets::Budget", "BudgetName", "NotificationsWithSubscribers", remove=_remove_budget)
def _budget(place: Place, name: str, new: Properties, old: Properties | None) -> Physical:
    if old is not None:  # moto has no UpdateBudget
        _remove_budget(place, name, old)
    name = new["Budget"].get("BudgetName", name)
    limit = {part: str(value) for part, value in new["Budget"]["BudgetLimit"].items()}
    place("budgets").create_budget(
        AccountId=place.account,
        Budget={**new["Budget"], "BudgetName": name, "BudgetLimit": limit},
        NotificationsWithSubscribers=new.get("NotificationsWithSubscribers", []),
    )
    return Physical(name)


def _unmade(place: Place, name: str, _: Properties, __: Properties | None = None) -> Physical:
    arn = name if name.startswith("arn:") else f"arn:aws:ce::{place.account}:anomalymonitor/{name}"
    return Physical(arn, {"MonitorArn": arn})


for _type in ("CE::AnomalyMonitor", "CE::AnomalySubscription"):
    kind(_type, remove=_unmade)(_unmade)


TAGGED = {
    f"AWS::{type_}"
    for type_ in (
        *("CloudWatch::Alarm", "DynamoDB::Table", "IAM::Role", "KMS::Key", "Lambda::Function"),
        *("Logs::LogGroup", "S3::Bucket", "SNS::Topic", "SQS::Queue", "StepFunctions::StateMachine"),
    )
}
"""The types that carry tags, the stack's among them; AWS's own `aws:cloudformation:` tags are left out."""


def tag(place: Place, made: Physical, type_: str, new: Mapping[str, str], old: Mapping[str, str]) -> None:
    """Set the tags of a resource, and take off what it no longer has."""
    dropped = sorted(old.keys() - new.keys())
    if type_ == "AWS::IAM::Role":
        tags = [{"Key": name, "Value": value} for name, value in new.items()]
        place("iam").tag_role(RoleName=made.id, Tags=tags)
        place("iam").untag_role(RoleName=made.id, TagKeys=dropped)
    if made.tagged and new:
        place("resourcegroupstaggingapi").tag_resources(ResourceARNList=[made.tagged], Tags=new)
    if made.tagged and dropped:
        place("resourcegroupstaggingapi").untag_resources(ResourceARNList=[made.tagged], TagKeys=dropped)
