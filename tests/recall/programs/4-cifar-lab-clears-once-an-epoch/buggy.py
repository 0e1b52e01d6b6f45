import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(123)


class CNN(nn.Module):
    def __init__(self):
        super(CNN, self).__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.pool = nn.MaxPool2d(4)
        self.fc = nn.Linear(16 * 8 * 8, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        return self.fc(x.view(x.size(0), -1))


def train(net, partition, optimizer, criterion, args):
    trainloader = DataLoader(partition["train"], batch_size=args["batch"], shuffle=True)
    net.train()
    optimizer.zero_grad()
    correct, total, train_loss = 0, 0, 0.0
    for inputs, labels in trainloader:
        outputs = net(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()

        train_loss += loss.item()
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()
    return net, train_loss / len(trainloader), 100 * correct / total


def experiment(args):
    partition = {"train": TensorDataset(torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,)))}
    net = CNN()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.RMSprop(net.parameters(), lr=args["lr"])
    for epoch in range(args["epoch"]):
        net, train_loss, train_acc = train(net, partition, optimizer, criterion, args)
        print("Epoch {}, Acc {:2.2f}, Loss {:2.5f}".format(epoch, train_acc, train_loss))


experiment({"batch": 32, "lr": 0.0015, "epoch": 2})
