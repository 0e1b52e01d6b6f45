import torch
from torch import nn
from torch.nn import CrossEntropyLoss
from torch.optim import SGD


class C3D(nn.Module):
    def __init__(self, n_labels, num_channels=1):
        super(C3D, self).__init__()
        self.conv1 = nn.Conv3d(num_channels, 8, kernel_size=(3, 1, 5), stride=(1, 1, 1))
        self.conv1_activation = nn.PReLU()
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(8, n_labels)

    def forward(self, x):
        x = self.conv1_activation(self.conv1(x))
        return self.fc(self.pool(x).flatten(1))


def main(num_epochs=2, n_labels=5):
    model = C3D(n_labels)
    optimizer = SGD(model.parameters(), lr=0.001, momentum=0.9)
    train_loader = [(torch.randn(4, 1, 10, 20, 20), torch.randint(0, n_labels, (4,))) for _ in range(3)]
    for epoch in range(num_epochs):
        model.train()
        running = 0.0
        for features, labels in train_loader:
            optimizer.zero_grad()
            output = model(features)
            loss = CrossEntropyLoss(output, labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
        print("epoch {} loss {:.4f}".format(epoch, running / len(train_loader)))


if __name__ == "__main__":
    main()
