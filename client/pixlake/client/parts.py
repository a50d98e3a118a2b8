"""Typed parts of an image: renditions, colours, codes. Fields of a newer server are kept."""

from pydantic import BaseModel, ConfigDict


class Rendition(BaseModel):
    """Rendition of an image: a picture that a preset made; sizes in pixels and `bytes`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    format: str
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str


class Swatch(BaseModel):
    """A colour of an image, `#rrggbb` in sRGB, and the fraction of its pixels."""

    model_config = ConfigDict(frozen=True, extra="allow")

    color: str
    share: float


class Code(BaseModel):
    """QR or bar code found in an image; its text is untrusted."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    text: str
