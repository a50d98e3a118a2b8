-- Script for wrk: GET a URL; print one JSON line at the end, like load.lua.
-- Argument after `--`: the API key, or nothing.

function init(args)
  if args[1] then wrk.headers["Authorization"] = "Bearer " .. args[1] end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "refused": %d, "broken": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f}\n',
    summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
