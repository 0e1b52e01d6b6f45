import torch
from torch import nn
from torch.nn import functional as F


class ClassifierModule(nn.Module):
    def __init__(self, num_units=50, dropout=0.5):
        super(ClassifierModule, self).__init__()
        self.dense0 = nn.Linear(20, num_units)
        self.dropout = nn.Dropout(dropout)
        self.dense1 = nn.Linear(num_units, 10)
        self.output = nn.Linear(10, 2)

    def forward(self, X):
        X = F.relu(self.dense0(X))
        X = self.dropout(X)
        X = F.relu(self.dense1(X))
        return F.log_softmax(self.output(X), dim=-1)


class NeuralNetClassifier:
    def __init__(self, module, criterion=nn.NLLLoss, lr=0.01, max_epochs=10):
        self.module_ = module()
        self.criterion_ = criterion()
        self.optimizer_ = torch.optim.SGD(self.module_.parameters(), lr=lr)
        self.max_epochs = max_epochs

    def train_step(self, Xi, yi):
        self.module_.train()
        self.optimizer_.zero_grad()
        y_pred = self.module_(Xi)
        loss = self.criterion_(y_pred, yi)
        loss.backward()
        self.optimizer_.step()
        return loss.item()

    def fit(self, X, y, batch_size=64):
        for epoch in range(self.max_epochs):
            for start in range(0, len(X), batch_size):
                loss = self.train_step(X[start : start + batch_size], y[start : start + batch_size])
            print(epoch + 1, loss)
        return self


X = 10 * torch.randn(500, 20)
y = (X[:, 0] > 0).long()
NeuralNetClassifier(ClassifierModule, lr=0.1).fit(X, y)
