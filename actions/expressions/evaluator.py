"""Evaluate one checked expression: its values are looked up in plain JSON, MiniJinja combines them, under limits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from minijinja import Environment, TemplateError

from actions.base import Json
from actions.expressions import filters, hints, operators, step_results
from actions.expressions.syntax import OMIT_PATH, Path
from actions.expressions.values import TESTS, Refused, end, kind, refill, weigh
from actions.nearest import shortened
from actions.payload import PayloadError
from actions.payload import check as check_json

if TYPE_CHECKING:
    from actions.expressions.language import Expression

FUEL = 10_000
# A longer text is handed to MiniJinja as a _Long: it would copy the text at every call.
_LONG = 1_000
T = TypeVar("T")


class _Omit:
    """The type of OMIT."""

    __slots__ = ()


# The value of `omit`: the field or item whose expression gives it is left out.
OMIT: Any = _Omit()


# Names of ours, in the order in which messages list them, before the keys of inputs.
_RESERVED = ("input", "steps", "item", "index", "run", "vars")


class Misses(Exception):
    """A path whose value does not exist; the message says at which key it ends and which keys exist there."""


def evaluate(expression: Expression, names: Mapping[str, Json]) -> Json:
    """Return the value. Raises Misses for a path that does not exist, Refused for an operation not permitted."""
    if expression.path is not None:
        return look_up(expression.path, names)
    return _run(expression, names)


def look_up(path: Path, names: Mapping[str, Json]) -> Json:
    """Return the value at a path of object keys and list positions; nothing else is followed. Raises Misses."""
    here: Any = names
    for at, key in enumerate(path):
        found = here.get(key, _NOTHING) if type(here) is dict else _NOTHING
        if found is _NOTHING and (found := _stepped(here, key)) is _NOTHING:
            if isinstance(here, Mapping) and (why := step_results.left_out(here, key)):
                raise Refused(why)
            raise Misses(_missing(path, at, here))
        here = found
    return here  # type: ignore[no-any-return]  # what lies in JSON is JSON


def within_budget(function: Callable[[Json], T], value: Json) -> T:
    """Call a function that charges the evaluation budget, with a fresh budget for this call. Raises Refused."""
    refill()
    try:
        return function(value)
    finally:
        end()


_NOTHING = object()


def _stepped(here: Any, key: str | int) -> Any:
    if isinstance(here, list):
        return here[key] if isinstance(key, int) and -len(here) <= key < len(here) else _NOTHING
    if isinstance(here, (dict, Mapping)):
        found = here.get(key, _NOTHING)
        return here.get(str(key), _NOTHING) if found is _NOTHING and isinstance(key, int) else found
    return _NOTHING


def _written(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def _missing(path: Path, at: int, here: Any) -> str:
    """The message of Misses: the key at which the path ends, and the keys or the type found there."""
    what = shortened(_written(path[: at + 1]))
    owner = shortened(_written(path[:at]))
    is_object = isinstance(here, (dict, Mapping))
    hint = hints.of_key(path[at], here, owner=owner) if is_object else ""
    if at == 0:
        ours = [name for name in _RESERVED if name in here]
        there = f"the names are {_listed([*ours, *(name for name in here if name not in _RESERVED)])}"
    elif is_object:
        there = f"{owner} has {_listed(here)}" if here else f"{owner} is empty"
    else:
        there = f"{owner} has {len(here)} items" if isinstance(here, list) else f"{owner} is {kind(here)}"
        hint = f"; write `{owner}|length`" if path[at] in hints.LENGTHS and isinstance(here, (list, str)) else ""
    return f"needs {what}, which is not there{hint}; {there}; or write `|default(...)`"


def _listed(keys: Any, *, limit: int = 12) -> str:
    names = [shortened(str(key), limit=40) for key, _ in zip(keys, range(limit + 1), strict=False)]
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _at(value: Any, key: Any) -> Any:
    """`value[key]` where the value or the key is computed, as in `(a ~ b)[c]`."""
    found = _stepped(value, key) if _is_key(key) else _NOTHING
    if found is _NOTHING:
        raise Misses(f"needs {shortened(str(key), limit=40)!r} in {kind(value)} that does not have it")
    return found


def _has_at(value: Any, key: Any) -> bool:
    return _is_key(key) and _stepped(value, key) is not _NOTHING


def _is_key(key: Any) -> bool:
    return isinstance(key, (str, int)) and not isinstance(key, bool)


class _Long:
    """A long text, as MiniJinja holds it: an object that it only hands on, and that counts as true."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _held(value: Any) -> Any:
    return _Long(value) if type(value) is str and len(value) > _LONG else value


def _plain(value: Any) -> Any:
    return value.text if type(value) is _Long else value


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as MiniJinja calls it: with a _Long in place of each long text."""

    def called(*given: Any, **named: Any) -> Any:
        if named or _Long in map(type, given):
            given = tuple(map(_plain, given))
            named = {name: _plain(value) for name, value in named.items()}
        result = function(*given, **named)
        return _Long(result) if type(result) is str and len(result) > _LONG else result

    return called


_OWN: dict[str, Callable[..., Any]] = {
    "add": operators.add,
    "multiply": operators.multiply,
    "power": operators.power,
    "concat": operators.concat,
    "cut": operators.cut,
    "number": operators.number,
    "list_": operators.list_,
    "object_": operators.object_,
    "range_": operators.range_,
    "at": _at,
    "has_at": _has_at,
    **{f"f_{name}": function for name, function in {**filters.FILTERS, **filters.LIST_FILTERS}.items()},
    **{f"t_{name}": function for name, function in TESTS.items()},
}
_FUNCTIONS = {name: _called(function) for name, function in _OWN.items()}


class _Local(threading.local):
    """One environment per thread. Threads that share one which calls back into Python may deadlock."""

    def __init__(self) -> None:
        self.environment = Environment(
            globals=_FUNCTIONS, fuel=FUEL, undefined_behavior="strict", debug=False, pycompat=False
        )


_local = _Local()


def _run(expression: Expression, names: Mapping[str, Json]) -> Json:
    paths = expression.paths

    def looked_up(number: int) -> Any:
        path = paths[number]
        return OMIT if path == OMIT_PATH else _held(look_up(path, names))

    def present(number: int) -> bool:
        if paths[number] == OMIT_PATH:
            return True
        # Not by look_up: the message of Misses takes long.
        here: Any = names
        for key in paths[number]:
            found = _stepped(here, key)
            if found is _NOTHING:
                if isinstance(here, Mapping) and (why := step_results.left_out(here, key)):
                    raise Refused(why)
                return False
            here = found
        return True

    refill()
    try:
        value = _local.environment.eval_expr(
            expression.emitted,
            p=looked_up,
            has=present,
            **expression.constants,
        )
    except TemplateError as error:
        raise Refused(_message(error)) from None
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise Refused(f"cannot be worked out: {shortened(str(error))}") from None
    finally:
        end()
    return _checked(_plain(value))


def _message(error: TemplateError) -> str:
    if error.kind == "OutOfFuel":
        return f"takes more than {FUEL:,} steps"
    detail = error.detail or error.kind
    return f"cannot be worked out: {shortened(detail.splitlines()[0])}"


def _checked(value: Any) -> Json:
    """Return a value that MiniJinja computed, if it is JSON and within the budget. Raises Refused."""
    if value is None or isinstance(value, bool) or value is OMIT:
        return value
    try:
        within_budget(weigh, value)
        check_json(value)
    except PayloadError as error:
        raise Refused(f"gives what is not JSON: {error}") from None
    return value  # type: ignore[no-any-return]  # just checked
