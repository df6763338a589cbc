// RFC 9213 in the format of the suite: the published package has no tests for targeted fields. Run with
// `targeted = ["CDN-Cache-Control", …]`.

const LATER = { expected_type: 'cached' }
const AGAIN = { expected_type: 'not_cached' }

function field (value) {
  return ['CDN-Cache-Control', value, false]
}

/** One response with these fields, then a second request that is answered as said. */
function test (id, name, fields, second, kind = 'required') {
  const first = { response_headers: fields, setup: true, pause_after: true }
  return { id: `targeted-${id}`, name, kind, requests: [first, { ...second }] }
}

const longCc = ['Cache-Control', 'max-age=3600']
const shortCc = ['Cache-Control', 'max-age=1']
const noStore = ['Cache-Control', 'no-store']

export default {
  name: 'Targeted fields (RFC 9213)',
  id: 'targeted',
  tests: [
    test('max-age', 'max-age makes a response fresh (2.2)', [field('max-age=3600')], LATER, 'optimal'),
    test('max-age-huge', 'max-age may be huge (2.1)', [field('max-age=99999999999')], LATER, 'optimal'),
    test('max-age-0', 'max-age=0 is not fresh', [field('max-age=0')], AGAIN),
    test('extension', 'an unknown directive is ignored (2.1)', [field('foobar, max-age=3600')], LATER, 'optimal'),
    test('parameter', 'a parameter is ignored (2.1)', [field('max-age=3600;a=b')], LATER, 'optimal'),
    test('age', 'Age counts against max-age', [['Date', 0], field('max-age=3600'), ['Age', '7200']], AGAIN),
    test('past-expires', 'Expires does not count beside it (2.2)', [field('max-age=3600'), ['Expires', -10000], ['Date', 0]], LATER, 'optimal'),
    test('invalid-expires', 'nor does an invalid Expires', [field('max-age=3600'), ['Expires', '0', false], ['Date', 0]], LATER, 'optimal'),
    test('0-future-expires', 'nor one in the future', [field('max-age=0'), ['Expires', 10000], ['Date', 0]], AGAIN),
    test('longer', 'it wins over a short Cache-Control (2.2)', [shortCc, field('max-age=3600')], LATER, 'optimal'),
    test('shorter', 'it wins over a long Cache-Control (2.2)', [longCc, field('max-age=1')], AGAIN),
    test('over-no-store', 'it wins over no-store (2.2)', [noStore, field('max-age=3600')], LATER, 'optimal'),
    test('over-private', 'it wins over private (2.2)', [['Cache-Control', 'private, max-age=3600'], field('max-age=3600')], LATER, 'optimal'),
    test('no-store', 'no-store forbids', [longCc, field('no-store')], AGAIN),
    test('private', 'private forbids', [longCc, field('private')], AGAIN),
    test('no-cache', 'no-cache forbids reuse without validation', [longCc, field('no-cache')], AGAIN),
    test('false', 'a directive that is false is not there (2.1)', [longCc, field('max-age=3600, no-store=?0')], LATER, 'optimal'),
    test('two-lines', 'its lines are one dictionary (RFC 9651 section 4.2)', [longCc, field('max-age=3600'), field('no-store')], AGAIN),
    test('last-wins', 'the last of two members counts (RFC 9651 section 3.2)', [field('max-age=1, max-age=3600')], LATER, 'optimal'),
    test('invalid', 'an invalid field is ignored (2.2)', [noStore, field('max-age=3600, &&&&&')], AGAIN),
    test('invalid-then-cc', 'then Cache-Control counts again', [longCc, field('no-store, &&&&&')], LATER, 'optimal'),
    test('wrong-type', 'a string is no number (2.2)', [noStore, field('max-age="3600"')], AGAIN),
    test('upper-case', 'keys have no capitals (RFC 9651 section 3.1.2)', [noStore, field('MaX-aGe=3600')], AGAIN),
    test('space', 'nor spaces around =', [noStore, field('max-age =3600')], AGAIN),
    test('empty', 'an empty field is none (2.2)', [longCc, field('')], LATER, 'optimal'),
    test('age-sent', 'Age is sent although it exceeds Cache-Control: max-age (RFC 9111 section 5.1)', [shortCc, field('max-age=3600'), ['Date', 0]], { ...LATER, expected_response_headers: [['Age', '>', 1]] }),
    test('date-kept', 'Date stays what it was', [shortCc, field('max-age=3600'), ['Date', 0]], { ...LATER, expected_response_headers: [['Date', 0]] }),
    test('expires-kept', 'and so does Expires', [shortCc, ['Expires', 1], field('max-age=3600'), ['Date', 0]], { ...LATER, expected_response_headers: [['Expires', 1]] }),
    {
      id: 'targeted-forwarded',
      name: 'it is passed on downstream (2.1)',
      kind: 'required',
      requests: [{ response_headers: [longCc, field('max-age=60')], expected_response_headers: [['CDN-Cache-Control', 'max-age=60']] }]
    }
  ]
}
