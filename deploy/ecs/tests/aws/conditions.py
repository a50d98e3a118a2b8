"""Condition keys that an action of the templates puts into its request.

With any other key of its service a statement that allows never applies, and one that denies by
`Null` applies always. AWS accepts both without a warning.
"""

from typing import Final

DOCUMENT: Final = "service-authorization"

_CONTEXT = "kms:EncryptionContext:*"
SUPPORTED: Final = {
    "ecs:Poll": {"ecs:cluster"},
    "ecs:RunTask": {"ecs:cluster"},
    "ecs:StartTelemetrySession": {"ecs:cluster"},
    "ecs:UpdateContainerInstancesState": {"ecs:cluster"},
    "iam:PassRole": {"iam:PassedToService"},
    "kms:Decrypt": {_CONTEXT},
    "kms:Encrypt": {_CONTEXT},
    "kms:GenerateDataKey": {_CONTEXT},
    # Without kms:EncryptionContext, because the request has no such context.
    "kms:DescribeKey": set(),
    "s3:ListBucket": {"s3:prefix"},
    "s3:PutObject": {"s3:if-none-match", "s3:x-amz-acl"},
}
GLOBAL: Final = {"aws:SecureTransport"}
"""keys that every request has"""
BY_SERVICES: Final = {"aws:SourceAccount", "aws:SourceArn"}
"""keys that only a request of an AWS service for a customer has"""
