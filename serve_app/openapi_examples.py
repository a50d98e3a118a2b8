"""Examples in the OpenAPI document, with their null values.

FastAPI drops every null from its document, also those in examples. So an example is JSON text until
the document is complete.
"""

import json
from typing import Any, Final

from pydantic import JsonValue

_TEXT: Final = "x-example"


def exampled(example: JsonValue) -> dict[str, JsonValue]:
    """Return what a model adds to its JSON schema, so that the document has the example."""
    return {_TEXT: json.dumps(example)}


def show_examples(document: Any) -> None:
    """Replace the text of each example in a document by the example."""
    if isinstance(document, dict):
        if _TEXT in document:
            document["examples"] = [json.loads(document.pop(_TEXT))]
        for value in document.values():
            show_examples(value)
    elif isinstance(document, list):
        for value in document:
            show_examples(value)
