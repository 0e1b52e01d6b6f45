import torch
import torch.nn as nn


class AttnModel(nn.Module):
    def __init__(self, vocab=300, dim=32):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.score = nn.Linear(dim, 1)
        self.out = nn.Linear(dim, 1)

    def forward(self, ids):
        h, _ = self.rnn(self.embed(ids))
        attn = torch.softmax(self.score(torch.tanh(h)).squeeze(-1), dim=1)
        context = (attn.unsqueeze(-1) * h).sum(1)
        return self.out(context).squeeze(-1), attn


class AdversarialTrainer:
    def __init__(self, frozen, adversary, lambda_kl=1.0):
        self.frozen = frozen.eval()
        self.adversary = adversary
        self.lambda_kl = lambda_kl
        self.optim = torch.optim.Adam(adversary.parameters(), lr=0.001, weight_decay=1e-5)
        self.criterion = nn.KLDivLoss(reduction="batchmean")

    def train(self, batches):
        self.adversary.train()
        total = 0.0
        for ids in batches:
            with torch.no_grad():
                pred_old, attn_old = self.frozen(ids)
            pred_new, attn_new = self.adversary(ids)
            tvd = 0.5 * torch.abs(torch.sigmoid(pred_old) - torch.sigmoid(pred_new)).mean()
            kl = self.criterion(attn_old.log(), attn_new)
            loss = tvd - self.lambda_kl * kl
            self.optim.zero_grad()
            loss.backward()
            self.optim.step()
            total += loss.item()
        return total / len(batches)


trainer = AdversarialTrainer(AttnModel(), AttnModel())
data = [torch.randint(0, 300, (8, 12)) for _ in range(6)]
for epoch in range(2):
    print(epoch, trainer.train(data))
