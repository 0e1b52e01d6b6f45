// A notebook: what one cell does with the optimizer that another cell has made, and the fix in that cell.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;
  const squiggle = page.locator('.notebook-editor .squiggly-error');
  const cellLine = (text: string) => page.locator('.notebook-editor .view-line', { hasText: text });

  await step('the mistake has a squiggle in its cell', async () => {
    // A Python file first: as long as VS Code is still starting, it opens a notebook as plain text.
    await workbench.openFile('cleared_before_step.py');
    await workbench.squiggles.first().waitFor();
    await workbench.openFile('notebook.ipynb');
    await squiggle.first().waitFor();
  });

  await step('a quick fix edits the cell', async () => {
    await workbench.click(cellLine('optimizer.step()').locator('span > span', { hasText: 'step' }).first());
    const menu = await workbench.quickFixes();
    await workbench.click(menu.getByText('before `loss.backward()`').first());
    await squiggle.first().waitFor({ state: 'detached' });
  });

  await step('a cell that is typed anew is checked, too', async () => {
    await workbench.runCommand('Notebook: Insert Code Cell Below');
    await page.keyboard.type(
      'loss = model(x).mean()\nloss.backward()\noptimizer.zero_grad()\noptimizer.step()',
    );
    await squiggle.first().waitFor();
    await page.keyboard.press('Control+z');
    await workbench.runCommand('Delete Cell');
    await squiggle.first().waitFor({ state: 'detached' });
    await workbench.screenshot('notebook');
    await workbench.save();
  });
});
