# probe: Net
# expected: probe-samples-mix "`LSTM` takes the first dimension of (4, 6, 8) for the sequence"
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 12)  # cause
        self.fc = nn.Linear(12, 3)

    def forward(self, x):
        out, _ = self.lstm(x)  # here
        return self.fc(out[:, -1])
