"""Creation of obstore clients from settings, and translation of obstore's errors."""

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
from lake.settings import LakeSettings
from lake.store.local_writing import LocalWriter
from lake.timing import TIMES

_CONNECT_TIMEOUT = timedelta(seconds=3)
_MAX_RETRIES = 3
# Linux errors "no space left on device" and "quota exceeded", as Rust and Python print them.
_FULL = ("os error 28)", "os error 122)", "[Errno 28]", "[Errno 122]")
# Read-only file system.
_READ_ONLY = ("os error 30)", "[Errno 30]")

Backend = LocalStore | MemoryStore | S3Store


def open_backend(
    settings: LakeSettings, *, make: bool = True
) -> tuple[Backend, LocalWriter | None]:
    """Create the client for `settings.location`, and the writer for a folder.

    `make` creates a missing folder. Raises StoreMissing, ValueError for another scheme.
    """
    url = urlsplit(settings.location)
    if url.scheme == "memory":
        return MemoryStore(), None
    if url.scheme == "file":
        root = Path(unquote(url.path))
        if not make and not root.is_dir():
            raise StoreMissing(
                f"there is no lake at {root}: no such folder. Set its location with --home, "
                "PIXLAKE_HOME or PIXLAKE_STORE_URL",
                value=str(root),
            )
        # Without automatic clean-up, empty journal folders would be listed for ever.
        folder = LocalStore(root, mkdir=True, automatic_cleanup=True)
        return folder, LocalWriter(root, durable=settings.store_fsync)
    if url.scheme == "s3":
        return _s3(settings, bucket=url.netloc, prefix=url.path.strip("/")), None
    raise ValueError(
        f"PIXLAKE_STORE_URL: no store for {settings.location!r}; write s3://bucket/prefix or "
        "file:///folder"
    )


def _s3(settings: LakeSettings, bucket: str, prefix: str) -> S3Store:
    endpoint = settings.s3_endpoint
    # Bulk deletes are off, because some servers report missing keys of a bulk delete as errors.
    options: dict[str, object] = {"region": settings.s3_region, "disable_bulk_delete": True}
    if endpoint:
        # Most other S3 servers do not support bucket names as host names.
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if settings.s3_access_key_id and settings.s3_secret_access_key:
        options |= {
            "access_key_id": settings.s3_access_key_id,
            "secret_access_key": settings.s3_secret_access_key.get_secret_value(),
        }
    else:
        # boto3 supports every source of credentials (task role, profile, SSO), obstore only some.
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415  # slow import

        try:
            options["credential_provider"] = Boto3CredentialProvider()
        except ValueError as error:  # boto3 found no credentials
            raise StoreDenied(
                f"no credentials for the bucket {bucket}; set PIXLAKE_S3_ACCESS_KEY_ID and "
                "PIXLAKE_S3_SECRET_ACCESS_KEY, or the AWS chain"
            ) from error
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={
            "timeout": TIMES.request,
            "connect_timeout": _CONNECT_TIMEOUT,
            "allow_http": bool(endpoint and endpoint.startswith("http://")),
        },
        # A request that timed out is not retried: the caller decides about that.
        retry_config={"max_retries": _MAX_RETRIES, "retry_timeout": TIMES.request_retries},
        **options,  # type: ignore[arg-type]  # the keys above are S3Store's own
    )


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Context manager that translates errors of obstore and of the file system."""
    try:
        yield
    except LakeError:
        raise
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise StoreUnavailable("the bucket of PIXLAKE_STORE_URL does not exist") from error
        raise KeyMissing(f"there is no object {key}", value=key) from error
    except AlreadyExistsError as error:
        raise AlreadyExists(f"{key} exists", value=key) from error
    except PreconditionError as error:
        raise Mismatch(f"{key} has changed", value=key) from error
    except (PermissionDeniedError, PermissionError) as error:
        raise StoreDenied(f"the object store denied access: {_first_line(error)}") from error
    except (BaseError, OSError, ValueError) as error:
        if any(mark in str(error) for mark in _FULL):
            raise StoreFull("the object store is full") from error
        if any(mark in str(error) for mark in _READ_ONLY):
            raise StoreReadOnly("the object store's file system is read-only") from error
        raise StoreUnavailable(f"the object store failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
