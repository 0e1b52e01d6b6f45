"""GS510."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from gradsense.findings import Edit, Finding, Fix, Safety, Severity, Span
from gradsense.program.facts import Call, Forward
from gradsense.program.knowledge import classes
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import FactsHere
from gradsense.program.values import Parameters, Site, Tensor, Unknown
from gradsense.rules import edits
from gradsense.rules.base import Rule
from gradsense.rules.examples import Bad, Good, LossDiffers, Raises, Silent
from gradsense.rules.reads import attributes_asked
from gradsense.rules.syntax import compounds_around, is_to_raise

_KEPT_ALIKE = """detach to cuda cpu float double half bfloat16 type view reshape flatten squeeze unsqueeze transpose
    permute contiguous expand repeat clone""".split()
_WITH_UNDERSCORE = """clamp clip add sub mul div neg abs exp sqrt relu sigmoid tanh masked_fill clamp_min clamp_max
    nan_to_num""".split()
_METHODS = (*_KEPT_ALIKE, *_WITH_UNDERSCORE)
_OF_ANYTHING = ("Unknown.detach", "Unknown.to", "Unknown.cuda", "Unknown.cpu")
_FUNCTIONS = (
    *(
        f"torch.{name}"
        for name in """clamp clip clamp_min clamp_max masked_fill nan_to_num squeeze unsqueeze transpose
    permute reshape flatten detach""".split()
    ),
    "torch.nn.functional.normalize",
)
_INTO = frozenset({"out", "inplace", "**"})
"""Arguments by which a function changes something after all."""
_SWITCHES = ("torch.no_grad", "torch.inference_mode", "torch.enable_grad", "torch.autocast")
_COMPILE = "torch.compile"


class ResultDiscarded(Rule):
    """A statement that does nothing, because what it gives is thrown away.

    ## What it does

    Reports as a statement of its own: a tensor's method that leaves the tensor as it is (`h.detach()`,
    `p.grad.clamp(...)` without an underscore, `x.to(device)`), a function that does the same to a
    parameter or a gradient (`torch.clamp(self.scale, 0)`), `torch.compile(model)`, and `torch.no_grad()` or
    `torch.autocast(...)` without `with`.

    ## Why it matters

    Only methods that end in an underscore change a tensor; all others give a new one. Gradients stay as large as they
    were, a state keeps its graph, a tensor stays where it is. `torch.compile` gives a compiled network, and leaves the
    one that it was given alone. A context manager that nobody enters switches nothing.

    ## Fix safety

    Safe: the result is assigned, or for gradients and parameters the method gets its underscore. Around which
    statements a `with` was meant to stand can't be told, so there is no fix for that.

    ## Stays silent when

    - it isn't certainly a tensor, by where it comes from or by what else is done with it: `model.to(device)` and
      `batch.to(device)` of other classes change the object itself;
    - a test waits for it to raise (`with pytest.raises(...)`);
    - `torch.set_grad_enabled(...)` and `torch.set_default_device(...)`, which switch when they are called;
    - it stands outside of functions and loops in a notebook, where it shows a value.

    ## References

    - [torch.Tensor.detach](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.detach.html),
      [torch.Tensor.to](https://docs.pytorch.org/docs/2.13/generated/torch.Tensor.to.html),
      [torch.compile](https://docs.pytorch.org/docs/2.13/generated/torch.compile.html)
    """

    code, name, severity = "GS510", "result-discarded", Severity.WARNING
    fix_safety = Safety.SAFE

    def check(self, program: Program) -> Iterator[Finding]:
        told: set[Site] = set()
        for call in program.selected(_without_effect):
            if call.site in told:
                continue
            place = program.place(call.site)
            if place is None or not _is_without_effect(program, place, call) or is_to_raise(program, place):
                continue
            told.add(call.site)
            yield from self.finding(place, *_in_words(program, place, call), fixes=(_fix(program, place, call),))

    examples = [
        Bad(
            """
            import torch
            from torch import nn

            cell = nn.GRUCell(4, 8)
            optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
            hidden = torch.zeros(2, 8)

            for _ in range(3):
                hidden.detach()
            #   ^^^^^^^^^^^^^^^ GS510
                hidden = cell(torch.randn(2, 4), hidden)
                optimizer.zero_grad()
                hidden.pow(2).mean().backward()
                optimizer.step()
            """,
            shows=Raises("backward through the graph a second time"),
            fixed="""
            import torch
            from torch import nn

            cell = nn.GRUCell(4, 8)
            optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
            hidden = torch.zeros(2, 8)

            for _ in range(3):
                hidden = hidden.detach()
                hidden = cell(torch.randn(2, 4), hidden)
                optimizer.zero_grad()
                hidden.pow(2).mean().backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                (model(torch.randn(8, 4)) * 100).pow(2).mean().backward()
                for p in model.parameters():
                    p.grad.clamp(-0.1, 0.1)
            #       ^^^^^^^^^^^^^^^^^^^^^^^ GS510
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                (model(torch.randn(8, 4)) * 100).pow(2).mean().backward()
                for p in model.parameters():
                    p.grad.clamp_(-0.1, 0.1)
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            critic = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                critic(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
                for p in critic.parameters():
                    p.data.clamp(-0.01, 0.01)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^ GS510
            """,
            shows=LossDiffers(),
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1).double()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4)
                x.to(torch.float64)
            #   ^^^^^^^^^^^^^^^^^^^ GS510
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                optimizer.step()
            """,
            shows=Raises("must have the same dtype"),
        ),
        Bad(
            """
            import torch

            weight = torch.zeros(4, requires_grad=True)

            for _ in range(3):
                (torch.randn(8, 4) @ weight - 1).pow(2).mean().backward()
                torch.no_grad()
            #   ^^^^^^^^^^^^^^^ GS510
                weight -= 0.1 * weight.grad
                weight.grad = None
            """,
            shows=Raises("a leaf Variable that requires grad"),
            fixed="""
            import torch

            weight = torch.zeros(4, requires_grad=True)

            for _ in range(3):
                (torch.randn(8, 4) @ weight - 1).pow(2).mean().backward()
                with torch.no_grad():
                    weight -= 0.1 * weight.grad
                weight.grad = None
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                torch.autocast("cpu", dtype=torch.bfloat16)
            #   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS510
                loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = model(torch.randn(8, 4)).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            torch.compile(model)
            ^^^^^^^^^^^^^^^^^^^^ GS510
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            unproven="the compiled network computes the same losses, only faster",
            fixed="""
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            model = torch.compile(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(8, 4)).pow(2).mean().backward()
                optimizer.step()
            """,
        ),
        Bad(
            """
            import torch
            from torch import nn
            from torch.utils.data import DataLoader, Dataset


            class Numbers(Dataset):
                def __len__(self):
                    return 24

                def __getitem__(self, index):
                    return torch.randn(4), torch.randn(1)


            def train(model, loader, optimizer, device):
                model.train()
                for x, y in loader:
                    x = x.to(device, torch.float64)
                    y.to(device, torch.float64)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS510
                    output = model(x)
                    optimizer.zero_grad()
                    nn.functional.huber_loss(output, y).backward()
                    optimizer.step()


            network = nn.Linear(4, 1).double()
            adam = torch.optim.Adam(network.parameters())
            train(network, DataLoader(Numbers(), batch_size=8), adam, "cpu")
            """,
            shows=Raises("Found dtype Float but expected Double"),
        ),
        Good(
            """
            import torch
            from torch import nn

            model = nn.Linear(4, 1)
            model.to("cpu")
            model.float()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            for _ in range(3):
                x = torch.randn(8, 4).to("cpu")
                torch.set_grad_enabled(True)
                optimizer.zero_grad()
                loss = model(x).pow(2).mean()
                loss.retain_grad()
                loss.backward()
                for p in model.parameters():
                    p.grad.clamp_(-1, 1)
                loss.detach_()
                optimizer.step()
            """
        ),
        Silent(
            """
            import torch


            def main(device):
                torch.zeros(1).to(device)  # initialise
                torch.ones(1).cuda()
            """
        ),
        Silent(
            """
            import torch
            from diffusers import AutoencoderKL
            from transformers import CLIPTextModel


            def main(args, accelerator, weights):
                text_encoder = CLIPTextModel.from_pretrained(args.model)
                vae = AutoencoderKL.from_pretrained(args.model)
                vae.requires_grad_(False)
                text_encoder.requires_grad_(False)
                text_encoder.to(accelerator.device, dtype=torch.float16)
                if weights.dtype == torch.float16:
                    vae.half()
                vae.to(accelerator.device)
            """
        ),
        Silent(
            """
            import pytest
            import torch


            def test_no_double():
                with pytest.raises(TypeError):
                    torch.zeros(2).to("nowhere")
            """
        ),
        Silent(
            """
            import torch

            def move(batch, model, device):
                batch.to(device)
                model.to(device)
                batch["image"].cuda()
                torch.load("model.pt").to(device)
                for x, y in loader:
                    x.to(device)
                    model(x).backward()
            """
        ),
        Silent(
            """
            from torch import nn


            def train(model, loader, device):
                for graphs, target in loader:
                    graphs.to(device)
                    target = target.to(device)
                    output = model(graphs.x, graphs.edge_index)
                    nn.functional.nll_loss(output, target).backward()


            def evaluate(model, loader, device):
                for batch, target in loader:
                    batch.to(device)
                    nn.functional.nll_loss(model(batch), target).backward()
            """
        ),
        Silent(
            """
            import torch
            from torch import nn

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer = nn.Linear(4, 1)
                    self.layer.cuda()

                def forward(self, x):
                    return self.layer(x)

            net = Net()
            net.double()
            net.layer.to("cpu").requires_grad_(False)
            """
        ),
        # Arrays of numpy: their elements may be anything, and `clip` may write into what it is given.
        Silent(
            """
            import numpy as np
            import torch

            from library import read

            used = np.array([set() for _ in range(3)])
            for number, user in zip(range(3), range(3)):
                used[number].add(user)
            scan = np.array(read("scan"), dtype=np.float32)
            scan.clip(-1000, 1000, scan)
            x = torch.from_numpy(scan)
            """
        ),
        Bad(
            """
            import torch
            from torch import nn


            class Similarity(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Parameter(torch.tensor(0.3))

                def forward(self, cosine):
                    torch.clamp(self.scale, 1e-6)
            #       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ GS510
                    return (self.scale * cosine + 1).pow(2).mean()


            criterion = Similarity()
            optimizer = torch.optim.SGD(criterion.parameters(), lr=1.0)
            for _ in range(3):
                optimizer.zero_grad()
                criterion(torch.rand(8)).backward()
                optimizer.step()
            """,
            shows=LossDiffers(),
            fixed="""
            import torch
            from torch import nn


            class Similarity(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Parameter(torch.tensor(0.3))

                def forward(self, cosine):
                    scale = torch.clamp(self.scale, 1e-6)
                    return (scale * cosine + 1).pow(2).mean()


            criterion = Similarity()
            optimizer = torch.optim.SGD(criterion.parameters(), lr=1.0)
            for _ in range(3):
                optimizer.zero_grad()
                criterion(torch.rand(8)).backward()
                optimizer.step()
            """,
        ),
        Silent(
            """
            import torch

            x = torch.randn(4)
            torch.clamp(x, 0, 1, out=x)
            torch.nn.functional.normalize(x, dim=0, out=x)
            """
        ),
    ]


_SINGLE = frozenset({"element", "data", "gradient"})


_NAMES = (
    *(f"{kind}.{method}" for kind in ("Tensor", "Parameters") for method in _METHODS),
    *_OF_ANYTHING,
    *_FUNCTIONS,
    *_SWITCHES,
    _COMPILE,
)


def _without_effect(here: FactsHere) -> Iterator[Call]:
    """The calls, as statements of their own, of what only gives a result."""
    for name in _NAMES:
        for _, call in here.calls.get(name, ()):
            one = not isinstance(call.receiver, Parameters) or call.receiver.shape in _SINGLE
            if one and here.is_statement(call.site):
                yield call


def _is_without_effect(program: Program, place: Place, call: Call) -> bool:
    """Whether a call that stands on its own does nothing to what it is called on for certain."""
    if program.file.path.endswith(".ipynb") and call.context.function is None and not call.context.rounds:
        return False
    receiver = call.receiver
    if isinstance(receiver, Parameters):
        return receiver.shape in _SINGLE
    if call.name in _FUNCTIONS:
        # Of other tensors it may be called to be measured, or to begin to use a device.
        given = call.args[0] if call.args else None
        trained = isinstance(given, Parameters) or (
            isinstance(given, Tensor) and bool(given.sources or given.gradients)
        )
        return trained and _INTO.isdisjoint(name for name, _ in call.keywords) and not _is_tried(program, place)
    if _warms_up(place):
        return False
    if isinstance(receiver, Tensor) and not receiver.python and (not receiver.open or call.name == "Tensor.detach"):
        return True
    if isinstance(receiver, (Tensor, Unknown)):
        return _is_used_as_tensor(program, place, call)
    return receiver is None


def _is_tried(program: Program, place: Place) -> bool:
    around = compounds_around(program, place)
    return bool(around) and isinstance(around[-1].node, cst.Try)


def _warms_up(place: Place) -> bool:
    """Whether a new tensor that nobody has a name of is sent somewhere: so as to begin to use that device."""
    maker = m.OneOf(*map(m.Name, ("zeros", "ones", "rand", "randn", "empty", "tensor")))
    constant = m.Arg(m.Integer() | m.Float() | m.Tuple())
    made = m.Call(func=m.Attribute(value=m.Name("torch"), attr=maker), args=[m.AtLeastN(constant, n=1)])
    return m.matches(place.node, m.Call(func=m.Attribute(value=made, attr=m.Name("to") | m.Name("cuda"))))


_TELLING = frozenset(
    """view view_as reshape permute unsqueeze squeeze dim numel size argmax softmax log_softmax long item backward
    transpose contiguous flatten expand repeat""".split()
)
"""What tensors have and Modules haven't."""
_USUAL = frozenset(
    """shape ndim device dtype to cuda cpu type float half double bfloat16 requires_grad_ detach clone data grad
    requires_grad retain_grad numpy tolist mean sum max min std var norm abs pow sqrt exp log eq ne gt lt mul add
    sub div t T copy_ fill_ zero_ gather scatter_ pin_memory is_cuda""".split()
)


def _is_used_as_tensor(program: Program, place: Place, call: Call) -> bool:
    """Whether a variable must be a tensor for what its function does with it: it is given to a loss, or is asked for
    what tensors alone have, and for nothing that they don't have.
    """
    node = place.node
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
        return False
    name = node.func.value
    if not isinstance(name, cst.Name):
        return False
    asked = attributes_asked(program, call.context.function, name.value)
    if not asked <= _TELLING | _USUAL:
        return False
    if call.name == "Unknown.detach" and _is_output(program, call, name.value):
        return True
    return (
        not asked.isdisjoint(_TELLING)
        or _is_given_to_loss(program, call, name.value)
        or _is_cast_for_a_call(call, name.value)
    )


def _is_cast_for_a_call(call: Call, name: str) -> bool:
    """Whether a function gets the variable in another type: `criterion(out, labels.float())`."""
    function = call.context.function
    cast = rf"[(,][ \t]*{re.escape(name)}\.(?:float|half|double)\(\)"
    return function is not None and re.search(cast, function.tree.text) is not None  # type: ignore[attr-defined]


def _is_output(program: Program, call: Call, name: str) -> bool:
    """Whether a variable is what a network gave."""
    for forward in program.facts(Forward):
        place = program.place(forward.site) if forward.context.function == call.context.function else None
        assignment = place.parent() if place is not None else None
        if assignment is not None and isinstance(assignment.node, cst.Assign):
            targets = [each.target for each in assignment.node.targets]
            if any(isinstance(target, cst.Name) and target.value == name for target in targets):
                return True
    return False


def _is_given_to_loss(program: Program, call: Call, name: str) -> bool:
    functions = [fact for _, fact in program.calls_below("torch.nn.functional.")]
    facts: list[Call | Forward] = [*functions, *program.facts(Forward)]
    for fact in facts:
        if fact.context.function != call.context.function:
            continue
        called = fact.name if isinstance(fact, Call) else getattr(fact.module.type, "name", "")
        if not (classes.is_loss(called) or called.endswith(("_loss", "cross_entropy"))):
            continue
        loss = program.place(fact.site)
        given = loss.node.args if loss is not None and isinstance(loss.node, cst.Call) else ()
        if any(isinstance(arg.value, cst.Name) and arg.value.value == name for arg in given):
            return True
    return False


def _in_words(program: Program, place: Place, call: Call) -> tuple[str]:
    if call.name in _SWITCHES:
        return (f"`{place.code()}` switches nothing: nobody enters it. Write `with {place.code()}:` around the code.",)
    if call.name == _COMPILE:
        return (f"`{place.code()}` has no effect: the compiled network is thrown away. Assign it.",)
    if call.name in _FUNCTIONS:
        return (f"`{place.code()}` has no effect: it gives a new tensor, and nobody takes it. Use what it gives.",)
    receiver = _receiver(place)
    if _takes_underscore(call):
        changed = f"`{call.name.rpartition('.')[2]}_`"
        return (f"`{place.code()}` has no effect: it gives a new tensor and leaves `{receiver}` alone. Use {changed}.",)
    parameter = isinstance(call.receiver, Parameters) or (
        isinstance(call.receiver, Tensor) and call.receiver.parameter is not None
    )
    advice = "Call it on the module that holds it" if parameter else "Assign it"
    if _is_gone_through(program, place, receiver):
        advice = "Use what it gives"
    return (f"`{place.code()}` has no effect: it gives a new tensor and leaves `{receiver}` alone. {advice}.",)


def _takes_underscore(call: Call) -> bool:
    return isinstance(call.receiver, Parameters) and call.name.rpartition(".")[2] in _WITH_UNDERSCORE


def _receiver(place: Place) -> str:
    assert isinstance(place.node, cst.Call)
    return place.code(place.node.func.value) if isinstance(place.node.func, cst.Attribute) else ""


def _fix(program: Program, place: Place, call: Call) -> Fix | None:
    """Assign the result, or add the underscore."""
    node = place.node
    span = place.span
    if not isinstance(node, cst.Call) or span is None or call.name in _SWITCHES:
        return None
    if call.name == _COMPILE:
        first = node.args[0] if node.args and node.args[0].keyword is None and not node.args[0].star else None
        return _assign(place, span, first.value) if first is not None else None
    if call.name in _FUNCTIONS:
        given = call.args[0]
        if not isinstance(given, Tensor) or given.parameter is not None or node.args[0].keyword is not None:
            return None
        if not m.matches(node.args[0].value, m.Name() | m.Attribute(value=m.Name("self"))):
            return None
        return _assign(place, span, node.args[0].value)
    if not isinstance(node.func, cst.Attribute):
        return None
    if _takes_underscore(call):
        name = node.func.attr
        edit = edits.replace(place, name, f"{name.value}_")
        return Fix(f"Use `{name.value}_`", (edit,), Safety.SAFE) if edit is not None else None
    if not isinstance(call.receiver, Tensor) or call.receiver.parameter is not None:
        return None
    if isinstance(node.func.value, cst.Name) and _is_gone_through(program, place, node.func.value.value):
        return None
    return _assign(place, span, node.func.value)


def _is_gone_through(program: Program, place: Place, name: str) -> bool:
    """Whether a variable is that of a loop around a place: to assign it again changes nothing of that."""
    loops = (each.node.target for each in compounds_around(program, place) if isinstance(each.node, cst.For))
    return any(m.findall(target, m.Name(name)) for target in loops)


def _assign(place: Place, span: Span, target: cst.BaseExpression) -> Fix | None:
    whole: cst.BaseExpression = target
    while isinstance(whole, cst.Attribute):
        whole = whole.value
    if not isinstance(whole, cst.Name):
        return None
    name = place.code(target)
    return Fix(f"Assign it to `{name}`", (Edit(Span(span.start, span.start), f"{name} = "),), Safety.SAFE)
