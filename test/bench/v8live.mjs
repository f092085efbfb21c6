// Measures a module kept live in V8: memory stays where it is, nothing is
// metered, and the imports are the few that a message needs.
//
//   node --experimental-wasm-memory64 test/bench/v8live.mjs [MODULE…] [--time=MS]
import { live } from '../oracle/live.mjs'
import { env, measure, modules } from './peer.mjs'

const envText = JSON.stringify(env)

for (const m of modules()) {
  const handle = live(m.binary)
  await measure('V8Live', m.name, (message) => {
    const { ok, response } = JSON.parse(handle(JSON.stringify(message), envText))
    if (!ok) throw new Error(JSON.stringify(response))
    return response
  })
}
