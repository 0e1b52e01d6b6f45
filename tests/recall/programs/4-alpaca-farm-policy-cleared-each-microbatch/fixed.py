import torch
import torch.nn.functional as F
from torch import nn


class Policy(nn.Module):
    def __init__(self, vocab=60, dim=32):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.lm_head = nn.Linear(dim, vocab)

    def logprobs(self, ids):
        logits = self.lm_head(self.embed(ids[:, :-1]))
        return F.log_softmax(logits, dim=-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)


class RLTrainer:
    def __init__(self, policy, gradient_accumulation_steps=4, cliprange=0.2, max_grad_norm=0.5):
        self.policy = policy
        self.optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-5)
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.cliprange, self.max_grad_norm = cliprange, max_grad_norm

    @torch.no_grad()
    def rollout(self, queries):
        return [(ids, self.policy.logprobs(ids), torch.randn(ids.size(0), 1)) for ids in queries]

    def compute_loss(self, ids, old_logprobs, advantages):
        ratio = torch.exp(self.policy.logprobs(ids) - old_logprobs)
        clipped = ratio.clamp(1.0 - self.cliprange, 1.0 + self.cliprange)
        return torch.maximum(-advantages * ratio, -advantages * clipped).mean()

    def step_with_rollouts(self, rollouts):
        stats = []
        for batch_idx, rollout in enumerate(rollouts, 1):
            loss = self.compute_loss(*rollout)
            (loss / self.gradient_accumulation_steps).backward()
            if batch_idx % self.gradient_accumulation_steps == 0:
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            stats.append(loss.item())
        return sum(stats) / len(stats)

    def train(self, total_steps):
        for step in range(total_steps):
            queries = [torch.randint(0, 60, (4, 12)) for _ in range(8)]
            print(step, self.step_with_rollouts(self.rollout(queries)))


RLTrainer(Policy()).train(3)
