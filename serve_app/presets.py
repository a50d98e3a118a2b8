"""Routes `/v1/presets`: list and show presets, store new versions.

All tenants share the presets, so a change needs the scope `presets:write`. For each version the
store records the API key that stored the version.
"""

import re
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from lake.logs import logger
from processors.errors import InvalidPreset, UnknownPreset
from processors.preset import BUILTIN, Preset, PresetName
from processors.preset_check import try_out
from processors.preset_registry import MAX_PRESET_BYTES, as_json
from serve_app.accounts import PRESETS, Principal, actor_of
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.admission.reads import Reader
from serve_app.app_context import AppContext, context_of
from serve_app.auth import need
from serve_app.conditional import check_if_match, matches
from serve_app.errors import InvalidRequest, PresetNotFound
from serve_app.problems import problem_responses
from serve_app.upload.json_body import read_json_body

router = APIRouter(tags=["presets"], responses=problem_responses(401, 403, 422, 503))
log = logger(__name__)

Editor = Annotated[Principal, Depends(need(PRESETS))]

_VERSION_TAG = re.compile(r'"([1-9]\d{0,8})"', re.ASCII)
_JSON = "application/json"


class PresetEntry(BaseModel):
    """Name and newest version of one preset."""

    name: str
    version: int = Field(description="the newest version")
    built_in: bool


class PresetList(BaseModel):
    """List of all presets, by name."""

    presets: list[PresetEntry]


@router.get("/v1/presets", summary="List presets")
async def list_presets(request: Request, principal: Reader) -> PresetList:
    """Return all presets with their newest versions."""
    del principal  # every key with the read scope may list presets
    newest = await context_of(request).worker.presets.newest()
    return PresetList(
        presets=[
            PresetEntry(name=name, version=version, built_in=name in BUILTIN)
            for name, version in newest.items()
        ]
    )


@router.get(
    "/v1/presets/{name}",
    summary="Show a preset",
    response_model=Preset,
    responses={
        304: {"description": "The client already has this version"},
        **problem_responses(404, 412),
    },
)
async def show_preset(
    request: Request,
    principal: Reader,
    name: Annotated[str, Path(description="`name` for its newest version, or `name@version`")],
) -> Response:
    """Return the preset in the format of PUT; the ETag is the version."""
    del principal
    preset = await _found(context_of(request), name)
    headers = {"ETag": f'"{preset.version}"'}
    check_if_match(request.headers.getlist("if-match"), headers["ETag"])
    if matches(request.headers.getlist("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(as_json(preset), headers=headers, media_type=_JSON)


@router.put(
    "/v1/presets/{name}",
    summary="Store the next version of a preset",
    status_code=201,
    response_model=Preset,
    responses={
        200: {"model": Preset, "description": "Equal to the newest version; nothing was stored"},
        **problem_responses(400, 408, 409, 412, 415),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": {"type": "object"}}},
        },
        "parameters": [
            {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
            for name, text in (
                ("If-Match", 'store the preset only if this version is the newest: `"3"`'),
                ("If-None-Match", "`*`: store the preset only if it has no version yet"),
            )
        ],
    },
)
async def put_preset(
    request: Request,
    principal: Editor,
    name: Annotated[str, Path(description="letters, digits, - and _; not a built-in preset")],
) -> Response:
    """Store a preset: JSON with `renditions`; `name` and `version` are optional.

    The server first tries the preset on a small image. A stored version never changes; the next PUT
    makes the next version. Uploads without a version use the new version within seconds.
    """
    context = context_of(request)
    put = await context.worker.presets.put(
        name,
        await read_json_body(request, context.settings, MAX_PRESET_BYTES, _too_large),
        actor_of(principal),
        partial(try_out, context.worker.sandbox),
        after=_after(request),
    )
    if put.created:
        log.info(
            "preset stored", key_prefix=principal.prefix, preset=f"{name}@{put.preset.version}"
        )
        await _note(context, name, put.preset.version, actor_of(principal))
    return Response(
        as_json(put.preset),
        status_code=201 if put.created else 200,
        headers={
            "ETag": f'"{put.preset.version}"',
            "Location": f"/v1/presets/{name}@{put.preset.version}",
        },
        media_type=_JSON,
    )


async def _note(context: AppContext, name: str, version: int, actor: str) -> None:
    """Append the new version to the audit log of the accounts; the store has its author, too."""
    try:
        await context.accounts.run(
            lambda accounts: accounts.log.preset_stored(name, version, actor=actor)
        )
    except AccountsUnavailable as error:
        log.warning("the audit log lacks a preset", preset=f"{name}@{version}", error=error)


async def _found(context: AppContext, name: str) -> Preset:
    try:
        return await context.worker.presets.find(PresetName.parse(name))
    except UnknownPreset as error:
        raise PresetNotFound(error.detail, value=name) from error


def _too_large(size: int) -> InvalidPreset:
    return InvalidPreset("the preset is too large", limit=MAX_PRESET_BYTES, value=size)


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
