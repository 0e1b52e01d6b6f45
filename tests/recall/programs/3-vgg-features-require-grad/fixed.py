import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torchvision import datasets, models, transforms

data_transform = transforms.Compose([transforms.RandomResizedCrop(224), transforms.ToTensor()])
train_data = datasets.ImageFolder("flower_photos/train", transform=data_transform)
train_loader = torch.utils.data.DataLoader(train_data, batch_size=20, num_workers=0, shuffle=True)

# Load the pretrained model from pytorch
vgg16 = models.vgg16(pretrained=True)

# Freeze training for all "features" layers
for param in vgg16.features.parameters():
    param.requires_grad = False

n_inputs = vgg16.classifier[6].in_features
last_layer = nn.Linear(n_inputs, 5)
vgg16.classifier[6] = last_layer

if torch.cuda.is_available():
    vgg16.cuda()

criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(vgg16.classifier.parameters(), lr=0.001)

n_epochs = 2
for epoch in range(1, n_epochs + 1):
    train_loss = []
    for batch_i, (data, target) in enumerate(train_loader):
        if torch.cuda.is_available():
            data, target = data.cuda(), target.cuda()
        optimizer.zero_grad()
        output = vgg16(data)
        loss = criterion(output, target)
        loss.backward()
        optimizer.step()
        train_loss.append(loss.item())
    print("Epoch %d loss: %.6f" % (epoch, np.mean(train_loss)))
