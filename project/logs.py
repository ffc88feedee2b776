"""Logging: every event is one line on standard output, as `key=value` or as JSON (LOG_FORMAT), without secrets."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import Processor

from project.redaction import RedactArguments, redact_event

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.ExtraAdder(),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]


def _renderer(log_format: str) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.processors.LogfmtRenderer(
        key_order=["timestamp", "level", "event"], drop_missing=True, bool_as_flag=False
    )


def _one_line(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace line breaks in values, as in tracebacks, by ` | `, and blanks in keys, which logfmt refuses, by `_`."""
    return {
        key.replace(" ", "_"): value.replace("\n", " | ") if isinstance(value, str) else value
        for key, value in event.items()
    }


def configure(*, log_format: str, level: str) -> dict[str, Any]:
    """Configure structlog to use the standard library's logging, and return the dictionary for Django's LOGGING."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    redact_event,
                    _one_line,
                    _renderer(log_format),
                ],
            }
        },
        "filters": {"arguments": {"()": RedactArguments}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "line",
                "filters": ["arguments"],
            }
        },
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # These would log a line for each message; our own events have the same facts.
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            # No handlers: Django's own would print each event a second time, in another format.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # Granian has set these up before it loads the application, to print past our formatter: its errors, and
            # the access log, which is off unless GRANIAN_LOG_ACCESS_ENABLED is set.
            "_granian": {"handlers": [], "level": level, "propagate": True},
            "granian.access": {"handlers": [], "level": "INFO", "propagate": True},
        },
    }


def log_uncaught() -> None:
    """Log exceptions that nobody catches. Python would print them past the formatter, with whatever they hold."""

    def uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            logging.getLogger("uncaught").critical("uncaught", exc_info=(kind, error or kind(), trace))
        else:
            sys.__excepthook__(kind, error or kind(), trace)

    def in_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_type is not SystemExit:  # which ends a thread without a word
            uncaught(ended.exc_type, ended.exc_value, ended.exc_traceback)

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = lambda lost: uncaught(lost.exc_type, lost.exc_value, lost.exc_traceback)
