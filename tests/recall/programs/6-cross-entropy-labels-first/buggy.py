import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR


class SequenceClassifier(nn.Module):
    def __init__(self, vocab=400, dim=32, num_labels=3):
        super().__init__()
        self.embeddings = nn.Embedding(vocab, dim)
        self.encoder = nn.TransformerEncoderLayer(dim, 4, dim_feedforward=64, batch_first=True)
        self.classifier = nn.Linear(dim, num_labels)

    def forward(self, input_ids):
        return self.classifier(self.encoder(self.embeddings(input_ids))[:, 0])


def main():
    model = SequenceClassifier()
    model.train()
    no_decay = ["bias", "norm1.weight", "norm2.weight"]
    grouped = [
        {"params": [p for n, p in model.named_parameters() if not any(nd in n for nd in no_decay)], "weight_decay": 0.01},
        {"params": [p for n, p in model.named_parameters() if any(nd in n for nd in no_decay)], "weight_decay": 0.0},
    ]
    optimizer = AdamW(grouped, lr=1e-5)
    scheduler = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))
    for step in range(10):
        input_ids = torch.randint(0, 400, (8, 16))
        labels = F.one_hot(torch.randint(0, 3, (8,)), num_classes=3).float()
        logits = model(input_ids)
        loss = F.cross_entropy(labels, logits)
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step % 5 == 0:
            print(step, loss.item())


if __name__ == "__main__":
    main()
