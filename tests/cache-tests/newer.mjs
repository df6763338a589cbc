// What the suite's public repository (github.com/http-tests/cache-tests) asks and the published package does not yet, in
// the format of the suite. Interim responses, which its client cannot see, are in tests/black_box/interim.rs.

const REUSED = { expected_type: 'cached' }
const ASKED_AGAIN = { expected_type: 'not_cached' }

const DAY = 24 * 60 * 60

/** A response with these fields, a pause of 3 s, then a second request that is answered as said. */
function test (id, name, fields, second, kind = 'required') {
  const first = { response_headers: fields, setup: true, pause_after: true }
  return { id: `newer-${id}`, name, kind, requests: [first, { ...second }] }
}

function aged (id, seconds) {
  const fields = [['Date', 0], ['Cache-Control', 'max-age=3600'], ['Age', seconds, false]]
  return test(id, `Age: ${seconds} is older than an hour (RFC 9111 section 1.2.2)`, fields, ASKED_AGAIN)
}

function until (id, date) {
  return test(id, `Expires: ${date} is in the future (RFC 9110 section 5.6.7)`, [['Expires', date, false], ['Date', 0]], REUSED, 'optimal')
}

const month = [['Expires', 30 * DAY], ['Date', 0]]
const kept = field => ({ ...REUSED, expected_response_headers: [field] })

/** What comes after a fresh response is not seen by the cache, however it forbids storing. */
function unseen (id, control) {
  return {
    id: `newer-${id}`,
    name: `a fresh response answers, whatever a later one would say (${control})`,
    kind: 'required',
    requests: [
      { response_headers: [['Cache-Control', 'max-age=10000'], ['Date', 0], ['A', '1']], setup: true },
      { response_headers: [['Cache-Control', control], ['A', '2']], setup: true, expected_type: 'cached' },
      { expected_type: 'cached', expected_response_headers: [['A', '1']] }
    ]
  }
}

export default {
  name: 'Asked by the newer suite',
  id: 'newer',
  tests: [
    aged('age-large-minus-one', '2147483647'),
    aged('age-large', '2147483648'),
    aged('age-larger', '2147483649'),
    test('max-age-stale', 'what has become stale is not reused (RFC 9111 section 4.2)', [['Cache-Control', 'max-age=2']], ASKED_AGAIN),
    until('expires-32bit', 'Tue, 19 Jan 2038 14:14:08 GMT'),
    until('expires-far-future', 'Sun, 21 Nov 2286 04:46:39 GMT'),
    test('date-kept', 'Date stays what it was, beside Expires (RFC 9110 section 6.6.1)', month, kept(['Date', 0])),
    test('expires-kept', 'and so does Expires', month, kept(['Expires', 30 * DAY])),
    unseen('no-store-later', 'no-store'),
    unseen('no-store-max-age-0-later', 'no-store, max-age=0'),
    test(
      'swr',
      'stale-while-revalidate answers stale (RFC 5861 section 3)',
      [['Cache-Control', 'max-age=1, stale-while-revalidate=3600'], ['ETag', '"abc"']],
      REUSED,
      'optimal'
    ),
    {
      id: 'newer-swr-window',
      name: 'and not after its time (RFC 5861 section 3)',
      kind: 'required',
      requests: [
        { response_headers: [['Cache-Control', 'max-age=1, stale-while-revalidate=4']], setup: true, pause_after: true },
        { response_headers: [['Cache-Control', 'no-store', false]], setup: true, pause_after: true, expected_type: 'cached' },
        { expected_response_headers: [['client-request-count', '3']] }
      ]
    }
  ]
}
