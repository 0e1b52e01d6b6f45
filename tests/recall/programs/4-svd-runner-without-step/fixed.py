import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class FocalStack(Dataset):
    def __init__(self, n=32):
        self.frames = torch.rand(n, 9, 8, 8)

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, i):
        return self.frames[i], self.frames[i].flip(0)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_in = nn.Conv2d(9, 32, 3, padding=1)
        self.conv_out = nn.Conv2d(32, 9, 3, padding=1)

    def forward(self, x):
        return self.conv_out(F.silu(self.conv_in(x)))


class Runner:
    def __init__(self, lr=1e-5, epochs=2):
        self.unet = Denoiser()
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=lr, weight_decay=1e-2)
        self.lr_scheduler = torch.optim.lr_scheduler.ConstantLR(self.optimizer, factor=0.5, total_iters=10)
        self.loader = DataLoader(FocalStack(), batch_size=4, shuffle=True)
        self.epochs = epochs

    def compute_loss(self, batch):
        cond, target = batch
        noise = torch.randn_like(target)
        pred = self.unet(cond + 0.1 * noise)
        return F.mse_loss(pred, target)

    def train(self):
        global_step = 0
        for epoch in range(self.epochs):
            for batch in self.loader:
                loss = self.compute_loss(batch)
                loss.backward()
                self.optimizer.step()
                self.lr_scheduler.step()
                self.optimizer.zero_grad()
                global_step += 1
            print(f"epoch {epoch} step {global_step} loss {loss.item():.4f}")


if __name__ == "__main__":
    Runner().train()
