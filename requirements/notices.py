"""Write the notices of an image: `python -m requirements.notices ENVIRONMENT FOLDER`.

THIRD_PARTY.txt has the licence texts of all packages, and the licences of the parts in their
wheels; NOTICE the notices that Apache-2.0 wants passed on; SOURCES where to find the source of
every part whose licence owes it. Raises UnknownPart for a licence that licences.toml does not know.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

from requirements.installed import (
    HERE,
    UnknownPart,
    installed,
    licence_of,
    licence_texts,
    licences_in,
    owes_source,
    parts_of,
)

_COMMON = Path("/usr/share/common-licenses")
# Licences whose texts must accompany a part, by the file of Debian's base system that has the text.
_TEXTS = {
    "GPL-2.0-only": "GPL-2",
    "GPL-2.0-or-later": "GPL-2",
    "GPL-3.0-or-later": "GPL-3",
    "LGPL-2.1-or-later": "LGPL-2.1",
    "LGPL-3.0-only": "LGPL-3",
    "LGPL-3.0-or-later": "LGPL-3",
    "MPL-2.0": "MPL-2.0",
    "Apache-2.0": "Apache-2.0",
}
_RULE = "=" * 80


def third_party(packages: dict[str, Distribution], common: Path = _COMMON) -> str:
    """Compose THIRD_PARTY.txt: a list of licences, then the texts."""
    table, texts, needed = [], [], set()
    for name, one in packages.items():
        licence = licence_of(one)
        table.append(f"{name} {one.version}: {licence}")
        needed |= {*licences_in(licence)}
        for part in parts_of(one):
            table.append(f"    {part.name} {part.version}: {part.licence}")
            needed |= {*licences_in(part.licence)}
        files = [*licence_texts(one)] or [("-", f"The wheel has no text of {licence}.")]
        for file, text in files:
            texts.append(f"{_RULE}\n{name} {one.version}: {file}\n{_RULE}\n{text.rstrip()}\n")
    texts += [*_common_texts(needed, common)]
    return "Packages, and the parts in their wheels\n\n{}\n\n{}".format(
        "\n".join(table), "\n".join(texts)
    )


def _common_texts(licences: set[str], common: Path) -> Iterator[str]:
    """Give the texts of common licences once: some wheels name a licence and have no text of it."""
    for name in sorted({_TEXTS[licence] for licence in licences if licence in _TEXTS}):
        file = common / name
        if not file.is_file():
            raise UnknownPart(f"the text of {name} is not in {common}")
        yield f"{_RULE}\n{name}\n{_RULE}\n{file.read_text(encoding='utf-8').rstrip()}\n"


def notice(packages: dict[str, Distribution]) -> str:
    """Compose NOTICE: Pixlake's own, then those of packages."""
    found = [(HERE.parent / "NOTICE").read_text(encoding="utf-8").rstrip()]
    for name, one in packages.items():
        for file, text in licence_texts(one):
            if Path(file).name.upper().startswith("NOTICE"):
                found.append(f"{name} {one.version}\n\n{text.rstrip()}")
    return f"\n\n{'-' * 80}\n".join(found) + "\n"


def sources(packages: dict[str, Distribution]) -> str:
    """Compose SOURCES: parts under licences that owe source, with version and address."""
    lines = ["Parts whose licences owe their source to whom they are passed on", ""]
    for name, one in packages.items():
        if owes_source(licence := licence_of(one)):
            lines.append(f"{name} {one.version} ({licence}): {_home(one)}")
        for part in parts_of(one):
            if owes_source(part.licence):
                if not part.source:
                    raise UnknownPart(f"bundled.toml has no source of {part.name}")
                lines.append(
                    f"{part.name} {part.version} ({part.licence}), in {name}: {part.source}"
                )
    return "\n".join(lines) + "\n"


def _home(one: Distribution) -> str:
    urls = dict(line.split(", ", 1) for line in one.metadata.get_all("Project-URL") or ())
    wanted = ("source", "code", "repository", "homepage", "home")
    by_name = {name.lower(): url for name, url in urls.items()}
    found = next((by_name[name] for name in wanted if name in by_name), None)
    return found or one.metadata["Home-page"] or "its source distribution, of the same version"


def main() -> None:
    """Write the three files."""
    root, folder = map(Path, sys.argv[1:])
    packages = installed(root)
    for name, text in (
        ("THIRD_PARTY.txt", third_party(packages)),
        ("NOTICE", notice(packages)),
        ("SOURCES", sources(packages)),
    ):
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
