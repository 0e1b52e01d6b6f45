import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


class LoraLinear(nn.Module):
    def __init__(self, linear, r=4):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.lora_down = nn.Linear(linear.in_features, r, bias=False)
        self.lora_up = nn.Linear(r, linear.out_features, bias=False)
        nn.init.normal_(self.lora_down.weight, std=1 / r)
        nn.init.zeros_(self.lora_up.weight)

    def forward(self, x):
        return self.linear(x) + self.lora_up(self.lora_down(x))


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_train_epochs", type=int, default=1)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--max_grad_norm", type=float, default=1.0)
    return parser.parse_args()


def main(args):
    unet = nn.Sequential(LoraLinear(nn.Linear(16, 64)), nn.SiLU(), LoraLinear(nn.Linear(64, 16)))
    params_to_optimize = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params_to_optimize, lr=args.learning_rate)
    train_dataloader = [torch.randn(4, 16) for _ in range(16)]
    max_steps = args.num_train_epochs * math.ceil(len(train_dataloader))

    global_step = 0
    for _ in range(args.num_train_epochs):
        unet.train()
        for latents in train_dataloader:
            noise = torch.randn_like(latents)
            model_pred = unet(latents + noise)
            loss = F.mse_loss(model_pred.float(), noise.float(), reduction="mean")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params_to_optimize, args.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            global_step += 1
            if global_step % 5 == 0:
                print({"loss": loss.detach().item(), "step": global_step})
            if global_step >= max_steps:
                break


if __name__ == "__main__":
    main(parse_args())
