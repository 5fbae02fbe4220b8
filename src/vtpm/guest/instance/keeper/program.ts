/**
 * A program without arguments: the control keeper. It reads its orders from stdin and serves the control sockets of guests
 * until there are none left and no broker is there. This file loads nothing by itself: whoever starts the program wants to
 * know where it lies.
 */
export const keeperProgram = import.meta.filename

if (import.meta.main) {
  process.umask(0o077)
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
  const [{ decode }, { ORDERS }, { runKeeper }] = await Promise.all([
    import('../../../../codec/index.ts'),
    import('./protocol.ts'),
    import('./keeper.ts'),
  ])
  await runKeeper(decode('orders', ORDERS, Buffer.concat(chunks)))
}
