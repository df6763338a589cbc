-- wrk's script: absolute-form requests, as a client with http_proxy set sends them.
--   ORIGIN  host:port     KIND  c/k1 c/k10 c/k100 (cacheable), n/k1 (no-store)     N  how many URLs there are of it
--   ORDER   random: for as long as wrk runs; once: each URL in turn, one time, then the end
local origin, kind = os.getenv("ORIGIN"), os.getenv("KIND")
local n, order = tonumber(os.getenv("N")), os.getenv("ORDER")
local connections = tonumber(os.getenv("CONNECTIONS"))
local before = "GET http://" .. origin .. "/" .. kind .. "/"
local after = " HTTP/1.1\r\nHost: " .. origin .. "\r\nUser-Agent: wrk\r\n\r\n"
local requests, asked = {}, 0

function init()
  math.randomseed(42)
  if order == "random" then
    for i = 1, n do requests[i] = before .. i .. after end
  end
end

local function random() return requests[math.random(n)] end

-- wrk itself would go on until its time is over. When every connection has asked twice more, all of the URLs are answered.
local function once()
  asked = asked + 1
  if asked > n + 2 * connections then
    print("ASKED " .. asked)
    os.exit(0)
  end
  return before .. ((asked - 1) % n + 1) .. after
end

request = order == "once" and once or random

function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  print(string.format("RESULT %d %d %d %d %d %d", summary.requests, summary.duration, summary.bytes, errors,
    latency:percentile(50), latency:percentile(99)))
end
