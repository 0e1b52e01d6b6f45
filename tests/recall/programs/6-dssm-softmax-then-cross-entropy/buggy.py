import torch
import torch.nn as nn
import torch.nn.functional as F

LETTER_GRAM_SIZE, TOTAL, K, L, J = 3, 90, 64, 32, 4


def kmax_pooling(x, dim, k):
    index = x.topk(k, dim=dim)[1].sort(dim=dim)[0]
    return x.gather(dim, index)


class CDSSM(nn.Module):
    def __init__(self):
        super(CDSSM, self).__init__()
        self.query_conv = nn.Conv1d(TOTAL, K, 1)
        self.query_sem = nn.Linear(K, L)
        self.doc_conv = nn.Conv1d(TOTAL, K, 1)
        self.doc_sem = nn.Linear(K, L)
        self.learn_gamma = nn.Conv1d(1, 1, 1)

    def embed(self, x, conv, sem):
        c = torch.tanh(conv(x.transpose(1, 2)))
        return torch.tanh(sem(kmax_pooling(c, 2, 1).squeeze(2)))

    def forward(self, q, pos, negs):
        q_s = self.embed(q, self.query_conv, self.query_sem)
        docs = [self.embed(d, self.doc_conv, self.doc_sem) for d in [pos, *negs]]
        dots = torch.stack([F.cosine_similarity(q_s, d, dim=1) for d in docs], dim=1)
        with_gamma = self.learn_gamma(dots.unsqueeze(1)).squeeze(1)
        return F.softmax(with_gamma, dim=1)


model = CDSSM()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

for epoch in range(3):
    for i in range(10):
        query, positive = torch.rand(4, 5, TOTAL), torch.rand(4, 30, TOTAL)
        negatives = [torch.rand(4, 30, TOTAL) for _ in range(J)]
        y_pred = model(query, positive, negatives)
        target = torch.zeros(4, dtype=torch.long)
        loss = criterion(y_pred, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
