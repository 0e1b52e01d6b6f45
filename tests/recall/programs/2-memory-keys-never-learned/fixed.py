import torch
import torch.nn as nn
import torch.nn.functional as F


class NormalityRecall(nn.Module):
    """Attention over a memory of L normal prototypes."""

    def __init__(self, channel, L=50):
        super(NormalityRecall, self).__init__()
        self.query = nn.Conv2d(channel, channel, 1)
        self.keys = nn.Parameter(torch.randn(L, channel))
        self.values = nn.Parameter(torch.randn(L, channel))
        self.scale = channel**-0.5

    def forward(self, x):
        b, c, h, w = x.shape
        q = self.query(x).flatten(2).transpose(1, 2)
        attn = F.softmax(q @ self.keys.t() * self.scale, dim=-1)
        out = attn @ self.values
        return x + out.transpose(1, 2).view(b, c, h, w)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU())
        self.recall = NormalityRecall(64)

    def forward(self, x):
        return self.recall(self.layer1(x))


class TrainerNM:
    def __init__(self, data, teacher, lr=0.4, device="cuda"):
        self.device = device
        self.data = data
        self.teacher = teacher.to(device).eval()
        self.student = Student().to(device)
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)

    def train(self, epochs=100):
        for epoch in range(epochs):
            self.student.train()
            for image in self.data:
                image = image.to(self.device)
                with torch.no_grad():
                    features_t = self.teacher(image)
                features_s = self.student(image)
                loss = (1 - F.cosine_similarity(features_s, features_t)).mean()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
