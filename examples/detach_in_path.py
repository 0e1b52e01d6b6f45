"""The encoder never learns: what it computes is detached on its way to the classifier."""

import argparse

import torch
from torch import nn


class ImageClassifier(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(32, classes)

    def forward(self, images):
        features = self.encoder(images).detach()
        return self.classifier(features)


def stripes(count, classes=4, size=8):
    """Images of stripes at one of four angles."""
    labels = torch.randint(classes, (count,))
    angle = labels[:, None, None] * torch.pi / classes
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = torch.sin((x * angle.cos() + y * angle.sin()) * 2)
    return (waves + 0.2 * torch.randn(count, size, size))[:, None], labels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=120)
    args = parser.parse_args()

    torch.manual_seed(0)
    model = ImageClassifier()
    filters = model.encoder[0].weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(args.steps):
        images, labels = stripes(64)
        optimizer.zero_grad()
        logits = model(images)
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
            print(f"step {step:3d}  loss {loss.item():.3f}  accuracy {accuracy:.0%}")
    print("filters unchanged" if torch.equal(filters, model.encoder[0].weight) else "filters trained")


if __name__ == "__main__":
    main()
