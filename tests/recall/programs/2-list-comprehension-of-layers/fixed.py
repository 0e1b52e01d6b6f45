import torch
import torch.nn as nn
import torch.optim as optim


class net(nn.Module):
    def __init__(self, num_layers, width=16):
        super(net, self).__init__()
        self.layer = nn.Linear(1, width)
        self.list_of_layers = nn.ModuleList([nn.Linear(width, width) for i in range(num_layers)])
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        x = torch.relu(self.layer(x))
        for l in self.list_of_layers:
            x = torch.relu(l(x))
        return self.out(x)


n = net(4)
print(n)
optimizer = optim.SGD(n.parameters(), lr=0.01, momentum=0.9)
x = torch.linspace(-3, 3, 200).unsqueeze(1)
y = torch.sin(x)

for epoch in range(1000):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(n(x), y)
    loss.backward()
    optimizer.step()
    if epoch % 100 == 0:
        print(epoch, loss.item())
