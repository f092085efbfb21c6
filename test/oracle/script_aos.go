package oracle

import "strings"

// handlers are AOS's way of answering messages.
func (s *script) handlers() {
	s.named("a handler that answers", "Handlers.add('Ping', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(m) ao.send({Target = m.From, Action = 'Pong', Data = 'pong ' .. (m.Data or '')}) end)")
	s.from(Stranger, "Ping", "one")
	s.eval("Handlers.add('Count', Handlers.utils.hasMatchingTag('Action', 'Count'), function(m) N = (N or 0) + 1; print('count ' .. N) end)")
	s.from(Stranger, "Count", "")
	s.from(Stranger, "Count", "", "X-Extra", "ü \"quoted\" \\ back")
	s.eval("return N")
	s.eval("Handlers.add('Fail', Handlers.utils.hasMatchingTag('Action', 'Fail'), function(m) N = 1000; error('handler fails') end)")
	s.from(Stranger, "Fail", "")
	s.eval("return N")
	s.eval("Handlers.add('FailHard', Handlers.utils.hasMatchingTag('Action', 'FailHard'), function(m) N = 1001; error({code = 1}) end)")
	s.from(Stranger, "FailHard", "")
	s.eval("Handlers.add('Both', function(m) return m.Action == 'Both' and 'continue' or false end, function(m) print('first') end)")
	s.eval("Handlers.append('Last', function(m) return m.Action == 'Both' end, function(m) print('last') end)")
	s.eval("Handlers.prepend('Before', function(m) return m.Action == 'Both' and 1 or 0 end, function(m) print('before') end)")
	s.from(Stranger, "Both", "data")
	s.eval("Handlers.remove('Before'); return #Handlers.list")
	s.eval("Handlers.add('Pattern', {Action = 'Pattern', Amount = '%d+'}, {[{Amount = '0'}] = function(m) print('none') end, [{Amount = '%d+'}] = function(m) print('some') end})")
	s.from(Stranger, "Pattern", "", "Amount", "12")
	s.from(Stranger, "Pattern", "", "Amount", "no number")
	s.eval("Handlers.once('Once', {Action = 'Once'}, function(m) N = N + 1 m.reply({Data = 'only once'}) end)")
	s.from(Stranger, "Once", "")
	s.from(Stranger, "Once", "")
	s.eval("return N, #Handlers.list")
	// A handler that waits for another message keeps a coroutine in the state.
	s.eval("Handlers.add('Wait', {Action = 'Wait'}, function(m) print('waits') local r = Receive({Action = 'Wake'}) print('woken by ' .. r.Data .. ' of ' .. m.Data) end)")
	s.from(Stranger, "Wait", "the sleeper")
	s.from(Stranger, "Ping", "in between")
	s.from(Stranger, "Wake", "the alarm")
	s.eval("Handlers.add('Ask', {Action = 'Ask'}, function(m) local r = Send({Target = m.From, Action = 'Question'}).receive() print('answer: ' .. r.Data) end)")
	s.from(Stranger, "Ask", "")
	s.from(Stranger, "Answer", "42", "X-Reference", "3", "Reference", "3")
	s.eval("Handlers.add('Sum', {Action = 'Sum'}, function(m) local json = require('json') local s = 0 for _, v in ipairs(json.decode(m.Data)) do s = s + v end Send({Target = m.From, Data = json.encode({sum = s, mean = s / 3})}) end)")
	s.from(Stranger, "Sum", "[1, 2.5, 3e2]")
	s.from(Stranger, "Sum", "not JSON")
	s.from(Stranger, "Unknown", strings.Repeat("data ", 10))
	s.eval("return #Inbox, Inbox[#Inbox].Data, Inbox[#Inbox].Tags and #Inbox[#Inbox].Tags")
}

// outbox is what a process asks of the network.
func (s *script) outbox() {
	s.evals(
		"ao.send({Target = '"+Stranger+"', Action = 'Greet', Data = 'hello', ['X-Number'] = '12'}); return 'sent'",
		"for i = 1, 5 do ao.send({Target = '"+Stranger+"', Data = tostring(i)}) end",
		"ao.send({Target = ao.id, Tags = {Action = 'Self', ['Ünï'] = '🙂'}, Data = '\\0\\1 binary'})",
		"ao.send({Target = ao.id, Tags = {{name = 'Action', value = 'List'}, {name = 'Action', value = 'Twice'}}})",
		"return pcall(ao.send, {Data = 'no target'}), pcall(ao.send, 'not a table')",
		"ao.send({Target = ao.id, Data = {1, 2}, Number = 12, Flag = true})",
		"for i = 1, 300 do ao.send({Target = ao.id, Data = ('x'):rep(100), Index = tostring(i)}) end return 'many'",
		"ao.spawn('module-id', {Data = 'init', Tags = {Name = 'child'}}); return 'spawned'",
		"for i = 1, 3 do ao.spawn(ao._module or 'm', {Data = 'child ' .. i, ['Tag-' .. i] = 'v'}) end",
		"return pcall(ao.spawn), pcall(ao.spawn, 'm'), pcall(ao.spawn, 7, {})",
		"ao.assign({Processes = {ao.id}, Message = '"+Stranger+"'}); return 'assigned'",
		"ao.assign({Processes = {'a', 'b'}, Message = 'm', Exclude = {'Data'}}) ao.send({Target = 'a'})",
		"return pcall(ao.assign, {}), pcall(ao.assign, {Processes = {}})",
		"ao.send({Target = 'lost'}) ao.spawn('m', {}) error('nothing of this is sent')",
		"return #ao.outbox.Messages, #ao.outbox.Spawns",
		"Send({Target = ao.id, Action = 'Global'}) Spawn('m', {Data = ''}) return 'globals'",
		"return ao.result({Output = 'mine'}).Output",
		"ao.outbox.Output = 'set by hand'; return 'which one?'",
		"return ao.isTrusted({From = 'a', Owner = 'a'}), ao.isTrusted({From = 'a', Owner = 'b', Tags = {}})",
	)
}

// envelopes are the odd shapes that messages come in.
func (s *script) envelopes() {
	s.message("from a process that no authority forwards", map[string]any{
		"From": "another-process", "Owner": Stranger, "Data": "not trusted",
		"Tags": tags("Action", "Ping", "From-Process", "another-process"),
	})
	s.message("From-Process in the tags, and no From", map[string]any{
		"Owner": Stranger, "Data": "", "Tags": tags("Action", "Ping", "From-Process", "another-process"),
	})
	s.from(Stranger, "Eval", "x = 'a stranger was here'")
	s.eval("return x")
	s.message("for another process", map[string]any{
		"Target": "another-process", "From": Stranger, "Owner": Stranger, "Tags": tags("Action", "Ping"), "Data": "assigned",
	})
	s.eval("ao.addAssignable('all', function(m) return true end); return #ao.assignables")
	s.message("for another process, assignable", map[string]any{
		"Target": "another-process", "From": Stranger, "Owner": Stranger, "Tags": tags("Action", "Ping"), "Data": "assigned",
	})
	s.message("of cron", map[string]any{"Tags": tags("Action", "Ping"), "Cron": true})
	s.message("read only", map[string]any{"Tags": tags("Action", "Eval"), "Data": "return 'dry'", "Read-Only": true})
	s.message("no tags, no data", map[string]any{"From": Stranger, "Owner": Stranger})
	s.message("another definition", map[string]any{"Tags": tags("Type", "Process", "Name", "impostor"), "Data": "x = 'evaluated'"})
	s.eval("return Name, x")
	for range 2 {
		s.message("the same id", map[string]any{"Id": "duplicate", "From": Stranger, "Owner": Stranger, "Tags": tags("Action", "Count"), "Data": ""})
	}
	s.eval("return N")
	s.message("a tag three times", map[string]any{
		"From": Stranger, "Owner": Stranger, "Data": "", "Tags": tags("Action", "Ping", "X", "1", "X", "2", "x", "3"),
	})
	s.message("tags named like fields", map[string]any{
		"From": Stranger, "Owner": Stranger, "Data": "real",
		"Tags": tags("Action", "Ping", "Data", "tag", "Owner", "tag", "From", "tag", "Id", "tag", "Tags", "tag", "Target", "tag"),
	})
	s.raw("escapes in JSON", `{"From":"`+Stranger+`","Owner":"`+Stranger+`","Tags":[{"name":"Action","value":"Ping"}],"Data":"\u0000\u001f\ud83d\ude42\u00fc\/\b\f\""}`)
	s.raw("half a surrogate", `{"From":"`+Stranger+`","Owner":"`+Stranger+`","Tags":[{"name":"Action","value":"Ping"}],"Data":"\ud800"}`)
	s.raw("numbers and booleans as tags", `{"From":"`+Stranger+`","Owner":"`+Stranger+`","Tags":[{"name":"Action","value":"Ping"},{"name":"N","value":12.5},{"name":"B","value":true}],"Data":"x"}`)
	s.raw("data that isn't text", `{"From":"`+Stranger+`","Owner":"`+Stranger+`","Tags":[{"name":"Action","value":"Ping"}],"Data":12}`)
	s.raw("an anchor, a signature and a forwarder", `{"From":"`+Stranger+`","Owner":"`+Stranger+`","Anchor":"00000000000000000000000000000007","Signature":"c2ln","Forwarded-By":"mu","Tags":[{"name":"Action","value":"Nothing"}],"Data":""}`)
	s.eval("local m = Inbox[#Inbox] return m.Anchor, m['Forwarded-By'], m.Signature, m.Nonce ~= nil, m['Block-Height'] ~= nil")
	s.message("140 KB of data", map[string]any{
		"From": Stranger, "Owner": Stranger, "Tags": tags("Action", "Ping"), "Data": strings.Repeat("ä🙂 ", 20_000),
	})
	s.eval("return #Inbox, #Handlers.list, N, x, counter(), select(2, coroutine.resume(kept, 100))")
}

// owner gives the process away, and gets it back.
func (s *script) owner() {
	s.eval("Owner = '" + Stranger + "'; return 'given away'")
	s.eval("return 'nobody listens'")
	s.from(Stranger, "Eval", "Owner = ao.env.Process.Owner; return 'given back', x")
	s.eval("return 'home'")
}
