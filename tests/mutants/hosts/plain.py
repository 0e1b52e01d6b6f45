# ruff: noqa
import torch
import torch.nn as nn
import torch.nn.functional as F

loader = [(torch.randn(8, 4), torch.randint(0, 10, (8,))) for _ in range(4)]


class Net(nn.Module):
    def __init__(self, depth):
        super(Net, self).__init__()
        self.first = nn.Linear(4, 16)
        self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(depth)])
        self.heads = nn.ModuleDict({"label": nn.Linear(16, 10)})
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(16))])
        self.decoder = nn.Linear(16, 16)
        self.middle = nn.Linear(16, 16)
        self.norm = nn.BatchNorm1d(16)
        self.decoder.weight = self.middle.weight

    def forward(self, x):
        x = torch.relu(self.first(x)) * self.scales[0]
        for layer in self.layers:
            x = torch.relu(layer(x))
        x = self.norm(self.decoder(torch.relu(self.middle(x))))
        return F.log_softmax(self.heads["label"](x), dim=1)


net = Net(2)
net = torch.compile(net)
optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
for epoch in range(3):
    net.train()
    for inputs, target in loader:
        optimizer.zero_grad()
        output = net(inputs)
        loss = F.nll_loss(output, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    net.eval()
    with torch.no_grad():
        print(net(loader[0][0]).argmax(dim=1))
