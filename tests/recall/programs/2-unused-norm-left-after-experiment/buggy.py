import os

import torch
import torch.distributed as dist
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


class C2fBlock(nn.Module):
    def __init__(self, c1, c2):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, 3, padding=1)
        self.norm = nn.GroupNorm(8, c2)
        self.act = nn.SiLU()

    def forward(self, x):
        x = self.conv(x)
        # x = self.norm(x)
        return self.act(x)


class Detector(nn.Module):
    def __init__(self, nc=80):
        super().__init__()
        self.stem = C2fBlock(3, 32)
        self.stage = C2fBlock(32, 64)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.cls = nn.Linear(64, nc)

    def forward(self, x):
        x = self.pool(self.stage(self.stem(x))).flatten(1)
        return self.cls(x)


def main():
    dist.init_process_group("nccl")
    rank = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(rank)
    model = DDP(Detector().cuda(rank), device_ids=[rank])
    ds = TensorDataset(torch.rand(256, 3, 64, 64), torch.randint(0, 80, (256,)))
    sampler = DistributedSampler(ds)
    loader = DataLoader(ds, batch_size=16, sampler=sampler)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.937, nesterov=True)
    for epoch in range(100):
        sampler.set_epoch(epoch)
        model.train()
        for imgs, targets in loader:
            imgs, targets = imgs.cuda(rank), targets.cuda(rank)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(imgs), targets)
            loss.backward()
            optimizer.step()


if __name__ == "__main__":
    main()
