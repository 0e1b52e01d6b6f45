import torch
from torch import nn, optim


class TextClassifier(nn.Module):
    def __init__(self, vocab, dim, num_labels):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab, dim)
        self.hidden = nn.Linear(dim, dim)
        self.classifier = nn.Linear(dim, num_labels)

    def forward(self, ids):
        return self.classifier(torch.relu(self.hidden(self.embedding(ids))))


class BasicTrainer:
    def __init__(self, model, train_loader, num_epochs=5, lr=1e-3, device="cpu"):
        self.model = model.to(device)
        self.loader = train_loader
        self.num_epochs = num_epochs
        self.lr = lr
        self.device = device
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = optim.Adam(self.model.parameters(), lr=lr)

    def replace_final_layer(self, num_labels):
        for param in self.model.parameters():
            param.requires_grad = False
        in_features = self.model.classifier.in_features
        self.model.classifier = nn.Linear(in_features, num_labels).to(self.device)

    def train(self):
        for epoch in range(self.num_epochs):
            self.model.train()
            for x, y in self.loader:
                x, y = x.to(self.device), y.to(self.device)
                self.optimizer.zero_grad()
                loss = self.loss(self.model(x), y)
                loss.backward()
                self.optimizer.step()
            print(f"epoch {epoch} loss {loss.item():.4f}")


if __name__ == "__main__":
    pretrained = TextClassifier(20000, 100, 20)
    pretrained.load_state_dict(torch.load("news.pt"))
    loader = [(torch.randint(0, 20000, (32, 40)), torch.randint(0, 3, (32,))) for _ in range(100)]
    trainer = BasicTrainer(pretrained, loader)
    trainer.replace_final_layer(3)
    trainer.train()
