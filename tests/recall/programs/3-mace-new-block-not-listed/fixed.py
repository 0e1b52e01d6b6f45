import argparse

import torch
from torch import nn


class MACE(nn.Module):
    def __init__(self, num_elements=10, channels=64, num_interactions=2):
        super().__init__()
        self.node_embedding = nn.Embedding(num_elements, channels)
        self.interactions = nn.ModuleList([nn.Linear(channels, channels) for _ in range(num_interactions)])
        self.products = nn.ModuleList([nn.Linear(channels, channels) for _ in range(num_interactions)])
        self.readouts = nn.ModuleList([nn.Linear(channels, 1) for _ in range(num_interactions)])
        self.charge_map = nn.Sequential(nn.Linear(channels, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, z, positions):
        h = self.node_embedding(z)
        d = torch.cdist(positions, positions)
        adj = torch.exp(-d)
        energy = 0.0
        for inter, prod, read in zip(self.interactions, self.products, self.readouts):
            h = torch.nn.functional.silu(inter(adj @ h)) * prod(h)
            energy = energy + read(h).sum()
        charges = self.charge_map(h)
        return energy + (charges * adj @ charges).sum()


def get_params_options(args, model):
    return dict(
        params=[
            {"name": "embedding", "params": model.node_embedding.parameters(), "weight_decay": 0.0},
            {"name": "interactions", "params": model.interactions.parameters(), "weight_decay": args.weight_decay},
            {"name": "products", "params": model.products.parameters(), "weight_decay": args.weight_decay},
            {"name": "readouts", "params": model.readouts.parameters(), "weight_decay": 0.0},
            {"name": "charge_map", "params": model.charge_map.parameters(), "weight_decay": 0.0},
        ],
        lr=args.lr,
        amsgrad=True,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--weight_decay", type=float, default=5e-7)
    parser.add_argument("--max_num_epochs", type=int, default=100)
    args = parser.parse_args()
    model = MACE()
    optimizer = torch.optim.Adam(**get_params_options(args, model))
    data = [(torch.randint(0, 10, (8,)), torch.randn(8, 3), torch.randn(())) for _ in range(50)]
    for epoch in range(args.max_num_epochs):
        for z, pos, e in data:
            optimizer.zero_grad(set_to_none=True)
            loss = (model(z, pos) - e) ** 2
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=10.0)
            optimizer.step()


if __name__ == "__main__":
    main()
