import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Facts, problemReport } from '../../client/src/problemReport';

const facts: Facts = {
  versions: { 'Visual Studio Code': '1.100.0', 'ms-python.python': 'not installed' },
  place: 'wsl, linux x64, trusted',
  server: '0.1.0, bundled, run by /usr/bin/python3',
  interpreters: { 'Folder 1': '/home/ada/project/.venv/bin/python (the choice)' },
  settings: { 'gradsense.interpreter': { user: '/home/ada/envs/torch/bin/python' } },
  log: ['first', 'a line with ```` in it', 'in /home/ada/project'],
};

test('everything that was told is in it, and the home folder is not', () => {
  const text = problemReport(facts, '/home/ada');
  assert.match(text, /^- Visual Studio Code: 1\.100\.0$/m);
  assert.match(text, /^- ms-python\.python: not installed$/m);
  assert.match(text, /^- Folder 1: ~\/project\/\.venv\/bin\/python/m);
  assert.match(text, /^gradsense\.interpreter: \{"user":"~\/envs\/torch\/bin\/python"\}$/m);
  assert.doesNotMatch(text, /ada/);
});

test('a fence in the log does not end the block', () => {
  const text = problemReport(facts, '/home/ada');
  assert.match(text, /^`{5}text\nfirst\n.*\nin ~\/project\n`{5}$/m);
});

test('where nothing is set and nothing was logged, it says so', () => {
  const text = problemReport({ ...facts, settings: {}, log: [] }, '');
  assert.match(text, /^```text\nnone\n```$/m);
  assert.match(text, /^```text\nempty\n```$/m);
});
