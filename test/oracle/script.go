// Package oracle asks npm's ao-loader what it makes of messages.
package oracle

import (
	"encoding/json"
	"fmt"
	"strings"

	"aorta/process"
)

// Stranger is somebody who isn't the process's owner.
const Stranger = "Stranger-Stranger-Stranger-Stranger-Strange"

// Script returns the messages that every module is tried with, in the legacy
// JSON form, after the first one (the process's definition). Each shows one
// thing; together they leave and read back state.
func Script() [][]byte {
	var out [][]byte
	add := func(fields map[string]any) {
		b, err := json.Marshal(fields)
		if err != nil {
			panic(fmt.Sprintf("oracle: %v", err)) // plain values
		}
		out = append(out, b)
	}
	eval := func(lua string) {
		add(map[string]any{"Tags": []process.Tag{{Name: "Action", Value: "Eval"}}, "Data": lua})
	}
	message := func(from, action, data string, tags ...process.Tag) {
		add(map[string]any{"From": from, "Owner": from, "Tags": append([]process.Tag{{Name: "Action", Value: action}}, tags...), "Data": data})
	}

	eval("return 1 + 1")
	eval("x = 41")
	eval("x = x + 1; return x")
	eval("return 'unicode: äöü 你好 🙂 ' .. #'🙂'")
	eval("return {a = 1, b = {c = 'd'}}")
	eval("print('printed') return 'returned'")
	eval("return nil")
	eval("this is not Lua")
	eval("error('boom')")
	eval("error({code = 7})")
	eval("local t = nil; return t.x")
	eval("return x") // what failed left nothing
	eval("y = 5; error('after a write')")
	eval("return tostring(y)")
	eval("return pcall(error, 'caught')")
	eval("return select(2, pcall(function() error({a = 1}) end)).a")
	eval("return string.format('%d %5.2f %s %q', 3, 1/3, 'x', 'a\\nb')")
	eval("return 1e100, 2^53, 10 // 3, 7 % -3, 1 / 0 == math.huge, 3 | 4")
	eval("return math.maxinteger, math.mininteger, 0x7fffffffffffffff + 1")
	eval("return tostring(0.1), tostring(1e15), tostring(-0.0), 100000000000000")
	eval("return os.time(), type(os.clock()), os.date('!%Y-%m-%d', 0)")
	eval("local r = {} for i = 1, 5 do r[i] = math.random(1000) end return table.concat(r, ' ')")
	eval("local s = {} for k, v in pairs({a=1,b=2,c=3,d=4,e=5,f=6,g=7}) do s[#s+1] = k .. v end return table.concat(s, ',')")
	eval("local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) return co() + co() + co()")
	eval("return ('x'):rep(10):gsub('x', {x = 'yz'})")
	eval("return string.find('hello world', '(o) (w)')")
	eval("local t = {} for i = 1, 1000 do t[i] = 1001 - i end table.sort(t) return t[1], t[1000], #t")
	eval("local function f(n) return 1 + f(n + 1) end return select(2, pcall(f, 1)):sub(1, 60)")
	eval("return #string.rep('0123456789', 50000)")
	eval("big = string.rep('m', 3 * 1024 * 1024); return #big")
	eval("big = nil; collectgarbage(); return 'collected'")
	eval("local json = require('json'); return json.encode({1, 2, {a = 'b'}}), json.decode('{\"k\":[1,2,3]}').k[2]")
	eval("Handlers.add('Ping', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(m) ao.send({Target = m.From, Action = 'Pong', Data = 'pong ' .. (m.Data or '')}) end)")
	message(Stranger, "Ping", "one")
	eval("Handlers.add('Count', Handlers.utils.hasMatchingTag('Action', 'Count'), function(m) N = (N or 0) + 1; print('count ' .. N) end)")
	message(Stranger, "Count", "")
	message(Stranger, "Count", "", process.Tag{Name: "X-Extra", Value: "ü \"quoted\" \\ back"})
	eval("return N")
	eval("Handlers.add('Fail', Handlers.utils.hasMatchingTag('Action', 'Fail'), function(m) N = 1000; error('handler fails') end)")
	message(Stranger, "Fail", "")
	eval("return N")
	eval("ao.send({Target = '" + Stranger + "', Action = 'Greet', Data = 'hello', ['X-Number'] = '12'}); return 'sent'")
	eval("for i = 1, 5 do ao.send({Target = '" + Stranger + "', Data = tostring(i)}) end")
	eval("ao.spawn('module-id', {Data = 'init', Tags = {Name = 'child'}}); return 'spawned'")
	eval("ao.assign({Processes = {ao.id}, Message = '" + Stranger + "'}); return 'assigned'")
	message(Stranger, "Unknown", strings.Repeat("data ", 10))
	add(map[string]any{"From": "another-process", "Owner": Stranger, "Tags": []process.Tag{{Name: "Action", Value: "Ping"}, {Name: "From-Process", Value: "another-process"}}, "Data": "not trusted"})
	add(map[string]any{"Tags": []process.Tag{{Name: "Action", Value: "Eval"}}, "Data": "blob = [[" + strings.Repeat("0123456789abcdef", 64<<10) + "]]; return #blob"})
	eval("return #blob, blob:sub(-5)")
	eval("local ok, e = pcall(load, 'return 1 +'); local f, m = load('return 1 +'); return tostring(f), m")
	eval("return #Inbox")
	return out
}
