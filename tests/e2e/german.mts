// VS Code in German: what the extension says of itself, from the manifest and from the code.
import { scenario } from './scenario.mts';

await scenario(
  async (workbench, step) => {
    const { page } = workbench;

    await step('the language status is in German', async () => {
      await workbench.openFile('dual_network.py');
      await workbench.squiggles.first().waitFor();
      await workbench.pinLanguageStatus('Probelauf');
      await workbench.pinned('kein Probelauf, solange dem Arbeitsbereich nicht vertraut wird').waitFor();
    });

    await step('commands are found by their German names, and answer in German', async () => {
      await workbench.runCommand('GradSense: Probelauf des Modells am Cursor starten');
      await workbench.notification('Vertrauen Sie zuerst dem Arbeitsbereich.').waitFor();
      await workbench.clearNotifications();
    });

    await step('a probe offers its report in German', async () => {
      await workbench.trustFolder();
      await workbench.click(workbench.lenses.filter({ hasText: 'Run probe' }));
      await workbench.notification('DualNetwork').getByRole('button', { name: 'Bericht anzeigen' }).click();
      await workbench.webview.getByText('2 of 3 layers will not learn.').waitFor();
      await page.locator('.tab', { hasText: 'Probelauf: DualNetwork' }).waitFor();
      await workbench.screenshot('german');
    });
  },
  { locale: 'de' },
);
