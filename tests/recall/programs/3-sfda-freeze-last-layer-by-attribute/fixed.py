import torch
import torch.nn as nn


class UNet(nn.Module):
    def __init__(self, n_channels=1, n_classes=5):
        super(UNet, self).__init__()
        self.inc = nn.Sequential(nn.Conv2d(n_channels, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True))
        self.down = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True))
        self.outc = nn.Conv2d(32, n_classes, 1)

    def forward(self, x):
        feat = self.down(self.inc(x))
        return self.outc(feat), feat


class PFA_Trainer:
    def __init__(self, opt, loader):
        self.opt = opt
        self.loader = loader
        self.model = UNet()
        self.model.load_state_dict(torch.load(opt["source_model_path"]))
        self.model.outc.requires_grad_(False)
        self.prototypes = self.model.outc.weight.detach().flatten(1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=opt["lr"], betas=(0.9, 0.999))

    def train_one_step(self, imgs):
        self.model.train()
        _, feat = self.model(imgs)
        out = torch.einsum("bchw,kc->bkhw", feat, self.prototypes)
        prob = torch.softmax(out, dim=1)
        loss = -(prob * torch.log(prob + 1e-6)).sum(1).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def launch(self):
        for epoch in range(self.opt["epochs"]):
            for imgs, _ in self.loader:
                self.train_one_step(imgs)
            torch.save(self.model.state_dict(), "epoch_%d.pth" % epoch)
