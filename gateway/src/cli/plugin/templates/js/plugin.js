// Glue: asks the host for what the rule needs, and puts the rule's decision into a verdict. What the host offers is in
// wit/deps/forebay-policy; what this plugin uses of it, in wit/world.wit.
import { claim, verify } from 'forebay:policy/identity@{{contract}}';
import { decide, parseConfig } from './rule.js';

let config;

/** Runs once, when the gateway loads the plugin. Every call starts from the memory that it leaves. */
export function configure(text) {
  try {
    config = parseConfig(text);
  } catch (error) {
    // A string is the error of `result<_, string>`; anything else would be a trap.
    throw error.message;
  }
}

/** A fresh instance for every request: nothing that is assigned here is there at the next one. */
export function onRequest(request) {
  const refusal = decide(config, { path: request.path(), scopes: scopes() });
  if (refusal !== null) return { tag: 'answer', val: { ...refusal, headers: challenge(refusal) } };
  request.setHeader('x-checked-by', new TextEncoder().encode('{{name}}'));
  return { tag: 'continue' };
}

function scopes() {
  try {
    verify();
  } catch {
    return null;
  }
  const scope = claim('/scope');
  const value = scope === undefined ? '' : JSON.parse(scope);
  return typeof value === 'string' ? value.split(' ') : [];
}

// RFC 6750, section 3: a 401 says how to authenticate.
function challenge(refusal) {
  return refusal.status === 401 ? [{ name: 'www-authenticate', value: 'Bearer' }] : [];
}
