import torch
import torch.nn as nn
import torch.nn.functional as F


class G(nn.Module):
    def __init__(self, dim_z=16):
        super().__init__()
        self.dim_z = dim_z
        self.net = nn.Sequential(nn.Linear(dim_z, 64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, z):
        return self.net(z)


class D(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x):
        return self.net(x)


def loss_hinge_dis(dis_fake, dis_real):
    return torch.mean(F.relu(1.0 - dis_real)), torch.mean(F.relu(1.0 + dis_fake))


def loss_hinge_gen(dis_fake):
    return -torch.mean(dis_fake)


def GAN_training_function(netG, netD, optim_G, optim_D, config):
    def train(batches):
        optim_G.zero_grad()
        optim_D.zero_grad()
        for step_index in range(config["num_D_steps"]):
            x = batches[step_index]
            z = torch.randn(x.size(0), netG.dim_z)
            D_fake, D_real = netD(netG(z).detach()), netD(x)
            D_loss_real, D_loss_fake = loss_hinge_dis(D_fake, D_real)
            (D_loss_real + D_loss_fake).backward()
            optim_D.step()

        optim_G.zero_grad()
        z = torch.randn(config["batch_size"], netG.dim_z)
        G_loss = loss_hinge_gen(netD(netG(z)))
        G_loss.backward()
        optim_G.step()
        return {"G_loss": G_loss.item(), "D_loss": (D_loss_real + D_loss_fake).item()}

    return train


def run(config):
    netG, netD = G(), D()
    optim_G = torch.optim.Adam(netG.parameters(), lr=config["G_lr"], betas=(0.0, 0.999))
    optim_D = torch.optim.Adam(netD.parameters(), lr=config["D_lr"], betas=(0.0, 0.999))
    train = GAN_training_function(netG, netD, optim_G, optim_D, config)
    for itr in range(config["num_iters"]):
        batches = [torch.randn(config["batch_size"], 32) for _ in range(config["num_D_steps"])]
        metrics = train(batches)
        if itr % 10 == 0:
            print(itr, metrics)


run({"num_D_steps": 4, "batch_size": 16, "G_lr": 5e-5, "D_lr": 2e-4, "num_iters": 30})
