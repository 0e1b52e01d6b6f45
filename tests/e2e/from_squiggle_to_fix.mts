// The three moments in a trusted folder: typing, the probe, the light bulb.
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
    await workbench.click(workbench.lenses.filter({ hasText: 'Run probe' }));
    await workbench.notification('DualNetwork: 4 of 6 parameters will not learn').waitFor();
    await workbench.lenses.filter({ hasText: '4 of 6 parameters will not learn' }).waitFor();
  });

  await step('the layers that will not learn have squiggles of their own', async () => {
    await workbench.hoverOver(workbench.token('nn.Linear(5,', 'critic_layer'));
    await workbench.hover.getByText('gradsense-probe').waitFor();
    await workbench.screenshot('probe-finding');
  });

  await step('the report names the layers that do not learn', async () => {
    await workbench.notification('will not learn').getByRole('button', { name: 'Show report' }).click();
    await page.locator('.panel .view-line', { hasText: 'critic_layer' }).first().waitFor();
    await workbench.screenshot('probe');
  });

  await step('the light bulb opens the page of the rule', async () => {
    await page.keyboard.press('Control+j');
    const menu = await workbench.openLightBulb(heldParameters);
    await menu.getByText('Show rule GS301').first().click();
    await workbench.webview.getByText('optimizer-misses-parameters').first().waitFor();
    await workbench.runCommand('View: Close Editor');
  });

  await step('the light bulb offers the fix first', async () => {
    const menu = await workbench.openLightBulb(heldParameters);
    await menu.getByText("Give `optimizer` all of `network`'s parameters").click();
    await menu.waitFor({ state: 'hidden' });
  });

  await step('the fix changes the code and clears the squiggle', async () => {
    await workbench.line('optim.Adam(network.parameters()').waitFor();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
    await workbench.save();
  });

  await step('probed again, by the command at the cursor, every layer learns', async () => {
    await workbench.click(workbench.token('super', 'super'));
    await workbench.runCommand('GradSense: Run Probe on the Model at the Cursor');
    await workbench.notification('DualNetwork: all 6 parameters learn').waitFor();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
  });
});
