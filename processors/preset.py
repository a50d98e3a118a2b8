"""Presets: named, versioned lists of renditions, each an ordered list of operations."""

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lake.layout import TENANT
from processors.codecs.codec import OutputFormat
from processors.errors import UnknownPreset
from processors.image import WHITE
from processors.nearest import did_you_mean
from processors.operations import AnyOperation, Fit

# Names become parts of object names and URLs.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NAMED = re.compile(rf"({_NAME.pattern})(?:@([1-9]\d{{0,8}}))?", re.ASCII)
_RESERVED = {"original", "record"}


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or value in _RESERVED:
        rule = f"use {_NAME.pattern}, but none of {sorted(_RESERVED)}"
        raise ValueError(f"{value[:64]!r} is no valid name; {rule}")
    return value


Name = Annotated[
    str, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$"})
]
Owner = Annotated[str, Field(pattern=rf"^{TENANT.pattern}$")]

MAX_RENDITIONS = 16
MAX_OPERATIONS = 16


class RenditionSpec(BaseModel):
    """Output of a preset; an image with transparent parts uses `alpha_format`, if it is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="part of the rendition's URL")
    operations: tuple[AnyOperation, ...] = Field(
        default=(), max_length=MAX_OPERATIONS, description="steps, applied in this order"
    )
    format: OutputFormat | Literal["auto"] = Field(
        default="jpeg", description="`auto`: JPEG, or with transparent parts `alpha_format` or WebP"
    )
    alpha_format: OutputFormat | None = Field(
        default=None, description="for images with transparent parts; null: `format`"
    )
    background: str = Field(
        default=WHITE,
        pattern=r"^#[0-9a-f]{6}$",
        description="colour behind the transparent parts of a JPEG, as `#rrggbb`",
    )
    quality: int = Field(default=82, ge=1, le=100, description="1 to 100; PNG ignores it")

    def output(self, *, has_alpha: bool) -> OutputFormat:
        """Output format, for an image with or without alpha."""
        if self.format == "auto":
            return self.alpha_format or "webp" if has_alpha else "jpeg"
        return self.alpha_format or self.format if has_alpha else self.format

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the rendition of an image of that size."""
        for operation in self.operations:
            width, height = operation.size_after(width, height)
        return width, height

    @property
    def outputs(self) -> set[OutputFormat]:
        """All possible output formats."""
        return {self.output(has_alpha=False), self.output(has_alpha=True)}


def _with_example(schema: dict[str, Any]) -> None:
    schema["examples"] = [THUMBNAIL.model_dump(mode="json", exclude_none=True)]


class Preset(BaseModel):
    """Renditions to make of an image; every change of a preset gets a new version."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra=_with_example,
    )

    name: Name
    version: int = Field(ge=1)
    renditions: tuple[RenditionSpec, ...] = Field(default=(), max_length=MAX_RENDITIONS)
    tenant: Owner | None = Field(
        default=None,
        description="tenant that owns the preset; absent if all tenants share the preset",
    )

    @property
    def owned_name(self) -> str:
        """Name that no other preset has: a tenant's preset may have the name of a shared one."""
        return self.name if self.tenant is None else f"{self.tenant}/{self.name}"

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [each.name for each in self.renditions]
        if len(set(names)) < len(names):
            raise ValueError("two renditions have the same name")
        return self


def _for_the_web(width: int) -> RenditionSpec:
    return RenditionSpec(
        name=str(width),
        operations=(Fit(width=width),),
        format="jpeg",  # every client decodes JPEG, and encoding takes a tenth of WebP's time
        alpha_format="webp",  # JPEG has no alpha and would put transparent logos on white
        quality=82,
    )


WEB = Preset(name="web", version=1, renditions=(_for_the_web(320), _for_the_web(1280)))
"""Renditions of at most 320 and 1,280 pixels width, never enlarged; JPEG, or WebP with alpha."""

THUMBNAIL: Preset = Preset(name="thumbnail", version=1, renditions=(_for_the_web(320),))
"""The smaller rendition of `WEB` alone; benchmarks use this preset."""

ARCHIVE = Preset(name="archive", version=1)
"""Preset without renditions: only the original and its measures are stored."""

BUILTIN = {each.name: each for each in (WEB, THUMBNAIL, ARCHIVE)}
"""Built-in presets, which need no store."""


@dataclass(frozen=True, slots=True)
class PresetName:
    """Reference to a preset: `name`, which means the newest version, or `name@version`.

    `tenant`: the tenant that uses the name, whose own presets come first. None: the name means a
    shared or built-in preset.
    """

    name: str
    version: int | None = None
    tenant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `name` or `name@version`; raises UnknownPreset for an invalid name."""
        match = _NAMED.fullmatch(text)
        if match is None or match[1] in _RESERVED:
            hint = did_you_mean(text, BUILTIN)
            raise UnknownPreset(f"no preset is named {text!r}{hint}", value=text)
        return cls(match[1], int(match[2]) if match[2] else None)

    def used_by(self, tenant: str | None) -> Self:
        """Return the reference as a tenant uses it; None: as that of a shared preset."""
        return replace(self, tenant=tenant)

    @property
    def moves(self) -> bool:
        """True if the name can refer to a newer version later."""
        return self.version is None and self.name not in BUILTIN

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def find_builtin(name: PresetName) -> Preset | None:
    """Find the built-in preset of that name; None if there is none.

    Raises UnknownPreset for another version of a built-in preset: no store can have one either.
    """
    preset = BUILTIN.get(name.name)
    if preset is not None and name.version not in {None, preset.version}:
        message = f"the built-in preset {name.name} has only version {preset.version}"
        raise UnknownPreset(message, value=str(name))
    return preset
