// Redis through the mesh: a connector whose `connect` makes the stream.
import { AbstractConnector, Redis } from 'ioredis'
import { createConnection } from 'warren'

class MeshConnector extends AbstractConnector {
  async connect() {
    this.stream = createConnection('dev.cache.redis.default', { as: 'dev.shop.cart.default' })
    return this.stream
  }
}

const redis = new Redis({ Connector: MeshConnector })
await redis.set('greeting', 'hello')
console.log(await redis.get('greeting'))

const counts = await Promise.all(Array.from({ length: 20 }, () => redis.incr('count')))
console.log(new Set(counts).size, 'answers')
await redis.quit()
