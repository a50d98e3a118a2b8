"""Routes `/v1/presets` and `/v1/shared-presets`: list and show presets, store new versions.

A key with the scope `presets:write` stores presets of its tenant, which only that tenant sees and
uses. A key with the scope `admin` stores presets that all tenants share. For each version the store
records the API key that stored the version.
"""

import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lake.logs import logger
from processors.errors import UnknownPreset
from processors.preset import BUILTIN, Preset, PresetName
from processors.preset_check import try_out
from processors.preset_registry import as_json
from processors.preset_text import MAX_PRESET_TEXT, text_too_large
from serve_app.accounts import ADMIN, PRESETS, Principal, actor_of
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.admission.reads import Reader
from serve_app.app_context import AppContext, context_of
from serve_app.auth import need
from serve_app.conditional import check_if_match, matches
from serve_app.errors import InvalidRequest, PresetNotFound
from serve_app.openapi_examples import exampled
from serve_app.problems import OF_BODIES, OF_CHANGES, OF_READS, problem_responses
from serve_app.upload.json_body import read_json_body

router = APIRouter(tags=["presets"])
log = logger(__name__)

Editor = Annotated[Principal, Depends(need(PRESETS))]
Administrator = Annotated[Principal, Depends(need(ADMIN))]
NewName = Annotated[
    str, Path(description="letters, digits, - and _; not a built-in preset", examples=["shop"])
]
StoredName = Annotated[
    str, Path(description="`name` for its newest version, or `name@version`", examples=["web"])
]

_VERSION_TAG = re.compile(r'"([1-9]\d{0,8})"', re.ASCII)
_JSON = "application/json"


_REF = "#/components/schemas/{model}"
_TAGGED = {
    "ETag": {
        "description": "the version",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
    }
}
_STORED = {
    **_TAGGED,
    "Location": {
        "description": "path of this version",
        "required": True,
        "schema": {"type": "string"},
    },
}
_EXAMPLE: dict[str, JsonValue] = {
    "renditions": [
        {
            "name": "card",
            "operations": [{"op": "fill", "width": 480, "height": 360}, {"op": "sharpen"}],
            "format": "webp",
            "quality": 80,
        }
    ]
}


def _body() -> dict[str, Any]:
    """Describe the body of PUT: a preset, in which the name and the version may be left out.

    The definitions that it refers to are those of the answer.
    """
    described = Preset.model_json_schema(ref_template=_REF)
    left_out = {"$defs", "required", "title"}
    kept = {name: value for name, value in described.items() if name not in left_out}
    return {**kept, "examples": [_EXAMPLE]}


class PresetEntry(BaseModel):
    """Name and newest version of one preset."""

    name: str
    version: int = Field(description="the newest version")
    built_in: bool = Field(description="true: it is part of Pixlake and never changes")
    tenant: str | None = Field(
        description="tenant that owns the preset; null for a shared or built-in one"
    )


class PresetList(BaseModel):
    """List of the presets that a tenant can use, by name."""

    model_config = ConfigDict(
        json_schema_extra=exampled(
            {"presets": [{"name": "web", "version": 1, "built_in": True, "tenant": None}]}
        )
    )

    presets: list[PresetEntry]


@router.get("/v1/presets", summary="List presets", responses=problem_responses(*OF_READS))
async def list_presets(request: Request, principal: Reader) -> PresetList:
    """Return the presets of the key's tenant and the shared ones, with their newest versions."""
    newest = await context_of(request).worker.presets.newest(principal.tenant)
    return PresetList(
        presets=[
            PresetEntry(
                name=each.name,
                version=each.version,
                built_in=each.name in BUILTIN,
                tenant=each.tenant,
            )
            for each in newest
        ]
    )


_DESCRIBED_SHOW: dict[str, Any] = {
    "response_model": Preset,
    "responses": {
        200: {"headers": _TAGGED},
        304: {"description": "The client already has this version", "headers": _TAGGED},
        **problem_responses("preset_not_found", "precondition_failed", *OF_READS),
    },
}


@router.get("/v1/presets/{name}", summary="Show a preset", **_DESCRIBED_SHOW)
async def show_preset(request: Request, principal: Reader, name: StoredName) -> Response:
    """Return the preset that the name means to the key's tenant, in the format of PUT.

    The ETag is the version.
    """
    return await _show(request, name, principal.tenant)


@router.get("/v1/shared-presets/{name}", summary="Show a shared preset", **_DESCRIBED_SHOW)
async def show_shared_preset(request: Request, _: Reader, name: StoredName) -> Response:
    """Return a shared or built-in preset, also if the key's tenant owns one of this name."""
    return await _show(request, name, None)


async def _show(request: Request, name: str, tenant: str | None) -> Response:
    preset = await _found(context_of(request), name, tenant)
    headers = {"ETag": f'"{preset.version}"'}
    check_if_match(request.headers.getlist("if-match"), headers["ETag"])
    if matches(request.headers.getlist("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(as_json(preset), headers=headers, media_type=_JSON)


def _described_put(*codes: str) -> dict[str, Any]:
    """Describe a route that stores a preset; `codes` are refusals of this route alone."""
    return {
        "status_code": 201,
        "response_model": Preset,
        "responses": {
            200: {
                "model": Preset,
                "description": "Equal to the newest version; nothing was stored",
                "headers": _STORED,
            },
            201: {"headers": _STORED},
            **problem_responses(
                "invalid_preset",
                "unknown_preset",
                "preset_built_in",
                "preset_changed",
                "presets_read_only",
                "overloaded",
                *codes,
                *OF_BODIES,
                *OF_CHANGES,
            ),
        },
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "content": {_JSON: {"schema": _body()}},
            },
            "parameters": [
                {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
                for name, text in (
                    ("If-Match", 'store the preset only if this version is the newest: `"3"`'),
                    ("If-None-Match", "`*`: store the preset only if it has no version yet"),
                )
            ],
        },
    }


@router.put(
    "/v1/presets/{name}",
    summary="Store the next version of a preset",
    **_described_put("preset_shared", "too_many_presets"),
)
async def put_preset(request: Request, principal: Editor, name: NewName) -> Response:
    """Store a preset of the key's tenant: JSON with `renditions`; other fields are optional.

    The server first tries the preset on a small image. A stored version never changes; the next PUT
    makes the next version. Uploads without a version use the new version within seconds. Other
    tenants neither see nor use the preset.
    """
    return await _put(request, principal, name, principal.tenant)


@router.put(
    "/v1/shared-presets/{name}",
    summary="Store the next version of a shared preset",
    **_described_put(),
)
async def put_shared_preset(request: Request, principal: Administrator, name: NewName) -> Response:
    """Store a preset that all tenants share, as `PUT /v1/presets/{name}` stores one of a tenant.

    A tenant that owns a preset of this name goes on with its own.
    """
    return await _put(request, principal, name, None)


async def _put(request: Request, principal: Principal, name: str, tenant: str | None) -> Response:
    context = context_of(request)
    kind = "shared-presets" if tenant is None else "presets"
    put = await context.worker.presets.put(
        name,
        await read_json_body(request, context.settings, MAX_PRESET_TEXT, text_too_large),
        actor_of(principal),
        partial(_try_out, request, principal),
        after=_after(request),
        tenant=tenant,
    )
    if put.created:
        log.info(
            "preset stored",
            key_prefix=principal.prefix,
            preset=f"{put.preset.owned_name}@{put.preset.version}",
        )
        await _note(context, put.preset, actor_of(principal))
    return Response(
        as_json(put.preset),
        status_code=201 if put.created else 200,
        headers={
            "ETag": f'"{put.preset.version}"',
            "Location": f"/v1/{kind}/{name}@{put.preset.version}",
        },
        media_type=_JSON,
    )


async def _try_out(request: Request, principal: Principal, preset: Preset) -> None:
    """Try a preset, which counts as an image of the limits a second; raises RateLimited."""
    context = context_of(request)
    await context.rates.count_upload(principal, request.scope, None)
    await try_out(context.worker.sandbox, preset)


async def _note(context: AppContext, stored: Preset, actor: str) -> None:
    """Append the new version to the audit log of the accounts; the store has its author, too."""
    try:
        await context.accounts.run(
            lambda accounts: accounts.log.preset_stored(
                stored.name, stored.version, actor=actor, tenant=stored.tenant
            )
        )
    except AccountsUnavailable as error:
        preset = f"{stored.owned_name}@{stored.version}"
        log.warning("the audit log lacks a preset", preset=preset, error=error)


async def _found(context: AppContext, name: str, tenant: str | None) -> Preset:
    try:
        return await context.worker.presets.find(PresetName.parse(name).used_by(tenant))
    except UnknownPreset as error:
        raise PresetNotFound(error.detail, value=name) from error


def _after(request: Request) -> int | None:
    """Parse the precondition: the required newest version, 0 for "no version", None for none."""
    if_none_match = request.headers.get("if-none-match")
    if_match = request.headers.get("if-match")
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise InvalidRequest(
                "If-None-Match must be *, and must be sent without If-Match", value=if_none_match
            )
        return 0
    if if_match is None:
        return None
    version = _VERSION_TAG.fullmatch(if_match.strip())
    if version is None:
        raise InvalidRequest('If-Match must be a version, such as "3"', value=if_match)
    return int(version[1])
