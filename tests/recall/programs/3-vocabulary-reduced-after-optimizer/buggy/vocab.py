import torch
from torch import nn


def reduce_train_vocab(model, used_ids):
    """Keeps the rows of the embeddings that the training texts use."""
    old = model.word_embeddings
    new = nn.Embedding(len(used_ids), old.embedding_dim)
    with torch.no_grad():
        new.weight.copy_(old.weight[used_ids])
    model.word_embeddings = new
    return {int(old_id): new_id for new_id, old_id in enumerate(used_ids)}
