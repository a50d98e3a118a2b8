"""Deletion of one version of an object: by a signed request on S3, under a lock in a folder.

obstore's DELETE has no condition, is repeated after errors, and may take effect minutes after its
sender gave up. A request here is sent once. The store refuses it after `delete_signature`, and has
If-Match. Amazon S3, Ceph and VersityGW compare the ETag; MinIO ignores the condition, so that only
the end of the signature holds there (docs/decisions/0033).
"""

import ssl
from collections.abc import Awaitable, Callable
from functools import cache

import httpx

from lake.errors import Mismatch, StoreDenied, StoreUnavailable
from lake.timing import TIMES

Deletion = Callable[[], Awaitable[None]]
"""Prepared deletion; raises Mismatch, StoreUnavailable."""


async def send_delete(url: str, key: str, etag: str) -> None:
    """Send a signed DELETE of the object with this ETag, once; a missing key is no error."""
    try:
        seconds = TIMES.request.total_seconds()
        async with httpx.AsyncClient(verify=_tls(), timeout=seconds) as client:
            answer = await client.delete(url, headers={"If-Match": etag})
    except httpx.HTTPError as error:
        raise StoreUnavailable(f"the object store failed: {error!r}") from error
    if answer.is_success or answer.status_code == httpx.codes.NOT_FOUND:
        return
    if answer.status_code == httpx.codes.PRECONDITION_FAILED:
        raise Mismatch(f"{key} has changed", value=key)
    reason = f"DELETE {key}: {answer.status_code} {answer.text[:200]}"
    if answer.status_code == httpx.codes.FORBIDDEN:
        raise StoreDenied(f"the object store denied access: {reason}")
    raise StoreUnavailable(f"the object store failed: {reason}")


@cache
def _tls() -> ssl.SSLContext:
    """TLS settings of all requests; loading the certificates takes longer than a request."""
    return httpx.create_ssl_context()
