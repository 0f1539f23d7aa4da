-- Sends prepared HTTP requests one after the other, and prints in one JSON line what came back.
-- Arguments:
--   1. the file of requests: for each, its length in bytes, a line feed, and the bytes
--   2. the mean pause in milliseconds between an answer and the next request of a connection; 0 for no pauses
--   3. "waits" to read the longest queue time from our own answers
--   4. the seconds at the start that do not count
--   5. the number of connections
-- Servers drop a connection that sends nothing for 10 s, so the first pause of a connection is shorter.
-- Without pauses, each request after the seconds of 4. shows that an answer has come; that is how answers are counted.
local ffi = require("ffi")
ffi.cdef[[ typedef struct { long s; long ns; } glossa_time; int clock_gettime(int clock, glossa_time *time); ]]
local time = ffi.new("glossa_time")
local requests, n_sent, pause_ms = {}, 0, 0
local n_first, n_paused, FIRST_MS = 0, 0, 9000
lead_s, counts_from_s, n_counted = 0, 0, 0  -- these belong to a thread; done() cannot see them
longest_wait_s = -1
local threads = {}

local function now_s()
  ffi.C.clock_gettime(1, time)  -- CLOCK_MONOTONIC
  return tonumber(time.s) + tonumber(time.ns) / 1e9
end

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
  lead_s = tonumber(args[4])
  n_first = tonumber(args[5])
  counts_from_s = now_s() + lead_s
end

function request()
  local chosen = requests[n_sent % #requests + 1]
  n_sent = n_sent + 1
  if lead_s > 0 and now_s() >= counts_from_s then n_counted = n_counted + 1 end
  return chosen
end

function delay()
  n_paused = n_paused + 1
  local drawn_ms
  repeat drawn_ms = -math.log(1 - math.random()) * pause_ms until drawn_ms < FIRST_MS or n_paused > n_first
  return math.floor(drawn_ms)
end

function response(status, headers, body)
  local found = string.match(body, '"queue_s":([%d%.e%-]+)')
  if found then longest_wait_s = math.max(longest_wait_s, tonumber(found)) end
end

function done(summary, latency, _)
  local longest = -1
  for _, thread in ipairs(threads) do longest = math.max(longest, thread:get("longest_wait_s")) end
  local errors, seconds, n_answered = summary.errors, summary.duration / 1e6, summary.requests
  local thread = threads[1]
  if thread:get("lead_s") > 0 then
    seconds, n_answered = now_s() - thread:get("counts_from_s"), thread:get("n_counted")
  end
  io.write(string.format(
    '{"seconds":%.6f,"n_answered":%d,"n_refused":%d,"n_broken":%d,"p50_ms":%.4f,"p99_ms":%.4f,' ..
    '"max_ms":%.4f,"longest_wait_s":%.6f}\n',
    seconds, n_answered, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3, longest))
end
