import argparse

import torch
from torch import distributed, nn, optim
from torch.nn import functional as F


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.structure = nn.Conv2d(16, 4, 1)
        self.texture = nn.Linear(16, 32)

    def forward(self, image):
        out = F.leaky_relu(self.stem(image), 0.2)
        return self.structure(out), self.texture(out.mean((2, 3)))


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.mod = nn.Linear(32, 4)
        self.out = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, structure, texture):
        return self.out(structure * self.mod(texture)[:, :, None, None])


def train(args, loader, encoder, generator, e_optim, g_optim, device):
    for i in range(args.iter):
        real_img = loader[i % len(loader)].to(device)
        structure, texture = encoder(real_img)
        fake_img = generator(structure, texture)
        recon_loss = F.l1_loss(fake_img, real_img)
        e_optim.zero_grad()
        g_optim.zero_grad()
        recon_loss.backward()
        e_optim.step()
        g_optim.step()
        if args.local_rank == 0 and i % 10 == 0:
            print(f"{i}: recon {recon_loss.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--iter", type=int, default=20)
    parser.add_argument("--local_rank", type=int, default=0)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    distributed.init_process_group(backend="gloo", init_method="env://")
    encoder = nn.parallel.DistributedDataParallel(Encoder().to(device))
    generator = nn.parallel.DistributedDataParallel(Generator().to(device))
    e_optim = optim.Adam(encoder.parameters(), lr=0.002, betas=(0, 0.99))
    g_optim = optim.Adam(generator.parameters(), lr=0.002, betas=(0, 0.99))
    train(args, [torch.rand(4, 3, 16, 16) for _ in range(4)], encoder, generator, e_optim, g_optim, device)
