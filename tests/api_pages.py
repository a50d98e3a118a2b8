"""Pages of the HTTP API, one for each resource, from the OpenAPI document."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from processors.operations import OPERATIONS
from serve_app.api import make_app
from serve_app.console.reference import Field, Operation, Resource, resources, types
from serve_app.settings import ServeSettings

# An example with more lines is left to /docs.
_MAX_LINES = 30


def document() -> dict[str, Any]:
    """Return the OpenAPI document, which needs neither store nor database."""
    app = make_app(Mock(), Mock(), Mock(), ServeSettings(home=Path("unused")), Mock())
    return app.openapi()


_DOCUMENT = document()
_OPERATIONS = {kind.__name__ for kind in OPERATIONS.values()}
# docs/operations.md has those of operations.
_TYPES = {
    name: (about, fields) for name, about, fields in types(_DOCUMENT) if name not in _OPERATIONS
}


def _page(resource: Resource) -> str:
    about = {tag["name"]: tag["description"] for tag in _DOCUMENT["tags"]}[resource.name]
    lines = [
        f"# {resource.name.capitalize()}",
        "",
        about,
        "",
        "Rendered from the code by `python -m tests.reference`. [HTTP API](../api.md) has the",
        "conventions of all routes, [errors](../errors.md) the meaning of each code.",
    ]
    for each in resource.operations:
        lines += ["", *_operation(each)]
    used = list(dict.fromkeys(_used(resource)))
    if used:
        lines += ["", "## Types"]
    for name in used:
        about, fields = _TYPES[name]
        lines += ["", f"### {name}", "", about, "", *_table("field", fields)]
    return "\n".join(lines) + "\n"


def _operation(each: Operation) -> Iterator[str]:
    yield f"## {each.summary}"
    yield ""
    scope = f"scope `{each.scope}`" if each.scope else "no key"
    yield f"`{each.method} {each.path}`, {scope}, operation `{each.id}`"
    if each.deprecated:
        yield ""
        yield "**Deprecated.**"
    if each.text:
        yield ""
        yield each.text
    yield ""
    yield f"```\n{each.command}\n```"
    if each.parameters:
        yield ""
        yield from _table("parameter", each.parameters)
    if each.request is not None:
        yield ""
        yield from _table("field of the JSON body", each.request.fields)
    yield ""
    yield from _answers(each)
    if each.refusals:
        by_status: dict[int, list[str]] = {}
        for one in each.refusals:
            by_status.setdefault(one.status, []).append(f"`{one.code}`")
        yield ""
        listed = (f"{status} {', '.join(codes)}" for status, codes in by_status.items())
        yield f"Refusals: {'; '.join(listed)}."


def _answers(each: Operation) -> Iterator[str]:
    for status, about, body in each.answers:
        said = f": {about.rstrip('.')}" if about else ""
        kind = f" JSON: {_linked(body.type)}." if body is not None and body.type else ""
        yield f"- {status}{said}.{kind}"
    examples = dict.fromkeys(body.example for _, _, body in each.answers if body is not None)
    for example in examples:
        if example.count("\n") < _MAX_LINES:
            yield ""
            yield f"```json\n{example}\n```"


def _table(head: str, fields: tuple[Field, ...]) -> Iterator[str]:
    yield f"| {head} | type | meaning |"
    yield "|---|---|---|"
    for one in fields:
        name = f"`{one.name}`" + (" (required)" if one.required else "")
        yield f"| {name} | {_cell(one.kind)} | {_cell(one.about)} |"


def _cell(text: str) -> str:
    words = [_linked(word) if word in _TYPES else word for word in text.split(" ")]
    # Links in descriptions are relative to docs.
    below = re.sub(r"\]\((?=[\w-]+\.md)", "](../", " ".join(words))
    return below.replace("|", r"\|").replace("\n", " ")


def _linked(name: str | None) -> str:
    return f"[{name}](#{name.lower()})" if name else ""


def _used(resource: Resource) -> Iterator[str]:
    """Yield the types of a page: those of its answers, and those that their fields name."""
    for each in resource.operations:
        bodies = [each.request, *(body for _, _, body in each.answers)]
        for body in bodies:
            if body is not None and body.type:
                yield from _with_parts(body.type)
            elif body is not None:
                yield from _of_fields(body.fields)


def _with_parts(name: str) -> Iterator[str]:
    yield name
    yield from _of_fields(_TYPES[name][1])


def _of_fields(fields: tuple[Field, ...]) -> Iterator[str]:
    for one in fields:
        for word in one.kind.split(" "):
            if word in _TYPES:
                yield from _with_parts(word)


def api_pages() -> dict[str, Callable[[], str]]:
    """Return the function that renders each page, by the path of the page below docs."""
    return {f"api/{each.name}.md": partial(_page, each) for each in resources(_DOCUMENT)}
