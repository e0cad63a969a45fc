// The decision, without WebAssembly and without a host, so that plain tests reach all of it.

/** Reads the configuration, and says what is wrong with it by throwing an Error. */
export function parseConfig(text) {
  const known = { prefix: '/', scope: null };
  const given = text ? JSON.parse(text) : {};
  const strange = Object.keys(given).find((key) => !Object.hasOwn(known, key));
  if (strange !== undefined) throw new Error(`unknown key \`${strange}\``);
  const config = { ...known, ...given };
  if (typeof config.prefix !== 'string' || !config.prefix.startsWith('/')) {
    throw new Error('prefix: must be a path');
  }
  if (typeof config.scope !== 'string' || !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(config.scope)) {
    throw new Error('scope: must be one scope');
  }
  return config;
}

/**
 * May somebody with these scopes ask for this path? Null: yes. Else the answer for the client.
 *
 * @param config what parseConfig gave
 * @param asked `path`, and `scopes`: a list, or null for somebody who is not known
 */
export function decide(config, asked) {
  if (!asked.path.startsWith(config.prefix)) return null;
  if (asked.scopes === null) {
    return { status: 401, problem: 'missing-credentials', detail: 'this path needs an access token' };
  }
  if (!asked.scopes.includes(config.scope)) {
    return { status: 403, problem: 'forbidden', detail: `this path needs the scope ${config.scope}` };
  }
  return null;
}
