import torch
import torch.nn as nn


class ConvLSTMCell(nn.Module):
    def __init__(self, input_channels, hidden_channels, kernel_size, shape):
        super(ConvLSTMCell, self).__init__()
        self.hidden_channels = hidden_channels
        padding = (kernel_size - 1) // 2
        self.Wx = nn.Conv2d(input_channels, 4 * hidden_channels, kernel_size, 1, padding)
        self.Wh = nn.Conv2d(hidden_channels, 4 * hidden_channels, kernel_size, 1, padding, bias=False)
        self.Wci = torch.zeros(1, hidden_channels, shape[0], shape[1], requires_grad=True)
        self.Wcf = torch.zeros(1, hidden_channels, shape[0], shape[1], requires_grad=True)
        self.Wco = torch.zeros(1, hidden_channels, shape[0], shape[1], requires_grad=True)

    def forward(self, x, h, c):
        xi, xf, xc, xo = self.Wx(x).chunk(4, dim=1)
        hi, hf, hc, ho = self.Wh(h).chunk(4, dim=1)
        ci = torch.sigmoid(xi + hi + c * self.Wci)
        cf = torch.sigmoid(xf + hf + c * self.Wcf)
        cc = cf * c + ci * torch.tanh(xc + hc)
        co = torch.sigmoid(xo + ho + cc * self.Wco)
        return co * torch.tanh(cc), cc


class Nowcaster(nn.Module):
    def __init__(self, shape=(32, 32), hidden=16):
        super().__init__()
        self.cell = ConvLSTMCell(1, hidden, 3, shape)
        self.out = nn.Conv2d(hidden, 1, 1)
        self.hidden, self.shape = hidden, shape

    def forward(self, frames):
        b = frames.size(0)
        h = frames.new_zeros(b, self.hidden, *self.shape)
        c = torch.zeros_like(h)
        for t in range(frames.size(1)):
            h, c = self.cell(frames[:, t], h, c)
        return self.out(h)


if __name__ == "__main__":
    model = Nowcaster()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-4)
    loss_fn = nn.MSELoss()
    for it in range(2000):
        seq = torch.rand(4, 11, 1, 32, 32)
        optimizer.zero_grad()
        loss = loss_fn(model(seq[:, :10]), seq[:, 10])
        loss.backward()
        optimizer.step()
