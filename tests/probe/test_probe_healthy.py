"""Healthy models of many kinds: each is probed without set-up, and nothing is said against it."""

from __future__ import annotations

import textwrap

import pytest

from .conftest import HEADER, Probe

MODELS = {
    "perceptron": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(10, 32)
                self.out = nn.Linear(32, 2)

            def forward(self, x):
                return self.out(torch.relu(self.hidden(x)))
        """,
    "images, flattened": """
        class Net(nn.Module):
            def __init__(self, num_classes):
                super().__init__()
                self.conv1 = nn.Conv2d(1, 8, 3)
                self.norm = nn.BatchNorm2d(8)
                self.conv2 = nn.Conv2d(8, 16, 3)
                self.fc = nn.Linear(16 * 12 * 12, num_classes)

            def forward(self, x):
                x = F.relu(self.norm(self.conv1(x)))
                x = F.max_pool2d(F.relu(self.conv2(x)), 2)
                return F.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)
        """,
    "frames of a game": """
        class Net(nn.Module):
            def __init__(self, n_actions=4):
                super().__init__()
                self.conv = nn.Sequential(
                    nn.Conv2d(4, 16, 8, stride=4), nn.ReLU(),
                    nn.Conv2d(16, 32, 4, stride=2), nn.ReLU(), nn.Flatten(),
                )
                self.head = nn.Linear(32 * 9 * 9, n_actions)

            def forward(self, frames):
                return self.head(self.conv(frames.float() / 255.0))
        """,
    "sequence": """
        class Net(nn.Module):
            def __init__(self, vocab_size, hidden_dim=16):
                super().__init__()
                self.embedding = nn.Embedding(vocab_size, 12)
                self.lstm = nn.LSTM(12, hidden_dim, batch_first=True)
                self.fc = nn.Linear(hidden_dim, 2)

            def forward(self, tokens):
                states, (last, _) = self.lstm(self.embedding(tokens))
                return self.fc(last[-1])
        """,
    "packed sequence": """
        from torch.nn.utils.rnn import pack_padded_sequence

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(20, 8)
                self.gru = nn.GRU(8, 8, batch_first=True)

            def forward(self, tokens, lengths):
                lengths = lengths.clamp(1, tokens.size(1))
                packed = pack_padded_sequence(
                    self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False
                )
                return self.gru(packed)[1]
        """,
    "recurrent with a state": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = nn.LSTM(6, 9, num_layers=2)

            def forward(self, x, hidden):
                out, hidden = self.lstm(x, hidden)
                return out, hidden
        """,
    "transformer": """
        class Net(nn.Module):
            def __init__(self, d_model, nhead, num_layers):
                super().__init__()
                self.embedding = nn.Embedding(50, d_model)
                layer = nn.TransformerEncoderLayer(d_model, nhead, 32, batch_first=True)
                self.encoder = nn.TransformerEncoder(layer, num_layers)
                self.out = nn.Linear(d_model, 50)

            def forward(self, tokens):
                return self.out(self.encoder(self.embedding(tokens)))
        """,
    "attention by hand": """
        class Net(nn.Module):
            def __init__(self, n_embd=16, n_head=2, block_size=32):
                super().__init__()
                self.n_head = n_head
                self.qkv = nn.Linear(n_embd, 3 * n_embd)
                self.proj = nn.Linear(n_embd, n_embd)
                self.register_buffer("mask", torch.tril(torch.ones(block_size, block_size))[None, None])

            def forward(self, x):
                B, T, C = x.size()
                q, k, v = self.qkv(x).split(C, dim=2)
                q, k, v = (t.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for t in (q, k, v))
                att = (q @ k.transpose(-2, -1)).masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
                return self.proj((F.softmax(att, dim=-1) @ v).transpose(1, 2).reshape(B, T, C))
        """,
    "two inputs of a siamese": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(nn.Linear(20, 8), nn.ReLU())
                self.head = nn.Linear(16, 1)

            def forward(self, left, right):
                return self.head(torch.cat([self.body(left), self.body(right)], dim=1))
        """,
    "variational": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.encode = nn.Linear(784, 32)
                self.mean, self.log_var = nn.Linear(32, 4), nn.Linear(32, 4)
                self.decode = nn.Linear(4, 784)

            def forward(self, x):
                h = torch.tanh(self.encode(x.view(-1, 784)))
                mean, log_var = self.mean(h), self.log_var(h)
                z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
                return torch.sigmoid(self.decode(z)), mean, log_var
        """,
    "encoder and decoder with skips": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
                self.middle = nn.Conv2d(8, 8, 3, padding=1)
                self.up = nn.ConvTranspose2d(8, 3, 2, stride=2)

            def forward(self, image):
                down = self.down(image)
                return torch.cat([image, self.up(down + self.middle(down))], dim=1)
        """,
    "dictionary": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(30, 8)
                self.dense = nn.Linear(5, 8)

            def forward(self, batch):
                return {"score": self.embedding(batch["user_id"]) + self.dense(batch["features"])}
        """,
    "graph": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.randn(7, 5))

            def forward(self, x, adj):
                return adj @ (x @ self.weight)
        """,
    "low rank, zero at first": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.base = nn.Linear(8, 8)
                self.a = nn.Parameter(torch.randn(8, 2))
                self.b = nn.Parameter(torch.zeros(2, 8))

            def forward(self, x):
                return self.base(x) + x @ self.a @ self.b
        """,
    "bias before a batch norm": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))

            def forward(self, x):
                return self.layers(x)
        """,
    "deliberate detach beside another path": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

            def forward(self, x):
                h = self.body(x)
                return self.head(h), self.head(h.detach())
        """,
    "written for a GPU": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(5, 5)

            def forward(self, x):
                start = torch.zeros(x.size(0), 5, device="cuda")
                return self.layer(x.cuda() + start)
        """,
    "reads values": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(5, 5)

            def forward(self, x):
                if x.abs().max().item() > 1e6:
                    raise ValueError("not scaled")
                return self.layer(x)
        """,
}


@pytest.mark.parametrize("name", MODELS)
def test_healthy(name: str, probe: Probe) -> None:
    report = probe(HEADER + textwrap.dedent(MODELS[name]))
    assert report.error is None
    assert report.findings == ()
    assert "will not" not in report.summary()
    assert all(parameter.gradient == "finite" or parameter.shape == (6,) for parameter in report.parameters)


def test_a_pair_of_networks_with_an_optimizer_each(probe: Probe) -> None:
    text = HEADER + (
        "class Generator(nn.Module):\n"
        "    def __init__(self, latent):\n"
        "        super().__init__()\n"
        "        self.layers = nn.Sequential(nn.Linear(latent, 16), nn.ReLU(), nn.Linear(16, 12))\n"
        "    def forward(self, z):\n"
        "        return self.layers(z)\n"
        "class Critic(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(12, 1)\n"
        "    def forward(self, x):\n"
        "        return self.layer(x)\n"
        "def train(latent=6, lr=1e-3):\n"
        "    generator, critic = Generator(latent), Critic()\n"
        "    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=lr)\n"
        "    critic_optimizer = torch.optim.SGD(critic.parameters(), lr=lr)\n"
        "    for step in range(10):\n"
        "        critic_optimizer.step()\n"
    )
    for name, optimizer in [("Generator", "Adam"), ("Critic", "SGD")]:
        report = probe(text, name)
        assert report.findings == ()
        assert [each.name for each in report.optimizers] == [optimizer]
        assert report.optimizers[0].place is not None


def test_a_gradient_whose_squares_vanish_in_float32_is_none_of_zero(probe: Probe) -> None:
    text = HEADER + textwrap.dedent(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Linear(10, 2)

            def forward(self, x):
                return self.body(x) * 1e-27
        """
    )
    report = probe(text, "Net")
    assert {each.gradient for each in report.parameters} == {"finite"}
    assert all(0 < each.gradient_norm < 1e-20 for each in report.parameters)
