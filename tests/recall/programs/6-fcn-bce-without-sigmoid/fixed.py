import time
from datetime import datetime

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim


class FCNs(nn.Module):
    def __init__(self, n_class):
        super().__init__()
        self.n_class = n_class
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.deconv1 = nn.ConvTranspose2d(32, 32, kernel_size=3, stride=2, padding=1, output_padding=1)
        self.bn1 = nn.BatchNorm2d(32)
        self.classifier = nn.Conv2d(32, n_class, kernel_size=1)

    def forward(self, x):
        x5 = self.relu(self.conv1(x))
        score = self.bn1(self.relu(self.deconv1(x5)))
        return torch.sigmoid(self.classifier(score))


def train(epo_num=2):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_dataloader = [(torch.rand(2, 3, 32, 32), (torch.rand(2, 2, 32, 32) > 0.5).float()) for _ in range(4)]
    fcn_model = FCNs(n_class=2).to(device)
    criterion = nn.BCELoss().to(device)
    optimizer = optim.SGD(fcn_model.parameters(), lr=1e-2, momentum=0.7)

    prev_time = datetime.now()
    for epo in range(epo_num):
        train_loss = 0
        fcn_model.train()
        for bag, bag_msk in train_dataloader:
            bag, bag_msk = bag.to(device), bag_msk.to(device)
            optimizer.zero_grad()
            output = fcn_model(bag)
            loss = criterion(output, bag_msk)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
            output_np = np.argmin(output.cpu().detach().numpy().copy(), axis=1)
        cur_time = datetime.now()
        print("epoch train loss = %f, %s, mask mean %f" % (train_loss / 4, cur_time - prev_time, output_np.mean()))
        prev_time = cur_time
        time.sleep(0)


if __name__ == "__main__":
    train()
