"""What a store's settings lead to: obstore's client of it, and obstore's errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
)
from obstore.store import LocalStore, MemoryStore, S3Store

from lake.errors import (
    AlreadyExists,
    KeyMissing,
    LakeError,
    Mismatch,
    StoreDenied,
    StoreFull,
    StoreMissing,
    StoreReadOnly,
    StoreUnavailable,
)
from lake.local_writing import LocalWriter
from lake.settings import LakeSettings

# An attempt has 10 minutes for all its PUTs; a request that is worth waiting for answers sooner.
_REQUEST_TIMEOUT = timedelta(seconds=30)
_CONNECT_TIMEOUT = timedelta(seconds=3)
# Below the time-out of a request: one that was waited for in vain is not waited for again here,
# the door's caller decides that. Errors and resets come quickly, and are tried again.
_RETRY_TIMEOUT = timedelta(seconds=15)
_MAX_RETRIES = 3
# Of Linux: no space left on device, quota exceeded; as Rust and as Python write them.
_FULL = ("os error 28)", "os error 122)", "[Errno 28]", "[Errno 122]")
# Read-only file system.
_READ_ONLY = ("os error 30)", "[Errno 30]")

Backend = LocalStore | MemoryStore | S3Store


def open_backend(
    settings: LakeSettings, *, make: bool = True
) -> tuple[Backend, LocalWriter | None]:
    """The store that `settings.location` names, and who writes it if it is a folder.

    A folder that is not there is made, if `make`. Raises StoreMissing, ValueError for another
    scheme.
    """
    url = urlsplit(settings.location)
    if url.scheme == "memory":
        return MemoryStore(), None
    if url.scheme == "file":
        root = Path(unquote(url.path))
        if not make and not root.is_dir():
            raise StoreMissing(
                f"there is no lake at {root}: no such folder. --home, PIXLAKE_HOME or "
                "PIXLAKE_STORE_URL says where it is",
                value=str(root),
            )
        # Without clean-up an emptied journal folder would be listed for ever.
        folder = LocalStore(root, mkdir=True, automatic_cleanup=True)
        return folder, LocalWriter(root, durable=settings.store_fsync)
    if url.scheme == "s3":
        return _s3(settings, bucket=url.netloc, prefix=url.path.strip("/")), None
    raise ValueError(f"PIXLAKE_STORE_URL: no store for {settings.location!r}")


def _s3(settings: LakeSettings, bucket: str, prefix: str) -> S3Store:
    endpoint = settings.s3_endpoint
    # One DELETE a key: in the answer to a bulk delete some servers call an absent key an error.
    options: dict[str, object] = {"region": settings.s3_region, "disable_bulk_delete": True}
    if endpoint:
        # Other servers rarely answer to bucket names as host names.
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if settings.s3_access_key_id and settings.s3_secret_access_key:
        options |= {
            "access_key_id": settings.s3_access_key_id,
            "secret_access_key": settings.s3_secret_access_key.get_secret_value(),
        }
    else:
        # boto3 knows every way to find a role (task role, profile, SSO); obstore knows some.
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415  # slow import

        try:
            options["credential_provider"] = Boto3CredentialProvider()
        except ValueError as error:  # what it says when boto3 finds none
            raise StoreDenied(
                f"no credentials for the bucket {bucket}; set PIXLAKE_S3_ACCESS_KEY_ID and "
                "PIXLAKE_S3_SECRET_ACCESS_KEY, or the AWS chain"
            ) from error
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={
            "timeout": _REQUEST_TIMEOUT,
            "connect_timeout": _CONNECT_TIMEOUT,
            "allow_http": bool(endpoint and endpoint.startswith("http://")),
        },
        retry_config={"max_retries": _MAX_RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        **options,  # type: ignore[arg-type]  # the keys above are S3Store's own
    )


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Vendor errors become ours; nothing of obstore leaves this file."""
    try:
        yield
    except LakeError:
        raise
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise StoreUnavailable("the bucket is not there") from error
        raise KeyMissing(f"nothing under {key}", value=key) from error
    except AlreadyExistsError as error:
        raise AlreadyExists(f"{key} is taken", value=key) from error
    except PreconditionError as error:
        raise Mismatch(f"{key} is not what was read", value=key) from error
    except (PermissionDeniedError, PermissionError) as error:
        raise StoreDenied(f"the object store does not let us: {_first_line(error)}") from error
    except (BaseError, OSError, ValueError) as error:
        if any(mark in str(error) for mark in _FULL):
            raise StoreFull("the object store is full") from error
        if any(mark in str(error) for mark in _READ_ONLY):
            raise StoreReadOnly("the object store's file system is read-only") from error
        raise StoreUnavailable(f"the object store failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
