import argparse

import torch
import torch.nn as nn
import tqdm


class PoseNet(nn.Module):
    def __init__(self, nstack=4, oup_dim=68):
        super().__init__()
        self.pre = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU())
        self.body = nn.Sequential(*[nn.Conv2d(64, 64, 3, padding=1) for _ in range(nstack)])
        self.outs = nn.Conv2d(64, oup_dim, 1)

    def forward(self, imgs):
        return self.outs(self.body(self.pre(imgs)))


def evaluate_batch(net, optimizer, imgs, heatmaps):
    net.eval()
    out = net(imgs)
    loss = ((out - heatmaps) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def train_batch(net, optimizer, imgs, heatmaps):
    net.train()
    out = net(imgs)
    loss = ((out - heatmaps) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def batches(n):
    for _ in range(n):
        yield torch.rand(8, 3, 64, 64), torch.rand(8, 68, 32, 32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train-iters", type=int, default=1000)
    parser.add_argument("--val-iters", type=int, default=10)
    parser.add_argument("--lr", type=float, default=2e-4)
    opt = parser.parse_args()
    net = PoseNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=opt.lr)
    while True:
        for phase in ["train", "val"]:
            num_step = opt.train_iters if phase == "train" else opt.val_iters
            for imgs, heatmaps in tqdm.tqdm(batches(num_step), total=num_step):
                if phase == "train":
                    loss = train_batch(net, optimizer, imgs, heatmaps)
                else:
                    loss = evaluate_batch(net, optimizer, imgs, heatmaps)
            print(phase, loss)


if __name__ == "__main__":
    main()
