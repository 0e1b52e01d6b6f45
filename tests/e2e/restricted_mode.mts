// An untrusted folder: findings, but nothing that runs the user's code.
import assert from 'node:assert/strict';
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  await step('findings appear without trust', async () => {
    await workbench.openFile('cleared_before_step.py');
    await workbench.squiggles.first().waitFor();
  });

  await step('no lens is offered, and the command says what to do instead of running', async () => {
    await workbench.hoverOver(workbench.token('optimizer.step()', 'step'));
    await workbench.runCommand('GradSense: Run Probe on the Model at the Cursor');
    await workbench.notification('Restricted Mode. Trust the workspace first.').waitFor();
    assert.equal(await workbench.lenses.count(), 0);
    await workbench.screenshot('restricted-mode');
  });
});
