"""The page `/docs`: the reference of the API as plain HTML, without scripts.

Tables, headings and landmarks of HTML carry the structure, so screen readers and keyboards need
nothing more. `reference.css` has the colours, each with a contrast of at least 7 to 1.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from serve_app.console.reference import Body, Field, Operation, Resource, resources, types

_LINK = re.compile(r"\[([^\]]+)\]\((https://[^)\s]+)\)")
# Pages of docs, which the service does not have.
_PAGE = re.compile(r"\[([^\]]+)\]\([\w-]+\.md[^)]*\)")
_TICKS = re.compile(r"`([^`]+)`")


def page(document: Mapping[str, Any]) -> str:
    """Render the page of an OpenAPI document."""
    info = document["info"]
    found = resources(document)
    about = {tag["name"]: tag["description"] for tag in document["tags"]}
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])} API</title>",
            '<link rel="stylesheet" href="/assets/reference.css"></head>',
            "<body>",
            '<a class="skip" href="#content">Skip to the content</a>',
            *_navigation(found),
            '<main id="content" tabindex="-1">',
            f"<h1>{escape(info['title'])} API, version {escape(info['version'])}</h1>",
            *_text(info["description"]),
            '<p>For programs: the same as an <a href="/openapi.json">OpenAPI document</a>. In the',
            "commands <code>PIXLAKE_URL</code> is the address of this service, <code>KEY</code> an",
            "API key.</p>",
            *(line for each in found for line in _resource(each, about[each.name])),
            *_types(document),
            "</main></body></html>",
        ]
    )


def _navigation(found: Iterable[Resource]) -> Iterator[str]:
    yield '<nav aria-label="Operations"><ul>'
    for resource in found:
        yield f'<li><a href="#{escape(resource.name)}">{escape(resource.name)}</a><ul>'
        for each in resource.operations:
            yield f'<li><a href="#{each.id}">{escape(each.summary)}</a></li>'
        yield "</ul></li>"
    yield '<li><a href="#types">types</a></li></ul></nav>'


def _resource(resource: Resource, about: str) -> Iterator[str]:
    name = escape(resource.name)
    yield f'<section aria-labelledby="{name}"><h2 id="{name}">{name}</h2>'
    yield from _text(about)
    for each in resource.operations:
        yield from _operation(each)
    yield "</section>"


def _operation(each: Operation) -> Iterator[str]:
    yield f'<section aria-labelledby="{each.id}"><h3 id="{each.id}">{_inline(each.summary)}</h3>'
    yield f'<p class="route"><b>{each.method}</b> <code>{escape(each.path)}</code></p>'
    yield from _text(each.text)
    if each.deprecated:
        yield "<p><strong>Deprecated.</strong></p>"
    yield f"<p>Scope: <code>{each.scope}</code></p>" if each.scope else "<p>Needs no key.</p>"
    yield _block(each.command, f"Command: {each.summary}")
    yield from _table("Parameters", ("name", "type", "meaning"), _rows(each.parameters))
    if each.request is not None:
        yield from _body("Request", each.request, each.summary)
    for status, about, body in each.answers:
        yield f"<h4>Answer {status}</h4>"
        yield from _text(about)
        if body is not None:
            yield from _body(f"Answer {status}", body, each.summary)
    refusals = [(str(one.status), f"`{one.code}`", one.title) for one in each.refusals]
    yield from _table("Refusals", ("status", "code", "meaning"), refusals)
    yield "</section>"


def _body(title: str, body: Body, summary: str) -> Iterator[str]:
    if body.type is not None:
        yield f'<p>JSON of the type <a href="#type-{body.type}">{body.type}</a>. Example:</p>'
    else:
        yield from _table(f"{title}: fields", ("name", "type", "meaning"), _rows(body.fields))
        yield "<p>Example:</p>"
    yield _block(body.example, f"{title}, example: {summary}")


def _types(document: Mapping[str, Any]) -> Iterator[str]:
    yield '<section aria-labelledby="types"><h2 id="types">types</h2>'
    for name, about, fields in types(document):
        yield f'<h3 id="type-{name}">{name}</h3>'
        yield from _text(about)
        yield from _table(f"Fields of {name}", ("name", "type", "meaning"), _rows(fields))
    yield "</section>"


def _rows(fields: Iterable[Field]) -> list[tuple[str, str, str]]:
    return [
        (f"`{one.name}`{' (required)' if one.required else ''}", one.kind, one.about)
        for one in fields
    ]


def _table(
    caption: str, heads: Sequence[str], rows: Sequence[tuple[str, str, str]]
) -> Iterator[str]:
    if not rows:
        return
    yield f"<table><caption>{escape(caption)}</caption><thead><tr>"
    yield "".join(f'<th scope="col">{head}</th>' for head in heads) + "</tr></thead><tbody>"
    for first, *others in rows:
        cells = "".join(f"<td>{_inline(text)}</td>" for text in others)
        yield f'<tr><th scope="row">{_inline(first)}</th>{cells}</tr>'
    yield "</tbody></table>"


def _block(text: str, label: str) -> str:
    """Render a block that scrolls; the keyboard must reach it, and a reader must hear its name."""
    return f'<pre tabindex="0" role="region" aria-label="{escape(label)}">{escape(text)}</pre>'


def _text(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        if paragraph:
            yield f"<p>{_inline(paragraph)}</p>"


def _inline(text: str) -> str:
    """Render one paragraph: code between backticks, and links."""
    linked = _LINK.sub(r'<a href="\2">\1</a>', _PAGE.sub(r"\1", escape(text)))
    return _TICKS.sub(r"<code>\1</code>", linked)
