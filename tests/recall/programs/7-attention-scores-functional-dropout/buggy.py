import torch
import torch.nn.functional as F
import tqdm
from torch.utils.data import DataLoader


class AttentionalFactorizationMachine(torch.nn.Module):
    def __init__(self, embed_dim, attn_size, dropouts):
        super().__init__()
        self.attention = torch.nn.Linear(embed_dim, attn_size)
        self.projection = torch.nn.Linear(attn_size, 1)
        self.fc = torch.nn.Linear(embed_dim, 1)
        self.dropouts = dropouts

    def forward(self, x):
        num_fields = x.shape[1]
        row, col = list(), list()
        for i in range(num_fields - 1):
            for j in range(i + 1, num_fields):
                row.append(i), col.append(j)
        inner_product = x[:, row] * x[:, col]
        attn_scores = F.relu(self.attention(inner_product))
        attn_scores = F.softmax(self.projection(attn_scores), dim=1)
        attn_scores = F.dropout(attn_scores, p=self.dropouts[0])
        attn_output = torch.sum(attn_scores * inner_product, dim=1)
        attn_output = F.dropout(attn_output, p=self.dropouts[1])
        return self.fc(attn_output).squeeze(1)


class AFM(torch.nn.Module):
    def __init__(self, field_dims, embed_dim=16):
        super().__init__()
        self.embedding = torch.nn.Embedding(sum(field_dims), embed_dim)
        self.afm = AttentionalFactorizationMachine(embed_dim, 16, (0.2, 0.2))

    def forward(self, x):
        return self.afm(self.embedding(x))


def train(model, optimizer, data_loader, criterion, device):
    model.train()
    for fields, target in tqdm.tqdm(data_loader, smoothing=0, mininterval=1.0):
        fields, target = fields.to(device), target.to(device)
        y = model(fields)
        loss = criterion(y, target.float())
        model.zero_grad()
        loss.backward()
        optimizer.step()


def main(dataset, field_dims, epochs, device):
    loader = DataLoader(dataset, batch_size=2048, shuffle=True)
    model = AFM(field_dims).to(device)
    optimizer = torch.optim.Adam(params=model.parameters(), lr=1e-3, weight_decay=1e-6)
    for _ in range(epochs):
        train(model, optimizer, loader, torch.nn.BCEWithLogitsLoss(), device)
