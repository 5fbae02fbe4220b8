import { join } from 'node:path'
import { openIdentity, type Identity } from '../../src/agent/identity.ts'
import { readEventLog, readImaPiece } from '../../src/agent/measurement-logs.ts'
import { onboard } from '../../src/agent/onboard.ts'
import { implementedBanks, quoteAsAsked } from '../../src/agent/quoting.ts'
import { openState, openStateDirectory } from '../../src/agent/state.ts'
import { makeTrust } from '../../src/agent/trust.ts'
import { makeVerifierClient, type VerifierClient } from '../../src/agent/verifier-client.ts'
import { readAgentConfig, type AgentConfig } from '../../src/agent/index.ts'
import { makeCertificationRequest } from '../../src/ca/index.ts'
import { ERRORS, isTouchstoneError, toHex } from '../../src/core/index.ts'
import { activateCredential, openTpmTools, signDigest, type TpmTools } from '../../src/device/index.ts'
import {
  attestationResult,
  challenge,
  evidenceQualifyingData,
  LIMITS,
  onboardingBinding,
  onboardingChallenge,
  onboardingFinish,
  onboardingProof,
  sha256,
} from '../../src/wire/index.ts'
import { powerOn, readBoot, type Box, type PoweredBox } from '../../swtpm/index.ts'
import { writeNodeConfig, type Verifier } from '../stage/fleet.ts'
import type { Stage } from '../stage/processes.ts'
import type { Transcript } from './transcript.ts'

interface Scene {
  readonly stage: Stage
  readonly show: Transcript
  readonly verifier: Verifier
  readonly box: Box
  readonly power: PoweredBox
  readonly other: Box
  readonly nodeId: string
}

/** A client that can do with its TPM what an intruder with root on the box can. */
interface Intruder {
  readonly tools: TpmTools
  readonly config: AgentConfig
  readonly client: VerifierClient
  readonly identity: Identity
}

const silent = () => undefined

/** Four attacks on a running verifier; each must be refused, and the demo fails if one is not. */
export async function hostileClients(scene: Scene): Promise<void> {
  const { stage, show, verifier, box, other, power, nodeId } = scene
  const otherPower = await powerOn({ directory: other.directory, boot: await readBoot('honest') })
  stage.onEnd(async () => {
    await otherPower.powerOff()
  })

  await asIntruder(stage, verifier, other, otherPower, 'impostor', box.serial, (intruder) =>
    refuse(show, `a second, genuine TPM claims to be ${box.model} ${box.serial}`, () =>
      onboard({ ...intruder, onEvent: silent }),
    ),
  )
  await asIntruder(stage, verifier, other, otherPower, 'swapper', other.serial, (intruder) =>
    refuse(show, 'the second round of an onboarding carries another request than its quote', () =>
      swappingRequest(intruder).then((client) => onboard({ ...intruder, client, onEvent: silent })),
    ),
  )
  await asIntruder(stage, verifier, box, power, 'node', box.serial, async ({ client, identity, tools, config }) => {
    await refuse(show, 'an AK that is not restricted, and so would sign any forged quote', () =>
      client.post(
        '/v1/onboarding/begin',
        {
          ekPublic: identity.endorsement.ek.publicArea,
          ekCertificate: identity.endorsement.certificate,
          akPublic: identity.device.publicArea,
          model: box.model,
          serial: box.serial,
        },
        onboardingChallenge,
      ),
    )
    const asked = await client.post('/v1/attestation/challenge', { nodeId, akName: identity.akName }, challenge)
    const quote = await quoteAsAsked(tools, { ...identity }, asked.pcrs, evidenceQualifyingData(asked.nonce, {}))
    const eventLog = await readEventLog(config.eventLog)
    const evidence = {
      nodeId,
      nonce: asked.nonce,
      quote: quote.attest,
      signature: quote.signature,
      eventLog,
      eventLogDigest: toHex(sha256(eventLog)),
      imaLog: config.imaLog === undefined ? undefined : (await readImaPiece(config.imaLog, 0, LIMITS.imaLog)).bytes,
      request: {},
    }
    await client.post('/v1/attestation/evidence', evidence, attestationResult)
    await refuse(show, 'the same good quote a second time', () =>
      client.post('/v1/attestation/evidence', evidence, attestationResult),
    )
  })
}

async function refuse(show: Transcript, attack: string, attempt: () => Promise<unknown>): Promise<void> {
  try {
    await attempt()
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    show.refused(attack, `${ERRORS[error.code].title} [${error.code}]`)
    return
  }
  throw new Error(`not refused: ${attack}`)
}

/**
 * Everything as the node does it, but the PKCS#10 request is exchanged for another one after the quote was made. The
 * intruder has the box, and so the secret of the credential: the proof is made again to fit. The quote cannot be.
 */
async function swappingRequest(intruder: Intruder): Promise<VerifierClient> {
  const { client, identity, tools, config } = intruder
  const another = await makeCertificationRequest(identity.device.publicArea, 'another request', (digest) =>
    signDigest(tools, identity.device, digest),
  )
  let secret: Uint8Array = Buffer.alloc(0)
  return {
    ...client,
    async post(path, body, schema, signal) {
      const finish = onboardingFinish.safeParse(body)
      if (!finish.success) {
        const answer = await client.post(path, body, schema, signal)
        const session = onboardingChallenge.parse(answer)
        secret = await activateCredential(tools, identity.endorsement.ek, identity.ak, session)
        return answer
      }
      const { session, eventLog, imaLog } = finish.data
      const binding = onboardingBinding({
        session,
        ekSpki: identity.endorsement.ekSpki,
        akName: identity.akName,
        deviceKeyName: identity.deviceName,
        request: another,
        eventLog,
        imaLog: imaLog ?? Buffer.alloc(0),
        model: config.model,
        serial: config.serial,
        pcrBanks: await implementedBanks(tools),
      })
      const swapped = { ...finish.data, request: another, proof: onboardingProof(secret, binding) }
      return client.post(path, swapped, schema, signal)
    },
  }
}

async function asIntruder(
  stage: Stage,
  verifier: Verifier,
  box: Box,
  power: PoweredBox,
  name: string,
  serial: string,
  act: (intruder: Intruder) => Promise<void>,
): Promise<void> {
  const config = await readAgentConfig(
    await writeNodeConfig(stage, verifier, { ...power, model: box.model, serial }, name),
  )
  await openStateDirectory(config.stateDir)
  const state = await openState(join(stage.directory, name))
  const tools = await openTpmTools(config.tcti, { parentDirectory: config.stateDir })
  const client = makeVerifierClient({
    url: config.verifier,
    trust: makeTrust(config.anchors, { now: () => Date.now() }, silent),
  })
  try {
    const identity = await openIdentity(tools, state, config, silent)
    await act({ tools, config, client, identity })
  } finally {
    client.close()
    await tools.close()
  }
}
