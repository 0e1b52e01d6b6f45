"""Shapes that docstrings, comments, annotations and patterns tell."""

from __future__ import annotations

import textwrap

import pytest

from gradsense.probe.worker.documented import sizes_in

from .conftest import HEADER, Probe, line_of

TOLD = {
    "a comment on the first line": """
        class Net(nn.Module):
            def forward(self, x):  # (B, 5, H, W)  # here
                return x.mean((2, 3)) * self.weight
        """,
    "a comment with the name": """
        class Net(nn.Module):
            def forward(self, x):
                # x: [batch, 5, height, width]  # here
                x = x.mean((2, 3))  # x: (B, 7, 8)
                return x * self.weight
        """,
    "a comment for each argument": """
        class Net(nn.Module):
            def forward(
                self,
                scale,  # (B,)
                x,  # (B, 5, H, W)  # here
            ):
                return x.mean((2, 3)) * self.weight * scale[:, None]
        """,
    "Google's style": '''
        class Net(nn.Module):
            def forward(self, x, scale=1.0):
                """Scale (and average) it.

                Args:
                    x (torch.Tensor): images, normalised to (mean=0),  # here
                        of shape (N, 5, 32, 32).
                    scale (float): a factor, of shape (N, 5, 6).
                """
                return x.mean((2, 3)) * self.weight * scale
        ''',
    "NumPy's style": '''
        class Net(nn.Module):
            def forward(self, x):
                """Average it.

                Parameters
                ----------
                x : FloatTensor of shape (n_samples, 5, height, width) # here

                Returns
                -------
                Tensor of shape (n_samples, 5)
                """
                return x.mean((2, 3)) * self.weight
        ''',
    "reST": '''
        class Net(nn.Module):
            def forward(self, x):
                """Average it.

                :param x: input of size ``[batch size, 5, height, width]`` # here
                :returns: (B, 5)
                """
                return x.mean((2, 3)) * self.weight
        ''',
    "torch's own style": '''
        class Net(nn.Module):
            r"""A layer.

            Shape:
                - Input: :math:`(N, 5, H_{in}, W_{in})` # here
                - Output: :math:`(N, 5)`
            """

            def forward(self, x):
                return x.mean((2, 3)) * self.weight
        ''',
    "an annotation": """
        from typing import Annotated

        class Net(nn.Module):
            def forward(self, x: Annotated[torch.Tensor, "batch 5 height width"]):  # here
                return x.mean((2, 3)) * self.weight
        """,
    "a pattern": """
        def rearrange(x, pattern, **sizes):
            return x.permute(0, 2, 3, 1).flatten(1, 2)

        class Net(nn.Module):
            def forward(self, x):
                x = rearrange(x, "b 5 h w -> b (h w) 5")  # here
                return x.mean(1) * self.weight
        """,
}


@pytest.mark.parametrize("text", TOLD.values(), ids=TOLD)
def test_a_shape_that_is_written_down(probe: Probe, text: str) -> None:
    init = "\n    def __init__(self):\n        super().__init__()\n        self.weight = nn.Parameter(torch.ones(5))\n"
    text = HEADER + textwrap.dedent(text) + init
    report = probe(text)
    assert report.error is None
    given = next(each for each in report.inputs if each.name == "x")
    assert (given.text, given.source) == ("float32 (4, 5, 32, 32)", f"as line {line_of(text)} says")


def test_names_of_sizes_mean_the_same_everywhere(probe: Probe) -> None:
    report = probe(
        HEADER
        + textwrap.dedent('''
        class Net(nn.Module):
            def __init__(self, dim=12):
                super().__init__()
                self.dim = dim
                self.layer = nn.Linear(dim, dim)

            def forward(self, tokens, mask, other):
                """Look.

                tokens: LongTensor, shape (B, T)
                mask: (B, T), True where there is a token
                other: (S, B, dim)
                """
                table = self.layer.weight[tokens % self.dim] * mask.unsqueeze(-1)
                return self.layer(table) + other.mean(0).unsqueeze(1)
        ''')
    )
    assert report.error is None
    assert [each.text for each in report.inputs] == ["int64 (4, 6) below 12", "bool (4, 6)", "float32 (6, 4, 12)"]


def test_what_is_written_wrongly_is_repaired(probe: Probe) -> None:
    report = probe(
        HEADER
        + textwrap.dedent('''
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(6, 3)

            def forward(self, x):
                """x: (batch, 3, 32, 32)"""
                return self.layer(x.reshape(x.shape[0], 6))
        ''')
    )
    assert report.error is None
    assert report.inputs[0].source == "synthesised"


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        ("N, C_{in}, H_{in}", ("N", "C_in", "H_in")),
        ("batch size, seq len", ("batch_size", "seq_len")),
        ("B x 3 x H", ("B", 3, "H")),
        ("N,", ("N",)),
        ("*, 4*dim", ("N", "4*dim")),
        ("N, *", ()),
        ("optional", ()),
        ("e.g., a mask", ()),
        ("default: 3, 4", ()),
        ("torch.Tensor", ()),
        ("for example, masked", ()),
    ],
)
def test_what_is_a_shape(words: str, sizes: tuple[object, ...]) -> None:
    assert sizes_in(words) == sizes
