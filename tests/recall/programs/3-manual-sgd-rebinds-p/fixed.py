import torch
import torch.nn as nn

torch.manual_seed(0)


class LinearRegressionModel(nn.Module):
    def __init__(self, input_dim, output_dim):
        super(LinearRegressionModel, self).__init__()
        self.linear = nn.Linear(input_dim, output_dim)

    def forward(self, x):
        return self.linear(x)


x_train = torch.arange(0, 11).float().reshape(-1, 1)
y_train = 2 * x_train + 1

model = LinearRegressionModel(1, 1)
criterion = nn.MSELoss()
learning_rate = 0.01

for epoch in range(100):
    outputs = model(x_train)
    loss = criterion(outputs, y_train)
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= learning_rate * p.grad
    if epoch % 10 == 0:
        print("epoch {}, loss {}".format(epoch, loss.item()))
