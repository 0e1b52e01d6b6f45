import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutLinks } from '../../client/src/plainText';

// As VS Code looks for links in notifications (`linkedText.ts`).
const link = /\[([^\]]+)\]\(((?:https?:\/\/|command:|file:)[^)\s]+)(?: (["'])(.+?)(\3))?\)/i;

test('no text that a user writes becomes a link', () => {
  const written = 'ValueError: [click](command:workbench.action.quit) and [[a](b)](https://example.org "c")';
  assert.match(written, link);
  assert.doesNotMatch(withoutLinks(written), link);
  assert.equal(withoutLinks('x[0] (y)'), 'x[0] (y)');
});
