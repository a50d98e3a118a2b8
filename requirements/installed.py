"""Distributions of an environment: licences, licence files, and parts that lie in their wheels."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_ELF = b"\x7fELF"
# Extension modules belong to their package; all other machine code is a part of its own.
_EXTENSION = re.compile(r"\.(cpython-[^.]+|abi3)\.so$|/awscrt\.so$")
_LICENCE_FILE = re.compile(
    r"(^|/)(licen[cs]e|copying|notice|authors)[^/]*$|/licenses/", re.IGNORECASE
)
_NOT_HERE = {"optional", "excluded"}
_TOKENS = re.compile(r"[()/]|\b(?:AND|OR)\b|\bWITH\s+\S+")


class UnknownPart(Exception):
    """A licence, a file or a version that the tables of this folder do not know."""


@dataclass(frozen=True)
class Part:
    """Part of a wheel, as bundled.toml names it."""

    wheel: str
    name: str
    version: str
    licence: str
    files: tuple[str, ...] = ()
    source: str = ""


@cache
def table(name: str) -> dict[str, Any]:
    """Read a table of this folder."""
    return tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))


def normal(name: str) -> str:
    """Normalize the name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def site_packages(root: Path) -> Path:
    """Find the folder of packages of a virtual environment."""
    (folder,) = root.glob("lib/python3.*/site-packages")
    return folder


def installed(root: Path) -> dict[str, Distribution]:
    """List the distributions of a virtual environment by name, in order."""
    found = distributions(path=[str(site_packages(root))])
    return dict(sorted((normal(one.name), one) for one in found))


def licence_of(one: Distribution) -> str:
    """Return the licence as an SPDX expression; raises UnknownPart."""
    name = normal(one.name)
    licence = table("licences")["packages"].get(name) or one.metadata["License-Expression"]
    if not licence:
        # The older field holds an expression in some packages, a text or a nickname in others.
        licence = one.metadata["License"] or ""
    check_licence(licence, name)
    return str(licence)


def check_licence(expression: str, of: str) -> None:
    """Raise UnknownPart unless licences.toml has every licence of the expression."""
    known = {*table("licences")["allowed"], *table("licences")["owing"]}
    unknown = [word for word in licences_in(expression) if word not in known]
    if unknown or not expression.strip():
        raise UnknownPart(f"{of}: licence {expression[:80]!r} is not in licences.toml: {unknown}")


def licences_in(expression: str) -> list[str]:
    """List the licences of an SPDX expression, without exceptions."""
    return _TOKENS.sub(" ", expression).split()


def owes_source(expression: str) -> bool:
    """Tell whether who passes the part on owes its source, by the mildest of its alternatives."""
    owing = {*table("licences")["owing"]}
    return all(owing & {*licences_in(choice)} for choice in re.split(r"\bOR\b", expression))


def parts_of(one: Distribution) -> list[Part]:
    """List the parts of a wheel by bundled.toml; raises UnknownPart.

    Every shared library and program of the wheel must belong to exactly one part.
    """
    name = normal(one.name)
    entry = table("bundled").get(name, {"version": one.version, "parts": []})
    if entry["version"] != one.version:
        raise UnknownPart(f"bundled.toml knows {name} {entry['version']}, here is {one.version}")
    parts = [
        Part(name, **{**each, "files": tuple(each.get("files", ()))}) for each in entry["parts"]
    ]
    for part in parts:
        check_licence(part.licence, f"{name}: {part.name}")
    for file in machine_code(one):
        owners = [part for part in parts if any(fnmatch(file.name, mask) for mask in part.files)]
        if len(owners) != 1:
            raise UnknownPart(
                f"{file} of {name} is in {len(owners)} parts of bundled.toml, not in 1"
            )
    return parts


def machine_code(one: Distribution) -> Iterator[Path]:
    """List the shared libraries and programs of a distribution, extension modules left out."""
    for file in one.files or ():
        path = Path(str(file.locate()))
        if path.is_file() and not _EXTENSION.search(str(path)):
            with path.open("rb") as content:
                if content.read(4) == _ELF:
                    yield path


def own_bills(one: Distribution) -> Iterator[dict[str, Any]]:
    """List the components that the wheel's own bills of materials name (PEP 770)."""
    for file in one.files or ():
        if "/sboms/" in str(file) and str(file).endswith(".json"):
            bill = json.loads(Path(str(file.locate())).read_text(encoding="utf-8"))
            # Optional components are those that another build of the wheel may have.
            yield from (c for c in bill.get("components", ()) if c.get("scope") not in _NOT_HERE)


def licence_texts(one: Distribution) -> Iterator[tuple[str, str]]:
    """List the licence files of a distribution: name and text."""
    for file in one.files or ():
        path = Path(str(file.locate()))
        if (
            _LICENCE_FILE.search(str(file))
            and path.suffix not in {".py", ".pyc", ".json"}
            and path.is_file()
        ):
            yield str(file), path.read_text(encoding="utf-8", errors="replace")
