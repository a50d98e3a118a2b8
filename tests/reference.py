"""Reference pages that are rendered from the code: `python -m tests.reference` writes them."""

from pathlib import Path

from pydantic import AliasChoices
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from ingest.metrics import METRICS as OF_INGEST
from ingest.settings import IngestSettings
from lake.metrics import METRICS as OF_LAKE
from lake.metrics import Metric
from lake.settings import LakeSettings
from pixlake_server.embedded.settings import EmbeddedSettings
from processors.metrics import METRICS as OF_PROCESSORS
from processors.settings import ProcessorSettings
from serve_app.metrics import METRICS as OF_SERVE_APP
from serve_app.settings import ServeSettings
from tests.api_pages import api_pages
from tests.columns_page import client_fields, columns_page, rejections_page, usage_page
from tests.errors_page import errors_page
from tests.log_lines import logs_section
from tests.operations_page import operations_page

DOCS = Path(__file__).parent.parent / "docs"
SETTINGS: dict[str, type[BaseSettings]] = {
    "One machine (`pixlake up`)": EmbeddedSettings,
    "HTTP API": ServeSettings,
    "Kafka consumer": IngestSettings,
    "Processing": ProcessorSettings,
    "Lake": LakeSettings,
}

METRICS: dict[str, tuple[Metric, ...]] = {
    "HTTP API": OF_SERVE_APP,
    "Kafka consumer": OF_INGEST,
    "Processing": OF_PROCESSORS,
    "Lake": OF_LAKE,
}


def exported_name(metric: Metric) -> str:
    """Return the name that Ray gives a metric in Prometheus."""
    return f"ray_{metric.name}" + ("_total" if metric.kind == "counter" else "")


def metrics_page() -> str:
    """Build the page with every metric of every package."""
    lines = [
        "# Metrics and logs",
        "",
        "Every node shows these metrics in Prometheus's format, together with Ray's own: on AWS on",
        "port 8080, with `pixlake up` on a port of 127.0.0.1 that it chooses. Each replica exports",
        "its numbers every 5 seconds; sum the series of a metric. A counter appears with its first",
        "event. No label holds a tenant, an image or a text of a client. A metric has at most 150",
        "combinations of labels in a replica; further ones are counted as `other`.",
        "",
        "On AWS `deploy/ecs/image/node/metrics_export.py` chooses those that CloudWatch gets.",
        "Rendered from the code by `python -m tests.reference`.",
    ]
    for title, metrics in METRICS.items():
        lines += ["", f"## {title}", "", "| metric | kind | unit | labels | what it is |"]
        lines.append("|---|---|---|---|---|")
        for each in metrics:
            labels = ", ".join(f"`{label}`" for label in each.labels)
            lines.append(
                f"| `{exported_name(each)}` | {each.kind} | {each.unit} | {labels} | {each.about} |"
            )
    return "\n".join([*lines, *logs_section()]) + "\n"


def variable(settings: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a setting."""
    alias = settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def settings_page() -> str:
    """Build the page with every setting of every package."""
    lines = [
        "# Settings",
        "",
        "All settings are environment variables. They are read once at start; an empty variable",
        "counts as not set. A variable that several parts use is listed with each of them.",
        "Rendered from the code by `python -m tests.reference`.",
    ]
    for title, settings in SETTINGS.items():
        lines += ["", f"## {title}", "", "| variable | default | what it is |", "|---|---|---|"]
        for name, field in settings.model_fields.items():
            default = field.default
            shown = "" if default in (None, PydanticUndefined) else f"`{default}`"
            lines.append(f"| `{variable(settings, name)}` | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"


def variables_list() -> str:
    """List the variables of all settings, one a line, for a command without server packages."""
    names = {variable(kind, name) for kind in SETTINGS.values() for name in kind.model_fields}
    return "".join(f"{name}\n" for name in sorted(names))


CLIENT = DOCS.parent / "client" / "pixlake"
FILES = {
    CLIENT / "cli" / "data" / "variables.txt": variables_list,
    CLIENT / "client" / "image_columns.py": client_fields,
}
PAGES = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "operations.md": operations_page,
    "metrics.md": metrics_page,
    "columns.md": columns_page,
    "rejections.md": rejections_page,
    "usage.md": usage_page,
    **api_pages(),
}

if __name__ == "__main__":
    for name, render in PAGES.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(render())
    for path, made in FILES.items():
        path.write_text(made())
