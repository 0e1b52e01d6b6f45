import torch
from torch import nn
from torch.nn import functional as F


class SNLINet(nn.Module):
    def __init__(self, options):
        super(SNLINet, self).__init__()
        self.emb = nn.EmbeddingBag(options["n_words"], options["n_emb"])
        indim = options["n_emb"] * 2

        self.hids = []
        for li in range(options["n_layers"]):
            self.hids.append([nn.Linear(indim, options["n_hid"]), nn.Tanh()])
            indim = options["n_hid"]

        self.classifier = nn.Linear(indim, 3)

    def forward(self, premise, hypothesis):
        h = torch.cat([self.emb(premise), self.emb(hypothesis)], 1)
        for linear, act in self.hids:
            h = act(linear(h))
        return self.classifier(h)


def train(options, data):
    model = SNLINet(options)
    if torch.cuda.is_available():
        model.cuda()
    optim = torch.optim.Adadelta(model.parameters())
    for eidx in range(options["max_epochs"]):
        cost = 0.0
        for p, h, y in data:
            optim.zero_grad()
            loss = F.cross_entropy(model(p, h), y)
            loss.backward()
            optim.step()
            cost += loss.item()
        print("epoch", eidx, "cost", cost / len(data))


if __name__ == "__main__":
    opts = {"n_words": 20000, "n_emb": 100, "n_hid": 256, "n_layers": 3, "max_epochs": 5}
    batches = [(torch.randint(20000, (32, 9)), torch.randint(20000, (32, 7)), torch.randint(3, (32,))) for _ in range(9)]
    train(opts, batches)
