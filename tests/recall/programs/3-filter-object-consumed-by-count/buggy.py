import torch
import torch.nn as nn
import torchvision

from torch.utils.data import DataLoader, TensorDataset

BATCH, LR, EPOCHS = 16, 1e-3, 5

model = torchvision.models.resnet18(weights="DEFAULT")
for name, p in model.named_parameters():
    if not name.startswith(("layer4", "fc")):
        p.requires_grad = False
model.fc = nn.Linear(512, 2)

params = filter(lambda p: p.requires_grad, model.parameters())
print("trainable tensors:", len(list(params)))
optimizer = torch.optim.Adam(params, lr=LR)
criterion = nn.CrossEntropyLoss()

dataset = TensorDataset(torch.rand(128, 3, 224, 224), torch.randint(0, 2, (128,)))
loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)

for epoch in range(EPOCHS):
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
