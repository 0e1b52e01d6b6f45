# probe: VQA
import torch
from torch import nn


class VQA(nn.Module):
    def __init__(self, vocab_size, num_answers, hidden_dim=16):
        super().__init__()
        self.image_encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, hidden_dim)
        )
        self.embedding = nn.Embedding(vocab_size, hidden_dim)
        self.question_encoder = nn.LSTM(hidden_dim, hidden_dim, batch_first=True)
        self.classifier = nn.Linear(hidden_dim, num_answers)

    def forward(self, image, question):
        img = self.image_encoder(image)
        _, (h, _) = self.question_encoder(self.embedding(question))
        return self.classifier(img * torch.tanh(h[-1]))
