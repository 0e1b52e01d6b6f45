import time

import torch
import torch.nn as nn
from torch.utils.data import DataLoader


class PointNet(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv1d(3, 64, 1), nn.BatchNorm1d(64), nn.ReLU(), nn.Conv1d(64, num_classes, 1))

    def forward(self, pos):
        return self.mlp(pos)


class TrainModel:
    def __init__(self, parameters, train_dataset, validation_dataset):
        self.parameters = parameters
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.train_loader = DataLoader(train_dataset, batch_size=parameters["train_batch_size"], shuffle=True)
        self.validation_loader = DataLoader(validation_dataset, batch_size=parameters["validation_batch_size"])
        self.model = PointNet().to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=parameters["learning_rate"])
        self.criterion = nn.CrossEntropyLoss()

    def validate(self):
        self.model.eval()
        running_loss = 0.0
        running_acc = 0
        i = 0
        for pos, y in self.validation_loader:
            pos, y = pos.to(self.device), y.to(self.device)
            self.optimizer.zero_grad()
            outputs = self.model(pos)
            loss = self.criterion(outputs, y)
            loss.backward()
            self.optimizer.step()
            preds = outputs.argmax(1)
            running_loss += loss.item()
            running_acc += torch.sum(preds == y).item() / y.numel()
            i += 1
        return running_loss / i, running_acc / i

    def run_training(self):
        start = time.time()
        for epoch in range(self.parameters["num_epochs"]):
            self.model.train()
            for pos, y in self.train_loader:
                pos, y = pos.to(self.device), y.to(self.device)
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(pos), y)
                loss.backward()
                self.optimizer.step()
            val_loss, val_acc = self.validate()
            print(epoch, round(time.time() - start), val_loss, val_acc)
