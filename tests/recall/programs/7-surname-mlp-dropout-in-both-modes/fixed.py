import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class SurnameClassifier(nn.Module):
    """A 2-layer perceptron for classifying surnames"""

    def __init__(self, input_dim, hidden_dim, output_dim):
        super(SurnameClassifier, self).__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, output_dim)

    def forward(self, x_in, apply_softmax=False):
        intermediate = F.relu(self.fc1(x_in))
        output = self.fc2(F.dropout(intermediate, p=0.5, training=self.training))
        if apply_softmax:
            output = F.softmax(output, dim=1)
        return output


def predict_nationality(name_vector, classifier, names):
    classifier.eval()
    with torch.no_grad():
        result = classifier(name_vector.unsqueeze(0), apply_softmax=True)
    probability, index = result.max(dim=1)
    return names[index.item()], probability.item()


classifier = SurnameClassifier(input_dim=80, hidden_dim=300, output_dim=18)
loss_func = nn.CrossEntropyLoss()
optimizer = optim.Adam(classifier.parameters(), lr=0.001)

for epoch_index in range(100):
    running_loss = 0.0
    classifier.train()
    for batch_index in range(20):
        x = torch.rand(64, 80)
        y = torch.randint(0, 18, (64,))
        optimizer.zero_grad()
        y_pred = classifier(x)
        loss = loss_func(y_pred, y)
        running_loss += (loss.item() - running_loss) / (batch_index + 1)
        loss.backward()
        optimizer.step()

print(predict_nationality(torch.rand(80), classifier, [str(i) for i in range(18)]))
