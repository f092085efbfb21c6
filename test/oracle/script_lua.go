package oracle

import "strings"

// language is what Lua is, and what stays between messages.
func (s *script) language() {
	s.evals(
		"return 1 + 1",
		"x = 41",
		"x = x + 1; return x",
		"print('printed') return 'returned'",
		"print('one', 2, nil, true) print('three')",
		"return nil",
		"return",
		"return {a = 1, b = {c = 'd'}}",
		"return 1, 'two', {3}, nil, false",
		"local s = {} for k, v in pairs({a=1,b=2,c=3,d=4,e=5,f=6,g=7}) do s[#s+1] = k .. v end return table.concat(s, ',')",
		"local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) return co() + co() + co()",
		"kept = coroutine.create(function(a) while true do a = a + coroutine.yield(a) end end); return select(2, coroutine.resume(kept, 1))",
		"return select(2, coroutine.resume(kept, 10)), coroutine.status(kept)",
		"counter = (function() local n = 0 return function() n = n + 1 return n end end)(); return counter()",
		"return counter() + counter()",
		"M = setmetatable({}, {__index = function(_, k) return k .. '!' end, __call = function(_, a) return a * 2 end, __len = function() return 9 end, __concat = function() return 'cat' end}); return M.key, M(21), #M, M .. 1",
		"local t = setmetatable({}, {__mode = 'k'}) for i = 1, 10 do t[{}] = i end collectgarbage() local n = 0 for _ in pairs(t) do n = n + 1 end return n",
		"closed = 0 setmetatable({}, {__gc = function() closed = closed + 1 end}) collectgarbage() return closed",
		"goto over do x = 0 end ::over:: return x",
		"local function sum(...) local n = 0 for i = 1, select('#', ...) do n = n + (select(i, ...)) end return n end return sum(1, 2, 3, 4)",
		"return load('return ...', 'chunk', 't', {})(7), load('a = 1; return a', 'chunk', 't', {})()",
		"return type(print), type(nil), type({}), type(''), type(1), type(coroutine.create(print))",
		// Addresses differ with how a caller passes texts; that there is one doesn't.
		"return (tostring({}):gsub('0x%x+', 'ADDRESS')), (tostring(print):gsub('0x%x+', 'ADDRESS'))",
	)
}

// errors are what fails: when compiled, when run, in all the ways.
func (s *script) errors() {
	s.evals(
		"this is not Lua",
		"return 'unfinished",
		"return x +",
		"error('boom')",
		"error('without a place', 0)",
		"error({code = 7})",
		"error()",
		"error(12)",
		"error(setmetatable({}, {__tostring = function() return 'an object' end}))",
		"assert(false, 'asserted')",
		"assert(nil)",
		"local t = nil; return t.x",
		"return 1 + {}",
		"return {} .. 'x'",
		"return {} < {}",
		"return 1 // 0",
		"return 2^53 | 0.5",
		"return #nil",
		"return undefined()",
		"return x", // what failed left nothing
		"y = 5; error('after a write')",
		"return tostring(y)",
		"return pcall(error, 'caught')",
		"return select(2, pcall(function() error({a = 1}) end)).a",
		"return xpcall(function() error('inner') end, function(m) return 'handled: ' .. m end)",
		"return select(2, xpcall(function() error('inner') end, function(m) error('again') end))",
		"local n = 0 for i = 1, 1000 do if not pcall(error, i) then n = n + 1 end end return n",
		"local co = coroutine.create(function() error('inside') end) return coroutine.resume(co)",
		"local co = coroutine.wrap(function() error({1}) end) return pcall(co)",
		"return pcall(coroutine.yield, 1)",
		"local f, m = load('return 1 +'); return tostring(f), m",
		"return pcall(string.rep)",
		"return pcall(setmetatable, 1, 2)",
		"return pcall(string.format, '%d', 1.5)",
		"return pcall(require, 'no.such.module')",
		"os.exit(3)",
		"return 'after exit', x",
	)
}

// values are numbers and strings, to the last digit.
func (s *script) values() {
	s.evals(
		"return 'unicode: äöü 你好 🙂 ' .. #'🙂'",
		"return '\\0zero\\1\\127', #'\\0zero'",
		"return string.format('%d %5.2f %s %q', 3, 1/3, 'x', 'a\\nb')",
		"return string.format('%a %e %g %x %o %c %i %10.3s| %-5d|', 0.1, 12345.678, 1e20, 255, 8, 65, -3, 'abcdef', 42)",
		"return 1e100, 2^53, 10 // 3, 7 % -3, 1 / 0 == math.huge, 3 | 4",
		"return math.maxinteger, math.mininteger, 0x7fffffffffffffff + 1",
		"return tostring(0.1), tostring(1e15), tostring(-0.0), 100000000000000",
		"return 1e15, 1e16, 123456789012345678, 0.1 + 0.2, 1/3, -1e-7, 2^63, 1e308 * 10",
		"return tonumber('0x1p4'), tonumber('  12  '), tonumber('1e1'), tonumber('z', 36), tonumber('12a'), tonumber('')",
		"return math.tointeger(3.0), math.tointeger(3.5), math.ult(1, -1), math.fmod(-7, 3), math.modf(-3.7)",
		"return math.sin(1), math.cos(1), math.tan(1), math.exp(1), math.log(10), math.log(8, 2), math.sqrt(2), 2^0.5",
		"return math.asin(1), math.acos(0.5), math.atan(1, 2), math.floor(-1.5), math.ceil(-1.5), math.abs(math.mininteger)",
		"return 7 // 2, -7 // 2, 7.5 // 2, -7 % 3, 7 % -3, -7.5 % 2, 1 << 62, 1 << 64, -1 >> 60, ~0, 5 ~ 3",
		"local z = 0.0 local n = z / z return n ~= n, math.max(1, 2.5), math.min(3, 2)",
		"local b = {} for i = 1, 20 do b[i] = string.format('%.17g', i / 7) end return table.concat(b, ' ')",
		"return ('x'):rep(10):gsub('x', {x = 'yz'})",
		"return string.find('hello world', '(o) (w)')",
		"return ('key = value'):match('^(%w+)%s*=%s*(%w+)$')",
		"local r = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do r[#r+1] = k .. v end return table.concat(r, ';')",
		"return ('THE (quick) fox'):find('%((%a+)%)'), ('x'):byte(), ('%d'):gsub('%%d', '%%%%'), ('f(a(b)c)d'):match('%b()')",
		"return ('THE (quick) fox'):gsub('%f[%a]%a+', string.lower), ('abc'):gsub('', '-'), ('abc'):reverse():upper()",
		"return pcall(string.rep, 'x', -1), pcall(string.find, 'a', '[a'), pcall(string.gsub, 'x', 'x', '%2')",
		"return string.pack('<i4', 100):byte(1, -1), string.unpack('<d', string.pack('<d', 1.5)), string.packsize('i8i4')",
		"return utf8.char(228, 20320, 128578), utf8.len('äö'), utf8.codepoint('你', 1), #utf8.charpattern",
		"local t = {5, 2, 8, 1} table.sort(t, function(a, b) return a > b end) return table.concat(t, ','), table.unpack(t, 2, 3)",
		"local t = {} for i = 1, 1000 do t[i] = 1001 - i end table.sort(t) return t[1], t[1000], #t",
		"return pcall(table.sort, {3, 1, 'x'}), pcall(table.concat, {1, {}, 3})",
		"return table.concat(table.move({1, 2, 3}, 1, 3, 3, {9, 9}), ','), table.remove({1, 2, 3}), select(-1, table.unpack({1, 2, 3}))",
		"return next({}), rawlen({1, 2}), rawequal(M, M), rawget(M, 'key')",
	)
}

// libraries are what modules bring beside the language.
func (s *script) libraries() {
	s.evals(
		"return os.time(), type(os.clock()), os.date('!%Y-%m-%d', 0)",
		"return os.time({year = 2024, month = 2, day = 30, hour = 12}), os.date('!%c', 1e9)",
		"return os.date('!%A %B %d %H:%M:%S %j %p %y %x %X %%', 1700000000)",
		"local d = os.date('!*t', 1700000000) return d.year, d.month, d.day, d.hour, d.min, d.sec, d.wday, d.yday, d.isdst",
		"return os.getenv('HOME'), os.getenv('PATH')",
		"return io.open('/no/such/file'), pcall(io.lines, '/no/such/file')",
		"return os.remove('/no/such/file'), os.rename('/no/a', '/no/b'), os.execute and pcall(os.execute, 'true')",
		"io.write('written') io.stderr:write('to stderr') return 'after'",
		"local r = {} for i = 1, 5 do r[i] = math.random(1000) end return table.concat(r, ' ')",
		"return math.random() < 1, math.random(5) <= 5, pcall(math.random, 0, -1)",
		"math.randomseed(42) local r = {} for i = 1, 5 do r[i] = math.random(1000000) end return table.concat(r, ' ')",
		"local json = require('json'); return json.encode({1, 2, {a = 'b'}}), json.decode('{\"k\":[1,2,3]}').k[2]",
		`local json = require('json') return json.encode('\0\1\n\t"\\/ü🙂'), json.encode({1.5, true, 1e20, -0.0}), json.encode({})`,
		`local json = require('json') local d = json.decode('{"a":"\\u00fc\\ud83d\\ude42\\n","b":1e3,"c":-0.5,"d":null,"e":9007199254740993,"f":[[],{}]}') return d.a, d.b, d.c, d.d, d.e, #d.f`,
		"local json = require('json') return pcall(json.decode, '{\"a\":'), pcall(json.decode, '[1,]'), pcall(json.encode, {[1] = 1, x = 2}), pcall(json.encode, print)",
		"local json = require('json') local t = {} local at = t for i = 1, 80 do at.n = {} at = at.n end return #json.encode(t)",
		"local crypto = require('.crypto') return crypto.digest.sha2_256('abc').asHex(), crypto.digest.md5('abc').asHex()",
		"local b64 = require('.base64') return b64.encode('hello'), b64.decode('aGVsbG8=')",
		"local bint = require('.bint')(256) return tostring(bint(2) ^ 200 + 1), tostring(bint('123456789012345678901234567890') // 7)",
		"local u = require('.utils') return u.reduce(function(a, b) return a + b end, 0, u.map(function(v) return v * v end, {1, 2, 3})), u.includes(2, {1, 2})",
		"return ao.id, #ao.env.Process.Tags, ao._version, type(ao.authorities)",
	)
}

// growth is what takes memory and stack.
func (s *script) growth() {
	s.evals(
		"local function f(n) return 1 + f(n + 1) end return select(2, pcall(f, 1)):sub(1, 60)",
		"local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return f(10000)",
		"local function f(n) return (('x'):gsub('x', function() if n == 0 then return 'deep' end return f(n - 1) end)) end return f(150)",
		"local function f(n) return (('x'):gsub('x', function() return f(n + 1) end)) end return (select(2, pcall(f, 1))):sub(1, 200)",
		"local function f(n) if n == 0 then return 'deep' end return coroutine.wrap(f)(n - 1) end return f(60)",
		"return (select(2, load(('('):rep(500) .. '1' .. (')'):rep(500))))",
		"return pcall(string.match, ('a'):rep(300000), ('a?'):rep(300) .. 'b')",
		"return pcall(table.unpack, {}, 1, 1e7)",
		"return #string.rep('0123456789', 50000)",
		"big = string.rep('m', 3 * 1024 * 1024); return #big",
		"wide = {} for i = 1, 100000 do wide[i] = 'item ' .. i end return #wide, wide[99999]",
		"big, wide = nil, nil; collectgarbage(); return collectgarbage('count') < 8192",
		"return pcall(string.rep, 'x', 1 << 40)",
		"return string.rep('output ', 100000)",
		"for i = 1, 2000 do print('line ' .. i) end",
		"local s = 0 for i = 1, 300000 do s = s + i % 7 end return s",
	)
	s.named("1 MiB of Lua", "blob = [["+strings.Repeat("0123456789abcdef", 64<<10)+"]]; return #blob")
	s.evals("return #(blob or ''), (blob or ''):sub(-5)", "blob = nil; collectgarbage(); return 'collected'")
}

// sql is what the module with SQLite has beside the others.
func (s *script) sql() {
	s.evals(
		"sqlite = require('lsqlite3'); db = sqlite.open_memory(); return type(db), sqlite.version()",
		"return db:exec([[CREATE TABLE holders (id INTEGER PRIMARY KEY, name TEXT UNIQUE, balance REAL, data BLOB)]])",
		"return db:exec([[INSERT INTO holders (name, balance) VALUES ('ann', 1.5), ('bob', 2), ('çé🙂', -3e10)]]), db:last_insert_rowid(), db:changes()",
		"local r = {} for row in db:nrows('SELECT * FROM holders ORDER BY name') do r[#r+1] = row.id .. ' ' .. row.name .. ' ' .. row.balance end return table.concat(r, '; ')",
		"local st = db:prepare('INSERT INTO holders (name, balance) VALUES (?, ?)') for i = 1, 500 do st:bind_values('holder ' .. i, i / 3) st:step() st:reset() end return st:finalize()",
		"for a, b, c in db:urows('SELECT count(*), sum(balance), group_concat(name) FROM (SELECT * FROM holders WHERE id > 3 ORDER BY id LIMIT 5)') do return a, b, c end",
		"return db:exec([[INSERT INTO holders (name) VALUES ('ann')]]), db:errmsg(), db:errcode()",
		"return db:exec('SELEC nonsense'), db:errmsg()",
		"db:exec('BEGIN'); db:exec('DELETE FROM holders'); db:exec('ROLLBACK'); for n in db:urows('SELECT count(*) FROM holders') do return n end",
		"db:create_function('twice', 1, function(ctx, v) ctx:result_number(v * 2) end) for v in db:urows('SELECT twice(21)') do return v end",
		"for v in db:urows([[SELECT json_extract('{\"a\":[1,2,{\"b\":\"c\"}]}', '$.a[2].b')]]) do return v end",
		"for v in db:urows([[WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000) SELECT sum(n) FROM c]]) do return v end",
		"for a, b in db:urows([[SELECT strftime('%Y-%m-%d', 1700000000, 'unixepoch'), printf('%.3f', 2.0/3)]]) do return a, b end",
		"local n = 0 for row in db:rows([[SELECT a.id, b.id FROM holders a JOIN holders b ON a.id = b.id + 1 WHERE a.balance > 10]]) do n = n + 1 end return n",
		"file = sqlite.open('/data.db'); return file and file:exec('CREATE TABLE t (a)') , file and file:errmsg()",
		"return file and file:exec('INSERT INTO t VALUES (1)')",
		"return db:close(), pcall(function() return db:exec('SELECT 1') end)",
	)
}
