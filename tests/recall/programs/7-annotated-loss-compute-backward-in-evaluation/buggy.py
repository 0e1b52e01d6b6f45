import torch
import torch.nn as nn


class LabelSmoothing(nn.Module):
    def __init__(self, size, smoothing=0.1):
        super().__init__()
        self.criterion = nn.KLDivLoss(reduction="sum")
        self.size = size
        self.smoothing = smoothing

    def forward(self, x, target):
        true_dist = torch.full_like(x, self.smoothing / (self.size - 1))
        true_dist.scatter_(1, target.unsqueeze(1), 1.0 - self.smoothing)
        return self.criterion(x, true_dist)


class SimpleLossCompute:
    "A simple loss compute and train function."

    def __init__(self, generator, criterion, opt=None):
        self.generator = generator
        self.criterion = criterion
        self.opt = opt

    def __call__(self, x, y, norm):
        x = torch.log_softmax(self.generator(x), dim=-1)
        loss = self.criterion(x.contiguous().view(-1, x.size(-1)), y.contiguous().view(-1)) / norm
        loss.backward()
        if self.opt is not None:
            self.opt.step()
            self.opt.zero_grad()
        return loss.item() * norm


def run_epoch(data_iter, model, loss_compute):
    total_tokens, total_loss = 0, 0.0
    for src, trg in data_iter:
        out = model(src)
        ntokens = trg.numel()
        total_loss += loss_compute(out, trg, ntokens)
        total_tokens += ntokens
    return total_loss / total_tokens


V = 11
model = nn.Sequential(nn.Embedding(V, 512), nn.TransformerEncoderLayer(512, 8, batch_first=True))
generator = nn.Linear(512, V)
criterion = LabelSmoothing(size=V)
opt = torch.optim.Adam(list(model.parameters()) + list(generator.parameters()), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)

for epoch in range(10):
    model.train()
    train_iter = [(torch.randint(1, V, (30, 10)), torch.randint(1, V, (30, 10))) for _ in range(20)]
    run_epoch(train_iter, model, SimpleLossCompute(generator, criterion, opt))
    model.eval()
    print(run_epoch(train_iter[:5], model, SimpleLossCompute(generator, criterion, None)))
