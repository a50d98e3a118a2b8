"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from pixlake.cli.failures import JSON, UsageFault

# Metadata names that HTTP API and Kafka consumer accept. The command checks names before it sends,
# because the server would refuse every image with an invalid name.
_METADATA_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[JSON] = value
    return value


Json = Annotated[
    bool,
    typer.Option("--json", callback=_remember, help="Print one JSON document, on one line."),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="PIXLAKE_URL",
        help="Root URL of the API; default: the URL in the home, else http://127.0.0.1, port "
        "PIXLAKE_HTTP_PORT or 8000.",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        envvar="PIXLAKE_CA_FILE",
        metavar="FILE",
        help="Trusted authorities (PEM), in place of the public authorities.",
    ),
]
ClientCert = Annotated[
    Path | None,
    typer.Option(
        "--client-cert",
        envvar="PIXLAKE_CLIENT_CERT",
        metavar="FILE",
        help="Certificate and key (PEM) of this client.",
    ),
]
Proxy = Annotated[
    str | None,
    typer.Option(
        "--proxy",
        envvar="PIXLAKE_PROXY",
        metavar="URL",
        help="Proxy URL; default: HTTPS_PROXY or HTTP_PROXY.",
    ),
]
AllowHttp = Annotated[
    bool,
    typer.Option(
        "--allow-http",
        envvar="PIXLAKE_ALLOW_HTTP",
        help="Allow to send the key to another machine over plain HTTP.",
    ),
]
Deadline = Annotated[
    float,
    typer.Option("--deadline", min=1, help="Seconds to wait for a server that does not answer."),
]
JsonLines = Annotated[
    bool,
    typer.Option("--jsonl", help="Print one line of JSON for each result, then the counts."),
]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Also search folders behind links.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help="File with the API key; default: PIXLAKE_API_KEY, else api-key in PIXLAKE_HOME.",
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="PIXLAKE_HOME",
        help="Folder of all data and state; default: .pixlake here or in a folder above.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only print what would be done; write nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; required without a terminal.")]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Preset, for instance web; default: the server's default."),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", "-m", metavar="NAME=VALUE", help="For every image; repeatable."),
]
Paths = Annotated[
    list[Path],
    typer.Argument(exists=True, metavar="PATH", help="Files, or folders to look for images in."),
]
OptionalPaths = Annotated[
    list[Path] | None,
    typer.Argument(exists=True, metavar="PATH", help="Files, or folders to look for images in."),
]


def form_of(*, json: bool, jsonl: bool) -> Literal["text", "json", "jsonl"]:
    """Output form of a command. Raises UsageFault."""
    if json and jsonl:
        raise UsageFault("--json and --jsonl both use standard output; give only one of them")
    return "json" if json else "jsonl" if jsonl else "text"


def pairs(what: str, given: list[str] | None) -> dict[str, str]:
    """Parse `NAME=VALUE` words to a mapping. Raises UsageFault."""
    found: dict[str, str] = {}
    for word in given or []:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageFault(f"{what} {word!r} is not NAME=VALUE")
        if name in found:
            raise UsageFault(f"{what} {name!r} is given twice")
        found[name] = value
    return found


def metadata_of(given: list[str] | None) -> dict[str, str]:
    """Parse --metadata; names become lower case, because header names are case-insensitive."""
    found = pairs("--metadata", [_lower_name(word) for word in given or []])
    for name in found:
        if not _METADATA_NAME.fullmatch(name):
            raise UsageFault(f"--metadata name {name!r}: use letters, digits, '.', '_' and '-'")
        if not found[name].isprintable():
            raise UsageFault(f"--metadata {name} has unprintable characters")
    return found


def _lower_name(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name.lower()}{equals}{value}"
