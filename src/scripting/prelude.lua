-- What a script may use, and how it is asked. This runs inside the sandbox, under the script's own limits.
--
-- Lua's own functions are here only where one call of theirs is bounded by the memory that it takes, and where
-- they answer the same on every machine: there is no pcall, which would catch the end of a budget; no pattern,
-- which may take for ever in one call; no random number, no address, no order by hash, no metatable.

local host = ...
local assert, error, getmetatable, ipairs, next, rawset, select, setmetatable, tonumber, type =
  assert, error, getmetatable, ipairs, next, rawset, select, setmetatable, tonumber, type
local floor, lua_concat, lua_find, lua_format, lua_gsub, lua_tostring =
  math.floor, table.concat, string.find, string.format, string.gsub, tostring

-- The longest form that string.format takes: it is looked through before it is used.
local FORM_MAX = 200

-- Text without an address: a table's or a function's would differ from one process to the next.
local function text(value)
  local kind = type(value)
  if kind == "string" or kind == "number" or kind == "boolean" or kind == "nil" then
    return lua_tostring(value)
  end
  return kind
end

local function format(form, ...)
  if type(form) ~= "string" or #form > FORM_MAX then
    error("string.format takes a text of at most " .. FORM_MAX .. " characters first", 2)
  end
  if lua_find(lua_gsub(form, "%%%%", ""), "%%[^%a]*p") then
    error("string.format has no %p here", 2)
  end
  for place = 1, select("#", ...) do
    local kind = type((select(place, ...)))
    if kind == "table" or kind == "function" then
      error("string.format takes no " .. kind, 2)
    end
  end
  return lua_format(form, ...)
end

local function less(a, b)
  return a < b
end

-- Sorts n values by merging: stable, and done after n log n comparisons, whatever the comparison says.
local function sort_first(values, n, before)
  local from, to, width = values, {}, 1
  while width < n do
    for low = 1, n, 2 * width do
      local middle, high = low + width, low + 2 * width
      if middle > n + 1 then middle = n + 1 end
      if high > n + 1 then high = n + 1 end
      local left, right = low, middle
      for place = low, high - 1 do
        if left < middle and (right >= high or not before(from[right], from[left])) then
          to[place], left = from[left], left + 1
        else
          to[place], right = from[right], right + 1
        end
      end
    end
    from, to, width = to, from, 2 * width
  end
  if from ~= values then
    for place = 1, n do values[place] = from[place] end
  end
end

local function by_kind_and_value(a, b)
  local kind, other = type(a), type(b)
  if kind ~= other then return kind < other end
  return a < b
end

-- By numbers, then by texts: Lua's own order hangs on a seed that is another one in each process.
local function pairs_in_order(values)
  if type(values) ~= "table" then error("pairs takes a table, not a " .. type(values), 2) end
  local keys, n = {}, 0
  for key in next, values do
    local kind = type(key)
    if kind ~= "number" and kind ~= "string" then
      error("pairs takes tables whose keys are numbers or texts, and one is a " .. kind, 2)
    end
    n = n + 1
    keys[n] = key
  end
  sort_first(keys, n, by_kind_and_value)
  local place = 0
  return function()
    place = place + 1
    local key = keys[place]
    if key ~= nil then return key, values[key] end
  end
end

local function take_table(name, values)
  if type(values) ~= "table" then error(name .. " takes a table first, not a " .. type(values), 3) end
end

local function place_in(name, place, last)
  if math.type(place) ~= "integer" or place < 1 or place > last then
    error(name .. " takes a place from 1 to " .. last, 3)
  end
end

-- These are loops of Lua, and not of C, so that each of their steps counts.
local tables = {}

function tables.insert(values, ...)
  take_table("table.insert", values)
  local last, given = #values, select("#", ...)
  if given == 1 then
    values[last + 1] = (...)
  elseif given == 2 then
    local place, value = ...
    place_in("table.insert", place, last + 1)
    for at = last, place, -1 do values[at + 1] = values[at] end
    values[place] = value
  else
    error("table.insert takes a table, a place and a value, or a table and a value", 2)
  end
end

function tables.remove(values, place)
  take_table("table.remove", values)
  local last = #values
  if last == 0 then return nil end
  if place == nil then place = last end
  place_in("table.remove", place, last)
  local removed = values[place]
  for at = place, last - 1 do values[at] = values[at + 1] end
  values[last] = nil
  return removed
end

function tables.sort(values, before)
  take_table("table.sort", values)
  sort_first(values, #values, before or less)
end

function tables.concat(values, separator)
  take_table("table.concat", values)
  return lua_concat(values, separator)
end

local numbers = {}
for _, name in ipairs {
  "abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log", "max", "maxinteger",
  "min", "mininteger", "modf", "pi", "rad", "sin", "sqrt", "tan", "tointeger", "type", "ult",
} do
  numbers[name] = math[name]
end

-- The methods of texts (`name:upper()`) are looked up in Lua's own table: what is not kept goes there, too.
local texts = {}
for _, name in ipairs { "byte", "char", "len", "lower", "sub", "upper" } do
  texts[name] = string[name]
end
texts.format = format
for name in next, string do string[name] = nil end
for name, method in next, texts do string[name] = method end

local function frozen(contents)
  return setmetatable({}, {
    __index = contents,
    __newindex = function() error("what is given to a script cannot be changed", 2) end,
    __metatable = false,
  })
end

local library = {
  assert = assert,
  error = error,
  ipairs = ipairs,
  math = frozen(numbers),
  pairs = pairs_in_order,
  select = select,
  string = frozen(texts),
  table = frozen(tables),
  tonumber = tonumber,
  tostring = text,
  type = type,
}

-- A price to its unit, a hundred-millionth of a dollar: sums of prices then compare as on paper.
function library.price(value)
  return floor(value * 1e8 + 0.5) / 1e8
end

library.note = host.note

-- Columns are made when they are first looked at.
local function table_of(is_known, ...)
  if is_known then return { ... } end
end

local of_bars = {}

function of_bars.first(bars, name, relation, value, from)
  return host.first(bars.frame, name, relation, value, from or 1)
end

function of_bars.count(bars, name, relation, value, from)
  return host.count(bars.frame, name, relation, value, from or 1)
end

local columns = {
  __index = function(bars, name)
    local method = of_bars[name]
    if method ~= nil then return method end
    local column = table_of(host.column(bars.frame, name))
    if column ~= nil then rawset(bars, name, column) end
    return column
  end,
  __metatable = false,
}

local methods = {}

function methods.bars(_, frame)
  return setmetatable({ frame = frame, n = host.length(frame) }, columns)
end

function methods.premarket(_)
  return setmetatable({ frame = "premarket", n = host.length("premarket") }, columns)
end

function methods.opening_range(_, minutes)
  local high, low, traded = host.opening_range(minutes)
  if high ~= nil then return { high = high, low = low, width = library.price(high - low), minutes = traded } end
end

function methods.average_range(_, frame)
  return host.average_range(frame)
end

function methods.entry(_, direction)
  return host.entry(direction)
end

function methods.indicator(_, name, frame, bars_ago)
  return host.indicator(name, frame, bars_ago or 0)
end

local views = { __index = methods, __metatable = false }
local globals = { __index = library, __metatable = false }

-- The script as a whole runs each time that it is asked: nothing is left over from one answer to the next.
local function load(script, own)
  script(setmetatable(own, globals))
  return own
end

local function propose(script, own, view, params)
  return load(script, own).propose(setmetatable(view, views), params)
end

return load, propose, frozen
