// A probe that would not end by itself, cancelled by the user.
import assert from 'node:assert/strict';
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const progress = workbench.notification('Probing Endless');

  await step('a probe that runs shows its progress', async () => {
    await workbench.openFile('endless.py');
    await workbench.trustFolder();
    await workbench.click(workbench.lenses.filter({ hasText: 'Run probe' }));
    await progress.waitFor();
  });

  await step('cancelled, it ends without a complaint', async () => {
    await progress.getByRole('button', { name: 'Cancel' }).click();
    await progress.waitFor({ state: 'detached' });
    assert.equal(await workbench.notifications.count(), 0);
  });
});
