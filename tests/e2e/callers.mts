// A function whose callers make it go wrong: told where that happens, with the way to the call, as they are typed.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;
  const warning = page.locator('.squiggly-warning');

  await step('what a caller does is told in the function', async () => {
    await workbench.openFile('steps.py');
    await workbench.trustFolder();
    await warning.first().waitFor();
    await workbench.hoverOverWord('model.eval()', 'eval');
    await workbench.hover.getByText('is never undone').waitFor();
    await workbench.hover.getByText('called from here').waitFor();
    await workbench.screenshot('callers');
  });

  await step('the call is a click away', async () => {
    await workbench.click(workbench.hover.getByText('main.py').first());
    await page.locator('.tab.active', { hasText: 'main.py' }).waitFor();
  });

  await step('what is put right there is right here', async () => {
    await workbench.caretAtEndOf('range(3):');
    await page.keyboard.type('\nmodel.train()');
    await workbench.openFile('steps.py');
    await workbench.line('model.eval()').first().waitFor();
    await warning.first().waitFor({ state: 'detached' });
    await workbench.screenshot('callers-right');
  });
});
