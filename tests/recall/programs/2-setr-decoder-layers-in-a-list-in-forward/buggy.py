import torch
import torch.nn as nn


class TransformerEncoder(nn.Module):
    def __init__(self, dim, depth, heads):
        super().__init__()
        layer = nn.TransformerEncoderLayer(dim, heads, dim * 4, batch_first=True)
        self.net = nn.TransformerEncoder(layer, depth)

    def forward(self, x):
        return self.net(x)


class SETR_Naive(nn.Module):
    def __init__(self, img_dim, patch_dim, num_classes, embedding_dim=256):
        super(SETR_Naive, self).__init__()
        self.img_dim = img_dim
        self.patch_dim = patch_dim
        self.num_classes = num_classes
        self.embedding_dim = embedding_dim
        self.patch = nn.Conv2d(3, embedding_dim, patch_dim, patch_dim)
        self.transformer = TransformerEncoder(embedding_dim, 4, 8)

    def encode(self, x):
        x = self.patch(x)
        b, c, h, w = x.shape
        x = self.transformer(x.flatten(2).transpose(1, 2))
        return x.transpose(1, 2).view(b, c, h, w)

    def decode(self, x):
        decoder = nn.Sequential(
            nn.Conv2d(self.embedding_dim, self.embedding_dim, kernel_size=1),
            nn.BatchNorm2d(self.embedding_dim),
            nn.ReLU(),
            nn.Conv2d(self.embedding_dim, self.num_classes, kernel_size=1),
            nn.Upsample(scale_factor=self.patch_dim, mode="bilinear"),
        )
        return decoder(x)

    def forward(self, x):
        return self.decode(self.encode(x))


def train(model, loader, optimizer, criterion, device):
    model.train()
    for img, mask in loader:
        img, mask = img.to(device), mask.to(device)
        optimizer.zero_grad()
        loss = criterion(model(img), mask)
        loss.backward()
        optimizer.step()
