import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import Optimizer


class Adan(Optimizer):
    """Adaptive Nesterov momentum, simplified."""

    def __init__(self, params, lr=1e-3, betas=(0.98, 0.92, 0.99), eps=1e-8, weight_decay=0.0):
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2, b3 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_diff"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                    state["pre_grad"] = p.grad.clone()
                diff = p.grad - state["pre_grad"]
                state["exp_avg"].mul_(b1).add_(p.grad, alpha=1 - b1)
                state["exp_avg_diff"].mul_(b2).add_(diff, alpha=1 - b2)
                update = p.grad + b2 * diff
                state["exp_avg_sq"].mul_(b3).addcmul_(update, update, value=1 - b3)
                denom = state["exp_avg_sq"].sqrt().add_(group["eps"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.addcdiv_(state["exp_avg"] + b2 * state["exp_avg_diff"], denom, value=-group["lr"])
                state["pre_grad"].copy_(p.grad)


class LitConvNeXt(pl.LightningModule):
    def __init__(self, classes=100):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 96, 4, 4), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return Adan(self.parameters(), lr=1e-3, weight_decay=0.02)
