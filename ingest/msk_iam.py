"""Logging in to Amazon MSK by IAM: a signed URL of the call `kafka-cluster:Connect`, as a token.

As AWS's own signers make it (aws-msk-iam-sasl-signer): SigV4 in the query, for 15 minutes. The
broker checks the signature and what the role may; librdkafka asks anew before the token ends.
"""

import base64
import time
from urllib.parse import urlencode

import botocore.session
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import NoCredentialsError

_SECONDS = 900


def token(region: str) -> tuple[str, float]:
    """The token, and when it ends in seconds since 1970; raises NoCredentialsError.

    The credentials are those of AWS's chain: a task's role on ECS.
    """
    credentials = botocore.session.get_session().get_credentials()
    if credentials is None:
        raise NoCredentialsError
    query = urlencode({"Action": "kafka-cluster:Connect"})
    request = AWSRequest(method="GET", url=f"https://kafka.{region}.amazonaws.com/?{query}")
    ends = time.time() + _SECONDS
    SigV4QueryAuth(
        credentials.get_frozen_credentials(), "kafka-cluster", region, expires=_SECONDS
    ).add_auth(request)
    url = f"{request.url}&{urlencode({'User-Agent': 'pixlake'})}"
    return base64.urlsafe_b64encode(url.encode()).decode().rstrip("="), ends
