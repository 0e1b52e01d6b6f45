"""Programs out of a small grammar: they parse, and say anything at all, in the words of training code.

A general generator of Python makes programs in which nothing is called `backward`: the engine would not look at them.
"""

from __future__ import annotations

from random import Random

_NAMES = "net model loss opt x y a b self data out hidden sched scaler layers cls batch i critic f g".split()
_ATTRIBUTES = (
    "weight data grad fc layers optimizer parameters detach item shape device training net T state_dict hidden"
).split()
_METHODS = (
    "zero_grad step backward detach item cpu numpy parameters train eval append update forward to cuda clone copy_ "
    "requires_grad_ unscale_ scale mean sum view manual_backward named_parameters state_dict load_state_dict add_ "
    "apply modules children toggle_optimizer optimizers log items get format size extend pop add_param_group"
).split()
_TORCH = (
    "torch.optim.SGD torch.optim.Adam nn.Linear nn.Sequential nn.ModuleList nn.Parameter torch.zeros torch.randn "
    "torch.tensor nn.CrossEntropyLoss F.cross_entropy F.softmax F.relu torch.no_grad torch.cat torch.stack torch.where "
    "torch.optim.lr_scheduler.StepLR torch.cuda.amp.GradScaler torch.autograd.grad torch.save nn.BatchNorm2d "
    "torch.nn.utils.clip_grad_norm_ nn.Module nn.LSTM nn.Embedding DataLoader pl.Trainer torch.load copy.deepcopy len "
    "range zip enumerate print isinstance super getattr setattr list dict tuple int float map sorted partial next iter"
).split()
_OPERATORS = (*"+ - * / @ // % ** & | ^ << >> and or == != < > <= >= in is".split(), "not in", "is not")
_IN_PLACE = "+= -= *= /= @= //= %= **= &= |= ^= <<= >>=".split()
_HEAD = (
    "import copy\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\nimport lightning as pl\n"
    "from functools import partial\nfrom torch.utils.data import DataLoader\n"
)
_STRINGS = ("'a'", '"""b\nc"""', "b'd'", "r'\\e'", "''", '"cpu"', "'é\U0001f389'", "'mean'", "rb'f'", "u'g'")


class Grammar:
    """Makes one program of the choices of a random generator."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._left = 0

    def program(self, size: int) -> str:
        """A program of about `size` statements."""
        self._left = size
        pieces = [_HEAD]
        while self._left > 0:
            pieces.append(self._statement(0, ""))
        return "".join(pieces)

    # --- expressions

    def _one_of(self, *choices: str) -> str:
        return self._chance.choice(choices)

    def _name(self) -> str:
        return self._chance.choice(_NAMES)

    def _expression(self, depth: int) -> str:
        if depth <= 0 or self._chance.random() < 0.15:
            return self._atom()
        make = self._chance.choice(_EXPRESSIONS)
        return make(self, depth - 1)

    def _atom(self) -> str:
        kind = self._chance.random()
        if kind < 0.6:
            return self._name()
        if kind < 0.7:
            return self._chance.choice(_STRINGS)
        return self._one_of("0", "1", "None", "True", "False", "1e-3", "-1", "0x1f", "2j", "...", "1_000", ".5")

    def _call(self, depth: int) -> str:
        return f"{self._chance.choice(_TORCH)}({self._arguments(depth)})"

    def _method(self, depth: int) -> str:
        return f"{self._operand(depth)}.{self._chance.choice(_METHODS)}({self._arguments(depth)})"

    def _arguments(self, depth: int) -> str:
        given = [self._expression(depth) for _ in range(self._chance.choice((0, 0, 1, 1, 2, 3)))]
        if self._chance.random() < 0.1:
            given.append(f"*{self._operand(depth)}")
        if self._chance.random() < 0.3:
            named = self._chance.sample(("lr", "dim", "inplace", "params", "reduction", "retain_graph", "key"), 2)
            given += [f"{name}={self._expression(depth)}" for name in named]
        if self._chance.random() < 0.1:
            given.append(f"**{self._operand(depth)}")
        return ", ".join(given)

    def _operand(self, depth: int) -> str:
        if self._chance.random() < 0.6:
            return self._name()
        return f"({self._expression(depth)})"

    def _attribute(self, depth: int) -> str:
        return f"{self._operand(depth)}.{self._chance.choice(_ATTRIBUTES)}"

    def _subscript(self, depth: int) -> str:
        kinds = (self._expression(depth), f"{self._operand(depth)}:", ":, None", "::2", f"..., {self._atom()}")
        return f"{self._operand(depth)}[{self._chance.choice(kinds)}]"

    def _binary(self, depth: int) -> str:
        return f"{self._operand(depth)} {self._chance.choice(_OPERATORS)} {self._operand(depth)}"

    def _unary(self, depth: int) -> str:
        return f"{self._one_of('-', 'not ', '~', '+')}{self._operand(depth)}"

    def _conditional(self, depth: int) -> str:
        return f"{self._operand(depth)} if {self._operand(depth)} else {self._operand(depth)}"

    def _lambda(self, depth: int) -> str:
        return f"lambda {self._parameters(depth, typed=False)}: {self._operand(depth)}"

    def _display(self, depth: int) -> str:
        some = [self._operand(depth) for _ in range(self._chance.randrange(4))]
        if self._chance.random() < 0.2:
            some.append(f"*{self._operand(depth)}")
        inside = ", ".join(some)
        kind = self._chance.randrange(4)
        if kind == 0:
            return f"[{inside}]"
        if kind == 1:
            return f"({inside},)" if some else "()"
        if kind == 2 and some:
            return f"{{{inside}}}"
        pairs = [f"{self._operand(depth)}: {self._operand(depth)}" for _ in range(self._chance.randrange(3))]
        return "{" + ", ".join(pairs) + "}"

    def _comprehension(self, depth: int) -> str:
        clause = f"for {self._target(0)} in {self._operand(depth)}"
        if self._chance.random() < 0.3:
            clause += f" if {self._operand(depth)}"
        if self._chance.random() < 0.2:
            clause += f" for {self._name()} in {self._operand(depth)}"
        body = self._operand(depth)
        return self._chance.choice((f"[{body} {clause}]", f"{{{body}: {body} {clause}}}", f"({body} {clause})"))

    def _formatted(self, depth: int) -> str:
        return f'f"{{{self._name()}!r:>{{{self._name()}}}}} {{({self._attribute(0)})}}"'

    def _walrus(self, depth: int) -> str:
        return f"({self._name()} := {self._operand(depth)})"

    # --- targets and parameters

    def _target(self, depth: int) -> str:
        kind = self._chance.random()
        if kind < 0.55:
            return self._name()
        if kind < 0.75:
            return f"{self._name()}.{self._chance.choice(_ATTRIBUTES)}"
        if kind < 0.85:
            return f"{self._name()}[{self._atom()}]"
        return f"{self._name()}, {self._one_of('*', '')}{self._name()}"

    def _parameters(self, depth: int, *, typed: bool) -> str:
        names = self._chance.sample(_NAMES, self._chance.randrange(4))
        given = []
        for number, name in enumerate(names):
            note = f": {self._annotation()}" if typed and self._chance.random() < 0.3 else ""
            default = f" = {self._atom()}" if number and self._chance.random() < 0.9 else ""
            given.append(name + note + default)
            if default == "" and number:
                given[number] = name + note + " = None"
        if self._chance.random() < 0.2:
            given.append("*args")
            given.append("key=None")
        if self._chance.random() < 0.2:
            given.append("**kwargs")
        return ", ".join(given)

    def _annotation(self) -> str:
        return self._one_of(
            "torch.optim.Optimizer", "nn.Module", "torch.Tensor", "int", "'Net'", "list[int]", "str | None", "float"
        )

    # --- statements

    def _statement(self, depth: int, indent: str) -> str:
        self._left -= 1
        if depth < 5 and self._left > 0 and self._chance.random() < 0.4:
            return self._chance.choice(_COMPOUND)(self, depth + 1, indent)
        text = self._chance.choice(_SIMPLE)(self)
        comment = self._one_of("", "", "", "", "", "  # why", "  # gradsense: ignore", "  # gradsense: ignore[GS401]")
        if self._chance.random() < 0.05:
            text += f"; {self._chance.choice(_SIMPLE)(self)}"
        return f"{indent}{text}{comment}\n"

    def _body(self, depth: int, indent: str) -> str:
        below = indent + self._one_of("    ", "    ", "    ", "  ", "\t")
        count = self._chance.choice((1, 1, 2, 3, 4))
        return "".join(self._statement(depth, below) for _ in range(count))

    def _assign(self) -> str:
        return f"{self._target(0)} = {self._expression(3)}"

    def _build(self) -> str:
        name = self._one_of("opt", "sched", "scaler", "net", "model", "loss", "self.opt", "self.net", "critic")
        return f"{name} = {self._call(2)}"

    def _expression_line(self) -> str:
        return self._expression(3)

    def _do(self) -> str:
        return f"{self._name()}.{self._chance.choice(_METHODS)}({self._arguments(1)})"

    def _augmented(self) -> str:
        target = self._one_of("loss", "x", "self.hidden", "data[0]", "net.weight")
        return f"{target} {self._chance.choice(_IN_PLACE)} {self._expression(2)}"

    def _small(self) -> str:
        return self._one_of(
            "pass",
            f"return {self._expression(2)}",
            "return",
            "break",
            "continue",
            f"del {self._target(0)}",
            f"assert {self._expression(1)}, {self._atom()}",
            f"raise {self._name()} from {self._name()}",
            f"global {self._name()}",
            f"nonlocal {self._name()}",
            f"yield {self._atom()}",
            f"{self._name()} = yield from {self._name()}",
            f"{self._name()} = await {self._call(1)}",
            f"{self._name()}: {self._annotation()} = {self._atom()}",
            f"import {self._name()}.{self._name()} as {self._name()}",
            f"from .{self._name()} import {self._name()}, {self._name()} as {self._name()}",
            "from torch import *",
            f"{self._name()} = {self._name()} = {self._expression(1)}",
        )

    def _if(self, depth: int, indent: str) -> str:
        text = f"{indent}if {self._expression(2)}:\n{self._body(depth, indent)}"
        while self._chance.random() < 0.25:
            text += f"{indent}elif {self._expression(1)}:\n{self._body(depth, indent)}"
        if self._chance.random() < 0.4:
            text += f"{indent}else:\n{self._body(depth, indent)}"
        return text

    def _for(self, depth: int, indent: str) -> str:
        over = self._one_of("range(3)", "data", "enumerate(data)", "zip(x, y)", "net.parameters()", self._expression(1))
        text = f"{indent}{self._asynchronous()}for {self._target(0)} in {over}:\n{self._body(depth, indent)}"
        return text + (f"{indent}else:\n{self._body(depth, indent)}" if self._chance.random() < 0.1 else "")

    def _while(self, depth: int, indent: str) -> str:
        return f"{indent}while {self._one_of('True', self._expression(1))}:\n{self._body(depth, indent)}"

    def _with(self, depth: int, indent: str) -> str:
        manager = self._one_of("torch.no_grad()", "torch.autocast('cuda')", "torch.enable_grad()", self._expression(1))
        name = self._one_of("", "", f" as {self._name()}", f" as {self._name()}, open('a')")
        return f"{indent}{self._asynchronous()}with {manager}{name}:\n{self._body(depth, indent)}"

    def _try(self, depth: int, indent: str) -> str:
        text = f"{indent}try:\n{self._body(depth, indent)}"
        star = self._one_of("", "", "", "*")
        for _ in range(self._chance.randrange(3)):
            text += f"{indent}except{star} {self._name()}{self._one_of('', ' as e')}:\n{self._body(depth, indent)}"
        if self._chance.random() < 0.4 or "except" not in text:
            text += f"{indent}finally:\n{self._body(depth, indent)}"
        return text

    def _match(self, depth: int, indent: str) -> str:
        text = f"{indent}match {self._expression(1)}:\n"
        for _ in range(self._chance.randrange(1, 4)):
            pattern = self._one_of(
                "_",
                "1",
                "'a'",
                "[x, *y]",
                "{'a': b, **c}",
                "Net(fc=x) as y",
                "1 | 2",
                "x",
                "a.b",
                "(x, y)",
                "None",
                "-1j",
            )
            guard = self._one_of("", "", f" if {self._expression(1)}")
            text += f"{indent}  case {pattern}{guard}:\n{self._body(depth, indent + '  ')}"
        return text

    def _def(self, depth: int, indent: str) -> str:
        name = self._one_of(
            "f", "g", "train", "forward", "training_step", "__init__", "configure_optimizers", "backward", "setup", "x"
        )
        arrow = self._one_of("", "", f" -> {self._annotation()}")
        decorator = self._one_of(
            "", "", "", "", "@torch.no_grad()\n", "@property\n", "@staticmethod\n", f"@{self._name()}\n", "@x.setter\n"
        )
        head = f"{indent}{decorator}" if decorator else ""
        inner = self._parameters(depth, typed=True)
        first = self._one_of("self", "self", "")
        parameters = ", ".join(filter(None, (first if "self" not in inner else "", inner)))
        line = f"{indent}{self._asynchronous()}def {name}({parameters}){arrow}:"
        if self._chance.random() < 0.1:
            return f"{head}{line} {self._chance.choice(_SIMPLE)(self)}\n"
        return f"{head}{line}\n{self._body(depth, indent)}"

    def _class(self, depth: int, indent: str) -> str:
        base = self._one_of(
            "", "(nn.Module)", "(nn.Module)", "(pl.LightningModule)", "(Net)", "(torch.autograd.Function)"
        )
        text = f"{indent}class {self._one_of('Net', 'Critic', 'x', 'B')}{base}:\n"
        below = indent + "    "
        if self._chance.random() < 0.5:
            text += f'{below}"""What it is."""\n'
        return text + "".join(self._def(depth, below) for _ in range(self._chance.randrange(1, 4)))

    def _asynchronous(self) -> str:
        return "async " if self._chance.random() < 0.04 else ""


_EXPRESSIONS = (
    Grammar._call,
    Grammar._call,
    Grammar._method,
    Grammar._method,
    Grammar._method,
    Grammar._attribute,
    Grammar._subscript,
    Grammar._binary,
    Grammar._binary,
    Grammar._unary,
    Grammar._conditional,
    Grammar._lambda,
    Grammar._display,
    Grammar._comprehension,
    Grammar._formatted,
    Grammar._walrus,
)
_SIMPLE = (
    Grammar._assign,
    Grammar._assign,
    Grammar._build,
    Grammar._build,
    Grammar._expression_line,
    Grammar._do,
    Grammar._do,
    Grammar._do,
    Grammar._augmented,
    Grammar._small,
)
_COMPOUND = (
    Grammar._if,
    Grammar._if,
    Grammar._for,
    Grammar._for,
    Grammar._while,
    Grammar._with,
    Grammar._try,
    Grammar._match,
    Grammar._def,
    Grammar._def,
    Grammar._def,
    Grammar._class,
    Grammar._class,
)
