// A mistake made while the editor looks on, and its preferred fix.
import { scenario } from './scenario.mts';

await scenario(async (workbench, step) => {
  const { page } = workbench;

  await step('a line typed in the wrong place has its squiggle at once', async () => {
    await workbench.openFile('regression.py');
    await workbench.caretAtEndOf('loss.backward()');
    await page.keyboard.type('\noptimizer.zero_grad()');
    await workbench.squiggles.first().waitFor();
  });

  await step('the light bulb offers the preferred fix first', async () => {
    const menu = await workbench.openLightBulb(workbench.token('optimizer.step()', 'step'));
    await workbench.screenshot('light-bulb');
    await workbench.picture('walkthrough-fix', menu, workbench.line('loss.backward()').first());
    await workbench.click(menu.getByText('Move `optimizer.zero_grad()` before `loss.backward()`').first());
    await menu.waitFor({ state: 'hidden' });
  });

  await step('the fix clears the squiggle', async () => {
    await workbench.squiggles.first().waitFor({ state: 'detached' });
    await workbench.save();
  });
});
