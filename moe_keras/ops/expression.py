"""Formulas over the columns of a table, such as `bill / limit`.

A formula is read into a tree of a few known parts, never run as Python:

    formula = number | column | -formula | +formula | (formula)
            | formula + formula | formula - formula
            | formula * formula | formula / formula
            | abs(x) | log1p(x) | min(x, y, ...) | max(x, y, ...)
            | clip(x, lowest, highest)

A column is a name, in quotes where it is no name of Python's: `"net pay" / 12`.
`log1p(x)` is ln(1 + max(x, 0)). The result is missing, NaN, where a column that
is read is missing, where a divisor is 0, and where a number along the way is
too large for float32.
"""

import ast
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from moe_keras.errors import require

LONGEST = 1000
DEEPEST = 50
LARGEST = float(np.finfo("float32").max)

_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
# How many arguments a function takes: at least, at most.
_FUNCTIONS = {
    "abs": (1, 1),
    "clip": (3, 3),
    "log1p": (1, 1),
    "max": (2, LONGEST),
    "min": (2, LONGEST),
}


@dataclass(frozen=True)
class Part:
    """One part of a formula, with those that it is made of.

    Attributes:
        kind: `"number"`, `"column"`, an operator or the name of a function.
        value: the number, or the name of the column.
        parts: what an operator or a function is applied to.
    """

    kind: str
    value: Any = None
    parts: tuple["Part", ...] = ()


@dataclass(frozen=True)
class Expression:
    """A formula that was read.

    Attributes:
        text: as it was given.
        columns: the columns that it reads, in the order of their first use.
        tree: its parts.
    """

    text: str
    columns: tuple[str, ...]
    tree: Part


def parse_expression(
    text: Any, known: Collection[str], owner: str = "parse_expression"
) -> Expression:
    """Read a formula.

    Args:
        text: the formula, of at most 1,000 characters.
        known: the names of the columns that it may read.
        owner: whom to name in errors.

    Returns:
        `Expression`.

    Raises:
        ValueError: for a text that is no formula of the kind above, with the
            part that is not, and for a formula that reads no column.
    """
    require(
        isinstance(text, str) and 0 < len(text) <= LONGEST,
        owner,
        f"an expression must be a text of 1 to {LONGEST:,} characters.",
        expression=text if len(str(text)) <= LONGEST else str(text)[:60],
    )
    reader = _Reader(text.strip().replace("\n", " "), known, owner)
    tree = reader.read()
    columns = tuple(dict.fromkeys(_columns_of(tree)))
    reader.require(columns, "it reads no column")
    return Expression(text, columns, tree)


def evaluate_expression(
    expression: Expression, columns: Mapping[str, Any]
) -> Any:
    """The values of a formula.

    Args:
        expression: of `parse_expression`.
        columns: by name, float32 `(B,)`, NaN where missing.

    Returns:
        float32 `(B,)`, finite, or NaN where missing.
    """
    like = columns[expression.columns[0]]
    value, missing = _evaluate(expression.tree, columns, like)
    return ops.where(missing, math.nan, value)


class _Reader:
    """From a text to a tree; see `parse_expression`."""

    def __init__(self, text: str, known: Collection[str], owner: str) -> None:
        self.text, self.known, self.owner = text, known, owner

    def read(self) -> Part:
        try:
            tree = ast.parse(self.text, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or str(error)
            raise ValueError(
                f"{self.owner}: an expression cannot be read: {reason}. "
                f"Received: expression={self.text!r}"
            ) from None
        return self.part(tree.body, 0)

    def require(
        self, condition: Any, rule: str, node: ast.AST | None = None
    ) -> None:
        """Refuse a formula, and say which part of it is at fault."""
        found: dict[str, Any] = {"expression": self.text}
        if node is not None:
            found["part"] = ast.get_source_segment(self.text, node)
        require(
            condition, self.owner, f"an expression is refused: {rule}.", **found
        )

    def part(self, node: ast.AST, depth: int) -> Part:
        self.require(depth <= DEEPEST, f"it is more than {DEEPEST} deep")
        if isinstance(node, ast.Name):
            return self.column(node.id, node)
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.UnaryOp):
            return self.signed(node, depth)
        if isinstance(node, ast.BinOp):
            kind = _OPERATORS.get(type(node.op))
            self.require(kind, "its operators are + - * and /", node)
            left = self.part(node.left, depth + 1)
            right = self.part(node.right, depth + 1)
            zero = kind == "/" and right.kind == "number" and right.value == 0
            self.require(not zero, "it divides by 0", node)
            return Part(str(kind), None, (left, right))
        self.require(
            isinstance(node, ast.Call),
            "it may hold numbers, columns, + - * / and "
            f"{', '.join(_FUNCTIONS)}",
            node,
        )
        return self.call(node, depth)

    def column(self, name: str, node: ast.AST) -> Part:
        known = ", ".join(map(repr, self.known)) or "none"
        self.require(
            name in self.known,
            f"there is no column of numbers {name!r}; there are {known}",
            node,
        )
        return Part("column", name)

    def constant(self, node: ast.Constant) -> Part:
        value: Any = node.value
        if isinstance(value, str):
            return self.column(value, node)
        self.require(
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= LARGEST,
            "its numbers must be finite in float32",
            node,
        )
        return Part("number", float(value))

    def signed(self, node: ast.UnaryOp, depth: int) -> Part:
        self.require(
            isinstance(node.op, ast.USub | ast.UAdd),
            "its operators are + - * and /",
            node,
        )
        part = self.part(node.operand, depth + 1)
        if isinstance(node.op, ast.UAdd):
            return part
        if part.kind == "number":
            return Part("number", -part.value)
        return Part("negative", None, (part,))

    def call(self, node: Any, depth: int) -> Part:
        name = getattr(node.func, "id", None)
        self.require(
            name in _FUNCTIONS,
            f"its functions are {', '.join(_FUNCTIONS)}",
            node,
        )
        least, most = _FUNCTIONS[str(name)]
        self.require(
            not node.keywords and least <= len(node.args) <= most,
            f"{name} takes {least} values{' or more' if most > least else ''}",
            node,
        )
        parts = tuple(self.part(one, depth + 1) for one in node.args)
        if name == "clip" and parts[1].kind == parts[2].kind == "number":
            self.require(
                parts[1].value <= parts[2].value,
                "the lowest value is above the highest",
                node,
            )
        return Part(str(name), None, parts)


def _columns_of(tree: Part) -> list[str]:
    if tree.kind == "column":
        return [tree.value]
    return [name for part in tree.parts for name in _columns_of(part)]


def _evaluate(
    tree: Part, columns: Mapping[str, Any], like: Any
) -> tuple[Any, Any]:
    """Finite values `(B,)`, and where they are none.

    The two go apart: what a minimum makes of NaN differs between backends.
    """
    if tree.kind == "number":
        return ops.full_like(like, tree.value), ops.zeros_like(like, "bool")
    if tree.kind == "column":
        return _without_infinite(
            columns[tree.value], ops.zeros_like(like, "bool")
        )
    pairs = [_evaluate(part, columns, like) for part in tree.parts]
    values = [value for value, _ in pairs]
    missing = pairs[0][1]
    for _, other in pairs[1:]:
        missing = ops.logical_or(missing, other)
    if tree.kind == "/":
        zero = ops.equal(values[1], 0.0)
        missing = ops.logical_or(missing, zero)
        values[1] = ops.where(zero, 1.0, values[1])
    return _without_infinite(_apply(tree.kind, values), missing)


def _without_infinite(value: Any, missing: Any) -> tuple[Any, Any]:
    broken = ops.logical_not(ops.isfinite(value))
    return ops.where(broken, 0.0, value), ops.logical_or(missing, broken)


def _apply(kind: str, values: list[Any]) -> Any:
    first = values[0]
    if kind == "negative":
        return -first
    if kind == "abs":
        return ops.abs(first)
    if kind == "log1p":
        return ops.log1p(ops.maximum(first, 0.0))
    if kind == "clip":
        return ops.minimum(ops.maximum(first, values[1]), values[2])
    apply = {
        "+": ops.add,
        "-": ops.subtract,
        "*": ops.multiply,
        "/": ops.divide,
        "max": ops.maximum,
        "min": ops.minimum,
    }[kind]
    for other in values[1:]:
        first = apply(first, other)
    return first
