export { buildLocalApp, closeLocally, listenLocally } from './local-app.ts'
export { localServer } from './local-server.ts'
