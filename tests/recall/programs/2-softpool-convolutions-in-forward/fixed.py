import torch
import torch.nn as nn


class SoftPool(nn.Module):
    def __init__(self, regions=16, cabins=8, size_feat=64, sp_ratio=4):
        super(SoftPool, self).__init__()
        self.regions = regions
        self.num_cabin = cabins
        self.sp_ratio = sp_ratio
        self.conv2d_1 = nn.Conv2d(size_feat, size_feat, kernel_size=(1, 3), stride=(1, 1))
        self.conv2d_5 = nn.Conv2d(size_feat, size_feat, kernel_size=(regions, 1), stride=(1, 1))

    def forward(self, x):
        size_bth, size_feat, size_pts = list(x.shape)
        x = torch.sort(x, dim=2)[0][:, :, : self.regions * self.num_cabin]
        x = x.view(size_bth, size_feat, self.regions, self.num_cabin)
        x = self.conv2d_5(self.conv2d_1(x))
        return x.flatten(1)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.point = nn.Sequential(nn.Conv1d(3, 64, 1), nn.ReLU())
        self.pool = SoftPool()
        self.fc = nn.Linear(64 * 6, 3 * 512)

    def forward(self, pts):
        return self.fc(self.pool(self.point(pts))).view(pts.size(0), 512, 3)


if __name__ == "__main__":
    net = Encoder()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    for i in range(1000):
        partial = torch.rand(4, 3, 1024)
        gt = torch.rand(4, 512, 3)
        optimizer.zero_grad()
        loss = torch.cdist(net(partial), gt).min(dim=2)[0].mean()
        loss.backward()
        optimizer.step()
    torch.save(net.state_dict(), "network.pth")
