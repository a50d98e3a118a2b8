"""Complete the bill of materials of an image: `python -m requirements.bill ENVIRONMENT BILL`.

cyclonedx-py writes the bill of the environment: packages and what requires what. This program adds
what package metadata does not tell: parts within wheels, copies of packages within packages,
Python, the system's packages, and the known vulnerabilities with the reason why each is out of
reach. It raises UnknownPart for a licence, a library or a version that the tables of this folder
do not know.
"""

import json
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from requirements.installed import (
    UnknownPart,
    installed,
    licence_of,
    normal,
    own_bills,
    parts_of,
    site_packages,
    table,
)

Component = dict[str, Any]
_DPKG_STATUS = Path("/var/lib/dpkg/status")
_KEPT = ("type", "name", "version", "purl", "licenses")


def complete(bill: dict[str, Any], root: Path, dpkg: Path = _DPKG_STATUS) -> dict[str, Any]:
    """Return the bill with everything that is in the environment."""
    packages = installed(root)
    components = {normal(one["name"]): one for one in bill["components"]}
    if missing := components.keys() ^ packages.keys():
        raise UnknownPart(f"the bill and the environment differ in {sorted(missing)}")
    for name, one in packages.items():
        components[name]["licenses"] = [{"expression": licence_of(one)}]
        if nested := [*_parts(one), *_own_parts(one)]:
            components[name]["components"] = nested
    bill["components"] += [*_copies(root), _python(), *_system(dpkg)]
    bill["metadata"]["component"] = {"type": "container", "bom-ref": "image", "name": "pixlake"}
    bill["vulnerabilities"] = [*_vulnerabilities(components)]
    return bill


def _parts(one: Distribution) -> Iterator[Component]:
    for part in parts_of(one):
        yield {
            "type": "library",
            "bom-ref": f"{part.wheel}#{part.name}",
            "name": part.name,
            "version": part.version,
            "licenses": [{"expression": part.licence}],
            **({"externalReferences": [_source(part.source)]} if "://" in part.source else {}),
        }


def _source(address: str) -> dict[str, str]:
    return {"type": "source-distribution", "url": address}


def _own_parts(one: Distribution) -> Iterator[Component]:
    """Convert the components of the wheel's own bills; names of parts count once."""
    known = {part.name.lower() for part in parts_of(one)} | {normal(one.name)}
    for number, found in enumerate(own_bills(one)):
        if normal(found["name"]) in known or found["name"].lower() in known:
            continue
        known.add(f"{found['name'].lower()} {found.get('version')}")
        kept = {key: found[key] for key in _KEPT if found.get(key)}
        yield {**kept, "bom-ref": f"{normal(one.name)}#{number}#{found['name']}"}


def _copies(root: Path) -> Iterator[Component]:
    """List copies of packages within packages: Ray brings its own aiohttp."""
    packages = site_packages(root)
    for folder in sorted({path.parent for path in packages.glob("*/**/*.dist-info")}):
        for one in distributions(path=[str(folder)]):
            place = folder.relative_to(packages).as_posix()
            yield {
                "type": "library",
                "bom-ref": f"{place}/{normal(one.name)}",
                "name": normal(one.name),
                "version": one.version,
                "purl": f"pkg:pypi/{normal(one.name)}@{one.version}",
                "description": f"a copy in {place}",
            }


def _python() -> Component:
    version = platform.python_version()
    return {
        "type": "platform",
        "bom-ref": "python",
        "name": "python",
        "version": version,
        "purl": f"pkg:generic/python@{version}",
        "licenses": [{"expression": "PSF-2.0"}],
    }


def _system(status: Path) -> Iterator[Component]:
    """List the system's packages, from dpkg's own record; none where there is no such record."""
    text = status.read_text(encoding="utf-8") if status.exists() else ""
    for paragraph in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in paragraph.splitlines()
            if ": " in line and line[0] != " "
        )
        if fields.get("Status") == "install ok installed":
            name, version = fields["Package"], fields["Version"]
            yield {
                "type": "library",
                "bom-ref": f"deb/{name}:{fields['Architecture']}",
                "name": name,
                "version": version,
                "purl": f"pkg:deb/debian/{name}@{version}?arch={fields['Architecture']}",
            }


def _vulnerabilities(components: dict[str, Component]) -> Iterator[dict[str, Any]]:
    """Convert advisories.toml for this environment; raises UnknownPart for an outdated entry."""
    for entry in table("advisories").get("part", ()):
        component = components.get(entry["wheel"])
        if component is None:
            continue
        nested = {one["name"]: one for one in component.get("components", ())}
        part = nested.get(entry["part"], component)
        if (part["name"], part["version"]) != (entry["part"], entry["version"]):
            raise UnknownPart(
                f"advisories.toml: {entry['id']} is about {entry['part']} {entry['version']}"
            )
        yield {
            "id": entry["id"],
            "analysis": {
                "state": entry["state"],
                **({"justification": entry["justification"]} if "justification" in entry else {}),
                "detail": entry["reason"],
            },
            "affects": [{"ref": part["bom-ref"]}],
        }


def main() -> None:
    """Complete the file in place, and check it against the schema."""
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415  # only where images are built
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    root, file = map(Path, sys.argv[1:])
    text = json.dumps(complete(json.loads(file.read_text(encoding="utf-8")), root), indent=1)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"the bill of materials is not valid: {fault}")
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
