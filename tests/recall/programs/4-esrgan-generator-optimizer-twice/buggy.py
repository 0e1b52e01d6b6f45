import torch
from torch import nn, optim


class SRResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 9, padding=4)
        self.up = nn.Sequential(nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x):
        return self.up(torch.relu(self.conv1(x)))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.LeakyReLU(0.2, True), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(16, 1)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def define_optimizer(g_model, d_model):
    g_optimizer = optim.Adam(g_model.parameters(), 1e-4, (0.9, 0.999))
    d_optimizer = optim.Adam(d_model.parameters(), 1e-4, (0.9, 0.999))
    return g_optimizer, d_optimizer


def train(g_model, d_model, loader, content_criterion, adversarial_criterion, g_optimizer, d_optimizer, epoch):
    g_model.train()
    d_model.train()
    for batch_index, (gt, lr) in enumerate(loader):
        real_label = torch.full([gt.size(0), 1], 1.0)
        fake_label = torch.full([gt.size(0), 1], 0.0)

        # Train the generator
        for d_parameters in d_model.parameters():
            d_parameters.requires_grad = False
        g_model.zero_grad(set_to_none=True)
        sr = g_model(lr)
        g_loss = content_criterion(sr, gt) + 0.001 * adversarial_criterion(d_model(sr), real_label)
        g_loss.backward()
        g_optimizer.step()

        # Train the discriminator
        for d_parameters in d_model.parameters():
            d_parameters.requires_grad = True
        d_model.zero_grad(set_to_none=True)
        d_loss_gt = adversarial_criterion(d_model(gt), real_label)
        d_loss_sr = adversarial_criterion(d_model(sr.detach()), fake_label)
        d_loss = d_loss_gt + d_loss_sr
        d_loss.backward()
        g_optimizer.step()

        if batch_index % 10 == 0:
            print(epoch, batch_index, g_loss.item(), d_loss.item())


def main():
    g_model, d_model = SRResNet(), Discriminator()
    g_optimizer, d_optimizer = define_optimizer(g_model, d_model)
    loader = [(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 16, 16)) for _ in range(3)]
    train(g_model, d_model, loader, nn.MSELoss(), nn.BCEWithLogitsLoss(), g_optimizer, d_optimizer, 0)


if __name__ == "__main__":
    main()
