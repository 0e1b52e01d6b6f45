// From the squiggle to its explanation to its fix, in a trusted folder.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const heldParameters = workbench.token('optim.Adam(', 'shared_layer');

  await step('the hover says what will happen and names the rule', async () => {
    await workbench.openFile('dual_network.py');
    await workbench.trustFolder();
    await workbench.squiggles.first().waitFor();
    await workbench.lenses.first().waitFor();
    await workbench.hoverOver(heldParameters);
    await workbench.hover.getByText('`optimizer` holds 1 of the 3 layers').waitFor();
    await workbench.hover.getByRole('link', { name: 'GS301' }).waitFor();
    await workbench.screenshot('hover');
    await workbench.picture('walkthrough-hover', workbench.hover, workbench.line('optim.Adam(').first());
  });

  await step('the light bulb opens the page of the rule', async () => {
    const menu = await workbench.openLightBulb(heldParameters);
    await workbench.click(menu.getByText('Explain GS301').first());
    await workbench.webview.getByText('optimizer-misses-parameters').first().waitFor();
    await workbench.runCommand('View: Close Editor');
  });

  await step('the light bulb applies the fix', async () => {
    const menu = await workbench.openLightBulb(heldParameters);
    await workbench.click(menu.getByText("Give `optimizer` all of `network`'s parameters").first());
    await menu.waitFor({ state: 'hidden' });
    await workbench.line('optim.Adam(network.parameters()').waitFor();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
    await workbench.save();
  });
});
