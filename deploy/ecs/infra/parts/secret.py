"""Secrets that AWS makes up: nobody ever types or reads one."""

import json

from aws_cdk import aws_secretsmanager as sm

from infra.stack import Stack


def generated(
    stack: Stack, id: str, key_arn: str, *, what: str, length: int = 48, user: str | None = None
) -> sm.CfnSecret:
    """Letters and digits: some of their readers choke on anything else."""
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
    """A reference that CloudFormation resolves; the value is in no template."""
    return f"{{{{resolve:secretsmanager:{secret_arn}:SecretString}}}}"
