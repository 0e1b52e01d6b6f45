import argparse
from copy import deepcopy

import torch
import torch.nn as nn
import torch.optim as optim
from tqdm import trange


def train(model, train_loader, criterion, optimizer, device):
    total_loss = []
    model.train()
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        outputs = model(inputs.to(device))
        targets = torch.squeeze(targets, 1).long().to(device)
        loss = criterion(outputs, targets)
        total_loss.append(loss.item())
        loss.backward()
        optimizer.step()
    return sum(total_loss) / len(total_loss)


def test(model, data_loader, device):
    model.eval()
    correct, n = 0, 0
    with torch.no_grad():
        for inputs, targets in data_loader:
            pred = model(inputs.to(device)).argmax(1)
            correct += (pred == targets.squeeze(1).to(device)).sum().item()
            n += len(pred)
    return correct / n


def main(num_epochs, lr, device, train_loader, val_loader, test_loader):
    model = nn.Sequential(nn.Conv3d(1, 16, 3), nn.BatchNorm3d(16), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 11))
    model = model.to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=lr)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[50, 75], gamma=0.1)
    best_acc = 0
    best_model = deepcopy(model)
    for epoch in trange(num_epochs):
        train(model, train_loader, criterion, optimizer, device)
        acc = test(model, val_loader, device)
        scheduler.step()
        if acc > best_acc:
            best_acc = acc
            best_model = deepcopy(model)
    torch.save({"net": best_model.state_dict()}, "best_model.pth")
    print("test acc: %.4f" % test(best_model, test_loader, device))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_epochs", default=100, type=int)
    args = parser.parse_args()
    batches = [(torch.rand(4, 1, 28, 28, 28), torch.randint(0, 11, (4, 1))) for _ in range(10)]
    main(args.num_epochs, 0.001, "cpu", batches, batches[:2], batches[2:4])
