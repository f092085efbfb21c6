// Measures npm's ao-loader as the legacy compute unit calls it when warm: one
// instance, its memory copied in before each message and out after it.
//
//   node --experimental-wasm-memory64 test/bench/loader.mjs [MODULE…] [--time=MS]
import { createRequire } from 'node:module'
import { env, measure, modules } from './peer.mjs'

const AoLoader = createRequire(new URL('../oracle/package.json', import.meta.url))('@permaweb/ao-loader')

for (const m of modules()) {
  const handle = await AoLoader(m.binary, { format: m.format })
  let memory = null
  await measure('Loader', m.name, async (message) => {
    const r = await handle(memory, message, env)
    memory = r.Memory
    return r
  })
}
// The loader leaves timers behind.
process.exit(0)
