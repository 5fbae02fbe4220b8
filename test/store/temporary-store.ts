import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { openStore, sqliteEngine, type Store } from '../../src/store/index.ts'

/** A fresh directory that goes away with the test. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'touchstone-test-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A fresh database that is closed and removed with the test. */
export async function temporaryStore(t: TestContext): Promise<Store & { path: string }> {
  const path = join(temporaryDirectory(t), 'data', 'touchstone.db')
  const store = await openStore(sqliteEngine(path), 0)
  t.after(() => store.close())
  return { ...store, path }
}

/** For `assert.rejects`: the error has this code. */
export const code = (expected: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, expected, String(error))
  return true
}
