package wasi

import (
	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// function is one function of the interface. What it returns as a vfs.Errno
// is its result; any other error ends the guest's call.
type function struct {
	pattern string
	call    func(*Host, *abi.Frame) error
}

// functions is all of preview 1.
var functions = map[string]function{
	"args_get":                {"pp:i", argsGet},
	"args_sizes_get":          {"pp:i", argsSizes},
	"environ_get":             {"pp:i", environGet},
	"environ_sizes_get":       {"pp:i", environSizes},
	"clock_res_get":           {"ip:i", clockRes},
	"clock_time_get":          {"ilp:i", clockTime},
	"fd_advise":               {"illi:i", fdAdvise},
	"fd_allocate":             {"ill:i", fdAllocate},
	"fd_close":                {"i:i", fdClose},
	"fd_datasync":             {"i:i", fdSync},
	"fd_fdstat_get":           {"ip:i", fdStat},
	"fd_fdstat_set_flags":     {"ii:i", fdSetFlags},
	"fd_fdstat_set_rights":    {"ill:i", fdSetRights},
	"fd_filestat_get":         {"ip:i", fdFilestat},
	"fd_filestat_set_size":    {"il:i", fdSetSize},
	"fd_filestat_set_times":   {"illi:i", fdSetTimes},
	"fd_pread":                {"ipplp:i", fdPread},
	"fd_prestat_get":          {"ip:i", fdPrestat},
	"fd_prestat_dir_name":     {"ipp:i", fdPrestatName},
	"fd_pwrite":               {"ipplp:i", fdPwrite},
	"fd_read":                 {"ippp:i", fdRead},
	"fd_readdir":              {"ipplp:i", fdReaddir},
	"fd_renumber":             {"ii:i", fdRenumber},
	"fd_seek":                 {"ilip:i", fdSeek},
	"fd_sync":                 {"i:i", fdSync},
	"fd_tell":                 {"ip:i", fdTell},
	"fd_write":                {"ippp:i", fdWrite},
	"path_create_directory":   {"ipp:i", pathMkdir},
	"path_filestat_get":       {"iippp:i", pathFilestat},
	"path_filestat_set_times": {"iipplli:i", pathSetTimes},
	"path_link":               {"iippipp:i", pathLink},
	"path_open":               {"iippillip:i", pathOpen},
	"path_readlink":           {"ippppp:i", pathReadlink},
	"path_remove_directory":   {"ipp:i", pathRmdir},
	"path_rename":             {"ippipp:i", pathRename},
	"path_symlink":            {"ppipp:i", pathSymlink},
	"path_unlink_file":        {"ipp:i", pathUnlink},
	"poll_oneoff":             {"pppp:i", poll},
	"proc_exit":               {"i:", procExit},
	"proc_raise":              {"i:i", unsupported},
	"sched_yield":             {":i", schedYield},
	"random_get":              {"pp:i", randomGet},
	"sock_accept":             {"iip:i", unsupported},
	"sock_recv":               {"ippipp:i", unsupported},
	"sock_send":               {"ippip:i", unsupported},
	"sock_shutdown":           {"ii:i", unsupported},
}

func unsupported(*Host, *abi.Frame) error { return vfs.ENOTSUP }

func schedYield(*Host, *abi.Frame) error { return nil }

func procExit(_ *Host, f *abi.Frame) error { return &vm.ExitError{Code: int32(f.Word(0))} }

func randomGet(h *Host, f *abi.Frame) error {
	h.fill(f.Slice(f.Args[0], f.Args[1]))
	return nil
}

func argsGet(h *Host, f *abi.Frame) error      { return putStrings(f, h.opts.Args) }
func argsSizes(h *Host, f *abi.Frame) error    { return putSizes(f, h.opts.Args) }
func environGet(h *Host, f *abi.Frame) error   { return putStrings(f, h.opts.Environ) }
func environSizes(h *Host, f *abi.Frame) error { return putSizes(f, h.opts.Environ) }

// putStrings writes pointers to strings to one place and the strings to another.
func putStrings(f *abi.Frame, list []string) error {
	at, text := f.Args[0], f.Args[1]
	for _, s := range list {
		f.PutPtr(at, text)
		at += f.PtrSize()
		copy(f.Slice(text, uint64(len(s))), s)
		f.PutU8(text+uint64(len(s)), 0)
		text += uint64(len(s)) + 1
	}
	return nil
}

func putSizes(f *abi.Frame, list []string) error {
	total := 0
	for _, s := range list {
		total += len(s) + 1
	}
	f.PutPtr(f.Args[0], uint64(len(list)))
	f.PutPtr(f.Args[1], uint64(total))
	return nil
}
