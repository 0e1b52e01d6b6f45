"""The critic keeps guessing at random: configure_optimizers passes on the actor's parameters alone."""

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class ActorCritic(L.LightningModule):
    """Learns from recorded play: imitates the actions, predicts the returns."""

    def __init__(self, observations: int = 6, actions: int = 3, hidden: int = 24):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(observations, hidden), nn.ReLU(), nn.Linear(hidden, actions))
        self.critic = nn.Sequential(nn.Linear(observations, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def training_step(self, batch, batch_idx):
        observations, actions, returns = batch
        actor_loss = nn.functional.cross_entropy(self.actor(observations), actions)
        critic_loss = nn.functional.mse_loss(self.critic(observations), returns)
        self.log_dict({"actor": actor_loss, "critic": critic_loss}, on_step=False, on_epoch=True)
        return actor_loss + 0.5 * critic_loss

    def on_train_epoch_end(self):
        losses = self.trainer.callback_metrics
        print(f"epoch {self.current_epoch}  actor {losses['actor']:.3f}  critic {losses['critic']:.3f}")

    def configure_optimizers(self):
        return torch.optim.Adam(self.actor.parameters(), lr=1e-2)


def recorded_play(count: int = 320) -> TensorDataset:
    observations = torch.randn(count, 6)
    actions = observations[:, :3].argmax(dim=1)
    return TensorDataset(observations, actions, observations[:, 3:].sum(dim=1, keepdim=True))


def main():
    L.seed_everything(0)
    trainer = L.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(ActorCritic(), DataLoader(recorded_play(), batch_size=32, shuffle=True))


if __name__ == "__main__":
    main()
