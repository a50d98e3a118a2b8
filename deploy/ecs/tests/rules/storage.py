"""Rules for buckets: deletion at the retention, in both regions, and privacy."""

from collections.abc import Iterator
from typing import Any

from infra import contract
from tests.assembly import Assembly, Json, Resource, many
from tests.rules.rule import Rule

BUCKET = "AWS::S3::Bucket"
_PERSONAL = (contract.IMAGES, contract.JOURNAL, contract.LAKE, contract.REJECTIONS)


def lakes(assembly: Assembly) -> Iterator[Resource]:
    for stack in ("data", "replica"):
        if stack in assembly.templates:
            yield from (one for one in assembly.resources(BUCKET, stack=stack) if one.id == "Lake")


def rules_of(bucket: Resource) -> list[Json]:
    found: list[Json] = bucket.props.get("LifecycleConfiguration", {}).get("Rules", [])
    return found


def _as_s3(rule: Json) -> Json:
    """Convert a rule to the form of S3's API."""
    found: Json = {
        "ID": rule["Id"],
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    if "ExpirationInDays" in rule:
        found["Expiration"] = {"Days": rule["ExpirationInDays"]}
    if "ExpiredObjectDeleteMarker" in rule:
        found["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    for name in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if name in rule:
            found[name] = rule[name]
    return found


def lifecycle_is_the_services_own(assembly: Assembly) -> Iterator[str]:
    """Emulators ignore lifecycle rules without an error, so only this rule checks them."""
    for bucket in lakes(assembly):
        if [_as_s3(rule) for rule in rules_of(bucket)] != contract.LIFECYCLE:
            yield f"{bucket.name}: other rules than `pixlake lifecycle apply` writes"


def _drop_a_rule(assembly: Assembly) -> None:
    rules_of(next(lakes(assembly))).pop(0)


def personal_data_expires(assembly: Assembly) -> Iterator[str]:
    for bucket in lakes(assembly):
        days = {rule.get("Prefix"): rule.get("ExpirationInDays") for rule in rules_of(bucket)}
        for prefix in _PERSONAL:
            if days.get(f"{prefix}/") != contract.RETENTION_DAYS:
                yield f"{bucket.name}: {prefix}/ is kept longer than {contract.RETENTION_DAYS} days"


def _keep_the_journal(assembly: Assembly) -> None:
    for rule in rules_of(next(lakes(assembly))):
        if rule.get("Prefix") == f"{contract.JOURNAL}/":
            rule["ExpirationInDays"] = 365


def replica_forgets_as_the_lake_does(assembly: Assembly) -> Iterator[str]:
    """Deletions by lifecycle rules are never replicated, so the replica needs the same rules."""
    found = [rules_of(bucket) for bucket in lakes(assembly)]
    if any(rules != found[0] for rules in found):
        yield "the replica's rules differ: the replica would keep deleted data"


def _replica_keeps(assembly: Assembly) -> None:
    rules_of(assembly.one("replica", "Lake"))[0]["ExpirationInDays"] = 30


def markers_have_a_rule_of_their_own(assembly: Assembly) -> Iterator[str]:
    """S3 refuses a rule with both days and delete markers; CloudFormation's schema allows it."""
    for bucket in assembly.resources(BUCKET):
        for rule in rules_of(bucket):
            if rule.get("ExpiredObjectDeleteMarker") and (
                "ExpirationInDays" in rule or "TagFilters" in rule
            ):
                yield f"{bucket.name}: rule {rule['Id']} has days and delete markers"


def _days_and_markers(assembly: Assembly) -> None:
    rules_of(next(lakes(assembly)))[-1]["ExpirationInDays"] = 7


def old_versions_go(assembly: Assembly) -> Iterator[str]:
    """With versioning a deletion only hides an object; the old version must be deleted, too."""
    for bucket in assembly.resources(BUCKET):
        versions = bucket.props.get("VersioningConfiguration", {}).get("Status") == "Enabled"
        forgets = any(
            "NoncurrentVersionExpiration" in rule and not rule.get("Prefix")
            for rule in rules_of(bucket)
        )
        if versions and not forgets:
            yield f"{bucket.name}: keeps old versions for ever"


def _keep_versions(assembly: Assembly) -> None:
    for rule in rules_of(next(lakes(assembly))):
        rule.pop("NoncurrentVersionExpiration", None)


def replication_has_versions(assembly: Assembly) -> Iterator[str]:
    for bucket in lakes(assembly):
        if bucket.props.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            yield f"{bucket.name}: S3 replicates only between buckets with versioning"


def _no_versions(assembly: Assembly) -> None:
    del assembly.one("replica", "Lake").props["VersioningConfiguration"]


def _replication(assembly: Assembly) -> list[Json]:
    found = [one.props for one in lakes(assembly) if one.stack == "data"]
    rules: list[Json] = (found or [{}])[0].get("ReplicationConfiguration", {}).get("Rules", [])
    return rules


def erasures_are_replicated(assembly: Assembly) -> Iterator[str]:
    for rule in _replication(assembly):
        if rule["DeleteMarkerReplication"]["Status"] != "Enabled":
            yield f"replication of {rule['Id']}: an erased image stays in the replica"


def _erase_here_only(assembly: Assembly) -> None:
    _replication(assembly)[0]["DeleteMarkerReplication"]["Status"] = "Disabled"


def replication_may_replicate(assembly: Assembly) -> Iterator[str]:
    """CDK adds no rights to this role, and S3 reports no error if rights are missing."""
    allowed = {
        (action, assembly.text("data", resource))
        for role in assembly.resources("AWS::IAM::Role", stack="data")
        if role.id == "ReplicationRole"
        for statement in assembly.statements(role)
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
    }
    for rule in _replication(assembly):
        prefix = rule["Filter"]["Prefix"]
        for action, bucket in (
            ("s3:GetObjectVersionForReplication", "data"),
            ("s3:ReplicateObject", "replica"),
            ("s3:ReplicateDelete", "replica"),
        ):
            below = f"{prefix}*" if prefix.endswith("/") else prefix
            if (action, f"${{{bucket}/Lake.Arn}}/{below}") not in allowed:
                yield f"replication of {prefix}: its role lacks {action}"


def _role_without_rights(assembly: Assembly) -> None:
    policy = assembly.one("data", "ReplicationPolicy").props["PolicyDocument"]
    policy["Statement"] = policy["Statement"][:2]


def buckets_are_private(assembly: Assembly) -> Iterator[str]:
    for bucket in assembly.resources(BUCKET):
        block: dict[str, Any] = bucket.props.get("PublicAccessBlockConfiguration", {})
        if len(block) != 4 or not all(block.values()):
            yield f"{bucket.name}: may be made public"


def _public(assembly: Assembly) -> None:
    bucket = assembly.one("analytics", "Results")
    bucket.props["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] = False


def buckets_speak_tls_only(assembly: Assembly) -> Iterator[str]:
    guarded = {
        f"{policy.stack}/{policy.props['Bucket']['Ref']}"
        for policy in assembly.resources("AWS::S3::BucketPolicy")
        for statement in policy.props["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        and statement["Action"] == "s3:*"
    }
    for bucket in assembly.resources(BUCKET):
        if bucket.name not in guarded:
            yield f"{bucket.name}: can be read without TLS"


def _clear(assembly: Assembly) -> None:
    assembly.one("data", "LakePolicy").props["PolicyDocument"]["Statement"].pop(0)


def presets_are_made_once(assembly: Assembly) -> Iterator[str]:
    """Workers may write presets; an overwritten version would change the meaning of records."""
    guarded = {
        assembly.text(policy.stack, resource)
        for policy in assembly.resources("AWS::S3::BucketPolicy")
        for statement in policy.props["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement.get("Condition") == {"Null": {"s3:if-none-match": "true"}}
        and statement["Action"] == "s3:PutObject"
        for resource in many(statement["Resource"])
    }
    for bucket in lakes(assembly):
        if f"${{{bucket.stack}/{bucket.id}.Arn}}/{contract.PRESETS}/*" not in guarded:
            yield f"{bucket.name}: a preset can be overwritten"


def _overwriting(assembly: Assembly) -> None:
    policy = assembly.one("data", "LakePolicy").props["PolicyDocument"]
    policy["Statement"] = [
        one for one in policy["Statement"] if one.get("Sid") != "PresetsAreMadeOnce"
    ]


def cloudfront_may_write_its_log(assembly: Assembly) -> Iterator[str]:
    """CloudFront writes logs by an ACL, and refuses a distribution whose log bucket allows none."""
    for one in assembly.resources("AWS::CloudFront::Distribution"):
        named = assembly.text(one.stack, one.props["DistributionConfig"]["Logging"]["Bucket"])
        for bucket in assembly.resources(BUCKET):
            if not named.startswith(f"${{{bucket.name}}}"):
                continue
            [rule] = bucket.props["OwnershipControls"]["Rules"]
            if rule["ObjectOwnership"] != "BucketOwnerPreferred":
                yield f"{bucket.name}: CloudFront can't write its log to this bucket"


def _no_lists(assembly: Assembly) -> None:
    rules = assembly.one("foundation", "AccessLogs").props["OwnershipControls"]["Rules"]
    rules[0]["ObjectOwnership"] = "BucketOwnerEnforced"


def logs_stay_in_their_region(assembly: Assembly) -> Iterator[str]:
    """S3 writes access logs only to a bucket of the same region."""
    for bucket in assembly.resources(BUCKET):
        target = bucket.props.get("LoggingConfiguration", {}).get("DestinationBucketName")
        if target is not None:
            stack = assembly.text(bucket.stack, target).removeprefix("${").split("/")[0]
            if assembly.region(stack) != assembly.region(bucket.stack):
                yield f"{bucket.name}: its log goes to another region"


def _log_far_away(assembly: Assembly) -> None:
    target = assembly.one("data", "Lake").props["LoggingConfiguration"]
    assembly.one("replica", "Lake").props["LoggingConfiguration"] = target


def buckets_are_encrypted(assembly: Assembly) -> Iterator[str]:
    for bucket in assembly.resources(BUCKET):
        rules = bucket.props.get("BucketEncryption", {}).get(
            "ServerSideEncryptionConfiguration", [{}]
        )
        how = rules[0].get("ServerSideEncryptionByDefault", {}).get("SSEAlgorithm")
        # The load balancer can't write its log with a customer's key.
        wanted = "AES256" if bucket.id == "AccessLogs" else "aws:kms"
        if how != wanted:
            yield f"{bucket.name}: encrypted by {how}, not {wanted}"


def _unencrypted(assembly: Assembly) -> None:
    del assembly.one("data", "Lake").props["BucketEncryption"]


RULES = (
    Rule(lifecycle_is_the_services_own, _drop_a_rule),
    Rule(personal_data_expires, _keep_the_journal),
    Rule(replica_forgets_as_the_lake_does, _replica_keeps),
    Rule(markers_have_a_rule_of_their_own, _days_and_markers),
    Rule(old_versions_go, _keep_versions),
    Rule(replication_has_versions, _no_versions),
    Rule(erasures_are_replicated, _erase_here_only),
    Rule(replication_may_replicate, _role_without_rights),
    Rule(buckets_are_private, _public),
    Rule(buckets_speak_tls_only, _clear),
    Rule(buckets_are_encrypted, _unencrypted),
    Rule(presets_are_made_once, _overwriting),
    Rule(cloudfront_may_write_its_log, _no_lists, needs="AWS::CloudFront::Distribution"),
    Rule(logs_stay_in_their_region, _log_far_away),
)
