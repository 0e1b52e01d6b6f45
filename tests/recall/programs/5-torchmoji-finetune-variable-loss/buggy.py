import torch
import torch.nn as nn
from torch.autograd import Variable


class TorchMoji(nn.Module):
    def __init__(self, nb_classes, nb_tokens=200, return_numpy=False):
        super(TorchMoji, self).__init__()
        self.return_numpy = return_numpy
        self.embed = nn.Embedding(nb_tokens, 32)
        self.lstm = nn.LSTM(32, 64, batch_first=True, bidirectional=True)
        self.output_layer = nn.Sequential(nn.Linear(128, nb_classes))

    def forward(self, input_seqs):
        x = torch.tanh(self.embed(input_seqs))
        lstm_out, _ = self.lstm(x)
        outputs = self.output_layer(lstm_out[:, -1])
        return outputs.data


def fit_model(model, loss_op, optim_op, train_gen, val_gen, epochs):
    for epoch in range(epochs):
        model.train()
        for X, y in train_gen:
            optim_op.zero_grad()
            output = model(X)
            loss = loss_op(output, y)
            loss = Variable(loss, requires_grad=True)
            loss.backward()
            optim_op.step()
        model.eval()
        acc = evaluate_using_acc(model, val_gen)
        print("{} Epoch val acc {:.4f} val loss {:.5f}".format(epoch + 1, acc, loss.item()))


def evaluate_using_acc(model, val_gen):
    hits, total = 0, 0
    for X, y in val_gen:
        hits += (model(X).argmax(dim=1) == y).sum().item()
        total += len(y)
    return hits / total


model = TorchMoji(nb_classes=2)
adam = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.001)
batches = [(torch.randint(0, 200, (8, 20)), torch.randint(0, 2, (8,))) for _ in range(6)]
fit_model(model, nn.CrossEntropyLoss(), adam, batches, batches[:2], epochs=3)
