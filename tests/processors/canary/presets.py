"""Presets that use every operation and every output format."""

from collections.abc import Iterator

from pydantic import TypeAdapter

from processors.operations import OPERATIONS, AnyOperation, Operation
from processors.preset import Preset, RenditionSpec

_ANY: TypeAdapter[Operation] = TypeAdapter(AnyOperation)
_A_PRESET = 14
_NEEDED: dict[str, list[dict[str, object]]] = {
    "fit": [{"width": 20}],
    "fill": [{"width": 20, "height": 30, "gravity": "smart"}],
    "pad": [{"width": 70, "height": 70, "background": "#ff000080"}],
    "resize": [{"width": 13}, {"width": 150, "enlarge": True}],
    "crop": [{"width": 9, "height": 9, "gravity": "face"}],
    "rotate": [{"angle": 33}, {"angle": 90}],
    "flip": [{"direction": "both"}],
    "brightness": [{"amount": 20}],
    "contrast": [{"amount": 20}],
    "gamma": [{"gamma": 2}],
    "blur": [{"sigma": 3}],
    "threshold": [{"method": "adaptive"}, {"method": "otsu"}],
    "watermark": [{"text": "Ü©"}],
    "redact": [{"boxes": [[1, 1, 9, 9]], "mode": mode} for mode in ("blur", "pixelate")],
}


LOSSLESS = Preset(
    name="lossless",
    version=1,
    renditions=(RenditionSpec(name="all", format="png", alpha_format="png"),),
)


def presets() -> list[Preset]:
    """Return presets: a plain one for every output format, and some that use each operation."""
    plain = [
        RenditionSpec.model_validate({"name": name, "format": name, "quality": 80})
        for name in ("png", "avif", "webp", "jpeg")
    ]
    made = [
        RenditionSpec.model_validate({"name": f"n{at}", "format": "png", "operations": [each]})
        for at, each in enumerate(_operations())
    ]
    groups = [plain, *(made[at : at + _A_PRESET] for at in range(0, len(made), _A_PRESET))]
    return [Preset(name=f"p{at}", version=1, renditions=each) for at, each in enumerate(groups)]


def _operations() -> Iterator[Operation]:
    for name in OPERATIONS:
        for said in _NEEDED.get(name, [{}]):
            yield _ANY.validate_python({"op": name, **said})
