// What is set to be fixed on saving: in a program, and in the cells of a notebook.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;

  await step('a program is saved with its safe fixes made', async () => {
    await workbench.openFile('cleared_before_step.py');
    await workbench.trustFolder();
    await workbench.squiggles.first().waitFor();
    await workbench.caretAtEndOf('import torch');
    await page.keyboard.type('  # ');
    await workbench.save();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
  });

  await step('a notebook, too', async () => {
    await workbench.openFile('notebook.ipynb');
    const squiggle = page.locator('.notebook-editor .squiggly-error');
    await squiggle.first().waitFor();
    await workbench.click(page.locator('.notebook-editor .view-line', { hasText: 'import torch' }).first());
    await page.keyboard.press('End');
    await page.keyboard.type('  # ');
    await workbench.save();
    await squiggle.first().waitFor({ state: 'detached' });
  });
});
