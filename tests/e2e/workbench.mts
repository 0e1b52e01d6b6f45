// VS Code's workbench in Chromium, in the words of somebody who uses it.
import path from 'node:path';
import { type Browser, chromium, type FrameLocator, type Locator, type Page } from 'playwright-core';

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Whether it is the VS Code of `make test-oldest-vscode`, which differs here and there. */
const isOldest = process.env.GRADSENSE_VSCODE === 'oldest';

const yes = () => true;
const no = () => false;

type Box = Awaited<ReturnType<Locator['boundingBox']>>;

function isSame(one: Box, other: Box): boolean {
  return one?.x === other?.x && one?.y === other?.y;
}

/** The number that the editor prints beside a line. */
function numberOf(line: Locator): Promise<string> {
  return line.evaluate((element) => {
    const top = (each: Element) => (each as HTMLElement).style.top;
    const numbers = element.closest('.monaco-editor')?.querySelectorAll('.margin-view-overlays > div') ?? [];
    return [...numbers].find((each) => top(each) === top(element))?.textContent?.trim() ?? 'without a number';
  });
}

export class Workbench {
  readonly page: Page;
  readonly #browser: Browser;
  readonly #screenshots: string;
  /** The newest of what it has told developers: where something is wrong in VS Code itself, the reason is among it. */
  readonly console: string[] = [];

  private constructor(browser: Browser, page: Page, screenshots: string) {
    this.#browser = browser;
    this.page = page;
    this.#screenshots = screenshots;
    page.on('console', (message) => {
      this.console.push(`${message.type()}: ${message.text()}`);
      this.console.splice(0, this.console.length - 30);
    });
  }

  /** Opens a fresh profile, in which the folder is not trusted yet; the browser's language is the display language. */
  static async open(address: string, screenshots: string, locale = 'en-US'): Promise<Workbench> {
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: CHROMIUM_FLAGS });
    const page = await browser.newPage({
      viewport: { width: 1280, height: 760 },
      locale,
      reducedMotion: 'reduce',
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    page.setDefaultTimeout(Number(process.env.GRADSENSE_PATIENCE_MS ?? 30_000));
    const workbench = new Workbench(browser, page, screenshots);
    await page.goto(address);
    await page.locator('.monaco-workbench').waitFor();
    if (isOldest) {
      // It asks about trust as soon as it is there. The newest one opens in Restricted Mode without a word.
      await page.getByRole('button', { name: "No, I don't trust the authors" }).click();
    }
    return workbench;
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }

  async screenshot(name: string): Promise<void> {
    await this.page.screenshot({ path: path.join(this.#screenshots, `${name}.png`), animations: 'disabled' });
  }

  /** A small picture of these parts and a little around them. */
  async picture(name: string, ...parts: Locator[]): Promise<void> {
    const found = await Promise.all(parts.map((part) => part.boundingBox()));
    const boxes = found.filter((box) => box !== null);
    const margin = 12;
    const x = Math.max(0, Math.min(...boxes.map((box) => box.x)) - margin);
    const y = Math.max(0, Math.min(...boxes.map((box) => box.y)) - margin);
    const width = Math.max(...boxes.map((box) => box.x + box.width)) + margin - x;
    const height = Math.max(...boxes.map((box) => box.y + box.height)) + margin - y;
    const clip = { x, y, width: Math.min(width, 1280 - x), height: Math.min(height, 760 - y) };
    await this.page.screenshot({
      path: path.join(this.#screenshots, `${name}.png`),
      animations: 'disabled',
      clip,
    });
  }

  /**
   * Waits for the folders of a workspace file. VS Code in the browser may read that file before the server gives files
   * out: it then has no folder until it is opened again.
   */
  async foldersOpened(): Promise<void> {
    const first = this.page.getByRole('treeitem').first();
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        await first.waitFor({ timeout: 15_000 });
        return;
      } catch {
        await this.page.reload();
      }
    }
    await first.waitFor();
  }

  /** What the editors show, from top to bottom. */
  async editorText(): Promise<string> {
    const lines = await this.page
      .locator('.view-line')
      .evaluateAll((all) =>
        all
          .map((line) => ({ top: line.getBoundingClientRect().top, text: line.textContent ?? '' }))
          .sort((one, other) => one.top - other.top),
      );
    return lines.map(({ text }) => text.replaceAll('\u00a0', ' ')).join('\n');
  }

  async openFile(name: string): Promise<void> {
    await this.page.getByRole('treeitem', { name }).dblclick();
    await this.page.locator('.view-line').first().waitFor();
  }

  async runCommand(title: string): Promise<void> {
    await this.page.keyboard.press('F1');
    await this.quickInput.fill(`>${title}`);
    await this.page.locator('.quick-input-list .monaco-list-row', { hasText: title }).first().click();
  }

  /** What is typed into in the palette and in quick picks. */
  get quickInput(): Locator {
    return this.page.locator('.quick-input-widget .quick-input-box input').first();
  }

  /** The entry of the quick pick that is open. */
  choice(text: string): Locator {
    return this.page.locator('.quick-input-list .monaco-list-row', { hasText: text }).first();
  }

  /** Opens what the braces in the status bar tell of the file's language; the entry of that name. */
  async openLanguageStatus(name: string): Promise<Locator> {
    await this.#pointAt(this.page.locator('[id="status.languageStatus"]'));
    const entry = this.page.locator('.hover-language-status', { hasText: name }).first();
    await entry.waitFor();
    return entry;
  }

  /** Has that entry stand in the status bar itself, where it changes at once. */
  async pinLanguageStatus(name: string): Promise<void> {
    const entry = await this.openLanguageStatus(name);
    await this.click(entry.locator('.codicon-pin'));
    await this.page.mouse.move(0, 0);
    await entry.waitFor({ state: 'hidden' });
  }

  /** What stands in the status bar with these words, or has them as its detail. */
  pinned(words: string): Locator {
    return this.page.locator(`.statusbar-item [aria-label*="${words}"]`).first();
  }

  /** Trusts the open folder or workspace, by the dialogue that the Restricted Mode banner leads to. */
  async trustFolder(): Promise<void> {
    await this.page.getByText('Manage', { exact: true }).first().click();
    await this.page.getByRole('button', { name: 'Trust', exact: true }).first().waitFor();
    // The dialogue's own keys: a click on the button takes the focus away from it.
    await this.page.keyboard.press('Control+Enter');
    const trusted = this.page.getByText(/You trust this (folder|workspace)/);
    await trusted.waitFor();
    await this.page.keyboard.press(isOldest ? 'Control+w' : 'Escape');
    await trusted.waitFor({ state: 'hidden' });
    await this.page.getByText('Restricted Mode is intended').waitFor({ state: 'hidden' });
  }

  /** `kind` is the class that VS Code gives to a theme of its kind. */
  async chooseTheme(name: string, kind: 'vs' | 'vs-dark' | 'hc-black'): Promise<void> {
    await this.runCommand('Preferences: Color Theme');
    // The first of its themes is there when all are.
    await this.page.locator('.quick-input-list .monaco-list-row', { hasText: 'Modern' }).first().waitFor();
    await this.quickInput.fill(name);
    await this.page
      .locator('.quick-input-list .monaco-list-row.focused', { hasText: name })
      .first()
      .waitFor();
    await this.page.keyboard.press('Enter');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
    await this.page.locator(`.monaco-workbench.${kind}`).waitFor();
    await this.page.mouse.move(0, 0);
    await this.page.locator('.monaco-hover.workbench-hover').waitFor({ state: 'hidden' });
  }

  async clearNotifications(): Promise<void> {
    await this.runCommand('Notifications: Clear All Notifications');
    await this.notifications.first().waitFor({ state: 'detached' });
    // What the list of commands has covered would show its tooltip.
    await this.page.mouse.move(0, 0);
  }

  get squiggles(): Locator {
    return this.page.locator('.squiggly-error, .squiggly-warning');
  }

  get lenses(): Locator {
    return this.page.locator('.codelens-decoration a');
  }

  get hover(): Locator {
    return this.page.locator('.monaco-hover:not(.hidden)').first();
  }

  /** What a webview shows: its document lies two frames deep. */
  get webview(): FrameLocator {
    return this.page.frameLocator('iframe.webview').frameLocator('iframe#active-frame');
  }

  get notifications(): Locator {
    return this.page.locator('.notification-toast');
  }

  notification(text: string): Locator {
    return this.notifications.filter({ hasText: text });
  }

  /** The line of the editor that shows this text, which has no spaces: the editor prints others. */
  line(text: string): Locator {
    return this.page.locator('.editor-instance .view-line', { hasText: text });
  }

  /** One coloured piece of that line. */
  token(line: string, text: string): Locator {
    return this.line(line).locator('span > span', { hasText: text }).first();
  }

  async hoverOver(target: Locator): Promise<void> {
    await this.#pointAt(target);
    await this.hover.waitFor();
  }

  /** The same over one word of the line: what is coloured alike is one piece, however many words it holds. */
  async hoverOverWord(line: string, word: string): Promise<void> {
    const target = this.line(line).first();
    await target.waitFor();
    // The hover from before would lie over the text.
    await this.page.mouse.move(0, 0);
    await this.hover.waitFor({ state: 'hidden' });
    const { x, y } = await target.evaluate((element, sought) => {
      const pieces = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      for (let piece = pieces.nextNode(); piece; piece = pieces.nextNode()) {
        const begin = piece.textContent?.indexOf(sought) ?? -1;
        if (begin >= 0) {
          const range = document.createRange();
          range.setStart(piece, begin);
          range.setEnd(piece, begin + sought.length);
          const box = range.getBoundingClientRect();
          return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
        }
      }
      throw new Error(`No piece of this line holds ${sought}.`);
    }, word);
    await this.page.mouse.move(x, y);
    await this.hover.waitFor();
  }

  /** Puts the caret at the end of a line of the editor. */
  async caretAtEndOf(text: string): Promise<void> {
    const target = this.line(text).first();
    await this.#untilTheStatusBarSays(async () => {
      await this.click(target);
      await this.page.keyboard.press('End');
      return new RegExp(`^Ln ${await numberOf(target)}, Col \\d+$`);
    });
  }

  /** Selects one word of a line of the editor that is coloured as a piece of its own. */
  async selectWord(line: string, word: string): Promise<void> {
    const target = this.token(line, word);
    await this.#untilTheStatusBarSays(async () => {
      const box = await this.#pointAt(target);
      await this.page.mouse.dblclick(box.x + box.width / 2, box.y + box.height / 2);
      return new RegExp(
        `^Ln ${await numberOf(this.line(line).first())}, Col \\d+ \\(${word.length} selected\\)$`,
      );
    });
  }

  /** Acts again until the status bar tells of it: a line that moves just then lets the mouse miss it. */
  async #untilTheStatusBarSays(act: () => Promise<RegExp>): Promise<void> {
    const position = this.page.locator('[id="status.editor.selection"]');
    let wanted: RegExp | undefined;
    for (let attempts = 10; attempts > 0; attempts -= 1) {
      wanted = await act();
      if (await position.getByText(wanted).waitFor({ timeout: 2000 }).then(yes, no)) {
        return;
      }
    }
    throw new Error(`The status bar does not say ${wanted}, but ${await position.textContent()}.`);
  }

  async click(target: Locator): Promise<void> {
    await this.#pointAt(target);
    await this.page.mouse.down();
    await this.page.mouse.up();
  }

  /**
   * The list of fixes by its key, pressed again as a user would. After an edit, a move of the cursor or new
   * diagnostics VS Code asks for fixes by itself, and takes back a request by key that isn't answered by then: within
   * three quarters of a second.
   */
  async quickFixes(): Promise<Locator> {
    const menu = this.page.locator('.action-widget').first();
    for (let tries = 0; tries < 10 && !(await menu.isVisible()); tries++) {
      await this.page.keyboard.press('Control+.');
      await menu.waitFor({ timeout: 3000 }).catch(() => undefined);
    }
    return menu;
  }

  /** Puts the cursor there and opens the menu of the light bulb that appears: again, where the mouse has missed it. */
  async openLightBulb(token: Locator): Promise<Locator> {
    const menu = this.page.locator('.action-widget').first();
    for (let tries = 0; tries < 10 && !(await menu.isVisible()); tries++) {
      await this.click(token);
      await this.click(this.page.locator('.lightBulbWidget, [class*="codicon-gutter-lightbulb"]').first());
      await menu.waitFor({ timeout: 3000 }).catch(() => undefined);
    }
    await menu.waitFor();
    return menu;
  }

  /** Moves the mouse alone: Playwright's own click and hover scroll, and shift parts that should stand still. */
  async #pointAt(target: Locator): Promise<NonNullable<Box>> {
    let before: Box = null;
    // VS Code draws lenses afresh now and then, and lines move when one comes: wait for two frames that are alike, and
    // look once more when the mouse is there.
    for (let attempts = 40; attempts > 0; attempts -= 1) {
      await target.waitFor();
      const box: Box = await target.boundingBox();
      if (box && isSame(box, before)) {
        await this.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
        if (isSame(box, await target.boundingBox())) {
          return box;
        }
      }
      before = box;
      await this.page.evaluate(() => new Promise(requestAnimationFrame));
    }
    throw new Error('What is to be pointed at is not on the screen, or does not stand still.');
  }

  async save(): Promise<void> {
    await this.page.locator('.tab.dirty').waitFor();
    await this.page.keyboard.press('Control+s');
    await this.page.locator('.tab.dirty').waitFor({ state: 'detached' });
  }
}
