// The probe's page beside the code: read, walked by keyboard, in a light and a high-contrast theme, before and after.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page, webview } = workbench;
  const row = (name: string) => webview.getByRole('listitem').filter({ hasText: name }).last();

  await step('a probe of a sick model offers its report', async () => {
    await workbench.openFile('two_towers.py');
    await workbench.trustFolder();
    await workbench.click(workbench.lenses.filter({ hasText: 'Run probe' }).last());
    await workbench.notification('TwoTowers: 6 of 16 parameters will not learn').waitFor();
  });

  await step('the report opens beside the code, with a row for each layer', async () => {
    await workbench.notification('TwoTowers').getByRole('button', { name: 'Show report' }).click();
    await webview.getByRole('heading', { name: 'TwoTowers' }).waitFor();
    await row('gate').getByText('will not learn: cut by').waitFor();
    await row('gate').getByRole('img', { name: 'gradient norm none' }).waitFor();
    await workbench.clearNotifications();
    await page.keyboard.press('Control+b');
    await page.mouse.move(0, 0);
    await workbench.screenshot('panel');
    await workbench.picture('walkthrough-report', page.locator('iframe.webview'));
  });

  await step('Enter on a line goes there, and the report stays', async () => {
    await row('gate')
      .getByRole('button', { name: /line 15 of two_towers/ })
      .focus();
    await page.keyboard.press('Enter');
    await page.locator('.editor-instance .line-numbers.active-line-number', { hasText: '15' }).waitFor();
    await page.keyboard.press('Home');
    await page.getByText('Ln 15, Col').waitFor();
    await webview.getByRole('heading', { name: 'TwoTowers' }).waitFor();
  });

  await step('it is the theme that gives its colours', async () => {
    await webview.getByRole('heading', { name: 'Layers' }).evaluate((heading) => heading.scrollIntoView());
    await workbench.chooseTheme('Dark Modern', 'vs-dark');
    await webview.locator('body.vscode-dark').waitFor();
    await workbench.screenshot('panel-dark');
    await workbench.chooseTheme('Dark High Contrast', 'hc-black');
    await webview.locator('body.vscode-high-contrast').waitFor();
    await workbench.screenshot('panel-high-contrast');
    await workbench.chooseTheme('Light Modern', 'vs');
    await webview.locator('body.vscode-light').waitFor();
  });

  await step('repaired and probed again, it shows what has changed', async () => {
    await workbench.selectWord('torch.sigmoid', 'detach');
    await page.keyboard.type('clone');
    await workbench.line('.clone()').waitFor();
    await webview.getByRole('button', { name: 'Run again' }).click();
    await webview.getByText('Since the probe before: 2 layers learn now.').waitFor();
    await row('gate').getByText('learns now').waitFor();
    await workbench.clearNotifications();
    await webview.getByText('Since the probe before').evaluate((words) => words.scrollIntoView());
    await workbench.screenshot('panel-compared');
  });

  await step('the same as text is a command away', async () => {
    await workbench.runCommand('GradSense: Show the Last Probe Report as Text');
    await page.locator('.panel .view-line', { hasText: 'Since' }).first().waitFor();
  });
});
