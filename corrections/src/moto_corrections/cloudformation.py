"""
CloudFormation's stacks and change sets, in AWS's order: create and change, then delete, or go back.

moto deletes first, leaves a failed update half done and warns of a type that it lacks. Its parameters,
conditions, intrinsic functions and outputs are used as they are; `Rules` are not evaluated. moto's part is
imported with the first request: that takes 1.6 s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from moto_corrections import clock, patches
from moto_corrections.paging import cut
from moto_corrections.patches import AwsError, Call, backend
from moto_corrections.sagemaker.progress import takes
from moto_corrections.stack_types import KINDS, NAMED_IAM, TAGGED, Physical, Place, tag

PAGE = 100
"""Resources a page; DescribeStackResources stops after as many without saying so (API reference)."""
LONGEST_BODY, LONGEST_FILE, MOST_RESOURCES = 51_200, 1_048_576, 500
"""CloudFormation's quotas: bytes of a template in the request and in S3, and resources of a stack."""
NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
POLICIES = ("DeletionPolicy", "UpdateReplacePolicy")
UPDATABLE = {
    *("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"),
    "IMPORT_ROLLBACK_COMPLETE",
}


def invalid(message: str) -> AwsError:
    """Return CloudFormation's answer to most invalid requests."""
    return AwsError("ValidationError", message)


@dataclass(slots=True)
class Made:
    """A resource of a stack, in the shape in which moto's templates refer to it."""

    logical_resource_id: str
    json: Mapping[str, Any]
    physical: Physical
    properties: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    status: str = "CREATE_COMPLETE"
    changed: datetime = field(default_factory=clock.now)
    known: bool = True
    """Whether it is there already: in a change set, a resource that is still to be made is not."""

    @property
    def cf_resource_type(self) -> str:
        return str(self.json["Type"])

    @property
    def physical_resource_id(self) -> str:
        return self.physical.id

    def get_cfn_attribute(self, name: str) -> Any:
        if not self.known or name in self.physical.attributes:
            return self.physical.attributes.get(name, f"{self.physical.id}.{name}")
        raise invalid(
            f"Template error: resource {self.logical_resource_id} does not support attribute type {name} "
            "in Fn::GetAtt"
        )


@dataclass(slots=True)
class ChangeSet:
    """A change set, and what DescribeChangeSet says of it."""

    arn: str
    stack: Any
    template: Template
    verb: str
    about: dict[str, Any]
    ready: datetime = field(default_factory=lambda: clock.now() + takes("stack.change"))

    @property
    def change_set_name(self) -> str:
        return str(self.about["ChangeSetName"])

    @property
    def shown(self) -> dict[str, Any]:
        """Return what is known by now: nothing before CloudFormation has compared the templates."""
        waits = {"Status": "CREATE_IN_PROGRESS", "ExecutionStatus": "UNAVAILABLE", "Changes": []}
        return self.about | (waits if clock.now() < self.ready else {})


# --- templates ------------------------------------------------------------------------------------


class Template:
    """A template with its parameters, checked as CreateChangeSet checks it."""

    def __init__(self, call: Call, stack: Any) -> None:
        self.text = _template_text(call, stack)
        self.content: dict[str, Any] = _parsed(self.text)
        self.given = _given(call, self.content, stack)
        self.tags = {entry["Key"]: entry["Value"] for entry in call.params.get("Tags", [])}
        self.imported = {
            given["LogicalResourceId"]: str(*given["ResourceIdentifier"].values())
            for given in call.params.get("ResourcesToImport", [])
        }
        self.map = _resource_map(stack, self.content, self.given)
        self._check(call)

    @property
    def resources(self) -> dict[str, Any]:
        """Return the resources whose condition holds."""
        holds = self.map.lazy_condition_map
        return {
            logical: resource
            for logical, resource in self.content["Resources"].items()
            if "Condition" not in resource or holds[resource["Condition"]]
        }

    def ordered(self) -> list[str]:
        """Return the resources so that each comes after what it refers to."""
        resources = self.resources
        graph = {
            logical: {name for name in _needs(resource) if name in resources and name != logical}
            for logical, resource in resources.items()
        }
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as cycle:
            circle = ", ".join(sorted(set(cycle.args[1])))
            raise invalid(f"Circular dependency between resources: [{circle}]") from None

    def resolved(self, logical: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Return a resource's properties without intrinsic functions, and its tags apart from them."""
        from moto.cloudformation.parsing import clean_json

        resource = self.resources[logical]
        properties = clean_json(resource.get("Properties", {}), self.map)
        own = {entry["Key"]: entry["Value"] for entry in properties.pop("Tags", [])}
        return properties, ({**self.tags, **own} if resource["Type"] in TAGGED else {})

    def _check(self, call: Call) -> None:
        resources = self.content["Resources"]
        if (count := len(resources)) > MOST_RESOURCES:
            raise invalid(
                f"Template format error: Number of resources, {count}, is greater than maximum allowed, "
                f"{MOST_RESOURCES}"
            )
        types = {resource.get("Type", "") for resource in resources.values()}
        if unknown := sorted(types - KINDS.keys()):
            raise invalid(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
        for block in ("Resources", "Outputs"):
            named = {*resources, *self.content.get("Parameters", {})}
            lost = {name for part in self.content.get(block, {}).values() for name in _needs(part)} - named
            if lost:
                raise invalid(
                    f"Template format error: Unresolved resource dependencies "
                    f"[{', '.join(sorted(lost))}] in the {block} block of the template"
                )
        iam = [resource for resource in resources.values() if resource["Type"].startswith("AWS::IAM::")]
        named_iam = any(NAMED_IAM & resource.get("Properties", {}).keys() for resource in iam)
        given = set(call.params.get("Capabilities", []))
        needed = ["CAPABILITY_NAMED_IAM"] if named_iam else ["CAPABILITY_IAM"] * bool(iam)
        if needed and not given & {needed[0], "CAPABILITY_NAMED_IAM"}:
            message = f"Requires capabilities : [{needed[0]}]"
            raise AwsError("InsufficientCapabilitiesException", message)
        self.ordered()


def _template_text(call: Call, stack: Any) -> str:
    body, url = call.params.get("TemplateBody"), call.params.get("TemplateURL")
    if call.params.get("UsePreviousTemplate"):
        return str(stack.template)
    if (body is None) == (url is None):
        raise invalid("Either Template URL or Template Body must be specified.")
    if body is not None:
        if len(body.encode()) > LONGEST_BODY:
            raise invalid(
                f"1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member "
                f"must have length less than or equal to {LONGEST_BODY}"
            )
        return str(body)
    at = re.fullmatch(r"https://(?:s3[.-][^/]+/([^/]+)|([^/]+?)\.s3[.-][^/]+)/(.+)", str(url))
    if not at:
        raise invalid("TemplateURL must be a supported URL.")
    store = Place(call.account, call.region)("s3")
    try:
        text: str = store.get_object(Bucket=at[1] or at[2], Key=at[3])["Body"].read().decode()
    except ClientError as refused:
        raise invalid(f"S3 error: {refused.response['Error']['Message']}") from None
    if len(text.encode()) > LONGEST_FILE:
        raise invalid(f"Template may not exceed {LONGEST_FILE} bytes in size.")
    return text


def _parsed(text: str) -> dict[str, Any]:
    """Parse a template; moto would have YAML's parser read JSON, which takes a second."""
    from moto.cloudformation.models import Stack

    try:
        content = json.loads(text) if text.lstrip().startswith("{") else Stack.parse_template(text)
    except ValueError:  # what is neither YAML nor JSON, moto reads as JSON
        raise invalid("Template format error: unsupported structure.") from None
    if not isinstance(content, dict) or not content.get("Resources"):
        raise invalid("Template format error: At least one Resources member must be defined.")
    return content


def _given(call: Call, content: Mapping[str, Any], stack: Any) -> dict[str, str]:
    """Return the values of parameters that the caller gives or keeps, checked against the template."""
    slots, values = content.get("Parameters", {}), {}
    for entry in call.params.get("Parameters", []):
        name = entry["ParameterKey"]
        values[name] = stack.parameters[name] if entry.get("UsePreviousValue") else entry["ParameterValue"]
    if strange := sorted(values.keys() - slots.keys()):
        raise invalid(f"Parameters: [{', '.join(strange)}] do not exist in the template")
    if missing := [name for name, slot in slots.items() if name not in values and "Default" not in slot]:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    for name, slot in slots.items():
        value = str(values.get(name, slot.get("Default")))
        if slot["Type"].startswith("AWS::SSM::Parameter::"):
            if backend("ssm", call.account, call.region).get_parameter(value) is None:
                raise invalid(f"Unable to fetch parameters [{value}] from parameter store for this account.")
        elif value not in map(str, slot.get("AllowedValues", [value])):
            raise invalid(f"Parameter '{name}' must be one of AllowedValues")
        elif not re.fullmatch(slot.get("AllowedPattern", ".*"), value, re.DOTALL):
            said = slot.get("ConstraintDescription", f"must match pattern {slot.get('AllowedPattern')}")
            raise invalid(f"Parameter {name} failed to satisfy constraint: {said}")
    return values


def _resource_map(stack: Any, content: dict[str, Any], parameters: dict[str, str]) -> Any:
    """Return moto's names of a template: pseudo parameters, parameters, and what is made of it later."""
    from moto.cloudformation.parsing import ResourceMap

    made = ResourceMap(
        *(stack.stack_id, stack.name, parameters, {}),
        account_id=stack.account_id,
        region_name=stack.region_name,
        template=content,
        cross_stack_resources=stack.cross_stack_resources,
    )
    made.load_mapping()
    made.load_parameters()
    made.load_conditions()
    return made


def _needs(value: Any) -> Iterator[str]:
    """List the logical ids and parameters that part of a template refers to."""
    match value:
        case {"Ref": str(name)} if not name.startswith("AWS::"):
            yield name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::Sub": given}:
            text, known = given if isinstance(given, list) else (given, {})
            names = re.findall(r"\$\{([A-Za-z0-9]+)(?:\.[^}]*)?\}", text)
            yield from (name for name in names if name not in known)
            yield from _needs(known)
        case dict():
            for name, item in value.items():
                if name == "DependsOn":
                    yield from [item] if isinstance(item, str) else item
                elif name != "Metadata":
                    yield from _needs(item)
        case list():
            for item in value:
                yield from _needs(item)


# --- changes --------------------------------------------------------------------------------------


def _made(stack: Any) -> dict[str, Made]:
    return {
        name: made for name, made in stack.resource_map._parsed_resources.items() if isinstance(made, Made)
    }


def _changed(stack: Any, template: Template) -> list[dict[str, Any]]:
    """List what executing a change set would do, as DescribeChangeSet does."""
    before, changes = _made(stack), []
    for logical in template.ordered():
        resource, was = template.resources[logical], before.get(logical)
        change: dict[str, Any] = {"LogicalResourceId": logical, "ResourceType": resource["Type"]}
        properties, tags = template.resolved(logical)
        if was is None:
            template.map._parsed_resources[logical] = _unmade(logical, resource)
            changes.append({"Action": "Import" if logical in template.imported else "Add", **change})
            continue
        if was.cf_resource_type != resource["Type"]:
            raise invalid(
                "Update of resource type is not permitted. The new template modifies resource type of the "
                f"following resources: [{logical}]"
            )
        differing = _differing(was.properties, properties)
        replaced = any(name in KINDS[resource["Type"]].fixed for name in differing)
        template.map._parsed_resources[logical] = _unmade(logical, resource) if replaced else was
        scope = ["Properties"] * bool(differing) + ["Tags"] * (tags != was.tags)
        scope += [part for part in (*POLICIES, "Metadata") if was.json.get(part) != resource.get(part)]
        if scope:
            details = [
                {
                    "Target": {
                        "Attribute": "Properties",
                        "Name": name,
                        "RequiresRecreation": "Always" if name in KINDS[resource["Type"]].fixed else "Never",
                    },
                    "Evaluation": "Static",
                    "ChangeSource": "DirectModification",
                }
                for name in differing
            ]
            change |= {"PhysicalResourceId": was.physical.id, "Scope": scope, "Details": details}
            changes.append({"Action": "Modify", **change, "Replacement": str(replaced)})
    for logical, was in before.items():
        if logical not in template.resources:
            about = {"LogicalResourceId": logical, "ResourceType": was.cf_resource_type}
            kept = was.json.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")
            action = {"Action": "Remove", "PolicyAction": "Retain" if kept else "Delete"}
            changes.append({**action, **about, "PhysicalResourceId": was.physical.id})
    template.map = _resource_map(stack, template.content, template.given)
    return changes


def _unmade(logical: str, resource: Mapping[str, Any]) -> Made:
    return Made(logical, resource, Physical(f"{{{{changeSet:KNOWN_AFTER_APPLY}}}}{logical}"), known=False)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


class RefusedError(Exception):
    """An error of a service, which ends the deployment of a stack; the argument is the logical id."""


class Deployment:
    """One execution: each resource in turn, then what goes; or, at the first failure, all the way back."""

    def __init__(self, stack: Any, template: Template) -> None:
        self._stack, self._template = stack, template
        self._place = Place(stack.account_id, stack.region_name)
        self._before = _made(stack)
        self._undo: list[Callable[[], None]] = []
        self._made: list[Made] = []
        self._superseded: list[Made] = []
        self._earlier = len(stack.events)

    def run(self, verb: str) -> None:
        """Do it all; *verb* is CREATE, UPDATE or IMPORT. Events are spread over the time that it takes."""
        self._execute(verb)
        self._spread_events()

    def _execute(self, verb: str) -> None:
        self._says(f"{verb}_IN_PROGRESS", "User Initiated")
        try:
            for logical in self._template.ordered():
                self._put(logical)
        except RefusedError as refused:
            self._roll_back(verb, refused.args[0])
            return
        stack, template = self._stack, self._template
        if verb == "UPDATE":
            self._says("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for old in reversed(self._before.values()):
            removed = old.logical_resource_id not in template.resources
            if removed or old in self._superseded:
                self._remove(old, old.json.get(POLICIES[not removed]))
        stack.template, stack.template_dict, stack.tags = template.text, template.content, template.tags
        stack.description = template.content.get("Description")
        stack.parameters, stack.resource_map = template.given, template.map
        stack.output_map = stack._create_output_map()
        self._says(f"{verb}_COMPLETE")

    def _put(self, logical: str) -> None:
        """Make one resource, change it, make another in its place, or take over one that exists."""
        template = self._template
        resource, was = template.resources[logical], self._before.get(logical)
        about, verb = KINDS[resource["Type"]], "UPDATE" if was else "CREATE"
        try:
            properties, tags = template.resolved(logical)
        except AwsError as wrong:  # an attribute that a resource turns out not to have
            self._record(logical, "", resource["Type"], f"{verb}_FAILED", wrong.message)
            raise RefusedError(logical) from None
        made = Made(logical, resource, was.physical if was else Physical(""), properties, tags)
        differing = _differing(was.properties, properties) if was else []
        if was and not about.fixed & set(differing):
            made.status, made.changed = was.status, was.changed
            if differing or tags != was.tags:
                self._undo.append(partial(self._revert, was, properties, tags))
                self._event(made, "UPDATE_IN_PROGRESS")
                self._do(made, "UPDATE", was.physical.id, was)
            template.map._parsed_resources[logical] = made
            return
        if logical in template.imported:
            self._event(made, "IMPORT_IN_PROGRESS")
            self._do(made, "IMPORT", template.imported[logical], made)
            template.map._parsed_resources[logical] = made
            return
        why = "Requested update requires the creation of a new physical resource; hence creating one."
        self._event(made, f"{verb}_IN_PROGRESS", why if was else "")
        own = properties.get(about.name)
        self._do(made, verb, own or _name(self._stack.name, logical, about.longest), None)
        template.map._parsed_resources[logical] = made
        self._made.append(made)
        if was:
            self._superseded.append(was)

    def _do(self, made: Made, verb: str, name: str, was: Made | None) -> None:
        """Have a service make a resource under *name*, or change it from what it *was*."""
        put = KINDS[made.cf_resource_type].put
        try:
            made.physical = put(self._place, name, made.properties, was.properties if was else None)
            tag(self._place, made.physical, made.cf_resource_type, made.tags, was.tags if was else {})
        except (ClientError, ParamValidationError) as refused:
            self._event(made, f"{verb}_FAILED", _reason(refused))
            raise RefusedError(made.logical_resource_id) from None
        made.status, made.changed = f"{verb}_COMPLETE", clock.now()
        self._event(made, made.status)

    def _revert(self, was: Made, properties: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Change a resource back to what it *was*, also if its change failed half-way."""
        self._event(was, "UPDATE_IN_PROGRESS")
        KINDS[was.cf_resource_type].put(self._place, was.physical.id, was.properties, properties)
        tag(self._place, was.physical, was.cf_resource_type, was.tags, tags)
        self._event(was, "UPDATE_COMPLETE")

    def _roll_back(self, verb: str, failed: str) -> None:
        """Put back what was changed, then delete what was made; the stack stays what it was."""
        status = "ROLLBACK" if verb == "CREATE" else f"{verb}_ROLLBACK"
        why = f"The following resource(s) failed to {verb.lower()}: [{failed}]. "
        self._says(f"{status}_IN_PROGRESS", why)
        try:
            for revert in reversed(self._undo):
                revert()
        except ClientError as refused:
            self._says(f"{status}_FAILED", _reason(refused))
            return
        if verb == "UPDATE":
            self._says("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        for made in reversed(self._made):
            first = made.logical_resource_id not in self._before
            self._remove(made, made.json.get("DeletionPolicy") if first else "Delete", created=True)
        self._says(f"{status}_COMPLETE")

    def remove_all(self, retained: Collection[str]) -> None:
        """Delete the stack: DELETE_FAILED where a service refuses."""
        self._says("DELETE_IN_PROGRESS", "User Initiated")
        failed = [
            made.logical_resource_id
            for made in reversed(self._before.values())
            if made.logical_resource_id not in retained
            and made.status != "DELETE_COMPLETE"
            and not self._remove(made, made.json.get("DeletionPolicy"))
        ]
        if failed:
            named = ", ".join(failed)
            self._says("DELETE_FAILED", f"The following resource(s) failed to delete: [{named}]. ")
        else:
            self._says("DELETE_COMPLETE")
        self._spread_events()

    def _spread_events(self) -> None:
        events = self._stack.events[self._earlier :]
        for number, event in enumerate(events):
            event.timestamp = clock.now() + takes("stack.change") * number / max(len(events) - 1, 1)

    def _remove(self, made: Made, policy: str | None, *, created: bool = False) -> bool:
        """Delete a resource as its policy says, and tell whether it went or was to stay."""
        if policy == "Retain" or (policy == "RetainExceptOnCreate" and not created):
            made.status = "DELETE_SKIPPED"
            self._event(made, made.status)
            return True
        self._event(made, "DELETE_IN_PROGRESS")
        made.status = "DELETE_COMPLETE"
        try:
            KINDS[made.cf_resource_type].remove(self._place, made.physical.id, made.properties)
        except ClientError as refused:
            code = refused.response["Error"]["Code"]
            if not re.search("NotFound|NoSuch|NonExistent|DoesNotExist", code):
                made.status = "DELETE_FAILED"
                self._event(made, made.status, _reason(refused))
                return False
        self._event(made, made.status)
        return True

    def _event(self, made: Made, status: str, reason: str = "") -> None:
        self._record(made.logical_resource_id, made.physical.id, made.cf_resource_type, status, reason)

    def _says(self, status: str, reason: str = "") -> None:
        self._stack.status = status
        named = (self._stack.name, self._stack.stack_id, "AWS::CloudFormation::Stack")
        self._record(*named, status, reason)

    def _record(self, *about: str) -> None:
        from moto.cloudformation import models

        *named, reason = about
        event: Any = models.Event
        of = (self._stack.stack_id, self._stack.name)
        self._stack.events.append(event(*of, *named, reason or None, None))


def _reason(refused: ClientError | ParamValidationError) -> str:
    said = refused.response["Error"]["Message"] if isinstance(refused, ClientError) else refused
    return f'Resource handler returned message: "{said}"'


def _name(stack: str, logical: str, longest: int) -> str:
    """Return a name as CloudFormation makes it: the stack's and the resource's, cut, and 12 characters."""
    from moto.cloudformation.utils import random_suffix

    suffix = f"-{random_suffix()}"
    room = longest - len(suffix) - 1
    return f"{stack[: max(room // 2, room - len(logical))]}-{logical}"[: room + 1] + suffix


# --- operations -----------------------------------------------------------------------------------


serves = partial(patches.serves, "cloudformation")


def _store(call: Call) -> Any:
    return backend("cloudformation", call.account, call.region)


def _store_now(call: Call) -> Any:
    """Return the store after what ended meanwhile."""
    store = _store(call)
    for stack in list(store.stacks.values()):
        if _status(stack) == "DELETE_COMPLETE":
            store.deleted_stacks[stack.stack_id] = store.stacks.pop(stack.stack_id)
    return store


def _past_events(stack: Any) -> list[Any]:
    return [event for event in stack.events if event.timestamp <= clock.now()]


def _status(stack: Any) -> str:
    """Return the status that a stack shows, which is not the last one while it is in progress."""
    own = [event for event in _past_events(stack) if event.physical_resource_id == stack.stack_id]
    return str(own[-1].resource_status if own else stack.status)


def _stack_of(call: Call, missing: str = "Stack with id {} does not exist") -> Any:
    name = call.params["StackName"]
    for stack in _store_now(call).stacks.values():
        if name in (stack.name, stack.stack_id):
            return stack
    raise invalid(missing.format(name))


def _updatable(call: Call) -> Any:
    """Return the stack of the call, unless it may not be updated as it is."""
    stack = _stack_of(call, "Stack [{}] does not exist")
    if (status := _status(stack)) not in UPDATABLE:
        raise invalid(f"Stack:{stack.stack_id} is in {status} state and can not be updated.")
    return stack


def _reviewed(call: Call) -> Any:
    """Return the stack that a change set is to create, which is in review until then."""
    name = call.params["StackName"]
    for stack in _store(call).stacks.values():
        if stack.name == name:
            if stack.status != "REVIEW_IN_PROGRESS":
                raise invalid(
                    f"Stack [{name}] already exists and cannot be created again with the changeSet "
                    f"[{call.params.get('ChangeSetName')}]."
                )
            return stack
    return _new_stack(call.account, call.region, name, "REVIEW_IN_PROGRESS")


def _new_stack(account: str, region: str, name: str, status: str) -> Any:
    from moto.cloudformation import models
    from moto.cloudformation.utils import generate_stack_id

    make: Any = models.Stack
    stack = make(generate_stack_id(name, region, account), name, {}, {}, account, region)
    stack.status = status
    return stack


def _is_new(stack: Any, template: Template, changes: Collection[Any]) -> bool:
    """Tell whether *template* says anything that *stack* does not: changes, tags or outputs."""
    outputs = [content.get("Outputs") or {} for content in (template.content, stack.template_dict)]
    return bool(changes) or template.tags != stack.tags or outputs[0] != outputs[1]


def _forget_change_sets(call: Call, of: Any, but: ChangeSet | None = None) -> None:
    kept = _store(call).change_sets
    for known in list(kept.values()):
        if known.stack is of and known is not but:
            del kept[known.arn]


def _page(call: Call, member: str, found: Sequence[Any]) -> dict[str, Any]:
    page, more = cut(call, found, PAGE, invalid="ValidationError")
    return {member: page, **more}


@serves("CreateChangeSet")
def create_change_set(call: Call) -> dict[str, Any]:
    """Check the template and say what it would change; nothing else happens."""
    from moto.cloudformation.utils import generate_changeset_id, validate_create_change_set

    name, stack_name = call.params["ChangeSetName"], call.params["StackName"]
    validate_create_change_set(name)
    verb, store = call.params.get("ChangeSetType", "UPDATE"), _store(call)
    known = any(stack.name == stack_name for stack in store.stacks.values())
    creates = verb == "CREATE" or (verb == "IMPORT" and not known)
    stack = _reviewed(call) if creates else _updatable(call)
    if any(known.change_set_name == name and known.stack is stack for known in store.change_sets.values()):
        raise AwsError("AlreadyExistsException", f"ChangeSet {name} already exists for stack {stack_name}")
    template = Template(call, stack)
    changes = _changed(stack, template)
    if verb == "IMPORT":
        _check_import(template, changes)
    new = _is_new(stack, template, changes)
    arn = generate_changeset_id(name, call.region, call.account)
    store.stacks[stack.stack_id] = stack
    about = {
        "ChangeSetName": name,
        "ChangeSetId": arn,
        "StackId": stack.stack_id,
        "StackName": stack.name,
        "Description": call.params.get("Description"),
        "Parameters": template.map.resolved_parameters,
        "CreationTime": clock.now(),
        "Status": "CREATE_COMPLETE" if new else "FAILED",
        "StatusReason": None if new else NO_CHANGES,
        "ExecutionStatus": "AVAILABLE" if new else "UNAVAILABLE",
        "Capabilities": call.params.get("Capabilities", []),
        "Tags": call.params.get("Tags", []),
        "Changes": changes,
    }
    store.change_sets[arn] = ChangeSet(arn, stack, template, verb, about)
    return {"Id": arn, "StackId": stack.stack_id}


def _check_import(template: Template, changes: Collection[Mapping[str, Any]]) -> None:
    """Refuse an import that changes anything else, as AWS does."""
    if any(change["Action"] != "Import" for change in changes):
        raise invalid("As part of the import operation, you cannot modify or add [Resources]")
    if template.content.get("Outputs"):
        raise invalid("As part of the import operation, you cannot modify or add [Outputs]")
    without = [name for name in template.imported if "DeletionPolicy" not in template.resources[name]]
    if without:
        raise invalid(f"Resources to import must have a DeletionPolicy attribute: [{', '.join(without)}]")


def _change_set(call: Call) -> ChangeSet:
    name, stack = call.params["ChangeSetName"], call.params.get("StackName")
    for found in _store(call).change_sets.values():
        by_name = found.change_set_name == name and stack in (found.stack.name, found.stack.stack_id)
        if found.arn == name or by_name:
            return found  # type: ignore[no-any-return]
    raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")


@serves("DescribeChangeSet")
def describe_change_set(call: Call) -> dict[str, Any]:
    """Describe a change set, a page of changes at a time."""
    about = _change_set(call).shown
    return about | _page(call, "Changes", about["Changes"])


@serves("DeleteChangeSet")
def delete_change_set(call: Call) -> None:
    """Forget a change set; a missing change set is not an error (API reference)."""
    try:
        found = _change_set(call)
    except AwsError as missing:
        if missing.code != "ChangeSetNotFound" or ":changeSet/" not in call.params["ChangeSetName"]:
            raise
        return
    del _store(call).change_sets[found.arn]


@serves("ExecuteChangeSet")
def execute_change_set(call: Call) -> dict[str, Any]:
    """Deploy a change set; all others of the stack are of no use then, and go (API reference)."""
    found = _change_set(call)
    if (status := found.shown["ExecutionStatus"]) != "AVAILABLE":
        message = f"ChangeSet [{found.arn}] cannot be executed in its current execution status of [{status}]"
        raise AwsError("InvalidChangeSetStatus", message)
    _forget_change_sets(call, found.stack, found)
    Deployment(found.stack, found.template).run(found.verb)
    failed = "ROLLBACK" in found.stack.status
    found.about["ExecutionStatus"] = "EXECUTE_FAILED" if failed else "EXECUTE_COMPLETE"
    return {}


@serves("CreateStack")
def create_stack(call: Call) -> dict[str, Any]:
    """Create a stack without a change set."""
    name, store = call.params["StackName"], _store(call)
    if any(stack.name == name for stack in store.stacks.values()):
        raise AwsError("AlreadyExistsException", f"Stack [{name}] already exists")
    stack = _reviewed(call)
    template = Template(call, stack)
    store.stacks[stack.stack_id] = stack
    Deployment(stack, template).run("CREATE")
    return {"StackId": stack.stack_id}


@serves("UpdateStack")
def update_stack(call: Call) -> dict[str, Any]:
    """Update a stack without a change set."""
    stack = _updatable(call)
    template = Template(call, stack)
    if "Tags" not in call.params:
        template.tags = dict(stack.tags)
    if not _is_new(stack, template, _changed(stack, template)):
        raise invalid("No updates are to be performed.")
    Deployment(stack, template).run("UPDATE")
    return {"StackId": stack.stack_id}


@serves("DeleteStack")
def delete_stack(call: Call) -> None:
    """Delete a stack; a missing stack is not an error (API reference)."""
    try:
        stack = _stack_of(call)
    except AwsError:
        return
    if stack.enable_termination_protection:
        raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
    Deployment(stack, None).remove_all(call.params.get("RetainResources", []))  # type: ignore[arg-type]
    if stack.status == "DELETE_COMPLETE":
        _store_now(call)
        _forget_change_sets(call, stack)


@serves("DescribeStacks")
def describe_stacks(call: Call) -> dict[str, Any]:
    """Describe one stack or all; a deleted one by its id."""
    found = [copy(stack) for stack in _store_now(call).describe_stacks(call.params.get("StackName"))]
    for stack in found:
        stack.status = _status(stack)
    return _page(call, "Stacks", found)


@serves("DescribeStackEvents")
def describe_stack_events(call: Call) -> dict[str, Any]:
    """List the events of a stack, the latest first; of a deleted one by its id."""
    events = _past_events(_store_now(call).get_stack(call.params["StackName"]))
    return _page(call, "StackEvents", events[::-1])


@serves("ListStackResources")
def list_stack_resources(call: Call) -> dict[str, Any]:
    """List the resources of a stack, a page at a time; those of a deleted stack by its id."""
    stack = _store(call).deleted_stacks.get(call.params["StackName"]) or _stack_of(call)
    listed = [{**_described(made), "LastUpdatedTimestamp": made.changed} for made in _made(stack).values()]
    return _page(call, "StackResourceSummaries", listed)


@serves("DescribeStackResources")
def describe_stack_resources(call: Call) -> dict[str, Any]:
    """Describe at most 100 resources of a stack."""
    stack, logical = _stack_of(call), call.params.get("LogicalResourceId")
    found = [made for name, made in _made(stack).items() if logical in (None, name)]
    about = {"StackName": stack.name, "StackId": stack.stack_id}
    return {
        "StackResources": [{**about, **_described(made), "Timestamp": made.changed} for made in found[:PAGE]]
    }


def _described(made: Made) -> dict[str, Any]:
    return {
        "LogicalResourceId": made.logical_resource_id,
        "PhysicalResourceId": made.physical.id,
        "ResourceType": made.cf_resource_type,
        "ResourceStatus": made.status,
    }


def seed(account: str, region: str, name: str, resources: Collection[Mapping[str, str]]) -> None:
    """Say that a stack is there, of resources with the members "logical", "physical" and "type"."""
    stack = _new_stack(account, region, name, "CREATE_COMPLETE")
    store = backend("cloudformation", account, region)
    others = {id_: other for id_, other in store.stacks.items() if other.name != name}
    store.stacks = {**others, stack.stack_id: stack}
    for resource in resources:
        made = Made(resource["logical"], {"Type": resource["type"]}, Physical(resource["physical"]))
        stack.resource_map._parsed_resources[made.logical_resource_id] = made
