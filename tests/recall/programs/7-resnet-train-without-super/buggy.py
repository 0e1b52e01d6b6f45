import torch
import torch.nn as nn


def basic_bn_stem():
    return nn.Sequential(nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True))


def add_stage(inplanes, outplanes, nblocks):
    res_blocks = []
    for _ in range(nblocks):
        res_blocks += [nn.Conv2d(inplanes, outplanes, 3, padding=1, bias=False), nn.BatchNorm2d(outplanes), nn.ReLU()]
        inplanes = outplanes
    return nn.Sequential(*res_blocks)


class ResNetBody(nn.Module):
    def __init__(self, block_counts, freeze_at=2):
        super().__init__()
        self.convX = len(block_counts) + 1
        self.freeze_at = freeze_at
        self.res1 = basic_bn_stem()
        self.res2 = add_stage(64, 256, block_counts[0])
        self.res3 = add_stage(256, 512, block_counts[1])
        self.res4 = add_stage(512, 1024, block_counts[2])
        for i in range(1, freeze_at + 1):
            for p in getattr(self, "res%d" % i).parameters():
                p.requires_grad = False

    def train(self, mode=True):
        # Override
        self.training = mode
        for i in range(self.freeze_at + 1, self.convX + 1):
            getattr(self, "res%d" % i).train(mode)

    def forward(self, x):
        for i in range(self.convX):
            x = getattr(self, "res%d" % (i + 1))(x)
        return x


def extract(body, images):
    body.eval()
    with torch.no_grad():
        return body(images)
