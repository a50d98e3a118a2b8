"""Secrets that AWS generates; no person types or reads a secret."""

import json

from aws_cdk import aws_secretsmanager as sm

from infra.stack import Stack


def generated(
    stack: Stack, id: str, key_arn: str, *, what: str, length: int = 48, user: str | None = None
) -> sm.CfnSecret:
    """Create a secret of letters and digits; some programs can't use other characters."""
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
    )


def resolved(secret_arn: str) -> str:
    """Build a reference that CloudFormation resolves, so that no template contains the value."""
    return f"{{{{resolve:secretsmanager:{secret_arn}:SecretString}}}}"
