"""Lower libcst's tree of a block: the same event tree, and the same numbers, as `lower.py` makes of Python's own tree.

For the nodes behind the numbers, which are asked for where there is something to find, and for code in a newer syntax
than the Python that the server runs on.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import libcst as cst

from gradsense.program import ir


def lower_concrete(
    statements: Sequence[cst.CSTNode], skeleton: bool
) -> tuple[tuple[ir.Stmt, ...], tuple[cst.CSTNode, ...]]:
    """The event tree of libcst's statements, and the node behind each number in it."""
    walk = _Lowering(skeleton)
    lowered: list[ir.Stmt] = []
    for statement in statements:
        walk.statement(statement, lowered)
    return tuple(lowered), tuple(walk.nodes)


def dotted_name(node: cst.BaseExpression | None) -> str:
    """`a.b.c` of a chain of attributes, or the empty string."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        base = dotted_name(node.value)
        return f"{base}.{node.attr.value}" if base else ""
    return ""


def _operator(node: cst.CSTNode) -> str:
    return _OPERATORS.get(type(node), type(node).__name__)


_OPERATORS: dict[type, str] = {
    cst.Add: "+", cst.Subtract: "-", cst.Multiply: "*", cst.Divide: "/", cst.FloorDivide: "//", cst.Modulo: "%",
    cst.Power: "**", cst.MatrixMultiply: "@", cst.BitAnd: "&", cst.BitOr: "|", cst.BitXor: "^",
    cst.LeftShift: "<<", cst.RightShift: ">>", cst.Not: "not", cst.Minus: "-", cst.Plus: "+", cst.BitInvert: "~",
    cst.Equal: "==", cst.NotEqual: "!=", cst.LessThan: "<", cst.LessThanEqual: "<=", cst.GreaterThan: ">",
    cst.GreaterThanEqual: ">=", cst.Is: "is", cst.IsNot: "is not", cst.In: "in", cst.NotIn: "not in",
    cst.AddAssign: "+", cst.SubtractAssign: "-", cst.MultiplyAssign: "*", cst.DivideAssign: "/",
    cst.FloorDivideAssign: "//", cst.ModuloAssign: "%", cst.PowerAssign: "**", cst.MatrixMultiplyAssign: "@",
    cst.BitAndAssign: "&", cst.BitOrAssign: "|", cst.BitXorAssign: "^", cst.LeftShiftAssign: "<<",
    cst.RightShiftAssign: ">>", cst.And: "and", cst.Or: "or",
}  # fmt: skip


class _Lowering:
    def __init__(self, skeleton: bool) -> None:
        self.nodes: list[cst.CSTNode] = []
        self.skeleton = skeleton
        self.slots = 0
        self.yields = False

    def number(self, node: cst.CSTNode) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    # -- expressions --

    def expression(self, node: cst.CSTNode) -> ir.Expr:
        handler = _EXPRESSIONS.get(type(node))
        if handler is None:
            at = self.number(node)
            operands = (self.expression(c) for c in node.children if isinstance(c, cst.BaseExpression))
            return ir.Opaque(at, tuple(operands))
        return handler(self, node)

    def _name(self, node: cst.Name) -> ir.Expr:
        at = self.number(node)
        constant = _CONSTANT_NAMES.get(node.value, _NO_CONSTANT)
        return ir.Name(at, node.value) if constant is _NO_CONSTANT else ir.Constant(at, constant)

    def _attribute(self, node: cst.Attribute) -> ir.Expr:
        at = self.number(node)
        return ir.Attribute(at, self.expression(node.value), node.attr.value)

    def _call(self, node: cst.Call) -> ir.Expr:
        at = self.number(node)
        func = self.expression(node.func)
        args: list[ir.Expr] = []
        keywords: list[tuple[str | None, ir.Expr]] = []
        for arg in node.args:
            value = self.expression(arg.value)
            if arg.keyword is not None:
                keywords.append((arg.keyword.value, value))
            elif arg.star == "**":
                keywords.append((None, value))
            elif arg.star == "*":
                args.append(ir.Starred(self.number(arg), value))
            else:
                args.append(value)
        return ir.Call(at, func, tuple(args), tuple(keywords))

    def _subscript(self, node: cst.Subscript) -> ir.Expr:
        at = self.number(node)
        value = self.expression(node.value)
        only = node.slice[0].slice if len(node.slice) == 1 else None
        # `x[(a, b)]` is `x[a, b]`.
        if isinstance(only, cst.Index) and isinstance(only.value, cst.Tuple):
            return ir.Subscript(at, value, _index(at, self._items(only.value.elements)))
        return ir.Subscript(at, value, _index(at, [self._axis(element.slice) for element in node.slice]))

    def _axis(self, node: cst.BaseSlice) -> ir.Expr:
        if isinstance(node, cst.Slice):
            bounds = (node.lower, node.upper, node.step)
            return ir.Operation(self.number(node), "slice", self._all(b for b in bounds if b))
        assert isinstance(node, cst.Index)
        value = self.expression(node.value)
        return ir.Starred(value.at, value) if node.star else value

    def _all(self, nodes: Any) -> tuple[ir.Expr, ...]:
        return tuple([self.expression(node) for node in nodes])

    def _integer(self, node: cst.Integer) -> ir.Expr:
        text = node.value
        return ir.Constant(self.number(node), int(text) if text.isdecimal() else _literal(text))

    def _string(self, node: cst.SimpleString) -> ir.Expr:
        text = node.value
        plain = text[0] in "'\"" and "\\" not in text and text[:3] not in ("'''", '"""')
        return ir.Constant(self.number(node), text[1:-1] if plain else _literal(text))

    def _concatenated(self, node: cst.ConcatenatedString) -> ir.Expr:
        at = self.number(node)
        parts = list(_strings(node))
        if all(isinstance(part, cst.SimpleString) for part in parts):
            return ir.Constant(at, _literal(" ".join(part.value for part in parts)))  # type: ignore[attr-defined]
        return ir.Operation(at, "f-string", self._pieces(at, parts))

    def _formatted(self, node: cst.FormattedString) -> ir.Expr:
        at = self.number(node)
        return ir.Operation(at, "f-string", self._pieces(at, [node]))

    def _pieces(self, at: int, strings: Iterable[cst.BaseString]) -> tuple[ir.Expr, ...]:
        """What f-strings are made of; neighbouring texts as one."""
        pieces: list[ir.Expr] = []
        text = ""
        for string in strings:
            for part in string.parts if isinstance(string, cst.FormattedString) else (string,):
                if isinstance(part, cst.FormattedStringExpression):
                    if part.equal is not None:
                        text += cst.Module(()).code_for_node(part.expression) + "="
                    if text:
                        pieces.append(ir.Constant(at, text))
                    text = ""
                    pieces.append(self.expression(part.expression))
                else:
                    text += _text_of(string, part)
        return (*pieces, ir.Constant(at, text)) if text else tuple(pieces)

    def _ellipsis(self, node: cst.Ellipsis) -> ir.Expr:
        return ir.Constant(self.number(node), ...)

    def _binary(self, node: cst.BinaryOperation) -> ir.Expr:
        at = self.number(node)
        return ir.Operation(at, _operator(node.operator), self._all((node.left, node.right)))

    def _unary(self, node: cst.UnaryOperation) -> ir.Expr:
        at = self.number(node)
        operand = self.expression(node.expression)
        if isinstance(operand, ir.Constant) and isinstance(operand.value, (int, float)):
            if isinstance(node.operator, cst.Minus):
                return ir.Constant(at, -operand.value)
            if isinstance(node.operator, cst.Not):
                return ir.Constant(at, not operand.value)
        return ir.Operation(at, _operator(node.operator), (operand,))

    def _comparison(self, node: cst.Comparison) -> ir.Expr:
        at = self.number(node)
        operands = self._all((node.left, *(c.comparator for c in node.comparisons)))
        return ir.Operation(at, _operator(node.comparisons[0].operator), operands)

    def _boolean(self, node: cst.BooleanOperation) -> ir.Expr:
        at = self.number(node)
        return ir.Boolean(at, _operator(node.operator), self._all(_operands(node)))

    def _conditional(self, node: cst.IfExp) -> ir.Expr:
        at = self.number(node)
        test = self.expression(node.test)
        return ir.Conditional(at, test, self.expression(node.body), self.expression(node.orelse))

    def _elements(self, node: cst.Tuple | cst.List | cst.Set) -> ir.Expr:
        at = self.number(node)
        return ir.Sequence(at, type(node).__name__.lower(), self._items(node.elements))

    def _items(self, elements: Sequence[cst.BaseElement]) -> tuple[ir.Expr, ...]:
        items: list[ir.Expr] = []
        for element in elements:
            value = self.expression(element.value)
            items.append(ir.Starred(value.at, value) if isinstance(element, cst.StarredElement) else value)
        return tuple(items)

    def _dict(self, node: cst.Dict) -> ir.Expr:
        at = self.number(node)
        items: list[tuple[ir.Expr | None, ir.Expr]] = []
        for element in node.elements:
            key = self.expression(element.key) if isinstance(element, cst.DictElement) else None
            items.append((key, self.expression(element.value)))
        return ir.Mapping(at, tuple(items))

    def _comprehension(self, node: Any) -> ir.Expr:
        at = self.number(node)
        clauses: list[tuple[ir.Expr, ir.Expr, tuple[ir.Expr, ...]]] = []
        clause: cst.CompFor | None = node.for_in
        while clause is not None:
            source, target = self.expression(clause.iter), self.expression(clause.target)
            clauses.append((target, source, self._all(condition.test for condition in clause.ifs)))
            clause = clause.inner_for_in
        if isinstance(node, cst.DictComp):
            key = self.expression(node.key)
            return ir.Comprehension(at, "dict", key, self.expression(node.value), tuple(clauses))
        kind = "list" if isinstance(node, cst.ListComp) else "set" if isinstance(node, cst.SetComp) else "generator"
        return ir.Comprehension(at, kind, None, self.expression(node.elt), tuple(clauses))

    def _yield(self, node: cst.Yield) -> ir.Expr:
        self.yields = True
        value = node.value.item if isinstance(node.value, cst.From) else node.value
        return ir.Yield(self.number(node), self.expression(value) if value else None)

    def _await(self, node: cst.Await) -> ir.Expr:
        return ir.Await(self.number(node), self.expression(node.expression))

    def _named(self, node: cst.NamedExpr) -> ir.Expr:
        at = self.number(node)
        value = self.expression(node.value)
        return ir.NamedExpr(at, self.expression(node.target), value)

    def _lambda(self, node: cst.Lambda) -> ir.Expr:
        at = self.number(node)
        params = self._parameters(node.params)
        return ir.Lambda(at, params, self.expression(node.body))

    def _parameters(self, params: cst.Parameters) -> tuple[ir.Parameter, ...]:
        made: list[ir.Parameter] = []

        def add(param: cst.Param, kind: str) -> None:
            annotation = self.expression(param.annotation.annotation) if param.annotation else None
            default = self.expression(param.default) if param.default else None
            made.append(ir.Parameter(param.name.value, annotation, default, kind))

        for param in (*params.posonly_params, *params.params):
            add(param, "plain")
        if isinstance(params.star_arg, cst.Param):
            add(params.star_arg, "*")
        for param in params.kwonly_params:
            add(param, "keyword")
        if params.star_kwarg is not None:
            add(params.star_kwarg, "**")
        return tuple(made)

    # -- statements --

    def body(self, node: cst.BaseSuite | None) -> ir.Body:
        if node is None:
            return ()
        if isinstance(node, cst.IndentedBlock):
            if self.skeleton:
                self.slots += 1
                return ir.Slot(self.slots - 1)
            statements: list[ir.Stmt] = []
            for statement in node.body:
                self.statement(statement, statements)
            return tuple(statements)
        statements = []
        for small in node.body:
            self.statement(small, statements)
        return tuple(statements)

    def statement(self, node: cst.CSTNode, out: list[ir.Stmt]) -> None:
        if isinstance(node, cst.SimpleStatementLine):
            for small in node.body:
                self.statement(small, out)
            return
        handler = _STATEMENTS.get(type(node))
        if handler is not None:
            made = handler(self, node)
            if made is not None:
                out.append(made)

    def _expr(self, node: cst.Expr) -> ir.Stmt:
        at = self.number(node)
        return ir.Evaluate(at, self.expression(node.value))

    def _assign(self, node: cst.Assign) -> ir.Stmt:
        at = self.number(node)
        value = self.expression(node.value)
        return ir.Assign(at, self._all(target.target for target in node.targets), value, None)

    def _ann_assign(self, node: cst.AnnAssign) -> ir.Stmt:
        at = self.number(node)
        value = self.expression(node.value) if node.value else None
        annotation = self.expression(node.annotation.annotation)
        return ir.Assign(at, (self.expression(node.target),), value, annotation)

    def _aug_assign(self, node: cst.AugAssign) -> ir.Stmt:
        at = self.number(node)
        value = self.expression(node.value)
        return ir.AugAssign(at, self.expression(node.target), _operator(node.operator), value)

    def _return(self, node: cst.Return) -> ir.Stmt:
        at = self.number(node)
        return ir.Return(at, self.expression(node.value) if node.value else None)

    def _raise(self, node: cst.Raise) -> ir.Stmt:
        at = self.number(node)
        return ir.Raise(at, self.expression(node.exc) if node.exc else None)

    def _if(self, node: cst.If) -> ir.Stmt:
        at = self.number(node)
        test = self.expression(node.test)
        body = self.body(node.body)
        orelse: ir.Body = ()
        if isinstance(node.orelse, cst.If):
            orelse = (self._if(node.orelse),)
        elif node.orelse is not None:
            orelse = self.body(node.orelse.body)
        return ir.If(at, test, body, orelse)

    def _for(self, node: cst.For) -> ir.Stmt:
        at = self.number(node)
        target, source = self.expression(node.target), self.expression(node.iter)
        body = self.body(node.body)
        return ir.For(at, target, source, body, self.body(node.orelse.body if node.orelse else None))

    def _while(self, node: cst.While) -> ir.Stmt:
        at = self.number(node)
        test = self.expression(node.test)
        body = self.body(node.body)
        return ir.While(at, test, body, self.body(node.orelse.body if node.orelse else None))

    def _with(self, node: cst.With) -> ir.Stmt:
        at = self.number(node)
        items = tuple(
            (self.expression(item.item), self.expression(item.asname.name) if item.asname else None)
            for item in node.items
        )
        return ir.With(at, items, self.body(node.body))

    def _try(self, node: cst.Try | cst.TryStar) -> ir.Stmt:
        at = self.number(node)
        body = self.body(node.body)
        handlers = tuple(
            (
                self.expression(handler.type) if handler.type else None,
                dotted_name(handler.name.name) if handler.name else None,
                self.body(handler.body),
            )
            for handler in node.handlers
        )
        orelse = self.body(node.orelse.body if node.orelse else None)
        return ir.Try(at, body, handlers, orelse, self.body(node.finalbody.body if node.finalbody else None))

    def _match(self, node: cst.Match) -> ir.Stmt:
        at = self.number(node)
        subject = self.expression(node.subject)
        cases = []
        for case in node.cases:
            names = tuple(sorted(_bound_by(case.pattern)))
            anything = isinstance(case.pattern, cst.MatchAs) and case.pattern.pattern is None and not case.guard
            guard = self.expression(case.guard) if case.guard else None
            cases.append((names, guard, self.body(case.body), anything))
        return ir.Match(at, subject, tuple(cases))

    def _function(self, node: cst.FunctionDef) -> ir.Stmt:
        at = self.number(node)
        decorators = self._all(decorator.decorator for decorator in node.decorators)
        params = self._parameters(node.params)
        returns = self.expression(node.returns.annotation) if node.returns else None
        outer, self.yields = self.yields, False
        body = self.body(node.body)
        generator, self.yields = self.yields, outer
        return ir.Function(at, node.name.value, params, decorators, returns, body, generator)

    def _class(self, node: cst.ClassDef) -> ir.Stmt:
        at = self.number(node)
        decorators = self._all(decorator.decorator for decorator in node.decorators)
        bases = self._all(base.value for base in node.bases)
        return ir.Class(at, node.name.value, bases, decorators, self.body(node.body))

    def _import(self, node: cst.Import) -> ir.Stmt:
        names = tuple(
            (dotted_name(alias.name), dotted_name(alias.asname.name) if alias.asname else None) for alias in node.names
        )
        return ir.Import(self.number(node), names)

    def _import_from(self, node: cst.ImportFrom) -> ir.Stmt:
        module = "." * len(node.relative) + dotted_name(node.module)
        if isinstance(node.names, cst.ImportStar):
            return ir.ImportFrom(self.number(node), module, (("*", "*"),))
        names = tuple(
            (
                dotted_name(alias.name),
                dotted_name(alias.asname.name) if alias.asname else dotted_name(alias.name),
            )
            for alias in node.names
        )
        return ir.ImportFrom(self.number(node), module, names)

    def _del(self, node: cst.Del) -> ir.Stmt:
        at = self.number(node)
        target = node.target
        items = [e.value for e in target.elements] if isinstance(target, cst.Tuple) else [target]
        return ir.Delete(at, self._all(items))

    def _assert(self, node: cst.Assert) -> ir.Stmt:
        return ir.Assert(self.number(node), self.expression(node.test))

    def _global(self, node: cst.Global | cst.Nonlocal) -> ir.Stmt:
        return ir.Global(self.number(node), tuple(item.name.value for item in node.names))

    def _break(self, node: cst.Break) -> ir.Stmt:
        return ir.Jump(self.number(node), "break")

    def _continue(self, node: cst.Continue) -> ir.Stmt:
        return ir.Jump(self.number(node), "continue")


def _index(at: int, parts: Sequence[ir.Expr]) -> ir.Expr:
    """What stands in the brackets of a subscript."""
    return parts[0] if len(parts) == 1 else ir.Sequence(at, "tuple", tuple(parts))


def _strings(node: cst.BaseString) -> Iterator[cst.BaseString]:
    """The parts of an implicit concatenation, from left to right."""
    while isinstance(node, cst.ConcatenatedString):
        yield node.left
        node = node.right
    yield node


def _text_of(string: cst.BaseString, part: cst.CSTNode) -> str:
    """The text that a piece of a string stands for."""
    if isinstance(string, cst.FormattedString) and isinstance(part, cst.FormattedStringText):
        prefix = string.start.rstrip("\"'").lower().replace("f", "")
        raw = part.value.replace("{{", "{").replace("}}", "}")
        text = _literal(f"{prefix}{string.end}{raw}{string.end}")
    else:
        text = _literal(part.value) if isinstance(part, cst.SimpleString) else None
    return text if isinstance(text, str) else ""


def _operands(node: cst.BooleanOperation) -> list[cst.BaseExpression]:
    """`a`, `b` and `c` of `a and b and c`."""
    operands = [node.right]
    left, operator = node.left, type(node.operator)
    while isinstance(left, cst.BooleanOperation) and type(left.operator) is operator and not left.lpar:
        operands.append(left.right)
        left = left.left
    return [left, *reversed(operands)]


def _bound_by(pattern: cst.CSTNode) -> list[str]:
    names: list[str] = []
    stack: list[cst.CSTNode] = [pattern]
    while stack:
        node = stack.pop()
        if isinstance(node, (cst.MatchAs, cst.MatchStar)) and node.name is not None:
            names.append(node.name.value)
        elif isinstance(node, cst.MatchMapping) and node.rest is not None:
            names.append(node.rest.value)
        stack.extend(node.children)
    return names


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, OverflowError):
        return None


_NO_CONSTANT = object()
_CONSTANT_NAMES: dict[str, object] = {"None": None, "True": True, "False": False}

_EXPRESSIONS: dict[type, Callable[[_Lowering, Any], ir.Expr]] = {
    cst.Name: _Lowering._name,
    cst.Attribute: _Lowering._attribute,
    cst.Call: _Lowering._call,
    cst.Subscript: _Lowering._subscript,
    cst.Integer: _Lowering._integer,
    cst.Float: _Lowering._integer,
    cst.Imaginary: _Lowering._integer,
    cst.SimpleString: _Lowering._string,
    cst.ConcatenatedString: _Lowering._concatenated,
    cst.FormattedString: _Lowering._formatted,
    cst.Ellipsis: _Lowering._ellipsis,
    cst.BinaryOperation: _Lowering._binary,
    cst.UnaryOperation: _Lowering._unary,
    cst.Comparison: _Lowering._comparison,
    cst.BooleanOperation: _Lowering._boolean,
    cst.IfExp: _Lowering._conditional,
    cst.Tuple: _Lowering._elements,
    cst.List: _Lowering._elements,
    cst.Set: _Lowering._elements,
    cst.Dict: _Lowering._dict,
    cst.ListComp: _Lowering._comprehension,
    cst.SetComp: _Lowering._comprehension,
    cst.DictComp: _Lowering._comprehension,
    cst.GeneratorExp: _Lowering._comprehension,
    cst.Yield: _Lowering._yield,
    cst.Await: _Lowering._await,
    cst.NamedExpr: _Lowering._named,
    cst.Lambda: _Lowering._lambda,
}

_STATEMENTS: dict[type, Callable[[_Lowering, Any], ir.Stmt | None]] = {
    cst.Expr: _Lowering._expr,
    cst.Assign: _Lowering._assign,
    cst.AnnAssign: _Lowering._ann_assign,
    cst.AugAssign: _Lowering._aug_assign,
    cst.Return: _Lowering._return,
    cst.Raise: _Lowering._raise,
    cst.If: _Lowering._if,
    cst.For: _Lowering._for,
    cst.While: _Lowering._while,
    cst.With: _Lowering._with,
    cst.Try: _Lowering._try,
    cst.TryStar: _Lowering._try,
    cst.Match: _Lowering._match,
    cst.FunctionDef: _Lowering._function,
    cst.ClassDef: _Lowering._class,
    cst.Import: _Lowering._import,
    cst.ImportFrom: _Lowering._import_from,
    cst.Del: _Lowering._del,
    cst.Assert: _Lowering._assert,
    cst.Global: _Lowering._global,
    cst.Nonlocal: _Lowering._global,
    cst.Break: _Lowering._break,
    cst.Continue: _Lowering._continue,
}
