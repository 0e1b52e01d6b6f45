"""Lower a block to its event tree: one walk over the tree of Python's own parser, kept with the block.

That parser takes a tenth of libcst's time. libcst's tree of a block is made where a rule has something to look at there
(`Lowered.nodes`), and where Python's own parser knows less than libcst: code in a newer syntax than the Python that the
server runs on.
"""

from __future__ import annotations

import ast
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import libcst as cst

from gradsense.program import ir
from gradsense.program.concrete import lower_concrete
from gradsense.source.blocks import Block, BlockTree


class Lowered:
    """A block's event tree, and how many nodes it numbers."""

    def __init__(self, block: Block, skeleton: bool, statements: tuple[ir.Stmt, ...], count: int) -> None:
        self.statements = statements
        self._block = weakref.ref(block)  # which holds this one among its notes
        self._skeleton = skeleton
        self.count = count

    @cached_property
    def expression_statements(self) -> frozenset[int]:
        """The numbers of the expressions that are statements by themselves."""
        found: set[int] = set()
        pending: list[object] = [self.statements]
        while pending:
            node = pending.pop()
            if isinstance(node, tuple):
                pending += node
            elif isinstance(node, ir.Evaluate):
                found.add(node.value.at)
            elif isinstance(node, (ir.If, ir.For, ir.While, ir.Try)):
                pending += (node.body, node.orelse)
                if isinstance(node, ir.Try):
                    pending += (node.finalbody, *(body for _, _, body in node.handlers))
            elif isinstance(node, (ir.With, ir.Function, ir.Class)):
                pending.append(node.body)
            elif isinstance(node, ir.Match):
                pending += (body for _, _, body, _ in node.cases)
        return frozenset(found)

    @cached_property
    def nodes(self) -> tuple[cst.CSTNode, ...]:
        """At `at`, the libcst node behind the event-tree node of that number; none where the two parsers disagree."""
        block = self._block()
        assert block is not None, "an event tree is asked for its nodes while its block is in use"
        nodes = lower_concrete(block.statements, self._skeleton)[1]
        return nodes if len(nodes) == self.count else ()


def lower(tree: BlockTree) -> Lowered:
    """The event tree of a statement's block; for bodies that stand in blocks of their own, it has slots."""
    # The skeleton of a long function can read like a short one with a `pass`.
    block, key = tree.block, (lower, bool(tree.suites))
    lowered: Lowered | None = block.notes.get(key)
    if lowered is None:
        lowered = block.notes[key] = _lower(block, key[1])
    return lowered


def statements_in(body: ir.Body, tree: BlockTree) -> Iterator[tuple[tuple[ir.Stmt, ...], BlockTree]]:
    """The statements of a body in order, each stretch of them with the tree that it stands in.

    `tree` is that of the statement whose body it is.
    """
    if not isinstance(body, ir.Slot):
        yield body, tree
        return
    for _, child in tree.suites[body.number].children:
        yield lower(child).statements, child


def nodes_within(body: object, *kinds: type) -> list[Any]:
    """Every node of these kinds below a node, or in a body, itself included, but for what stands in other blocks; in no
    particular order.
    """
    found: list[Any] = []
    pending: list[Any] = [body]
    below_of = ir.BELOW.get
    while pending:
        node = pending.pop()
        kind = type(node)
        if kind is tuple:
            pending += node
            continue
        if kind in kinds:
            found.append(node)
        below = below_of(kind)
        if below is not None:
            pending += below(node)
    return found


def nodes_below(body: object, tree: BlockTree, *kinds: type) -> list[Any]:
    """The same, bodies that stand in blocks of their own included. `tree` is that of the statement."""
    found: list[Any] = []
    for node in nodes_within(body, *kinds, ir.Slot):
        if isinstance(node, ir.Slot):
            for statements, child in statements_in(node, tree):
                found += nodes_below(statements, child, *kinds)
        else:
            found.append(node)
    return found


def _lower(block: Block, skeleton: bool) -> Lowered:
    if block.hole is not None:
        hole = block.hole
        return Lowered(block, skeleton, (ir.Hole(hole.defines, hole.mentions, hole.keyword),), 0)
    syntax = block.take_syntax()
    if syntax is None:
        statements, nodes = lower_concrete(block.statements, skeleton)
        return Lowered(block, skeleton, statements, len(nodes))
    walk = _Lowering(syntax.source.split("\n") if skeleton else None)
    return Lowered(block, skeleton, walk.all_of(syntax.statements), walk.count)


class _Lowering:
    """`lines`: those of the text, for a skeleton, whose bodies stand in blocks of their own."""

    def __init__(self, lines: Sequence[str] | None) -> None:
        self.lines = lines
        self.count = 0
        self.slots = 0
        self.yields = False

    def number(self) -> int:
        self.count += 1
        return self.count - 1

    # -- expressions --

    def expression(self, node: ast.expr) -> ir.Expr:
        handler = _EXPRESSIONS.get(type(node))
        return handler(self, node) if handler is not None else ir.Opaque(self.number(), ())

    def _all(self, nodes: Iterable[ast.expr]) -> tuple[ir.Expr, ...]:
        return tuple([self.expression(node) for node in nodes])

    def _name(self, node: ast.Name) -> ir.Expr:
        return ir.Name(self.number(), node.id)

    def _attribute(self, node: ast.Attribute) -> ir.Expr:
        at = self.number()
        return ir.Attribute(at, self.expression(node.value), node.attr)

    def _constant(self, node: ast.Constant) -> ir.Expr:
        return ir.Constant(self.number(), node.value)

    def _call(self, node: ast.Call) -> ir.Expr:
        at = self.number()
        func = self.expression(node.func)
        args: list[ir.Expr] = []
        keywords: list[tuple[str | None, ir.Expr]] = []
        given: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
        if node.args and node.keywords and _place(node.args[-1]) > _place(node.keywords[0]):
            given.sort(key=_place)
        for each in given:
            if isinstance(each, ast.keyword):
                keywords.append((each.arg, self.expression(each.value)))
            elif isinstance(each, ast.Starred):
                value = self.expression(each.value)
                args.append(ir.Starred(self.number(), value))
            else:
                args.append(self.expression(each))
        return ir.Call(at, func, tuple(args), tuple(keywords))

    def _subscript(self, node: ast.Subscript) -> ir.Expr:
        at = self.number()
        value = self.expression(node.value)
        if not isinstance(node.slice, ast.Tuple):
            return ir.Subscript(at, value, self.expression(node.slice))
        parts = self._items(node.slice.elts)
        return ir.Subscript(at, value, parts[0] if len(parts) == 1 else ir.Sequence(at, "tuple", parts))

    def _slice(self, node: ast.Slice) -> ir.Expr:
        at = self.number()
        return ir.Operation(at, "slice", self._all(b for b in (node.lower, node.upper, node.step) if b is not None))

    def _formatted(self, node: ast.JoinedStr) -> ir.Expr:
        at = self.number()
        operands: list[ir.Expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                operands.append(self.expression(part.value))
            elif isinstance(part, ast.Constant):
                operands.append(ir.Constant(at, part.value))
        return ir.Operation(at, "f-string", tuple(operands))

    def _binary(self, node: ast.BinOp) -> ir.Expr:
        at = self.number()
        return ir.Operation(at, _OPERATORS[type(node.op)], (self.expression(node.left), self.expression(node.right)))

    def _unary(self, node: ast.UnaryOp) -> ir.Expr:
        at = self.number()
        operand = self.expression(node.operand)
        if isinstance(operand, ir.Constant) and isinstance(operand.value, (int, float)):
            if isinstance(node.op, ast.USub):
                return ir.Constant(at, -operand.value)
            if isinstance(node.op, ast.Not):
                return ir.Constant(at, not operand.value)
        return ir.Operation(at, _OPERATORS[type(node.op)], (operand,))

    def _comparison(self, node: ast.Compare) -> ir.Expr:
        at = self.number()
        return ir.Operation(at, _OPERATORS[type(node.ops[0])], self._all((node.left, *node.comparators)))

    def _boolean(self, node: ast.BoolOp) -> ir.Expr:
        at = self.number()
        return ir.Boolean(at, _OPERATORS[type(node.op)], self._all(node.values))

    def _conditional(self, node: ast.IfExp) -> ir.Expr:
        at = self.number()
        test = self.expression(node.test)
        return ir.Conditional(at, test, self.expression(node.body), self.expression(node.orelse))

    def _tuple(self, node: ast.Tuple) -> ir.Expr:
        at = self.number()
        return ir.Sequence(at, "tuple", self._items(node.elts))

    def _list(self, node: ast.List) -> ir.Expr:
        at = self.number()
        return ir.Sequence(at, "list", self._items(node.elts))

    def _set(self, node: ast.Set) -> ir.Expr:
        at = self.number()
        return ir.Sequence(at, "set", self._items(node.elts))

    def _items(self, elements: Iterable[ast.expr]) -> tuple[ir.Expr, ...]:
        items: list[ir.Expr] = []
        for element in elements:
            if isinstance(element, ast.Starred):
                value = self.expression(element.value)
                items.append(ir.Starred(value.at, value))
            else:
                items.append(self.expression(element))
        return tuple(items)

    def _starred(self, node: ast.Starred) -> ir.Expr:
        at = self.number()
        return ir.Opaque(at, (self.expression(node.value),))

    def _dict(self, node: ast.Dict) -> ir.Expr:
        at = self.number()
        items: list[tuple[ir.Expr | None, ir.Expr]] = []
        for key, value in zip(node.keys, node.values, strict=True):
            items.append((self.expression(key) if key is not None else None, self.expression(value)))
        return ir.Mapping(at, tuple(items))

    def _list_comprehension(self, node: ast.ListComp) -> ir.Expr:
        return self._comprehension("list", node.generators, node.elt)

    def _set_comprehension(self, node: ast.SetComp) -> ir.Expr:
        return self._comprehension("set", node.generators, node.elt)

    def _generator(self, node: ast.GeneratorExp) -> ir.Expr:
        return self._comprehension("generator", node.generators, node.elt)

    def _dict_comprehension(self, node: ast.DictComp) -> ir.Expr:
        return self._comprehension("dict", node.generators, node.value, node.key)

    def _comprehension(
        self, kind: str, generators: Iterable[ast.comprehension], element: ast.expr, key: ast.expr | None = None
    ) -> ir.Expr:
        at = self.number()
        clauses: list[tuple[ir.Expr, ir.Expr, tuple[ir.Expr, ...]]] = []
        for clause in generators:
            source, target = self.expression(clause.iter), self.expression(clause.target)
            clauses.append((target, source, self._all(clause.ifs)))
        first = self.expression(key) if key is not None else None
        return ir.Comprehension(at, kind, first, self.expression(element), tuple(clauses))

    def _yield(self, node: ast.Yield | ast.YieldFrom) -> ir.Expr:
        self.yields = True
        at = self.number()
        return ir.Yield(at, self.expression(node.value) if node.value is not None else None)

    def _await(self, node: ast.Await) -> ir.Expr:
        at = self.number()
        return ir.Await(at, self.expression(node.value))

    def _named(self, node: ast.NamedExpr) -> ir.Expr:
        at = self.number()
        value = self.expression(node.value)
        return ir.NamedExpr(at, self.expression(node.target), value)

    def _lambda(self, node: ast.Lambda) -> ir.Expr:
        at = self.number()
        params = self._parameters(node.args)
        return ir.Lambda(at, params, self.expression(node.body))

    def _parameters(self, args: ast.arguments) -> tuple[ir.Parameter, ...]:
        made: list[ir.Parameter] = []

        def add(arg: ast.arg, default: ast.expr | None, kind: str) -> None:
            annotation = self.expression(arg.annotation) if arg.annotation is not None else None
            value = self.expression(default) if default is not None else None
            made.append(ir.Parameter(arg.arg, annotation, value, kind))

        plain = [*args.posonlyargs, *args.args]
        without = len(plain) - len(args.defaults)
        for number, arg in enumerate(plain):
            add(arg, args.defaults[number - without] if number >= without else None, "plain")
        if args.vararg is not None:
            add(args.vararg, None, "*")
        for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
            add(arg, default, "keyword")
        if args.kwarg is not None:
            add(args.kwarg, None, "**")
        return tuple(made)

    # -- statements --

    def all_of(self, statements: Iterable[ast.stmt]) -> tuple[ir.Stmt, ...]:
        lowered: list[ir.Stmt] = []
        for statement in statements:
            handler = _STATEMENTS.get(type(statement))
            if handler is not None:
                lowered.append(handler(self, statement))
        return tuple(lowered)

    def body(self, statements: Sequence[ast.stmt]) -> ir.Body:
        if self.lines is not None and len(statements) == 1 and self._is_filler(statements[0], self.lines):
            self.slots += 1
            return ir.Slot(self.slots - 1)
        return self.all_of(statements)

    @staticmethod
    def _is_filler(statement: ast.stmt, lines: Sequence[str]) -> bool:
        """Whether a statement is the `pass` that a skeleton has on a line of its own for a body."""
        if not isinstance(statement, ast.Pass):
            return False
        line = statement.lineno - 1
        return not lines[line][: statement.col_offset].strip() and not lines[line - 1].rstrip("\r\n").endswith("\\")

    def _expr(self, node: ast.Expr) -> ir.Stmt:
        at = self.number()
        return ir.Evaluate(at, self.expression(node.value))

    def _assign(self, node: ast.Assign) -> ir.Stmt:
        at = self.number()
        value = self.expression(node.value)
        return ir.Assign(at, self._all(node.targets), value, None)

    def _ann_assign(self, node: ast.AnnAssign) -> ir.Stmt:
        at = self.number()
        value = self.expression(node.value) if node.value is not None else None
        annotation = self.expression(node.annotation)
        return ir.Assign(at, (self.expression(node.target),), value, annotation)

    def _aug_assign(self, node: ast.AugAssign) -> ir.Stmt:
        at = self.number()
        value = self.expression(node.value)
        return ir.AugAssign(at, self.expression(node.target), _OPERATORS[type(node.op)], value)

    def _return(self, node: ast.Return) -> ir.Stmt:
        at = self.number()
        return ir.Return(at, self.expression(node.value) if node.value is not None else None)

    def _raise(self, node: ast.Raise) -> ir.Stmt:
        at = self.number()
        return ir.Raise(at, self.expression(node.exc) if node.exc is not None else None)

    def _if(self, node: ast.If) -> ir.Stmt:
        at = self.number()
        test = self.expression(node.test)
        body = self.body(node.body)
        return ir.If(at, test, body, self.body(node.orelse))

    def _for(self, node: ast.For | ast.AsyncFor) -> ir.Stmt:
        at = self.number()
        target, source = self.expression(node.target), self.expression(node.iter)
        body = self.body(node.body)
        return ir.For(at, target, source, body, self.body(node.orelse))

    def _while(self, node: ast.While) -> ir.Stmt:
        at = self.number()
        test = self.expression(node.test)
        body = self.body(node.body)
        return ir.While(at, test, body, self.body(node.orelse))

    def _with(self, node: ast.With | ast.AsyncWith) -> ir.Stmt:
        at = self.number()
        items = tuple(
            [
                (
                    self.expression(item.context_expr),
                    self.expression(item.optional_vars) if item.optional_vars is not None else None,
                )
                for item in node.items
            ]
        )
        return ir.With(at, items, self.body(node.body))

    def _try(self, node: Any) -> ir.Stmt:
        # ast.Try, or ast.TryStar from Python 3.11 on.
        at = self.number()
        body = self.body(node.body)
        handlers = tuple(
            [
                (
                    self.expression(handler.type) if handler.type is not None else None,
                    handler.name,
                    self.body(handler.body),
                )
                for handler in node.handlers
            ]
        )
        orelse = self.body(node.orelse)
        return ir.Try(at, body, handlers, orelse, self.body(node.finalbody))

    def _match(self, node: ast.Match) -> ir.Stmt:
        at = self.number()
        subject = self.expression(node.subject)
        cases = []
        for case in node.cases:
            names = tuple(sorted(_bound_by(case.pattern)))
            anything = isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None
            guard = self.expression(case.guard) if case.guard is not None else None
            cases.append((names, guard, self.body(case.body), anything))
        return ir.Match(at, subject, tuple(cases))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ir.Stmt:
        at = self.number()
        decorators = self._all(node.decorator_list)
        params = self._parameters(node.args)
        returns = self.expression(node.returns) if node.returns is not None else None
        outer, self.yields = self.yields, False
        body = self.body(node.body)
        generator, self.yields = self.yields, outer
        return ir.Function(at, node.name, params, decorators, returns, body, generator)

    def _class(self, node: ast.ClassDef) -> ir.Stmt:
        at = self.number()
        decorators = self._all(node.decorator_list)
        bases = self._all(base.value if isinstance(base, ast.Starred) else base for base in node.bases)
        return ir.Class(at, node.name, bases, decorators, self.body(node.body))

    def _import(self, node: ast.Import) -> ir.Stmt:
        return ir.Import(self.number(), tuple((alias.name, alias.asname) for alias in node.names))

    def _import_from(self, node: ast.ImportFrom) -> ir.Stmt:
        module = "." * node.level + (node.module or "")
        names = tuple((alias.name, alias.asname or alias.name) for alias in node.names)
        return ir.ImportFrom(self.number(), module, names)

    def _del(self, node: ast.Delete) -> ir.Stmt:
        at = self.number()
        only = node.targets[0] if len(node.targets) == 1 else None
        return ir.Delete(at, self._all(only.elts if isinstance(only, ast.Tuple) else node.targets))

    def _assert(self, node: ast.Assert) -> ir.Stmt:
        return ir.Assert(self.number(), self.expression(node.test))

    def _global(self, node: ast.Global | ast.Nonlocal) -> ir.Stmt:
        return ir.Global(self.number(), tuple(node.names))

    def _break(self, node: ast.Break) -> ir.Stmt:
        return ir.Jump(self.number(), "break")

    def _continue(self, node: ast.Continue) -> ir.Stmt:
        return ir.Jump(self.number(), "continue")


def _place(node: ast.expr | ast.keyword) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _bound_by(pattern: ast.pattern) -> list[str]:
    """The names that a pattern binds."""
    names: list[str] = []
    for node in ast.walk(pattern):
        if isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name is not None:
            names.append(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest is not None:
            names.append(node.rest)
    return names


_OPERATORS: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
    ast.Not: "not", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<",
    ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
    ast.And: "and", ast.Or: "or",
}  # fmt: skip

_EXPRESSIONS: dict[type, Callable[[_Lowering, Any], ir.Expr]] = {
    ast.Name: _Lowering._name,
    ast.Attribute: _Lowering._attribute,
    ast.Constant: _Lowering._constant,
    ast.Call: _Lowering._call,
    ast.Subscript: _Lowering._subscript,
    ast.Slice: _Lowering._slice,
    ast.JoinedStr: _Lowering._formatted,
    ast.BinOp: _Lowering._binary,
    ast.UnaryOp: _Lowering._unary,
    ast.Compare: _Lowering._comparison,
    ast.BoolOp: _Lowering._boolean,
    ast.IfExp: _Lowering._conditional,
    ast.Tuple: _Lowering._tuple,
    ast.List: _Lowering._list,
    ast.Set: _Lowering._set,
    ast.Starred: _Lowering._starred,
    ast.Dict: _Lowering._dict,
    ast.ListComp: _Lowering._list_comprehension,
    ast.SetComp: _Lowering._set_comprehension,
    ast.DictComp: _Lowering._dict_comprehension,
    ast.GeneratorExp: _Lowering._generator,
    ast.Yield: _Lowering._yield,
    ast.YieldFrom: _Lowering._yield,
    ast.Await: _Lowering._await,
    ast.NamedExpr: _Lowering._named,
    ast.Lambda: _Lowering._lambda,
}

_STATEMENTS: dict[type, Callable[[_Lowering, Any], ir.Stmt]] = {
    ast.Expr: _Lowering._expr,
    ast.Assign: _Lowering._assign,
    ast.AnnAssign: _Lowering._ann_assign,
    ast.AugAssign: _Lowering._aug_assign,
    ast.Return: _Lowering._return,
    ast.Raise: _Lowering._raise,
    ast.If: _Lowering._if,
    ast.For: _Lowering._for,
    ast.AsyncFor: _Lowering._for,
    ast.While: _Lowering._while,
    ast.With: _Lowering._with,
    ast.AsyncWith: _Lowering._with,
    ast.Try: _Lowering._try,
    ast.Match: _Lowering._match,
    ast.FunctionDef: _Lowering._function,
    ast.AsyncFunctionDef: _Lowering._function,
    ast.ClassDef: _Lowering._class,
    ast.Import: _Lowering._import,
    ast.ImportFrom: _Lowering._import_from,
    ast.Delete: _Lowering._del,
    ast.Assert: _Lowering._assert,
    ast.Global: _Lowering._global,
    ast.Nonlocal: _Lowering._global,
    ast.Break: _Lowering._break,
    ast.Continue: _Lowering._continue,
}
if sys.version_info >= (3, 11):
    _STATEMENTS[ast.TryStar] = _Lowering._try
