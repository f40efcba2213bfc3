import { buildClients } from './support/spiffe-clients.ts'

await buildClients(text => console.log(`spiffe clients: ${text}`))
