// A notebook: what one cell does with the optimizer that another cell has made.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  await step('the mistake has a squiggle in its cell', async () => {
    // A Python file first: as long as VS Code is still starting, it opens a notebook as plain text.
    await workbench.openFile('cleared_before_step.py');
    await workbench.squiggles.first().waitFor();
    await workbench.openFile('notebook.ipynb');
    await workbench.page.locator('.notebook-editor .squiggly-error').first().waitFor();
  });
});
