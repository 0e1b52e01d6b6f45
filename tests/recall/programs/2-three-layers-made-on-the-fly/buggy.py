import torch


class ThreeLayerNet(torch.nn.Module):
    def __init__(self, D_in, H, D_out):
        super(ThreeLayerNet, self).__init__()
        self.D_in, self.H, self.D_out = D_in, H, D_out
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        h_relu = torch.nn.Linear(self.D_in, self.H)(x).clamp(min=0)
        h_relu = torch.nn.Linear(self.H, self.H)(h_relu).clamp(min=0)
        y_pred = torch.nn.Linear(self.H, self.D_out)(h_relu)
        return self.scale * y_pred


N, D_in, H, D_out = 64, 1000, 100, 10
x = torch.randn(N, D_in)
y = torch.randn(N, D_out)
model = ThreeLayerNet(D_in, H, D_out)
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
for t in range(500):
    y_pred = model(x)
    loss = criterion(y_pred, y)
    print(t, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
