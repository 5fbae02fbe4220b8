import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import { execa } from 'execa'
import { keyNode } from './key-node.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const PUBLISHED = 'touchstone/dist/vtpm/keys/client.js'

/** The contents of all fenced blocks of one language, in their order. */
function blocks(guide: string, language: string): readonly string[] {
  return [...guide.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, code = '']) => code)
}

test('every example of the guide runs, in the order in which it stands there', async (t) => {
  const { path } = await (await keyNode(t)).serve('shop')
  const cwd = await mkdtemp(join(tmpdir(), 'ts-key-'))
  t.after(() => rm(cwd, { recursive: true, force: true }))
  const guide = await readFile(join(root, 'docs', 'keys.md'), 'utf8')
  const env = {
    PATH: [join(root, 'bin'), process.env['PATH'] ?? ''].join(delimiter),
    TOUCHSTONE_KEYS: path,
  }
  const shell = blocks(guide, 'sh')
  assert.equal(shell.length, 6)
  const { stdout } = await execa('bash', ['-euo', 'pipefail', '-c', shell.join('\n')], { cwd, env })
  assert.match(stdout, /Verified OK/)
  assert.match(stdout, /signed by orders, version 1/)
  assert.match(stdout, /^for you alone/m)
  assert.equal(await readFile(join(cwd, 'password'), 'utf8'), 'correct horse')

  const [program = ''] = blocks(guide, 'ts')
  assert.ok(program.includes(PUBLISHED))
  const client = pathToFileURL(join(root, 'src', 'vtpm', 'keys', 'client.ts')).href
  await writeFile(join(cwd, 'app.ts'), program.replace(PUBLISHED, client))
  const app = await execa(process.execPath, ['app.ts'], { cwd, env })
  assert.match(app.stdout, /^[\w-]+\.[\w-]+\.[\w-]+$/)
})
