"""Route `POST /v1/images:batch`, beside FastAPI as the upload of one image, and its description."""

from typing import Any, Final

from fastapi import FastAPI
from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive, Scope, Send

from serve_app.app_context import AppContext
from serve_app.batch.answer import NDJSON, Answer, refusal_line
from serve_app.batch.batch import Batch, any_fault
from serve_app.batch.batch_request import MIXED, TAR, BatchRequest
from serve_app.metrics import refusals_by_code
from serve_app.problems import BATCH_PATH, problem_responses, refusal
from serve_app.schemas import BatchLine, ErasureLine
from serve_app.upload.body import timed
from serve_app.upload.route import (
    OF_IMAGES,
    PRESET_PARAMETER,
    DescribedRoute,
)
from serve_app.upload.upload_request import MULTIPART
from serve_app.upload.uploads import SCOPE, sender_of
from serve_app.usage_counts import note_refusal

_BINARY = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "preset": {"type": "string", "description": "before the first file"},
        "metadata": {
            "type": "string",
            "description": "a JSON object of strings, before the first file",
        },
        "file": {"type": "array", "items": _BINARY},
    },
}

OPERATION: Final[dict[str, Any]] = {
    "tags": ["images"],
    "summary": "Upload many images",
    "description": """Store up to 10,000 images: the files of a tar archive, or the parts of a form.

The answer is one line of JSON for each file, sent as soon as its image is durable, in any order.
Each image has the identity, limits and refusals of a single upload, so a batch may be sent again at
any time: images that are stored are `replay`. A fault of the archive itself, such as a missing end,
is the last line, whose `name` is null; if there is no line yet, the answer is the refusal.

`preset` and the headers `X-Pixlake-Meta-<name>` are for all images. An image may have its own: in
tar the pax keywords `PIXLAKE.preset`, `PIXLAKE.metadata` (a JSON object) and
`PIXLAKE.idempotency-key`; in a part the headers `X-Pixlake-Preset`, `X-Pixlake-Meta-<name>`,
`Idempotency-Key` and those of checksums.""",
    "operationId": "upload_batch",
    "security": [{"HTTPBearer": [SCOPE]}],
    "parameters": [PRESET_PARAMETER],
    "responses": {
        "200": {
            "description": "A line for each file",
            "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/BatchLine"}}},
        },
        **{
            str(status): about
            for status, about in problem_responses(
                *OF_IMAGES,
                "malformed_archive",
                "truncated_archive",
                "compressed_archive",
                "empty_batch",
                "too_many_items",
                "invalid_name",
                "duplicate_name",
                "special_file",
                "unsupported_entry",
            ).items()
        },
    },
    "requestBody": {
        "required": True,
        "content": {
            TAR: {"schema": _BINARY},
            MULTIPART: {"schema": _FORM},
            MIXED: {"schema": _BINARY},
        },
    },
}
"""OpenAPI description of the route."""


def install(app: FastAPI, context: AppContext) -> None:
    """Insert the route ahead of FastAPI's."""
    schema = {each.__name__: each.model_json_schema() for each in (BatchLine, ErasureLine)}
    app.router.routes.insert(0, DescribedRoute(BATCH_PATH, _Route(context), OPERATION, schema))


class _Route:
    """ASGI application of the route."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one batch."""
        answer = Answer(send)
        try:
            await self._read(scope, receive, answer)
        except Exception as error:  # noqa: BLE001  # `refusal` raises unknown errors again
            if not answer.begun:
                await refusal(scope, error)(scope, receive, send)
                return
            fault = any_fault(error)
            refusals_by_code[fault.code] += 1
            note_refusal(scope, fault.code)
            answer.add(refusal_line(None, fault))
        except BaseException:
            await answer.abandon()
            raise
        await answer.finish()

    async def _read(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        headers = Headers(scope=scope)
        sender = await sender_of(self._context, scope, headers)
        preset = QueryParams(scope["query_string"]).get("preset")
        request = BatchRequest.of(headers, preset)
        chunks = timed(receive, self._context.settings, total=False)
        await Batch(self._context, sender, scope, request, answer).read(chunks)
