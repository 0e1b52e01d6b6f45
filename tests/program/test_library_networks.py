"""Networks from libraries: where they come from, and what is read of what they give."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse, check_text
from gradsense.snapshot import CallResult, ClassAncestry, Snapshot

LOOP = """
    import torch
    from transformers import AutoModelForSequenceClassification, BertForSequenceClassification


    def tune(loader):
        model = {network}
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
        for batch in loader:
            {clear}
            out = model(**batch)
            {backward}
            optimizer.step()
"""
AUTO = 'AutoModelForSequenceClassification.from_pretrained("bert-base-uncased")'


def loop(backward: str, network: str = AUTO, clear: str = "pass") -> str:
    return textwrap.dedent(LOOP.format(network=network, clear=clear, backward=backward))


@pytest.mark.parametrize(
    "backward",
    [
        "out.loss.backward()",
        "out[0].backward()",
        'out["loss"].backward()',
        'out.get("loss").backward()',
        'torch.nn.functional.cross_entropy(out.logits, batch["y"]).backward()',
    ],
)
def test_a_loss_is_read_of_what_a_network_gives(backward: str) -> None:
    assert [finding.code for finding in check_text(loop(backward))] == ["GS403"]
    assert check_text(loop(backward, clear="optimizer.zero_grad()")) == []


def test_a_network_is_known_by_the_bases_of_its_class() -> None:
    text = loop("out.loss.backward()", 'BertForSequenceClassification.from_pretrained("bert-base-uncased")')
    snapshot = Snapshot("train.py", text, Settings())
    assert analyse(snapshot).findings == ()
    asked = CallResult("transformers.BertForSequenceClassification.from_pretrained", "train.py")
    assert asked in analyse(snapshot).questions
    home = "transformers.models.bert.modeling_bert"
    answer = (f"{home}.BertForSequenceClassification", f"{home}.BertPreTrainedModel", "torch.nn.modules.module.Module")
    answered = replace(snapshot, answers={asked: answer})
    assert [finding.code for finding in analyse(answered).findings] == ["GS403"]


def test_what_a_metric_gives_has_no_graph() -> None:
    text = textwrap.dedent(
        """
        import torch
        from torch import nn
        from torchmetrics import Accuracy


        def train(loader):
            net = nn.Linear(4, 3)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            accuracy = Accuracy(task="multiclass", num_classes=3)
            right = losses = 0
            for x, y in loader:
                out = net(x)
                loss = nn.functional.cross_entropy(out, y)
                right += accuracy(out, y)
                losses += loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(right, losses)
        """
    )
    asked = ClassAncestry("torchmetrics.Accuracy", "train.py")
    metric = ("torchmetrics.classification.accuracy.Accuracy", "torchmetrics.metric.Metric", "torch.nn.Module")
    findings = analyse(Snapshot("train.py", text, Settings(), answers={asked: metric})).findings
    assert [(found.code, text[found.span.start :].partition(" ")[0]) for found in findings] == [("GS508", "losses")]


UNUSED = """
    import torch
    from torch import nn
    from {package} import Counter


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)
            self.count = Counter()

        def forward(self, x):
            return self.layer(x)
"""


@pytest.mark.parametrize(("package", "found"), [("layers", ["GS207"]), ("torchmetrics", [])])
def test_a_metric_has_nothing_to_learn(package: str, found: list[str]) -> None:
    snapshot = Snapshot("train.py", textwrap.dedent(UNUSED.format(package=package)), Settings())
    asked = ClassAncestry(f"{package}.Counter", "train.py")
    answered = replace(snapshot, answers={asked: ("torch.nn.Module",)})
    assert [finding.code for finding in analyse(answered).findings] == found
