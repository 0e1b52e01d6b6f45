from statistics import mean

import torch
from torch import nn
from torch.optim import AdamW


class Head(nn.Module):
    def __init__(self, dim, num_classes):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.dense = nn.Linear(dim, num_classes)

    def forward(self, x):
        return self.dense(self.drop(x))


class TextClassification:
    def __init__(self, num_classes, num_epochs=10, lr=2e-5, validations_per_epoch=1, device="cpu"):
        self.num_classes = num_classes
        self.num_epochs = num_epochs
        self.lr = lr
        self.validations_per_epoch = validations_per_epoch
        self.device = device
        self.model = None
        self.criterion = nn.CrossEntropyLoss()

    def fit(self, train_set, valid_set):
        self.model = Head(768, self.num_classes).to(self.device)
        optimizer = AdamW(self.model.parameters(), lr=self.lr, eps=1e-8)
        for epoch in range(self.num_epochs):
            self._train_loop_epoch(epoch, train_set, valid_set, optimizer)
        return self

    def _train_loop_epoch(self, epoch, train_set, valid_set, optimizer):
        losses = []
        validate_every = max(1, len(train_set) // self.validations_per_epoch)
        for i, (x, cls) in enumerate(train_set):
            self.model.train()
            losses.append(self._train_single_batch(x, cls, optimizer))
            if (i + 1) % validate_every == 0:
                valid_loss, valid_acc = self.validate(valid_set)
                print(f"epoch {epoch}: train {mean(losses):.3f} valid {valid_loss:.3f} acc {valid_acc:.3f}")

    def _train_single_batch(self, x, cls, optimizer):
        x, cls = x.to(self.device), cls.to(self.device)
        optimizer.zero_grad()
        loss = self.criterion(self.model(x), cls)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1)
        optimizer.step()
        return loss.item()

    def validate(self, valid_set):
        valid_loss, acc = 0.0, 0.0
        self.model.eval()
        for x, cls in valid_set:
            x, cls = x.to(self.device), cls.to(self.device)
            with torch.no_grad():
                output = self.model(x)
            valid_loss += self.criterion(output, cls).item()
            acc += (output.argmax(1) == cls).float().mean().item()
        return valid_loss / len(valid_set), acc / len(valid_set)
