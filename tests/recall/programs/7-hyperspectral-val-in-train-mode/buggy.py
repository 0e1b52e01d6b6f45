import torch
import torch.nn as nn
from tqdm import tqdm


class HamidaEtAl(nn.Module):
    def __init__(self, input_channels, n_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, 64, 3, padding=1)
        self.bn = nn.BatchNorm2d(64)
        self.drop = nn.Dropout(p=0.5)
        self.fc = nn.Linear(64, n_classes)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv1(x)))
        return self.fc(self.drop(x.mean(dim=(2, 3))))


def train(net, optimizer, criterion, data_loader, epoch, val_loader, device=torch.device("cpu")):
    net.to(device)
    val_accuracies = []
    for e in tqdm(range(1, epoch + 1), desc="Training the network"):
        net.train()
        avg_loss = 0.0
        for data, target in data_loader:
            data, target = data.to(device), target.to(device)
            optimizer.zero_grad()
            output = net(data)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
            avg_loss += loss.item()
        val_acc = val(net, val_loader, device=device)
        val_accuracies.append(val_acc)
        tqdm.write("epoch {} loss {:.3f} val {:.3f}".format(e, avg_loss / len(data_loader), val_acc))
    return val_accuracies


def val(net, data_loader, device="cpu"):
    accuracy, total = 0.0, 0.0
    ignored_labels = data_loader.dataset.ignored_labels
    for data, target in data_loader:
        with torch.no_grad():
            data, target = data.to(device), target.to(device)
            output = net(data)
            _, output = torch.max(output, dim=1)
            for pred, truth in zip(output.view(-1), target.view(-1)):
                if truth.item() in ignored_labels:
                    continue
                accuracy += truth.item() == pred.item()
                total += 1
    return accuracy / total


net = HamidaEtAl(103, 10)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, weight_decay=0.0005)
