// Runs the HTTP working group's cache-tests through a forward proxy; prints one line of JSON for each test.
//
//   node run.mjs PROXY_HOST:PORT [--suite default|targeted] [--test ID]… [--tls FOLDER]
//
// The suite's client sends origin-form to a base URL; `ThroughProxy` and `InsideTls` are the whole of the adaption. With --tls
// the client asks inside TLS, in tunnels to the origin, and believes FOLDER/ca.pem alone; the origin shows FOLDER/origin.pem, of
// which the key is FOLDER/origin.key, and listens on the socket that is the standard input: the proxy has to know its port.

import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import tls from 'node:tls'
import fetch from 'node-fetch'
import { setBaseUrl, setFetch } from 'http-cache-tests/client/config.mjs'
import { makeCacheTest, testResults } from 'http-cache-tests/client/test.mjs'
import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'
import published from 'http-cache-tests/tests/index.mjs'
import surrogate from 'http-cache-tests/tests/surrogate-control.mjs'
import newer from './newer.mjs'
import superseded from './superseded.mjs'
import targeted from './targeted.mjs'

const SUITES = { default: [...published, newer], targeted: [targeted, surrogate] }
// So many at a time: the pauses of 3 s that many tests make overlap, and no burst makes a test wait until what it has
// just stored for 2 s is stale. Inside TLS each takes longer.
const AT_ONCE = { clear: 64, tls: 32 }

/** Connects to the proxy, and names the origin in the request line. */
class ThroughProxy extends http.Agent {
  constructor (host, port) {
    super({ keepAlive: true, maxSockets: Infinity })
    this.proxy = { host, port }
  }

  addRequest (request, options) {
    request.path = `http://${request.getHeader('host')}${request.path}`
    super.addRequest(request, { ...options, ...this.proxy })
  }
}

/** Asks the proxy for a tunnel to the origin, and speaks TLS inside. */
class InsideTls extends https.Agent {
  constructor (host, port, ca) {
    super({ keepAlive: true, maxSockets: Infinity })
    this.proxy = { host, port }
    this.ca = ca
  }

  createConnection (options, done) {
    const path = `${options.host}:${options.port}`
    const request = http.request({ ...this.proxy, method: 'CONNECT', path, headers: { host: path }, agent: false })
    request.on('error', done)
    request.on('connect', (response, socket) => {
      if (response.statusCode !== 200) return done(new Error(`no tunnel: ${response.statusCode}`))
      const secure = tls.connect({ socket, servername: options.host, ca: this.ca, ALPNProtocols: ['http/1.1'] })
      secure.once('error', done)
      secure.once('secureConnect', () => {
        secure.off('error', done)
        done(null, secure)
      })
    })
    request.end()
  }
}

/** The suite's own server, on a port of its own. What it logs would mix with the results. */
async function startOrigin (identity) {
  const parts = { config: handleConfig, state: handleState, test: handleTest }
  const answer = (request, response) => {
    response.on('finish', () => { if (endsWithConnection(response)) request.socket.end() })
    const [, part, ...rest] = new URL(request.url, 'http://origin').pathname.split('/')
    if (part in parts) parts[part](rest, request, response)
    else response.writeHead(404).end()
  }
  const server = identity ? https.createServer(identity, answer) : http.createServer(answer)
  server.keepAliveTimeout = 300_000
  await new Promise(resolve => server.listen(identity ? { fd: 0 } : { port: 0, host: '127.0.0.1' }, resolve))
  return identity ? `https://localhost:${server.address().port}` : `http://127.0.0.1:${server.address().port}`
}

/** With a transfer coding that does not exist only the end of the connection ends a body (RFC 9112 section 6.3). Node
 * leaves that to the time limit of idle connections, 5 s in the suite's own server; here it comes at once. */
function endsWithConnection (response) {
  return response.hasHeader('transfer-encoding') && !/^chunked$/i.test(response.getHeader('transfer-encoding'))
}

/** Runs all of them; a test never rejects. */
async function run (tests, atOnce) {
  const queue = [...tests]
  const worker = async () => { while (queue.length) await makeCacheTest(queue.shift()) }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** As the suite's site shows it: a test counts only when what it depends on holds. */
function outcome (test, tests, results) {
  const result = results[test.id]
  if (result === undefined) return ['missing', 'not run']
  const missing = (test.depends_on ?? []).find(id => outcome(tests.get(id), tests, results)[0] !== 'pass')
  if (missing !== undefined) return ['dependency', `depends on ${missing}`]
  if (result === true) return ['pass', '']
  return [{ Assertion: 'fail', Setup: 'setup' }[result[0]] ?? 'error', `${result[1]}`]
}

function arguments_ (argv) {
  const wanted = { suite: 'default', ids: [] }
  for (let i = 3; i < argv.length; i += 2) {
    if (argv[i] === '--suite') wanted.suite = argv[i + 1]
    else if (argv[i] === '--tls') wanted.folder = argv[i + 1]
    else if (argv[i] === '--test') wanted.ids.push(argv[i + 1])
    else throw new Error(`unknown argument ${argv[i]}`)
  }
  const [host, port] = argv[2].split(/:(?=\d+$)/)
  return { host, port: Number(port), ...wanted }
}

const { host, port, suite, ids, folder } = arguments_(process.argv)
const read = name => fs.readFileSync(`${folder}/${name}`)
const agent = folder ? new InsideTls(host, port, read('ca.pem')) : new ThroughProxy(host, port)
const tests = new Map([...SUITES.default, ...SUITES.targeted].flatMap(group => group.tests.map(test => [test.id, test])))
const needed = id => [id, ...(tests.get(id).depends_on ?? []).flatMap(needed)]
const groups = SUITES[suite]
const also = new Set((ids.length ? ids : groups.flatMap(g => g.tests.map(t => t.id))).flatMap(needed))
const chosen = [...tests.values()].filter(test => also.has(test.id) && !test.browser_only)
for (const id of ids) tests.get(id).dump = true
for (const [id, [second]] of Object.entries(superseded)) tests.get(id).requests[1] = second

const base = await startOrigin(folder && { key: read('origin.key'), cert: read('origin.pem') })
const print = console.log
if (!ids.length) console.log = () => {}
setFetch((url, init) => fetch(url, { ...init, agent }))
setBaseUrl(base)
await run(chosen, folder ? AT_ONCE.tls : AT_ONCE.clear)
for (const group of groups) {
  for (const test of group.tests.filter(test => chosen.includes(test))) {
    const [result, why] = outcome(test, tests, testResults)
    print(JSON.stringify({
      group: group.id, id: test.id, kind: test.kind ?? 'required', result, why, superseded: test.id in superseded
    }))
  }
}
process.exit(0)
