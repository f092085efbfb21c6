package vfs

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/vm"
)

// newTestFS has a root with /dir, /dir/sub, /file ("hello"), /link -> dir/sub,
// /loop -> loop, /gone -> nowhere, a terminal and an error terminal.
func newTestFS(t testing.TB, opts Options) *FS {
	t.Helper()
	f := New(opts)
	now := int64(0)
	f.Now = func() int64 { now += 1000; return now }
	root := f.Root()
	must(t, f.Mkdir(root, "/dir", 0o777))
	must(t, f.Mkdir(root, "/dir/sub", 0o777))
	must(t, f.Symlink("dir/sub", root, "/link"))
	must(t, f.Symlink("loop", root, "/loop"))
	must(t, f.Symlink("nowhere", root, "/gone"))
	must(t, f.Mkdev(root, "/tty", 0o666, Terminal))
	must(t, f.Mkdev(root, "/tty1", 0o666, ErrorTerminal))
	must(t, f.Mkdev(root, "/null", 0o666, NullDevice))
	must(t, f.Mkdev(root, "/random", 0o444, RandomDevice))
	must(t, f.MountOpenFiles(root, "/fds"))
	put(t, f, "/file", "hello")
	f.Seal()
	f.Begin(1 << 20)
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, f *FS, path string, flags uint32) int {
	t.Helper()
	fd, err := f.Open(f.Root(), path, flags, 0o666)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	return fd
}

func put(t testing.TB, f *FS, path, text string) {
	t.Helper()
	fd := open(t, f, path, WriteOnly|Create|Truncate)
	if _, err := f.Write(fd, []byte(text)); err != nil {
		t.Fatal(err)
	}
	must(t, f.Close(fd))
}

func get(t testing.TB, f *FS, path string) string {
	t.Helper()
	fd := open(t, f, path, ReadOnly)
	buf := make([]byte, 1<<16)
	n, err := f.Read(fd, buf)
	must(t, err)
	must(t, f.Close(fd))
	return string(buf[:n])
}

func TestPathsThatLeadNowhereSayWhy(t *testing.T) {
	f := newTestFS(t, Options{})
	root := f.Root()
	long := strings.Repeat("n", MaxName+1)
	for _, c := range []struct {
		path string
		want Errno
	}{
		{"", ENOENT},
		{"/nope", ENOENT},
		{"/nope/x", ENOENT},
		{"/file/x", ENOTDIR},
		{"/file/", ENOTDIR},
		{"/file/..", ENOTDIR},
		{"/gone", ENOENT},
		{"/gone/x", ENOENT},
		{"/loop", ELOOP},
		{"/loop/x", ELOOP},
		{"/" + long, ENAMETOOLONG},
		{strings.Repeat("/a", MaxPath), ENAMETOOLONG},
		{"/fds/99", EBADF},
		{"/fds/x", EBADF},
	} {
		if _, err := f.StatPath(root, c.path, true); err != c.want {
			t.Errorf("%.20s: %v, want %v", c.path, err, c.want)
		}
	}
	for _, path := range []string{"/", "//", "/.", "/..", "dir", "./dir/", "/dir/../dir/./sub//", "/link", "/link/", "link/.", "link/..", "/fds"} {
		s, err := f.StatPath(root, path, true)
		if err != nil || s.Kind != Dir {
			t.Errorf("%s: %+v, %v", path, s, err)
		}
	}
	if s, err := f.StatPath(root, "/link", false); err != nil || s.Kind != Link || s.Size != int64(len("dir/sub")) {
		t.Errorf("/link itself: %+v, %v", s, err)
	}
}

func TestWhatIsBelowADirectoryStaysBelow(t *testing.T) {
	f := newTestFS(t, Options{})
	must(t, f.Symlink("/file", f.Root(), "/dir/absolute"))
	must(t, f.Symlink("../file", f.Root(), "/dir/up"))
	must(t, f.Symlink("sub/../sub", f.Root(), "/dir/within"))
	base, err := f.Below(open(t, f, "/dir", ReadOnly|Directory))
	must(t, err)
	for _, path := range []string{"/", "/dir", "..", "../dir", "sub/../..", "sub/../../dir", "absolute", "up"} {
		if _, err := f.StatPath(base, path, true); err != ENOTCAPABLE {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{".", "sub", "sub/..", "sub/../sub", "within"} {
		if _, err := f.StatPath(base, path, true); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := f.Below(open(t, f, "/file", ReadOnly)); err != ENOTDIR {
		t.Errorf("below a file: %v", err)
	}
	if _, err := f.Below(77); err != EBADF {
		t.Errorf("below nothing: %v", err)
	}
}

func TestOpenFollowsItsFlags(t *testing.T) {
	for _, c := range []struct {
		path  string
		flags uint32
		want  error
	}{
		{"/file", ReadOnly, nil},
		{"/file", 3, EINVAL},
		{"/nope", ReadWrite, ENOENT},
		{"/nope", ReadWrite | Create, nil},
		{"/nope/", ReadWrite | Create, EISDIR},
		{"/file", Create | Exclusive, EEXIST},
		{"/file", Directory, ENOTDIR},
		{"/file/", ReadOnly, ENOTDIR},
		{"/dir", ReadOnly, nil},
		{"/dir", WriteOnly, EISDIR},
		{"/dir", Truncate, EISDIR},
		{"/link", ReadOnly, nil},
		{"/link", NoFollow, ELOOP},
		{"/gone", ReadOnly, ENOENT},
		{"/random", ReadOnly, nil},
		{"/random", WriteOnly, EACCES},
		{"/tty", ReadWrite | Truncate, nil},
		{"/fds/new", Create, EBADF},
	} {
		f := newTestFS(t, Options{})
		fd, err := f.Open(f.Root(), c.path, c.flags, 0o666)
		if err != c.want && !errors.Is(err, c.want) {
			t.Errorf("%s with %o: %v, want %v", c.path, c.flags, err, c.want)
		}
		if err == nil && fd != 0 {
			t.Errorf("%s: descriptor %d, want the lowest", c.path, fd)
		}
	}
}

func TestPermissionsHold(t *testing.T) {
	f := newTestFS(t, Options{})
	root := f.Root()
	set := func(path string, mode uint32) { must(t, f.SetAttrPath(root, path, true, Attr{Mode: &mode})) }
	set("/file", 0o444)
	if _, err := f.Open(root, "/file", WriteOnly, 0); err != EACCES {
		t.Errorf("write a read-only file: %v", err)
	}
	set("/file", 0o222)
	if _, err := f.Open(root, "/file", ReadOnly, 0); err != EACCES {
		t.Errorf("read a write-only file: %v", err)
	}
	set("/dir", 0o666)
	if _, err := f.StatPath(root, "/dir/sub", true); err != EACCES {
		t.Errorf("pass through a directory without x: %v", err)
	}
	set("/dir", 0o555)
	for what, err := range map[string]error{
		"mkdir":  f.Mkdir(root, "/dir/new", 0o777),
		"rmdir":  f.Rmdir(root, "/dir/sub"),
		"rename": f.Rename(root, "/file", root, "/dir/file"),
		"link":   f.Link(root, "/file", true, root, "/dir/file"),
	} {
		if err != EACCES {
			t.Errorf("%s in a read-only directory: %v", what, err)
		}
	}
	if err := f.Access(root, "/dir", true, true, false); err != EACCES {
		t.Errorf("access: %v", err)
	}
	must(t, f.Access(root, "/dir", true, false, true))
}

func TestOffsetsAppendAndHoles(t *testing.T) {
	f := newTestFS(t, Options{})
	fd := open(t, f, "/file", ReadWrite|Append)
	if at, err := f.Seek(fd, 1, SeekStart); err != nil || at != 1 {
		t.Fatal(at, err)
	}
	if _, err := f.Write(fd, []byte("!")); err != nil {
		t.Fatal(err)
	}
	if got := get(t, f, "/file"); got != "hello!" {
		t.Errorf("append wrote %q", got)
	}
	if at, _ := f.Seek(fd, -2, SeekEnd); at != 4 {
		t.Errorf("seek from the end: %d", at)
	}
	if _, err := f.Seek(fd, -5, SeekCurrent); err != EINVAL {
		t.Errorf("seek before the start: %v", err)
	}
	if _, err := f.Seek(fd, 1<<63-1, SeekEnd); err != EINVAL {
		t.Errorf("seek beyond all: %v", err)
	}
	if _, err := f.Seek(fd, 0, 9); err != EINVAL {
		t.Errorf("seek from nowhere: %v", err)
	}
	if _, err := f.WriteAt(fd, []byte("x"), 9); err != nil {
		t.Fatal(err)
	}
	must(t, f.Resize(fd, 12))
	must(t, f.Resize(fd, 11))
	if got := get(t, f, "/file"); got != "hello!\x00\x00\x00x\x00" {
		t.Errorf("holes hold %q", got)
	}
	must(t, f.Resize(fd, 3))
	must(t, f.Allocate(fd, 2, 4))
	if got := get(t, f, "/file"); got != "hel\x00\x00\x00" {
		t.Errorf("what was cut off is back: %q", got)
	}
	buf := make([]byte, 2)
	if n, err := f.ReadAt(fd, buf, 1); n != 2 || err != nil || string(buf) != "el" {
		t.Errorf("read at 1: %q, %v", buf, err)
	}
	ro := open(t, f, "/file", ReadOnly)
	if _, err := f.Write(ro, buf); err != EBADF {
		t.Errorf("write to what was opened to read: %v", err)
	}
	if err := f.Resize(ro, 0); err != EINVAL {
		t.Errorf("resize what was opened to read: %v", err)
	}
	if _, err := f.Read(open(t, f, "/file", WriteOnly), buf); err != EBADF {
		t.Errorf("read what was opened to write: %v", err)
	}
	if _, err := f.Read(open(t, f, "/dir", ReadOnly), buf); err != EISDIR {
		t.Errorf("read a directory: %v", err)
	}
}

func TestDuplicatesShareTheirOffset(t *testing.T) {
	f := newTestFS(t, Options{})
	a := open(t, f, "/file", ReadOnly)
	b, err := f.Dup(a, 5)
	must(t, err)
	must(t, f.DupTo(a, 9))
	if b != 5 {
		t.Errorf("duplicate is %d", b)
	}
	buf := make([]byte, 2)
	for _, fd := range []int{a, b, 9} {
		if _, err := f.Read(fd, buf); err != nil {
			t.Fatal(err)
		}
	}
	if string(buf[:1]) != "o" {
		t.Errorf("third reads %q", buf)
	}
	must(t, f.Close(a))
	if _, err := f.Seek(9, 0, SeekStart); err != nil {
		t.Errorf("closing one closed all: %v", err)
	}
	if err := f.DupTo(9, DefaultOpen); err != EBADF {
		t.Errorf("duplicate past the limit: %v", err)
	}
	if _, err := f.Dup(9, -1); err != EINVAL {
		t.Errorf("duplicate below 0: %v", err)
	}
}

func TestAFileWithoutANameLivesUntilItIsClosed(t *testing.T) {
	f := newTestFS(t, Options{})
	before := f.Used()
	fd := open(t, f, "/tmp", ReadWrite|Create)
	if _, err := f.Write(fd, []byte("text")); err != nil {
		t.Fatal(err)
	}
	must(t, f.Unlink(f.Root(), "/tmp"))
	if s, err := f.Stat(fd); err != nil || s.Links != 0 || s.Size != 4 {
		t.Errorf("%+v, %v", s, err)
	}
	snapshot := f.Snapshot()
	g := newTestFS(t, Options{})
	must(t, g.Restore(snapshot))
	buf := make([]byte, 9)
	if n, err := g.ReadAt(fd, buf, 0); err != nil || string(buf[:n]) != "text" {
		t.Errorf("restored: %q, %v", buf[:n], err)
	}
	must(t, f.Close(fd))
	if f.Used() != before {
		t.Errorf("%d bytes are used, %d were", f.Used(), before)
	}
}

func TestHardLinksAreOneFile(t *testing.T) {
	f := newTestFS(t, Options{})
	root := f.Root()
	must(t, f.Link(root, "/file", true, root, "/dir/other"))
	put(t, f, "/dir/other", "changed")
	if got := get(t, f, "/file"); got != "changed" {
		t.Errorf("the first name reads %q", got)
	}
	g := newTestFS(t, Options{})
	must(t, g.Restore(f.Snapshot()))
	a, _ := g.StatPath(root, "/file", true)
	b, _ := g.StatPath(g.Root(), "/dir/other", true)
	if a != (Stat{}) && b.Links != 2 {
		t.Errorf("restored: %+v and %+v", a, b)
	}
	must(t, f.Unlink(root, "/file"))
	if got := get(t, f, "/dir/other"); got != "changed" {
		t.Errorf("the other name reads %q", got)
	}
	if err := f.Link(root, "/dir", true, root, "/dir2"); err != EPERM {
		t.Errorf("link to a directory: %v", err)
	}
	if err := f.Link(root, "/dir/other", true, root, "/dir"); err != EEXIST {
		t.Errorf("link over something: %v", err)
	}
}

func TestRenameReplacesLikeWithLike(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{"/file", "/new", nil},
		{"/file", "/file", nil},
		{"/file", "/dir", EISDIR},
		{"/file", "/dir/", ENOTDIR},
		{"/file", "/new/", ENOTDIR},
		{"/dir", "/file", ENOTDIR},
		{"/dir", "/dir/sub/x", EINVAL},
		{"/dir/sub", "/dir", ENOTEMPTY},
		{"/dir/sub", "/sub", nil},
		{"/dir", "/empty", nil},
		{"/empty", "/dir", ENOTEMPTY},
		{"/nope", "/x", ENOENT},
		{"/file", "/nope/x", ENOENT},
		{"/", "/x", EBUSY},
		{"/file", "/", EBUSY},
		{"/file", "/dir/.", EINVAL},
		{"/link", "/link2", nil},
		{"/file", "/gone", nil},
		{"/fds", "/fds2", EBUSY},
		{"/file", "/fds/1", EBADF},
	} {
		f := newTestFS(t, Options{})
		root := f.Root()
		must(t, f.Mkdir(root, "/empty", 0o777))
		err := f.Rename(root, c.from, root, c.to)
		if err != c.want && !errors.Is(err, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.from, c.to, err, c.want)
			continue
		}
		if err == nil && c.from != c.to {
			if _, err := f.StatPath(root, c.from, false); err != ENOENT {
				t.Errorf("%s is still there: %v", c.from, err)
			}
			if _, err := f.StatPath(root, c.to, false); err != nil {
				t.Errorf("%s isn't there: %v", c.to, err)
			}
		}
		if err := f.Restore(f.Snapshot()); err != nil {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}

func TestDirectoriesListInOrderAndAsTheyWere(t *testing.T) {
	f := newTestFS(t, Options{})
	root := f.Root()
	for _, name := range []string{"z", "a", "m"} {
		put(t, f, "/dir/"+name, "")
	}
	fd := open(t, f, "/dir", ReadOnly)
	names := func() string {
		list, err := f.List(fd)
		must(t, err)
		var out []string
		for _, e := range list {
			out = append(out, e.Name)
		}
		return strings.Join(out, " ")
	}
	if got := names(); got != ". .. a m sub z" {
		t.Errorf("listed %s", got)
	}
	must(t, f.Unlink(root, "/dir/m"))
	if got := names(); got != ". .. a m sub z" {
		t.Errorf("the listing changed under its reader: %s", got)
	}
	must(t, f.Rewind(fd))
	if got := names(); got != ". .. a sub z" {
		t.Errorf("after rewinding: %s", got)
	}
	must(t, f.Unlink(root, "/dir/a"))
	f.Begin(1)
	if got := names(); got != ". .. sub z" {
		t.Errorf("in the next call: %s", got)
	}
}

func TestRemovingHasItsRules(t *testing.T) {
	f := newTestFS(t, Options{})
	root := f.Root()
	must(t, f.Chdir(root, "/dir"))
	for what, c := range map[string]struct{ got, want error }{
		"unlink a directory":            {f.Unlink(root, "/dir"), EISDIR},
		"unlink nothing":                {f.Unlink(root, "/nope"), ENOENT},
		"unlink below a file":           {f.Unlink(root, "/file/x"), ENOTDIR},
		"rmdir a file":                  {f.Rmdir(root, "/file"), ENOTDIR},
		"rmdir a link":                  {f.Rmdir(root, "/link"), ENOTDIR},
		"rmdir what isn't empty":        {f.Rmdir(root, "/dir"), EBUSY},
		"rmdir the root":                {f.Rmdir(root, "/"), EBUSY},
		"rmdir dot":                     {f.Rmdir(root, "/dir/."), EINVAL},
		"rmdir where open files are":    {f.Rmdir(root, "/fds"), EBUSY},
		"mkdir over something":          {f.Mkdir(root, "/file", 0o777), EEXIST},
		"mkdir the root":                {f.Mkdir(root, "/", 0o777), EEXIST},
		"mkdir in nothing":              {f.Mkdir(root, "/nope/x", 0o777), ENOENT},
		"symlink to nothing":            {f.Symlink("", root, "/x"), ENOENT},
		"chdir to a file":               {f.Chdir(root, "/file"), ENOTDIR},
		"resize a directory":            {f.ResizePath(root, "/dir", 0), EISDIR},
		"resize to less than nothing":   {f.ResizePath(root, "/file", -1), EINVAL},
		"change what only seems a file": {f.SetAttrPath(root, "/fds/0", false, Attr{}), EBADF},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	if f.Getcwd() != "/dir" {
		t.Errorf("the working directory is %s", f.Getcwd())
	}
	fd := open(t, f, "/dir/sub", ReadOnly)
	must(t, f.Rmdir(root, "/dir/sub"))
	base, err := f.Below(fd)
	must(t, err)
	if err := f.Mkdir(base, "x", 0o777); err != ENOENT {
		t.Errorf("mkdir in a removed directory: %v", err)
	}
}

func TestDevicesDoWhatTheyDo(t *testing.T) {
	f := newTestFS(t, Options{})
	f.Random = func(p []byte) {
		for i := range p {
			p[i] = 7
		}
	}
	f.Begin(5)
	out, errs := open(t, f, "/tty", ReadWrite), open(t, f, "/tty1", ReadWrite)
	if _, err := f.Write(out, []byte("out")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(errs, []byte("err")); err != nil {
		t.Fatal(err)
	}
	if string(f.Stdout.Bytes()) != "out" || string(f.Stderr.Bytes()) != "err" {
		t.Errorf("%q and %q", f.Stdout.Bytes(), f.Stderr.Bytes())
	}
	_, err := f.Write(out, []byte("long"))
	var limit *vm.LimitError
	if !errors.As(err, &limit) || limit.Kind != vm.LimitOutput || limit.Max != 5 || limit.Used != 7 {
		t.Errorf("too much output: %v", err)
	}
	buf := []byte{1, 1}
	if n, err := f.Read(out, buf); n != 0 || err != nil {
		t.Errorf("terminal input: %d, %v", n, err)
	}
	if _, err := f.Read(errs, buf); err != ENXIO {
		t.Errorf("error terminal input: %v", err)
	}
	if n, err := f.Read(open(t, f, "/random", ReadOnly), buf); n != 2 || err != nil || buf[1] != 7 {
		t.Errorf("random: %v, %v", buf, err)
	}
	null := open(t, f, "/null", ReadWrite)
	if n, err := f.Write(null, buf); n != 2 || err != nil {
		t.Errorf("null: %d, %v", n, err)
	}
	for _, fd := range []int{out, null} {
		if _, err := f.Seek(fd, 0, SeekStart); err != ESPIPE {
			t.Errorf("seek in a device: %v", err)
		}
	}
	f.Begin(5)
	if len(f.Stdout.Bytes()) != 0 {
		t.Error("the next call begins with output")
	}
}

func TestLinksOfOpenFilesLeadToTheirPaths(t *testing.T) {
	f := newTestFS(t, Options{})
	fd := open(t, f, "/link/../../file", ReadOnly)
	if fd != 0 {
		t.Fatal(fd)
	}
	target, dir, err := f.Readlink(f.Root(), "/fds/0")
	if diff := cmp.Diff([]any{"/file", "/fds", nil}, []any{target, dir, err}); diff != "" {
		t.Error(diff)
	}
	if get(t, f, "/fds/0") != "hello" {
		t.Error("the link leads elsewhere")
	}
}

func TestLimitsRefuseAndLeaveNoTrace(t *testing.T) {
	f := newTestFS(t, Options{Bytes: 4000, Nodes: 14, Open: 3})
	root := f.Root()
	fd := open(t, f, "/file", ReadWrite)
	used := f.Used()
	state := f.Snapshot()
	big := make([]byte, 4000)
	for what, got := range map[string]error{
		"write":    second(f.Write(fd, big)),
		"far away": second(f.WriteAt(fd, big[:1], 1<<40)),
		"resize":   f.Resize(fd, 1<<50),
		"allocate": f.Allocate(fd, 1, 1<<62),
		"link":     f.Symlink(string(big), root, "/l"),
	} {
		if got != ENOSPC {
			t.Errorf("%s: %v", what, got)
		}
	}
	if _, err := f.WriteAt(fd, big, 1<<63-5); err != EFBIG {
		t.Errorf("past the largest offset: %v", err)
	}
	if f.Used() != used || string(f.Snapshot()) != string(state) {
		t.Error("what was refused left a trace")
	}
	put(t, f, "/one", "")
	put(t, f, "/two", "")
	if err := f.Mkdir(root, "/three", 0o777); err != ENOSPC {
		t.Errorf("one node too many: %v", err)
	}
	open(t, f, "/one", ReadOnly)
	open(t, f, "/two", ReadOnly)
	if _, err := f.Open(root, "/one", ReadOnly, 0); err != EMFILE {
		t.Errorf("one descriptor too many: %v", err)
	}
	if _, err := f.Open(root, "/four", Create, 0); err != EMFILE {
		t.Errorf("one descriptor too many: %v", err)
	}
	if _, err := f.StatPath(root, "/four", true); err != ENOENT {
		t.Error("the file was made all the same")
	}
}

func second(_ int, err error) error { return err }
