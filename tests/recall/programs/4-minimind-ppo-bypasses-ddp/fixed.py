import os

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn, optim
from torch.nn.parallel import DistributedDataParallel


class PolicyLM(nn.Module):
    def __init__(self, vocab=128, dim=64):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.lm_head = nn.Linear(dim, vocab)

    def forward(self, ids):
        return self.lm_head(self.embed(ids))


def init_distributed_mode():
    dist.init_process_group(backend="nccl" if torch.cuda.is_available() else "gloo")
    return int(os.environ["LOCAL_RANK"])


def per_token_logps(logits, ids):
    return F.log_softmax(logits[:, :-1], dim=-1).gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2)


def grpo_train_epoch(epoch, loader, model, optimizer, device):
    model.train()
    for step, (ids, rewards) in enumerate(loader, start=1):
        ids, rewards = ids.to(device), rewards.to(device)
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        logits = model(ids)
        logps = per_token_logps(logits, ids)
        loss = -(torch.exp(logps - logps.detach()) * advantages.unsqueeze(1)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if dist.get_rank() == 0:
            print(f"Epoch {epoch} step {step} loss {loss.item():.4f}")


def main():
    local_rank = init_distributed_mode()
    device = torch.device(f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(42 + dist.get_rank())
    model = PolicyLM().to(device)
    model = DistributedDataParallel(model, device_ids=[local_rank] if device.type == "cuda" else None)
    optimizer = optim.AdamW(model.parameters(), lr=8e-8)
    loader = [(torch.randint(0, 128, (8, 20)), torch.randn(8)) for _ in range(4)]
    for epoch in range(2):
        grpo_train_epoch(epoch, loader, model, optimizer, device)
    if dist.get_rank() == 0:
        torch.save(model.module.state_dict(), "grpo.pth")


if __name__ == "__main__":
    main()
