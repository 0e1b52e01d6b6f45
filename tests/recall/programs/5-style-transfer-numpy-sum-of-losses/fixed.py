import torch
import torch.nn as nn
import torch.nn.functional as F


class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1_1 = nn.Conv2d(3, 16, 3, padding=1)
        self.conv2_1 = nn.Conv2d(16, 32, 3, padding=1)

    def forward(self, x):
        r11 = F.relu(self.conv1_1(x))
        r21 = F.relu(self.conv2_1(F.max_pool2d(r11, 2)))
        return [r11, r21]


class GramMatrix(nn.Module):
    def forward(self, inp):
        b, c, h, w = inp.size()
        f = inp.view(b, c, h * w)
        return torch.bmm(f, f.transpose(1, 2)).div_(h * w)


class GramMSELoss(nn.Module):
    def forward(self, inp, target):
        return nn.MSELoss()(GramMatrix()(inp), target)


vgg = Features().eval()
for p in vgg.parameters():
    p.requires_grad = False

style_image, content_image = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
opt_img = content_image.clone().requires_grad_(True)
loss_fns = [GramMSELoss(), nn.MSELoss()]
weights = [1e3, 1e0]
targets = [GramMatrix()(vgg(style_image)[0]).detach(), vgg(content_image)[1].detach()]

optimizer = torch.optim.Adam([opt_img], lr=0.05)
for n_iter in range(100):
    optimizer.zero_grad()
    out = vgg(opt_img)
    layer_losses = [weights[a] * loss_fns[a](A, targets[a]) for a, A in enumerate(out)]
    loss = sum(layer_losses)
    loss.backward()
    optimizer.step()
    if n_iter % 50 == 49:
        print("Iteration: %d, loss: %f" % (n_iter + 1, loss.item()))
