"""Sick models: each parameter that will not learn gets the right cause, at the marked line."""

from __future__ import annotations

import textwrap

import pytest

from .conftest import HEADER, Probe, line_of

# For each: the text, the cause, and the parameters it is about. `# here` marks the finding's line.
CUTS = {
    "detach": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

            def forward(self, x):
                h = F.relu(self.body(x))
                h = h.detach()  # here
                return self.head(h)
        """,
        "`.detach()`",
        {"body.weight", "body.bias"},
    ),
    "data": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

            def forward(self, x):
                return self.head(self.body(x).data)  # here
        """,
        "`.data`",
        {"body.weight", "body.bias"},
    ),
    "item": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.scale = nn.Linear(10, 5), nn.Linear(10, 1)

            def forward(self, x):
                scale = self.scale(x).mean().item()  # here
                return self.body(x) * scale
        """,
        "`.item()`",
        {"scale.weight", "scale.bias"},
    ),
    "numpy": (
        """
        import numpy as np

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

            def forward(self, x):
                h = self.body(x).detach().numpy()  # here
                return self.head(torch.from_numpy(np.tanh(h)))
        """,
        "`.detach()`",
        {"body.weight", "body.bias"},
    ),
    "no_grad": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

            def forward(self, x):
                with torch.no_grad():  # here
                    h = self.body(x)
                return self.head(h)
        """,
        "`no_grad`",
        {"body.weight", "body.bias"},
    ),
    "decorator": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

            @torch.no_grad()  # here
            def features(self, x):
                return self.body(x)

            def forward(self, x):
                return self.head(self.features(x))
        """,
        "`no_grad`",
        {"body.weight", "body.bias"},
    ),
    "new leaf": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

            def forward(self, x):
                h = torch.tensor(self.body(x), requires_grad=True)  # here
                return self.head(h)
        """,
        "`torch.tensor(…)`",
        {"body.weight", "body.bias"},
    ),
    "argmax": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.table = nn.Linear(10, 5), nn.Embedding(5, 3)

            def forward(self, x):
                return self.table(self.body(x).argmax(dim=-1))  # here
        """,
        "`argmax`, which has no gradient,",
        {"body.weight", "body.bias"},
    ),
    "comparison": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.gate, self.body = nn.Linear(10, 5), nn.Linear(10, 5)

            def forward(self, x):
                mask = self.gate(x) > 0  # here
                return self.body(x) * mask
        """,
        "`gt`, which has no gradient,",
        {"gate.weight", "gate.bias"},
    ),
    "indexed by values and behind the cut": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.scores, self.body, self.head = nn.Linear(10, 6), nn.Linear(10, 6), nn.Linear(3, 1)

            def forward(self, x):
                best = self.scores(x).topk(3).indices  # here
                return self.head(torch.stack([row[each] for row, each in zip(self.body(x), best)]))
        """,
        "`topk`, which has no gradient,",
        {"scores.weight", "scores.bias"},
    ),
    "written into a buffer": (
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

            def forward(self, x):
                out = torch.zeros(x.size(0), 5)
                out[:] = self.body(x).detach()  # here
                return self.head(out)
        """,
        "`.detach()`",
        {"body.weight", "body.bias"},
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_cut(name: str, probe: Probe) -> None:
    code, words, parameters = CUTS[name]
    text = HEADER + textwrap.dedent(code)
    report = probe(text)
    assert report.error is None
    assert {each.name for each in report.parameters if not each.learns} == parameters
    [finding] = report.findings
    assert finding.code == "probe-cut"
    assert finding.line == line_of(text)
    assert finding.message.startswith(words)
    assert any("made here" in related[0] for related in finding.related)


def test_everything_cut(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(10, 5)

            def forward(self, x):
                return torch.from_numpy(self.layer(x).detach().cpu().numpy())  # here
        """)
    report = probe(text)
    assert report.summary() == "2 of 2 parameters will not learn"
    assert [each.line for each in report.findings] == [line_of(text)]


def test_dual_network(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class DualNetwork(nn.Module):
            def __init__(self):
                super().__init__()
                self.shared_layer = nn.Linear(10, 5)
                self.critic_layer = nn.Linear(5, 1)  # critic
                self.actor_layer = nn.Linear(5, 2)  # actor

            def forward(self, x):
                x = self.shared_layer(x)
                return self.critic_layer(x), self.actor_layer(x)

        network = DualNetwork()
        optimizer = torch.optim.Adam([{"params": network.shared_layer.parameters()}], lr=0.01)  # built
        raise RuntimeError("the training loop is never run")
        """)
    report = probe(text, "DualNetwork")
    assert report.error is None
    assert report.summary() == "4 of 6 parameters will not learn"
    assert [(each.code, each.line) for each in report.findings] == [
        ("probe-not-in-optimizer", line_of(text, "# critic")),
        ("probe-not-in-optimizer", line_of(text, "# actor")),
    ]
    assert report.findings[0].message == (
        f"`critic_layer` gets gradients that nobody applies: `Adam` on line {line_of(text, '# built')} "
        "doesn't hold it. Pass `network.parameters()`."
    )
    assert [related[2] for related in report.findings[0].related] == [line_of(text, "# built")]
    learning = {each.layer for each in report.parameters if each.learns}
    assert learning == {"shared_layer"}
    assert all(each.gradient == "finite" for each in report.parameters)


def test_the_later_of_two_constructions_counts(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Linear(10, 5), nn.Linear(5, 1)

            def forward(self, x):
                return self.b(self.a(x))

        network = Net()
        optimizer = torch.optim.Adam(network.a.parameters(), lr=0.01)
        network = Net()
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        """)
    assert probe(text).findings == ()


def test_frozen_parameter_of_ones_own(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.randn(5, 5))  # here
                self.weight.requires_grad = False  # frozen

            def forward(self, x):
                return torch.matmul(x, self.weight)

        network = nn.Sequential(Net(), nn.Linear(5, 1))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        """)
    [finding] = probe(text).findings
    assert (finding.code, finding.severity, finding.line) == ("probe-frozen", "warning", line_of(text))
    assert [related[2] for related in finding.related] == [line_of(text, "# frozen")]


def test_frozen_body_of_a_fine_tuning_is_information(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)
                for parameter in self.body.parameters():
                    parameter.requires_grad = False

            def forward(self, x):
                return self.head(self.body(x))

        model = Net()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        """)
    assert [each.severity for each in probe(text).findings] == ["information"]


def test_layers_in_a_list(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = [nn.Linear(10, 10) for _ in range(2)]  # here
                self.out = nn.Linear(10, 1)

            def forward(self, x):
                for layer in self.layers:
                    x = torch.relu(layer(x))
                return self.out(x)
        """)
    report = probe(text)
    assert report.summary() == "4 of 6 parameters will not learn"
    [finding] = report.findings
    assert (finding.code, finding.line) == ("probe-not-registered", line_of(text))
    assert finding.message.endswith("Keep `layers` in `nn.ModuleList`.")


def test_unused_layer_and_lost_result(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Linear(10, 5)
                self.unused = nn.Linear(3, 3)  # unused
                self.lost = nn.Linear(10, 5)  # lost

            def forward(self, x):
                lost = self.lost(x)  # computed
                return self.body(x)
        """)
    findings = {each.line: each for each in probe(text).findings}
    assert set(findings) == {line_of(text, "# unused"), line_of(text, "# lost")}
    assert "`forward` never uses it" in findings[line_of(text, "# unused")].message
    lost = findings[line_of(text, "# lost")]
    assert f"line {line_of(text, '# computed')} never reaches the loss" in lost.message


def test_learning_rate_zero(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(10, 5)

            def forward(self, x):
                return self.layer(x)

        def main():
            model = Net()
            optimizer = torch.optim.SGD(model.parameters(), lr=0)
        """)
    assert [(each.code, "learning rate is 0" in each.message) for each in probe(text).findings] == [
        ("probe-unmoved", True)
    ]


def test_learning_rate_below_float_resolution(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(10, 5)

            def forward(self, x):
                return self.layer(x)

        def main():
            model = Net()
            optimizer = torch.optim.SGD(model.parameters(), lr=1e-12)
        """)
    [finding] = probe(text).findings
    assert finding.code == "probe-unmoved"
    assert "too small to change a float32" in finding.message


def test_head_made_after_the_optimizer(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.fc = nn.Linear(10, 5), nn.Linear(5, 10)

            def forward(self, x):
                return self.fc(self.body(x))

        def main():
            model = Net()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model.fc = nn.Linear(5, 2)  # here
            for x in range(3):
                optimizer.step()
        """)
    [finding] = probe(text).findings
    assert (finding.code, finding.line) == ("probe-not-in-optimizer", line_of(text))
    assert finding.message.endswith(f"Build `SGD` after line {line_of(text)}.")


def test_dead_weights_are_doubtful_not_certain(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

            def forward(self, x):
                return self.head(torch.relu(self.body(x) - 100.0))
        """)
    report = probe(text)
    assert {each.code for each in report.findings} == {"probe-zero-gradient"}
    assert {each.severity for each in report.findings} == {"information"}
    assert report.summary() == "3 of 4 parameters get a gradient of 0"


def test_not_finite(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(10, 5)  # made

            def forward(self, x):
                h = self.layer(x)
                return torch.log(h * 0)  # here
        """)
    [finding] = probe(text).findings
    assert (finding.code, finding.line) == ("probe-not-finite", line_of(text))
    assert [related[2] for related in finding.related] == [line_of(text, "# made")]


def test_layer_made_in_forward(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(10, 5)

            def forward(self, x):
                fresh = nn.Linear(5, 2)  # here
                return fresh(torch.relu(self.layer(x)))
        """)
    report = probe(text)
    assert [(each.code, each.line) for each in report.findings] == [("probe-made-in-forward", line_of(text))]
    assert "`Linear` is made anew at every step" in report.render_text()


def test_the_criterion_of_the_file_judges(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(10, 5)

            def forward(self, x):
                return self.layer(x)

        def train(network, batches, criterion):
            for x, y in batches:
                scores = network(x)
                loss = criterion(scores, y)  # here

        def main():
            model = Net()
            criterion = nn.CrossEntropyLoss()
            train(model, [], criterion)
        """)
    report = probe(text)
    assert report.findings == ()
    assert report.loss == f"CrossEntropyLoss as on line {line_of(text)}"


def test_inputs_that_the_file_makes_up(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Conv2d(3, 5, 3)

            def forward(self, x):
                return self.layer(x)

        if __name__ == "__main__":
            size = 20
            model = Net()
            x = torch.randn(2, 3, size, size)
            print(model(x).shape)  # here
        """)
    [given] = probe(text).inputs
    assert (given.text, given.source) == ("float32 (2, 3, 20, 20)", f"as on line {line_of(text)}")
