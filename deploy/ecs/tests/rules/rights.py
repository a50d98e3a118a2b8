"""Rules for IAM: no wildcards, no managed policies, trust only for this account."""

from collections.abc import Iterator

from tests.assembly import Assembly, Json, Resource, many
from tests.rules.rule import Rule

ROLE = "AWS::IAM::Role"


def roles(assembly: Assembly) -> Iterator[Resource]:
    yield from assembly.resources(ROLE)


def actions_are_spelled_out(assembly: Assembly) -> Iterator[str]:
    for role in roles(assembly):
        for statement in assembly.statements(role):
            for action in many(statement["Action"]):
                if "*" in action:
                    yield f"{role.name}: {action}"


def _wildcard(assembly: Assembly) -> None:
    role = assembly.one("cell-a", "WorkerTask")
    role.props["Policies"][0]["PolicyDocument"]["Statement"][0]["Action"] = "s3:Get*"


def no_policy_of_others(assembly: Assembly) -> Iterator[str]:
    """AWS adds rights to its managed policies without notice."""
    for role in roles(assembly):
        if "ManagedPolicyArns" in role.props:
            yield f"{role.name}: {role.props['ManagedPolicyArns']}"


def _managed(assembly: Assembly) -> None:
    assembly.one("cell-a", "HeadTask").props["ManagedPolicyArns"] = ["…/ReadOnlyAccess"]


def no_alias_as_a_resource(assembly: Assembly) -> Iterator[str]:
    """IAM identifies keys by id, so an alias in a policy matches nothing."""
    for role in roles(assembly):
        for statement in assembly.statements(role):
            for resource in many(statement["Resource"]):
                if ":alias/" in assembly.text(role.stack, resource):
                    yield f"{role.name}: a KMS alias as a resource"


def _alias(assembly: Assembly) -> None:
    role = assembly.one("cell-a", "WorkerTask")
    statement: Json = role.props["Policies"][0]["PolicyDocument"]["Statement"][2]
    statement["Resource"] = "arn:aws:kms:eu-west-1:111111111111:alias/pixlake"


def services_act_for_this_account(assembly: Assembly) -> Iterator[str]:
    """Without the condition another account could make a service use the role (confused deputy)."""
    for role in roles(assembly):
        for statement in role.props["AssumeRolePolicyDocument"]["Statement"]:
            service = statement["Principal"].get("Service", "ec2.amazonaws.com")
            here = statement.get("Condition", {}).get("StringEquals", {}).get("aws:SourceAccount")
            # EC2 sends no source account when it assumes the role of an instance profile.
            if service != "ec2.amazonaws.com" and here != {"Ref": "AWS::AccountId"}:
                yield f"{role.name}: {service} may assume the role for any account"


def _any_account(assembly: Assembly) -> None:
    document = assembly.one("cell-a", "WorkerTask").props["AssumeRolePolicyDocument"]
    del document["Statement"][0]["Condition"]["StringEquals"]


RULES = (
    Rule(actions_are_spelled_out, _wildcard),
    Rule(no_policy_of_others, _managed),
    Rule(no_alias_as_a_resource, _alias),
    Rule(services_act_for_this_account, _any_account),
)
