import torch
import torch.nn as nn
import torch.optim as optim


class ClassBlock(nn.Module):
    def __init__(self, input_dim, class_num, droprate=0.5):
        super().__init__()
        self.add_block = nn.Sequential(nn.Linear(input_dim, 64), nn.BatchNorm1d(64), nn.LeakyReLU(0.1), nn.Dropout(droprate))
        self.classifier = nn.Linear(64, class_num)

    def forward(self, x):
        return self.classifier(self.add_block(x))


class ReIDNet(nn.Module):
    def __init__(self, class_num=20):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2)
        )
        self.classifier1 = ClassBlock(128, class_num)
        self.classifier2 = ClassBlock(128, class_num)

    def forward(self, x):
        x = self.backbone(x)
        f = x.view(x.size(0), -1)
        f = f.detach()
        return self.classifier1(f), self.classifier2(f)


def train_model(model, loader, criterion, optimizer, num_epochs=3):
    for epoch in range(num_epochs):
        model.train(True)
        running_loss, running_corrects = 0.0, 0
        for inputs, labels in loader:
            optimizer.zero_grad()
            out1, out2 = model(inputs)
            loss = criterion(out1, labels) + 0.5 * criterion(out2, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            running_corrects += (out1.argmax(1) == labels).sum().item()
        print("Epoch {}: loss {:.4f} correct {}".format(epoch, running_loss / len(loader), running_corrects))
    return model


net = ReIDNet()
opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
batches = [(torch.rand(8, 3, 32, 16), torch.randint(0, 20, (8,))) for _ in range(4)]
train_model(net, batches, nn.CrossEntropyLoss(), opt)
