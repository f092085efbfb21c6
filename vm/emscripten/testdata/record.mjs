// Records in loader.json what npm's ao-loader makes of its scripts, with one
// instance for each message:
//
//   cd vm/emscripten/testdata && TZ=UTC node --experimental-wasm-memory64 record.mjs
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const AoLoader = createRequire(new URL('../../../test/oracle/', import.meta.url))('@permaweb/ao-loader')
const file = new URL('loader.json', import.meta.url)
const record = JSON.parse(readFileSync(file))
const env = JSON.parse(record.env)

// What a module asks of an extension that isn't there never returns.
let fail
process.on('unhandledRejection', (e) => fail(e))

for (const run of record.runs) {
  const binary = readFileSync(new URL(`../../../.cache/modules/${run.module}.wasm`, import.meta.url))
  let memory = null
  run.answers = []
  for (const [i, data] of record.scripts[run.script].entries()) {
    const first = i === 0
    const msg = {
      Id: first ? 'P' : 'id' + i, Target: 'P', From: 'O', Owner: 'O', Data: data,
      Tags: [first ? { name: 'Type', value: 'Process' } : { name: 'Action', value: 'Eval' }],
      Timestamp: 1000 + i, 'Block-Height': '1', Module: 'M'
    }
    try {
      const handle = await AoLoader(binary, { format: run.format })
      const r = await Promise.race([handle(memory, msg, env), new Promise((_, reject) => { fail = reject })])
      memory = r.Memory
      run.answers.push(JSON.stringify(r.Error ?? r.Output))
    } catch (e) {
      run.answers.push('exception')
    }
  }
}
writeFileSync(file, JSON.stringify(record, null, ' ') + '\n')
process.exit(0)
