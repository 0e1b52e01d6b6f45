# probe: Net
# expected: probe-samples-mix "`reshape` puts values of several samples into one here"
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 12)
        self.fc = nn.Linear(12, 3)

    def forward(self, x):
        batch, steps, features = x.shape
        out, _ = self.lstm(x.reshape(steps, batch, features))  # here
        return self.fc(out[-1])
