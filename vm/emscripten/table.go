package emscripten

import (
	"strconv"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// functions are what modules import from "env". Where the prototype changed
// over the years there is one for each.
var functions = map[string][]function{
	// Files.
	"__syscall_chdir":       {{"p:i", chdir}},
	"__syscall_chmod":       {{"pi:i", chmod}},
	"__syscall_dup":         {{"i:i", dup}},
	"__syscall_dup3":        {{"iii:i", dup3}},
	"__syscall_faccessat":   {{"ipii:i", faccessat}},
	"__syscall_fadvise64":   {{"illi:i", fadvise}},
	"__syscall_fallocate":   {{"iill:i", fallocate}},
	"__syscall_fchdir":      {{"i:i", fchdir}},
	"__syscall_fchmod":      {{"ii:i", fchmod}},
	"__syscall_fchmodat":    {{"ipi:i", fchmodat}, {"ipii:i", fchmodat}, {"ipip:i", fchmodat}},
	"__syscall_fchmodat2":   {{"ipii:i", fchmodat}},
	"__syscall_fchown32":    {{"iii:i", fchown}},
	"__syscall_fchownat":    {{"ipiii:i", fchownat}},
	"__syscall_fcntl64":     {{"iip:i", fcntl}},
	"__syscall_fdatasync":   {{"i:i", fdatasync}},
	"__syscall_fstat64":     {{"ip:i", fstat}},
	"__syscall_ftruncate64": {{"il:i", ftruncate}},
	"__syscall_getcwd":      {{"pp:i", getcwd}},
	"__syscall_getdents64":  {{"ipp:i", getdents}},
	"__syscall_ioctl":       {{"iip:i", ioctl}},
	"__syscall_linkat":      {{"ipipi:i", linkat}},
	"__syscall_lstat64":     {{"pp:i", lstat}},
	"__syscall_mkdirat":     {{"ipi:i", mkdirat}},
	"__syscall_newfstatat":  {{"ippi:i", newfstatat}},
	"__syscall_openat":      {{"ipip:i", openat}},
	"__syscall_poll":        {{"pii:i", poll}},
	"__syscall_readlinkat":  {{"ippp:i", readlinkat}},
	"__syscall_renameat":    {{"ipip:i", renameat}},
	"__syscall_rmdir":       {{"p:i", rmdir}},
	"__syscall_stat64":      {{"pp:i", stat}},
	"__syscall_symlink":     {{"pp:i", symlink}},
	"__syscall_symlinkat":   {{"pip:i", symlinkat}},
	"__syscall_truncate64":  {{"pl:i", truncate}},
	"__syscall_unlinkat":    {{"ipi:i", unlinkat}},
	"__syscall_utimensat":   {{"ippi:i", utimensat}},

	// Memory.
	"_emscripten_memcpy_js":               {{"ppp:", memcpy}, {"ppp:p", memcpy}},
	"_mmap_js":                            {{"piiilpp:i", mmap}, {"piiipp:i", mmap2}},
	"_msync_js":                           {{"ppiiil:i", munmap}},
	"_munmap_js":                          {{"ppiiil:i", munmap}, {"ppiiip:i", munmap}},
	"emscripten_get_heap_max":             {{":p", heapMax}},
	"emscripten_memcpy_big":               {{"ppp:", memcpy}, {"ppp:p", memcpy}},
	"emscripten_memcpy_js":                {{"ppp:", memcpy}, {"ppp:p", memcpy}},
	"emscripten_notify_memory_growth":     {{"p:", nothing}},
	"emscripten_resize_heap":              {{"p:i", resizeHeap}},
	"_emscripten_runtime_keepalive_clear": {{":", nothing}},

	// Time.
	"_emscripten_date_now":             {{":d", dateNow2}},
	"_emscripten_get_now_is_monotonic": {{":i", one}},
	"_gmtime_js":                       {{"lp:", gmtime}, {"ii:", gmtime2}},
	"_localtime_js":                    {{"lp:", localtime}, {"ii:", localtime2}},
	"_mktime_js":                       {{"p:l", mktime}},
	"_timegm_js":                       {{"p:l", mktime}},
	"_tzset_js":                        {{"pppp:", tzset}, {"ppp:", tzset2}},
	"emscripten_date_now":              {{":d", dateNow}},
	"emscripten_get_now":               {{":d", getNow}},
	"emscripten_get_now_res":           {{":d", getNowRes}},
	"strftime":                         {{"pppp:p", strftime}},
	"strftime_l":                       {{"ppppp:p", strftime}},

	// The process.
	"__assert_fail":               {{"ppip:", assertFail}},
	"_abort_js":                   {{":", abort}},
	"_dlinit":                     {{"p:", nothing}},
	"_dlopen_js":                  {{"pi:i", noLinking}, {"p:p", noLinking}},
	"_dlsym_js":                   {{"pp:i", noLinking}, {"ppp:p", noLinking}},
	"_emscripten_system":          {{"p:i", system}},
	"abort":                       {{":", abort}},
	"emscripten_console_error":    {{"p:", printErr}},
	"emscripten_console_log":      {{"p:", printOut}},
	"emscripten_console_warn":     {{"p:", printErr}},
	"emscripten_dbg":              {{"p:", printErr}},
	"emscripten_err":              {{"p:", printErr}},
	"emscripten_out":              {{"p:", printOut}},
	"exit":                        {{"i:", exit}},
	"_exit":                       {{"i:", exit}},
	"getentropy":                  {{"pp:i", getentropy}},
	"metering_gasUsed":            {{":d", gasUsedFloat}, {":i", gasUsed}, {":l", gasUsed}},
	"system":                      {{"p:i", system2}},
	"__asyncjs__weavedrive_open":  {{"pp:i", driveOpen}},
	"__asyncjs__weavedrive_read":  {{"ipp:i", driveRead}},
	"__asyncjs__weavedrive_close": {{"i:i", driveClose}},

	// Exceptions. The finders of catch clauses are in catching.
	"__cxa_allocate_exception":        {{"p:p", allocateException}},
	"__cxa_begin_catch":               {{"p:p", beginCatch}},
	"__cxa_call_unexpected":           {{"p:", callUnexpected}},
	"__cxa_current_exception_type":    {{":p", currentType}},
	"__cxa_current_primary_exception": {{":p", currentPrimary}},
	"__cxa_end_catch":                 {{":", endCatch}},
	"__cxa_get_exception_ptr":         {{"p:p", exceptionPtr}},
	"__cxa_rethrow":                   {{":", rethrow}},
	"__cxa_rethrow_primary_exception": {{"p:", rethrowPrimary}},
	"__cxa_throw":                     {{"ppp:", throw}},
	"__cxa_uncaught_exceptions":       {{":i", uncaught}},
	"__resumeException":               {{"p:", resume}},
	"getTempRet0":                     {{":i", getTempRet0}},
	"llvm_eh_typeid_for":              {{"p:i", typeID}, {"p:p", typeID}},
	"setTempRet0":                     {{"i:", setTempRet0}},
}

// overrides are the functions of WASI that Emscripten's runtime answers in
// its own way.
var overrides = map[string][]function{
	"fd_fdstat_get": {{"ip:i", fdstat}},
}

// metering is what modules that count for themselves import.
var metering = map[string][]function{
	"usegas": {{"l:", useGas}, {"i:", useGas}},
}

// sockets are there in modules that link a network and don't use it.
var sockets = []string{
	"__syscall_accept4", "__syscall_bind", "__syscall_connect", "__syscall_getpeername", "__syscall_getsockname",
	"__syscall_getsockopt", "__syscall_listen", "__syscall_recvfrom", "__syscall_recvmsg", "__syscall_sendmsg",
	"__syscall_sendto", "__syscall_setsockopt", "__syscall_shutdown", "__syscall_socket",
}

// noProtocol is the C library's EAFNOSUPPORT: there is no network of that kind.
const noProtocol vfs.Errno = 5

func noSockets(*Host, *abi.Frame) error { return noProtocol }

func nothing(*Host, *abi.Frame) error { return nil }

func one(_ *Host, f *abi.Frame) error { f.Result = 1; return nil }

// maxText is how long the texts that guests hand over may be, in bytes.
const maxText = 64 << 10

func exit(_ *Host, f *abi.Frame) error { return &vm.ExitError{Code: int32(f.Word(0))} }

// aborted ends the call as JavaScript's abort does.
func (h *Host) aborted(why string) error {
	if err := h.fs.Stderr.WriteString("Aborted(" + why + ")\n"); err != nil {
		return err
	}
	return &vm.TrapError{Code: vm.TrapUnreachable, Function: "abort"}
}

func abort(h *Host, _ *abi.Frame) error { return h.aborted("native code called abort()") }

func noLinking(h *Host, _ *abi.Frame) error {
	return h.aborted("the module was linked without dynamic linking")
}

func assertFail(h *Host, f *abi.Frame) error {
	file, function := "unknown filename", "unknown function"
	if f.Args[1] != 0 {
		file = f.CString(f.Args[1], maxText)
	}
	if f.Args[3] != 0 {
		function = f.CString(f.Args[3], maxText)
	}
	return h.aborted("Assertion failed: " + f.CString(f.Args[0], maxText) + ", at: " + file + "," + strconv.Itoa(f.Int(2)) + "," + function)
}

func printOut(h *Host, f *abi.Frame) error { return print(&h.fs.Stdout, f) }
func printErr(h *Host, f *abi.Frame) error { return print(&h.fs.Stderr, f) }

func print(out *vfs.Output, f *abi.Frame) error {
	return out.WriteString(f.CString(f.Args[0], len(f.Bytes)) + "\n")
}

// system says that there is no shell.
func system(_ *Host, f *abi.Frame) error {
	if f.Args[0] == 0 {
		return nil
	}
	return vfs.ENOSYS
}

// system2 is system in the generation that set errno itself.
func system2(_ *Host, f *abi.Frame) error {
	if f.Args[0] == 0 {
		return nil
	}
	f.Result = 1<<64 - 1
	if f.Guest.HasExport("__errno_location") {
		at, err := f.Guest.Call("__errno_location")
		if err != nil {
			return err
		}
		f.Renew()
		if len(at) == 1 {
			f.PutU32(at[0], uint32(vfs.ENOSYS))
		}
	}
	return nil
}

func getentropy(h *Host, f *abi.Frame) error {
	h.wasi.Fill(f.Slice(f.Args[0], f.Args[1]))
	return nil
}

// driveOpen is what opening a file of the drive gives without the extension.
func driveOpen(*Host, *abi.Frame) error { return nil }

// driveRead and driveClose never return in the loader without the extension.
func driveRead(*Host, *abi.Frame) error  { return errNoDrive }
func driveClose(*Host, *abi.Frame) error { return errNoDrive }

var errNoDrive = &vm.GuestError{What: "it uses WeaveDrive, which this process doesn't have"}

// useGas counts what a metered module says that it used.
func useGas(h *Host, f *abi.Frame) error {
	amount := f.Args[0]
	if amount > h.opts.Gas-min(h.gas, h.opts.Gas) {
		return &vm.LimitError{Kind: vm.LimitFuel, Max: h.opts.Gas, Used: h.gas + amount}
	}
	h.gas += amount
	return nil
}
