package multicall

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/krunbox/krunbox/"

// banned are packages, as patterns, that the guest binary does not link, and why. Every package linked in is initialised
// in every boot, whichever applet runs.
var banned = []struct{ pattern, why string }{
	{"archive/...", "nothing in the guest is packed"},
	{"compress/...", "nothing in the guest is compressed"},
	{"crypto/...", "size and start-up time: the guest keeps no secrets"},
	{"encoding/gob", "size: brings reflection over all types"},
	{"encoding/json", "size and start-up time: pkg/guestconfig has a parser of its own"},
	{"flag", "makes a set of flags before main: pkg/option does not"},
	{"fmt", "size and start-up time, its imports' included: pkg/fault wraps errors, strconv prints numbers"},
	{"html/...", "size: brings text/template"},
	{"log", "a logger is passed in"},
	{"log/...", "size: a logger is passed in"},
	{"math/big", "size"},
	{"net", "size and start-up time: addresses are net/netip, calls are system calls"},
	{"net/http/...", "size and start-up time"},
	{"os", "size and start-up time: multicall/os is what a main needs of it"},
	{"os/exec", "its Wait and the reaper of PID 1 take children from each other"},
	{"os/user", "names are looked up in the image's /etc/passwd"},
	{"regexp/...", "size and start-up time"},
	{"testing/...", "belongs in tests"},
	{"text/template/...", "size: keeps every method of every type alive"},
}

// layers are imports, as patterns, that the order of the packages forbids.
var layers = []struct{ importer, imported, why string }{
	{module + "pkg/...", module + "cmds/...", "pkg is a library for other programs"},
	{module + "pkg/...", module + "multicall/...", "pkg is a library for other programs"},
	{module + "pkg/...", module + "guestinit/...", "it is for hosts"},
	{module + "cmds/...", module + "guestinit/...", "it is for hosts"},
	{module + "cmds/...", module + "multicall", "commands do not know that they share a binary"},
	{module + "cmds/...", module + "multicall/bbmain", "commands do not know that they share a binary"},
	{module + "cmds/...", module + "multicall/dispatch", "commands do not know that they share a binary"},
	{module + "multicall/bbmain", module + "...", "the binary's own part has no use for its commands"},
	{module + "multicall/dispatch", module + "...", "the binary's own part has no use for its commands"},
}

// shared are the packages of pkg/ that others in pkg/ may import. The rest know nothing of each other, so that whoever
// needs one of them gets one, and a change to one cannot break another.
var shared = []string{
	module + "pkg/boot",     // what an operation of a stage is
	module + "pkg/poweroff", // the exit codes
	module + "pkg/fault",    // wraps errors
	module + "pkg/inet",     // addresses
	module + "pkg/loop",     // what runs while a workload does
	module + "pkg/oci",      // what a process is, as a configuration and a workload have it
	module + "pkg/recvmsg",  // receives datagrams
	module + "pkg/rlimit",   // as a configuration and a workload have them
	module + "pkg/sysfile",  // reads files
}

// composed are packages of pkg/ that put others together, which know nothing of each other.
var composed = []string{
	module + "pkg/network", // DHCP, router advertisements, interfaces and resolv.conf
}

// A graph maps import paths to the import paths of what they import.
type graph map[string][]string

// matches tells whether pattern stands for the package: "a/..." does for a and everything below, else it is the path.
func matches(pattern, importPath string) bool {
	tree, isTree := strings.CutSuffix(pattern, "...")
	return importPath == strings.TrimSuffix(tree, "/") || isTree && strings.HasPrefix(importPath, tree)
}

// chain is a shortest chain of imports from one of the roots to a package that pattern stands for, or nil.
func (g graph) chain(roots []string, pattern string) []string {
	importer := map[string]string{}
	for _, root := range roots {
		importer[root] = ""
	}
	for queue := slices.Clone(roots); len(queue) > 0; queue = queue[1:] {
		if matches(pattern, queue[0]) {
			var chain []string
			for p := queue[0]; p != ""; p = importer[p] {
				chain = append(chain, p)
			}
			slices.Reverse(chain)
			return chain
		}
		for _, p := range g[queue[0]] {
			if _, seen := importer[p]; !seen {
				importer[p] = queue[0]
				queue = append(queue, p)
			}
		}
	}
	return nil
}

// loadGraph returns the import graph, as built for a guest, of the packages that the patterns name.
func loadGraph(t *testing.T, patterns ...string) (roots []string, g graph) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Imports,DepOnly"}, patterns...)...)
	cmd.Dir = moduleRoot
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.Bytes())
	}
	g = graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
			DepOnly    bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return roots, g
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		g[p.ImportPath] = p.Imports
		if !p.DepOnly {
			roots = append(roots, p.ImportPath)
		}
	}
}

func TestGuestBinaryLinksNothingBanned(t *testing.T) {
	roots, g := loadGraph(t, "./cmds/...", "./pkg/...", "./multicall/krunbox")
	for _, b := range banned {
		if chain := g.chain(roots, b.pattern); chain != nil {
			t.Errorf("%s is linked into the guest binary (%s): %s", chain[len(chain)-1], b.why, strings.Join(chain, " -> "))
		}
	}
}

func TestLayers(t *testing.T) {
	_, g := loadGraph(t, "./cmds/...", "./pkg/...", "./multicall/krunbox")
	library := module + "pkg/..."
	for _, importer := range slices.Sorted(maps.Keys(g)) {
		for _, l := range layers {
			if !matches(l.importer, importer) {
				continue
			}
			for _, imported := range g[importer] {
				if matches(l.imported, imported) {
					t.Errorf("%s imports %s: %s", importer, imported, l.why)
				}
			}
		}
		for _, imported := range g[importer] {
			if matches(library, importer) && matches(library, imported) && !slices.Contains(shared, imported) &&
				!slices.Contains(composed, importer) {
				t.Errorf("%s imports %s: it is not among the shared packages of pkg", importer, imported)
			}
		}
	}
}

// The tests above find what they look for.
func TestChain(t *testing.T) {
	g := graph{
		"cmds/a": {"os", "pkg/x"},
		"cmds/b": {"pkg/y"},
		"pkg/x":  {"pkg/y", "os"},
		"pkg/y":  {"net/http", "pkg/x"},
	}
	roots := []string{"cmds/a", "cmds/b"}
	for _, tt := range []struct {
		pattern string
		want    []string
	}{
		{"net/http", []string{"cmds/b", "pkg/y", "net/http"}},
		{"net/...", []string{"cmds/b", "pkg/y", "net/http"}},
		{"os", []string{"cmds/a", "os"}},
		{"net", nil},
		{"o...", []string{"cmds/a", "os"}},
		{"os/...", []string{"cmds/a", "os"}},
		{"pkg/x/...", []string{"cmds/a", "pkg/x"}},
		{"cmds/b", []string{"cmds/b"}},
	} {
		if got := g.chain(roots, tt.pattern); !slices.Equal(got, tt.want) {
			t.Errorf("chain(%q) = %q, want %q", tt.pattern, got, tt.want)
		}
	}
}
