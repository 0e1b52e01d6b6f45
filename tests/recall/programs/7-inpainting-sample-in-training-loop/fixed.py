import torch
from torch import nn
from torch.utils.data import DataLoader


class InpaintGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(4, 64, 7, padding=3),
            nn.InstanceNorm2d(64, track_running_stats=True),
            nn.ReLU(True),
            nn.Conv2d(64, 3, 7, padding=3),
        )

    def forward(self, x):
        return (torch.tanh(self.net(x)) + 1) / 2


class EdgeConnect:
    def __init__(self, config, train_dataset, val_dataset):
        self.config = config
        self.inpaint_model = InpaintGenerator().to(config.DEVICE)
        self.optimizer = torch.optim.Adam(self.inpaint_model.parameters(), lr=config.LR, betas=(0.0, 0.9))
        self.l1 = nn.L1Loss()
        self.train_dataset = train_dataset
        self.val_loader = DataLoader(val_dataset, batch_size=config.SAMPLE_SIZE)

    def process(self, images, masks):
        masked = images * (1 - masks) + masks
        outputs = self.inpaint_model(torch.cat((masked, masks), dim=1))
        return outputs, self.l1(outputs, images)

    def train(self):
        loader = DataLoader(self.train_dataset, batch_size=self.config.BATCH_SIZE, shuffle=True, drop_last=True)
        iteration = 0
        keep_training = True
        while keep_training:
            for images, masks in loader:
                self.inpaint_model.train()
                images, masks = images.to(self.config.DEVICE), masks.to(self.config.DEVICE)
                self.optimizer.zero_grad()
                outputs, gen_loss = self.process(images, masks)
                gen_loss.backward()
                self.optimizer.step()
                iteration += 1
                if iteration >= self.config.MAX_ITERS:
                    keep_training = False
                    break
                if iteration % self.config.SAMPLE_INTERVAL == 0:
                    self.sample(iteration)

    @torch.no_grad()
    def sample(self, it):
        self.inpaint_model.eval()
        images, masks = next(iter(self.val_loader))
        outputs, _ = self.process(images.to(self.config.DEVICE), masks.to(self.config.DEVICE))
        torch.save(outputs.cpu(), "samples/%05d.pt" % it)
