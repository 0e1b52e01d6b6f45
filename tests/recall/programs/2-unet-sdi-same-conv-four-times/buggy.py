import torch
import torch.nn as nn
import torch.nn.functional as F


class SDI(nn.Module):
    def __init__(self, channel):
        super().__init__()

        self.convs = nn.ModuleList(
            [nn.Conv2d(channel, channel, kernel_size=3, stride=1, padding=1)] * 4)

    def forward(self, xs, anchor):
        ans = torch.ones_like(anchor)
        target_size = anchor.shape[-1]
        for i, x in enumerate(xs):
            if x.shape[-1] > target_size:
                x = F.adaptive_avg_pool2d(x, (target_size, target_size))
            elif x.shape[-1] < target_size:
                x = F.interpolate(x, size=(target_size, target_size), mode="bilinear", align_corners=True)
            ans = ans * self.convs[i](x)
        return ans


class UNetV2(nn.Module):
    def __init__(self, channel=32, n_classes=1, deep_supervision=True):
        super().__init__()
        self.deep_supervision = deep_supervision
        self.stems = nn.ModuleList([nn.Conv2d(3, channel, 3, s, 1) for s in (1, 2, 4, 8)])
        self.sdi = SDI(channel)
        self.seg_outs = nn.ModuleList([nn.Conv2d(channel, n_classes, 1, 1)] * 4)

    def forward(self, x):
        feats = [stem(x) for stem in self.stems]
        outs = []
        for i, f in enumerate(feats):
            o = self.seg_outs[i](self.sdi(feats, f))
            outs.append(F.interpolate(o, size=x.shape[-2:], mode="bilinear"))
        return outs if self.deep_supervision else outs[0]


def train(model, loader, optimizer, epoch):
    model.train()
    for images, gts in loader:
        optimizer.zero_grad()
        outs = model(images)
        loss = sum(F.binary_cross_entropy_with_logits(o, gts) for o in outs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
