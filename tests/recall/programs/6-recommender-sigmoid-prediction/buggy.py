import torch
import torch.nn as nn
import torch.optim as optim


class NeuMF(nn.Module):
    def __init__(self, user_num, item_num, factors=16, lr=0.001, epochs=3):
        super().__init__()
        self.lr, self.epochs = lr, epochs
        self.embed_user_gmf = nn.Embedding(user_num, factors)
        self.embed_item_gmf = nn.Embedding(item_num, factors)
        self.embed_user_mlp = nn.Embedding(user_num, factors)
        self.embed_item_mlp = nn.Embedding(item_num, factors)
        self.mlp = nn.Sequential(nn.Dropout(0.1), nn.Linear(2 * factors, factors), nn.ReLU())
        self.predict_layer = nn.Linear(2 * factors, 1)
        for m in self.modules():
            if isinstance(m, nn.Embedding):
                nn.init.normal_(m.weight, std=0.01)

    def forward(self, user, item):
        gmf = self.embed_user_gmf(user) * self.embed_item_gmf(item)
        mlp = self.mlp(torch.cat((self.embed_user_mlp(user), self.embed_item_mlp(item)), -1))
        pred = self.predict_layer(torch.cat((gmf, mlp), -1)).sigmoid()
        return pred.view(-1)

    def fit(self, train_loader):
        optimizer = optim.Adam(self.parameters(), lr=self.lr)
        criterion = nn.BCEWithLogitsLoss(reduction="sum")
        last_loss = 0.0
        for epoch in range(1, self.epochs + 1):
            self.train()
            current_loss = 0.0
            for user, item, label in train_loader:
                optimizer.zero_grad()
                prediction = self(user, item)
                loss = criterion(prediction, label)
                loss.backward()
                optimizer.step()
                current_loss += loss.item()
            print(f"[Epoch {epoch:03d}] loss {current_loss:.4f}")
            if abs(current_loss - last_loss) < 1e-5:
                break
            last_loss = current_loss


loader = [(torch.randint(0, 50, (32,)), torch.randint(0, 80, (32,)), torch.randint(0, 2, (32,)).float()) for _ in range(6)]
NeuMF(50, 80).fit(loader)
