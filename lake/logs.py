"""Structured logs: a constant message with fields, as JSON or, at a terminal, as readable lines.

Each module makes one logger: `log = logger(__name__)`. Messages and names of fields are stable,
because alarms and queries search for them; docs/metrics.md lists them. The child processes of the
sandbox log nothing and do not import this module, which would make their start slower.
"""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from types import MappingProxyType
from typing import Final, LiteralString, cast

import structlog
from structlog.types import EventDict

PACKAGES: Final = ("serve_app", "ingest", "processors", "lake", "pixlake_server", "node")
"""Packages whose messages of level INFO are logged; of other packages only warnings are."""
_NAME = "pixlake"
# Frames between a call of `Logger` and the standard library: `info`, `_told`, `_proxy_to_logger`.
_FRAMES = 4
# A single variable holds all fields. structlog has one for each field, at twice the cost a request.
_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=MappingProxyType({}))


class Logger(structlog.BoundLoggerBase):
    """Logger of a module. The message is a constant; all values are fields."""

    def info(self, message: LiteralString, **fields: object) -> None:
        """Log a change of state that is no fault."""
        self._told(logging.INFO, message, fields)

    def warning(self, message: LiteralString, **fields: object) -> None:
        """Log a fault that Pixlake handles itself, for instance by a retry."""
        self._told(logging.WARNING, message, fields)

    def error(self, message: LiteralString, **fields: object) -> None:
        """Log a fault that an operator should look at."""
        self._told(logging.ERROR, message, fields)

    def exception(self, message: LiteralString, **fields: object) -> None:
        """Log an error with the traceback of the exception that is being handled."""
        self._told(logging.ERROR, message, {"exc_info": True, **fields})

    def _told(self, level: int, message: str, fields: Mapping[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            name = logging.getLevelName(level).lower()
            self._proxy_to_logger(name, message, **fields)


def logger(name: str) -> Logger:
    """Create the logger of a module, on top of the standard library's logger of this name."""
    made = structlog.wrap_logger(
        logging.getLogger(name),
        processors=(_record_of,),
        wrapper_class=Logger,
        cache_logger_on_first_use=True,
        context_class=dict,
    )
    return cast("Logger", made)


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Add fields to all lines of the block, also to those of tasks and threads that it starts.

    At the end of the block, all fields that were bound in it are removed.
    """
    before = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(before)


def bind(**fields: object) -> None:
    """Add fields to all lines until the end of the innermost block of `bound`."""
    _bound.set({**_bound.get(), **fields})


def bindings() -> Mapping[str, object]:
    """Return the bound fields, to bind them in a task that was started earlier."""
    return _bound.get()


def unbound() -> Context:
    """Return a copy of the context without bound fields, for a task that many requests share."""
    context = copy_context()
    context.run(_bound.set, {})
    return context


def begin(level: int = logging.INFO) -> None:
    """Log to standard error: readable at a terminal, otherwise one JSON object a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(terminal=sys.stderr.isatty()))
    _install(handler, level)


def begin_in_replica() -> None:
    """Log to the file of this replica, through Serve's logger, which adds the replica's name.

    Serve writes JSON. Without this function Serve would get each line of a warning or of a
    traceback as a message of its own, of level INFO, from standard error.

    A line that can't be written, on a full disk, is dropped. The standard library would print a
    traceback for it on standard error. Serve redirects standard error into the same file, so each
    line of the traceback would be a line that can't be written, until the stack is exhausted.
    """
    logging.raiseExceptions = False
    _install(_ToServe(), logging.INFO)


class _ToServe(logging.Handler):
    """Handler that hands each record to the handlers of Serve's logger."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("ray.serve").handle(record)


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    if any(each.name == _NAME for each in root.handlers):
        return
    handler.set_name(_NAME)
    handler.addFilter(_is_wanted)
    root.addHandler(handler)
    for package in PACKAGES:
        logging.getLogger(package).setLevel(level)


def _is_wanted(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in PACKAGES


def _record_of(source: logging.Logger, _method: str, fields: EventDict) -> EventDict:
    """Convert an event to arguments of the standard library's logger; fields become attributes."""
    fields = {**_bound.get(), **fields}
    return {
        "msg": fields.pop("event"),
        "exc_info": fields.pop("exc_info", None),
        "stacklevel": _FRAMES,
        "extra": {"logger": source.name} | {name: _plain(each) for name, each in fields.items()},
    }


def _plain(value: object) -> object:
    """Convert to a value of JSON, as Serve's formatter requires."""
    match value:
        case None | str() | int() | float():
            return value
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case BaseException():
            return repr(value)
        case _:
            return str(value)


def formatter(*, terminal: bool) -> logging.Formatter:
    """Build the formatter for a terminal, or of JSON with the names that Serve gives its fields."""
    if terminal:
        # Tracebacks show no local variables, which could hold keys. Texts are escaped by `repr`.
        shown = structlog.dev.ConsoleRenderer(
            colors=not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,
            repr_native_str=True,
        )
        last: tuple[structlog.types.Processor, ...] = (shown,)
    else:
        last = (
            structlog.processors.format_exc_info,
            _named_as_by_serve,
            structlog.processors.JSONRenderer(),
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=(
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ),
        processors=(structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last),
    )


def _named_as_by_serve(_logger: logging.Logger, _method: str, fields: EventDict) -> EventDict:
    named: EventDict = {
        "asctime": fields.pop("timestamp"),
        "levelname": fields.pop("level").upper(),
        "message": fields.pop("event"),
    }
    if "exception" in fields:
        named["exc_text"] = fields.pop("exception")
    return {**named, **fields}
