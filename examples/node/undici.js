// undici, and `fetch` with it, through the mesh: a dispatcher whose `connect` makes the connections.
import { fetch, Pool } from 'undici'
import { connect } from 'warren'

const site = new Pool('http://site', {
  connections: 4,
  connect: (_options, callback) => {
    connect('dev.web.site.default', { as: 'dev.shop.cart.default' }).then(socket => callback(null, socket), callback)
  }
})

const paths = Array.from({ length: 20 }, (_, i) => `/prices/${i}`)
const answers = await Promise.all(paths.map(async path => (await site.request({ path, method: 'GET' })).body.text()))
console.log(answers[7])
console.log(new Set(answers).size, 'answers')

const response = await fetch('http://site/about', { dispatcher: site })
console.log(response.status, await response.text())
// No `site.close()`: connections that wait for the next request do not keep this program from ending.
