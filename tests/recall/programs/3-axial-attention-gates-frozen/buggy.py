import torch
import torch.nn as nn
import torch.nn.functional as F


class AxialAttention_dynamic(nn.Module):
    def __init__(self, in_planes, out_planes, groups=8):
        super(AxialAttention_dynamic, self).__init__()
        self.groups = groups
        self.qkv = nn.Conv1d(in_planes, out_planes * 3, kernel_size=1, bias=False)
        self.bn = nn.BatchNorm1d(out_planes * 3)

        # Gates on the positional terms
        self.f_qr = nn.Parameter(torch.tensor(0.1), requires_grad=False)
        self.f_kr = nn.Parameter(torch.tensor(0.1), requires_grad=False)
        self.f_sv = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def forward(self, x):
        N, C, W, H = x.shape
        x = x.permute(0, 3, 1, 2).reshape(N * H, C, W)
        q, k, v = self.bn(self.qkv(x)).chunk(3, dim=1)
        qk = torch.einsum("bci,bcj->bij", q * self.f_qr, k * self.f_kr)
        sv = torch.einsum("bij,bcj->bci", F.softmax(qk, dim=2), v) * self.f_sv
        return sv.reshape(N, H, -1, W).permute(0, 2, 3, 1)


class MedT(nn.Module):
    def __init__(self, num_classes=2, planes=64):
        super().__init__()
        self.stem = nn.Conv2d(3, planes, 7, 2, 3)
        self.attn = AxialAttention_dynamic(planes, planes)
        self.adjust = nn.Conv2d(planes, num_classes, 1)

    def forward(self, x):
        x = F.relu(self.attn(self.stem(x)))
        return F.interpolate(self.adjust(x), scale_factor=2)


def main(loader, epochs=400):
    model = MedT()
    optimizer = torch.optim.Adam(list(model.parameters()), lr=1e-3, weight_decay=1e-5)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        epoch_running_loss = 0.0
        for X_batch, y_batch in loader:
            output = model(X_batch)
            loss = criterion(output, y_batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch_running_loss += loss.item()
        print("epoch [{}/{}], loss:{:.4f}".format(epoch, epochs, epoch_running_loss / len(loader)))
