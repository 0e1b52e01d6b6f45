import torch
import torch.nn as nn
import torch.optim as optim


class ResBlockNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.linear = nn.Linear(16, num_classes)

    def forward(self, x):
        out = torch.relu(self.conv1(x))
        out = torch.relu(out + self.conv2(out))
        return self.linear(out.mean((2, 3)))


def train_watermark(net, criterion, optimizer, wm_images, wm_labels, batch_size=4, epochs=5):
    net.train()
    for epoch in range(epochs):
        train_loss, correct = 0, 0
        for wmidx in range(0, len(wm_images), batch_size):
            wminputs = wm_images[wmidx : wmidx + batch_size]
            wmtargets = wm_labels[wmidx : wmidx + batch_size]
            optimizer.zero_grad()
            outputs = net(wminputs)
            loss = criterion(outputs, wmtargets)
            loss.backward()
            optimizer.step()
            train_loss += loss.item()
            correct += outputs.max(1)[1].eq(wmtargets).sum().item()
        print("Epoch %d Loss: %.3f | Acc: %d/%d" % (epoch, train_loss, correct, len(wm_images)))


if __name__ == "__main__":
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = ResBlockNet().to(device)
    trigger_set = torch.rand(20, 3, 32, 32).to(device)
    labels = torch.randint(0, 10, (20,)).to(device)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    train_watermark(net, nn.CrossEntropyLoss(), optimizer, trigger_set, labels)
