"""Bucket policy for the S3 server, from the roles' S3 statements in the synthesized templates.

The server has users and bucket policies, but no roles. So one user stands for each role, with the
rights of the role's statements and no others.
"""

import json
from pathlib import Path
from typing import Any

from tests.rehearsal.servers import BUCKET

_ARN = f"arn:aws:s3:::{BUCKET}"


def bucket_policy(template: Path, roles: dict[str, str]) -> str:
    """Build the policy; `roles` maps the logical id of each role to the user that stands for it."""
    resources: dict[str, Any] = json.loads(template.read_text())["Resources"]
    statements = []
    for role, user in roles.items():
        [policy] = resources[role]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = [one for one in _list(statement["Action"]) if one.startswith("s3:")]
            if not actions:
                continue
            named = [_arn(one) for one in _list(statement["Resource"])]
            statements.append(
                {
                    "Effect": statement["Effect"],
                    "Principal": {"AWS": [user]},
                    "Action": actions,
                    "Resource": named,
                }
            )
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _arn(resource: Any) -> str:
    """ARN of a resource in the test's bucket.

    The template has the bucket's ARN, or joins it and a prefix. A standby joins the ARN of a bucket
    that it knows by name.
    """
    if "Fn::Join" not in resource:
        return _ARN
    separator, parts = resource["Fn::Join"]
    return str(separator).join(_part(part) for part in parts)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    return "aws" if part == {"Ref": "AWS::Partition"} else _ARN
