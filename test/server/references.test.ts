import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { parsePolicy } from '../../src/attest/index.ts'
import { canaryShare } from '../../src/attest/lifecycle.ts'
import {
  applyResult,
  attestationDetail,
  attestationList,
  exceptionDetail,
  exceptionEnded,
  exceptionList,
  excusedPage,
  nodeDetail,
  recomputed,
  referencePromoted,
  resourceDetail,
  resourceHistory,
  resourceList,
  whatIfPage,
} from '../../src/wire/index.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { ProblemError, refusedWith, testVerifier } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0009' }
const { vendor, ekRoots } = await testVendor({ after })
const box = await testBox({ after }, vendor, claim)
const node = await testNode(box.powered, claim)
after(node.close)
const keys = await node.makeKeys()

const learned = parsePolicy(await honestPolicy())
const DBX = learned.rules.find(({ row }) => row.fact === 'secureBoot.dbx')?.matcher.anyOf?.[0] ?? ''
const OTHER = 'ab'.repeat(32)
const DAY = 24 * 3600 * 1000

const policy = `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: fleet }
spec:
  pcrs: sha256:0-15
  secureBoot:
    enabled: { is: true }
    dbx: { references: [dbx] }
`
const references = (entry = '') => `# revoked boot loaders
apiVersion: touchstone/v1
kind: ReferenceSet
metadata: { name: dbx }
spec:
  provenance: { kind: vendor, source: fwupd }
  entries:
    - { value: ${DBX}, label: dbx of October${entry} } # the boxes' own
    - { value: ${OTHER}, state: candidate }
`
const exception = (expires: number, spec = '') => `apiVersion: touchstone/v1
kind: PolicyException
metadata: { name: old-dbx }
spec:
  policy: fleet
  rules: [secureBoot.dbx]
  nodes: { selector: { site: lab } }
  owner: ops@example.com
  reason: fwupd is broken there, ticket 7
  expires: ${new Date(expires).toISOString()}
${spec}`

type Verifier = Awaited<ReturnType<typeof testVerifier>>

async function operators({ operator }: Pick<Verifier, 'operator'>) {
  const operate = await operator('operator')
  return {
    operate,
    viewer: await operator('viewer'),
    apply: (documents: readonly string[], reason?: string) =>
      operate(applyResult, 'PUT', '/v1/resources', { documents, ...(reason === undefined ? {} : { reason }) }),
    promote: (body: object, name = 'dbx') =>
      operate(referencePromoted, 'POST', `/v1/references/${name}/promote`, { reason: 'because', ...body }),
  }
}

test('promoting writes a new revision, with the text as it was otherwise, and who, when and why', async (t) => {
  const verifier = await testVerifier(t)
  const { viewer, apply, promote } = await operators(verifier)
  await apply([references()], 'first list')
  const done = await promote({
    label: 'dbx of October',
    to: 'deprecated',
    until: '2027-01-01T00:00:00Z',
    reason: 'old',
  })
  assert.deepEqual([done.revision, done.change, done.entries], [2, 'updated', 1])
  const { document } = await viewer(resourceDetail, 'GET', '/v1/references/dbx')
  assert.equal(document, done.document)
  assert.match(document, /^# revoked boot loaders\n[^]*until: 2027-01-01T00:00:00.000Z \} # the boxes' own\n/)
  const { items } = await viewer(resourceHistory, 'GET', '/v1/references/dbx/history')
  assert.deepEqual(
    items.map(({ revision, reason, changes }) => [revision, reason, changes?.map(({ from, to }) => [from, to])]),
    [
      [2, 'old', [['active', 'deprecated']]],
      [
        1,
        'first list',
        [
          [undefined, 'active'],
          [undefined, 'candidate'],
        ],
      ],
    ],
  )
  for (const { actor, updated } of items) {
    assert.match(actor, /^token:operator-/)
    assert.ok(Math.abs(Date.parse(updated) - Date.now()) < DAY)
  }
  const [audit] = await verifier.store.audit.ofSubject('ReferenceSet/dbx', 1)
  assert.equal(audit?.action, 'reference.promote')
  assert.deepEqual(
    [audit.detail['to'], audit.detail['reason'], audit.detail['which']],
    ['deprecated', 'old', 'dbx of October'],
  )
})

test('what is so already gets no revision, and a draft is stored nowhere', async (t) => {
  const verifier = await testVerifier(t)
  const { apply, promote } = await operators(verifier)
  await apply([references()])
  const same = await promote({ value: DBX, to: 'active' })
  assert.deepEqual([same.change, same.revision], ['unchanged', 1])
  const draft = await promote({ value: OTHER, to: 'canary', canary: { percentage: 2.5 }, dryRun: true })
  assert.deepEqual([draft.change, draft.revision, draft.entries], ['draft', 1, 1])
  assert.match(draft.document, /state: canary, since: .*, canary: \{ percentage: 2\.5 \} \}/)
  assert.equal(await verifier.store.resources.version(), 1)
})

test('what cannot be promoted is refused: sets of files, sets and values that there are not, by viewers, without a reason', async (t) => {
  const verifier = await testVerifier(t, { policies: [references()] })
  const { viewer, apply, promote, operate } = await operators(verifier)
  await assert.rejects(promote({ value: DBX, to: 'revoked' }), refusedWith('resource.from_file'))
  await assert.rejects(promote({ value: DBX, to: 'revoked' }, 'nowhere'), refusedWith('resource.not_found'))
  assert.deepEqual(
    (await viewer(resourceHistory, 'GET', '/v1/references/dbx/history')).items.map(({ revision, actor }) => [
      revision,
      actor,
    ]),
    [[0, 'file']],
  )
  await apply([references(', state: canary, canary: { percentage: 1 }')])
  await assert.rejects(promote({ value: 'cd', to: 'revoked' }), refusedWith('reference.not_found'))
  await assert.rejects(promote({ value: OTHER, to: 'canary' }), refusedWith('reference.unfit'))
  for (const body of [
    { to: 'active' },
    { value: DBX, all: true, to: 'active' },
    { value: DBX, to: 'active', reason: ' ' },
    { value: DBX, to: 'active', until: '2027-01-01T00:00:00Z' },
    { value: DBX, to: 'deprecated', thereafter: 'revoked' },
    { value: DBX, to: 'active', canary: { percentage: 1 } },
    { value: DBX, to: 'canary', canary: { percentage: 101 } },
  ]) {
    await assert.rejects(promote(body), refusedWith('http.invalid'), JSON.stringify(body))
  }
  const url = '/v1/references/dbx/promote'
  const asked = { value: DBX, to: 'revoked', reason: 'x' }
  await assert.rejects(viewer(referencePromoted, 'POST', url, asked), refusedWith('auth.forbidden'))
  await assert.rejects(
    operate(resourceHistory, 'GET', '/v1/references/none/history'),
    refusedWith('resource.not_found'),
  )
})

test('reference sets are listed with how many values stand how, and where they come from', async (t) => {
  const verifier = await testVerifier(t)
  const { viewer, apply } = await operators(verifier)
  await apply([references(`, state: deprecated, until: "${new Date(Date.now() + DAY).toISOString()}"`)])
  const listed = async () => (await viewer(resourceList, 'GET', '/v1/references')).items[0]
  assert.deepEqual((await listed())?.standings, { deprecated: 1, candidate: 1 })
  assert.deepEqual((await listed())?.provenance, { kind: 'vendor', source: 'fwupd' })
  verifier.advance(2 * DAY)
  assert.deepEqual((await listed())?.standings, { expired: 1, candidate: 1 })
})

test('exceptions are applied for 90 days at most, doubted where they excuse nothing, and listed when they are over', async (t) => {
  const verifier = await testVerifier(t, { policies: [policy] })
  const { viewer, apply } = await operators(verifier)
  const now = Date.now()
  await assert.rejects(apply([exception(now + 91 * DAY)]), refusedWith('policy.invalid'))
  await assert.rejects(
    viewer(whatIfPage, 'POST', '/v1/what-if', { documents: [exception(now + 91 * DAY)] }),
    refusedWith('policy.invalid'),
  )
  assert.equal((await apply([exception(now + 89 * DAY)])).warnings, undefined)
  const odd = await apply([exception(now + 30 * DAY).replace('secureBoot.dbx', 'secureBoot.dbxx')])
  assert.match(
    odd.warnings?.join() ?? '',
    /old-dbx: fleet does not have a rule secureBoot\.dbxx.*did you mean secureBoot\.dbx\?/,
  )
  await apply([exception(now + 30 * DAY)])
  // A policy that drops the rule leaves the exception behind.
  const without = await apply([policy.replace(/ {4}dbx: .*\n/, '')])
  assert.match(without.warnings?.join() ?? '', /old-dbx: fleet does not have a rule secureBoot\.dbx/)
  const listed = async () => (await viewer(exceptionList, 'GET', '/v1/exceptions')).items
  assert.deepEqual(
    (await listed()).map(({ name, state, owner, rules, nodes }) => [name, state, owner, rules, nodes]),
    [['old-dbx', 'live', 'ops@example.com', ['secureBoot.dbx'], { selector: { site: 'lab' } }]],
  )
  verifier.advance(31 * DAY)
  assert.equal((await listed())[0]?.state, 'expired')
  assert.match((await viewer(exceptionDetail, 'GET', '/v1/exceptions/old-dbx')).document, /ticket 7/)
  await assert.rejects(viewer(exceptionDetail, 'GET', '/v1/exceptions/none'), refusedWith('resource.not_found'))
  assert.equal((await viewer(resourceHistory, 'GET', '/v1/exceptions/old-dbx/history')).items.length, 3)
})

async function enrolled(t: test.TestContext) {
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const people = await operators(verifier)
  await people.apply([references()])
  const { nodeId } = await node.onboard(verifier.app, keys)
  const { viewer, operate } = people
  return {
    ...verifier,
    ...people,
    nodeId,
    label: (labels: Record<string, string | null>) =>
      operate(nodeDetail, 'PATCH', `/v1/nodes/${nodeId}/labels`, { labels }),
    /** The newest verdict: status, what the rule over dbx says, whether recomputing it gives the same. */
    attest: async () => {
      await node.attest(verifier.app, nodeId, keys)
      const [newest] = (await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}&limit=1`)).items
      const detail = await viewer(attestationDetail, 'GET', `/v1/attestations/${newest?.id ?? ''}`)
      const rule = detail.checks.find(({ rule: id }) => id === 'fleet/secureBoot.dbx')
      const { outcome } = await viewer(recomputed, 'POST', `/v1/attestations/${detail.id}/recompute`)
      return { detail, rule, told: [detail.status, rule?.code ?? 'pass', outcome] }
    },
    whatIf: async (...documents: string[]) =>
      (await viewer(whatIfPage, 'POST', '/v1/what-if', { documents })).changes.map(({ from, to }) => [from, to]),
  }
}

test('labels of a node are set and taken away, bounded, and in the audit trail', async (t) => {
  const { label, nodeId, viewer, store } = await enrolled(t)
  assert.deepEqual((await label({ site: 'lab', 'example.com/Ring': 'one' })).labels, {
    site: 'lab',
    'example.com/Ring': 'one',
  })
  const { labels, audit } = await label({ 'example.com/Ring': null, site: 'lab', more: '' })
  assert.deepEqual(labels, { site: 'lab', more: '' })
  assert.deepEqual(audit[0]?.detail, { 'example.com/Ring': '(taken away)', more: '' })
  assert.equal(audit[0].action, 'node.label')
  const many = Object.fromEntries(Array.from({ length: 31 }, (_, n) => [`l${n}`, 'x']))
  await assert.rejects(label(many), refusedWith('node.labels'))
  for (const bad of [{ '-': 'x' }, { a: '\u001b[31m' }, { a: 'x'.repeat(257) }, {}]) {
    await assert.rejects(label(bad), refusedWith('http.invalid'), JSON.stringify(bad))
  }
  const url = `/v1/nodes/${nodeId}/labels`
  await assert.rejects(viewer(nodeDetail, 'PATCH', url, { labels: { a: 'b' } }), refusedWith('auth.forbidden'))
  const before = (await store.audit.ofSubject(nodeId, 50)).length
  await label({ site: 'lab' })
  assert.equal((await store.audit.ofSubject(nodeId, 50)).length, before)
})

test('a value goes from active to canary to deprecated to revoked, and every verdict on the way is recomputed the same', async (t) => {
  const { attest, promote, label, nodeId, advance, store } = await enrolled(t)
  assert.deepEqual((await attest()).told, ['affirming', 'pass', 'same'])
  await promote({ value: DBX, to: 'canary', canary: { selector: { site: 'lab' } } })
  assert.deepEqual((await attest()).told, ['contraindicated', 'policy.canary', 'same'])
  await label({ site: 'lab' })
  assert.deepEqual((await attest()).told, ['affirming', 'pass', 'same'])
  const share = canaryShare('dbx', (await store.nodes.byId(nodeId))?.ekSha256 ?? '') / 100
  for (const [percentage, code] of [
    [share, 'policy.canary'],
    [share + 0.01, 'pass'],
    [100, 'pass'],
  ] as const) {
    await promote({ value: DBX, to: 'canary', canary: { percentage: Math.round(percentage * 100) / 100 } })
    assert.equal((await attest()).told[1], code, String(percentage))
  }
  const until = new Date(Date.now() + DAY).toISOString()
  await promote({ value: DBX, to: 'deprecated', until, thereafter: 'revoked' })
  assert.deepEqual((await attest()).told, ['warning', 'policy.deprecated', 'same'])
  advance(DAY + 1000)
  assert.deepEqual((await attest()).told, ['contraindicated', 'policy.revoked', 'same'])
})

/** Everything that a node is told with a refusal. */
function toldBy(error: unknown): string {
  return error instanceof ProblemError ? JSON.stringify(error.problem) : String(error)
}

test('a share of canaries chooses a box by its EK, when it enrols as afterwards', async (t) => {
  const known = await enrolled(t)
  const ekSha256 = (await known.store.nodes.byId(known.nodeId))?.ekSha256 ?? ''
  const share = canaryShare('dbx', ekSha256) / 100
  const fresh = async (percentage: number) => {
    const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
    const people = await operators(verifier)
    const canary = `, state: canary, canary: { percentage: ${percentage.toFixed(2)} }`
    await people.apply([references(canary)])
    return { ...verifier, ...people }
  }
  const out = await fresh(share)
  for (const _ of ['first', 'again']) {
    await assert.rejects(node.onboard(out.app, keys), (error) => {
      refusedWith('onboarding.appraisal')(error)
      assert.match(toldBy(error), /policy\.canary/)
      return true
    })
  }
  const chosen = await fresh(share + 0.01)
  const { nodeId } = await node.onboard(chosen.app, keys)
  await node.attest(chosen.app, nodeId, keys)
  const { items } = await chosen.viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}&limit=5`)
  assert.deepEqual(
    items.map(({ purpose, status }) => [purpose, status]),
    [
      ['attestation', 'affirming'],
      ['enrolment', 'affirming'],
    ],
  )
})

test('at enrolment a canary by labels is somebody else’s, and rules see the EK', async (t) => {
  const rule = `  rules: [{ name: ek, expression: 'size(node.ek) == 64 && !has(node.labels.site)', claim: configuration }]\n`
  const verifier = await testVerifier(t, {
    policies: [`${policy}${rule}`],
    ekRoots,
    settings: { admission: 'vendor-ek' },
  })
  const { apply } = await operators(verifier)
  await apply([references(', state: canary, canary: { selector: { site: lab } }')])
  await assert.rejects(node.onboard(verifier.app, keys), (error) => {
    const told = toldBy(error)
    assert.match(told, /policy\.canary/)
    assert.doesNotMatch(told, /undetermined|expression/)
    return true
  })
  await apply([references()])
  await node.onboard(verifier.app, keys)
})

test('an exception warns until it ends, is pinned, and gives way to what is revoked', async (t) => {
  const { attest, promote, label, apply, advance, whatIf } = await enrolled(t)
  await label({ site: 'lab' })
  await promote({ value: DBX, to: 'candidate' })
  assert.deepEqual((await attest()).told, ['contraindicated', 'policy.candidate', 'same'])
  const document = exception(Date.now() + DAY)
  assert.deepEqual(await whatIf(document), [['contraindicated', 'warning']])
  await apply([document], 'ticket 7')
  const excused = await attest()
  assert.deepEqual(excused.told, ['warning', 'policy.candidate', 'same'])
  assert.equal(excused.rule?.exception?.owner, 'ops@example.com')
  const [pinned] = (excused.detail.inputs['exceptions'] ?? []) as { name: string; digest: string }[]
  assert.equal(pinned?.name, 'old-dbx')
  assert.match(pinned.digest, /^[0-9a-f]{64}$/)
  await promote({ value: DBX, to: 'revoked' })
  const revoked = await attest()
  assert.deepEqual(revoked.told, ['contraindicated', 'policy.revoked', 'same'])
  assert.equal(revoked.rule?.exception?.unused, 'refused')
  await promote({ value: DBX, to: 'candidate' })
  advance(DAY + 1000)
  const over = await attest()
  assert.deepEqual(over.told, ['contraindicated', 'policy.candidate', 'same'])
  assert.equal(over.rule?.exception?.unused, 'expired')
})

test('an exception shows what it excuses at present, and ends when an operator says so, with who and why', async (t) => {
  const { attest, promote, label, apply, operate, viewer, nodeId, store } = await enrolled(t)
  const path = '/v1/exceptions/old-dbx'
  const excused = async () => viewer(excusedPage, 'GET', `${path}/excused`)
  const end = async (reason = 'all boxes are updated') => operate(exceptionEnded, 'POST', `${path}/end`, { reason })
  await assert.rejects(excused(), refusedWith('resource.not_found'))
  await assert.rejects(end(), refusedWith('resource.not_found'))
  await apply([exception(Date.now() + DAY)])
  assert.deepEqual(await excused(), { concerned: 0, items: [] })
  await label({ site: 'lab' })
  await attest()
  assert.deepEqual(await excused(), { concerned: 1, items: [] })
  await promote({ value: DBX, to: 'candidate' })
  await attest()
  const [item, ...more] = (await excused()).items
  assert.deepEqual(
    [item?.nodeId, item?.status, item?.checks.map(({ code }) => code), more],
    [nodeId, 'warning', ['policy.candidate'], []],
  )
  await assert.rejects(viewer(exceptionEnded, 'POST', `${path}/end`, { reason: 'x' }), refusedWith('auth.forbidden'))
  await assert.rejects(end(''), refusedWith('http.invalid'))
  assert.deepEqual([(await end()).revision, (await end()).change], [2, 'unchanged'])
  const { document } = await viewer(exceptionDetail, 'GET', path)
  assert.match(document, /ticket 7\n {2}expires: "20\d\d-[^"]+Z"\n$/)
  const [newest] = (await viewer(resourceHistory, 'GET', `${path}/history`)).items
  assert.deepEqual([newest?.revision, newest?.reason], [2, 'all boxes are updated'])
  assert.match(newest?.actor ?? '', /^token:operator-/)
  const [audited] = await store.audit.ofSubject('PolicyException/old-dbx', 1)
  assert.equal(audited?.action, 'exception.end')
  const over = await attest()
  assert.deepEqual([over.told[0], over.rule?.exception?.unused], ['contraindicated', 'expired'])
  assert.equal((await excused()).items[0]?.checks[0]?.exception?.unused, 'expired')
})

test('an exception for named nodes is looked for among these', async (t) => {
  const { attest, promote, apply, viewer, nodeId } = await enrolled(t)
  await promote({ value: DBX, to: 'candidate' })
  const ids = `ids: [${nodeId}, 01890a5d-ac96-774b-bcce-b302099a8057]`
  await apply([exception(Date.now() + DAY).replace('selector: { site: lab }', ids)])
  await attest()
  const { concerned, items } = await viewer(excusedPage, 'GET', '/v1/exceptions/old-dbx/excused')
  assert.deepEqual([concerned, items.map((item) => item.nodeId)], [1, [nodeId]])
})

test('what-if answers for drafts of references, with the labels of now', async (t) => {
  const { attest, promote, label, whatIf } = await enrolled(t)
  await attest()
  const draft = async (site: string) => {
    const { document } = await promote({ value: DBX, to: 'canary', canary: { selector: { site } }, dryRun: true })
    return whatIf(document)
  }
  assert.deepEqual(await draft('lab'), [['affirming', 'contraindicated']])
  await label({ site: 'lab' })
  assert.deepEqual(await draft('lab'), [])
  assert.deepEqual(await draft('north'), [['affirming', 'contraindicated']])
})
