import { Command } from 'commander'
import { failureOf } from '../src/cli/failure.ts'
import {
  makeVendorCa,
  manifestEntry,
  manifestText,
  manufacture,
  measureInto,
  openVendorCa,
  powerOff,
  powerOn,
  readBoot,
  RECORDED_BOOTS,
  type Progress,
} from './index.ts'

const EXAMPLE = `
Examples:
  scripts/node swtpm/main.ts manufacture box --vendor-ca vendor --model "Edge One" --serial E1-0001 >manifest.yaml
  scripts/node swtpm/main.ts start box --boot honest
  scripts/node swtpm/main.ts stop box

Boots: ${RECORDED_BOOTS.join(', ')} (swtpm/boots), or a directory with eventlog.bin, ima.bin and pcrs.json.
With --json, the answer is one JSON object on stdout.`

function print(json: boolean, value: object, text: string): void {
  process.stdout.write(`${json ? JSON.stringify(value) : text.trimEnd()}\n`)
}

function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

const progress: Progress = ({ done, total, what }) => {
  if (!process.stderr.isTTY) return
  process.stderr.write(`\r\u001b[Kmeasuring ${done} of ${total}: ${what}${done === total ? '\r\u001b[K' : ''}`)
}

function where({ tcti, eventLog, imaLog }: { tcti: string; eventLog: string; imaLog: string }): string {
  return `tcti: ${tcti}\neventLog: ${eventLog}\nimaLog: ${imaLog}`
}

const program = new Command('swtpm/main.ts')
  .description('The stand-in hardware: a box with a software TPM that boots as a recorded machine did.')
  .showHelpAfterError('(run with --help to see what it takes)')
  .addHelpText('after', EXAMPLE)

program
  .command('manufacture')
  .description('make a box, and print its manifest')
  .argument('<directory>', 'where the box is to be kept')
  .requiredOption('--vendor-ca <directory>', 'the TPM vendor; made when it is not there')
  .requiredOption('--model <text>', 'what the box is sold as')
  .option('--serial <text>', 'default: random')
  .option('--json', 'print JSON', false)
  .action(async (directory: string, options: { vendorCa: string; model: string; serial?: string; json: boolean }) => {
    const vendorCa = await openVendorCa(options.vendorCa).catch(() => makeVendorCa(options.vendorCa))
    const { model, serial } = options
    const box = await manufacture({ directory, vendorCa, model, ...(serial === undefined ? {} : { serial }) })
    const entry = manifestEntry(box)
    print(options.json, { ...entry, ekRoots: vendorCa.bundle }, manifestText('stand-in', [entry]))
    note(`The verifier needs: manifest (printed), ekRoots: ${vendorCa.bundle}`)
    note(`The node needs: model: ${box.model}, serial: ${box.serial}, and what start prints.`)
  })

program
  .command('start')
  .description('switch a box on; its TPM runs until stop')
  .argument('<directory>', 'the box')
  .option('--boot <boot>', 'what it boots; without it, nothing is measured')
  .option('--json', 'print JSON', false)
  .action(async (directory: string, options: { boot?: string; json: boolean }) => {
    const boot = options.boot === undefined ? {} : { boot: await readBoot(options.boot) }
    const { tcti, pid, eventLog, imaLog } = await powerOn({ directory, ...boot, detached: true, onProgress: progress })
    print(options.json, { tcti, pid, eventLog, imaLog }, where({ tcti, eventLog, imaLog }))
  })

program
  .command('measure')
  .description('measure a boot into a box that was started without one')
  .argument('<directory>', 'the box')
  .argument('<boot>', 'what it boots')
  .option('--json', 'print JSON', false)
  .action(async (directory: string, boot: string, options: { json: boolean }) => {
    const measured = await measureInto({ directory, boot: await readBoot(boot), onProgress: progress })
    print(options.json, measured, where(measured))
  })

program
  .command('stop')
  .description('switch a box off')
  .argument('<directory>', 'the box')
  .option('--json', 'print JSON', false)
  .action(async (directory: string, options: { json: boolean }) => {
    const { clean } = await powerOff(directory)
    print(options.json, { clean }, clean ? 'off' : 'off, but the TPM could not be told: it counts as a power cut')
  })

for (const command of [program, ...program.commands]) command.exitOverride()
try {
  await program.parseAsync()
} catch (error) {
  const failure = failureOf(error, process.env['TOUCHSTONE_DEBUG'] !== undefined)
  failure.lines.forEach(note)
  if (failure.body !== undefined && process.argv.includes('--json')) print(true, failure.body, '')
  process.exitCode = failure.exit
}
