import argparse

import torch
import torch.nn as nn

parser = argparse.ArgumentParser(description="Structure from Motion Learner training")
parser.add_argument("--epochs", default=2, type=int)
parser.add_argument("--lr", "--learning-rate", default=2e-4, type=float)
parser.add_argument("--step-size", default=10, type=int)


class DispNet(nn.Module):
    def __init__(self):
        super(DispNet, self).__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.disp = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x):
        return torch.sigmoid(self.disp(torch.relu(self.conv1(x))))


def smooth_loss(pred):
    dx = (pred[:, :, :, 1:] - pred[:, :, :, :-1]).abs().mean()
    dy = (pred[:, :, 1:] - pred[:, :, :-1]).abs().mean()
    return dx + dy


def train(train_loader, disp_net, optimizer, scheduler):
    disp_net.train()
    losses = []
    for tgt_img in train_loader:
        disp = disp_net(tgt_img)
        loss = (disp - tgt_img.mean(1, keepdim=True)).abs().mean() + 0.1 * smooth_loss(disp)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        scheduler.step()
    return sum(losses) / len(losses)


def main():
    args = parser.parse_args()
    train_loader = [torch.rand(2, 3, 16, 16) for _ in range(6)]
    disp_net = DispNet()
    optimizer = torch.optim.Adam(disp_net.parameters(), args.lr, betas=(0.9, 0.999))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, args.step_size, gamma=0.5)
    for epoch in range(args.epochs):
        train_loss = train(train_loader, disp_net, optimizer, scheduler)
        print(f" * Avg Loss : {train_loss:.3f}")


if __name__ == "__main__":
    main()
