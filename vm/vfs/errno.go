package vfs

import "strconv"

// Errno is why a file operation failed, in the numbering that WASI and
// Emscripten share.
type Errno uint16

// The errors that file operations end with.
const (
	E2BIG        Errno = 1
	EACCES       Errno = 2
	EBADF        Errno = 8
	EBUSY        Errno = 10
	EEXIST       Errno = 20
	EFAULT       Errno = 21
	EFBIG        Errno = 22
	EILSEQ       Errno = 25
	EINVAL       Errno = 28
	EIO          Errno = 29
	EISDIR       Errno = 31
	ELOOP        Errno = 32
	EMFILE       Errno = 33
	EMLINK       Errno = 34
	ENAMETOOLONG Errno = 37
	ENODEV       Errno = 43
	ENOENT       Errno = 44
	ENOMEM       Errno = 48
	ENOSPC       Errno = 51
	ENOSYS       Errno = 52
	ENOTDIR      Errno = 54
	ENOTEMPTY    Errno = 55
	ENOTSOCK     Errno = 57
	ENOTSUP      Errno = 58
	ENOTTY       Errno = 59
	ENXIO        Errno = 60
	EOVERFLOW    Errno = 61
	EPERM        Errno = 63
	ERANGE       Errno = 68
	ESPIPE       Errno = 70
	EXDEV        Errno = 75
	ENOTCAPABLE  Errno = 76
)

var errnoText = map[Errno]string{
	E2BIG: "argument list too long", EACCES: "permission denied", EBADF: "bad file descriptor", EBUSY: "resource busy",
	EEXIST: "file exists", EFAULT: "bad address", EFBIG: "file too large", EILSEQ: "illegal byte sequence",
	EINVAL: "invalid argument", EIO: "input/output error", EISDIR: "is a directory", ELOOP: "too many symbolic links",
	EMFILE: "too many open files", EMLINK: "too many links", ENAMETOOLONG: "name too long", ENODEV: "no such device",
	ENOENT: "no such file or directory", ENOMEM: "out of memory", ENOSPC: "no space left", ENOSYS: "not implemented",
	ENOTDIR: "not a directory", ENOTEMPTY: "directory not empty", ENOTSOCK: "not a socket", ENOTSUP: "not supported",
	ENOTTY: "not a terminal", ENXIO: "no such device or address", EOVERFLOW: "value too large", EPERM: "not permitted",
	ERANGE: "result too large", ESPIPE: "illegal seek", EXDEV: "cross-device link", ENOTCAPABLE: "outside of the directory",
}

func (e Errno) Error() string {
	if s, ok := errnoText[e]; ok {
		return s
	}
	return "file error " + strconv.Itoa(int(e))
}
