"""Secrets that AWS generates; no person types or reads a secret."""

import json

from aws_cdk import aws_secretsmanager as sm

from infra.stack import Stack


def generated(
    stack: Stack,
    id: str,
    key_arn: str,
    *,
    what: str,
    length: int = 48,
    user: str | None = None,
    copy_key_arn: str | None = None,
) -> sm.CfnSecret:
    """Create a secret of letters and digits; some programs can't use other characters.

    With `copy_key_arn`, a key of the replica region, the secret is replicated to that region, where
    its ARN is the same except for the region.
    """
    of = sm.CfnSecret.ReplicaRegionProperty
    copies = [of(region=stack.settings.replica_region, kms_key_id=copy_key_arn)]
    return sm.CfnSecret(
        stack,
        id,
        description=what,
        kms_key_id=key_arn,
        generate_secret_string=sm.CfnSecret.GenerateSecretStringProperty(
            exclude_punctuation=True,
            password_length=length,
            generate_string_key="password" if user else None,
            secret_string_template=json.dumps({"username": user}) if user else None,
        ),
        replica_regions=copies if copy_key_arn else None,
    )


def resolved(secret_arn: str) -> str:
    """Build a reference that CloudFormation resolves, so that no template contains the value."""
    return f"{{{{resolve:secretsmanager:{secret_arn}:SecretString}}}}"
