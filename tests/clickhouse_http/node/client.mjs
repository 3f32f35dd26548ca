// What an application does with the official client; prints one JSON document.
import { createClient } from '@clickhouse/client'

const [url, password] = process.argv.slice(2)
const client = createClient({
  url,
  password,
  username: 'node',
  database: 'agentrun',
  compression: { response: true, request: false },
})
const out = {}
out.ping = (await client.ping()).success
const one = await client.query({
  query: 'SELECT {n:UInt32} + 1 AS n, {who:String} AS who',
  query_params: { n: 4, who: "it's" },
})
out.json = (await one.json()).data
const each = await client.query({ query: 'SELECT number AS n FROM numbers(3)', format: 'JSONEachRow' })
out.each = await each.json()
const stream = await client.query({
  query: 'SELECT number AS n FROM numbers(100000)',
  format: 'JSONEachRow',
  clickhouse_settings: { max_threads: 1 },
})
let rows = 0
for await (const batch of stream.stream()) rows += batch.length
out.streamed = rows
try {
  await client.query({ query: 'SELECT * FROM nope' })
} catch (error) {
  out.unknown = [error.code, error.type]
}
try {
  await client.command({ query: 'DROP TABLE agent_runs' })
} catch (error) {
  out.drop = [error.code, error.type]
}
try {
  await client.insert({ table: 'agent_runs', values: [{ RunId: 'x' }], format: 'JSONEachRow' })
} catch (error) {
  out.insert = [error.code, error.type]
}
await client.close()
console.log(JSON.stringify(out))
