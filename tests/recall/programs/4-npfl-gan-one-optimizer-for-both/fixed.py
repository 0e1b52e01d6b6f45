import argparse

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--batch_size", default=50, type=int)
parser.add_argument("--epochs", default=1, type=int)
parser.add_argument("--z_dim", default=16, type=int)


class GAN(torch.nn.Module):
    def __init__(self, args):
        super().__init__()
        self._z_dim = args.z_dim
        self.generator = torch.nn.Sequential(
            torch.nn.Linear(args.z_dim, 128), torch.nn.ReLU(), torch.nn.Linear(128, 28 * 28), torch.nn.Sigmoid()
        )
        self.discriminator = torch.nn.Sequential(torch.nn.Linear(28 * 28, 128), torch.nn.ReLU(), torch.nn.Linear(128, 1))
        self.loss = torch.nn.BCEWithLogitsLoss()
        self.optimizer = {
            "generator": torch.optim.Adam(self.generator.parameters()),
            "discriminator": torch.optim.Adam(self.discriminator.parameters()),
        }

    def train_step(self, images):
        batch = images.shape[0]
        ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)

        # generator
        self.optimizer["generator"].zero_grad()
        latent = torch.randn(batch, self._z_dim)
        generated = self.generator(latent)
        generator_loss = self.loss(self.discriminator(generated), ones)
        generator_loss.backward()
        self.optimizer["generator"].step()

        # discriminator
        self.optimizer["discriminator"].zero_grad()
        with torch.no_grad():
            generated = self.generator(torch.randn(batch, self._z_dim))
        discriminator_loss = self.loss(self.discriminator(images), ones) + self.loss(self.discriminator(generated), zeros)
        discriminator_loss.backward()
        self.optimizer["discriminator"].step()
        return {"discriminator_loss": discriminator_loss.item(), "generator_loss": generator_loss.item()}


def main(args):
    network = GAN(args)
    data = [torch.rand(args.batch_size, 28 * 28) for _ in range(5)]
    for epoch in range(args.epochs):
        for images in data:
            logs = network.train_step(images)
        print(epoch + 1, logs)


if __name__ == "__main__":
    main(parser.parse_args())
