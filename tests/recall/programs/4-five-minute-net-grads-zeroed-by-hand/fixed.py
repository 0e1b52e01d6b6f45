import torch

dtype = torch.float
N, D_in, H, D_out = 64, 100, 50, 10

x = torch.randn(N, D_in, dtype=dtype)
y = torch.randn(N, D_out, dtype=dtype)

model = torch.nn.Sequential(
    torch.nn.Linear(D_in, H),
    torch.nn.ReLU(),
    torch.nn.Linear(H, D_out),
)
loss_fn = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

history = []
for t in range(200):
    y_pred = model(x)
    loss = loss_fn(y_pred, y)
    history.append(loss.item())

    # reset the gradients, otherwise they would accumulate
    for param in model.parameters():
        if param.grad is not None:
            param.grad.data.zero_()
    loss.backward()
    optimizer.step()

    if t % 50 == 0:
        print(t, history[-1])
