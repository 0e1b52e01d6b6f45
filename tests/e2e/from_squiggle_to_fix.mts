// The three moments in a trusted folder: typing, the probe, the light bulb.
import assert from 'node:assert/strict';
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;
  const heldParameters = workbench.token('optim.Adam(', 'shared_layer');

  await step('the mistake has a squiggle', async () => {
    await workbench.openFile('dual_network.py');
    await workbench.trustFolder();
    await workbench.squiggles.first().waitFor();
  });

  await step('the hover says what will happen and names the rule', async () => {
    await workbench.hoverOver(heldParameters);
    await workbench.hover.getByText('`optimizer` holds 1 of the 3 layers').waitFor();
    await workbench.hover.getByText('GS301').waitFor();
    await workbench.screenshot('hover');
  });

  await step('the lens runs the probe, which tells its verdict', async () => {
    await workbench.lenses.filter({ hasText: 'Run probe' }).click();
    await workbench.notification('will not learn').waitFor();
  });

  await step('the report names the layers that do not learn', async () => {
    await workbench.notification('will not learn').getByRole('button', { name: 'Show report' }).click();
    await page.locator('.panel .view-line', { hasText: 'critic_layer' }).first().waitFor();
    await workbench.screenshot('probe');
  });

  await step('the light bulb offers the fix first', async () => {
    await page.keyboard.press('Control+j');
    const menu = await workbench.openLightBulb(heldParameters);
    await workbench.screenshot('light-bulb');
    await menu.getByText("Give `optimizer` all of `network`'s parameters").click();
  });

  await step('the fix changes the code and clears the squiggle', async () => {
    await workbench.line('optim.Adam(network.parameters()').waitFor();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
    await workbench.save();
  });

  await step('probed again, every layer learns', async () => {
    await workbench.lenses.filter({ hasText: 'Run probe' }).click();
    await workbench.notification('learn').waitFor();
    assert.equal(await workbench.squiggles.count(), 0);
  });
});
