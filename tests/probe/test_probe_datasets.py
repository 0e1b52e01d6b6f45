"""Batches of the file's own datasets, where they cost nothing."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from .conftest import HEADER, Probe, line_of

NET = """
from torch.utils.data import DataLoader, Dataset, TensorDataset

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 6)
        self.layer = nn.Linear(6, 3)

    def forward(self, tokens, lengths):
        seen = torch.arange(tokens.shape[1]) < lengths[:, None]
        mean = (self.table(tokens) * seen.unsqueeze(-1)).sum(1) / lengths[:, None]
        return self.layer(mean)
"""
LOADERS = {
    "tensors": """
        tokens, lengths = torch.randint(0, 50, (40, 7)), torch.randint(1, 8, (40,))
        data = TensorDataset(tokens, lengths, torch.arange(40) % 3)
        loader = DataLoader(data, batch_size=8, shuffle=True, num_workers=4, prefetch_factor=2)
        """,
    "a class": """
        class Texts(Dataset):
            def __init__(self, count, length=7):
                self.count, self.length = count, length

            def __len__(self):
                return self.count

            def __getitem__(self, index):
                return torch.randint(0, 50, (self.length,)), 1 + index % self.length, index % 3

        loader = DataLoader(Texts(40), 8)
        """,
    "batches by hand": """
        class Texts(Dataset):
            def __init__(self):
                self.texts = [list(range(1, 2 + i % 7)) for i in range(40)]

            def __len__(self):
                return len(self.texts)

            def __getitem__(self, index):
                return torch.tensor(self.texts[index]), index % 3

        def together(items):
            texts, labels = zip(*items)
            lengths = torch.tensor([len(each) for each in texts])
            padded = torch.zeros(len(texts), 7, dtype=torch.long)
            for row, each in zip(padded, texts):
                row[: len(each)] = each
            return padded, lengths, torch.tensor(labels)

        loader = DataLoader(Texts(), batch_size=8, collate_fn=together)
        """,
    "a generator": """
        def batches():
            while True:
                yield torch.randint(0, 50, (8, 7)), torch.randint(1, 8, (8,)), torch.randint(0, 3, (8,))

        loader = batches()
        """,
}
TRAINS = """
def train(model, batches, device):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(3):
        for step, (texts, lengths, labels) in enumerate(batches):
            texts, labels = texts.to(device), labels.to(device)
            loss = criterion(model(texts, lengths), labels)  # here
            loss.backward()
            optimizer.step()

if __name__ == "__main__":
    train(Net(), loader, "cpu")
"""


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_a_batch_of_a_loader(probe: Probe, loader: str) -> None:
    text = HEADER + NET + textwrap.dedent(loader) + TRAINS
    report = probe(text)
    assert report.error is None
    assert report.findings == ()
    tokens, lengths = report.inputs
    assert (tokens.text, lengths.text.partition(" below")[0]) == ("int64 (4, 7) below 50", "int64 (4,)")
    assert {tokens.source, lengths.source} == {f"as on line {line_of(text)}"}


def test_its_numbers_are_used(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        from torch.utils.data import DataLoader, TensorDataset

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.one = nn.Linear(5, 4)
                self.two = nn.Linear(4, 1)

            def forward(self, x):
                assert (x >= 100).all()
                return self.two(torch.tanh(self.one(x)))

        x = torch.rand(64, 5) + 100
        for (batch,) in DataLoader(TensorDataset(x), batch_size=16):
            model = Net()
            model(batch).mean().backward()
        """)
    report = probe(text)
    assert report.error is None


def test_what_costs_anything_is_not_asked_for(probe: Probe, tmp_path: Path) -> None:
    text = HEADER + textwrap.dedent("""
        from torch.utils.data import DataLoader, Dataset

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(5, 4)

            def forward(self, x):
                return self.layer(x)

        class Stored(Dataset):
            def __init__(self, folder):
                open(folder + "/trap", "w").close()
                self.items = torch.load(folder + "/items.pt")

            def __len__(self):
                return len(self.items)

            def __getitem__(self, index):
                return self.items[index]

        if __name__ == "__main__":
            model = Net()
            for x in DataLoader(Stored("."), batch_size=16):
                model(x)
        """)
    torch_file = tmp_path / "items.pt"
    torch_file.write_bytes(b"no tensors")
    report = probe(text)
    assert report.error is None
    assert (report.inputs[0].text, report.inputs[0].source) == ("float32 (4, 5)", "synthesised")
    assert not (tmp_path / "trap").exists()


MODULE = """
import torch
import torch.nn as nn
import lightning as pl
from torch.utils.data import DataLoader, TensorDataset

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 6)
        self.layer = nn.Linear(6, 3)

    def training_step(self, batch, batch_idx):
        tokens, labels = batch
        return nn.functional.cross_entropy(self.layer(self.table(tokens).mean(1)), labels)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
"""
GIVEN = {
    "by itself": """
    def train_dataloader(self):  # here
        data = TensorDataset(torch.randint(0, 50, (40, 7)), torch.arange(40) % 3)
        return DataLoader(data, batch_size=8, num_workers=2)
""",
    "a loader": """
data = TensorDataset(torch.randint(0, 50, (40, 7)), torch.arange(40) % 3)

if __name__ == "__main__":
    net = Net()
    trainer = pl.Trainer(max_epochs=1)
    trainer.fit(net, DataLoader(data, batch_size=8, num_workers=2))  # here
""",
    "a module of data": """
class Data(pl.LightningDataModule):
    def prepare_data(self):
        raise RuntimeError("it downloads")

    def setup(self, stage):
        self.data = TensorDataset(torch.randint(0, 50, (40, 7)), torch.arange(40) % 3)

    def train_dataloader(self):
        return DataLoader(self.data, batch_size=8)

if __name__ == "__main__":
    pl.Trainer(max_epochs=1).fit(Net(), datamodule=Data())  # here
""",
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_what_a_trainer_is_given(probe: Probe, given: str) -> None:
    text = MODULE + given
    report = probe(text)
    assert report.error is None
    [batch] = report.inputs
    assert batch.text == "tokens int64 (4, 7) below 50, labels int64 (4,) below 3"
    assert batch.source == f"as on line {line_of(text)}"
