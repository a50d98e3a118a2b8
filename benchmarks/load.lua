-- Script for wrk: POST one file repeatedly, each time as a new image.
-- Arguments after `--`: the file, the API key (may be empty), a name for the run, and `close` for
-- one connection per request, or `same` to send the same upload again and again.
-- Prints one JSON line at the end.

local thread_number = 0

function setup(thread)
  thread:set("number", thread_number)
  thread_number = thread_number + 1
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  body = file:read("*a")
  file:close()
  headers = { ["Content-Type"] = "application/octet-stream" }
  if args[2] ~= "" then headers["Authorization"] = "Bearer " .. args[2] end
  if args[4] == "close" then headers["Connection"] = "close" end
  same = args[4] == "same"
  run = args[3] .. "-" .. number .. "-"
  count = 0
end

function request()
  if not same then count = count + 1 end
  headers["Idempotency-Key"] = run .. count
  return wrk.format("POST", nil, headers, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "refused": %d, "broken": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f}\n',
    summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
