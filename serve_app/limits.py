"""What an upload may have at most, told before a client sends its bytes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from serve_app import metadata
from serve_app.accounts import WRITE, Principal
from serve_app.auth import need
from serve_app.door import door_of

router = APIRouter(tags=["images"])

Writer = Annotated[Principal, Depends(need(WRITE))]


class LimitsView(BaseModel):
    """Limits of one upload, and the preset of one that names none."""

    max_bytes: int = Field(description="of an image")
    max_metadata_entries: int
    max_metadata_bytes: int = Field(description="of all names and values together")
    default_preset: str


@router.get("/v1/limits", summary="What an upload may have at most")
async def limits(request: Request, principal: Writer) -> LimitsView:
    """Ask once, before a large upload: a refusal costs its sender all of its bytes."""
    del principal  # asked for its scope alone
    settings = door_of(request).settings
    return LimitsView(
        max_bytes=settings.max_bytes,
        max_metadata_entries=metadata.MAX_ENTRIES,
        max_metadata_bytes=metadata.MAX_TOTAL_BYTES,
        default_preset=settings.default_preset,
    )
