import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decide, parseConfig } from './rule.js';

const config = parseConfig('{"prefix": "/v2/", "scope": "infer"}');

test('the scope opens the path', () => {
  assert.equal(decide(config, { path: '/v2/models', scopes: ['read', 'infer'] }), null);
});

test('without the scope the path stays closed', () => {
  assert.equal(decide(config, { path: '/v2/models', scopes: ['inference'] }).status, 403);
  assert.equal(decide(config, { path: '/v2/models', scopes: null }).status, 401);
});

test('other paths are none of our business', () => {
  assert.equal(decide(config, { path: '/healthz', scopes: null }), null);
});

test('a configuration with a mistake is refused', () => {
  for (const text of ['', '{}', '{"scope": ""}', '{"scope": "a b"}', '{"scope": "a", "prefx": "/"}', 'scope']) {
    assert.throws(() => parseConfig(text), Error, text);
  }
});
