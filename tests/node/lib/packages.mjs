// Lets the scripts import npm packages from the folder where `cargo xtask` installed them, which is
// outside the clone: Node.js itself looks only in the folders above a script.
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const installed = pathToFileURL(join(process.env.TEST_NODE_MODULES, '..', 'package.json')).href;
const scripts = new URL('..', import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    const bare = !/^(\.|\/|node:|file:)/.test(specifier);
    const ours = context.parentURL?.startsWith(scripts);
    return next(specifier, bare && ours ? { ...context, parentURL: installed } : context);
  },
});
