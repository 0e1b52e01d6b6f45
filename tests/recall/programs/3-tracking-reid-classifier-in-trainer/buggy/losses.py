import torch
import torch.nn as nn
import torch.nn.functional as F


class MotLoss(nn.Module):
    def __init__(self, emb_dim, n_id):
        super().__init__()
        self.emb_dim = emb_dim
        self.nID = n_id
        self.classifier = nn.Linear(self.emb_dim, self.nID)
        self.IDLoss = nn.CrossEntropyLoss(ignore_index=-1)

    def forward(self, outputs, batch):
        hm_loss = F.binary_cross_entropy_with_logits(outputs["hm"], batch["hm"])
        id_head = F.normalize(outputs["id"][batch["reg_mask"] > 0])
        id_output = self.classifier(id_head).contiguous()
        return hm_loss + 0.1 * self.IDLoss(id_output, batch["ids"])
