// A class in a notebook's cell: no probe in Restricted Mode; with trust a lens, what it found, and the report's way back.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;
  const stuck = '2 of 4 parameters will not learn';
  const cellLine = (text: string) => page.locator('.notebook-editor .view-line', { hasText: text });

  await step('in Restricted Mode a notebook has findings, and no lens', async () => {
    // A Python file first: as long as VS Code is still starting, it opens a notebook as plain text.
    await workbench.openFile('cleared_before_step.py');
    await workbench.squiggles.first().waitFor();
    await workbench.openFile('notebook.ipynb');
    await page.locator('.notebook-editor .squiggly-error').first().waitFor();
    await workbench.openFile('networks.ipynb');
    await cellLine('class Halves').waitFor();
    await workbench.click(cellLine('class Halves'));
    await workbench.runCommand('GradSense: Run Probe on…');
    await workbench.notification('Restricted Mode. Trust the workspace first.').waitFor();
    await workbench.clearNotifications();
    assert.equal(await workbench.lenses.count(), 0);
    assert.ok(!existsSync(process.env.GRADSENSE_WITNESS ?? ''));
  });

  await step('trusted, the lens of the cell runs the probe with all cells', async () => {
    await workbench.trustFolder();
    await workbench.click(workbench.lenses.filter({ hasText: 'Run probe' }));
    await workbench.notification(`Halves: ${stuck}`).waitFor();
    await workbench.lenses.filter({ hasText: stuck }).waitFor();
    await cellLine('self.left = nn.Linear').filter({ hasText: '✗' }).waitFor();
    await page.locator('.notebook-editor .squiggly-warning').first().waitFor();
    await workbench.screenshot('notebook-probe');
  });

  await step('a line of the report leads to its cell', async () => {
    await workbench.notification('Halves').getByRole('button', { name: 'Show report' }).click();
    // The notebook has webviews of its own.
    const report = page
      .locator('iframe.webview[src*="extensionId=gradsense.gradsense"]')
      .contentFrame()
      .locator('iframe#active-frame')
      .contentFrame();
    await report
      .getByRole('button', { name: /line 8 of networks/ })
      .first()
      .focus();
    await page.keyboard.press('Enter');
    // A notebook's status bar counts cells: the line is told by what is selected.
    await page.getByText('Cell 2 of 3').waitFor();
    await page.locator('.notebook-editor .selected-text').first().waitFor();
    await workbench.screenshot('notebook-report');
  });
});
