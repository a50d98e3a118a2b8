"""Reader of the OpenAPI document: its operations, and requests that the document describes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
from fastapi import FastAPI

JSON = "application/json"


@dataclass(frozen=True)
class Operation:
    """Operation of the document; `body` is the first example of its JSON body."""

    method: str
    path: str
    about: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def scopes(self) -> list[str]:
        return [each for one in self.about.get("security", ()) for each in one["HTTPBearer"]]

    @property
    def names(self) -> set[str]:
        """Return the names of all parameters."""
        return {one["name"] for one in self.about.get("parameters", ())}

    def parameters(self, place: str) -> Iterator[Mapping[str, Any]]:
        for one in self.about.get("parameters", ()):
            if one["in"] == place:
                yield one

    def url(self, values: Mapping[str, str]) -> str:
        """Return the path with these values, and with the examples of the document for others."""
        examples = {
            one["name"]: one["schema"]["examples"][0]
            for one in self.parameters("path")
            if one["name"] not in values
        }
        return re.sub(r"{(\w+)}", lambda found: {**examples, **values}[found[1]], self.path)


class Document:
    """OpenAPI document of an app."""

    def __init__(self, app: FastAPI) -> None:
        self.text: Mapping[str, Any] = app.openapi()

    @property
    def operations(self) -> list[Operation]:
        return [
            Operation(method.upper(), path, about)
            for path, methods in self.text["paths"].items()
            for method, about in methods.items()
        ]

    def operation(self, name: str) -> Operation:
        (found,) = (each for each in self.operations if each.about["operationId"] == name)
        return found

    def definition(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the schema that a reference names, or the schema itself."""
        named = schema.get("$ref", "").rpartition("/")[2]
        found: Mapping[str, Any] = self.text["components"]["schemas"][named] if named else schema
        return found

    def faults(self, schema: Mapping[str, Any], value: object) -> list[str]:
        """List what is wrong with a value by a schema of the document."""
        whole = {**schema, "components": self.text["components"]}
        checker = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return [error.message for error in checker.iter_errors(value)]

    def example(self, operation: Operation) -> object:
        """Return the example of the JSON body of an operation; None for no such body."""
        content = operation.about.get("requestBody", {}).get("content", {})
        if JSON not in content:
            return None
        found: object = self.definition(content[JSON]["schema"])["examples"][0]
        return found
