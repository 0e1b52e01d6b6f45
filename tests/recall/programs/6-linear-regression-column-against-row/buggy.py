import torch
import torch.nn as nn

# Set up a straightforward linear regression problem.
torch.manual_seed(3)
sample_size = 100
features = torch.randn(sample_size, 2)
noise = torch.randn(sample_size)
target = 10 + 9 * features[:, 0] - 2 * features[:, 1] + noise

model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loss_func = nn.MSELoss()

for epoch in range(30):
    optimizer.zero_grad()
    yhat = model(features)
    loss_val = loss_func(yhat, target)
    loss_val.backward()
    optimizer.step()
    if epoch % 10 == 0:
        print(loss_val.item())

print(model.weight.data, model.bias.data)
