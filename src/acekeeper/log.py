"""One JSON object a line on stderr, whoever logs: we, a library, `warnings`, or a crash.

Pass data as keywords (`logger.info("engine_started", engine=port)`), never inside the message:
loguru formats a message that comes with keywords, and a brace in it would raise.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from acekeeper.line_writer import LineWriter

if TYPE_CHECKING:
    from loguru import Message, Record

_SHOWN_MOST = 200

# Tasks and `to_thread` calls copy the context, so all that a request causes carries its id.
request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)


def setup(level: str, secrets: Sequence[str] = ()) -> "StderrSink":
    sink = StderrSink(secrets)
    logger.remove()
    # loguru's own `catch` would print the record, unmasked, over several lines.
    logger.add(sink, level=level, format=lambda _: "", catch=False, backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_ToLoguru(sink)], level=logger.level(level).no, force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    return sink


def whole(text: str) -> str:
    """Of what a caller sent, all or nothing: half a key would not be known as one, and not be
    hidden."""
    return text if len(text) <= _SHOWN_MOST else "(too long to show)"


class StderrSink:
    def __init__(self, secrets: Sequence[str]) -> None:
        # As written, and as a `repr` or JSON quotes it. The longest first: one may contain another.
        forms = {
            form
            for secret in filter(None, secrets)
            for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1])
        }
        self._secrets = sorted(forms, key=len, reverse=True)
        # Without a stderr its number may by now belong to another file, such as the database.
        self._lines = LineWriter(2 if sys.__stderr__ else -1, _tell_lost)

    @property
    def dropped(self) -> int:
        """Records that could not be shown, or not be written."""
        return self._lines.lost

    def drop(self) -> None:
        self._lines.refuse()

    def __call__(self, message: "Message") -> None:
        self._lines.put(msgspec.json.encode(self._fields(message.record)) + b"\n")

    def _fields(self, record: "Record") -> dict[str, object]:
        time = record["time"].astimezone(UTC).replace(tzinfo=None)
        fields: dict[str, object] = {
            "ts": f"{time.isoformat(timespec='milliseconds')}Z",
            "level": record["level"].name,
            "event": self._text(record["message"]),
        }
        if request_id := request_id_var.get():
            fields["request_id"] = self._text(request_id)
        for key, value in record["extra"].items():
            try:
                fields.setdefault(self._text(key), self._plain(value))
            except Exception:  # whatever an object's own __str__ raises
                fields[self._text(key)] = f"<{type(value).__name__}>"
        if (exception := record["exception"]) and (error := exception.value):
            only = "".join(traceback.format_exception_only(error))
            fields["error"] = self._text(only.strip())
            fields["traceback"] = self._text("".join(traceback.format_exception(error)))
        return fields

    def _plain(self, value: object) -> object:
        match value:
            case None | bool():
                return value
            case int() | float():
                number = int(value) if isinstance(value, int) else float(value)
                text = str(number)
                return number if self._text(text) == text else self._text(text)
            case str():
                return self._text(value)
            case dict():
                return {self._text(str(k)): self._plain(v) for k, v in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._plain(item) for item in value]
            case _:
                # Also bytes, which msgspec would write as base64, where no secret is found.
                return self._text(str(value))

    def _text(self, text: str) -> str:
        text = str.__str__(text)  # a plain one, since msgspec takes no subclass
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text if text.isascii() else text.encode(errors="backslashreplace").decode()


class _ToLoguru(logging.Handler):
    def __init__(self, sink: StderrSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        level: str | int = record.levelno
        if record.levelname in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            level = record.levelname
        try:
            message = self._message(record)
            logger.bind(logger=record.name).opt(exception=record.exc_info).log(level, message)
        # What cannot be shown at all; and a record made while loguru writes one, as in a `__del__`.
        except Exception:
            self._sink.drop()

    def _message(self, record: logging.LogRecord) -> str:
        try:
            return record.getMessage()
        except Exception:  # the arguments do not fit the library's own format
            return f"{record.msg} {record.args}"


def _tell_lost(count: int) -> None:
    logger.error("log_lines_lost", count=count)


def _uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)
    else:
        logger.opt(exception=error).critical("uncaught_exception")


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        thread = args.thread.name if args.thread else None
        logger.bind(thread=thread).opt(exception=args.exc_value).critical("uncaught_exception")


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    logger.bind(object=args.object).opt(exception=args.exc_value).error("exception_ignored")
