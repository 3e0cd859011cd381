-- The opening-range breakout as a script: with the same settings it gives the very signals of the built-in one.
-- In the configuration:
--
--   strategies:
--     scripts:
--       my_breakout:
--         script: strategies/opening_range.lua
--         params: {range_minutes: 10}

idea = "the price leaves the range of the session's first minutes"

-- What can be set under `params`, with its default.
parameters = {
  range_minutes = 15,   -- length of the opening range
  closes = 2,           -- closes of one minute beyond the level, one after the other
  buffer = 0.05,        -- how far beyond the range the level lies, in ranges
  max_extension = 1.0,  -- furthest entry beyond the level, in ranges
  stop = 2.0,           -- from the entry, in average true ranges of five minutes
  target = 3.0,         -- likewise
}

local floor, max, min = math.floor, math.max, math.min

-- Basis points of a whole, rounded down: 0.25 of it is 2500.
local function basis_points(part, whole)
  return floor(price(part / whole * 10000))
end

-- 0 up to `from`, 10000 from `to` on, linear between them.
local function rise(value, from, to)
  return (min(max(value, from), to) - from) * 10000 // (to - from)
end

-- 0 outside, 10000 between the inner two corners, linear at the flanks.
local function plateau(value, low, full_from, full_to, high)
  return min(rise(value, low, full_from), 10000 - rise(value, full_to, high))
end

-- A part of the confidence with its weight in percent.
local function weighed(name, weight, value)
  note(name, value / 100, "% of ", weight, "%")
  return weight * value
end

-- The direction in which the last closes lie beyond a level, that level, and the first bar after the range.
local function breakout(bars, range, params)
  local buffer = price(range.width * params.buffer)
  local above, below = price(range.high + buffer), price(range.low - buffer)
  local after = bars:first("minute", ">=", params.range_minutes)
  if after then
    local from = max(bars.n - params.closes + 1, after)
    if bars:count("close", ">", above, from) == params.closes then return "long", above, after end
    if bars:count("close", "<", below, from) == params.closes then return "short", below, after end
  end
  note("breakout", "no ", params.closes, " closes above ", above, " or below ", below)
end

-- The weighted sum of what speaks for a breakout, in basis points.
local function confidence(view, bars, range, params, level, after, sign, beyond)
  local width
  if view.daily_atr then
    width = plateau(basis_points(range.width, view.daily_atr), 500, 2000, 6000, 12000)
  else
    width = plateau(basis_points(range.width, range.high), 5, 30, 150, 400)
  end
  width = width * min(range.minutes, params.range_minutes) // params.range_minutes

  local gap = 0
  if view.previous_close then
    gap = sign * basis_points(price(view.open - view.previous_close), view.previous_close)
  end

  -- Of the closes since the first one beyond the level, those that are beyond it.
  local is_beyond = sign > 0 and ">" or "<"
  local first = bars:first("close", is_beyond, level, after)
  local all, closed_beyond = bars.n - first + 1, bars:count("close", is_beyond, level, first)

  local volume = 4000
  if view.relative_volume then volume = rise(basis_points(view.relative_volume, 1), 5000, 20000) end

  return (
    weighed("confidence in distance", 25, plateau(basis_points(beyond, range.width), 0, 2500, 7500, 15000))
    + weighed("confidence in volume", 30, volume)
    + weighed("confidence in range", 20, width)
    + weighed("confidence in gap", 10, rise(gap, -50, 50))
    + weighed("confidence in persistence", 15, rise(closed_beyond * 10000 // all, 5000, 10000))
  ) // 100
end

function propose(view, params)
  local range = view:opening_range(params.range_minutes)
  if not range or range.width <= 0 then
    note("opening range", "no complete range traded")
    return nil
  end
  note("opening range", range.low, " to ", range.high)
  local bars = view:bars("1m")
  local direction, level, after = breakout(bars, range, params)
  if not direction then return nil end

  local sign = direction == "long" and 1 or -1
  local entry = view:entry(direction)
  if not entry then return nil end
  local beyond = sign * price(entry - level)
  if beyond <= 0 or beyond > price(range.width * params.max_extension) then
    note("distance", beyond, " beyond the level, expected above 0 and at most ", params.max_extension, " ranges")
    return nil
  end
  local atr = view:average_range("5m")
  if not atr then
    note("ATR", "unknown: too few bars")
    return nil
  end
  return {
    direction = direction,
    stop = price(entry - sign * price(atr * params.stop)),
    target = price(entry + sign * price(atr * params.target)),
    confidence = confidence(view, bars, range, params, level, after, sign, beyond) / 10000,
  }
end
