import torch
from torch.utils.data import DataLoader, Dataset


class SentenceDataset(Dataset):
    def __init__(self, n=64):
        self.ids = torch.randint(0, 400, (n, 24))
        self.labels = torch.randint(0, 2, (n,))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.ids[i], self.labels[i]


pretrained = torch.nn.Sequential(torch.nn.Embedding(400, 64), torch.nn.Linear(64, 64), torch.nn.Tanh())
for param in pretrained.parameters():
    param.requires_grad_(False)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(64, 2)

    def forward(self, input_ids):
        with torch.no_grad():
            out = pretrained(input_ids)
        out = self.fc(out[:, 0])
        return out


model = Model()
loader = DataLoader(SentenceDataset(), batch_size=16, shuffle=True, drop_last=True)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
criterion = torch.nn.CrossEntropyLoss()

model.train()
for i, (input_ids, labels) in enumerate(loader):
    out = model(input_ids)
    loss = criterion(out, labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if i % 2 == 0:
        out = out.argmax(dim=1)
        accuracy = (out == labels).sum().item() / len(labels)
        print(i, loss.item(), accuracy)
