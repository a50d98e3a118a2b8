"""Hook of mkdocs: the site has the pages of all folders, at the paths that they have in git.

Links between pages are relative to their place in the repository, so they work there and here.
"""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
# Folders whose Markdown is a page; a README elsewhere describes the files beside it.
_PAGES = {"", "benchmarks", "client", "deploy/ecs", "examples"}
_FRAGMENTS = "changelog.d/README.md"  # the fragments beside it are no pages
_SHOWN = (".md", ".png")
_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:|#)([^)#\s]+)(?:#[^)\s]*)?\)")


@cache
def _shown() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return sorted(name for name in listed if name.endswith(_SHOWN) and _is_page(name))


def _is_page(name: str) -> bool:
    return name.startswith("docs/") or name.rpartition("/")[0] in _PAGES or name == _FRAGMENTS


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace each folder in the navigation by its pages, the index first."""
    config.nav = [_expanded(entry) for entry in config.nav or []]
    return config


def _expanded(entry: Any) -> Any:
    if isinstance(entry, list):
        return [_expanded(each) for each in entry]
    if isinstance(entry, dict):
        return {title: _expanded(value) for title, value in entry.items()}
    if entry.endswith("/"):
        pages = [name for name in _shown() if Path(name).parent == Path(entry)]
        return sorted(pages, key=lambda name: (not name.endswith("README.md"), name))
    return entry


def on_files(_files: Files, config: MkDocsConfig) -> Files:
    """Return the repository's pages in place of those of `docs_dir`."""
    theirs = [file for file in _files if not file.src_uri.endswith((*_SHOWN, ".py"))]
    ours = [File(name, str(ROOT), config.site_dir, config.use_directory_urls) for name in _shown()]
    return Files([*theirs, *ours])


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Show a link to a file that is no page as the file's path in the repository."""

    def shown(link: re.Match[str]) -> str:
        target = (ROOT / page.file.src_uri).parent / link[2]
        if not target.is_file():
            return link[0]
        name = target.resolve().relative_to(ROOT).as_posix()
        return link[0] if name in _shown() else f"{link[1]} (`{name}`)"

    return _LINK.sub(shown, markdown)
