package process

// Waiting returns how many commands wait for id's worker.
func (r *Runtime) Waiting(id string) int {
	r.mu.Lock()
	p := r.procs[id]
	r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.commands)
}
