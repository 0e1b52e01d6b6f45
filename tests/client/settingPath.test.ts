import assert from 'node:assert/strict';
import { sep } from 'node:path';
import { test } from 'node:test';
import { absolute } from '../../client/src/settingPath';

const meanings: Record<string, string> = {
  '.venv/bin/python': '/srv/project/.venv/bin/python',
  '${workspaceFolder}/../env/bin/python': '/srv/env/bin/python',
  '${userHome}/env/bin/python': '/home/ada/env/bin/python',
  '~/env/bin/python': '/home/ada/env/bin/python',
  '~': '/home/ada',
  '~other/bin/python': '/srv/project/~other/bin/python',
  '/usr/bin/python3': '/usr/bin/python3',
};

for (const [setting, meaning] of Object.entries(meanings)) {
  test(`${setting} is ${meaning}`, { skip: sep !== '/' }, () => {
    assert.equal(absolute(setting, '/srv/project', '/home/ada'), meaning);
  });
}
