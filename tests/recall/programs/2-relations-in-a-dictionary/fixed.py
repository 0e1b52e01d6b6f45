import torch
import torch.nn as nn
import torch.nn.functional as F


class RelationNet(nn.Module):
    def __init__(self, numfeatures, numrel, relations):
        super(RelationNet, self).__init__()
        self.encoder = nn.Linear(numfeatures, numfeatures)
        self.waggrs = nn.ModuleDict()
        self.list_relations = nn.ModuleDict()
        for rel in relations:
            self.waggrs[rel] = nn.ParameterDict({
                "w": nn.Parameter(1.0 + torch.randn(1, 2)),
                "b": nn.Parameter(torch.zeros(1, numrel)),
            })
            self.list_relations[rel] = nn.Linear(numfeatures, numrel)

    def forward(self, x, rel):
        h = torch.tanh(self.encoder(x))
        out = self.list_relations[rel](h)
        w = self.waggrs[rel]["w"]
        return w[0, 0] * out + w[0, 1] * out**2 + self.waggrs[rel]["b"]


relations = ["parent", "sibling", "neighbour"]
model = RelationNet(20, 5, relations)
opt = torch.optim.Adagrad(model.parameters(), lr=0.05)
for it in range(500):
    for rel in relations:
        x, y = torch.randn(16, 20), torch.randint(0, 5, (16,))
        opt.zero_grad()
        F.cross_entropy(model(x, rel), y).backward()
        opt.step()
