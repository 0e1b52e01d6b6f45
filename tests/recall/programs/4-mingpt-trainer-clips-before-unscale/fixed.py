from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class TrainerConfig:
    max_epochs: int = 1
    grad_norm_clip: float = 1.0
    learning_rate: float = 3e-4


class GPT(nn.Module):
    def __init__(self, vocab=64, dim=32):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.ff = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.head = nn.Linear(dim, vocab, bias=False)

    def forward(self, idx, targets):
        logits = self.head(self.ff(self.emb(idx)))
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


class Trainer:
    def __init__(self, config, model, loader):
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device)
        self.loader = loader
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
        self.scaler = torch.amp.GradScaler(self.device.type)

    def _run_batch(self, source, targets, train=True):
        with torch.set_grad_enabled(train), torch.autocast(self.device.type, dtype=torch.bfloat16):
            _, loss = self.model(source, targets)
        if train:
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_norm_clip)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return loss.item()

    def train(self):
        for epoch in range(self.config.max_epochs):
            self.model.train()
            for it, (source, targets) in enumerate(self.loader):
                batch_loss = self._run_batch(source.to(self.device), targets.to(self.device))
                if it % 10 == 0:
                    print(f"epoch {epoch} iter {it} loss {batch_loss:.4f}")


def main():
    batches = [(torch.randint(0, 64, (4, 16)), torch.randint(0, 64, (4, 16))) for _ in range(5)]
    Trainer(TrainerConfig(), GPT(), batches).train()


if __name__ == "__main__":
    main()
