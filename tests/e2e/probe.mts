// The probe: from the lens to the verdict, the lines that will not learn and the report; repaired, and probed again.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;
  const stuck = '4 of 6 parameters will not learn';

  await step('the lens runs the probe, which tells its verdict', async () => {
    await workbench.openFile('dual_network.py');
    await workbench.trustFolder();
    await workbench.click(workbench.lenses.filter({ hasText: 'Run probe' }));
    await workbench.notification(`DualNetwork: ${stuck}`).waitFor();
    await workbench.lenses.filter({ hasText: stuck }).waitFor();
  });

  await step('the layers that will not learn have squiggles of their own', async () => {
    await workbench.hoverOver(workbench.token('nn.Linear(5,', 'critic_layer'));
    await workbench.hover.getByText('gradsense-probe').waitFor();
    await workbench.screenshot('probe-finding');
    const lens = workbench.lenses.filter({ hasText: stuck });
    await workbench.picture(
      'walkthrough-probe',
      lens,
      workbench.hover,
      workbench.line('actor_layer').first(),
    );
  });

  await step('the report names the layers that do not learn', async () => {
    await workbench.notification(stuck).getByRole('button', { name: 'Show report' }).click();
    await workbench.webview.getByText('2 of 3 layers will not learn.').waitFor();
    await workbench.webview.getByRole('listitem').filter({ hasText: 'critic_layer' }).last().waitFor();
    await workbench.screenshot('probe');
    await page.keyboard.press('Control+w');
  });

  await step('an edit of the class takes back what was said of it', async () => {
    await workbench.caretAtEndOf('super().__init__()');
    await page.keyboard.type('\nself.features = features');
    await workbench.lenses.filter({ hasText: stuck }).waitFor({ state: 'detached' });
  });

  await step('repaired and probed again, by the command at the cursor, every layer learns', async () => {
    await workbench.selectWord('optim.Adam(', 'shared_layer');
    await page.keyboard.press('Backspace');
    await page.keyboard.press('Backspace');
    await workbench.line('optim.Adam(network.parameters()').waitFor();
    await workbench.caretAtEndOf('super().__init__()');
    await workbench.runCommand('GradSense: Run Probe on the Model at the Cursor');
    await workbench.notification('DualNetwork: all 6 parameters learn').waitFor();
    await workbench.squiggles.first().waitFor({ state: 'detached' });
  });
});
