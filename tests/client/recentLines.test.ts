import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentLines } from '../../client/src/recentLines';

test('the last lines are kept, each with its level', () => {
  const recent = new RecentLines(3);
  recent.add('info', 'one');
  assert.equal(recent.lines.length, 1);
  recent.add('error', 'two\nthree');
  recent.add('warning', 'four');
  const told = recent.lines.map((line) => line.replace(/^\S+ /, ''));
  assert.deepEqual(told, ['[error] two', '[error] three', '[warning] four']);
});
