"""What the tests of `--launcher` start on two ranks: `python launched_script.py CASE`, healthy or with one mistake."""

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

parser = argparse.ArgumentParser()
parser.add_argument("case")
case = parser.parse_args().case
dist.init_process_group("gloo")
rank = dist.get_rank()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.extra = nn.Linear(8, 8)  # extra
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        h = self.body(x).relu()
        if case.startswith("skip") and rank == 1:
            return self.head(h)
        return self.head(self.extra(h))


model = Net()
if case.endswith("fsdp2"):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
elif case == "fsdp1":
    from torch.distributed.fsdp import FullyShardedDataParallel

    model = FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"))
elif case != "unwrapped":
    model = DistributedDataParallel(model, find_unused_parameters=case == "skip")
optimizer = torch.optim.SGD(model.parameters(), 0.1)
torch.manual_seed(rank)
print("printed by the script")  # noqa: T201
for step in range(100):
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    optimizer.zero_grad()
    if case == "direct":
        output = model.module(x)  # direct
    elif case == "no-sync":
        with model.no_sync():
            output = model(x)  # no-sync
    else:
        output = model(x)
    if rank == 1 and step == 1:
        if case == "crash":
            raise ValueError("bad sample")  # crash
        if case == "exit":
            os._exit(3)
        if case == "hang":
            dist.barrier()  # rank 1 waits
    (output - y).pow(2).mean().backward()  # backward
    optimizer.step()
