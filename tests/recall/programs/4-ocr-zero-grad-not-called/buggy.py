import random

import numpy as np
import torch
import torch.nn as nn

START, END, PAD, VOCAB = 0, 1, 2, 60


def set_seed(seed=21):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class OCRNet(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, hidden, (16, 4), stride=(16, 4)), nn.ReLU())
        self.rnn = nn.GRU(hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, VOCAB)

    def forward(self, images):
        features = self.cnn(images).squeeze(2).transpose(1, 2)
        hidden, _ = self.rnn(features)
        return self.out(hidden)


def run_epoch(loader, model, criterion, optimizer, device, train=True):
    model.train() if train else model.eval()
    losses = []
    with torch.set_grad_enabled(train):
        for images, expected in loader:
            images, expected = images.to(device), expected.to(device)
            output = model(images)
            loss = criterion(output.transpose(1, 2), expected)
            if train:
                optimizer.zero_grad
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
                optimizer.step()
            losses.append(loss.item())
    return np.mean(losses)


set_seed()
device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
loader = [(torch.rand(4, 1, 16, 64), torch.randint(0, VOCAB, (4, 16))) for _ in range(8)]
model = OCRNet().to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, weight_decay=1e-6)
criterion = nn.CrossEntropyLoss(ignore_index=PAD)
for epoch in range(2):
    train_loss = run_epoch(loader, model, criterion, optimizer, device)
    valid_loss = run_epoch(loader[:2], model, criterion, optimizer, device, train=False)
    print(f"{epoch + 1:>2} train {train_loss:.4f} valid {valid_loss:.4f}")
