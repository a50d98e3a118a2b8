"""Emulator with a stand-in for each resource type that the emulator does not support.

Runs in the emulator's own environment: `python shim.py`, listening on BIND_HOST and GATEWAY_PORT.
A stand-in stores nothing and returns values for GetAtt. gaps.json lists the stand-ins with reasons.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack.app import main
from ministack.services.cloudformation import provisioners

_FILE = json.loads((Path(__file__).parent / "gaps.json").read_text())
TYPES: dict[str, dict[str, Any]] = _FILE["types"]
ATTRIBUTES: dict[str, dict[str, Any]] = _FILE["attributes"]
_HANDLERS: dict[str, dict[str, Any]] = provisioners._RESOURCE_HANDLERS


Create = Callable[[str, dict[str, Any], str], tuple[str, dict[str, Any]]]


def _values(gap: dict[str, Any], logical: str, stack: str) -> dict[str, Any]:
    digits = hashlib.sha256(f"{stack}{logical}".encode()).hexdigest()[:17]
    return {
        name: value.format(id=logical.lower(), hex=digits) if isinstance(value, str) else value
        for name, value in gap.get("attributes", {}).items()
    }


def _stand_in(gap: dict[str, Any]) -> Create:
    def create(logical: str, _: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        found = _values(gap, logical, stack)
        physical = next((one for one in found.values() if isinstance(one, str)), None)
        return physical or f"{stack}-{logical}", found

    return create


def _with_more(real: Create, gap: dict[str, Any]) -> Create:
    def create(logical: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        physical, found = real(logical, props, stack)
        return physical, {**_values(gap, logical, stack), **found}

    return create


def _without_formula(real: Create) -> Create:
    """Wrap the creation of alarms; without metric math, the emulator gets the first metric only."""

    def create(logical: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        kept = {name: value for name, value in props.items() if name != "Metrics"}
        if "Metrics" in props:
            first = props["Metrics"][0]["MetricStat"]
            kept |= first["Metric"] | {"Period": first["Period"], "Statistic": "Maximum"}
        return real(logical, kept, stack)

    return create


def _nothing(*_: object) -> None:
    """Delete a stand-in, which stores nothing."""


def register() -> None:
    """Register the stand-ins; raises ValueError for a type that the emulator supports itself."""
    for kind, gap in TYPES.items():
        if kind in _HANDLERS:
            raise ValueError(f"the emulator supports {kind} now: remove {kind} from gaps.json")
        _HANDLERS[kind] = {
            "create": _stand_in(gap),
            "update": lambda physical, _old, _new, _stack: (physical, {}),
            "delete": _nothing,
        }
    alarm = _HANDLERS["AWS::CloudWatch::Alarm"]
    alarm["create"] = _without_formula(alarm["create"])
    for kind, gap in ATTRIBUTES.items():
        handler = _HANDLERS[kind]
        _HANDLERS[kind] = {**handler, "create": _with_more(handler["create"], gap)}


if __name__ == "__main__":
    register()
    main()
