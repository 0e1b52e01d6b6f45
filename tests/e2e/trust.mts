// A folder that is trusted while it is open.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  await step('trust brings the lens', async () => {
    await workbench.openFile('cleared_before_step.py');
    await workbench.squiggles.first().waitFor();
    await workbench.trustFolder();
    await workbench.lenses.filter({ hasText: 'Run probe' }).waitFor();
  });
});
