"""Check an expression without evaluating it, and translate it into the source that MiniJinja is given.

Jinja2's parser reads the author's source; a node type that is not listed here is refused. The emitted source contains
no name from the author's: data is read by number (`p(3)`), constants have generated names (`c0`), filters and tests are
our own bounded functions. So MiniJinja's own filters, globals, Python methods and attributes cannot be reached at all.
(No function has the name of a dict method: MiniJinja looks names up in a Python dict, and finds its methods first.)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.parser import Parser

from actions.expressions.filters import FILTERS, LIST_FILTERS
from actions.expressions.values import TESTS
from actions.nearest import nearest

MAX_BYTES = 8 * 1024
MAX_DEPTH = 32
MAX_NODES = 500
MAX_EMITTED = 32 * 1024
KEYWORDS = frozenset(["true", "false", "none", "True", "False", "None", "not", "and", "or", "if", "else", "in", "is"])

Path = tuple[str | int, ...]
# The path of `omit`, whose value leaves out the field or item that it is given for.
OMIT_PATH: Path = ("omit",)

_parser = Environment(autoescape=True)  # Never renders; only its parser is used.
# Ours, because MiniJinja charges nothing for the size of what it compares. It also compares a string with a number
# without an error, and orders it after every number; ours refuse.
_COMPARE = {"eq": "t_eq", "ne": "t_ne", "in": "t_in", "lt": "t_lt", "lteq": "t_le", "gt": "t_gt", "gteq": "t_ge"}
_ARITHMETIC = {nodes.Sub: "-", nodes.Div: "/", nodes.FloorDiv: "//", nodes.Mod: "%"}
_BOUNDED = {nodes.Add: "add", nodes.Mul: "multiply", nodes.Pow: "power"}
_BY_NAME = {"map": FILTERS, "select": TESTS, "reject": TESTS, "selectattr": TESTS, "rejectattr": TESTS}
_MAY_BE_EMPTY = ("first", "last")
_KNOWN_FILTERS = {*FILTERS, *LIST_FILTERS, "default", "d"}
_KNOWN_TESTS = {*TESTS, "defined", "undefined"}


class Unacceptable(ValueError):
    """An expression that is refused; the message says why, and what to write instead."""


@dataclass
class Emitted:
    """MiniJinja source, its constants by name, and the data paths that it reads: `p(3)` is paths[3]."""

    source: str = ""
    constants: dict[str, Any] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)


def emit(source: str) -> Emitted:
    """Parse a bare expression, refuse what is not permitted, and translate it for MiniJinja.

    Raises Unacceptable, also where the parser runs out of stack.
    """
    if len(source.encode(errors="surrogatepass")) > MAX_BYTES:
        raise Unacceptable(f"is longer than {MAX_BYTES // 1024} KB; work it out in steps of its own")
    try:
        node = _parsed(source)
    except RecursionError:
        raise Unacceptable("is nested too deep; work it out in steps of its own") from None
    _measure(node)
    out = Emitted()
    out.source = _Emitter(out).emit(node)
    return out


def _parsed(source: str) -> nodes.Node:
    try:
        parser = Parser(_parser, source, state="variable")
        node = parser.parse_expression()
        if not parser.stream.eos:
            raise Unacceptable(f"has something after its end: {parser.stream.current.value!r}")
    except TemplateSyntaxError as error:
        raise Unacceptable(f"does not parse: {error.message}") from None
    except (ValueError, OverflowError, AssertionError) as error:
        raise Unacceptable(str(error) if isinstance(error, Unacceptable) else "does not parse") from None
    return node


def _measure(root: nodes.Node) -> None:
    pending, seen = [(root, 1)], 0
    while pending:
        node, depth = pending.pop()
        seen += 1
        if depth > MAX_DEPTH:
            raise Unacceptable(f"is nested deeper than {MAX_DEPTH}; work it out in steps of its own")
        if seen > MAX_NODES:
            raise Unacceptable(f"has more than {MAX_NODES} parts; work it out in steps of its own")
        pending.extend((child, depth + 1) for child in node.iter_child_nodes())


def static_path(node: nodes.Node) -> Path | None:
    """Return `steps.a["b"][0]` as ("steps", "a", "b", 0); None if the node is not such a path."""
    keys: list[str | int] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            if not isinstance(node.arg.value, (str, int)) or isinstance(node.arg.value, bool):
                return None
            keys.append(node.arg.value)
        else:
            return None
        node = node.node
    return (node.name, *reversed(keys))


class _Emitter:
    """One walk over the syntax tree. `emit` calls the method for the node's type; a type without one is refused."""

    def __init__(self, out: Emitted) -> None:
        self.out = out
        self.emitted = 0

    def emit(self, node: nodes.Node) -> str:
        # `default` emits its operand twice, so each level of nested defaults doubles the work and the length.
        self.emitted += 1
        text = self._write(node) if self.emitted <= 4 * MAX_NODES else ""
        if not text or len(text) > MAX_EMITTED:
            raise Unacceptable("is too large once written out; work it out in steps of its own")
        return text

    def _write(self, node: nodes.Node) -> str:
        path = static_path(node)
        if path is not None:
            if path[0] in KEYWORDS:
                raise Unacceptable(f"uses the word {path[0]!r} as a name")
            return f"p({self._number(path)})"
        if type(node) in _ARITHMETIC or type(node) in _BOUNDED:
            return self._binary(node)
        method: Callable[[Any], str] | None = getattr(self, "_" + type(node).__name__.lower(), None)
        if method is None:
            raise Unacceptable(f"may not use {type(node).__name__}; expressions have values, operators, filters")
        return method(node)

    def _number(self, path: Path) -> int:
        if path not in self.out.paths:
            self.out.paths.append(path)
        return self.out.paths.index(path)

    def _list_of(self, children: list[Any]) -> str:
        return ", ".join(self.emit(child) for child in children)

    def _const(self, node: nodes.Const) -> str:
        if isinstance(node.value, int) and not isinstance(node.value, bool) and abs(node.value) >= 2**63:
            raise Unacceptable("has a number beyond 64 bits")
        if isinstance(node.value, float) and node.value in {float("inf"), float("-inf")}:
            raise Unacceptable("has a number that is too large")
        if isinstance(node.value, str) and ("\0" in node.value or not _encodable(node.value)):
            raise Unacceptable("has a NUL or a lone surrogate in a text")
        name = f"c{len(self.out.constants)}"
        self.out.constants[name] = node.value
        return name

    def _list(self, node: nodes.List) -> str:
        return f"list_({self._list_of(node.items)})"

    def _tuple(self, node: nodes.Tuple) -> str:
        return f"list_({self._list_of(node.items)})"

    def _dict(self, node: nodes.Dict) -> str:
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const) or not isinstance(pair.key.value, str):
                raise Unacceptable('has an object whose key is no quoted text; write {"key": value}')
        return f"object_({self._list_of([part for pair in node.items for part in (pair.key, pair.value)])})"

    def _not(self, node: nodes.Not) -> str:
        return f"(not {self.emit(node.node)})"

    def _neg(self, node: nodes.Neg) -> str:
        return f"(-number({self.emit(node.node)}, '-'))"

    def _pos(self, node: nodes.Pos) -> str:
        return self.emit(node.node)

    def _and(self, node: nodes.And) -> str:
        return f"({self.emit(node.left)} and {self.emit(node.right)})"

    def _or(self, node: nodes.Or) -> str:
        return f"({self.emit(node.left)} or {self.emit(node.right)})"

    def _binary(self, node: Any) -> str:
        left, right = self.emit(node.left), self.emit(node.right)
        if type(node) in _BOUNDED:
            return f"{_BOUNDED[type(node)]}({left}, {right})"
        sign = _ARITHMETIC[type(node)]
        return f"(number({left}, '{sign}') {sign} number({right}, '{sign}'))"

    def _concat(self, node: nodes.Concat) -> str:
        return f"concat({self._list_of(node.nodes)})"

    def _compare(self, node: nodes.Compare) -> str:
        if len(node.ops) != 1:
            raise Unacceptable("compares in a chain; write `a < b and b < c`")
        operator, left, right = node.ops[0].op, self.emit(node.expr), self.emit(node.ops[0].expr)
        if operator == "notin":
            return f"(not t_in({left}, {right}))"
        return f"{_COMPARE[operator]}({left}, {right})"

    def _condexpr(self, node: nodes.CondExpr) -> str:
        if node.expr2 is None:
            raise Unacceptable("has an `if` without `else`; write `a if test else b`")
        return f"({self.emit(node.expr1)} if {self.emit(node.test)} else {self.emit(node.expr2)})"

    def _getattr(self, node: nodes.Getattr) -> str:
        return f"at({self.emit(node.node)}, {self._const(nodes.Const(node.attr))})"

    def _getitem(self, node: nodes.Getitem) -> str:
        if isinstance(node.arg, nodes.Slice):
            bounds = [node.arg.start, node.arg.stop, node.arg.step]
            return f"cut({self._list_of([node.node, *(bound or nodes.Const(None) for bound in bounds)])})"
        return f"at({self.emit(node.node)}, {self.emit(node.arg)})"

    def _call(self, node: nodes.Call) -> str:
        if not isinstance(node.node, nodes.Name) or node.node.name != "range":
            raise Unacceptable("may not call anything but range(); use a filter: `x|upper`, `x|length`")
        if node.kwargs:
            raise Unacceptable("gives range a named argument; write range(stop) or range(start, stop, step)")
        return f"range_({self._arguments(node)})"

    def _arguments(self, node: Any) -> str:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise Unacceptable("may not use * or ** for arguments")
        plain = [self.emit(arg) for arg in node.args]
        return ", ".join([*plain, *(f"{pair.key}={self.emit(pair.value)}" for pair in node.kwargs)])

    def _filter(self, node: nodes.Filter) -> str:
        name = node.name
        if node.node is None or name not in _KNOWN_FILTERS:
            raise Unacceptable(f"uses the unknown filter {name!r}{nearest(name, _KNOWN_FILTERS)}")
        if name in {"default", "d"}:
            return self._default(node)
        if name == "coalesce":
            return self._coalesce(node)
        if name in _BY_NAME:
            self._check_named(node)
        _check_arguments(node, {**FILTERS, **LIST_FILTERS}[name])
        arguments = self._arguments(node)
        return f"f_{name}({self.emit(node.node)}{', ' + arguments if arguments else ''})"

    def _coalesce(self, node: nodes.Filter) -> str:
        """What does not exist counts as null here, as it does for `default`."""
        if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None or node.node is None:
            raise Unacceptable("gives coalesce a named argument; write a|coalesce(b, c)")
        values = [(self._defined(one), self.emit(one)) for one in (node.node, *node.args)]
        return f"f_coalesce({', '.join(f'({value} if {there} else none)' for there, value in values)})"

    def _check_named(self, node: nodes.Filter) -> None:
        """Refuse map, select and the like unless the filter or test that they apply is a constant, known name."""
        names = node.args[1:2] if node.name.endswith("attr") else node.args[:1]
        known = _BY_NAME[node.name]
        if node.name == "map" and not names and not any(pair.key == "attribute" for pair in node.kwargs):
            raise Unacceptable("uses map without a filter; write map('upper') or map(attribute='name')")
        for name in names:
            if not isinstance(name, nodes.Const) or name.value not in known:
                given = repr(name.value) if isinstance(name, nodes.Const) else "a computed name"
                raise Unacceptable(f"uses {node.name} with {given}; known are {', '.join(sorted(known))}")

    def _default(self, node: nodes.Filter) -> str:
        given: dict[str, Any] = {str(pair.key): pair.value for pair in node.kwargs}
        boolean = given.pop("boolean", node.args[1] if len(node.args) == 2 else nodes.Const(False))
        if len(node.args) > 2 or given.keys() - {"default_value"} or not isinstance(boolean, nodes.Const):
            raise Unacceptable("gives default too much; write default(0) or default(0, true)")
        other = given.get("default_value", node.args[0] if node.args else nodes.Const(""))
        if node.node is None:
            raise Unacceptable("uses default on nothing")
        # The value is read twice, first to see whether it exists; the fallback is evaluated only if it does not.
        value = self.emit(node.node)
        has = f"({self._defined(node.node)} and {value})" if boolean.value else self._defined(node.node)
        return f"({value} if {has} else {self.emit(other)})"

    def _defined(self, node: nodes.Node) -> str:
        path = static_path(node)
        if path is not None:
            return f"has({self._number(path)})"
        if isinstance(node, nodes.Getattr):
            key = self._const(nodes.Const(node.attr))
            return f"({self._defined(node.node)} and has_at({self.emit(node.node)}, {key}))"
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice):
            return f"({self._defined(node.node)} and has_at({self.emit(node.node)}, {self.emit(node.arg)}))"
        if isinstance(node, nodes.Filter) and node.name in _MAY_BE_EMPTY and node.node is not None:
            return f"({self._defined(node.node)} and f_length({self.emit(node.node)}))"
        return "true"

    def _test(self, node: nodes.Test) -> str:
        if node.name not in _KNOWN_TESTS:
            raise Unacceptable(f"uses the unknown test {node.name!r}{nearest(node.name, _KNOWN_TESTS)}")
        if node.name == "defined":
            return self._defined(node.node)
        if node.name == "undefined":
            return f"(not {self._defined(node.node)})"
        _check_arguments(node, TESTS[node.name])
        arguments = self._arguments(node)
        return f"t_{node.name}({self.emit(node.node)}{', ' + arguments if arguments else ''})"


def _check_arguments(node: Any, function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind(None, *node.args, **{pair.key: None for pair in node.kwargs})
    except TypeError as error:
        raise Unacceptable(f"uses {node.name} with wrong arguments: {error}") from None


def _encodable(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
