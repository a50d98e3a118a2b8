"""Routes that read images: listings, records, originals, renditions of one tenant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from lake.errors import ImageNotFound
from lake.read.image_filter import ImageFilter
from lake.tables.schema import ImageRecord
from processors.nearest import unknown
from serve_app import listing_query, schemas
from serve_app.accounts import Principal
from serve_app.admission.reads import Reader
from serve_app.app_context import AppContext, context_of
from serve_app.conditional import check_if_match, matches, wanted_range
from serve_app.image_id import ImageId, check_image_id
from serve_app.problems import OF_READS, problem_responses
from serve_app.upload.filenames import attachment

router = APIRouter(tags=["images"])

_OF_RECORDS = ("image_not_found", "image_erased", "image_expired", "precondition_failed", *OF_READS)

_BYTES = {"image/*": {"schema": {"type": "string", "format": "binary"}}}
_TAGGED = {
    "ETag": {
        "description": "SHA-256 of the bytes",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{64}"$'},
    }
}
_PARTIAL = {
    **_TAGGED,
    "Content-Range": {
        "description": "first byte, last byte and size",
        "required": True,
        "schema": {"type": "string", "pattern": r"^bytes \d+-\d+/\d+$"},
    },
}

_DEFAULT_PAGE = 50
_MAX_PAGE = 200
# Longest accepted cursor, in characters; valid cursors are far shorter.
_MAX_CURSOR = 256


@router.get(
    "/v1/images",
    summary="List images, newest first",
    response_model=schemas.PageView | schemas.ReducedPageView,
    responses=problem_responses("invalid_cursor", "unknown_preset", *OF_READS),
)
async def list_images(
    *,
    request: Request,
    principal: Reader,
    limit: Annotated[
        int, Query(ge=1, le=_MAX_PAGE, description="largest number of images of the page")
    ] = _DEFAULT_PAGE,
    cursor: Annotated[
        str | None, Query(max_length=_MAX_CURSOR, description="`next` of the page before")
    ] = None,
    wanted: Annotated[ImageFilter, Depends(listing_query.wanted)],
    fields: Annotated[frozenset[str] | None, Depends(listing_query.chosen)],
) -> Response:
    """Return one page; pass `next` of a page as `cursor` to get the next page.

    A page that has cost much ends early and may be empty: only `next` says whether it is the last.
    Pass the same conditions with each page. `fields` chooses the fields of each image.
    """
    context = context_of(request)
    page = await context.lake.reader.page(principal.tenant, limit, cursor, wanted)
    views = [schemas.ImageView.of(record, context.lake.expires(record)) for record in page.records]
    if fields is None:
        body = schemas.PageView(images=views, next=page.cursor).model_dump(mode="json")
    else:
        images = [listing_query.reduced(view, fields) for view in views]
        body = {"images": images, "next": page.cursor}
    return JSONResponse(body)


@router.get(
    "/v1/images/{image_id}",
    summary="Record of an image",
    responses=problem_responses(*_OF_RECORDS),
)
async def show_image(request: Request, principal: Reader, image_id: ImageId) -> schemas.ImageView:
    """Return the record of an image, with links to its original and renditions."""
    context = context_of(request)
    record = await _record(context, principal, image_id)
    # The image as a whole has no ETag, so only `*` can match.
    check_if_match(request.headers.getlist("if-match"), None)
    return schemas.ImageView.of(record, context.lake.expires(record))


@router.get(
    "/v1/images/{image_id}/{rendition}",
    summary="Bytes of an original or a rendition",
    response_class=StreamingResponse,
    responses={
        200: {"content": _BYTES, "headers": _TAGGED},
        206: {"description": "The requested range", "content": _BYTES, "headers": _PARTIAL},
        304: {"description": "The client already has this version", "headers": _TAGGED},
        **problem_responses(*_OF_RECORDS, "range_not_satisfiable"),
    },
)
async def download_image(
    request: Request,
    principal: Reader,
    image_id: ImageId,
    rendition: Annotated[
        str, Path(description="`original`, or the name of a rendition", examples=["original"])
    ],
) -> Response:
    """Return the bytes, with an ETag. The bytes never change. One byte range is supported."""
    context = context_of(request)
    record = await _record(context, principal, image_id)
    found = _named(record, rendition)
    headers = _headers(found, record, context)
    check_if_match(request.headers.getlist("if-match"), found.etag)
    if matches(request.headers.getlist("if-none-match"), found.etag):
        return Response(status_code=304, headers=headers)
    part = _part(request, found)
    start, end = part or (0, found.size)
    headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=found.content_type)
    stream = await context.lake.reader.content(found.key, part)
    return StreamingResponse(
        stream.chunks, status_code=status, headers=headers, media_type=found.content_type
    )


def _part(request: Request, found: "_Stored") -> tuple[int, int] | None:
    # Range is defined for GET only (RFC 9110, 14.2).
    if request.method != "GET":
        return None
    sent = request.headers
    return wanted_range(sent.get("range"), sent.get("if-range"), found.etag, found.size)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Original or rendition of a record; `size` in bytes."""

    key: str
    sha256: str
    size: int
    content_type: str
    filename: str | None = None

    @property
    def etag(self) -> str:
        """Strong ETag; equal bytes have the same tag on every server."""
        return f'"{self.sha256}"'


def _named(record: ImageRecord, rendition: str) -> _Stored:
    if rendition == "original":
        return _Stored(
            record.original_key,
            record.sha256,
            record.bytes,
            record.content_type,
            record.filename or record.original_key.rsplit("/", 1)[-1],
        )
    for made in record.renditions:
        if made.name == rendition:
            return _Stored(made.key, made.sha256, made.bytes, made.content_type)
    names = ("original", *(made.name for made in record.renditions))
    raise ImageNotFound(unknown("rendition", rendition, names), value=rendition[:64])


def _headers(found: _Stored, record: ImageRecord, context: AppContext) -> dict[str, str]:
    """Build headers for untrusted bytes: no sniffing, no scripts, originals as a download."""
    left = _seconds_left(context.lake.expires(record), context.lake.clock.now())
    return {
        "ETag": found.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={left}, immutable",
        "Content-Disposition": attachment(found.filename) if found.filename else "inline",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }


def _seconds_left(end: datetime, now: datetime) -> int:
    return max(0, int((end - now).total_seconds()))


async def _record(context: AppContext, principal: Principal, image_id: str) -> ImageRecord:
    check_image_id(image_id)
    return await context.records.record(principal.tenant, image_id)
