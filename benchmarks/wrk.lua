-- Sends prepared HTTP requests in turn and says in one JSON line what came back.
-- Arguments: the file of requests ("LENGTH\n" and that many bytes, each), mean milliseconds between an answer and
-- the next request of a connection (0: none), and "waits" to read the longest queue wait out of our answers.
local requests, n_sent, pause_ms = {}, 0, 0
longest_wait_s = -1
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local line = file:read("*l")
  while line do
    table.insert(requests, file:read(tonumber(line)))
    line = file:read("*l")
  end
  file:close()
  pause_ms = tonumber(args[2])
  math.randomseed(7)
  if pause_ms == 0 then delay = nil end
  if args[3] ~= "waits" then response = nil end
end

function request()
  local chosen = requests[n_sent % #requests + 1]
  n_sent = n_sent + 1
  return chosen
end

function delay()
  return math.floor(-math.log(1 - math.random()) * pause_ms)
end

function response(status, headers, body)
  local found = string.match(body, '"queue_s":([%d%.e%-]+)')
  if found then longest_wait_s = math.max(longest_wait_s, tonumber(found)) end
end

function done(summary, latency, _)
  local longest = -1
  for _, thread in ipairs(threads) do longest = math.max(longest, thread:get("longest_wait_s")) end
  local errors = summary.errors
  io.write(string.format(
    '{"seconds":%.6f,"n_answered":%d,"n_refused":%d,"n_broken":%d,"p50_ms":%.4f,"p99_ms":%.4f,' ..
    '"max_ms":%.4f,"longest_wait_s":%.6f}\n',
    summary.duration / 1e6, summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3, longest))
end
