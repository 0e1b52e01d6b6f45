import copy
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim import lr_scheduler


class BertForSequenceClassification(nn.Module):
    def __init__(self, num_labels=2, vocab=500, hidden=64):
        super().__init__()
        self.num_labels = num_labels
        self.bert = nn.EmbeddingBag(vocab, hidden)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(hidden, num_labels)
        nn.init.xavier_normal_(self.classifier.weight)

    def forward(self, input_ids):
        return self.classifier(self.dropout(self.bert(input_ids)))


def train_model(model, criterion, optimizer, scheduler, dataloaders_dict, num_epochs=2):
    since = time.time()
    best_model_wts, best_loss = copy.deepcopy(model.state_dict()), 100
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()
            else:
                model.eval()
            running_loss, corrects, seen = 0.0, 0, 0
            for inputs, sentiment in dataloaders_dict[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    outputs = F.softmax(outputs, dim=1)
                    loss = criterion(outputs, sentiment)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                corrects += (outputs.argmax(1) == sentiment).sum().item()
                seen += inputs.size(0)
            if phase == "train":
                scheduler.step()
            print("{} loss: {:.4f} acc: {:.4f}".format(phase, running_loss / seen, corrects / seen))
            if phase == "val" and running_loss / seen < best_loss:
                best_loss = running_loss / seen
                best_model_wts = copy.deepcopy(model.state_dict())
    print("Training complete in {:.0f}s".format(time.time() - since))
    model.load_state_dict(best_model_wts)
    return model


model = BertForSequenceClassification()
batches = [(torch.randint(0, 500, (8, 20)), torch.randint(0, 2, (8,))) for _ in range(6)]
optimizer_ft = optim.Adam([{"params": model.bert.parameters(), "lr": 1e-5}, {"params": model.classifier.parameters()}], lr=1e-3)
exp_lr_scheduler = lr_scheduler.StepLR(optimizer_ft, step_size=3, gamma=0.1)
train_model(model, nn.CrossEntropyLoss(), optimizer_ft, exp_lr_scheduler, {"train": batches, "val": batches[:2]})
