"""IAM login to Amazon MSK: the token is a signed URL of the call `kafka-cluster:Connect`.

It has the format of AWS's own signers (aws-msk-iam-sasl-signer): SigV4 in the query, valid for 15
minutes. The broker checks the signature and the role's rights; librdkafka asks for a new token
before the old one expires.
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
    """Make a token; returns it and its expiry in seconds since 1970.

    The credentials come from AWS's credential chain, for example the task role on ECS. Raises
    NoCredentialsError.
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
