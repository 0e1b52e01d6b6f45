import torch
import torch.nn as nn
import torch.optim as optim


class SkipGramModel(nn.Module):
    def __init__(self, emb_size, emb_dimension):
        super(SkipGramModel, self).__init__()
        self.u_embeddings = nn.Embedding(emb_size, emb_dimension, sparse=True)
        self.v_embeddings = nn.Embedding(emb_size, emb_dimension, sparse=True)
        initrange = 1.0 / emb_dimension
        nn.init.uniform_(self.u_embeddings.weight.data, -initrange, initrange)
        nn.init.constant_(self.v_embeddings.weight.data, 0)

    def forward(self, pos_u, pos_v, neg_v):
        emb_u = self.u_embeddings(pos_u)
        emb_v = self.v_embeddings(pos_v)
        emb_neg_v = self.v_embeddings(neg_v)
        score = torch.sum(emb_u * emb_v, dim=1).clamp(max=10, min=-10)
        score = -nn.functional.logsigmoid(score)
        neg_score = torch.bmm(emb_neg_v, emb_u.unsqueeze(2)).squeeze().clamp(max=10, min=-10)
        neg_score = -torch.sum(nn.functional.logsigmoid(-neg_score), dim=1)
        return torch.mean(score + neg_score)


class Word2VecTrainer:
    def __init__(self, batches, emb_size=50000, emb_dimension=100, iterations=3, initial_lr=0.001):
        self.batches = batches
        self.iterations = iterations
        self.initial_lr = initial_lr
        self.skip_gram_model = SkipGramModel(emb_size, emb_dimension)

    def train(self):
        params = self.skip_gram_model.parameters()
        n_params = sum(p.numel() for p in params)
        print("training", n_params, "parameters")
        optimizer = optim.SparseAdam(params, lr=self.initial_lr)
        for iteration in range(self.iterations):
            running_loss = 0.0
            for pos_u, pos_v, neg_v in self.batches:
                optimizer.zero_grad()
                loss = self.skip_gram_model(pos_u, pos_v, neg_v)
                loss.backward()
                optimizer.step()
                running_loss = running_loss * 0.9 + loss.item() * 0.1
            print(iteration, running_loss)
