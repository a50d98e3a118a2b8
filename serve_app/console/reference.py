"""Reference of the API, as rows of text: what pages show of the OpenAPI document."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]

SERVER: Final = "$PIXLAKE_URL"
"""Address of the service in commands; a variable of the reader's shell."""
# Longer patterns say less than the description.
_LONGEST_PATTERN = 40
_JSON = "application/json"
_LINES = "application/x-ndjson"
_TAR = "application/x-tar"
_PROBLEM = "application/problem+json"
_FORMATS = {"date-time": "time", "date": "day", "binary": "bytes"}
_CODE = re.compile(r"`(\w+)`: ([^;]+)")


@dataclass(frozen=True, slots=True)
class Field:
    """Parameter of a request, or field of a body."""

    name: str
    kind: str
    about: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """JSON body: the name of its type if it has one, its fields, and an example."""

    type: str | None
    fields: tuple[Field, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Code that a route may answer, with its status and its meaning."""

    status: int
    code: str
    title: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Operation as it is shown; `answers` are those that are no refusals, by status."""

    id: str
    method: str
    path: str
    summary: str
    text: str
    scope: str | None
    deprecated: bool
    command: str
    parameters: tuple[Field, ...]
    request: Body | None
    answers: tuple[tuple[str, str, Body | None], ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """Operations with one tag of the document."""

    name: str
    operations: tuple[Operation, ...]


def resources(document: Json) -> list[Resource]:
    """List the resources of a document, in its order."""
    by_tag: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            shown = _operation(document, path, method.upper(), about)
            by_tag.setdefault(about["tags"][0], []).append(shown)
    return [Resource(name, tuple(found)) for name, found in by_tag.items()]


def types(document: Json) -> list[tuple[str, str, tuple[Field, ...]]]:
    """List the types of the document that have fields: name, description, fields."""
    schemas = document["components"]["schemas"]
    return [
        (name, schema.get("description", ""), _fields(schema))
        for name, schema in sorted(schemas.items())
        if "properties" in schema
    ]


def _operation(document: Json, path: str, method: str, about: Json) -> Operation:
    needs = [scopes for need in about.get("security", ()) for scopes in need.values()]
    answers = about["responses"].items()
    return Operation(
        id=about["operationId"],
        method=method,
        path=path,
        summary=about["summary"],
        text=about.get("description", ""),
        scope=needs[0][0] if needs else None,
        deprecated=about.get("deprecated", False),
        command=_command(document, path, method, about),
        parameters=tuple(_parameter(one) for one in about.get("parameters", ())),
        request=_body(document, about.get("requestBody", {})),
        answers=tuple(
            (status, _said(answer["description"]), _body(document, answer))
            for status, answer in answers
            if _PROBLEM not in answer.get("content", {})
        ),
        refusals=tuple(
            Refusal(int(status), code, title)
            for status, answer in answers
            if _PROBLEM in answer.get("content", {})
            for code, title in _CODE.findall(answer["description"])
        ),
    )


def _said(description: str) -> str:
    return "" if description == "Successful Response" else description


def _parameter(one: Json) -> Field:
    # No text of a parameter means null; it is left out instead.
    choices = [each for each in one["schema"].get("anyOf", ()) if each.get("type") != "null"]
    schema = {**one["schema"], "anyOf": choices} if choices else one["schema"]
    about = one.get("description") or schema.get("description", "")
    place = f"{one['in']}, " if one["in"] != "query" else ""
    return Field(one["name"], place + kind(schema), about, required=one.get("required", False))


def _body(document: Json, part: Json) -> Body | None:
    content = part.get("content", {})
    if _JSON not in content and _LINES not in content:
        return None
    schema = content.get(_JSON, content.get(_LINES))["schema"]
    # Of several forms of an answer, the first is the whole one.
    schema = schema.get("anyOf", [schema])[0]
    found = _resolved(document, schema)
    example = json.dumps(found["examples"][0], indent=2, ensure_ascii=False)
    return Body(_name(schema), _fields(found), example)


def _fields(schema: Json) -> tuple[Field, ...]:
    required = schema.get("required", ())
    return tuple(
        Field(name, kind(one), _about(one), required=name in required)
        for name, one in schema["properties"].items()
    )


def _about(schema: Json) -> str:
    about: str = schema.get("description", "")
    return f"{about}, in {schema['x-unit']}" if "x-unit" in schema else about


def kind(schema: Json) -> str:
    """Return the type of a value as text: `integer, 1 to 200`, `string or null`."""
    if "discriminator" in schema:
        return f"object, by its `{schema['discriminator']['propertyName']}`"
    if "anyOf" in schema or "oneOf" in schema:
        choices = schema.get("anyOf") or schema["oneOf"]
        return " or ".join(dict.fromkeys(kind(each) for each in choices))
    if "$ref" in schema:
        return _name(schema) or ""
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    return ", ".join(_parts(schema))


def _parts(schema: Json) -> Iterator[str]:
    whole: str = schema.get("type", "any")
    if whole == "array":
        yield f"list of {kind(schema.get('items', {}))}"
    elif whole == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        yield f"object of {kind(schema['additionalProperties'])}"
    else:
        yield _FORMATS.get(schema.get("format", ""), whole)
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        yield f"{_number(least)} to {_number(most)}"
    if "pattern" in schema and len(schema["pattern"]) <= _LONGEST_PATTERN:
        yield f"`{schema['pattern']}`"
    if "maxLength" in schema:
        yield f"at most {schema['maxLength']} characters"
    if "maxItems" in schema:
        yield f"at most {schema['maxItems']}"
    if schema.get("default") is not None:
        yield f"default {json.dumps(schema['default'])}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else str(value)


def _resolved(document: Json, schema: Json) -> Json:
    name = _name(schema)
    found: Json = document["components"]["schemas"][name] if name else schema
    return found


def _name(schema: Json) -> str | None:
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else None


def _command(document: Json, path: str, method: str, about: Json) -> str:
    """Build the command with curl that sends the example of the document."""
    examples = {
        one["name"]: one["schema"]["examples"][0]
        for one in about.get("parameters", ())
        if one["in"] == "path"
    }
    words = ["curl"]
    if method != "GET":
        words += ["-X", method] if method != "POST" or "requestBody" not in about else []
    if "security" in about:
        words += ["-H", '"Authorization: Bearer $KEY"']
    content = about.get("requestBody", {}).get("content", {})
    if _JSON in content:
        example = _resolved(document, content[_JSON]["schema"])["examples"][0]
        words += ["-d", f"'{json.dumps(example)}'"]
    elif _TAR in content:
        words = ["tar -c photos |", *words, "-X POST", "-H", f'"Content-Type: {_TAR}"', "-T -"]
    elif content:
        words += ["-H", '"Content-Type: image/jpeg"', "--data-binary", "@photo.jpg"]
    if any(media.startswith("image/") for media in _contents(about)):
        words += ["-o", "photo-again.jpg"]
    filled = re.sub(r"{(\w+)}", lambda name: examples[name[1]], path)
    return " ".join([*words, f'"{SERVER}{filled}"'])


def _contents(about: Json) -> Iterator[str]:
    for answer in about["responses"].values():
        yield from answer.get("content", {})
