// What the drivers of peers share: the job, the clock and the form of a line.
//
// A driver takes names of modules (default: aos2_0_6), with --time=MS how long
// to measure each message (default 2000) and with --count=N how often (default
// 1), and prints lines as Go's benchmarks do, so that benchstat reads both.
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { time: { type: 'string', default: '2000' }, count: { type: 'string', default: '1' } },
})
const budget = BigInt(values.time) * 1_000_000n
const job = JSON.parse(readFileSync(join(here, 'messages.json')))
const pins = JSON.parse(readFileSync(join(root, 'test', 'modules', 'modules.json'))).modules

// The loader replaces console.log, Date.now and, in some formats,
// process.hrtime: what measures must be taken before it is loaded.
const now = process.hrtime.bigint.bind(process.hrtime)

// modules are those that the command line names.
export function modules() {
  const names = positionals.length > 0 ? positionals : ['aos2_0_6']
  return names.map((name) => {
    const pin = pins.find((m) => m.name === name)
    if (pin === undefined) {
      process.stderr.write(`there is no module ${name}\n`)
      process.exit(1)
    }
    const file = join(resolve(process.env.AORTA_MODULES || join(root, '.cache', 'modules')), name + '.wasm')
    return { ...pin, binary: readFileSync(file) }
  })
}

export const env = { Process: job.process, Module: job.module }

// message completes a message to what the legacy compute unit hands over.
function message(m, nonce) {
  return {
    Id: `message-${String(nonce).padStart(35, '0')}`,
    Target: job.process.Id,
    Owner: m.From,
    Epoch: 0,
    Nonce: nonce,
    Timestamp: 1_700_000_000_000 + nonce * 1000,
    'Block-Height': 1_500_000 + nonce,
    Module: job.module.Id,
    Cron: false,
    ...m,
  }
}

const spawn = { From: job.process.Owner, Tags: [{ name: 'Type', value: 'Process' }, ...job.process.Tags], Data: '' }

// measure brings a process up with send(message), which answers a response,
// and prints how long each message of the job takes.
export async function measure(peer, module, send) {
  let nonce = 0
  const one = async (m) => {
    const n = nonce++
    const r = await send(message(n === 0 ? { ...m, Id: job.process.Id } : m, n))
    if (r.Error) throw new Error(`message ${n}: ${JSON.stringify(r.Error)}`)
    return r
  }
  await one(spawn)
  for (const m of job.setup) await one(m)
  for (const { name, message: m } of job.messages) {
    const step = () => one(m)
    await repeat(step, budget / 4n) // V8 compiles what is hot
    for (let i = 0; i < Number(values.count); i++) {
      const { n, spent } = await repeat(step, budget)
      process.stdout.write(`Benchmark${peer}/module=${module}/message=${name}\t${n}\t${Math.round(Number(spent) / n)} ns/op\n`)
    }
  }
}

async function repeat(step, time) {
  const start = now()
  let n = 0
  let spent = 0n
  do {
    await step()
    n++
    spent = now() - start
  } while (spent < time)
  return { n, spent }
}
