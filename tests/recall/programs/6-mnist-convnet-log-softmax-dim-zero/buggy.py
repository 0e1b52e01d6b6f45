import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

image_size, num_classes, num_epochs, batch_size = 28, 10, 2, 16
depth = [4, 8]


class ConvNet(nn.Module):
    def __init__(self):
        super(ConvNet, self).__init__()
        self.conv1 = nn.Conv2d(1, 4, 5, padding=2)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(depth[0], depth[1], 5, padding=2)
        self.fc1 = nn.Linear(image_size // 4 * image_size // 4 * depth[1], 128)
        self.fc2 = nn.Linear(128, num_classes)
        self.output = nn.LogSoftmax(dim=0)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, image_size // 4 * image_size // 4 * depth[1])
        x = F.dropout(F.relu(self.fc1(x)), training=self.training)
        return self.output(self.fc2(x))


def rightness(predictions, labels):
    pred = torch.max(predictions.data, 1)[1]
    return pred.eq(labels.data.view_as(pred)).sum().item(), len(labels)


net = ConvNet()
criterion = nn.NLLLoss()
optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)

for epoch in range(num_epochs):
    train_rights = []
    for batch_idx in range(6):
        data, target = torch.rand(batch_size, 1, 28, 28), torch.randint(0, num_classes, (batch_size,))
        net.train()
        output = net(data)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_rights.append(rightness(output, target))
    train_r = np.array(train_rights).sum(0)
    print("epoch {} loss {:.6f} right {:.2f}%".format(epoch, loss.item(), 100.0 * train_r[0] / train_r[1]))
