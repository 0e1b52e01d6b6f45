"""The way of the gradient: which parameters a loss still reaches, and what cut it."""

from __future__ import annotations

import pytest

from gradsense.program.facts import Build, Forward, UsedUp
from gradsense.program.values import Ref, Tensor
from tests.program.seen import losses, program


def test_a_loss_reaches_the_network_it_comes_from() -> None:
    (loss,) = losses("model(torch.randn(8, 4)).pow(2).mean().backward()")
    assert len(loss.sources) == 1
    assert loss.requires is True
    assert not loss.cuts


@pytest.mark.parametrize(
    ("expression", "how"),
    [
        ("torch.tensor(loss, requires_grad=True)", "torch.tensor"),
        ("loss.detach().requires_grad_()", "detach"),
        ("(loss > 0).float().requires_grad_()", "`>`"),
        ("loss.data.requires_grad_()", "data"),
        ("torch.tensor(loss.item(), requires_grad=True)", "item"),
    ],
)
def test_what_cuts_is_remembered(expression: str, how: str) -> None:
    (loss,) = losses(f"loss = model(torch.randn(8, 4)).mean()\n({expression}).backward()\n")
    assert [cut.how for cut in loss.cuts] == [how]


def test_no_grad_cuts_and_names_the_line_that_switched() -> None:
    (loss,) = losses(
        """
        with torch.no_grad():
            out = model(torch.randn(8, 4))
        out.sum().backward()
        """
    )
    assert not loss.sources
    (cut,) = loss.cuts
    assert cut.how == "no_grad"
    assert cut.switch is not None


def test_another_way_to_the_loss_keeps_the_gradient() -> None:
    (loss,) = losses("out = model(torch.randn(8, 4))\n(out.mean() + out.detach().mean()).backward()\n")
    assert loss.sources
    assert loss.cuts


def test_values_go_through_containers_helpers_and_forward() -> None:
    (loss,) = losses(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

            def forward(self, x):
                parts = {"logits": self.head(torch.relu(self.body(x)))}
                return parts, x

        def loss_of(parts):
            values = [parts["logits"].mean()]
            values.append(parts["logits"].std())
            return sum(values)

        net = Net()
        parts, _ = net(torch.randn(8, 4))
        loss_of(parts).backward()
        """
    )
    assert len(loss.sources) == 2


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ("net.parameters()", 2),
        ("[p for p in net.parameters() if p.requires_grad]", 2),
        ("list(net.body.parameters()) + list(net.head.parameters())", 2),
        ("[{'params': net.body.parameters()}, {'params': net.head.parameters(), 'lr': 0.1}]", 2),
        ("itertools.chain(net.body.parameters(), net.head.parameters())", 2),
        ("filter(lambda p: p.requires_grad, net.head.parameters())", 1),
        ("[{'params': net.head.parameters()}]", 1),
    ],
)
def test_an_optimizer_holds_what_it_is_given(parameters: str, count: int) -> None:
    made = program(
        f"""
        import itertools

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

        net = Net()
        second = torch.optim.SGD({parameters}, lr=0.1)
        """
    )
    build = made.facts(Build)[-1]
    assert len(build.holdings.sources) == count
    assert not build.holdings.open


def test_a_list_of_parameters_grows() -> None:
    made = program(
        """
        other = nn.Linear(4, 4)
        params = list(model.parameters())
        params.extend(other.parameters())
        second = torch.optim.SGD(params, lr=0.1)
        """
    )
    assert len(made.facts(Build)[-1].holdings.sources) == 2


@pytest.mark.parametrize(
    ("expression", "how", "requires"),
    [
        ("out.argmax(1).float()", "argmax", False),
        ("torch.round(out)", "round", True),
        ("out.to(torch.long).float()", "to", False),
        ("torch.max(out, 1)[1].float()", "indices", False),
    ],
)
def test_steps_have_no_gradient(expression: str, how: str, requires: bool) -> None:
    (loss,) = losses(f"out = model(torch.randn(8, 4))\n({expression}).mean().backward()\n")
    assert not loss.sources
    assert [cut.how for cut in loss.cuts] == [how]
    assert loss.requires is requires


def test_the_values_of_max_keep_their_gradient() -> None:
    (loss,) = losses("value, index = model(torch.randn(8, 4)).max(dim=1)\n(value * index).mean().backward()\n")
    assert loss.sources
    assert [cut.how for cut in loss.cuts] == ["indices"]


def test_a_batch_comes_from_data_alone() -> None:
    made = program(
        """
        import lightning as L

        class Net(L.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(4, 1)

            def training_step(self, batch, batch_idx):
                x, y = batch
                return nn.functional.mse_loss(self.layer(x), y)
        """
    )
    (returned,) = made.classes["Net"].runs["training_step"].returns
    assert isinstance(returned.value, Tensor)
    assert not returned.value.open


def test_a_namespace_has_the_attributes_that_it_is_given() -> None:
    (loss,) = losses("""
    from types import SimpleNamespace

    def outputs(model, x):
        return SimpleNamespace(scores=x, loss=model(x).mean())

    outputs(model, torch.randn(8, 4)).loss.backward()
    """)
    assert loss.sources
    assert not loss.open


def test_a_flag_set_by_hand_makes_a_leaf() -> None:
    (loss,) = losses("""
    loss = model(torch.randn(8, 4)).mean().detach()
    loss.requires_grad = True
    loss.backward()
    """)
    assert loss.parameter is not None
    assert loss.sources == {loss.parameter}
    assert loss.cuts


def test_none_has_no_arithmetic() -> None:
    (loss,) = losses("""
    from somewhere import flag

    penalty = model.weight.pow(2).sum() if flag else None
    (model(torch.randn(8, 4)).mean() + penalty).backward()
    """)
    assert loss.sources
    assert not loss.open


def test_a_list_of_pairs_can_be_gone_through_again() -> None:
    text = """
    named = {}(model.named_parameters())
    decayed = [p for n, p in named if "bias" not in n]
    others = [p for n, p in named if "bias" in n]
    """
    assert not program(text.format("list")).facts(UsedUp)
    assert program(text.format("iter")).facts(UsedUp)


@pytest.mark.parametrize("loader", ["batches(torch.randn(32, 4))", "list(batches(torch.randn(32, 4)))"])
def test_a_generator_of_data_gives_data(loader: str) -> None:
    (loss,) = losses(
        f"""
        def batches(data):
            for start in range(0, 32, 8):
                yield data[start : start + 8], torch.ones(8, 1)

        for x, y in {loader}:
            loss = (model(x) - y).pow(2).mean()
            loss.backward()
        """
    )
    assert loss.sources
    assert not loss.open


def test_a_generator_of_what_has_gradients_is_not_known() -> None:
    assert not losses(
        """
        def outputs(data):
            for _ in range(4):
                yield model(data)

        for out in outputs(torch.randn(8, 4)):
            out.sum().backward()
        """
    )


def test_the_iterator_of_a_loader_gives_batches_though_it_is_made_again() -> None:
    (loss,) = losses(
        """
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)))
        batches = iter(loader)
        for step in range(100):
            if step % 32 == 0:
                batches = iter(loader)
            (x,) = next(batches)
            model(x.view(x.size(0), -1)).sum().backward()
        """
    )
    assert loss.sources
    assert not loss.open


def test_arithmetic_on_constants_is_nothing_trained() -> None:
    (loss,) = losses("""
    beta = 2.0
    scores = model(torch.randn(8, 4))
    (scores.mean() * (1 + beta**2)).backward()
    """)
    assert not loss.open


def test_what_torch_tensor_makes_has_no_history_whatever_it_is_made_of() -> None:
    (loss,) = losses(
        """
        from elsewhere import outputs

        kept = []
        for output in outputs():
            kept.append(output)
        torch.tensor(kept).sum().backward()
        """
    )
    assert loss.requires is False
    assert [(cut.how, cut.sources) for cut in loss.cuts] == [("torch.tensor", frozenset())]
    assert not loss.open


def test_a_flag_that_is_not_known_may_give_a_new_tensor_a_gradient() -> None:
    (loss,) = losses("from elsewhere import x, flag\ntorch.tensor(x, requires_grad=flag).sum().backward()\n")
    assert loss.open
    assert loss.requires is None


def test_what_detach_gives_has_no_history_whatever_it_is_called_on() -> None:
    (loss,) = losses(
        """
        from elsewhere import network

        (model(torch.randn(8, 4)) - network(torch.randn(8, 4)).detach()).pow(2).mean().backward()
        """
    )
    assert loss.sources
    assert not loss.open


def test_a_tensor_that_is_asked_for_its_gradient_is_a_leaf_for_every_name_of_it() -> None:
    (loss,) = losses(
        """
        from elsewhere import numbers

        x = torch.tensor(numbers).to("cuda")
        x.requires_grad_()
        x.pow(2).sum().backward()
        """
    )
    assert loss.requires is True
    assert [source.part for source in loss.sources] == ["leaf"]


@pytest.mark.parametrize("call", ["F.nll_loss(out, {})", "F.cross_entropy(out, target={})", "nn.NLLLoss()(out, {})"])
def test_labels_that_are_not_known_are_data(call: str) -> None:
    program = f"""
        import torch.nn.functional as F
        from elsewhere import labels

        out = model(torch.randn(8, 4)).argmax(dim=1)
        {call.format("labels()")}.backward()
        """
    (loss,) = losses(program)
    assert not loss.open
    assert loss.requires is False


def test_a_target_that_may_have_a_gradient_is_no_label() -> None:
    (loss,) = losses(
        """
        import torch.nn.functional as F
        from elsewhere import predictions

        F.mse_loss(model(torch.randn(8, 4)).detach(), predictions()).backward()
        """
    )
    assert loss.open


def test_arithmetic_under_no_grad_leaves_no_graph() -> None:
    (loss,) = losses(
        """
        from elsewhere import adjacency

        with torch.no_grad():
            out = adjacency @ model(torch.randn(8, 4))
        out.sum().backward()
        """
    )
    assert [cut.how for cut in loss.cuts] == ["no_grad"]
    assert not loss.open


def test_data_parallel_calls_the_module_that_it_is_given() -> None:
    (loss,) = losses("torch.nn.parallel.data_parallel(model, torch.randn(8, 4), range(2)).sum().backward()\n")
    assert loss.sources
    assert not loss.open


KEPT = """
from collections import namedtuple
Saved = namedtuple("Saved", ["output", "value"])
critic = nn.Linear(4, 1)
kept = []

def act(x):
    kept.append(Saved(model(x), critic(x)))

"""


@pytest.mark.parametrize(
    ("loop", "sources"),
    [
        ("for output, value in kept:\n    losses.append(output)\n", 1),
        ("for output, value in zip([each.output for each in kept], [1, 2]):\n    losses.append(output)\n", 1),
        ("for (output, value), number in zip(kept, [1, 2]):\n    losses.append(output * value * number)\n", 2),
        ("for each in kept:\n    losses.append(each.value)\n", 1),
    ],
)
def test_named_tuples_are_kept_in_lists(loop: str, sources: int) -> None:
    acts = "for x in torch.randn(3, 8, 4):\n    act(x)\n"
    (loss,) = losses(KEPT + acts + "losses = []\n" + loop + "torch.stack(losses).sum().backward()")
    assert len(loss.sources) == sources


def test_a_list_is_empty_after_all_of_it_was_deleted() -> None:
    (loss,) = losses(
        KEPT + "act(torch.randn(8, 4))\ndel kept[:]\nkept.append(Saved(value=critic(torch.randn(8, 4)), output=None))\n"
        "kept[0].value.sum().backward()"
    )
    assert len(loss.sources) == 1
    assert loss.requires is True


def test_one_item_of_a_list_is_deleted() -> None:
    (loss,) = losses(
        """
        critic = nn.Linear(4, 1)
        x = torch.randn(8, 4)
        kept = [model(x), critic(x), x]
        del kept[0]
        named = {"model": model(x), "critic": critic(x)}
        del named["model"]
        (kept[0] + named["critic"]).sum().backward()
        """
    )
    assert len(loss.sources) == 1


def test_only_a_wrapper_has_the_network_that_it_wraps() -> None:
    (loss,) = losses(
        """
        wrapped = model
        if unknown:
            wrapped = nn.parallel.DistributedDataParallel(model)
        wrapped.module(torch.randn(8, 4)).sum().backward()
        """
    )
    assert loss.sources
    assert not loss.open


def test_a_wrapper_s_forward_is_as_good_as_a_call_of_it() -> None:
    found = program(
        """
        wrapped = nn.parallel.DistributedDataParallel(model)
        wrapped.forward(torch.randn(8, 4)).sum().backward()
        """
    )
    assert [fact.module.type for fact in found.facts(Forward)] == [Ref("torch.nn.parallel.DistributedDataParallel")]
