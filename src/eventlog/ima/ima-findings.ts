import type { Finding, ReplayBank } from '../log.ts'
import type { ImaLog } from './parse-ima-log.ts'
import { templateHash } from './replay-ima-log.ts'
import { imaMeasurement, isKnownTemplate } from './templates.ts'

/**
 * What is wrong with an IMA log although it decodes. The name of a template is not measured, so a changed one must
 * show here; a recorded SHA-1 digest counts only where SHA-1 is the judged bank. `event` is the index of the entry.
 */
export function imaFindings(log: ImaLog, bank: ReplayBank): Finding[] {
  const findings: Finding[] = []
  for (const entry of log.entries) {
    const add = (code: Finding['code'], severity: Finding['severity'], message: string): void => {
      findings.push({ code, severity, event: entry.index, message })
    }
    if (!isKnownTemplate(entry.template)) {
      add('eventlog.ima_template', 'error', `the template ${JSON.stringify(entry.template)} does not exist`)
    } else if (imaMeasurement(entry, log.endian) === undefined) {
      add('eventlog.ima_template', 'error', `the data is not what the template ${entry.template} has`)
    }
    if (entry.violation) {
      add('eventlog.ima_violation', 'warning', 'the file was open for writing while it was measured')
    } else if (templateHash(entry, 'sha1') !== entry.templateDigest.toString('latin1')) {
      const severity = bank === 'sha1' ? 'error' : 'warning'
      add('eventlog.ima_digest', severity, 'the recorded SHA-1 digest is not that of the template data')
    }
  }
  return findings
}
