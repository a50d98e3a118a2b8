"""Route `POST /v1/images`, ahead of FastAPI's routes, and its OpenAPI description.

For each request FastAPI needs 0.5 ms of CPU for matching, injection and validation. An upload needs
only two headers and one query parameter (docs/decisions/0023-uploads-beside-the-framework.md).
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from processors.errors import refusal_codes
from serve_app.app_context import AppContext
from serve_app.openapi_examples import show_examples
from serve_app.problems import (
    OF_BODIES,
    OF_CHANGES,
    ProblemDetails,
    problem_responses,
    refusal,
)
from serve_app.upload.upload_request import MULTIPART
from serve_app.upload.uploads import SCOPE, store

PATH = "/v1/images"

_TEXT = {"type": "string"}
_BINARY = {"type": "string", "format": "binary"}
_PRESET = "preset to apply: name or name@version"
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": _BINARY,
        "preset": _TEXT,
        "metadata": {"type": "string", "description": "a JSON object of strings"},
    },
}
_HEADERS = {
    "Idempotency-Key": "a repeated key means the same image; at most 255 characters, quoted or not",
    "X-Pixlake-Filename": "file name, UTF-8, percent-encoded; a replay keeps the first name",
    "Content-MD5": "base64; the upload is refused if it does not match",
    **{
        f"x-amz-checksum-{algorithm}": "base64; the upload is refused if it does not match"
        for algorithm in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256", "sha512")
    },
    "x-amz-content-sha256": "hex, or UNSIGNED-PAYLOAD",
    "Content-Digest": "RFC 9530: sha-256, sha-512, sha or md5; the same for Repr-Digest and Digest",
}
_BY_ID = {"image_id": "$response.body#/image_id"}
_LINKS = {
    "links": {
        "record": {"operationId": "show_image", "parameters": _BY_ID},
        "original": {
            "operationId": "download_image",
            "parameters": {**_BY_ID, "rendition": "original"},
        },
        "erasure": {"operationId": "erase_image", "parameters": _BY_ID},
    }
}
_IMAGE = {"schema": {"$ref": "#/components/schemas/ImageView"}}
_JSON = "application/json"
_LOCATION = {
    "Location": {
        "description": "path of the record",
        "required": True,
        "schema": {"type": "string"},
    }
}
_REPLAYED = {
    "Idempotent-Replayed": {
        "description": "the image was stored by an earlier request",
        "required": True,
        "schema": {"const": "true"},
    }
}
OF_IMAGES: Final = (
    "missing_body",
    "malformed_multipart",
    "unsupported_media_type",
    "invalid_metadata",
    "invalid_idempotency_key",
    "quota_exceeded",
    "idempotency_conflict",
    "image_erased",
    "unstorable_row",
    *sorted(refusal_codes()),
    "overloaded",
    "answer_timeout",
    "attempt_too_old",
    "image_expiring",
    "record_damaged",
    *OF_BODIES,
    *OF_CHANGES,
)
"""Refusals of images, of one and of many."""
PRESET_PARAMETER: Final[dict[str, Any]] = {
    "name": "preset",
    "in": "query",
    "required": False,
    "schema": {
        **_TEXT,
        "description": _PRESET,
        "title": "Preset",
        "examples": ["web"],
    },
    "description": _PRESET,
}

OPERATION: Final[dict[str, Any]] = {
    "tags": ["images"],
    "summary": "Upload one image",
    "description": """Store an image, sent as the raw body or as the part `file` of a form.

The answer is 201 with `Location` for a new image, and 200 with `Idempotent-Replayed: true` for
an image that was stored before. A client may repeat an upload any number of times.

Metadata: one header `X-Pixlake-Meta-<name>` for each entry, UTF-8, percent-encoded, or the part
`metadata` of a form; at most 32 entries, each of at most 1024 bytes.""",
    "operationId": "upload_image",
    "security": [{"HTTPBearer": [SCOPE]}],
    "parameters": [
        PRESET_PARAMETER,
        *(
            {"name": name, "in": "header", "description": text, "schema": _TEXT}
            for name, text in _HEADERS.items()
        ),
    ],
    "responses": {
        "201": {
            "description": "The image is stored",
            "content": {_JSON: _IMAGE},
            "headers": _LOCATION,
            **_LINKS,
        },
        "200": {
            "description": "A replay: the image was stored before",
            "content": {_JSON: _IMAGE},
            "headers": {**_LOCATION, **_REPLAYED},
            **_LINKS,
        },
        **{str(status): about for status, about in problem_responses(*OF_IMAGES).items()},
    },
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
            MULTIPART: {"schema": _FORM},
        },
    },
}
"""OpenAPI description of the route; FastAPI describes only its own routes."""


class DescribedRoute(Route):
    """Route of POST with its OpenAPI description, and schemas that the description names."""

    def __init__(
        self,
        path: str,
        app: ASGIApp,
        operation: dict[str, Any],
        schemas: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path, app, methods=["POST"])
        self.operation = operation
        self.schemas = schemas or {}


class Api(FastAPI):
    """FastAPI app whose OpenAPI description has the described routes and the schema of problems."""

    def openapi(self) -> dict[str, Any]:
        """Return the description; FastAPI keeps the result until the routes change."""
        described = super().openapi()
        schemas = described["components"]["schemas"]
        others = described["paths"]
        ours = [route for route in self.router.routes if isinstance(route, DescribedRoute)]
        first = {
            route.path: {"post": route.operation, **others.get(route.path, {})} for route in ours
        }
        described["paths"] = {**first, **{k: v for k, v in others.items() if k not in first}}
        for route in ours:
            schemas.update(route.schemas)
        schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
        show_examples(described)
        return described


def install(app: FastAPI, context: AppContext) -> None:
    """Insert the route ahead of all others."""
    app.router.routes.insert(0, DescribedRoute(PATH, _Upload(context), OPERATION))


class _Upload:
    """ASGI application of the route."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one upload."""
        answer = await self._answer(scope, receive)
        await answer(scope, receive, send)
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            # After the refusal, Serve's metrics and log take as much time as the refusal. Yield to
            # the event loop, so that the other requests of a burst are refused first.
            await asyncio.sleep(0)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        query = scope["query_string"]
        preset = QueryParams(query).get("preset") if query else None
        try:
            return await store(self._context, scope, preset, receive)
        except Exception as error:  # noqa: BLE001  # `refusal` raises unknown errors again
            return refusal(scope, error)
