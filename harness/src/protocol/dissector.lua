-- What follows is the same for every description: it decodes as the harness does, then shows what it found.

local MESSAGE_LEN_MAX = 67108864
local ELEMENTS_MAX = 1048576
local NESTING_MAX = 32
local DIGITS_MAX = 30
local VARINT_LEN_MAX = 10
local DOMAIN_NAME_LEN_MAX = 254
local SHOWN_MAX = 200
local TWO32 = 4294967296

proto_fields[#proto_fields + 1] = name_field
proto.fields = proto_fields

local bitops = bit32 or bit
local regex = rex_pcre2 or GRegex

-- What an empty input may be.
local all = {}
for at = 1, #messages do
    all[at] = at
end

-- Thrown where more bytes decide. Where they are no such message, `wrong` throws a table.
local NEED_MORE = "need more"

local function wrong(cursor, at, expected, found)
    local path = table.concat(cursor.path, ".")
    error({ at = at, path = path, expected = expected, found = tostring(found) }, 0)
end

local function shown_bytes(bytes)
    local text = bytes:sub(1, SHOWN_MAX):gsub('[%c\\"\128-\255]', function(char)
        local known = ({ ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' })[char]
        return known or string.format("\\x%02x", char:byte())
    end)
    return '"' .. text .. '"'
end

-- Numbers: plain ones where these are exact, Int64 and UInt64 beyond.

local function compare(a, b)
    if type(a) ~= "number" and type(b) ~= "number" then
        if tostring(a) == tostring(b) then
            return 0
        end
    end
    local x = type(a) == "number" and a or a:tonumber()
    local y = type(b) == "number" and b or b:tonumber()
    if x == y and type(a) ~= "number" and type(b) ~= "number" then
        -- Both have as many digits, and differ in one that the nearest plain number does not have.
        return (tostring(a) < tostring(b)) == (x > 0) and -1 or 1
    end
    return x < y and -1 or x > y and 1 or 0
end

local function wide(high, low, signed)
    if signed and high >= 0x80000000 then
        local value = (high - TWO32) * TWO32 + low
        return high >= 0xffe00000 and value or Int64(low, high)
    end
    if high < 0x200000 then
        return high * TWO32 + low
    end
    return signed and Int64(low, high) or UInt64(low, high)
end

local function bits_of(value, bits)
    if type(value) == "number" then
        return math.floor(value / bits.div) % bits.mod
    end
    -- Of more than 53 bits: halves, as they lie.
    local high, low = value:higher() % TWO32, value:lower() % TWO32
    local part = 0
    for at = bits.shift + bits.width - 1, bits.shift, -1 do
        local half, shift = at >= 32 and high or low, at % 32
        part = part * 2 + bitops.band(bitops.rshift(half, shift), 1)
    end
    return part
end

-- Checksums.

local function reflected(bytes, polynomial, crc)
    for at = 1, #bytes do
        crc = bitops.bxor(crc, bytes:byte(at))
        for _ = 1, 8 do
            local odd = bitops.band(crc, 1) == 1
            crc = bitops.rshift(crc, 1)
            if odd then
                crc = bitops.bxor(crc, polynomial)
            end
        end
    end
    return crc % TWO32
end

local SUMS = {
    adler32 = function(bytes)
        local a, b = 1, 0
        for at = 1, #bytes do
            a = (a + bytes:byte(at)) % 65521
            b = (b + a) % 65521
        end
        return b * 65536 + a
    end,
    crc16 = function(bytes)
        return reflected(bytes, 0xa001, 0)
    end,
    ["crc16-ccitt"] = function(bytes)
        local crc = 0
        for at = 1, #bytes do
            crc = bitops.bxor(crc, bytes:byte(at) * 256)
            for _ = 1, 8 do
                crc = crc >= 0x8000 and bitops.bxor(crc * 2, 0x1021) % 65536 or crc * 2
            end
        end
        return crc
    end,
    ["crc16-modbus"] = function(bytes)
        return reflected(bytes, 0xa001, 0xffff)
    end,
    crc32 = function(bytes)
        return bitops.bnot(reflected(bytes, 0xedb88320, 0xffffffff)) % TWO32
    end,
    crc32c = function(bytes)
        return bitops.bnot(reflected(bytes, 0x82f63b78, 0xffffffff)) % TWO32
    end,
    internet = function(bytes)
        local sum = 0
        for at = 1, #bytes, 2 do
            sum = sum + bytes:byte(at) * 256 + (bytes:byte(at + 1) or 0)
        end
        while sum > 0xffff do
            sum = sum % 65536 + math.floor(sum / 65536)
        end
        return 0xffff - sum
    end,
}

-- Where things are: a level is the fields of one structure, those that were read, and the level around it.

local function number_at(level, reference)
    for _ = 1, reference.up do
        level = level.parent
        if not level then
            return nil
        end
    end
    local path = reference.path
    for at = 1, #path - 1 do
        local item = level.items[path[at]]
        if not item or item.absent or item.f.kind ~= "struct" then
            return nil
        end
        level = item.level
    end
    local item = level.items[path[#path]]
    if not item or item.number == nil then
        return nil
    end
    if reference.bits then
        return bits_of(item.number, item.f.bits[reference.bits])
    end
    return item.number
end

-- Whether a condition holds; nil where a field that it speaks of is not there.
local function holds(level, condition)
    local op = condition.op
    if op == "not" then
        local inner = holds(level, condition[1])
        if inner == nil then
            return nil
        end
        return not inner
    end
    if op == "and" or op == "or" then
        local first = holds(level, condition[1])
        if first == nil or first == (op == "or") then
            return first
        end
        return holds(level, condition[2])
    end
    local value = number_at(level, condition.of)
    if value == nil then
        return nil
    end
    if op == "&" then
        return bitops.band(type(value) == "number" and value or value:lower(), condition.with) ~= 0
    end
    local order = compare(value, condition.with)
    if op == "==" then
        return order == 0
    elseif op == "!=" then
        return order ~= 0
    elseif op == "<" then
        return order < 0
    elseif op == "<=" then
        return order <= 0
    elseif op == ">" then
        return order > 0
    end
    return order >= 0
end

-- Reading. Positions count from 0, as Wireshark's do.

local function bytes_at(cursor, from, to)
    return cursor.input:sub(from + 1, to)
end

local function take(cursor, len)
    local from = cursor.at
    local to = from + len
    if to > MESSAGE_LEN_MAX then
        wrong(cursor, from, "at most " .. MESSAGE_LEN_MAX .. " bytes of a message", len .. " bytes")
    end
    if cursor.stop.at and to > cursor.stop.at then
        wrong(cursor, from, len .. " bytes", math.max(cursor.stop.at - from, 0) .. " left")
    end
    if to > #cursor.input then
        error(NEED_MORE, 0)
    end
    cursor.at = to
    return from, to
end

local function bound(cursor, stop)
    local around = cursor.stop.at
    if around and stop > around then
        wrong(cursor, cursor.at, (stop - cursor.at) .. " bytes", math.max(around - cursor.at, 0) .. " left")
    end
    if stop > #cursor.input and not cursor.whole then
        error(NEED_MORE, 0)
    end
    return stop
end

local function varint(cursor, most)
    local start = cursor.at
    local parts = { 0, 0, 0 }
    for at = 0, most - 1 do
        local from = take(cursor, 1)
        local byte = cursor.input:byte(from + 1)
        local part = math.floor(at / 4) + 1
        parts[part] = parts[part] + (byte % 128) * bitops.lshift(1, 7 * (at % 4))
        if byte < 128 then
            if parts[3] >= 256 then
                wrong(cursor, start, "a number of 64 bits", "a greater one")
            end
            local low = parts[1] + (parts[2] % 16) * 268435456
            return wide(math.floor(parts[2] / 16) + parts[3] * 16777216, low, false)
        end
    end
    wrong(cursor, start, "a number of at most " .. most .. " bytes", "a longer one")
end

local function raw(cursor, layout)
    if layout.kind == "leb128" then
        return varint(cursor, VARINT_LEN_MAX)
    elseif layout.kind == "mqtt" then
        return varint(cursor, 4)
    end
    local from, len, big, drop = cursor.at, layout.len, layout.big, 0
    if layout.kind == "quic" then
        take(cursor, 1)
        local first = cursor.input:byte(from + 1)
        len, big = bitops.lshift(1, math.floor(first / 64)), true
        drop = math.floor(first / 64) * 64
        take(cursor, len - 1)
    else
        take(cursor, len)
    end
    local high, low = 0, 0
    for at = 1, len do
        local byte = cursor.input:byte(big and from + at or from + len + 1 - at)
        if at == 1 then
            byte = byte - drop
        end
        if len - at >= 4 then
            high = high * 256 + byte
        else
            low = low * 256 + byte
        end
    end
    if layout.signed then
        -- The sign reaches up to the 64th bit.
        local top = len > 4 and high or low
        local limit = 2 ^ (8 * (len > 4 and len - 4 or len) - 1)
        if top >= limit then
            if len > 4 then
                high = high + TWO32 - math.floor(2 * limit)
            else
                low, high = low + TWO32 - math.floor(2 * limit), 0xffffffff
            end
            return wide(high, low, true)
        end
    end
    return wide(high, low, layout.signed)
end

local function prefix(cursor, layout)
    local at = cursor.at
    local len = raw(cursor, layout)
    if type(len) ~= "number" or len < 0 or len > MESSAGE_LEN_MAX then
        wrong(cursor, at, "a length of at most " .. MESSAGE_LEN_MAX, len)
    end
    return len
end

local function check_number(cursor, at, number, value)
    if number.constant and compare(number.constant, value) ~= 0 then
        wrong(cursor, at, tostring(number.constant), value)
    end
    if number.min and compare(value, number.min) < 0 then
        wrong(cursor, at, "at least " .. tostring(number.min), value)
    end
    if number.max and compare(value, number.max) > 0 then
        wrong(cursor, at, "at most " .. tostring(number.max), value)
    end
end

local function size(cursor, extent, level)
    if extent.by == "fixed" then
        return extent.size
    end
    local value = number_at(level, extent.of)
    if type(value) ~= "number" or value + extent.plus < 0 then
        wrong(cursor, cursor.at, "a size in `" .. extent.of.text .. "`", value or "none")
    end
    return value + extent.plus
end

-- Where what reaches to the end of something ends: before what follows it there.
local function rest(cursor, level)
    local stop = cursor.stop
    if not stop.at then
        wrong(cursor, cursor.at, "a message whose end is known", "none")
    end
    local tail, depth = 0, cursor.depth
    while level and depth >= stop.depth do
        local last = depth == stop.depth and stop.to or #level.fields
        for at = #level.items + 2, math.min(last, #level.fields) do
            tail = tail + (level.fields[at].fixed or 0)
        end
        level = level.parent
        depth = depth - 1
    end
    if stop.at - tail < cursor.at then
        wrong(cursor, cursor.at, tail .. " bytes", math.max(stop.at - cursor.at, 0) .. " left")
    end
    return stop.at - tail
end

local function extent_of(cursor, extent, level, max)
    local start = cursor.at
    local function check(len)
        if max and len > max then
            wrong(cursor, start, "at most " .. max .. " bytes", len)
        end
        return len
    end
    if extent.by == "prefix" then
        return take(cursor, check(prefix(cursor, extent.layout)))
    elseif extent.by == "rest" then
        return take(cursor, check(math.max(rest(cursor, level) - start, 0)))
    elseif extent.by == "until" then
        local stop = math.min(cursor.stop.at or #cursor.input, #cursor.input)
        local area = bytes_at(cursor, start, stop)
        local found = area:find(extent.delimiter, 1, true)
        if found then
            check(found - 1)
            cursor.at = start + found - 1 + #extent.delimiter
            return start, start + found - 1
        end
        check(math.max(#area - #extent.delimiter, 0))
        if cursor.whole or (cursor.stop.at and cursor.stop.at <= #cursor.input) then
            wrong(cursor, start, "a delimiter after it", "none in " .. #area .. " bytes")
        end
        error(NEED_MORE, 0)
    end
    return take(cursor, check(size(cursor, extent, level)))
end

-- Whether bytes are UTF-8, as RFC 3629 says.
local function is_utf8(text)
    local at = 1
    while at <= #text do
        local first = text:byte(at)
        local more, least, most = 0, 0x80, 0xbf
        if first >= 0x80 then
            if first >= 0xc2 and first <= 0xdf then
                more = 1
            elseif first >= 0xe0 and first <= 0xef then
                more = 2
                least = first == 0xe0 and 0xa0 or 0x80
                most = first == 0xed and 0x9f or 0xbf
            elseif first >= 0xf0 and first <= 0xf4 then
                more = 3
                least = first == 0xf0 and 0x90 or 0x80
                most = first == 0xf4 and 0x8f or 0xbf
            else
                return false
            end
        end
        for next = 1, more do
            local byte = text:byte(at + next) or 0
            if byte < least or byte > most then
                return false
            end
            least, most = 0x80, 0xbf
        end
        at = at + 1 + more
    end
    return true
end

local function domain_name(cursor)
    local start = cursor.at
    local name, limit, len, elsewhere = {}, start, 0, nil
    local function next_bytes(count)
        if not elsewhere then
            return take(cursor, count)
        end
        local from = elsewhere
        if from + count > start then
            wrong(cursor, from, "labels before the name itself", "none")
        end
        elsewhere = from + count
        return from, elsewhere
    end
    while true do
        local at = elsewhere or cursor.at
        local byte = cursor.input:byte(next_bytes(1) + 1)
        if byte == 0 then
            return #name == 0 and "." or table.concat(name, ".")
        elseif byte < 64 then
            local from, to = next_bytes(byte)
            len = len + byte + 1
            if len > DOMAIN_NAME_LEN_MAX then
                wrong(cursor, at, "a name of at most " .. DOMAIN_NAME_LEN_MAX .. " bytes", "a longer one")
            end
            -- What would be read as something else stands escaped, as in zone files (RFC 1035, 5.1).
            name[#name + 1] = bytes_at(cursor, from, to):gsub(".", function(char)
                local code = char:byte()
                if char == "." or char == "\\" then
                    return "\\" .. char
                elseif code >= 0x21 and code <= 0x7e then
                    return char
                end
                return string.format("\\%03d", code)
            end)
        elseif byte >= 0xc0 then
            local to = (byte - 0xc0) * 256 + cursor.input:byte(next_bytes(1) + 1)
            if to >= limit then
                wrong(cursor, at, "a pointer to before byte " .. limit, "one to byte " .. to)
            end
            limit, elsewhere = to, to
        else
            wrong(cursor, at, "a label of at most 63 bytes, or a pointer", byte)
        end
    end
end

local read_field

local function read_fields(cursor, level)
    local fields, items = level.fields, level.items
    local bounds, waiting = {}, {}
    for number, field in ipairs(fields) do
        for at = #waiting, 1, -1 do
            local span = waiting[at]
            if span.from == number then
                table.remove(waiting, at)
                local stop = bound(cursor, cursor.at + span.len)
                bounds[#bounds + 1] = { to = span.to, stop = stop, around = cursor.stop, of = span.of }
                cursor.stop = { at = stop, depth = cursor.depth, to = span.to }
            end
        end
        cursor.path[#cursor.path + 1] = field.name
        local item = read_field(cursor, field, level, level)
        local compute = field.compute
        if compute and compute.how == "length" and not field.only_if and item.number ~= nil then
            local len = item.number
            if type(len) == "number" then
                len = len - compute.plus
            end
            if type(len) ~= "number" or len < 0 or len > MESSAGE_LEN_MAX then
                wrong(cursor, item.from, "a length of at most " .. MESSAGE_LEN_MAX, item.number)
            end
            if compute.from > number then
                waiting[#waiting + 1] = { from = compute.from, to = compute.to, len = len, of = number }
            else
                -- It counts what came before it, too, and perhaps itself.
                local start = compute.from == number and item.from or items[compute.from].from
                local stop = start + len
                if stop < item.to then
                    wrong(cursor, item.from, "a length of at least " .. (item.to - start), item.number)
                end
                if compute.to > number then
                    stop = bound(cursor, stop)
                    bounds[#bounds + 1] = { to = compute.to, stop = stop, around = cursor.stop, of = number }
                    cursor.stop = { at = stop, depth = cursor.depth, to = compute.to }
                end
            end
        end
        items[number] = item
        level.open = nil
        while #bounds > 0 and bounds[#bounds].to == number do
            local span = table.remove(bounds)
            if cursor.at ~= span.stop then
                local expected = "the end of what `" .. fields[span.of].name .. "` says, at byte " .. span.stop
                wrong(cursor, cursor.at, expected, (span.stop - cursor.at) .. " bytes more")
            end
            cursor.stop = span.around
        end
        cursor.path[#cursor.path] = nil
    end
    for number, field in ipairs(fields) do
        local compute, item = field.compute, items[number]
        if compute and item.number ~= nil then
            local from, to = items[compute.from], items[compute.to]
            local expected
            if compute.how == "count" then
                expected = from.items and #from.items or 0
            elseif compute.how == "length" then
                expected = to.to - from.from
            elseif compute.how == "offset" then
                expected = from.from
            else
                local bytes = bytes_at(cursor, from.from, to.to)
                if compute.from <= number and number <= compute.to then
                    local own = item.from - from.from
                    bytes = bytes:sub(1, own) .. string.rep("\0", item.to - item.from) .. bytes:sub(own + item.to - item.from + 1)
                end
                expected = SUMS[compute.how](bytes)
            end
            if compare(item.number, expected + compute.plus) ~= 0 then
                cursor.path[#cursor.path + 1] = field.name
                wrong(cursor, item.from, (expected + compute.plus) .. " (" .. compute.text .. ")", item.number)
            end
        end
    end
end

local function read_nested(cursor, fields, level, item)
    cursor.depth = cursor.depth + 1
    if cursor.depth > NESTING_MAX then
        wrong(cursor, cursor.at, "at most " .. NESTING_MAX .. " structures in each other", "more")
    end
    item.level = { fields = fields, items = {}, parent = level }
    read_fields(cursor, item.level)
    cursor.depth = cursor.depth - 1
end

local READ = {}

function READ.align(cursor, field)
    take(cursor, -cursor.at % field.to)
end

function READ.array(cursor, field, level, item)
    local extent, around, wanted, delimiter = field.extent, cursor.stop, nil, nil
    item.items = {}
    if extent.by == "count" or extent.by == "fixed" then
        wanted = size(cursor, extent, level)
    elseif extent.by == "until" then
        delimiter = extent.delimiter
    else
        local stop
        if extent.by == "rest" then
            stop = rest(cursor, level)
        else
            local len = extent.by == "prefix" and prefix(cursor, extent.layout) or size(cursor, extent, level)
            stop = bound(cursor, cursor.at + len)
        end
        cursor.stop = { at = stop, depth = cursor.depth + 1, to = math.huge }
    end
    while not wanted or #item.items < wanted do
        if delimiter then
            local ahead = bytes_at(cursor, cursor.at, math.min(cursor.at + #delimiter, cursor.stop.at or #cursor.input))
            if ahead == delimiter then
                cursor.at = cursor.at + #delimiter
                break
            end
            if delimiter:sub(1, #ahead) == ahead and not cursor.whole and not cursor.stop.at then
                error(NEED_MORE, 0)
            end
        elseif not wanted and cursor.stop.at and cursor.at >= cursor.stop.at then
            break
        end
        cursor.elements = cursor.elements + 1
        if cursor.elements > ELEMENTS_MAX then
            wrong(cursor, cursor.at, "at most " .. ELEMENTS_MAX .. " elements", "more")
        end
        local before = cursor.at
        cursor.path[#cursor.path + 1] = "[" .. #item.items .. "]"
        local element = read_field(cursor, field.of, level, item)
        if cursor.at == before and not wanted then
            wrong(cursor, cursor.at, "an element", "one without bytes")
        end
        cursor.path[#cursor.path] = nil
        item.items[#item.items + 1] = element
        item.open = nil
    end
    cursor.stop = around
end

function READ.bytes(cursor, field, level, item)
    if field.constant then
        local have = bytes_at(cursor, cursor.at, cursor.at + #field.constant)
        if field.constant:sub(1, #have) ~= have then
            wrong(cursor, cursor.at, shown_bytes(field.constant), shown_bytes(have))
        end
    end
    local from, to = extent_of(cursor, field.extent, level, field.max)
    while field.pad and from < to and cursor.input:byte(from + 1) == field.pad do
        from = from + 1
    end
    item.content_from, item.content_to = from, to
    local bytes = bytes_at(cursor, from, to)
    if field.constant and bytes ~= field.constant then
        wrong(cursor, from, shown_bytes(field.constant), shown_bytes(bytes))
    end
    if field.text then
        if not is_utf8(bytes) then
            wrong(cursor, from, "UTF-8", "other bytes")
        end
        if field.pattern and regex then
            field.regex = field.regex or regex.new("\\A(?:" .. field.pattern .. ")\\z")
            if not field.regex:find(bytes) then
                wrong(cursor, from, "a text like " .. field.pattern, shown_bytes(bytes))
            end
        end
    end
end

READ["domain-name"] = function(cursor, _, _, item)
    item.text = domain_name(cursor)
end

function READ.digits(cursor, field, level, item)
    local start = cursor.at
    local from, to = extent_of(cursor, field.extent, level, DIGITS_MAX)
    item.content_from, item.content_to = from, to
    local text = bytes_at(cursor, from, to)
    local sign, digits = text:match("^(%-?)(.*)$")
    if digits == "" or digits:find(field.radix == 16 and "%X" or "%D") then
        wrong(cursor, from, "digits", shown_bytes(text))
    end
    local high, low = 0, 0
    for at = 1, #digits do
        low = low * field.radix + tonumber(digits:sub(at, at), 16)
        high = high * field.radix + math.floor(low / TWO32)
        low = low % TWO32
    end
    if high >= 0x80000000 then
        -- More than Wireshark's numbers hold: it is shown as it stands.
        item.number, item.is_huge = high * TWO32, true
    else
        item.number = wide(high, low, true)
    end
    if sign == "-" then
        item.number = -item.number
    end
    check_number(cursor, start, field.number, item.number)
end

function READ.integer(cursor, field, _, item)
    local start = cursor.at
    item.number = raw(cursor, field.layout)
    check_number(cursor, start, field.number, item.number)
    for _, bits in ipairs(field.bits or {}) do
        check_number(cursor, start, bits.number, bits_of(item.number, bits))
    end
end

function READ.struct(cursor, field, level, item)
    read_nested(cursor, field.fields or structs[field.named], level, item)
end

function READ.switch(cursor, field, level, item)
    local value = number_at(level, field.on)
    if value == nil then
        wrong(cursor, cursor.at, "the field `" .. field.on.text .. "`", "none")
    end
    local fields = field.default
    for _, case in ipairs(field.cases) do
        for _, known in ipairs(case.values) do
            if compare(known, value) == 0 then
                fields = case.fields
            end
        end
        if fields == case.fields then
            break
        end
    end
    if not fields then
        wrong(cursor, cursor.at, "a case for `" .. field.on.text .. "`", value)
    end
    read_nested(cursor, fields, level, item)
end

-- `holder` is told what is being read, so that as much as was understood of what is malformed can be shown.
function read_field(cursor, field, level, holder)
    local item = { f = field, from = cursor.at, to = cursor.at }
    if field.only_if and holds(level, field.only_if) ~= true then
        item.absent = true
        return item
    end
    holder.open = item
    READ[field.kind](cursor, field, level, item)
    item.to = cursor.at
    return item
end

-- Decodes `input` as this message: what was found, and an error or NEED_MORE where it is not whole.
local function decode_as(message, input, whole)
    local level = { fields = message.fields, items = {} }
    local cursor = { input = input, at = 0, whole = whole, elements = 0, depth = 0, path = {} }
    cursor.stop = { at = whole and #input or nil, depth = 0, to = math.huge }
    local found = { message = message, level = level, len = 0 }
    local is_right, problem = pcall(function()
        read_fields(cursor, level)
        if whole and cursor.at < #input then
            wrong(cursor, cursor.at, "the end of the message", (#input - cursor.at) .. " bytes more")
        end
    end)
    found.len = cursor.at
    if is_right then
        return found
    end
    -- What was being read ends where reading stopped.
    local open = level.open
    while open do
        open.to = cursor.at
        open = (open.level or open).open
    end
    if problem == NEED_MORE or type(problem) == "table" then
        return found, problem
    end
    error(problem, 0)
end

-- Decodes the message at the front of `input`. An answer without `error` is a message; none says that more bytes decide.
local function decode(input, whole, direction)
    local heard = all
    if #input > 0 then
        heard = lists[begins[input:byte(1) + 1]]
    elseif not whole then
        return nil
    end
    local nearest, shortest, waits
    for _, at in ipairs(heard) do
        local message = messages[at]
        if not direction or not message.direction or message.direction == direction then
            local found, problem = decode_as(message, input, whole)
            if not problem and whole then
                return found
            elseif not problem then
                -- Of several that it could be, the one that is whole first.
                if not shortest or found.len < shortest.len then
                    shortest = found
                end
            elseif problem == NEED_MORE then
                waits = true
            elseif #input > 0 and (not nearest or nearest.error.at < problem.at) then
                found.error = problem
                nearest = found
            end
        end
    end
    if shortest or waits then
        return shortest
    end
    local expected = "a message of `" .. name .. "`"
    return nearest or { len = 0, error = { at = 0, path = "", expected = expected, found = "none" } }
end

-- Where the next frame of a stream ends: its body's range and its end; or what is missing; or what is wrong.
local CUT = {}

function CUT.delimiter(input, at)
    local from = input:find(framing.terminator, at + 1, true)
    if from and from - 1 - at <= framing.max then
        return at, from - 1, from - 1 + #framing.terminator
    elseif not from and #input - at < framing.max + #framing.terminator then
        return nil, DESEGMENT_ONE_MORE_SEGMENT
    end
    return nil, nil, "a terminator within " .. framing.max .. " bytes"
end

function CUT.fixed(input, at)
    local missing = at + framing.len - #input
    if missing > 0 then
        return nil, missing
    end
    return at, at + framing.len, at + framing.len
end

function CUT.length_prefix(input, at)
    local rest = input:sub(at + 1, at + VARINT_LEN_MAX)
    local cursor = { input = rest, at = 0, stop = {}, path = {} }
    local is_right, len = pcall(raw, cursor, framing.layout)
    if not is_right then
        if len == NEED_MORE then
            return nil, DESEGMENT_ONE_MORE_SEGMENT
        end
        return nil, nil, type(len) == "table" and len.expected or tostring(len)
    end
    if type(len) == "number" and framing.includes_prefix then
        len = len - cursor.at
    end
    if type(len) ~= "number" or len < 0 or len > framing.max then
        return nil, nil, "a length of at most " .. framing.max
    end
    local from = at + cursor.at
    if from + len > #input then
        return nil, from + len - #input
    end
    return from, from + len, from + len
end

-- Showing.

local function shown_number(names, value)
    return names and names[value] or tostring(value)
end

local show_level

local function show_item(item, input)
    local field = item.f
    if item.items then
        local elements = {}
        for _, element in ipairs(item.items) do
            elements[#elements + 1] = show_item(element, input)
        end
        return "[" .. table.concat(elements, ", ") .. "]"
    elseif item.level then
        return show_level(item.level, input)
    elseif item.number ~= nil then
        if not field.bits then
            return shown_number(field.number.names, item.number)
        end
        local parts = {}
        for _, bits in ipairs(field.bits) do
            if bits.name ~= "" then
                parts[#parts + 1] = bits.name .. " = " .. shown_number(bits.number.names, bits_of(item.number, bits))
            end
        end
        return "{ " .. table.concat(parts, ", ") .. " }"
    elseif item.text then
        return item.text
    end
    return shown_bytes(input:sub((item.content_from or 0) + 1, item.content_to or 0))
end

-- A message in words: `get { id = 7, key = "colour" }`.
function show_level(level, input)
    local parts = {}
    for _, item in ipairs(level.items) do
        if item.f.name ~= "" and not item.absent then
            parts[#parts + 1] = item.f.name .. " = " .. show_item(item, input)
        end
    end
    return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

-- A number in the type that a field of Wireshark takes.
local function typed(value, type_name)
    if type_name == "UINT64" then
        return type(value) == "number" and UInt64(value % TWO32, math.floor(value / TWO32)) or value
    elseif type_name == "INT64" then
        if type(value) ~= "number" then
            return value
        end
        return Int64(value % TWO32, math.floor(value / TWO32) % TWO32)
    end
    return value
end

local function add_item(tree, tvb, base, item)
    local field = item.f
    if item.absent or not (field.field or item.items) then
        return
    end
    local from, to = base + item.from, base + math.max(item.to, item.from)
    if item.content_from then
        from, to = base + item.content_from, base + item.content_to
    end
    if item.items then
        for _, element in ipairs(item.items) do
            add_item(tree, tvb, base, element)
        end
        if item.open then
            add_item(tree, tvb, base, item.open)
        end
    elseif item.level then
        local node = tree:add(proto_fields[field.field], tvb(from, to - from))
        for _, inner in ipairs(item.level.items) do
            add_item(node, tvb, base, inner)
        end
        if item.level.open then
            add_item(node, tvb, base, item.level.open)
        end
    elseif item.is_huge then
        tree:add(tvb(from, to - from), field.name .. ": " .. tvb(from, to - from):string())
    elseif item.number ~= nil then
        local node = tree:add(proto_fields[field.field], tvb(from, to - from), typed(item.number, field.type))
        for _, bits in ipairs(field.bits or {}) do
            if bits.field then
                local bits_field = proto_fields[bits.field]
                if bits.masked then
                    -- It takes its part of the whole by itself.
                    node[bits.masked](node, bits_field, tvb(from, to - from))
                else
                    node:add(bits_field, tvb(from, to - from), typed(bits_of(item.number, bits), bits.type))
                end
            end
        end
    elseif item.text then
        tree:add(proto_fields[field.field], tvb(from, to - from), item.text)
    elseif field.text and item.content_from then
        tree:add_packet_field(proto_fields[field.field], tvb(from, to - from), ENC_UTF_8)
    elseif item.content_from then
        tree:add(proto_fields[field.field], tvb(from, to - from))
    end
end

-- Adds one message, the bytes from `from` to `to` of which `body` to `body_to` are its own, and gives its summary.
local function add_message(tvb, tree, from, to, body, found, input)
    local root = tree:add(proto, tvb(from, to - from))
    local title = found.message and found.message.name or "unknown"
    root:append_text(", " .. title)
    root:add(name_field, tvb(body, 0), title):set_generated()
    if found.message then
        local node = root:add(proto_fields[found.message.field], tvb(body, found.len))
        for _, item in ipairs(found.level.items) do
            add_item(node, tvb, body, item)
        end
        if found.level.open then
            add_item(node, tvb, body, found.level.open)
        end
    end
    local problem = found.error
    if problem then
        local where = problem.path ~= "" and "`" .. problem.path .. "`: " or ""
        local text = where .. "expected " .. problem.expected .. " at byte " .. problem.at .. ", found " .. problem.found
        root:add_proto_expert_info(malformed, text)
        return title .. " (malformed)"
    end
    return title .. " " .. show_level(found.level, input)
end

-- The clients over UDP: who sent to the port that this dissector is there for.
local clients = {}

function proto.init()
    clients = {}
end

local function ends(pinfo)
    return tostring(pinfo.src) .. " " .. pinfo.src_port, tostring(pinfo.dst) .. " " .. pinfo.dst_port
end

local function direction_of(pinfo)
    local source, target = ends(pinfo)
    if clients[source] ~= clients[target] then
        return clients[source] and "request" or "reply"
    end
    local port = pinfo.match_uint
    if pinfo.src_port ~= pinfo.dst_port then
        if port == pinfo.dst_port then
            return "request"
        elseif port == pinfo.src_port then
            return "reply"
        end
    end
    return nil
end

local function tell(pinfo, summaries)
    if #summaries == 0 then
        return
    end
    pinfo.cols.protocol = name
    pinfo.cols.info = table.concat(summaries, " "):sub(1, SHOWN_MAX) .. " "
    -- A packet may hold the end of one message and the whole of the next.
    pinfo.cols.info:fence()
end

local function dissect_datagram(tvb, pinfo, tree)
    local source, target = ends(pinfo)
    if pinfo.match_uint == pinfo.dst_port and not clients[target] then
        clients[source] = true
    end
    local input = tvb:len() > 0 and tvb:raw(0, tvb:len()) or ""
    local found = decode(input, true, direction_of(pinfo))
    tell(pinfo, { add_message(tvb, tree, 0, #input, 0, found, input) })
    return #input
end

local function dissect_stream(tvb, pinfo, tree)
    local input = tvb:raw(0, tvb:len())
    local direction = direction_of(pinfo)
    local at, summaries = 0, {}
    while at < #input do
        local from, to, after, problem
        local found
        if framing then
            from, to, after = CUT[framing.kind](input, at)
            if from then
                found = decode(input:sub(from + 1, to), true, direction)
            elseif not to then
                problem = after
            end
        else
            found = decode(input:sub(at + 1), false, direction)
            from, to = at, DESEGMENT_ONE_MORE_SEGMENT
            if found and found.error then
                -- Nobody knows where the next message would begin.
                after = #input
            elseif found then
                after = at + found.len
            end
        end
        if problem then
            found = { len = 0, error = { at = 0, path = "", expected = problem, found = "none" } }
            from, after = at, #input
        end
        if not found then
            if pinfo.can_desegment > 0 then
                pinfo.desegment_offset = at
                pinfo.desegment_len = to
                break
            end
            found = { len = 0, error = { at = 0, path = "", expected = "the rest of the message", found = "none" } }
            from, after = at, #input
        end
        local body = input:sub(from + 1, after)
        summaries[#summaries + 1] = add_message(tvb, tree, at, after, from, found, body)
        at = after
    end
    tell(pinfo, summaries)
    return #input
end

-- A server may answer from another port than it was called at, as TFTP's do: then the conversation is known by its client.
local function continue_datagrams(tvb, pinfo, tree)
    local source, target = ends(pinfo)
    if not clients[source] and not clients[target] then
        return false
    end
    dissect_datagram(tvb, pinfo, tree)
    return true
end

function proto.dissector(tvb, pinfo, tree)
    local dissect = pinfo.port_type == 3 and dissect_datagram or dissect_stream
    return dissect(tvb, pinfo, tree)
end
