import time

import torch
from torch import nn


class MMDL(nn.Module):
    """Encoders for each modality, a fusion and a head."""

    def __init__(self, encoders, fusion, head):
        super(MMDL, self).__init__()
        self.encoders = nn.ModuleList(encoders)
        self.fuse = fusion
        self.head = head

    def forward(self, inputs):
        outs = [enc(x) for enc, x in zip(self.encoders, inputs)]
        return self.head(self.fuse(torch.cat(outs, dim=1)))


def build():
    encoders = [nn.Sequential(nn.Linear(35, 64), nn.BatchNorm1d(64)), nn.Sequential(nn.Linear(74, 64), nn.Dropout(0.3))]
    return MMDL(encoders, nn.Linear(128, 128), nn.Sequential(nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 2)))


def train(model, train_dataloader, valid_dataloader, total_epochs, lr=0.001, save="best.pt"):
    op = torch.optim.RMSprop(model.parameters(), lr=lr, weight_decay=0.0)
    objective = nn.CrossEntropyLoss()
    bestvalloss = 10000
    start = time.time()
    for epoch in range(total_epochs):
        totalloss = 0.0
        model.train()
        for j in train_dataloader:
            op.zero_grad()
            out = model([x.float() for x in j[:-1]])
            loss = objective(out, j[-1])
            totalloss += loss.item() * len(j[-1])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 8)
            op.step()
        print("Epoch " + str(epoch) + " train loss: " + str(totalloss))
        with torch.no_grad():
            totalloss = 0.0
            model.eval()
            for j in valid_dataloader:
                model.train()
                out = model([x.float() for x in j[:-1]])
                totalloss += objective(out, j[-1]).item() * len(j[-1])
        if totalloss < bestvalloss:
            bestvalloss = totalloss
            torch.save(model.state_dict(), save)
    print("Training Time: " + str(time.time() - start))
