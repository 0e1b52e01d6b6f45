import argparse

import torch
import torch.nn.functional as F
from torch import nn


class DiT(nn.Module):
    def __init__(self, dim=64):
        super().__init__()
        self.x_proj = nn.Linear(dim, dim)
        self.t_proj = nn.Linear(1, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x, t):
        return self.out(F.silu(self.x_proj(x) + self.t_proj(t)))


def flow_loss(model, x1):
    t = torch.rand(x1.size(0), 1)
    x0 = torch.randn_like(x1)
    xt = (1 - t) * x0 + t * x1
    return F.mse_loss(model(xt, t), x1 - x0)


def main(args):
    torch.manual_seed(args.seed)
    model = DiT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, betas=(0.9, 0.95), weight_decay=0.0)
    loader = [torch.randn(args.global_batch_size // args.grad_accum_steps, 64) for _ in range(16)]

    step, accum_counter, running_loss = 0, 0, 0.0
    for epoch in range(args.epochs):
        model.train()
        for x in loader:
            loss = flow_loss(model, x) / args.grad_accum_steps
            loss.backward()
            running_loss += loss.item()
            accum_counter += 1
            if accum_counter < args.grad_accum_steps:
                continue
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            accum_counter = 0
            step += 1
        print(f"epoch {epoch} step {step} loss {running_loss / step:.4f}")
        running_loss, step = 0.0, 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--global-batch-size", type=int, default=32)
    parser.add_argument("--grad-accum-steps", type=int, default=4)
    main(parser.parse_args())
