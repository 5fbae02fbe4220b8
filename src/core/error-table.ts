/**
 * Every code that Touchstone can answer with, in one place: HTTP status, title, and what to do next. Codes are stable;
 * docs/errors.md documents each, and a test holds the two together both ways. Rows are grouped by room.
 */

interface ErrorRow {
  readonly status: number
  readonly title: string
  readonly hint: string
}

const rows = {
  // decoding
  'decode.truncated': {
    status: 400,
    title: 'The input ends before the structure does',
    hint: 'Send the file exactly as the TPM or the firmware wrote it; compare its size with the source.',
  },
  'decode.trailing': {
    status: 400,
    title: 'Bytes follow the end of the structure',
    hint: 'Send one structure alone; something was appended, or the file is of another type.',
  },
  'decode.value': {
    status: 400,
    title: 'A field has a value that its specification does not allow',
    hint: 'The message names the field and its offset; check that the file is of the type you meant.',
  },
  'decode.too_large': {
    status: 400,
    title: 'A size or count is beyond its limit',
    hint: 'The message names the field and its limit; genuine evidence stays far below.',
  },
  // tpm
  'tpm.algorithm_unsupported': {
    status: 400,
    title: 'A TPM structure names an algorithm that Touchstone does not compute with',
    hint: 'Use RSA-2048 to RSA-4096 or P-256, P-384, P-521 keys, with a SHA-2 or SHA-3 hash.',
  },
  'tpm.public_key_invalid': {
    status: 400,
    title: 'A TPM public area does not hold a valid public key',
    hint: 'The modulus must be of the declared size and the point on its curve; templates have neither.',
  },
  'tpm.credential_key': {
    status: 400,
    title: 'No credential can be made for this key',
    hint: 'Credential protection needs an EK: an RSA or ECC restricted decryption key with AES in CFB mode.',
  },
  'tpm.credential_secret': {
    status: 500,
    title: 'A secret is too long or too short for the EK',
    hint: "Use 1 to 32 bytes; the limit is the digest size of the EK's nameAlg.",
  },
  'tpm.credential_rejected': {
    status: 403,
    title: 'A credential was made for another EK or another key name',
    hint: 'Ask for a new credential with the EK and AK that are loaded now.',
  },
  'tpm.response_malformed': {
    status: 502,
    title: 'What came back is not a response of a TPM to this command',
    hint: 'Check that the device or socket belongs to a TPM 2.0 and that nobody else uses the same connection.',
  },
  'tpm.response_unauthentic': {
    status: 502,
    title: 'A response does not carry the proof that this TPM made it',
    hint: 'Something between the TPM and this process changes what passes. Do not trust this node until that is found.',
  },
  'tpm.selection_syntax': {
    status: 400,
    title: 'A PCR selection cannot be read',
    hint: 'Write banks joined by + and registers by comma, for example sha256:0-7,10+sha1:0,1.',
  },
  'tpm.signature_scheme': {
    status: 403,
    title: "A signature is not of the key's own scheme",
    hint: 'Sign with the scheme in the public area of the key; ECDSA, RSASSA and RSAPSS are verified. A file that begins with 0x30 is of tpm2_quote -f plain: leave that out.',
  },
  'tpm.signature_hash': {
    status: 403,
    title: "A signature is not over the key's own hash, or over one that is no longer sound",
    hint: 'Sign with the hash in the public area of the key; SHA-1 is never accepted.',
  },
  'tpm.signature_invalid': {
    status: 403,
    title: 'A signature does not verify',
    hint: 'Another key signed, or the signed bytes were changed on the way.',
  },
  // tpm: releases
  'release.malformed': {
    status: 400,
    title: 'This is no release',
    hint: 'Give the file that touchstone release sign wrote, whole and unchanged.',
  },
  'release.terms': {
    status: 400,
    title: 'A release states something that cannot be',
    hint: 'Its number is at least 1, and its selection is written canonically and names at least one register of each bank.',
  },
  'release.policy': {
    status: 403,
    title: 'The policy of a release is not that of its terms',
    hint: 'The file was changed after it was signed; fetch or sign it again.',
  },
  'release.key': {
    status: 403,
    title: "A release is not signed by the fleet's release key",
    hint: 'Release keys are P-256. Compare the public key with touchstone release show FILE.',
  },
  'release.signature': {
    status: 403,
    title: 'The signature of a release is wrong',
    hint: 'The file was changed after it was signed, or forged; fetch or sign it again.',
  },
  'release.other_node': {
    status: 403,
    title: 'A release is for another node',
    hint: 'Releases are signed node by node; ask for one with the reference of this node.',
  },
  'release.other_counter': {
    status: 403,
    title: 'A release counts on another counter than that of this node',
    hint: 'Ask for one with the Name of the release counter of this node.',
  },
  // command line
  'usage.arguments': {
    status: 400,
    title: 'The arguments cannot be used',
    hint: 'Run the command with --help to see what it takes.',
  },
  'usage.environment': {
    status: 400,
    title: 'An environment variable is missing',
    hint: 'Operators need TOUCHSTONE_URL, TOUCHSTONE_CA and TOUCHSTONE_TOKEN_FILE.',
  },
  'usage.file': {
    status: 400,
    title: 'A file cannot be read',
    hint: 'Check that the path exists and that you may read it.',
  },
  'operator.unreachable': {
    status: 503,
    title: 'The verifier cannot be reached',
    hint: 'Check TOUCHSTONE_URL, that the verifier runs, and that TOUCHSTONE_CA is its root certificate.',
  },
  'operator.refused': {
    status: 403,
    title: 'The verifier refused the call',
    hint: 'The message carries the code of the refusal; docs/errors.md explains it.',
  },
  'operator.answer': {
    status: 502,
    title: 'The answer is not that of a verifier',
    hint: 'Check TOUCHSTONE_URL; something else may answer there.',
  },

  // device: reaching a TPM
  'device.tcti': {
    status: 400,
    title: 'The TPM address is not one that Touchstone understands',
    hint: 'Use device:/dev/tpmrm0, swtpm:path=/absolute/socket or swtpm:host=127.0.0.1,port=2321.',
  },
  'device.unavailable': {
    status: 503,
    title: 'The TPM cannot be reached',
    hint: 'Check that the device or socket exists and that this user may open it; another process may hold it.',
  },
  'device.timeout': {
    status: 504,
    title: 'The TPM did not answer in time',
    hint: 'It may be busy with another client, or hung; a power cycle resets a hardware TPM.',
  },
  'device.protocol': {
    status: 502,
    title: 'What came from the TPM is not a TPM response',
    hint: 'Check that the address is that of a TPM and not of something else.',
  },
  'device.tool_missing': {
    status: 500,
    title: 'A program of tpm2-tools is not installed',
    hint: 'Install the package tpm2-tools, version 5 or newer, and the TCTI library of the TPM address.',
  },
  'device.tool': {
    status: 500,
    title: 'A program of tpm2-tools failed before the TPM answered',
    hint: 'The message ends with what the program said.',
  },
  'device.tpm': {
    status: 502,
    title: 'The TPM refused a command',
    hint: 'The message names the response code and what it means.',
  },
  'device.tpm_cleared': {
    status: 409,
    title: 'The TPM was cleared or exchanged since its keys were made',
    hint: 'The node makes new keys and asks to be enrolled again; an operator may have to allow it.',
  },
  'device.nv_size': {
    status: 502,
    title: 'An NV index is larger than any certificate',
    hint: 'What it holds is no EK certificate; nothing of it was read.',
  },
  'device.swtpm': {
    status: 500,
    title: 'The software TPM did not do what it was asked to',
    hint: 'Its log in the state directory says why.',
  },
  // vtpm: the hardware lane's edge
  'vtpm.tpm_in_use': {
    status: 409,
    title: 'Another broker holds this TPM',
    hint: 'One broker owns a TPM; stop the other, or give this one a TPM of its own.',
  },
  'vtpm.tpm_shared': {
    status: 400,
    title: 'This address does not give the TPM to the broker alone',
    hint: 'Use device:/dev/tpm0 (not /dev/tpmrm0) or swtpm:path=/absolute/socket.',
  },
  'vtpm.tpm_not_started': {
    status: 503,
    title: 'The TPM was reset and nobody has started it',
    hint: 'Firmware does this with TPM2_Startup; the broker never does, since PCRs could then be made up. Reboot the node.',
  },
  'vtpm.tpm_lost': {
    status: 503,
    title: 'The TPM was lost while it worked on a command',
    hint: 'Whether the command was done is unknown; look before repeating it. The broker reconnects by itself.',
  },
  'vtpm.lane_busy': {
    status: 503,
    title: 'Too many commands of this tenant wait for the TPM',
    hint: 'Wait for answers before sending more.',
  },
  'vtpm.lane_cancelled': {
    status: 409,
    title: 'The tenant called its waiting commands off',
    hint: 'None of them reached the TPM; send again what is still wanted.',
  },
  'vtpm.lane_closed': {
    status: 503,
    title: 'The broker is stopping',
    hint: 'Connect again when it is back.',
  },
  // vtpm/lane: what is refused, for the audit log; the tenant gets a TPM return code
  'vtpm.tenant_config': {
    status: 400,
    title: 'A tenant of the lane cannot be set up as configured',
    hint: 'Names are unique, ranges of NV indices and persistent handles do not overlap; the message says which it is.',
  },
  'vtpm.malformed': {
    status: 400,
    title: 'A TPM command cannot be split into its parts',
    hint: 'The software that made it is at fault; nothing of it reached the TPM.',
  },
  'vtpm.command_unknown': {
    status: 403,
    title: 'A TPM command that is not in the table of the lane',
    hint: 'Commands of vendors and of later revisions are refused until the table names them.',
  },
  'vtpm.command_of_owner': {
    status: 403,
    title: "A TPM command that belongs to the machine's owner or firmware",
    hint: 'It would change or destroy what all tenants rely on. Stop the broker and use the TPM directly, if that is meant.',
  },
  'vtpm.command_measures': {
    status: 403,
    title: 'A TPM command that would change PCRs',
    hint: 'PCRs say what booted; a guest has its own in its own TPM.',
  },
  'vtpm.command_shares_state': {
    status: 403,
    title: 'A TPM command whose state all tenants would share',
    hint: 'Use another command; no tenant of any class may send this one.',
  },
  'vtpm.command_of_node': {
    status: 403,
    title: 'A TPM command that speaks for the node',
    hint: 'Apps are certified by the node through the key service: attest with your nonce there.',
  },
  'vtpm.command_makes_primary': {
    status: 403,
    title: 'Apps make no primary keys',
    hint: 'Two tenants with one template would get one key. Create keys under your own parent, 0x81000001.',
  },
  'vtpm.hierarchy_denied': {
    status: 403,
    title: 'A hierarchy that this tenant may not use',
    hint: 'Apps authorise with their own objects, and with the owner hierarchy for NV indices of their range only.',
  },
  'vtpm.not_own': {
    status: 403,
    title: "A handle that is not the tenant's own",
    hint: 'Objects and sessions belong to the tenant that made them and end with a reset of the TPM; NV indices and persistent handles have configured ranges.',
  },
  'vtpm.lockout_risk': {
    status: 403,
    title: 'An object or NV index without noDA',
    hint: 'Set noDA (tpm2_create -a "…|noda", tpm2_nvdefine -a "…|no_da"): wrong guesses would lock the TPM for everybody.',
  },
  'vtpm.nv_range': {
    status: 403,
    title: "An NV index outside the tenant's range",
    hint: "Define indices within the range that the broker's configuration gives this tenant.",
  },
  'vtpm.nv_attributes': {
    status: 403,
    title: 'NV attributes that tenants may not set',
    hint: 'Leave out ppwrite, ppread, platformcreate, policydelete, globallock and orderly; PIN indices are refused as well.',
  },
  'vtpm.nv_quota': {
    status: 403,
    title: 'The NV quota of the tenant is used up',
    hint: "Undefine an index, or raise nvBytes in the broker's configuration; each index counts 128 bytes beside its data.",
  },
  'vtpm.nv_rate': {
    status: 429,
    title: 'The tenant has written to NV memory too often',
    hint: "NV memory wears and belongs to all: write less often, or raise quota.nvWritesPerHour. What changes often belongs on the tenant's disk, sealed.",
  },
  'vtpm.session_quota': {
    status: 403,
    title: 'The session quota of the tenant is used up',
    hint: "Flush sessions (tpm2_flushcontext -l, -s), or raise sessions in the broker's configuration.",
  },
  'vtpm.context_foreign': {
    status: 403,
    title: 'A saved context that was not saved for this tenant, or was used before',
    hint: 'Contexts are good for the tenant that saved them; a session context is good once.',
  },
  'vtpm.self_test_denied': {
    status: 403,
    title: "A full self-test is for the machine's owner",
    hint: 'Test without fullTest: that tests what was not tested since power-on.',
  },
  'vtpm.capability_denied': {
    status: 403,
    title: 'A capability that the lane does not pass on',
    hint: 'Only the capabilities of the TPM library specification are answered.',
  },
  'vtpm.control_denied': {
    status: 403,
    title: 'This control command is not for tenants',
    hint: 'A tenant may ask for capabilities, set locality 0 and cancel; resets, hashes, states and keys are not to be had here.',
  },
  'vtpm.socket': {
    status: 500,
    title: "A tenant's socket cannot be made",
    hint: 'The message says why; the directory must belong to the broker, and its path must be short (108 bytes in all).',
  },
  'vtpm.socket_in_use': {
    status: 409,
    title: 'Another broker serves this socket directory',
    hint: 'Stop it, or give this broker a runDir of its own.',
  },
  'vtpm.lane_key': {
    status: 500,
    title: "The lane's key file cannot be used",
    hint: 'Remove it: contexts that tenants saved are void then, as after a reset of the TPM, and nothing else is lost.',
  },
  'vtpm.audit_in_use': {
    status: 409,
    title: 'Another broker writes this audit log',
    hint: 'Stop it, or give this broker a stateDir of its own.',
  },
  'vtpm.audit_full': {
    status: 503,
    title: 'The audit log cannot be written',
    hint: 'Commands that have to be written down are refused until there is room on the disk of the state directory.',
  },
  'vtpm.audit_damaged': {
    status: 409,
    title: 'The audit log was changed after it was written',
    hint: 'The message names the first entry that does not fit; entries before it are as they were written.',
  },
  'vtpm.audit_forged': {
    status: 409,
    title: 'A checkpoint of the audit log is not by a broker of this node',
    hint: 'Somebody who could write to the disk has made entries; what earlier checkpoints vouch for is as it was written. Look at who had the disk.',
  },
  'vtpm.audit_truncated': {
    status: 409,
    title: 'The audit log lacks entries that were written',
    hint: 'Its end or a whole file is gone; compare with the head that was noted elsewhere.',
  },
  // vtpm: linked evidence
  'link.not_running': {
    status: 409,
    title: 'The ledger does not have this guest as running',
    hint: "Start the guest by its broker: a TPM that the broker did not start is nobody's.",
  },
  'link.rate': {
    status: 429,
    title: 'The guest asks for links too often',
    hint: 'Attest every few minutes; the hardware signs once a second for one guest in the long run.',
  },
  'link.busy': {
    status: 503,
    title: 'Too many guests wait for a link',
    hint: 'Attest without one, or again in a few seconds.',
  },
  'link.unavailable': {
    status: 503,
    title: 'The host cannot quote now',
    hint: "The node must be enrolled and its TPM must answer; the broker's log says what is wrong.",
  },
  // store
  'store.newer': {
    status: 500,
    title: 'The database was made by a newer Touchstone',
    hint: 'Run the version that made it, or restore a backup from before the update.',
  },
  'store.busy': {
    status: 503,
    title: 'The database is held by another process',
    hint: 'Try again; if it stays so, find the process that holds the database file open.',
  },
  'store.full': {
    status: 503,
    title: 'The disk of the database is full',
    hint: 'Make room on the disk that holds the data directory; nothing that was acknowledged is lost.',
  },
  'store.damaged': {
    status: 500,
    title: 'The database file is damaged or is not a database',
    hint: 'Stop the verifier, keep the file, and restore the last backup of the data directory.',
  },
  'store.settings': {
    status: 500,
    title: 'The database did not take the settings that make it durable',
    hint: 'Keep the data directory on a local file system that supports shared memory and locks.',
  },
  'store.row': {
    status: 500,
    title: 'A row of the database is not what this version writes',
    hint: 'The message names table and column; restore the row from a backup, or report the fault.',
  },
  // eventlog: reading logs
  'eventlog.empty': {
    status: 400,
    title: 'The event log is empty',
    hint: 'Read it from /sys/kernel/security/tpm0/binary_bios_measurements as root; without a TPM the kernel has none.',
  },
  'eventlog.header': {
    status: 400,
    title: 'The header of the event log contradicts itself',
    hint: 'An algorithm is declared twice, or with a size that it does not have; the file is damaged or forged.',
  },
  'eventlog.digests': {
    status: 400,
    title: 'An event has digests that the header of the log does not declare',
    hint: 'Each event carries one digest of each declared algorithm; the file is damaged or forged.',
  },
  'eventlog.bank_missing': {
    status: 422,
    title: 'The log has no digests of the bank that was asked for',
    hint: 'Choose a bank that the log declares, or enable the bank in the firmware of the node.',
  },
  'eventlog.not_comparable': {
    status: 422,
    title: 'The two logs have nothing in common by which they could be compared',
    hint: 'Both must be logs of PCRs, or both of RTMRs, and have a bank in common: SHA-256, 384, 512 or 1.',
  },
  'eventlog.format': {
    status: 400,
    title: 'The file is not an event log that a boot can be judged by',
    hint: 'Send binary_bios_measurements, or the same log as a Canonical Event Log; other logs can be looked at with log show.',
  },
  'eventlog.registers': {
    status: 400,
    title: 'A log names registers of two kinds of machine',
    hint: 'PCRs are of a TPM and RTMRs of a confidential guest; keep their logs in files of their own.',
  },
  // eventlog: findings on a log that was read to its end
  'eventlog.padding': {
    status: 422,
    title: 'The log is padded to its end',
    hint: 'Nothing to do: the padding is not part of any event.',
  },
  'eventlog.algorithm_unknown': {
    status: 422,
    title: 'The log has a bank of an algorithm that is not known here',
    hint: 'Nothing to do: its digests are skipped, the other banks are judged.',
  },
  'eventlog.container_size': {
    status: 422,
    title: 'A container states another size than its file has',
    hint: 'The file was cut or padded; compare it with the source. Its events were read to the end that it states.',
  },
  'eventlog.userspace_log': {
    status: 422,
    title: 'The log has the measurements of the running system alone',
    hint: 'Look at it beside the log of the firmware: the registers begin where that one ends.',
  },
  'eventlog.coreboot': {
    status: 422,
    title: 'coreboot wrote the log',
    hint: 'Nothing to do: its registers have other meanings than those of UEFI, and its payloads are names.',
  },
  'eventlog.digest_length': {
    status: 422,
    title: 'A digest of another size was extended into a bank',
    hint: 'coreboot does so with the flags and the hardware id of vboot; the value is cut or filled with zeros.',
  },
  'eventlog.launch_wiped': {
    status: 422,
    title: 'Events of a launch register come before the launch that sets it back',
    hint: 'No register vouches for them; keep one log for each launch, or treat the log as forged.',
  },
  'eventlog.nv_index': {
    status: 422,
    title: 'Events extend NV indices instead of registers',
    hint: 'Nothing to do: quotes do not cover NV indices, so these events prove nothing here.',
  },
  'eventlog.record_order': {
    status: 422,
    title: 'The numbers of records contradict their order',
    hint: 'The log was rearranged or put together from two; take it from the node again.',
  },
  'eventlog.record_gap': {
    status: 422,
    title: 'Records are missing by their numbers',
    hint: 'The log is a part of a longer one; registers that the missing records extend will not match.',
  },
  'eventlog.header_digest': {
    status: 422,
    title: 'The Spec-ID event has a digest',
    hint: 'It must be all zero, since the event is not measured; the log is damaged or forged.',
  },
  'eventlog.header_repeated': {
    status: 422,
    title: 'The log has a second header',
    hint: 'Two logs were put together; registers match only if the second one continues the first. Take one log of one boot.',
  },
  'eventlog.header_size': {
    status: 422,
    title: 'The header of the log states a size that leaves out a part of it',
    hint: 'The events were read from where the header really ends; if the firmware writes such logs, judge with log.structure: tolerant.',
  },
  'eventlog.header_register': {
    status: 422,
    title: 'The Spec-ID event names a register other than 0',
    hint: 'Only logs of a confidential guest (CCEL) do, and this is not one; the log is damaged or forged.',
  },
  'eventlog.digest_missing': {
    status: 422,
    title: 'An event lacks the digest of a declared bank',
    hint: 'Firmware that does so leaves the bank unprovable; update it, or judge another bank.',
  },
  'eventlog.register_range': {
    status: 422,
    title: 'An event names a register that does not exist',
    hint: 'It cannot have been measured; the log is damaged or forged.',
  },
  'eventlog.startup_locality': {
    status: 422,
    title: 'The startup locality is said more than once, too late, or as an impossible value',
    hint: 'PCR 0 begins with it; the log is damaged or forged.',
  },
  'eventlog.payload_mismatch': {
    status: 422,
    title: 'The payload of an event is not what was measured',
    hint: 'The log was edited, or the firmware logs something else than it measures; compare with a log of the same model.',
  },
  'eventlog.payload_malformed': {
    status: 422,
    title: 'A measured payload is not what its event type must carry',
    hint: 'The type is not measured and may have been changed; compare with a log of the same model.',
  },
  'eventlog.type_unknown': {
    status: 422,
    title: 'An event has a type that is not known here',
    hint: 'Vendors have types of their own; allow it by policy only if you know what it measures.',
  },
  'eventlog.type_disguised': {
    status: 422,
    title: 'An event says that it is something else than its digest proves',
    hint: 'The type was changed to hide what was measured; treat the log as forged.',
  },
  'eventlog.type_register': {
    status: 422,
    title: 'An event is in a register where its type does not belong',
    hint: 'Compare with a log of the same model; where the digest vouches for the content, the type was changed.',
  },
  'eventlog.event_unread': {
    status: 422,
    title: 'A register whose every event is known has one that nothing explains',
    hint: 'The event was changed to hide what was measured; treat the log as forged.',
  },
  'eventlog.ima_register': {
    status: 422,
    title: 'The log of the firmware has events of the register that belongs to IMA',
    hint: 'Entries of the IMA log may be hidden there; treat the log as forged.',
  },
  'eventlog.userspace_cut': {
    status: 422,
    title: 'The log of systemd ends inside a record',
    hint: 'systemd extends first and writes then, so the lost record is of something that was measured. Copy the file again; if it is cut on the node, only a reboot gives TPM and log a common beginning.',
  },
  'eventlog.userspace_register': {
    status: 422,
    title: 'The log of systemd has records of a register that belongs to the firmware',
    hint: 'systemd measures nothing but its separator there: what was measured is hidden behind another name; treat the log as forged.',
  },
  'eventlog.digest_short': {
    status: 422,
    title: 'A digest leaves the last byte of its payload out',
    hint: 'Old versions of shim do so; update it when you can.',
  },
  'eventlog.firmware_error': {
    status: 422,
    title: 'The firmware closed a register with its error separator',
    hint: 'A measurement failed in the firmware; look at its own log, and update it.',
  },
  'eventlog.hcrtm_late': {
    status: 422,
    title: 'An H-CRTM event comes after PCR 0 was extended',
    hint: 'It can only be first; the log is damaged or forged.',
  },
  'eventlog.variable_repeated': {
    status: 422,
    title: 'A Secure Boot variable was measured twice as configuration',
    hint: 'Each is measured once; the second may hide the first. Compare with a log of the same model.',
  },
  'eventlog.variable_late': {
    status: 422,
    title: 'A variable was measured as configuration after the separator of PCR 7',
    hint: 'The firmware measures its configuration before it; whatever comes later may be of the operating system.',
  },
  'eventlog.variable_vendor': {
    status: 422,
    title: 'A variable has the name of a Secure Boot variable and another vendor',
    hint: 'Nothing to do: it does not count as the Secure Boot variable.',
  },
  'eventlog.variable_missing': {
    status: 422,
    title: 'The firmware did not measure one of the Secure Boot variables',
    hint: 'Its value is unknown, so rules on it fail; update the firmware.',
  },
  'eventlog.boot_variable': {
    status: 422,
    title: 'A boot variable has a name that its event cannot have',
    hint: 'The name is not measured and was changed, or the boot order does not have this option. A mere warning is of a name that is measured: a variable of the vendor’s own.',
  },
  'eventlog.separator_missing': {
    status: 422,
    title: 'The firmware did not close a register with a separator',
    hint: 'What was measured later may be of the firmware or not; update the firmware.',
  },
  'eventlog.separator_repeated': {
    status: 422,
    title: 'A register has more than one separator',
    hint: 'Only the first one closes the part of the firmware.',
  },
  'eventlog.crtm_version_missing': {
    status: 422,
    title: 'The log has no version of the root of trust for measurement',
    hint: 'Rules on the firmware version fail; update the firmware.',
  },
  'eventlog.pre_os_event': {
    status: 422,
    title: 'The firmware measured into a register of the operating system',
    hint: 'Compare with a log of the same model.',
  },
  'eventlog.exit_boot_services_missing': {
    status: 422,
    title: 'The log does not have ExitBootServices',
    hint: 'Some firmware leaves it out; then the log does not prove that its last image was the one that booted.',
  },
  'eventlog.ima_template': {
    status: 422,
    title: 'An entry of the IMA log is not what its template says',
    hint: 'The name of the template is not measured and may have been changed, or the kernel is newer than this program.',
  },
  'eventlog.ima_digest': {
    status: 422,
    title: 'The digest that the IMA log records is not that of the entry',
    hint: 'The log was edited; in banks other than SHA-1 the digest is computed and this one is not used.',
  },
  'eventlog.ima_violation': {
    status: 422,
    title: 'IMA recorded a violation',
    hint: 'A file was written while it was measured, so its content is not proven; look at the entry.',
  },
  // swtpm: the stand-in hardware
  'standin.tool': {
    status: 500,
    title: 'A program that makes the stand-in hardware failed',
    hint: 'The message has what it said; scripts/setup installs swtpm, swtpm-tools and openssl.',
  },
  'standin.state': {
    status: 409,
    title: 'The stand-in is not in the state that this needs',
    hint: 'Manufacture a box once, in a directory of its own; start it before measuring, stop it before starting again.',
  },
  'standin.boot': {
    status: 400,
    title: 'A recorded boot cannot be replayed into a TPM',
    hint: 'Give the name of a folder of swtpm/boots, or a directory with eventlog.bin and, optionally, ima.bin and pcrs.json.',
  },
  'standin.pcrs': {
    status: 500,
    title: 'After the replay the PCRs are not those of the recorded machine',
    hint: 'The logs and pcrs.json must be of one boot, and the log must have every bank of the TPM.',
  },

  // agent: the node's own side
  'agent.config': {
    status: 400,
    title: "The node agent's configuration cannot be used",
    hint: 'The message lists every fault at once; docs/configuration.md has every key. Set model and serial where DMI has none.',
  },
  'agent.locked': {
    status: 409,
    title: 'Another agent uses this state directory',
    hint: 'One node has one agent: stop the other, or give this one a directory of its own.',
  },
  'agent.state': {
    status: 500,
    title: 'The state directory cannot be used',
    hint: 'Check that it exists, belongs to the agent, and that the disk is neither full nor read-only.',
  },
  'agent.log': {
    status: 500,
    title: 'A measurement log of this node cannot be read',
    hint: 'The agent must run as a user that may read securityfs; without the log nothing can be proven.',
  },
  'agent.not_running': {
    status: 503,
    title: 'No agent runs on this state directory',
    hint: 'Start it with `touchstone node run --config …`.',
  },
  'agent.not_enrolled': {
    status: 409,
    title: 'This node has not been admitted yet',
    hint: 'Let `touchstone node run` finish onboarding first; its status says what it waits for.',
  },
  'agent.unreachable': {
    status: 503,
    title: 'The verifier cannot be reached',
    hint: 'Check the network and the address of the verifier. The agent keeps trying by itself.',
  },
  'agent.verifier_untrusted': {
    status: 502,
    title: 'Who answers is not the verifier that this node trusts',
    hint: 'Compare the trust anchor in the configuration with the root of the verifier; something may stand in between.',
  },
  'agent.answer_unsigned': {
    status: 502,
    title: "An answer does not carry the verifier's signature",
    hint: 'A proxy may have changed the answer, or the address is not that of a verifier.',
  },
  'agent.answer': {
    status: 502,
    title: 'An answer is not what the protocol says',
    hint: 'Agent and verifier may be of different versions.',
  },
  'agent.refused': {
    status: 403,
    title: 'The verifier refused the node',
    hint: "The message is the verifier's; its operator can see why under the same request id.",
  },

  // broker: the process on the node
  'broker.config': {
    status: 400,
    title: "The broker's configuration cannot be used",
    hint: 'The message lists every fault at once; docs/configuration.md has every key.',
  },
  'broker.locked': {
    status: 409,
    title: 'Another broker works on this state directory',
    hint: 'Two brokers on one TPM would undo each other. Stop the other one first.',
  },
  'broker.agent': {
    status: 503,
    title: 'The node agent beside the broker does not answer',
    hint: "Start it with `touchstone node run`; `agent` in the broker's configuration names its state directory.",
  },
  'broker.not_ready': {
    status: 503,
    title: "The broker's secrets are not open yet",
    hint: '`touchstone broker status` says what it waits for; the hardware lane serves the agent meanwhile.',
  },
  'broker.stopping': {
    status: 503,
    title: 'The broker stops',
    hint: 'Ask again when it runs; guests go on meanwhile.',
  },
  'broker.failed': {
    status: 500,
    title: 'The broker failed at something that it did not expect',
    hint: 'It goes on trying, and its log has the cause. A full or read-only disk below stateDir or runDir is the usual one.',
  },
  'broker.unreachable': {
    status: 503,
    title: 'The broker does not answer on its socket',
    hint: 'Start it with `touchstone broker run --config F`, and name its socket with --socket or TOUCHSTONE_BROKER.',
  },
  'broker.verifier': {
    status: 409,
    title: 'The agent talks to another verifier than the one that is configured',
    hint: 'Whatever the broker obtains comes from there. Correct verifier in the configuration of the agent, or of the broker.',
  },

  // vtpm: the hardware roots
  'vtpm.sealed_elsewhere': {
    status: 409,
    title: 'This was sealed by another TPM, or by this one before it was cleared',
    hint: 'Nothing was changed. Put the right TPM or board back; otherwise move the state directory aside and restore the guests from escrow.',
  },
  'vtpm.storage_root_taken': {
    status: 409,
    title: 'Another key is where the storage root should be',
    hint: 'See what uses handle 0x81010050 (tpm2_readpublic), and remove it with tpm2_evictcontrol if nothing does.',
  },
  'vtpm.owner_auth': {
    status: 409,
    title: "The TPM's owner has an authorisation value",
    hint: 'The first start of the broker needs it to be empty: tpm2_changeauth -c owner -p OLD; set it again afterwards if you must.',
  },
  'vtpm.counter_taken': {
    status: 409,
    title: 'Another NV index is where a counter should be',
    hint: 'See what uses the index that the message names (tpm2_nvreadpublic), and undefine it if nothing does.',
  },
  'vtpm.counter_missing': {
    status: 409,
    title: 'A counter of this node is gone from the TPM',
    hint: 'Somebody undefined it, so what it protected cannot be told from an older copy. Restore the guests from escrow.',
  },
  'vtpm.hardware_state': {
    status: 500,
    title: 'A file of the hardware roots is missing or damaged',
    hint: 'Nothing was changed. Put the file back from a backup; otherwise move the state directory aside and restore the guests from escrow.',
  },
  'vtpm.release_key_changed': {
    status: 409,
    title: 'What this node sealed is bound to another release key',
    hint: 'Configure the release key that was used at the first start; a new one needs a fresh state directory and escrow.',
  },
  'vtpm.release_missing': {
    status: 409,
    title: 'There is no release for this node',
    hint: 'Ask the verifier for one (touchstone release approve NODE), or sign one with touchstone release sign, and put it into releases in the state directory.',
  },
  'vtpm.release_not_satisfied': {
    status: 403,
    title: 'No release allows what this node has booted',
    hint: 'Boot what was released, or sign a release for these registers; the message says what each release wanted.',
  },
  'vtpm.release_ahead': {
    status: 400,
    title: 'The number of a release is too far ahead of the release counter',
    hint: 'Count on from the value of the counter: each step is a write to NV memory that wears.',
  },
  'vtpm.locked': {
    status: 503,
    title: 'The node secret is not unsealed',
    hint: 'The broker unseals it at its start, when a release allows this boot; see its log.',
  },
  'vtpm.transport_peer': {
    status: 400,
    title: 'This is no public key to agree with',
    hint: 'Give a P-256 key as DER SubjectPublicKeyInfo.',
  },
  'vtpm.node_key': {
    status: 409,
    title: "The node's attestation key cannot be loaded",
    hint: 'Its EK template or its blobs are not those of this TPM; start the node agent first, or let it enrol again.',
  },
  // vtpm: the ledger
  'ledger.missing': {
    status: 500,
    title: 'The ledger is gone, and guests are still there',
    hint: 'Put the newest copy of the file back. Without one, move what is in guests/ to quarantine/, start, and restore each guest with a grant.',
  },
  'ledger.damaged': {
    status: 500,
    title: 'The ledger is not as this broker wrote it',
    hint: 'Put the newest copy of the file back; a ledger of another node, or one from before a new node secret, is refused too.',
  },
  'ledger.rolled_back': {
    status: 409,
    title: 'The ledger is older than the hardware counter says',
    hint: 'Put the newest copy back. Without one, remove it, move what is in guests/ to quarantine/, start, and restore each guest with a grant.',
  },
  'ledger.ahead': {
    status: 409,
    title: 'The ledger is newer than the hardware counter says',
    hint: 'The counter is of another TPM, or the TPM was cleared: bring the TPM back, or restore each guest from its backup with a grant.',
  },
  'ledger.unavailable': {
    status: 503,
    title: 'The ledger cannot be anchored now',
    hint: 'The message says whether disk or TPM failed. Running guests go on; try again when it is repaired, then look with touchstone vtpm list.',
  },
  'ledger.full': {
    status: 409,
    title: 'The ledger has no room for another guest',
    hint: 'A node keeps 4096 guests, deleted ones included, because their generations must never come back.',
  },
  // vtpm: guests
  'guest.id': {
    status: 400,
    title: 'This is not the id of a guest',
    hint: 'Use a UUID in lower case, such as touchstone vtpm list shows.',
  },
  'guest.unknown': {
    status: 404,
    title: 'There is no such guest on this node',
    hint: 'See what there is with touchstone vtpm list; make it with touchstone vtpm create.',
  },
  'guest.exists': {
    status: 409,
    title: 'There is a guest of this id on this node already',
    hint: 'Start it with touchstone vtpm start, or take another id.',
  },
  'guest.retired': {
    status: 409,
    title: 'This guest was deleted here, or has moved to another node',
    hint: 'Its generations never come back by themselves; bring it back with touchstone vtpm import or restore, and a grant.',
  },
  'guest.running': {
    status: 409,
    title: 'The guest runs',
    hint: 'Stop it first with touchstone vtpm stop.',
  },
  'guest.not_running': {
    status: 409,
    title: 'The guest does not run',
    hint: 'Start it with touchstone vtpm start; touchstone vtpm describe says how it ended.',
  },
  'guest.state_missing': {
    status: 409,
    title: "The guest's state is not where it should be",
    hint: 'Put the directory back, or see with touchstone vtpm describe what can be restored.',
  },
  'guest.state_damaged': {
    status: 409,
    title: "The guest's state is not authentic",
    hint: 'It was put into quarantine. touchstone vtpm describe lists what can be restored, with a grant.',
  },
  'guest.state_rolled_back': {
    status: 409,
    title: "The guest's state is genuine but older than its last stop",
    hint: 'It was put into quarantine. Put the newest copy back, or restore an older one with a grant: touchstone vtpm describe lists them.',
  },
  'guest.state_foreign': {
    status: 409,
    title: "The guest's state or key is that of another guest",
    hint: 'Directories were mixed up; it was put into quarantine. Put the right one back.',
  },
  'guest.died': {
    status: 503,
    title: "The guest's TPM ended while it was in use",
    hint: 'Power the guest off, then start its TPM and the guest again: a new TPM under a running guest would have empty PCRs.',
  },
  'guest.superseded': {
    status: 409,
    title: 'Another state of this guest took its place',
    hint: 'It was kept in quarantine, and can be restored with a grant.',
  },
  'guest.certificate_wrong': {
    status: 502,
    title: "The EK certificate that was issued is not for the guest's EK",
    hint: 'It is asked for again; if it stays so, the verifier mixes guests up.',
  },
  'guest.certificate_pending': {
    status: 409,
    title: 'The guest has no EK certificate yet, and must not start without one',
    hint: 'Place it with touchstone place GUEST NODE and see that the verifier is reachable; it is asked for again by itself.',
  },
  'guest.grant_needed': {
    status: 403,
    title: 'This needs a grant of the verifier',
    hint: 'Get one with touchstone placement restore GUEST NODE --digest D --generation N, and name its file with --grant.',
  },
  'guest.grant_rejected': {
    status: 403,
    title: 'The grant does not allow this',
    hint: 'The message says what differs; ask for a grant for this guest, this state and this node.',
  },
  'guest.backup_invalid': {
    status: 400,
    title: 'This backup or package cannot be used',
    hint: 'It is damaged, or of another guest; the message says which part does not fit.',
  },
  'guest.key_locked': {
    status: 409,
    title: "The guest's key cannot be opened on this node",
    hint: 'Have it wrapped for this node: touchstone recovery rewrap --to with the transport key that touchstone vtpm node shows.',
  },
  'guest.wrap': {
    status: 403,
    title: 'A wrapped key does not open',
    hint: 'It was wrapped for another key, for another guest, or was changed.',
  },
  'guest.no_recovery_key': {
    status: 409,
    title: 'The broker knows no recovery key',
    hint: 'Set recoveryKey in its configuration to the public half that touchstone recovery create wrote.',
  },
  'guest.storage': {
    status: 503,
    title: "A guest's files cannot be written or read",
    hint: 'The message says why; look at the disk of the state directory. The last good state was left alone.',
  },

  // vtpm/guest/instance: the processes that are guests' TPMs
  'guest.attached': {
    status: 409,
    title: 'A virtual machine holds this TPM',
    hint: 'Stop the virtual machine first, or force it: its TPM will fail every command from then on.',
  },
  'guest.busy': {
    status: 503,
    title: "The guest's TPM did not answer in time",
    hint: 'A client holds its data socket, or a long command runs; end that client, or try again later.',
  },
  'guest.swtpm': {
    status: 503,
    title: "A guest's TPM could not be started",
    hint: 'The message says why. swtpm 0.7 or newer and prlimit (util-linux) must be in PATH.',
  },
  'guest.path': {
    status: 500,
    title: "A directory of the guests' TPMs cannot be used",
    hint: 'Use short absolute paths, and let the users of the guests pass through every directory above (mode 0711).',
  },
  'guest.control_unavailable': {
    status: 500,
    title: 'This Node cannot pass descriptors, so the control channel of a virtual machine cannot be filtered',
    hint: 'Use the Node that Touchstone ships with, or accept what docs/adr/0011 says with guests.control: direct.',
  },
  'guest.keeper': {
    status: 503,
    title: "The process that serves the guests' control sockets cannot be talked to",
    hint: 'The message says why. Guests go on; the broker tries again by itself. See docs/adr/0015 before you end that process.',
  },
  'control.refused': {
    status: 403,
    title: "A guest's control channel does not carry this command",
    hint: 'State and power belong to the broker: use touchstone vtpm. This is in the audit log.',
  },
  'control.sequence': {
    status: 409,
    title: 'A control command came outside the reset of a virtual machine',
    hint: 'A TPM is initialised only as part of a reset. This is in the audit log.',
  },
  'control.malformed': {
    status: 400,
    title: 'Bytes on a control channel are no command of it',
    hint: 'The connection was closed. This is in the audit log.',
  },
  'control.busy': {
    status: 409,
    title: "Another client holds the guest's control channel",
    hint: 'A TPM belongs to one virtual machine at a time. This is in the audit log.',
  },
  'control.missed': {
    status: 429,
    title: "More commands were refused on a guest's control channel than were written down one by one",
    hint: 'The entry says how many. Whoever sends them is broken or hostile: look at the entries before it.',
  },

  // ca: keys, certificates
  'ca.pem_empty': {
    status: 400,
    title: 'The text holds no PEM certificate',
    hint: 'Give a file with at least one BEGIN CERTIFICATE block.',
  },
  'ca.ek_blank': {
    status: 400,
    title: 'The EK certificate is blank',
    hint: 'The NV index was never written; leave the certificate out, or ask the manufacturer for it.',
  },
  'ca.ek_tpm12': {
    status: 400,
    title: 'The certificate is of a TPM 1.2',
    hint: 'Its key is marked rsaesOaep and is no TPM 2.0 endorsement key; the machine needs a TPM 2.0.',
  },
  'ca.key_unsupported': {
    status: 400,
    title: 'The key cannot sign certificates',
    hint: 'Use a private key on P-256 or P-384.',
  },
  'ca.key_locked': {
    status: 400,
    title: 'The private key cannot be opened',
    hint: 'Check the passphrase file; a damaged key file looks the same.',
  },
  'ca.passphrase': {
    status: 400,
    title: 'The passphrase is empty',
    hint: 'Put a passphrase into the file; keys are never stored in the clear.',
  },
  'ca.key_mismatch': {
    status: 500,
    title: "The key is not the one in the issuer's certificate",
    hint: 'Key file and certificate of the authority do not belong together; restore the pair.',
  },
  'ca.issuer_expired': {
    status: 503,
    title: "The authority's certificate leaves no time to issue in",
    hint: 'Renew the issuing authority below its root.',
  },
  'ca.name': {
    status: 400,
    title: 'A name does not fit into a certificate',
    hint: 'The message says which; attributes have 1 to 64 characters, hosts are DNS names or IP addresses.',
  },

  // ca: path validation
  'path.algorithm': {
    status: 403,
    title: 'A certificate is signed with an algorithm that is not accepted',
    hint: 'SHA-1 needs an explicit option and is unsafe; MD5 is never accepted.',
  },
  'path.critical_extension': {
    status: 403,
    title: 'A certificate has a critical extension that is not understood',
    hint: 'Ignoring it is forbidden (RFC 5280 section 4.2); the message names its object identifier.',
  },
  'path.expired': {
    status: 403,
    title: 'A certificate has expired',
    hint: 'Renew it; for an EK certificate, policy may accept expiry as a warning.',
  },
  'path.extended_key_usage': {
    status: 403,
    title: 'A certificate is not for this purpose',
    hint: 'The expected purpose is given as an object identifier; use the certificate that was made for it.',
  },
  'path.key': {
    status: 403,
    title: "An issuer's key cannot be used",
    hint: 'Keys are RSA of 2048 bits and more, or on P-256, P-384 or P-521 by name.',
  },
  'path.key_usage': {
    status: 403,
    title: 'A certificate does not allow this use of its key',
    hint: 'An issuer needs keyCertSign, a signer digitalSignature.',
  },
  'path.length': {
    status: 403,
    title: 'A path is longer than one of its authorities allows',
    hint: 'The path length constraint of the named certificate forbids authorities below it.',
  },
  'path.malformed': {
    status: 403,
    title: 'A certificate of the path is malformed',
    hint: 'The message names field and offset; its issuer has to make a new one.',
  },
  'path.name_constraints': {
    status: 403,
    title: 'An authority is limited to certain names',
    hint: 'Name constraints are not evaluated, so such an authority is refused.',
  },
  'path.no_issuer': {
    status: 403,
    title: 'No issuer is known for a certificate',
    hint: 'Add the missing root, or the intermediate, to ekRoots; the expected name is given.',
  },
  'path.not_ca': {
    status: 403,
    title: 'A certificate was used as an authority that is none',
    hint: 'Its basic constraints do not say cA; the chain is wrong or forged.',
  },
  'path.not_yet_valid': {
    status: 403,
    title: 'A certificate is not valid yet',
    hint: 'Check the clock of this machine.',
  },
  'path.policy_constraints': {
    status: 403,
    title: 'An authority requires explicit policies',
    hint: 'Policy constraints are not evaluated, so such an authority is refused.',
  },
  'path.signature': {
    status: 403,
    title: "A certificate was not signed by its issuer's key",
    hint: 'The certificate was changed, or another authority has the same name.',
  },
  'path.too_complex': {
    status: 403,
    title: 'The search for a path was given up',
    hint: 'There are more certificates of one name, or more levels, than any genuine chain has.',
  },

  // ca: admission
  'ek.template': {
    status: 403,
    title: 'The endorsement key is not of a TCG template',
    hint: 'Activation proves only the private key; create the EK from its template and send that public area.',
  },
  'ek.no_certificate': {
    status: 403,
    title: 'The node has no EK certificate',
    hint: 'Admit such TPMs by manifest or by approval.',
  },
  'ek.key': {
    status: 403,
    title: 'The EK certificate is for another key',
    hint: 'Send the certificate that belongs to this EK.',
  },
  'ek.purpose': {
    status: 403,
    title: 'The certificate is not that of an endorsement key',
    hint: 'An EK certificate names the purpose 2.23.133.8.1 and is no authority.',
  },
  'ek.guest': {
    status: 403,
    title: "The endorsement key is that of a guest's vTPM",
    hint: 'A guest is no machine: it is placed on one (touchstone place GUEST NODE) and attests as a guest.',
  },
  'ek.validity': {
    status: 403,
    title: 'The dates of the EK certificate could not be judged',
    hint: 'There is no path to a known root; see the check ek.chain.',
  },
  'admission.ek': {
    status: 403,
    title: 'The endorsement key was not accepted',
    hint: 'The failed check names the reason.',
  },
  'admission.not_listed': {
    status: 403,
    title: 'The EK is not in the manifest',
    hint: 'Add the box with the SHA-256 of every EK of its TPM to the manifest.',
  },
  'admission.claim': {
    status: 403,
    title: 'Model or serial number are not those of the manifest',
    hint: 'Correct the configuration of the node, or the manifest.',
  },
  'admission.denied': {
    status: 403,
    title: 'An operator denied this node',
    hint: 'Ask the operator; the decision names EK, model and serial number.',
  },
  'admission.waiting': {
    status: 403,
    title: 'The node waits for an operator',
    hint: 'Approve or deny it; the node asks again by itself.',
  },
  'admission.open': {
    status: 403,
    title: 'Anybody is admitted',
    hint: 'Mode open is for laboratories; use manifest.',
  },
  'manifest.invalid': {
    status: 400,
    title: 'The manifest cannot be used',
    hint: 'The message names every fault and its place.',
  },

  // ca: enrolment
  'enrol.proof': {
    status: 403,
    title: 'The proof of the activated credential is wrong',
    hint: 'The node did not activate the credential in its TPM, or something was changed between the rounds.',
  },
  'enrol.key_attributes': {
    status: 403,
    title: 'A key has not the attributes that enrolment asks for',
    hint: 'Create the key anew with the expected attributes.',
  },
  'enrol.key_scheme': {
    status: 403,
    title: 'A key has not the algorithms that enrolment asks for',
    hint: 'Create the key anew, for example ECDSA on P-256 with SHA-256.',
  },
  'enrol.certification_magic': {
    status: 403,
    title: 'The certification was not made by a TPM',
    hint: 'The signed bytes do not begin with TPM_GENERATED_VALUE.',
  },
  'enrol.certification_type': {
    status: 403,
    title: 'The attestation is no certification of a key',
    hint: 'Send the result of TPM2_CertifyCreation.',
  },
  'enrol.certification_signer': {
    status: 403,
    title: 'Another key than the enrolled AK certified',
    hint: 'The qualified Name of the signer is not that of this AK below this EK.',
  },
  'enrol.certification_binding': {
    status: 403,
    title: 'The certification is not of this enrolment',
    hint: 'Its extraData must be the binding; tpm2_certify cannot set it, tpm2_certifycreation -q can.',
  },
  'enrol.certification_key': {
    status: 403,
    title: 'Another key was certified',
    hint: 'The certified Name is not that of the device key that was sent.',
  },
  'enrol.certification_clock': {
    status: 403,
    title: "The TPM's clock may have gone back",
    hint: 'After a power cut the clock is not safe until it was saved again; this is a warning.',
  },
  'enrol.boot': {
    status: 403,
    title: 'Certification and quote are not of one boot',
    hint: 'Make both in the same boot; the node was reset in between, or one of them is old.',
  },
  'enrol.request_key': {
    status: 403,
    title: 'The request is not for the certified device key',
    hint: 'Sign the PKCS#10 request with the device key itself.',
  },
  'enrol.request_attributes': {
    status: 403,
    title: 'The request asks for what no node is given',
    hint: 'The listed object identifiers may not be in a request.',
  },

  // ca: the gate
  'issue.unknown_node': {
    status: 404,
    title: 'There is no such node',
    hint: 'Enrol the node first.',
  },
  'issue.not_active': {
    status: 403,
    title: 'The node is not active',
    hint: 'An operator suspended or revoked it.',
  },
  'issue.no_verdict': {
    status: 403,
    title: 'The node has no verdict',
    hint: 'Attest first.',
  },
  'issue.verdict': {
    status: 403,
    title: "The node's newest verdict is not good enough",
    hint: 'See the failed checks of its last attestation.',
  },
  'issue.other_boot': {
    status: 403,
    title: 'The newest verdict is of another boot',
    hint: 'Attest in this boot first.',
  },
  'issue.other_ak': {
    status: 403,
    title: 'The newest verdict is by another attestation key',
    hint: 'Attest with the enrolled AK.',
  },
  'issue.verdict_stale': {
    status: 403,
    title: 'The newest verdict is too old',
    hint: 'Attest again, with the request in the evidence.',
  },
  'issue.malformed': {
    status: 400,
    title: 'What is asked for cannot be read',
    hint: 'The message names the field; node and verifier must speak of the same kind of request.',
  },
  'issue.not_placed': {
    status: 403,
    title: 'The guest is not placed on this node',
    hint: 'An operator decides where a guest runs: touchstone place GUEST NODE.',
  },
  'issue.other_tenant': {
    status: 403,
    title: 'The guest belongs to another tenant',
    hint: 'Start it for the tenant that its placement names, or place it again: touchstone place GUEST NODE --tenant T.',
  },
  'issue.generation': {
    status: 403,
    title: 'The guest is of a generation that is over, or out of reach',
    hint: 'Below the highest that has run or was granted, this is an older copy of its state; far above it, look at what runs on its host.',
  },
  'issue.guest_ek': {
    status: 403,
    title: "The guest's endorsement key is none that a vTPM has",
    hint: 'It must follow a TCG EK template in everything but its unique value.',
  },
  'issue.guest_ek_taken': {
    status: 403,
    title: 'The endorsement key belongs to somebody else',
    hint: 'One EK is one TPM: a guest may have neither the EK of a node nor that of another guest.',
  },
  'issue.guest_ek_changed': {
    status: 403,
    title: 'The guest has another endorsement key than before',
    hint: 'Its vTPM was made anew. If that is what you want: touchstone placement approve GUEST --ek SHA256.',
  },
  'issue.no_guest_ca': {
    status: 409,
    title: 'This verifier has no guest CA',
    hint: 'Its authority is older than guests. Make one below the same root: touchstone ca add-guest.',
  },
  'issue.app_key': {
    status: 403,
    title: 'The certification of the key does not hold',
    hint: "It must be by this node's AK, over the very key of the request, and the key must be fixed to its TPM.",
  },
  'issue.too_many': {
    status: 403,
    title: 'The node holds as many certificates for apps as it may',
    hint: 'Let old ones end, or raise limits.appKeysPerNode.',
  },
  'release.selection': {
    status: 400,
    title: 'The registers of a release are none that a policy can be bound to',
    hint: "One bank, sha256, with at least one register, all of them among those that the node's policy has quoted, and none fewer than its secrets were bound to before.",
  },
  'release.node_ref': {
    status: 403,
    title: 'The reference of the node is not that of its storage root',
    hint: 'It is SHA-256 over a label and the Name of the storage root.',
  },
  'release.node_ref_taken': {
    status: 403,
    title: 'Another node has this storage root',
    hint: 'Releases are signed for one storage root, and so for the node that named it first. If this is that TPM under another NodeId, clear it (TPM2_Clear) and enrol again; else look at what runs on this node.',
  },
  'release.node_ref_changed': {
    status: 403,
    title: 'The node has named another storage root since it enrolled',
    hint: 'A storage root changes when its TPM is cleared, and that ends the attestation key too. Enrol the node again if its TPM was cleared; else look at what runs on it.',
  },
  'release.counter': {
    status: 403,
    title: 'The release counter of the node cannot be what it says',
    hint: 'It moves to the number of a release only by a boot under that release. Hand in what was signed elsewhere (touchstone release approve NODE --signed FILE), or approve the registers that the node has now (--current).',
  },
  'release.proof_missing': {
    status: 403,
    title: 'The roots of the node are named, and not proven',
    hint: "The node's broker is older than this verifier. Update it: it has the node's attestation key certify what it names.",
  },
  'release.proof_magic': {
    status: 403,
    title: "What shall prove a node's roots was not made by a TPM",
    hint: 'A key signed other data. Look at what runs on the node.',
  },
  'release.proof_type': {
    status: 403,
    title: "What shall prove a node's roots is another kind of attestation",
    hint: 'Certify for the storage root, NV_Certify for the counter, CertifyCreation for the transport key; update the broker.',
  },
  'release.proof_scheme': {
    status: 403,
    title: "What shall prove a node's roots is signed by another scheme or hash than the AK's own",
    hint: 'Broker and agent must use the AK that is enrolled: restart the broker after an enrolment.',
  },
  'release.proof_signature': {
    status: 403,
    title: "What shall prove a node's roots is not signed by the AK of the node",
    hint: 'Restart the broker if the node was enrolled anew; else another TPM signed it, or it was changed on the way.',
  },
  'release.proof_signer': {
    status: 403,
    title: "What shall prove a node's roots was signed under another EK",
    hint: 'The AK must be the child of the EK that is enrolled. Enrol the node again if its TPM was cleared.',
  },
  'release.proof_binding': {
    status: 403,
    title: "What shall prove a node's roots was made for another request",
    hint: 'The broker makes it anew each time; a part of an earlier request was put in its place.',
  },
  'release.proof_clock': {
    status: 403,
    title: "What shall prove a node's roots is of another boot, or too old",
    hint: 'It is made in the boot of the quote and at most ten minutes before it; the broker tries again by itself.',
  },
  'release.storage_root_name': {
    status: 403,
    title: 'The storage root that was certified is not the one that is named',
    hint: 'Restart the broker. If it stays so, look at what runs on the node.',
  },
  'release.storage_root_template': {
    status: 403,
    title: 'The storage root is not of the template that all are made from',
    hint: 'Only a key whose children cannot leave their TPM counts: restricted, decrypt, fixedTPM, fixedParent, sensitiveDataOrigin, noDA, P-256 with AES-128. Look at what runs on the node.',
  },
  'release.storage_root_parent': {
    status: 403,
    title: "The storage root is not a primary key of the owner's hierarchy",
    hint: 'Its parent would decide what happens to its children. Look at what runs on the node.',
  },
  'release.counter_index': {
    status: 403,
    title: 'What was certified is not the release counter',
    hint: 'It is the NV counter 0x01805302 with AUTHREAD, AUTHWRITE and NO_DA, as the broker defines it at its first start; nothing that can be set back.',
  },
  'release.counter_contents': {
    status: 403,
    title: 'The release counter has not the value that is claimed',
    hint: 'The broker reads and certifies it for each request, and tries again by itself. If it stays so, look at what runs on the node.',
  },
  'release.transport_key_name': {
    status: 403,
    title: 'The transport key that was certified is not the one that is named',
    hint: 'Restart the broker. If it stays so, look at what runs on the node.',
  },
  'release.transport_key_template': {
    status: 403,
    title: 'The transport key is not of the template that all are made from',
    hint: 'Only a key that cannot leave its TPM and does nothing but agree counts. Look at what runs on the node.',
  },
  'release.transport_key_parent': {
    status: 403,
    title: 'The transport key was not made under the storage root',
    hint: 'Its creation data must be those that the TPM certified, and name the storage root. Look at what runs on the node.',
  },
  'release.unquoted': {
    status: 403,
    title: 'The registers of this boot are not known',
    hint: 'The logs do not replay to the quote, or a register is not quoted; see the failed checks.',
  },
  'release.offline': {
    status: 409,
    title: 'This verifier cannot sign releases',
    hint: 'The release key is kept offline: sign there with touchstone release sign, then hand in the file with touchstone release approve NODE --signed FILE.',
  },
  'release.no_roots': {
    status: 409,
    title: "Nothing is known of this node's storage root",
    hint: 'Its broker asks for a release at its first start; start it once, then approve.',
  },
  'release.number': {
    status: 409,
    title: 'The number of the release is taken or over',
    hint: 'Numbers only rise: leave --release out to take the next one.',
  },
  'grant.over': {
    status: 409,
    title: 'The grant does not count any more',
    hint: 'What it allowed was called off or has been done; touchstone placement list shows what is so now. Ask for a new grant (touchstone place, touchstone placement restore).',
  },
  'grant.malformed': {
    status: 400,
    title: 'This is no grant',
    hint: 'Hand in the whole token that the verifier answered, and nothing else.',
  },
  'grant.signature': {
    status: 403,
    title: "The grant was not signed by the fleet's grant key",
    hint: 'Ask the verifier that this node is enrolled with for a grant.',
  },
  'grant.expired': {
    status: 403,
    title: 'The grant is over',
    hint: 'Ask for another one, with the same command.',
  },
  'grant.destination': {
    status: 409,
    title: 'The destination is in no state to be given a guest',
    hint: 'It must be an active machine with a good verdict of this boot that is not stale; see touchstone describe node ID.',
  },
  'placement.not_found': {
    status: 404,
    title: 'There is no such placement',
    hint: 'List them with: touchstone placement list.',
  },
  'placement.state': {
    status: 409,
    title: 'The placement is in no state for that',
    hint: 'The message says why; look at it with: touchstone placement list.',
  },
  'issue.request_not_quoted': {
    status: 403,
    title: 'The quote does not cover this request',
    hint: 'Send the request along with the evidence, so that it is in the qualifying data.',
  },
  'issue.request_signature': {
    status: 403,
    title: 'The request is not signed by its key',
    hint: 'Sign the PKCS#10 request with the device key.',
  },
  'issue.other_key': {
    status: 403,
    title: 'The request is not by the enrolled device key',
    hint: 'Renew with the enrolled key, or enrol again.',
  },
  // attest: challenges
  'challenge.forged': {
    status: 403,
    title: 'The nonce was not issued by this verifier for this node, key, selection and purpose',
    hint: 'Ask for a new challenge and quote over exactly that.',
  },
  'challenge.expired': {
    status: 403,
    title: 'The nonce is older than 60 seconds',
    hint: 'Ask for a new challenge; if quoting takes that long, look at the TPM and at its other users.',
  },
  'challenge.future': {
    status: 403,
    title: 'The nonce was issued later than now',
    hint: 'The clocks of the verifier replicas differ by more than two seconds: synchronise them.',
  },
  // attest: policies
  'policy.invalid': {
    status: 400,
    title: 'The policy or reference document cannot be used',
    hint: 'Each line of the message is one fault with its line and column; policies/README.md has the fields.',
  },
  // attest: checks of the attestation key
  'ak.pem': {
    status: 400,
    title: 'The attestation key is no PEM public key',
    hint: 'Give the TPM2B_PUBLIC of the key, or a PEM that begins with BEGIN PUBLIC KEY.',
  },
  'ak.attributes': {
    status: 403,
    title: 'The attestation key is not a restricted signing key that was made in its TPM and stays there',
    hint: 'Such a key signs any bytes it is given, so its quotes prove nothing. Make an AK with tpm2_createak and enrol it.',
  },
  'ak.attributes_unseen': {
    status: 403,
    title: 'A PEM does not show whether the attestation key is restricted',
    hint: 'Give the TPM2B_PUBLIC of the key (ak.pub of tpm2_createak) instead of the PEM.',
  },
  'ak.qualified_name': {
    status: 403,
    title: 'The quote was not made by this key under this endorsement key',
    hint: 'The key is another one, its public area was changed, or it is no child of that EK. Compare with the enrolled ones.',
  },
  'ak.unknown': {
    status: 403,
    title: 'The attestation key is not enrolled',
    hint: 'Enrol the node; until then nobody knows whose TPM this is.',
  },
  'ak.revoked': {
    status: 403,
    title: 'The attestation key was revoked',
    hint: 'Find out why the node was revoked before it is enrolled again.',
  },
  // attest: checks of the quote
  'check.blocked': {
    status: 403,
    title: 'The check could not be made because an earlier one failed',
    hint: 'Repair what failed first; this one counts as failed until it can be made.',
  },
  'quote.magic': {
    status: 403,
    title: 'The signed structure was not made by a TPM',
    hint: 'Only an unrestricted key signs such bytes. Treat the sender as hostile, or check that the file is a TPMS_ATTEST.',
  },
  'quote.type': {
    status: 403,
    title: 'The signed structure is not a quote',
    hint: 'Another attestation (of an NV index, of a key) was passed as a quote. Send the output of TPM2_Quote.',
  },
  'quote.nonce': {
    status: 403,
    title: 'The quote does not carry the expected qualifying data',
    hint: 'It answers another challenge, or it is an old quote sent again. Quote over the challenge as it was given.',
  },
  'quote.selection': {
    status: 403,
    title: 'The quote covers other registers than were asked for',
    hint: 'Quote exactly the banks and registers of the challenge, in its order.',
  },
  'quote.clock': {
    status: 403,
    title: 'The clock of the TPM went backwards',
    hint: 'An old quote, another TPM, or a cleared one. After TPM2_Clear the node must be enrolled again.',
  },
  'quote.counters': {
    status: 403,
    title: 'The reset or restart counter of the TPM went backwards',
    hint: 'An old quote, another TPM, or a cleared one. After TPM2_Clear the node must be enrolled again.',
  },
  'quote.firmware_version': {
    status: 200,
    title: 'The firmware of the TPM changed since the last quote',
    hint: 'Expected after a TPM firmware update, and said once; otherwise ask who updated it.',
  },
  // attest: checks of what was measured
  'quote.digest': {
    status: 403,
    title: 'The logs do not replay to the values that the TPM signed',
    hint: 'The check names the registers. A log was edited or cut, or something was measured that no log records.',
  },
  'quote.digest_not_localised': {
    status: 403,
    title: 'The logs do not replay to the values that the TPM signed, and it cannot be said at which registers',
    hint: 'Send the PCR values along (--pcrs): believed only when they hash to the signed digest, they name the registers.',
  },
  'bank.unsupported': {
    status: 403,
    title: 'A quoted bank has a hash that cannot be replayed',
    hint: 'Ask for SHA-256, SHA-384, SHA-512 or SHA-1 banks.',
  },
  'bank.weak': {
    status: 200,
    title: 'The judged bank is SHA-1',
    hint: 'Collisions in SHA-1 are practical: enable the SHA-256 bank in the firmware setup and judge that.',
  },
  'bank.unmeasured': {
    status: 403,
    title: 'A PCR bank is enabled that the firmware did not measure into',
    hint: 'Anybody on the machine can extend it to any known-good value. Disable the bank, or update the firmware.',
  },
  'pcr.zero': {
    status: 403,
    title: 'A firmware register holds no measurement',
    hint: 'Firmware ends PCR 0 to 7 with a separator each; an empty one can be extended to anything. Check the firmware’s TPM settings.',
  },
  'pcr.unmeasured': {
    status: 403,
    title: 'Nothing was measured into a register that policy reads',
    hint: 'What was never measured is unverified, whatever the register holds. Take the rule out, or make the boot measure.',
  },
  'pcr.unquoted': {
    status: 403,
    title: 'A rule reads a register that the quote does not cover',
    hint: 'Ask for that register: widen the selection, or spec.pcrs of the policy.',
  },
  'log.structure': {
    status: 403,
    title: 'The firmware log breaks the rules of its format',
    hint: 'Look at it with touchstone log show. Where the machine’s firmware is to blame, policy can say structure: tolerant.',
  },
  'log.registers': {
    status: 403,
    title: 'The log is of RTMRs, not of PCRs',
    hint: 'A log of a confidential guest (CCEL) belongs with that guest’s own evidence, not with a TPM quote.',
  },
  'userspace.incomplete': {
    status: 403,
    title: 'The log of systemd does not account for what was measured after the firmware',
    hint: 'A record was cut out or changed, or something was extended that systemd did not log. On the node, ls -l /run/log/systemd/tpm2-measure.log: a T at the end of its mode says that systemd lost a record, and a reboot gives both a common beginning. If it happens again, whoever is root there hides what ran.',
  },
  'userspace.phase_missing': {
    status: 403,
    title: 'The TPM was extended by a boot phase that the log of systemd does not have',
    hint: 'The log is older than the quote: take both again, the log after the quote. If the log on the node (/run/log/systemd/tpm2-measure.log) lacks it too, somebody cut it out: reboot, and look into it if it happens again.',
  },
  'userspace.cut': {
    status: 403,
    title: 'The log of systemd ends inside a record, and what it has does not account for what was measured',
    hint: 'systemd extends first and writes then, so the lost record is of something that was measured. If the file on the node (/run/log/systemd/tpm2-measure.log) is whole, send it again; if it is cut there, reboot the node, and see that /run is not full.',
  },
  'userspace.bank': {
    status: 403,
    title: 'The log of systemd has no digests of the judged bank, so nothing that it says is proved',
    hint: 'Judge a bank that it has (spec.pcrs of the policy), or enable the judged bank before the system starts, so that systemd measures into it.',
  },
  'ima.missing': {
    status: 403,
    title: 'Policy requires an IMA log and none came',
    hint: 'Let the agent send the IMA log (imaLog, --ima), or boot with an IMA policy.',
  },
  'ima.empty': {
    status: 403,
    title: 'The quote covers no entry of the IMA log',
    hint: 'The kernel does not extend the TPM: boot with ima_policy=tcb or a policy of your own, and a TPM driver built in.',
  },
  'ima.not_replayed': {
    status: 403,
    title: 'PCR 10 does not hold what the IMA log leads to, while every other register holds what its log does',
    hint: 'A kernel that was started by kexec without being handed the IMA log (CONFIG_IMA_KEXEC, kexec -s), a log without its beginning or with entries taken out, or something that extended PCR 10 without the kernel: reboot the node through its firmware, and look into it if it happens again.',
  },
  'ima.too_long': {
    status: 403,
    title: 'The IMA log has more entries than are replayed',
    hint: 'Measure less with an IMA policy that leaves out what changes all the time, and start the node again.',
  },
  'ima.boot_aggregate_unknown': {
    status: 403,
    title: 'The IMA log does not begin with a boot aggregate that can be compared with quoted registers',
    hint: 'Quote PCR 0 to 9 of the bank that the kernel computes it in; a log without its beginning was cut.',
  },
  'ima.structure': {
    status: 403,
    title: 'The IMA log breaks the rules of its format',
    hint: 'No kernel writes such an entry: the log was edited where the quote does not reach.',
  },
  'ima.boot_aggregate': {
    status: 200,
    title: 'The IMA log began on other firmware measurements than the quoted ones',
    hint: 'Something was measured into PCR 0 to 9 after the kernel started, or the kernel was started by kexec.',
  },
  'ima.partial': {
    status: 200,
    title: 'The IMA log is larger than one request carries, and the rest of it is still to come',
    hint: 'Wait: the agent sends one part after the other, at once. A log that stays here belongs to an agent that was stopped.',
  },
  'ima.judged_otherwise': {
    status: 200,
    title: 'The IMA log was judged by other rules, and not all of it is there to be judged by these',
    hint: 'The next attestation brings the whole log; attest the node again (touchstone node attest), or wait for it.',
  },
  'ima.file_unknown': {
    status: 403,
    title: 'A file was run or read that the policy does not know',
    hint: 'If it belongs there, add its digest to a reference set, sign it, or exclude its path; else find out who put it there, and reinstall.',
  },
  'ima.file_changed': {
    status: 403,
    title: 'A file was run or read whose content is not the known one of that path',
    hint: 'After an update, add the new digest to the reference set of that release; if nobody updated it, treat the machine as tampered with.',
  },
  'ima.file_moved': {
    status: 403,
    title: 'A known file was run or read from another path',
    hint: 'Compare with the paths of the reference: a copy, a container or another mount shows as a path of its own. Allow the path, or leave it out of the entry.',
  },
  'ima.unsigned': {
    status: 403,
    title: 'A file that must be signed carries no signature',
    hint: 'Sign it (evmctl ima_sign) before it is deployed; an unpacked archive loses the attribute security.ima.',
  },
  'ima.signature': {
    status: 403,
    title: 'The signature of a file is not that of its content by a key of the policy',
    hint: 'The file was changed after it was signed, or another key has this id: sign it again, or compare the keys.',
  },
  'ima.signature_key': {
    status: 403,
    title: 'A file was signed by a key that the policy does not name',
    hint: 'Add the key under spec.ima.keys if you trust its owner; keyId is the end of its subject key identifier.',
  },
  'ima.signature_form': {
    status: 403,
    title: 'The signature of a file is of a kind that cannot be verified',
    hint: 'Sign files by version 2 or 3 of the format with SHA-256 or better (evmctl ima_sign -a sha256), RSA or P-256, P-384. Portable EVM signatures need the template evm-sig, and appended ones (sign-file, openssl cms) ima-modsig, in the IMA policy of the node.',
  },
  'ima.signatures_too_many': {
    status: 403,
    title: 'More signatures came at once than are verified',
    hint: 'The next attestation goes on where this one stopped. For a file system of many signed files, list their digests too.',
  },
  'ima.violation': {
    status: 403,
    title: 'A file was open for writing while it was measured, so nobody knows what was run or read',
    hint: 'Find the writer (ima audit messages of the kernel log), and exclude what changes by nature in the IMA policy of the node.',
  },
  'ima.buffer': {
    status: 403,
    title: 'A key, command line or setting that the kernel measured is not a known one',
    hint: 'Look at what was measured: a key in a keyring of the kernel may sign files and modules. Add it to the rule if you put it there.',
  },
  'ima.buffer_unknown': {
    status: 403,
    title: 'The kernel measured something that no rule is about',
    hint: 'Write a rule under spec.ima.buffers for its name, or say otherBuffers: allow.',
  },
  'ima.table': {
    status: 403,
    title: 'A table of the device mapper cannot be read',
    hint: 'It is of a kernel that writes another format; compare the entry with Documentation/admin-guide/device-mapper/dm-ima.rst.',
  },
  'ima.table_target': {
    status: 403,
    title: 'A device was set up with a kind of target that the policy does not allow',
    hint: 'Allow the kind under spec.ima.deviceMapper.targets if your image uses it; else find out who mapped the device.',
  },
  'ima.table_renamed': {
    status: 403,
    title: 'A device took the name of one that must be a dm-verity device',
    hint: 'Find out who ran dmsetup rename; what is mounted under that name may be anything.',
  },
  'ima.table_root_hash': {
    status: 403,
    title: 'A dm-verity device has a root hash that the policy does not know',
    hint: 'Add the root hash of the release to the reference set; if no release has it, the file system was replaced.',
  },
  'ima.absent': {
    status: 403,
    title: 'Something that must be measured was not',
    hint: 'Let the IMA policy of the node measure it (func=KEY_CHECK, func=CRITICAL_DATA), and set it up after that policy is loaded.',
  },
  // attest: what a guest runs on
  'guest.not_placed': {
    status: 403,
    title: 'The guest is placed on no node',
    hint: 'Place it with `touchstone place GUEST NODE` if it may run; otherwise stop it.',
  },
  'guest.other_ek': {
    status: 403,
    title: 'The TPM is not the one that was certified for this guest',
    hint: 'A guest has one TPM for life. Find out where this one comes from; a new TPM of the guest must be approved.',
  },
  'guest.moved': {
    status: 403,
    title: 'The guest is placed on another node than the one that it enrolled on',
    hint: "Its new node's broker has to obtain an EK certificate for it; the guest is then bound to that node.",
  },
  'guest.host_not_active': {
    status: 403,
    title: "The guest's host is not active",
    hint: 'The host was suspended, or waits for approval. Guests on it are trusted again when it is.',
  },
  'guest.host_no_verdict': {
    status: 403,
    title: "The guest's host has not attested since it enrolled",
    hint: 'Start the node agent of the host.',
  },
  'guest.host_other_boot': {
    status: 403,
    title: "The host's verdict is of an earlier boot, or of an earlier key",
    hint: 'The host attests again by itself; see its log if it does not.',
  },
  'guest.host_stale': {
    status: 403,
    title: "The host's verdict is too old",
    hint: 'The host has not attested for a while: see its log. Linked evidence makes guests depend less on its rhythm.',
  },
  'guest.host_warning': {
    status: 403,
    title: "The host's own verdict is a warning",
    hint: "See the host's verdict; a guest is never better than its host.",
  },
  'guest.host_untrusted': {
    status: 403,
    title: 'The host is not trusted, so nothing on it is',
    hint: "See the host's verdict, which says what is wrong with it.",
  },
  'guest.certificate': {
    status: 403,
    title: "This is a guest's endorsement key, and no certificate of it came along",
    hint: "Give the guest its TPM's NV indices: the broker writes the certificate there when it obtains it.",
  },
  'guest.certificate_untrusted': {
    status: 403,
    title: "The guest's EK certificate is not one of this fleet's guest CA",
    hint: 'Only what the fleet issued for a placed guest admits one; the message says what is wrong with this one.',
  },
  'guest.placed_elsewhere': {
    status: 403,
    title: 'The certificate names another node than the one that the guest is placed on',
    hint: "The broker of the guest's node has to obtain a new certificate for it, and the guest to restart its TPM.",
  },
  // attest: linked evidence
  'link.missing': {
    status: 403,
    title: 'Policy asks for linked evidence, and none came',
    hint: "Set `link` in the guest's agent to the link socket of its broker, and see whether the broker runs.",
  },
  'link.host_unknown': {
    status: 403,
    title: 'The host that quoted is no node of this fleet',
    hint: 'The link was made by a broker of somebody else.',
  },
  'link.relayed': {
    status: 403,
    title: 'The host that quoted is not the one that the guest is placed on',
    hint: 'The guest, or a copy of it, runs elsewhere than it may; or its evidence was relayed to another host.',
  },
  'link.host_quote': {
    status: 403,
    title: "The host's quote over the link is not genuine",
    hint: "It must be signed by the host's enrolled key over both roots. The check names what is wrong with it.",
  },
  'link.host_other_boot': {
    status: 403,
    title: 'The host has rebooted since its last verdict',
    hint: 'Its guests are trusted again when the host has attested in this boot.',
  },
  'link.host_state_changed': {
    status: 403,
    title: 'The registers of the host are not those of its last verdict',
    hint: 'Something was measured on the host since. Let the host attest again, and see its verdict.',
  },
  'link.ledger_leaf': {
    status: 403,
    title: "The guest is not among those that its host's ledger says are running",
    hint: 'The TPM that quoted is a copy, or was not started by the broker; or the link is of another guest.',
  },
  'link.generation_leap': {
    status: 403,
    title: 'The guest is said to be of a generation that it cannot have reached',
    hint: 'Its host names a number of starts far above the last that the verifier has seen. Look at what runs on the host.',
  },
  'link.generation_old': {
    status: 403,
    title: 'The guest runs an older generation than the verifier has seen',
    hint: 'It was started from an older copy of its state. Stop it, and start it by its broker.',
  },
  'link.not_in_batch': {
    status: 403,
    title: "The host's quote was not made over this quote of the guest",
    hint: 'The link belongs to other evidence: replayed, or mixed up between guests.',
  },

  // attest: rules of a policy
  'policy.unauthenticated': {
    status: 403,
    title: 'The rule was not evaluated because the evidence proves nothing',
    hint: 'Facts are read from logs only after signature, nonce, selection and replay agree. Repair what failed before.',
  },
  'policy.not_evaluated': {
    status: 403,
    title: 'A rule of the policy was not evaluated',
    hint: 'A policy that was not evaluated never passes. This is a fault of the verifier: report it.',
  },
  'policy.nothing_enforced': {
    status: 403,
    title: 'No rule over the boot counts: all of them are only monitored, or read nothing of the evidence',
    hint: 'Enforce what the fleet passes: take mode: monitor away from a rule, and look first who would not pass, with touchstone policy what-if -f FILE.',
  },
  'policy.no_match': {
    status: 403,
    title: 'The value is not one that the policy allows',
    hint: 'If the change was wanted, add the value to the policy or its references; otherwise take the node out of service.',
  },
  'policy.parameters': {
    status: 403,
    title: 'The command line has parameters that the policy refuses, or lacks some that it requires',
    hint: 'If the change was wanted, add the parameter to the policy; otherwise take the node out of service.',
  },
  'policy.command_line': {
    status: 403,
    title: 'The kernel command line cannot be read as a kernel reads it',
    hint: 'Genuine lines are UTF-8 of at most 4096 bytes, with parameter names of printable ASCII without quotes.',
  },
  'policy.sequence': {
    status: 403,
    title: 'The list differs from the one that the policy expects',
    hint: 'The check names the first difference. If the change was wanted, learn the policy again from a good boot.',
  },
  'policy.required_absent': {
    status: 403,
    title: 'A value that the policy requires is not there',
    hint: 'Find out which part of the boot was left out.',
  },
  'policy.candidate': {
    status: 403,
    title: 'The value is a candidate that nobody has approved yet',
    hint: 'Review it; then touchstone reference promote SET VALUE --to canary, active or revoked --reason TEXT.',
  },
  'policy.canary': {
    status: 403,
    title: 'The value matches only on canary nodes, and this is none',
    hint: 'Label the node if it is to be one, raise the percentage, or promote the value: touchstone reference promote SET VALUE --to active.',
  },
  'policy.deprecated': {
    status: 200,
    title: 'The value is a deprecated reference',
    hint: 'Plan the update: a deprecated version still matches, until the time that the check names, or until it is revoked.',
  },
  'policy.reference_early': {
    status: 403,
    title: 'The value is a reference that is not valid yet',
    hint: 'The update came early: wait until its validFrom, or move that if the release is out.',
  },
  'policy.reference_expired': {
    status: 403,
    title: 'The value is a reference that is no longer valid',
    hint: 'Its time (until, validUntil) is over: update the node, or give the entry more time if that version may stay.',
  },
  'policy.reference_undetermined': {
    status: 403,
    title: 'Whether the value matches depends on the node or the time, which nobody gave',
    hint: 'With touchstone appraise, say of which node the evidence is: --node ID or --label NAME=VALUE, and --ek FILE, by which a percentage chooses.',
  },
  'policy.revoked': {
    status: 403,
    title: 'The value is a revoked reference',
    hint: 'This version is known to be bad. Update the node now.',
  },
  'policy.reference_missing': {
    status: 403,
    title: 'A reference set that the rule names was not supplied',
    hint: 'Apply the reference set, give it to touchstone appraise with --references FILE, or correct its name in the rule.',
  },
  'policy.not_vouched': {
    status: 403,
    title: 'An image is not known, and Secure Boot does not vouch for all that was started',
    hint: 'The check says what is in the way. Add the image to a reference set, or the certificate to verifiedBy if it is approved.',
  },
  'policy.version_range': {
    status: 403,
    title: 'The version is outside the range that the policy allows',
    hint: 'Update what the fact names on the node, or move the range if that version is approved.',
  },
  'policy.version_unordered': {
    status: 403,
    title: 'Nobody but the vendor knows whether this version is older or newer',
    hint: 'Only numbers with dots behind the same letters are compared. List the approved versions (anyOf, references) instead of a range.',
  },
  'policy.entries_missing': {
    status: 403,
    title: 'The database lacks entries that the policy wants in it',
    hint: 'An old list of revoked boot loaders lets them start. Update dbx on the node (fwupdmgr update, or the vendor’s firmware).',
  },
  'policy.count': {
    status: 403,
    title: 'A number is larger than the policy allows',
    hint: 'Find out why the node restarts so often, or raise atMost if that is normal for it.',
  },
  'policy.expression': {
    status: 403,
    title: 'The rule’s expression is not true of this node',
    hint: 'The check shows the expression and the claims that it read. Correct the node, or the expression if it asks too much.',
  },
  'policy.expression_unknown': {
    status: 403,
    title: 'The rule’s expression cannot be evaluated',
    hint: 'The check names what is not known. Ask has(…) first where a claim may be missing, or make the boot measure it.',
  },
  'fact.unknown': {
    status: 403,
    title: 'The log does not prove the fact either way',
    hint: 'The event is absent, or its payload is not what its digest covers. Unknown is not a pass.',
  },
  'fact.empty': {
    status: 403,
    title: 'There is nothing that the rule could judge',
    hint: 'A rule over nothing proves nothing. Where nothing is fine, say whenEmpty: pass or an empty sequence.',
  },
  // http
  'http.not_found': {
    status: 404,
    title: 'There is nothing at this path',
    hint: 'The routes are listed at /docs and in /openapi.json.',
  },
  'http.method': {
    status: 405,
    title: 'The path does not take this method',
    hint: 'The Allow header names the methods it takes.',
  },
  'http.media_type': {
    status: 415,
    title: 'The body is of a media type that is not spoken here',
    hint: 'Send application/json or application/cbor, and name it in Content-Type.',
  },
  'http.not_acceptable': {
    status: 406,
    title: 'None of the media types asked for can be answered',
    hint: 'Accept application/json or application/cbor.',
  },
  'http.body_too_large': {
    status: 413,
    title: 'The body is larger than this route takes',
    hint: 'Genuine bodies stay far below the limit; check what was sent.',
  },
  'http.malformed': {
    status: 400,
    title: 'The request is not HTTP as the standard has it',
    hint: 'Check the request line, the headers and the length of the body.',
  },
  'http.invalid': {
    status: 400,
    title: 'The request does not have the shape that the route takes',
    hint: 'Every fault is listed; the shape is in /openapi.json.',
  },
  'http.rate_limited': {
    status: 429,
    title: 'Too many requests from this address',
    hint: 'Wait as long as Retry-After says; nodes behind one address may need a higher limit in the configuration.',
  },
  'http.unavailable': {
    status: 503,
    title: 'The verifier is not ready',
    hint: 'It is starting, stopping, without its database, or has no room for more bodies at once; try again in a moment.',
  },
  'http.internal': {
    status: 500,
    title: 'The verifier failed',
    hint: 'This is a fault of Touchstone; its log has the cause under the id of this request.',
  },
  'auth.missing': {
    status: 401,
    title: 'The call needs the token of an operator',
    hint: 'Send Authorization: Bearer with a token made by touchstone token create.',
  },
  'auth.invalid': {
    status: 401,
    title: 'The token is not one that is valid here',
    hint: 'It may be mistyped, revoked, or of another verifier; make a new one with touchstone token create.',
  },
  'auth.forbidden': {
    status: 403,
    title: 'The token may not do this',
    hint: 'The message names the role that is needed; an admin can make a token with it.',
  },
  // onboarding
  'onboarding.full': {
    status: 503,
    title: 'As many onboardings are under way as the verifier takes',
    hint: 'Try again when some have ended; Retry-After says when. Raise limits.pendingSessions for large waves.',
  },
  'onboarding.session': {
    status: 409,
    title: 'There is no such onboarding session',
    hint: 'It was never begun, is over, or was used already. Begin again.',
  },
  'onboarding.identity_claimed': {
    status: 409,
    title: 'Another TPM holds this model and serial',
    hint: 'If the board was replaced, an operator approves the new node with replaces; otherwise this is an impostor.',
  },
  'onboarding.identity_changed': {
    status: 409,
    title: 'This TPM is enrolled under another model or serial',
    hint: 'A box does not change its name; correct model and serial in the configuration of the node.',
  },
  'onboarding.re_enrolment': {
    status: 403,
    title: 'This TPM is enrolled with other keys, and policy does not let them be replaced',
    hint: 'Set reEnrolment to approve or allow in the configuration of the verifier, if the node was reset on purpose.',
  },
  'onboarding.waiting': {
    status: 403,
    title: 'The node waits for an operator',
    hint: 'See it with touchstone describe node ID, then touchstone approve node ID; the node asks again by itself.',
  },
  'onboarding.appraisal': {
    status: 403,
    title: 'The evidence does not satisfy the enrolment policy',
    hint: 'The checks name what was measured and what was expected; correct the node or the policy.',
  },
  'onboarding.ima_partial': {
    status: 403,
    title: 'The IMA log is longer than an enrolment carries, and the policy does not accept the node on a part of it',
    hint: 'An enrolment carries 16 MiB of it, about 100,000 entries. Reboot the node, so that its log begins anew, and let it enrol at once; or enrol it under a policy that asks nothing of IMA (no spec.ima, log.ima optional): it is affirmed when attestations have brought the rest.',
  },
  'onboarding.raced': {
    status: 409,
    title: 'The node was changed while it was being admitted',
    hint: 'Begin again.',
  },
  // nodes and attestation
  'node.not_found': {
    status: 404,
    title: 'There is no such node',
    hint: 'See what there is with touchstone get nodes.',
  },
  'node.suspended': {
    status: 403,
    title: 'The node is suspended',
    hint: 'An operator suspended it; touchstone describe node tells when. Activate it when the reason is gone.',
  },
  'node.pending': {
    status: 403,
    title: 'The node was not approved yet',
    hint: 'An operator must approve it first: touchstone approve node ID.',
  },
  'node.state': {
    status: 409,
    title: 'The node is in a state that does not allow this',
    hint: 'Pending nodes are approved, active ones suspended, suspended ones activated.',
  },
  'node.labels': {
    status: 400,
    title: 'A node has at most 32 labels',
    hint: 'Take some away first: touchstone label node ID NAME-.',
  },
  'attestation.unauthenticated': {
    status: 403,
    title: 'The evidence is not that of a node known here',
    hint: 'Ask for a new challenge; if it happens again, the node must enrol anew.',
  },
  'attestation.replayed': {
    status: 409,
    title: 'The evidence is not newer than what was accepted before',
    hint: 'A nonce serves once. Ask for a new challenge and quote again.',
  },
  'attestation.log_unreadable': {
    status: 400,
    title: 'A log that came with a genuine quote cannot be read',
    hint: 'The check names the fault; a log that was cut or edited looks like this, and so does an unknown format.',
  },
  'attestation.log_digest': {
    status: 400,
    title: 'The event log is not the one that its digest says',
    hint: 'Send the SHA-256 of exactly the bytes that are sent.',
  },
  'attestation.ima_unknown': {
    status: 409,
    title: 'The verifier does not have the part of the IMA log that this one goes on from',
    hint: 'Ask for a new challenge and send the IMA log from its beginning; the agent does so by itself.',
  },
  'attestation.log_unknown': {
    status: 409,
    title: 'The verifier does not have this event log',
    hint: 'Ask for a new challenge and send the log with the evidence.',
  },
  'attestation.not_found': {
    status: 404,
    title: 'There is no such attestation',
    hint: 'Old ones are forgotten; see what there is with touchstone get attestations.',
  },
  'attestation.renewal': {
    status: 403,
    title: 'Certificates are renewed only for nodes whose evidence is good',
    hint: 'The checks name what was measured and what was expected.',
  },
  // learning references
  'learn.not_pe': {
    status: 400,
    title: 'The file is not an EFI executable',
    hint: 'Give a file that firmware or a boot loader starts: shimx64.efi, grubx64.efi, a kernel with EFI stub, a UKI.',
  },
  'learn.corim': {
    status: 400,
    title: 'The reference manifest (CoRIM) cannot be used',
    hint: 'Give a manifest with tag 501, or one signed (COSE_Sign1, ES256, ES384, ES512 or EdDSA) with --trust naming its signer.',
  },
  'learn.grub': {
    status: 400,
    title: 'The GRUB configuration cannot be read',
    hint: 'Give the grub.cfg that GRUB reads, and not one of its templates; grub-script-check finds the same faults.',
  },
  'learn.kind': {
    status: 400,
    title: 'Nothing here says what the file is',
    hint: 'Say it with --kind: log, baseline, efi, initrd, grub, rootfs, packages or corim.',
  },
  'learn.mixed': {
    status: 400,
    title: 'These files do not belong together',
    hint: 'Learn from each kind by itself; images, initrds, a grub.cfg and root file systems of one boot go together.',
  },
  'learn.not_squashfs': {
    status: 400,
    title: 'The file is not a squashfs image that EVE measures',
    hint: 'Give the rootfs image of an EVE release as it is written to its partition.',
  },
  'learn.nothing': {
    status: 400,
    title: 'There is nothing to learn',
    hint: 'Look whether these are the right files; --bank chooses another hash, and --all takes every file of a package tree.',
  },
  'learn.package': {
    status: 400,
    title: 'The package cannot be unpacked',
    hint: 'It needs dpkg-deb. Unpack the package by other means and give the directory.',
  },
  'learn.too_much': {
    status: 400,
    title: 'That is more than reference sets hold',
    hint: 'Give -o FILE for what does not fit into one text; learn a smaller tree, or leave --all away.',
  },
  // results
  'result.nonce': {
    status: 400,
    title: 'A result in CBOR carries a nonce of 8 to 64 bytes',
    hint: 'Give the nonce in base64url without padding, 11 to 86 characters, or ask for a JWT.',
  },
  'result.none': {
    status: 404,
    title: 'There is no verdict of this node to make a result of',
    hint: 'It has not attested since it enrolled, booted or was suspended, or a guest’s host is no longer good; see touchstone get nodes.',
  },
  'result.stale': {
    status: 409,
    title: 'The evidence is too old for a result',
    hint: 'Let the node attest again: a result never outlives the evidence that it speaks of.',
  },
  'results.rotating': {
    status: 409,
    title: 'The key of results is being exchanged already',
    hint: 'Wait until the next key signs, or give --compromised if the present one can no longer be trusted.',
  },
  // policies and references
  'resource.not_found': {
    status: 404,
    title: 'There is no such policy, reference set or exception',
    hint: 'See what there is with touchstone get policies, touchstone get references and touchstone get exceptions.',
  },
  'resource.raced': {
    status: 409,
    title: 'Somebody else changed the resource at the same time',
    hint: 'Look at what is there now, and apply again if it is still wanted.',
  },
  'resource.from_file': {
    status: 409,
    title: 'The document comes from a file of the verifier, which only its administrator changes',
    hint: 'Apply it first: touchstone get references NAME -o json has the text; save it, then touchstone apply -f FILE. From then on the applied one counts.',
  },
  'reference.not_found': {
    status: 404,
    title: 'The reference set has no such value',
    hint: 'See what it has with touchstone get references NAME -o yaml; give the value exactly, or --label with its label.',
  },
  'reference.unfit': {
    status: 400,
    title: 'The document cannot be changed in that way',
    hint: 'The message says what is in the way. Change the file by hand and apply it: touchstone apply -f FILE --reason TEXT.',
  },
  'policy.none': {
    status: 503,
    title: 'The verifier has no policy for this',
    hint: 'Name a file or folder under policies in its configuration, or apply one with touchstone apply -f.',
  },
  'policy.ambiguous': {
    status: 409,
    title: 'More than one policy serves the same purpose',
    hint: 'Name the one to use: policies: { path: DIR, enrolment: NAME, attestation: NAME } in the configuration.',
  },
  // configuration of the verifier
  'config.listen': {
    status: 500,
    title: 'The address cannot be listened on',
    hint: 'Change listen in the configuration, or stop what uses it; port 0 takes any free one.',
  },
  'serve.running': {
    status: 409,
    title: 'A verifier serves this data directory already',
    hint: 'Stop it first, or give this one a data directory of its own.',
  },
  'config.invalid': {
    status: 400,
    title: 'The configuration cannot be used',
    hint: 'Every fault is listed with its key; correct them all and start again.',
  },
  'ca.exists': {
    status: 409,
    title: 'There is a certificate authority in this directory already',
    hint: 'Making another would make every certificate issued so far worthless. Move the directory away if that is meant.',
  },
  'ca.missing': {
    status: 500,
    title: 'The certificate authority is not complete',
    hint: 'Make one with touchstone ca init, or restore its files.',
  },
  'ca.file_mode': {
    status: 500,
    title: 'A key or passphrase can be read by others',
    hint: 'Set the mode of the file that the message names to 0600.',
  },
  'token.name': {
    status: 409,
    title: 'A token of this name was made before',
    hint: 'Take another name; the audit trail tells tokens apart by it.',
  },
  'token.not_found': {
    status: 404,
    title: 'There is no such token that could be revoked',
    hint: 'See what there is with touchstone token list.',
  },
  // app keys
  'key.not_found': {
    status: 404,
    title: 'There is no such key',
    hint: 'See what there is with touchstone key list; each tenant sees its own keys alone.',
  },
  'key.version': {
    status: 404,
    title: 'The key has no such version',
    hint: 'See its versions with touchstone key show; old ones are gone once they are deleted.',
  },
  'key.exists': {
    status: 409,
    title: 'There is another key of this name',
    hint: 'Take another name, ask for the kind and uses that it has, or delete it first.',
  },
  'key.kind': {
    status: 422,
    title: 'The TPM of this node cannot make keys of this kind',
    hint: 'Use another kind; every TPM 2.0 has ecdsa-p256, rsa-2048 and hmac-sha256.',
  },
  'key.use': {
    status: 409,
    title: 'The key is not for this',
    hint: 'What a key is for is said when it is made, and stays; make another one.',
  },
  'key.quota': {
    status: 409,
    title: 'The tenant has as many keys, versions or bytes of secrets as it may have',
    hint: 'Delete keys or old versions that nobody needs; the quota is in the configuration of the broker.',
  },
  'key.rate_limited': {
    status: 429,
    title: 'The tenant asks faster than it may',
    hint: 'Wait as long as Retry-After says; the limit is in the configuration of the broker.',
  },
  'key.digest': {
    status: 400,
    title: 'What is to be signed does not fit the key',
    hint: 'Send a digest of the hash of its algorithm (SHA-384 for ES384, else SHA-256), or the message; HMAC takes messages alone.',
  },
  'key.header': {
    status: 400,
    title: 'A header parameter is not for the caller to set',
    hint: 'alg and kid are those of the key, and parameters that change what a signature means are not signed.',
  },
  'key.peer': {
    status: 400,
    title: 'There is nothing to agree on with this key',
    hint: "Give the other side's public key as DER SubjectPublicKeyInfo, on the same curve: openssl pkey -pubin -in peer.pem -outform der.",
  },
  'key.ciphertext': {
    status: 400,
    title: 'The ciphertext does not decrypt under this key',
    hint: 'Encrypt with RSA-OAEP, SHA-256 for hash and mask, without a label, for the public key of this version.',
  },
  'key.registers': {
    status: 403,
    title: 'The registers are not what they were when the secret was sealed',
    hint: 'The secret comes back when its PCRs have their values again; after an intended change, seal it anew.',
  },
  'key.damaged': {
    status: 409,
    title: 'The file of the key is not what the broker wrote',
    hint: 'Restore it from a backup of this node, or delete the key and make a new one; nothing is deleted by itself.',
  },
  'key.misplaced': {
    status: 409,
    title: 'The file of the key belongs to another key or tenant',
    hint: 'Somebody moved or copied files in the state directory of the broker; put them back where they were.',
  },
  'key.elsewhere': {
    status: 409,
    title: 'The TPM does not know this key',
    hint: 'Another TPM made it, or the TPM was cleared since: the key is lost; delete it and make a new one.',
  },
  'key.uncertified': {
    status: 409,
    title: 'The newest version of the key has no certificate',
    hint: 'Obtain one with touchstone key certificate; each version has its own.',
  },
  'key.no_certificate': {
    status: 503,
    title: 'A certificate cannot be obtained now',
    hint: 'The broker needs the agent of this node, enrolled and good, and a verifier in reach; try again later.',
  },
  'key.no_attestation': {
    status: 503,
    title: 'The attestation key of this node is not there',
    hint: 'The broker needs the agent of this node, enrolled; see touchstone node status.',
  },
  'key.storage': {
    status: 503,
    title: 'The key cannot be stored',
    hint: 'The disk of the node may be full or read-only; nothing was changed.',
  },
  'key.socket': {
    status: 500,
    title: 'The socket of the tenant cannot be served',
    hint: 'Check the run directory of the broker, and that nobody else listens there.',
  },
  'key.internal': {
    status: 500,
    title: 'The key service failed',
    hint: 'This is a fault of Touchstone; the log of the broker has the cause under the id of this request.',
  },
  'key.unreachable': {
    status: 503,
    title: 'The key service cannot be reached',
    hint: 'Check the path of the socket (--socket or TOUCHSTONE_KEYS), that this user owns it, and that the broker runs.',
  },
  'key.answer': {
    status: 502,
    title: 'The answer is not that of a key service',
    hint: 'Check the path of the socket; something else may answer there.',
  },
  'key.refused': {
    status: 403,
    title: 'The key service refused the call',
    hint: 'The message carries what it said; it may be newer than this client.',
  },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof rows

export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = rows
