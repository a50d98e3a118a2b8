"""Parser of operations on the command line: `resize:width=320,height=200`."""

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixlake.cli.failures import UsageFault, near

if TYPE_CHECKING:
    from processors.operations import Operation

# Comma between parameters: a `name=` follows. A comma within a list or a text has no such follower.
_BETWEEN = re.compile(r",(?=[a-z_]+=)")


def step_of(word: str) -> "Operation":
    """Parse the value of `--op`; raises UsageFault, which lists operations or parameters."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # slow; not for --help

    from processors.operations import OPERATIONS, AnyOperation, Operation  # noqa: PLC0415

    name, _, rest = word.partition(":")
    kind = OPERATIONS.get(name)
    if kind is None:
        hint = near(name, OPERATIONS)
        raise UsageFault(
            f"--op {name!r} is not an operation{hint}; known: {', '.join(sorted(OPERATIONS))}"
        )
    properties = kind.model_json_schema()["properties"]
    parameters: dict[str, object] = {"op": name}
    for part in _BETWEEN.split(rest) if rest else []:
        field, equals, text = part.partition("=")
        if not equals:
            raise UsageFault(f"--op {name}: {part!r} is not PARAMETER=VALUE")
        if field not in properties or field == "op":
            known = ", ".join(each for each in properties if each != "op") or "none"
            hint = near(field, properties)
            raise UsageFault(f"--op {name} has no parameter {field!r}{hint}; known: {known}")
        parameters[field] = _value(field, text, properties[field])
    adapter: TypeAdapter[Operation] = TypeAdapter(AnyOperation)
    try:
        return adapter.validate_python(parameters)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}".removeprefix(": ")
            for one in error.errors(include_input=False)
        )
        raise UsageFault(f"--op {name}: {faults}") from None


def _value(field: str, text: str, schema: dict[str, Any]) -> object:
    if field == "image" and text.startswith("@"):
        try:
            return base64.b64encode(Path(text[1:]).read_bytes()).decode()
        except OSError as error:
            raise UsageFault(f"{text[1:]} can't be read: {error}") from None
    if any(each.get("type") == "string" for each in schema.get("anyOf", [schema])):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # the operation's own check reports what is wrong
