// Once through by keyboard alone: to the problem, its fix, a probe of the model.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;

  await step('a file opens by its name', async () => {
    await workbench.openFile('regression.py');
    await workbench.trustFolder();
    await page.keyboard.press('Control+p');
    await workbench.quickInput.waitFor();
    await page.keyboard.type('dual_network.py');
    await workbench.choice('dual_network.py').waitFor();
    await page.keyboard.press('Enter');
    await workbench.line('class DualNetwork').first().waitFor();
    await workbench.squiggles.first().waitFor();
  });

  await step('F8 goes to the problem and tells it', async () => {
    await page.keyboard.press('F8');
    await page.locator('.marker-widget').getByText('`optimizer` holds 1 of the 3 layers').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.marker-widget').waitFor({ state: 'hidden' });
    await page.locator('.monaco-editor.focused').waitFor();
  });

  await step('Ctrl+. offers the fix, and Enter takes it', async () => {
    const menu = await workbench.quickFixes();
    await menu.getByText("Give `optimizer` all of `network`'s parameters").waitFor();
    await page.keyboard.press('Enter');
    await workbench.line('optim.Adam(network.parameters()').waitFor();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
  });

  await step('the palette runs a probe of what is chosen', async () => {
    await page.keyboard.press('F1');
    await workbench.quickInput.waitFor();
    await page.keyboard.type('GradSense: Run Probe on…');
    await workbench.choice('Run Probe on…').waitFor();
    await page.keyboard.press('Enter');
    await workbench.choice('DualNetwork').waitFor();
    await page.keyboard.press('Enter');
    await workbench.notification('DualNetwork: all 6 parameters learn').waitFor();
  });
});
