// The walkthrough: it opens by its command, has its steps and pictures, and its example has something to find.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;
  const walkthrough = page.locator('.gettingStartedContainer');

  await step('the walkthrough opens with its steps', async () => {
    await workbench.openFile('regression.py');
    await workbench.runCommand('GradSense: Open the Walkthrough');
    await walkthrough.getByText('Get Started with GradSense').first().waitFor();
    for (const title of ['See what will not train', 'Mend it with one key', 'Read the report']) {
      await walkthrough.locator('.getting-started-step', { hasText: title }).waitFor();
    }
    // Where there is room for them, the pictures stand beside the steps.
    await page.keyboard.press('Control+b');
    await walkthrough.locator('.getting-started-media img').first().waitFor();
  });

  await step('its example is a new document with a finding', async () => {
    await walkthrough.getByRole('button', { name: 'Open an Example' }).first().click();
    await workbench.line('class DualNetwork').first().waitFor();
    await workbench.squiggles.first().waitFor();
  });
});
