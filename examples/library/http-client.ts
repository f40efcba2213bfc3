import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { MeshHttpAgent } from '../../src/client/index.ts'

const agent = new MeshHttpAgent({ as: 'dev.shop.cart.default' })

// The host is an option and not a part of a URL, which would change it to lower case.
const request = get({ host: 'dev.web.site.default', path: '/prices', agent })
const [response] = (await once(request, 'response')) as [IncomingMessage]
console.log(response.statusCode, (await text(response)).trim())
