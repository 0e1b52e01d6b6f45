// The probe of a script: from the lens above its training loop to the lines of what will not learn.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const stuck = '4 of 6 parameters will not learn';

  await step('the lens above the loop runs the script until it has stepped', async () => {
    await workbench.openFile('dual_network.py');
    await workbench.trustFolder();
    await workbench.click(workbench.lenses.filter({ hasText: 'Probe this loop' }));
    await workbench.notification(`dual_network.py: ${stuck}`).waitFor();
    await workbench.lenses.filter({ hasText: `Probe this loop · ${stuck}` }).waitFor();
  });

  await step('behind each layer stands what was measured of it', async () => {
    await workbench.line('✗ in no optimizer').first().waitFor();
    await workbench.line('✓ gradient').first().waitFor();
  });

  await step('the layers that the script does not train have squiggles', async () => {
    await workbench.hoverOver(workbench.token('nn.Linear(5,', 'critic_layer'));
    await workbench.hover.getByText('gradsense-probe').waitFor();
    await workbench.screenshot('probe-loop');
  });

  await step('an edit anywhere takes back what was said of the script', async () => {
    await workbench.caretAtEndOf('actions = torch.randint');
    await workbench.page.keyboard.type('\nstates = states.abs()');
    await workbench.lenses.filter({ hasText: stuck }).waitFor({ state: 'detached' });
  });
});
