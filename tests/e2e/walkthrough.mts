// The walkthrough: it opens by its command, has its steps and pictures, and its example has something to find.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;
  // The page holds the list of all walkthroughs as well, out of sight.
  const inSight = { visible: true };

  await step('the walkthrough opens with its steps', async () => {
    // Commands of extensions are there when the first of them has said something.
    await workbench.openFile('dual_network.py');
    await workbench.squiggles.first().waitFor();
    await workbench.runCommand('GradSense: Open the Walkthrough');
    await page.getByText('Get Started with GradSense').filter(inSight).first().waitFor();
    for (const title of ['See what will not train', 'Mend it with one key', 'Read the report']) {
      await page.getByText(title).filter(inSight).first().waitFor();
    }
    // Where there is room for them, the pictures stand beside the steps.
    await page.keyboard.press('Control+b');
    await page.locator('.getting-started-media img').filter(inSight).first().waitFor();
  });

  await step('its example is a new document with a finding', async () => {
    await page.getByText('Open an Example').filter(inSight).first().click();
    await workbench.line('class DualNetwork').first().waitFor();
    await workbench.squiggles.first().waitFor();
  });
});
