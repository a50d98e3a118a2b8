"""Page of the operations, rendered from their registry."""

import inspect
import json
from typing import Any

from processors.operations import OPERATIONS, Operation

INTRODUCTION = """# Operations

The steps that a rendition of a [preset](presets.md) can apply to an image, in order. To try them
without a server: `pixlake process in.jpg out.webp --op resize:width=320 --op sharpen`.

- The first step gets the image upright and in sRGB, at full size or at the size that the step
  needs.
- No operation enlarges an image unless its parameter `enlarge` is true.
- Coordinates are pixels from the left and the top of the image as it is at that step.
- Colours are `#rrggbb`, or `#rrggbbaa` with `00` for transparent.
- Alpha is kept, and colours of transparent pixels do not bleed into visible ones. 16 bits a
  sample are kept if every step has "stay" in the column below and the output is PNG or AVIF;
  otherwise they become 8.
- The result of every step has a limit of pixels (`PIXLAKE_MAX_OUTPUT_PIXELS`), and some
  operations accept smaller images only. Larger ones are refused with `output_too_large` before
  anything is decoded.
- Names elsewhere: `fit` is Cloudinary's `c_limit` and imgproxy's `fit`; `fill` is `c_fill`,
  `fill`; `pad` is `c_lpad`, `extend`; `resize` is `c_scale`, `force`; gravity `smart` is
  `g_auto`, `sm`; `sharpen` is `e_unsharp_mask`; `redact` with `pixelate` is `e_pixelate_region`.
  `clahe`, `threshold` and `canny` have OpenCV's parameters.
- Faces are detected by OpenCV's `FaceDetectorYN` with the model YuNet: gravity `face` is
  `g_face`, `blur_faces` with `pixelate` is `e_pixelate_faces`. The model misses some faces, such
  as those turned away.

Rendered from the code by `python -m tests.reference`.

| operation | what it does | 16 bits | largest image |
|---|---|---|---|"""


def operations_page() -> str:
    """Build the page: every operation with its parameters, their bounds and defaults."""
    lines = [INTRODUCTION]
    for name, kind in OPERATIONS.items():
        summary = inspect.cleandoc(kind.__doc__ or "").split("\n")[0]
        deep = "stay" if kind.keeps_depth else ""
        most = f"{kind.max_pixels / 1e6:g} MP" if kind.max_pixels else ""
        lines.append(f"| [`{name}`](#{name}) | {summary} | {deep} | {most} |")
    for name, kind in OPERATIONS.items():
        lines += ["", f"## {name}", "", inspect.cleandoc(kind.__doc__ or "")]
        rows = [
            f"| `{field}` | {values(schema)} | {default(kind, field)} | "
            f"{kind.model_fields[field].description} |"
            for field, schema in kind.model_json_schema()["properties"].items()
            if field != "op"
        ]
        if rows:
            head = ["", "| parameter | values | default | what it is |", "|---|---|---|---|"]
            lines += [*head, *rows]
    return "\n".join(lines) + "\n"


def values(schema: dict[str, Any]) -> str:
    """Return the allowed values of a parameter, from its JSON schema."""
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return ", ".join(_values(each) for each in choices)


def _values(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")]))
    if schema["type"] in {"integer", "number"}:
        least = schema.get("minimum", schema.get("exclusiveMinimum"))
        above = "above " if "exclusiveMinimum" in schema else ""
        return f"{above}{least:g} to {schema['maximum']:g}"
    if schema["type"] == "array":
        return f"{schema['minItems']} to {schema['maxItems']} of them"
    if "pattern" in schema:
        return "colour"
    known = {"boolean": "`true`, `false`", "string": f"{schema.get('maxLength')} characters"}
    return known[schema["type"]]


def default(kind: type[Operation], field: str) -> str:
    """Return the default of a parameter as JSON; empty if the default is None."""
    info = kind.model_fields[field]
    if info.is_required():
        return "required"
    return "" if info.default is None else f"`{json.dumps(info.default)}`"
