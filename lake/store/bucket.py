"""boto3 client of the bucket: its server's time, and a check that the store is accessible."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from lake import layout
from lake.errors import StoreUnavailable, StoreUnreachable
from lake.settings import LakeSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_KEY = "PIXLAKE_S3_ACCESS_KEY_ID and PIXLAKE_S3_SECRET_ACCESS_KEY"
_CREDENTIALS = f"{_KEY}, or the AWS chain"
_REGION = "set PIXLAKE_S3_REGION to the region of the bucket"
# S3 error code, or HTTP status if the answer has no body, to advice.
_REMEDIES = {
    "NoSuchBucket": "create the bucket, or name another one in PIXLAKE_STORE_URL",
    "404": "create the bucket, or name another one in PIXLAKE_STORE_URL",
    "InvalidBucketName": "name a bucket in PIXLAKE_STORE_URL",
    "InvalidAccessKeyId": f"set {_CREDENTIALS}",
    "SignatureDoesNotMatch": f"set {_CREDENTIALS}",
    "InvalidToken": f"set {_CREDENTIALS}",
    "ExpiredToken": "log in again; the credentials of the AWS chain have expired",
    "AccessDenied": "give the key s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject",
    "401": f"set {_CREDENTIALS}",
    "403": f"set {_CREDENTIALS}",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "301": _REGION,
}
_BUSY = {408, 429, 500, 502, 503, 504}


def client(
    settings: LakeSettings, *, connect_seconds: float, read_seconds: float, retries: int
) -> "S3Client":
    """Create a boto3 client for the bucket's server; makes no request."""
    secret = settings.s3_secret_access_key
    return boto3.client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            retries={"total_max_attempts": retries + 1},
            # Most other S3 servers do not support bucket names as host names.
            s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        ),
    )


def server_time(settings: LakeSettings) -> datetime | None:
    """Time of the bucket's server, in whole seconds; None if its responses have no date.

    Raises StoreUnavailable.
    """
    url = urlsplit(settings.location)
    key = "/".join(part for part in (url.path.strip("/"), layout.STORE) if part)
    try:
        asked = client(settings, connect_seconds=5, read_seconds=10, retries=2)
        answer = asked.head_object(Bucket=url.netloc, Key=key)
    except (ClientError, BotoCoreError) as error:
        reason = " ".join(str(error).split())
        raise StoreUnavailable(f"the time of the store can't be read: {reason}") from error
    sent = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return None if sent is None else parsedate_to_datetime(sent)


def check_store(settings: LakeSettings, seconds: float) -> None:
    """Check once that the store exists and is accessible.

    Raises StoreUnreachable with advice. The connection must succeed within `seconds`; a slow answer
    is not an error.
    """
    url = urlsplit(settings.location)
    if url.scheme == "file":
        _check_folder(Path(unquote(url.path)))
    elif url.scheme == "s3":
        _check_bucket(settings, url.netloc, url.path.strip("/"), seconds)
    else:
        raise StoreUnreachable(
            f"{settings.location} is in the memory of each process, so processes can't share it; "
            "set PIXLAKE_STORE_URL to s3://bucket/prefix or file:///folder"
        )


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreUnreachable(
            f"the folder {folder} can't be created: {reason}; name another in PIXLAKE_STORE_URL"
        ) from error


def _check_bucket(settings: LakeSettings, bucket: str, prefix: str, seconds: float) -> None:
    where = f"bucket {bucket} at {settings.s3_endpoint or 'Amazon S3'}"
    try:
        asked = client(settings, connect_seconds=seconds, read_seconds=seconds, retries=0)
        asked.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreUnreachable(f"no credentials for {where}; set {_CREDENTIALS}") from error
    except ClientError as error:
        _refuse(where, error)
    except ReadTimeoutError:
        return  # the server accepted the connection and is only slow
    except (EndpointConnectionError, HTTPClientError) as error:
        reason = " ".join(str(error).split())
        raise StoreUnreachable(
            f"{where} can't be reached: {reason}; see PIXLAKE_S3_ENDPOINT"
        ) from error
    except (BotoCoreError, ValueError) as error:
        reason = str(error).splitlines()[-1].partition(": Bucket name must")[0]
        raise StoreUnreachable(
            f"{where}: {reason}; see PIXLAKE_STORE_URL and PIXLAKE_S3_ENDPOINT"
        ) from error


def _refuse(where: str, error: ClientError) -> None:
    """Raise StoreUnreachable, unless the server is only busy."""
    reported = error.response["Error"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if status in _BUSY:
        return
    remedy = _REMEDIES.get(reported["Code"], f"see PIXLAKE_STORE_URL, PIXLAKE_S3_ENDPOINT, {_KEY}")
    reason = (reported.get("Message") or reported["Code"]).rstrip(".")
    raise StoreUnreachable(f"{where}: {reason}; {remedy}") from error
