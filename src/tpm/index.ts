export type { HashName } from './algorithms.ts'
export { digest, HASH_NAMES, HASHES, hashNameOf, isHashName, TPM_ALG } from './algorithms.ts'
export type { AttestType, TpmsAttest } from './attest.ts'
export { attestTypeOf, TPM_GENERATED_VALUE, TPM_ST_ATTEST, TPMS_ATTEST, TPMS_ATTEST_HEADER } from './attest.ts'
export { nvAttributes, objectAttributes, TPMA_NV_BITS, TPMA_OBJECT_BITS } from './attributes.ts'
export { decodeResponse, encodeCommand } from './command-codec.ts'
export type { Command } from './commands.ts'
export { COMMANDS } from './commands.ts'
export { TPM2B_CREATION_DATA, TPMS_CREATION_DATA } from './creation.ts'
export { EK_TEMPLATES, ekTemplatePublic, matchEkTemplate } from './ek-templates.ts'
export type { CommandFrame } from './frame.ts'
export {
  atHandle,
  atParameter,
  errorResponse,
  HEADER_BYTES,
  isSessionHandle,
  isTransientHandle,
  splitCommand,
  TPM_RC,
  TPM_RS_PW,
  TPM_ST,
  TPMA_SESSION,
} from './frame.ts'
export { TPM2B_ENCRYPTED_SECRET, TPM2B_ID_OBJECT } from './id-object.ts'
export { readPublicArea } from './known-public.ts'
export type { Credential, CredentialInput } from './make-credential.ts'
export { makeCredential } from './make-credential.ts'
export { handleName, nameOf, qualifiedName, qualifiedNameUnderEndorsement, TPM_RH } from './names.ts'
export type { CounterName } from './node-roots.ts'
export {
  agreementKeyTemplate,
  COUNTER_SIZE,
  counterPublic,
  isOfTemplate,
  storageKeyTemplate,
  storageRootTemplate,
} from './node-roots.ts'
export type { TpmsNvPublic } from './nv-public.ts'
export { nvNameOf, TPM2B_NV_PUBLIC } from './nv-public.ts'
export { TPM2B_PRIVATE, TPM_ST_TICKET, TPMT_TK } from './objects.ts'
export { pcrDigestOf } from './policy-digest.ts'
export type { TpmaObject, TpmsClockInfo } from './primitives.ts'
export type { TpmtPublic, TpmtPublicEcc, TpmtPublicRsa } from './public-area.ts'
export { TPM2B_PUBLIC, TPMT_PUBLIC } from './public-area.ts'
export { padCoordinate, pointOnCurve, publicJwkOf, publicKeyOf, spkiOf } from './public-key.ts'
export { explainRc } from './rc.ts'
export type { ReleaseNode, ReleaseTerms, ReleaseText } from './release.ts'
export {
  checkRelease,
  releaseKeyPublic,
  releaseMessage,
  releaseNodeRef,
  releaseOperand,
  releasePolicyDigest,
  sealedPolicyDigest,
  signRelease,
} from './release.ts'
export type { PcrBankSelection, PcrSelection } from './selection.ts'
export {
  equalSelections,
  formatPcrSelection,
  parsePcrSelection,
  TPML_PCR_SELECTION,
  withoutRegister,
} from './selection.ts'
export type { AuthorisedCommand, CommandAuth, NamedHandle, SessionState } from './session.ts'
export { authoriseCommand, SESSION_CIPHER, sessionKey, sessionSalt } from './session.ts'
export type { TpmtSignature } from './signature.ts'
export { signatureSchemeOf, TPMT_SIGNATURE, TPMT_SIGNATURE_HEADER } from './signature.ts'
export type { SignatureResult } from './verify-signature.ts'
export { verifySignature, verifySignatureByKey } from './verify-signature.ts'
export type { TpmsQuote } from './well-formed.ts'
export { readWellFormedQuote, readWellFormedSignature } from './well-formed.ts'
