// Runs messages through npm's ao-loader as the legacy compute unit does, and
// prints what comes of each as a line of JSON.
//
//   node --experimental-wasm-memory64 oracle.mjs JOB.json
//
// A job has the module's path, the loader's format, env, and messages. The
// memory goes in and out with each message; an error keeps the memory from
// before. Each message gets an instance of its own, as after a restart: the
// loader's clock counts from an instance's birth, and only so doesn't depend
// on which messages came before.
import { readFileSync, writeSync } from 'node:fs'
import AoLoader from '@permaweb/ao-loader'
import { bare } from './bare.mjs'

const job = JSON.parse(readFileSync(process.argv[2]))
const binary = readFileSync(job.module)
// Leaving the process drops what a pipe hasn't taken yet, so write all of it.
const out = (o) => {
  let rest = Buffer.from(JSON.stringify(o) + '\n')
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e
    }
  }
}

if (job.format === '') {
  const run = bare(binary)
  for (const text of job.messages) out(run(text, JSON.stringify(job.env)))
} else {
  let memory = null
  for (const text of job.messages) {
    try {
      const handle = await AoLoader(binary, { format: job.format })
      const r = await handle(memory, JSON.parse(text), job.env)
      if (!r.Error) memory = r.Memory
      out({ Output: r.Output, Messages: r.Messages, Spawns: r.Spawns, Assignments: r.Assignments, Error: r.Error })
    } catch (e) {
      out({ Error: e instanceof Error ? 'exception: ' + e.message : e, exception: e instanceof Error })
    }
  }
}
// The loader leaves timers behind.
process.exit(0)
