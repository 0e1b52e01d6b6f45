import torch
import torch.nn as nn
import torch.nn.functional as F


class GSCNN(nn.Module):
    def __init__(self, num_classes=5):
        super(GSCNN, self).__init__()
        self.mod1 = nn.Conv2d(3, 16, 3, padding=1)
        self.dsn = nn.Conv2d(16, 1, 1)
        self.fuse = nn.Conv2d(1, 1, kernel_size=1, bias=False)
        self.cw = nn.Conv2d(2, 1, kernel_size=1, bias=False)
        self.sigmoid = nn.Sigmoid()
        self.final_seg = nn.Conv2d(17, num_classes, 1)

    def forward(self, inp):
        m1 = F.relu(self.mod1(inp))
        cs = self.fuse(self.dsn(m1))
        edge_out = self.sigmoid(cs)
        canny = inp.mean(1, keepdim=True)
        acts = torch.sigmoid(self.cw(torch.cat((edge_out, canny), dim=1)))
        return self.final_seg(torch.cat((m1, acts), dim=1)), edge_out


class JointEdgeSegLoss(nn.Module):
    def __init__(self, edge_weight=1.0, seg_weight=1.0):
        super().__init__()
        self.edge_weight, self.seg_weight = edge_weight, seg_weight

    def bce2d(self, input, target):
        pos = (target == 1).float().mean()
        weight = torch.where(target == 1, 1 - pos, pos)
        return F.binary_cross_entropy_with_logits(input, target, weight)

    def forward(self, inputs, targets):
        segin, edgein = inputs
        segmask, edgemask = targets
        return {
            "seg_loss": self.seg_weight * F.cross_entropy(segin, segmask),
            "edge_loss": self.edge_weight * 20 * self.bce2d(edgein, edgemask),
        }


net = GSCNN()
criterion = JointEdgeSegLoss()
optim = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
for curr_iter in range(5):
    inputs = torch.rand(2, 3, 24, 24)
    mask, edge = torch.randint(0, 5, (2, 24, 24)), (torch.rand(2, 1, 24, 24) > 0.9).float()
    optim.zero_grad()
    loss_dict = criterion(net(inputs), (mask, edge))
    main_loss = loss_dict["seg_loss"] + loss_dict["edge_loss"]
    main_loss.backward()
    optim.step()
    print(curr_iter, main_loss.item())
