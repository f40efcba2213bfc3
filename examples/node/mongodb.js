// MongoDB and FerretDB through the mesh: the driver takes a host or the path of a unix socket, so `forward` opens one.
import { MongoClient } from 'mongodb'
import { forward } from 'warren'

await using local = await forward('dev.db.mongo.default', {
  as: 'dev.shop.cart.default',
  onError: err => console.error(err.message)
})

// One server. Each member of a replica set would need an address, and a forward, of its own.
const client = new MongoClient(`mongodb://${encodeURIComponent(local.path)}/?directConnection=true`, { maxPoolSize: 4 })
const words = client.db('shop').collection('words')
await words.deleteMany({})
await Promise.all(Array.from({ length: 20 }, (_, i) => words.insertOne({ i, word: `word ${i}` })))
console.log(await words.countDocuments(), 'documents')
console.log((await words.findOne({ i: 7 }))?.word)
await client.close()
