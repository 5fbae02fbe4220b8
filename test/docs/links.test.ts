import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import test from 'node:test'
import { anchorsOf, markdownFiles, ROOT } from './markdown.ts'

const files = markdownFiles()
const anchors = new Map(files.map((file) => [file.path, anchorsOf(file)]))

test('there are pages to check', () => {
  assert.ok(files.length > 20, `${files.length} pages`)
})

for (const { path, prose } of files) {
  const links = [...prose.matchAll(/\]\(\s*<?([^)\s>]+)/g)].map(([, target = '']) => target)
  const inside = links.filter((target) => !/^[a-z]+:/.test(target))
  if (inside.length === 0) continue

  test(`every link of ${path} leads to a file and a heading that there are`, () => {
    const broken = inside.filter((target) => {
      const [file = '', anchor] = target.split('#')
      const page = file === '' ? path : normalize(join(dirname(path), file))
      if (!existsSync(join(ROOT, page))) return true
      return anchor !== undefined && anchors.get(page)?.has(anchor) !== true
    })
    assert.deepEqual(broken, [])
  })
}
