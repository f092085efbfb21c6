package lint_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"aorta/test/lint"
	"aorta/test/modules"
)

func TestTheTreeKeepsTheRules(t *testing.T) {
	tree, err := lint.Load(os.DirFS(modules.Root(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range lint.Rules() {
		t.Run(r.Name, func(t *testing.T) {
			for _, f := range r.Check(tree) {
				t.Error(f)
			}
		})
	}
}

func TestTheToolsAgree(t *testing.T) {
	root := modules.Root(t)
	for name, args := range map[string][]string{
		"vet":         {"vet", "./..."},
		"staticcheck": {"tool", "-modfile=" + filepath.Join("test", "tools.mod"), "staticcheck", "./..."},
		"tidy":        {"mod", "tidy", "-diff"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", args...)
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		})
	}
}

// TestRulesFindWhatTheyAreFor breaks each rule once, beside what is right.
func TestRulesFindWhatTheyAreFor(t *testing.T) {
	const doc = "// Package x is one thing.\npackage x\n"
	for _, tt := range []struct {
		rule, path, text string
		// want is in what is found; empty if nothing may be.
		want string
	}{
		{"ImportsPointDownTheHouse", "vm/x/x.go", "package x\n\nimport _ \"m/process\"\n", "vm may not import process"},
		{"ImportsPointDownTheHouse", "vm/x/x.go", "package x\n\nimport _ \"m/vm/wasi\"\n", ""},
		{"ImportsPointDownTheHouse", "process/x.go", "package x\n\nimport _ \"m/vm\"\n", ""},
		{"ImportsPointDownTheHouse", "attic/x.go", "package x\n\nimport _ \"m/vm\"\n", "attic may not import vm"},
		{"ImportsPointDownTheHouse", "vm/x/x_test.go", "package x\n\nimport _ \"m/test/modules\"\n", ""},
		{"ImportsPointDownTheHouse", "vm/x/x.go", "package x\n\nimport _ \"m/test/modules\"\n", "vm may not import test/modules"},
		{"DependenciesStayWhereTheyBelong", "process/x.go", "package x\n\nimport _ \"github.com/bytecodealliance/wasmtime-go/v39\"\n", "only vm/wasm may import"},
		{"DependenciesStayWhereTheyBelong", "vm/wasm/x.go", "package x\n\nimport _ \"github.com/bytecodealliance/wasmtime-go/v39\"\n", ""},
		{"DependenciesStayWhereTheyBelong", "vm/lua/x.go", "package x\n\nimport _ \"crypto/rand\"\n", "a machine reads no clock"},
		{"DependenciesStayWhereTheyBelong", "wallet/x.go", "package x\n\nimport _ \"crypto/rand\"\n", ""},
		{"PackagesSayWhatTheyAre", "x/x.go", "package x\n", "no file of the package has a comment"},
		{"PackagesSayWhatTheyAre", "x/x.go", "// x is a package.\npackage x\n", "should begin with"},
		{"PackagesSayWhatTheyAre", "x/x.go", "// Package x is one thing. And another.\npackage x\n", "a paragraph of one sentence"},
		{"PackagesSayWhatTheyAre", "x/x.go", "// Package x is one thing.\n//\n// It has more to say. Much more.\npackage x\n", ""},
		{"PackagesSayWhatTheyAre", "cmd/x/x.go", "// Command x does it.\npackage main\n", ""},
		{"PackagesAreNamedForAThing", "x/util/x.go", "package util\n", "named for it"},
		{"PackagesAreNamedForAThing", "x/utility/x.go", "package utility\n", ""},
		{"ExportedNamesAreExplained", "x/x.go", doc + "func F() {}\n", "F is exported"},
		{"ExportedNamesAreExplained", "x/x.go", doc + "type t struct{}\n\nfunc (t) F() {}\n\n// G does.\nfunc G() {}\n", ""},
		{"ExportedNamesAreExplained", "x/x.go", doc + "// A, and B.\ntype (\n\tA int\n)\n", "A is exported"},
		{"ExportedNamesAreExplained", "x/x.go", doc + "// Sizes.\nconst (\n\tA = 1\n)\n", ""},
		{"ExportedNamesAreExplained", "x/x.go", doc + "// E is one.\ntype E struct{}\n\nfunc (E) Error() string { return \"\" }\n", ""},
		{"FilesAreShort", "x/x.go", doc + strings.Repeat("\n", lint.MaxLines), "602 lines"},
		{"FilesNameNoPlaceOfTheirOwn", "README.md", "see /" + "root/x\n", "/" + "root/"},
		{"FilesNameNoPlaceOfTheirOwn", "README.md", "see docs/root/x\n", ""},
		{"FilesNameNoPlaceOfTheirOwn", "lock.json", "\"resolved\": \"registry." + "npmjs\"\n", "registry"},
		{"NothingIsLeftForLater", "x/x.go", doc + "// TO" + "DO: more\n", "what is missing is done"},
		{"TestsDoNotSleep", "x/x_test.go", "package x\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "waits for what it needs"},
		{"TestsDoNotSleep", "x/x_test.go", "package x\n\nimport (\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc f() { time.Sleep(1) }\n", ""},
		{"TestsDoNotSleep", "x/x.go", "package x\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", ""},
		{"TestsAreSkippedWithAReason", "x/x_test.go", "package x\n\nfunc f(t T) { t.SkipNow() }\n", "says why"},
		{"TestsAreSkippedWithAReason", "x/x_test.go", "package x\n\nfunc f(t T) { t.Skip(\"no network\") }\n", ""},
		{"GoIsFormatted", "x/x.go", "package  x\n", "gofmt"},
	} {
		tree, err := lint.Load(fstest.MapFS{
			"go.mod": {Data: []byte("module m\n")},
			tt.path:  {Data: []byte(tt.text)},
		})
		if err != nil {
			t.Fatal(err)
		}
		found := check(t, tree, tt.rule)
		if tt.want == "" && len(found) > 0 || tt.want != "" && (len(found) != 1 || !strings.Contains(found[0].String(), tt.want)) {
			t.Errorf("%s of %s %q: found %q, want %q", tt.rule, tt.path, tt.text, found, tt.want)
		}
	}
}

func check(t *testing.T, tree *lint.Tree, rule string) []lint.Finding {
	for _, r := range lint.Rules() {
		if r.Name == rule {
			return r.Check(tree)
		}
	}
	t.Fatalf("no rule %s", rule)
	return nil
}

func TestEveryRuleIsBrokenOnceAbove(t *testing.T) {
	src, err := os.ReadFile("lint_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range lint.Rules() {
		if !strings.Contains(string(src), "{\""+r.Name+"\"") {
			t.Errorf("no case breaks %s", r.Name)
		}
	}
}

func TestATreeWithoutGoModIsRefused(t *testing.T) {
	if _, err := lint.Load(fstest.MapFS{}); err == nil {
		t.Error("it was read")
	}
}
