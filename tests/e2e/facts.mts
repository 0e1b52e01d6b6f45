// What GradSense has understood, told by hovers: who doubts a finding sees why it was made.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  await step('over a step, the order of events', async () => {
    await workbench.openFile('dual_network.py');
    await workbench.trustFolder();
    await workbench.squiggles.first().waitFor();
    await workbench.lenses.first().waitFor();
    await workbench.hoverOverWord('optimizer.step()', 'step');
    await workbench.hover.getByText('Each round, as understood:').waitFor();
    await workbench.hover.getByText('steps with the gradients of line 29').waitFor();
    await workbench.screenshot('facts-step');
  });

  await step('over an optimizer, what it holds and what it misses', async () => {
    await workbench.hoverOverWord('optimizer.zero_grad()', 'optimizer');
    await workbench.hover.getByText('network.shared_layer').waitFor();
    await workbench.hover.getByText('held by no optimizer').waitFor();
    await workbench.screenshot('facts-optimizer');
  });

  await step('over a class of networks, who trains each of its layers', async () => {
    await workbench.hoverOverWord('DualNetwork(nn.Module)', 'DualNetwork');
    await workbench.hover.getByText('trained by the optimizer of line 21').waitFor();
    await workbench.screenshot('facts-network');
  });
});
