// Tests of the published package (0.4.5) that its own public repository (github.com/http-tests/cache-tests) has since
// corrected, or that contradict an RFC. Each is run with the expectation given here, and is marked as such in the scoreboard.

const singleAge = 'RFC 9111 section 5.1: the first member of the first line counts; the same in the repository, tests/age-parse.mjs'
const invalidAge = 'RFC 9111 section 5.1: an Age that is no number is ignored; the same in the repository, tests/age-parse.mjs'
const parameter = 'RFC 9111 section 5.1: what is no number is ignored; a check (either way) in the repository, tests/age-parse.mjs'
const unanswerable = 'the origin cannot be reached, so no answer can be its own; the repository, tests/stale.mjs, asks for an answer without server-request-count'
const noDictionary = 'RFC 9213 section 2.1: not a Structured Field, so it is ignored; tests/cdn-cache-control.mjs has taken the place of these in the repository'

const cached = { expected_type: 'cached' }
const notCached = { expected_type: 'not_cached' }
const gatewayError = {
  disconnect: true, expected_status: 502, check_body: false, expected_response_headers_missing: ['server-request-count']
}

/** Test id: what its second request is to be, and why. */
export default {
  'age-parse-nonnumeric': [cached, invalidAge],
  'age-parse-negative': [cached, invalidAge],
  'age-parse-float': [cached, invalidAge],
  'age-parse-parameter': [cached, parameter],
  'age-parse-numeric-parameter': [cached, parameter],
  'age-parse-prefix-twoline': [cached, singleAge],
  'age-parse-dup-0': [cached, singleAge],
  'age-parse-dup-0-twoline': [cached, singleAge],
  'age-parse-dup-old': [cached, singleAge],
  'stale-close-must-revalidate': [gatewayError, unanswerable],
  'stale-close-proxy-revalidate': [gatewayError, unanswerable],
  'stale-close-no-cache': [gatewayError, unanswerable],
  'stale-close-s-maxage=2': [gatewayError, unanswerable],
  'surrogate-max-age-me-target': [notCached, noDictionary],
  'surrogate-max-age-case-insensitive': [notCached, noDictionary],
  'surrogate-fresh-cc-nostore': [notCached, noDictionary],
  'conditional-lm-fresh-no-lm': [
    {
      request_headers: [['If-Modified-Since', -3000]],
      magic_ims: true,
      expected_type: 'cached',
      expected_status: 200,
      setup_tests: ['expected_type']
    },
    'RFC 9111 section 4.3.2: without Last-Modified a 304 needs a Date that is not later than If-Modified-Since, and here it is ' +
      '3000 s later; no cache passes it in the results that come with the package'
  ]
}
