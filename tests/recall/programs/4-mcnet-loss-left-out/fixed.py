import logging

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


def dice_loss(score, target):
    target = target.float()
    smooth = 1e-5
    intersect = torch.sum(score * target)
    return 1 - (2 * intersect + smooth) / (torch.sum(score * score) + torch.sum(target * target) + smooth)


class MCNet3d(nn.Module):
    def __init__(self, n_classes=2):
        super().__init__()
        self.encoder = nn.Conv3d(1, 8, 3, padding=1)
        self.decoder1 = nn.Conv3d(8, n_classes, 1)
        self.decoder2 = nn.Conv3d(8, n_classes, 3, padding=1)

    def forward(self, x):
        f = F.relu(self.encoder(x))
        return self.decoder1(f), self.decoder2(f)


def train(max_iterations=10, labeled_bs=2, consistency_weight=0.1):
    model = MCNet3d()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0001)
    model.train()
    for iter_num in range(max_iterations):
        volume_batch = torch.rand(4, 1, 8, 8, 8)
        label_batch = torch.randint(0, 2, (4, 8, 8, 8))
        out1, out2 = model(volume_batch)
        y_prob1 = F.softmax(out1, dim=1)
        y_prob2 = F.softmax(out2, dim=1)

        loss_seg = F.cross_entropy(out1[:labeled_bs], label_batch[:labeled_bs])
        loss_seg_dice = dice_loss(y_prob1[:labeled_bs, 1], label_batch[:labeled_bs] == 1)
        loss_seg_dice = loss_seg_dice + dice_loss(y_prob2[:labeled_bs, 1], label_batch[:labeled_bs] == 1)
        loss_consist = F.mse_loss(y_prob1, y_prob2)
        loss = 0.5 * (loss_seg + loss_seg_dice) + consistency_weight * loss_consist

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        logging.info("iteration %d : loss : %03f", iter_num, loss.item())
    torch.save(model.state_dict(), "mcnet.pth")


if __name__ == "__main__":
    train()
