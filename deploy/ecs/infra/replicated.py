"""Prefixes of the lake that are copied to the other region, and the rules of the way back."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from infra import contract

# Prefixes that the region of the replica needs for queries, then those that it needs to lead.
_ROWS: Final = (
    contract.JOURNAL,
    contract.LAKE,
    contract.REJECTIONS,
    contract.PRESETS,
    contract.AUDIT_LOG,
)
_FOLDERS: Final = {"everything": (contract.IMAGES, *_ROWS), "lake": _ROWS, "nothing": ()}
LEFT_OUT: Final = {
    contract.AUDIT: "marks and results of audits of this bucket; the replica has its own",
    contract.PROBE: "a trial object and the store's clock, which are deleted at once",
}
"""folders of the lake that are never replicated, and why"""


def prefixes(how: Literal["everything", "lake", "nothing"]) -> tuple[str, ...]:
    """Return the prefixes that a setting copies; the store's settings are a single object."""
    folders = _FOLDERS[how]
    return (*(f"{folder}/" for folder in folders), contract.STORE) if folders else ()


def rule_id(prefix: str) -> str:
    """Return the rule's id, which is a dimension of its metrics."""
    return prefix.rstrip("/")


def configuration(role: str, bucket_arn: str, key_arn: str, below: Sequence[str]) -> dict[str, Any]:
    """Build PutBucketReplication's configuration, as parts/replication.py builds CloudFormation's.

    CloudFormation can't have it: two buckets whose rules name each other would be a circle.
    """
    enabled = {"Status": "Enabled"}
    return {
        "Role": role,
        "Rules": [
            {
                "ID": rule_id(prefix),
                "Priority": number,
                "Status": "Enabled",
                "Filter": {"Prefix": prefix},
                # An erasure in this region is one in the other, too.
                "DeleteMarkerReplication": enabled,
                "SourceSelectionCriteria": {"SseKmsEncryptedObjects": enabled},
                "Destination": {
                    "Bucket": bucket_arn,
                    "EncryptionConfiguration": {"ReplicaKmsKeyID": key_arn},
                    "Metrics": enabled,
                },
            }
            for number, prefix in enumerate(below)
        ],
    }
